//! Reading data of a promised length from a stream that may lie.
//!
//! A header of 16 bytes can promise 10^28 bytes, and a 10 MB gzip file can unpack to 10 GB. So memory is
//! taken as data arrive, never because a header says so, and unpacking stops as soon as the data come out of
//! implausibly little input. A file of `n` bytes can make this module hold at most `16 MiB + 100 n`.

use std::io::{self, BufRead, ErrorKind, Read};

use anyhow::{Result, bail};
use flate2::CrcReader;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};

use crate::error::Error;

/// How much is read between two looks at the input, in bytes. Small enough to stay in cache while it is
/// hashed.
const CHUNK: u64 = 1 << 18;
/// Output over which the ratio is measured, in bytes; anything smaller may be packed as well as it can.
const WINDOW: u64 = 16 << 20;
/// Most bytes of output for a byte of input. MNIST has 4.8 and Fashion-MNIST 1.8; deflate reaches 1032 on
/// zeros.
const MAX_RATIO: u64 = 100;

/// A reader that knows how much of the file it has used up.
pub(super) trait Metered: Read {
    /// Bytes of the file used so far, still packed where they are packed.
    fn consumed(&self) -> u64;
}

/// Counts what passes, below any unpacking.
pub(super) struct Meter<R> {
    inner: R,
    consumed: u64,
}

impl<R: BufRead> Meter<R> {
    /// Counts from here on.
    pub(super) fn new(inner: R) -> Self {
        Self { inner, consumed: 0 }
    }
}

impl<R: BufRead> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.consumed += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Meter<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Metered for Meter<R> {
    fn consumed(&self) -> u64 {
        self.consumed
    }
}

impl<R: BufRead> Metered for MultiGzDecoder<Meter<R>> {
    fn consumed(&self) -> u64 {
        self.get_ref().consumed
    }
}

impl<R: BufRead> Metered for DeflateDecoder<Meter<R>> {
    fn consumed(&self) -> u64 {
        self.get_ref().consumed
    }
}

impl<R: Metered> Metered for CrcReader<R> {
    fn consumed(&self) -> u64 {
        self.get_ref().consumed()
    }
}

/// Reads `promised` bytes and demands that the stream then ends. `file_bytes` is the length of what `source`
/// reads from, before unpacking; `name` begins every message; `each` sees the bytes as they arrive.
///
/// # Errors
/// A stream that is shorter or longer than promised, damaged, or packed beyond what pictures can be.
pub(super) fn read_payload(
    name: &str,
    source: &mut impl Metered,
    promised: u64,
    file_bytes: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<Vec<u8>> {
    let ceiling = WINDOW.saturating_add(file_bytes.saturating_mul(MAX_RATIO));
    if promised > ceiling {
        bail!(Error::BadFile(format!(
            "{name}: the header promises {promised} bytes of data, which cannot come out of {file_bytes} bytes \
             (at most {ceiling} would be believed); the file is damaged or hostile: download it again"
        )));
    }
    let mut data = Vec::new();
    let (mut window_end, mut window_consumed) = (WINDOW, source.consumed());
    while (data.len() as u64) < promised {
        let filled = data.len();
        let wanted = (promised - filled as u64).min(CHUNK) as usize;
        data.resize(filled + wanted, 0);
        let read = fill(source, &mut data[filled..]).map_err(|error| damaged(name, filled as u64, &error))?;
        each(&data[filled..filled + read]);
        if read < wanted {
            bail!(Error::BadFile(format!(
                "{name}: the header promises {promised} bytes of data, found {}; the file is cut short: \
                 download or copy it again",
                filled + read
            )));
        }
        if data.len() as u64 >= window_end {
            let used = source.consumed() - window_consumed;
            if used < WINDOW / MAX_RATIO {
                bail!(Error::BadFile(format!(
                    "{name}: {WINDOW} bytes came out of {used}, more than {MAX_RATIO} to 1, which no pictures \
                     reach; unpacking stopped: get the file from a source that you trust"
                )));
            }
            window_end += WINDOW;
            window_consumed += used;
        }
    }
    if fill(source, &mut [0]).map_err(|error| damaged(name, promised, &error))? > 0 {
        bail!(Error::BadFile(format!(
            "{name}: data go on after the {promised} bytes that the header promises; \
             the header or the file is wrong: download it again"
        )));
    }
    data.shrink_to_fit();
    Ok(data)
}

/// Fills `buffer` as far as the stream goes; returns the bytes read.
pub(super) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The message for a stream that fails after `unpacked` good bytes.
pub(super) fn damaged(name: &str, unpacked: u64, error: &io::Error) -> Error {
    let what = match error.kind() {
        ErrorKind::UnexpectedEof => "the packed data end too early".to_owned(),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => format!("the packed data are damaged ({error})"),
        _ => format!("cannot be read ({error})"),
    };
    Error::BadFile(format!("{name}: {what}, after {unpacked} good bytes; download or copy the file again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn message(promised: u64, bytes: &[u8]) -> String {
        let result = read_payload("f", &mut Meter::new(bytes), promised, bytes.len() as u64, |_| ());
        result.expect_err("must be refused").to_string()
    }

    #[test]
    fn reads_exactly_what_is_promised_and_shows_all_of_it() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
        let mut seen = Vec::new();
        let mut source = Meter::new(&bytes[..]);
        let data = read_payload("f", &mut source, 700_000, 700_000, |part| seen.extend_from_slice(part));
        assert_eq!(data.expect("is as promised"), bytes);
        assert_eq!(seen, bytes);
        assert_eq!(source.consumed(), 700_000);
    }

    #[test]
    fn refuses_streams_of_another_length() {
        assert!(message(11, &[0; 10]).contains("promises 11 bytes of data, found 10"));
        assert!(message(9, &[0; 10]).contains("go on after the 9 bytes"));
        assert!(message(u64::MAX, &[0; 10]).contains("cannot come out of 10 bytes"));
    }

    #[test]
    fn stops_at_the_first_window_that_is_packed_too_well() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let noise: Vec<u8> = (0..1_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        encoder.write_all(&noise).expect("memory takes it");
        encoder.write_all(&vec![0; 40 << 20]).expect("memory takes it");
        let packed = encoder.finish().expect("memory takes it");
        let mut source = MultiGzDecoder::new(Meter::new(&packed[..]));
        let mut most = 0;
        let result =
            read_payload("f", &mut source, 41 << 20, packed.len() as u64, |part| most += part.len() as u64);
        let text = result.expect_err("must be refused").to_string();
        assert!(text.contains("more than 100 to 1"), "{text}");
        assert!(most <= 2 * WINDOW + CHUNK, "{most}");
    }
}
