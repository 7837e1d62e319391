//! TensorBoard event files: scalars and histograms.
//!
//! A file is a row of TFRecords, each a protobuf `Event`:
//!
//! ```text
//! record    = length: u64, masked_crc(length): u32, data, masked_crc(data): u32      little endian
//! masked    = rotate_right(crc32c, 15) + 0xa282ead8
//! Event     { 1: wall_time: double, 2: step: int64, 3: file_version: string, 5: summary: Summary }
//! Summary   { 1: repeated Value }
//! Value     { 1: tag: string, 2: simple_value: float, 5: histo: HistogramProto }
//! HistogramProto { 1: min, 2: max, 3: num, 4: sum, 5: sum_squares: double, 6: bucket_limit, 7: bucket: repeated double }
//! ```

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

use super::histogram::Histogram;

/// Writes events to a file or anything else.
#[derive(Debug)]
pub struct EventWriter<W: Write> {
    to: W,
}

impl EventWriter<BufWriter<File>> {
    /// A new file in `folder` by the name that TensorBoard looks for. `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(folder: &Path, wall_time: f64) -> Result<Self> {
        let name = format!("events.out.tfevents.{:010}.gpu-mnist", wall_time.max(0.0) as u64);
        Self::new(BufWriter::new(File::create(folder.join(name))?), wall_time)
    }
}

impl<W: Write> EventWriter<W> {
    /// Begins a file with its version.
    ///
    /// # Errors
    /// As `to` gives them.
    pub fn new(to: W, wall_time: f64) -> Result<Self> {
        let mut writer = Self { to };
        let mut event = Message::default();
        event.double(1, wall_time);
        event.bytes(3, b"brain.Event:2");
        writer.record(&event.0)?;
        Ok(writer)
    }

    /// One number, `tag` as in `loss/training`. TensorBoard keeps it as f32.
    ///
    /// # Errors
    /// As the destination gives them.
    pub fn scalar(&mut self, wall_time: f64, step: u64, tag: &str, value: f64) -> Result<()> {
        let mut summary_value = Message::default();
        summary_value.bytes(1, tag.as_bytes());
        summary_value.float(2, value as f32);
        self.summary(wall_time, step, &summary_value)
    }

    /// One histogram. Values that are not finite are in no bin, here as there.
    ///
    /// # Errors
    /// As the destination gives them.
    pub fn histogram(&mut self, wall_time: f64, step: u64, tag: &str, histogram: &Histogram) -> Result<()> {
        let Histogram { low, high, counts, mean, deviation, .. } = histogram;
        let number = histogram.total() as f64;
        let (mean, deviation) = if number > 0.0 { (*mean, *deviation) } else { (0.0, 0.0) };
        let edge = |index: usize| low + (high - low) * (index + 1) as f64 / counts.len() as f64;
        let mut proto = Message::default();
        proto.double(1, *low);
        proto.double(2, *high);
        proto.double(3, number);
        proto.double(4, mean * number);
        proto.double(5, (mean * mean + deviation * deviation) * number);
        proto.doubles(6, (0..counts.len()).map(edge));
        proto.doubles(7, counts.iter().map(|&count| count as f64));
        let mut summary_value = Message::default();
        summary_value.bytes(1, tag.as_bytes());
        summary_value.bytes(5, &proto.0);
        self.summary(wall_time, step, &summary_value)
    }

    /// Hands everything on; to be called once an epoch, so that TensorBoard can follow.
    ///
    /// # Errors
    /// As the destination gives them.
    pub fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }

    fn summary(&mut self, wall_time: f64, step: u64, value: &Message) -> Result<()> {
        let mut summary = Message::default();
        summary.bytes(1, &value.0);
        let mut event = Message::default();
        event.double(1, wall_time);
        event.whole(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.to.write_all(&length)?;
        self.to.write_all(&masked_crc32c(&length).to_le_bytes())?;
        self.to.write_all(data)?;
        self.to.write_all(&masked_crc32c(data).to_le_bytes())
    }
}

/// A protobuf message as it is written: for each field its number and wire type, then its value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    const VARINT: u64 = 0;
    const EIGHT_BYTES: u64 = 1;
    const LENGTH: u64 = 2;
    const FOUR_BYTES: u64 = 5;

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn whole(&mut self, field: u64, value: u64) {
        self.key(field, Self::VARINT);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, Self::EIGHT_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, Self::FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, Self::LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn doubles(&mut self, field: u64, values: impl ExactSizeIterator<Item = f64>) {
        self.key(field, Self::LENGTH);
        self.varint(values.len() as u64 * 8);
        self.0.extend(values.flat_map(f64::to_le_bytes));
    }
}

fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected, one byte at a time.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !data.iter().fold(!0, |crc: u32, &byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

const fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_of_the_published_examples() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn the_first_record_is_the_version() {
        let mut file = Vec::new();
        EventWriter::new(&mut file, 1.5).expect("a Vec takes everything");
        // 9 bytes of wall time, 2 of key and length, 13 of text.
        assert_eq!(file[..8], 24u64.to_le_bytes());
        assert_eq!(file.len(), 8 + 4 + 24 + 4);
        assert_eq!(&file[12 + 11..12 + 24], b"brain.Event:2");
    }

    #[test]
    fn varints_have_seven_bits_a_byte() {
        let mut message = Message::default();
        message.varint(300);
        message.varint(u64::MAX);
        assert_eq!(message.0[..2], [0xac, 0x02]);
        assert_eq!(message.0.len(), 12);
    }
}
