//! One NumPy array: the `.npy` format, versions 1 to 3.
//!
//! ```text
//! 93 N U M P Y | MAJOR MINOR | little-endian header length, u16 in version 1, u32 after | header | data
//! header: a Python dict, {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }
//! ```
//! Source: NEP 1 and `numpy.lib.format`.

use anyhow::{Result, bail};

use super::bounded::{Metered, damaged, fill, read_payload};
use super::excerpt;
use crate::error::Error;

/// First bytes of an array.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is read, in bytes; NumPy's are padded to 128. It refuses more than 10,000 itself.
const MAX_HEADER: u64 = 10_000;
/// The most dimensions, as in NumPy.
const MAX_RANK: usize = 64;

/// A whole array in C order.
pub(super) struct Array {
    /// The kind of its numbers.
    pub(super) dtype: Dtype,
    /// The sizes, slowest first.
    pub(super) shape: Vec<usize>,
    /// The numbers, `dtype.bytes` each.
    pub(super) data: Vec<u8>,
}

/// A kind of number, as `<i8` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    /// As it stands in the file.
    pub(super) text: String,
    /// `<` little-endian, `>` big-endian, `|` of no account.
    pub(super) order: char,
    /// `u` unsigned, `i` signed, `f` floating.
    pub(super) kind: char,
    /// Bytes each, at least one.
    pub(super) bytes: usize,
}

/// Reads an array that `source` holds alone. `file_bytes` is what it is unpacked from; `name` begins every
/// message.
pub(super) fn read(name: &str, source: &mut impl Metered, file_bytes: u64) -> Result<Array> {
    let text = read_header(name, source)?;
    let Some(header) = Header::parse(&text) else {
        bail!(Error::BadFile(format!(
            "{name}: the header is {}, expected {{'descr': '|u1', 'fortran_order': False, 'shape': (..)}}; \
             save a plain array of integers with numpy.savez",
            excerpt(&text)
        )));
    };
    let Some(dtype) = Dtype::parse(&header.descr) else {
        bail!(Error::BadFile(format!(
            "{name}: holds {}, expected integers such as '|u1'; convert it with .astype('uint8')",
            excerpt(&header.descr)
        )));
    };
    if header.fortran_order {
        bail!(Error::BadFile(format!(
            "{name}: is in Fortran order, expected C order; save numpy.ascontiguousarray(..) instead"
        )));
    }
    let bytes = header.shape.iter().try_fold(dtype.bytes as u64, |product, &size| product.checked_mul(size));
    let sizes: Option<Vec<usize>> = header.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let (Some(bytes), Some(shape)) = (bytes.filter(|&bytes| isize::try_from(bytes).is_ok()), sizes) else {
        bail!(Error::BadFile(format!(
            "{name}: the shape {:?} of {} is more than any file can hold; \
             the file is damaged or hostile: download it again",
            header.shape, dtype.text
        )));
    };
    let data = read_payload(name, source, bytes, file_bytes, |_| ())?;
    Ok(Array { dtype, shape, data })
}

/// Reads as far as the data and returns the dictionary as it stands.
fn read_header(name: &str, source: &mut impl Metered) -> Result<String> {
    let mut take = |buffer: &mut [u8]| -> Result<()> {
        let found = fill(source, buffer).map_err(|error| damaged(name, 0, &error))?;
        if found < buffer.len() {
            bail!(Error::BadFile(format!(
                "{name}: is cut short in its header; save it with numpy.savez or download it again"
            )));
        }
        Ok(())
    };
    let mut start = [0; 8];
    take(&mut start)?;
    let length = match start {
        [magic @ .., 1, _] if magic == *MAGIC => {
            let mut length = [0; 2];
            take(&mut length)?;
            u64::from(u16::from_le_bytes(length))
        }
        [magic @ .., 2 | 3, _] if magic == *MAGIC => {
            let mut length = [0; 4];
            take(&mut length)?;
            u64::from(u32::from_le_bytes(length))
        }
        _ => bail!(Error::BadFile(format!(
            "{name}: begins {start:02x?}, expected 93 4e 55 4d 50 59 and version 1, 2 or 3; it is not a NumPy \
             array: save it with numpy.savez"
        ))),
    };
    if length > MAX_HEADER {
        bail!(Error::BadFile(format!(
            "{name}: the header claims {length} bytes, expected at most {MAX_HEADER}; \
             the file is damaged or hostile: download it again"
        )));
    }
    let mut header = vec![0; length as usize];
    take(&mut header)?;
    Ok(String::from_utf8_lossy(&header).trim_end().to_owned())
}

impl Dtype {
    fn parse(text: &str) -> Option<Self> {
        let (order, rest) = match text.chars().next()? {
            order @ ('<' | '>' | '|' | '=') => (order, &text[1..]),
            _ => ('=', text),
        };
        let kind = rest.chars().next().filter(char::is_ascii_alphabetic)?;
        let bytes: usize = rest[1..].parse().ok().filter(|&bytes| bytes > 0)?;
        // '=' is the writer's own order; it never stands in a file that NumPy wrote with numbers of many
        // bytes.
        let order = if order == '=' { '<' } else { order };
        Some(Self { text: text.to_owned(), order, kind, bytes })
    }
}

/// The three entries of the dictionary.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Each key once, in any order, and nothing else; the values only in the forms that NumPy writes.
    fn parse(text: &str) -> Option<Self> {
        let mut rest = Text(text);
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        rest.symbol('{')?;
        while rest.symbol('}').is_none() {
            let key = rest.string()?;
            rest.symbol(':')?;
            let repeated = match key {
                "descr" => descr.replace(rest.string()?.to_owned()).is_some(),
                "fortran_order" => fortran_order.replace(rest.boolean()?).is_some(),
                "shape" => shape.replace(rest.tuple()?).is_some(),
                _ => true,
            };
            let comma = rest.symbol(',').is_some();
            if repeated || !(comma || rest.0.trim_start().starts_with('}')) {
                return None;
            }
        }
        let whole = rest.0.trim().is_empty();
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? }).filter(|_| whole)
    }
}

/// What is left of a Python literal; each method takes one piece off its front or returns `None`.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn symbol(&mut self, symbol: char) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(symbol)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        let text = self.0.trim_start();
        let (value, rest) = match text.strip_prefix("True") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("False")?),
        };
        self.0 = rest;
        Some(value)
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut sizes = Vec::new();
        self.symbol('(')?;
        while self.symbol(')').is_none() {
            sizes.push(self.number().filter(|_| sizes.len() < MAX_RANK)?);
            if self.symbol(',').is_none() && !self.0.trim_start().starts_with(')') {
                return None;
            }
        }
        Some(sizes)
    }

    fn number(&mut self) -> Option<u64> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        // Python 2 wrote long integers with an L.
        self.0 = rest.strip_prefix('L').unwrap_or(rest);
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_header_that_numpy_writes() {
        let expected = |shape: &[u64]| {
            Some(Header { descr: "|u1".to_owned(), fortran_order: false, shape: shape.to_vec() })
        };
        for (text, shape) in [
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 28, 28), }   \n", &[2, 28, 28][..]),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }", &[7]),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (7L, 3L), }", &[7, 3]),
            ("{'shape': (), \"fortran_order\": False, 'descr': '|u1'}", &[]),
        ] {
            assert_eq!(Header::parse(text), expected(shape), "{text}");
        }
    }

    #[test]
    fn refuses_every_other_header() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '|u1', 'fortran_order': False}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} x",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'more': (1,)}",
            "{'descr': '|u1' 'fortran_order': False, 'shape': (1,)}",
            "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1 2)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '|u1",
            "{'é': 'ü",
        ] {
            assert_eq!(Header::parse(text), None, "{text}");
        }
    }

    #[test]
    fn reads_kinds_of_numbers() {
        let parsed = |text| Dtype::parse(text).map(|dtype| (dtype.order, dtype.kind, dtype.bytes));
        assert_eq!(parsed("|u1"), Some(('|', 'u', 1)));
        assert_eq!(parsed("<i8"), Some(('<', 'i', 8)));
        assert_eq!(parsed(">f4"), Some(('>', 'f', 4)));
        assert_eq!(parsed("u1"), Some(('<', 'u', 1)));
        for text in ["", "<", "|u", "|u0", "|O", "é1", "<é1", "|u99999999999999999999999"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
