//! Picture files, hostile until read, become a [`Picture`].
//!
//! *Sizes come first:* the header's width and height are checked before memory is taken for a pixel. What
//! comes out is the right way up (EXIF), without transparency, and no larger than the stages need.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, bail};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::gray::{Gray, overlaps, reduce, shrunk_size};
use crate::data::open_regular;
use crate::error::Error;

/// Pixels of a picture, at most: telephones of 50 megapixels fit.
const MAX_PIXELS: u64 = 64 << 20;
/// Bytes of a decoded picture, at most.
const MAX_DECODED: u64 = 256 << 20;
/// Bytes of a decoded picture that a file of any length may have.
const FREE_DECODED: u64 = 16 << 20;
/// Further bytes of a decoded picture for each byte of its file, at most: deflate makes 1032 of one.
const MAX_RATIO: u64 = 1100;
/// Bytes of a picture file, at most.
const MAX_FILE: u64 = 128 << 20;
/// The longer side at which the stages work: a digit a fortieth of it high still has more than MNIST's 20 pixels.
const WORKING_SIDE: usize = 1280;
/// Where the ink of a transparent picture is at least this light, it was made for a dark background.
const LIGHT_INK: f32 = 200.0;

/// A picture the right way up and without transparency, as large as the stages need it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Width and height of the file's picture, the right way up.
    pub(crate) size: (u32, u32),
    /// One grey plane, or red, green and blue; 0..255.
    pub(crate) planes: Vec<Gray>,
}

impl Picture {
    /// A grey picture from memory: `[height][width]`, 0 black and 255 white.
    ///
    /// # Errors
    /// [`Error::BadFile`] if a side is 0, there are more than 64 Mi pixels, or the sizes do not multiply to
    /// the number of pixels.
    pub fn from_gray(width: usize, height: usize, pixels: &[u8]) -> Result<Self> {
        check_size(width as u64, height as u64)?;
        if width * height != pixels.len() {
            bail!(Error::BadFile(format!(
                "a picture of {width}x{height} has {} pixels; make the sizes agree",
                pixels.len()
            )));
        }
        let read = |y: usize, plane: &mut [f32], _: usize| {
            for (to, &from) in plane.iter_mut().zip(&pixels[y * width..]) {
                *to = f32::from(from);
            }
        };
        Ok(Self { size: (width as u32, height as u32), planes: shrink(width, height, 1, read) })
    }

    /// Width and height in pixels, the right way up.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Width and height of the planes.
    pub(crate) fn working_size(&self) -> (usize, usize) {
        (self.planes[0].width, self.planes[0].height)
    }

    /// The grey plane: luma of ITU-R BT.601, which JPEG uses too.
    pub(crate) fn luma(&self) -> Gray {
        match &self.planes[..] {
            [red, green, blue] => Gray::from_fn(red.width, red.height, |x, y| {
                0.299 * red.at(x, y) + 0.587 * green.at(x, y) + 0.114 * blue.at(x, y)
            }),
            planes => planes[0].clone(),
        }
    }
}

/// Reads and decodes a picture file.
///
/// # Errors
/// [`Error::BadFile`], naming the file, for what [`decode`] refuses, for what cannot be read and for files of
/// more than 128 MiB.
pub fn read(path: &Path) -> Result<Picture> {
    let (file, length) = open_regular(path)?;
    if length > MAX_FILE {
        bail!(Error::BadFile(format!(
            "{}: {length} bytes, expected at most {MAX_FILE}; save the picture smaller",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    // A file can grow while it is read.
    if let Err(error) = std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE), &mut bytes) {
        bail!(Error::BadFile(format!("{}: cannot be read ({error}); check the disk", path.display())));
    }
    decode(&bytes).map_err(|error| Error::BadFile(format!("{}: {error}", path.display())).into())
}

/// Decodes PNG, JPEG, WebP or BMP: turns it the right way up as its EXIF says, and lays it on white where it is
/// transparent, or on black where all its ink is light.
///
/// # Errors
/// [`Error::BadFile`] if the bytes are no such picture, are damaged or cut short, or say more than 64 Mi
/// pixels, 256 MiB, or 16 MiB and 1100 times the file's length.
pub fn decode(bytes: &[u8]) -> Result<Picture> {
    let (mut picture, orientation) = decode_pixels(bytes)?;
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let planes = if picture.color().has_alpha() {
        flatten(width, height, picture.into_rgba8().as_raw())
    } else if picture.color().has_color() {
        let pixels = picture.into_rgb8();
        shrink(width, height, 3, |y, row, channel| {
            let from = pixels.as_raw()[y * width * 3..].chunks_exact(3);
            row.iter_mut().zip(from).for_each(|(to, from)| *to = f32::from(from[channel]));
        })
    } else {
        let pixels = picture.into_luma8();
        shrink(width, height, 1, |y, row, _| {
            let from = &pixels.as_raw()[y * width..];
            row.iter_mut().zip(from).for_each(|(to, &from)| *to = f32::from(from));
        })
    };
    Ok(Picture { size: (width as u32, height as u32), planes: without_colour(planes) })
}

fn decode_pixels(bytes: &[u8]) -> Result<(DynamicImage, Orientation)> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format().is_none() {
        bail!(Error::BadFile(format!(
            "not a picture that can be read ({}), expected PNG, JPEG, WebP or BMP; save it as one of these",
            what_it_is(bytes)
        )));
    }
    // A short file that says a large picture is not believed.
    let most = (FREE_DECODED + MAX_RATIO * bytes.len() as u64).min(MAX_DECODED);
    let mut limits = Limits::default();
    limits.max_alloc = Some(most);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| refused(&error))?;
    let (width, height) = decoder.dimensions();
    check_size(u64::from(width), u64::from(height))?;
    if decoder.total_bytes() > most {
        bail!(Error::BadFile(format!(
            "the header says {width}x{height} pixels of {} bytes in all, expected at most {most} bytes from a file \
             of {} bytes; save the picture smaller or with 8 bits a channel",
            decoder.total_bytes(),
            bytes.len()
        )));
    }
    // A broken EXIF block costs the orientation, not the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| refused(&error))?;
    Ok((picture, orientation))
}

/// What a file is that is no picture which can be read, as far as its first bytes tell.
fn what_it_is(bytes: &[u8]) -> &'static str {
    let brand = bytes.get(4..12).unwrap_or_default();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    match bytes {
        [] => "an empty file",
        [b'G', b'I', b'F', b'8', ..] => "a GIF",
        [b'%', b'P', b'D', b'F', ..] => "a PDF",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "a TIFF or a raw photo",
        [0x1f, 0x8b, ..] => "a gzip file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        _ if matches!(brand, b"ftypheic" | b"ftypheix" | b"ftypmif1" | b"ftypmsf1") => "a HEIC photo",
        _ if brand == b"ftypavif" => "an AVIF photo",
        _ if bytes.iter().take(64).all(is_text) => "a text file",
        _ => "of no kind that is known here",
    }
}

fn check_size(width: u64, height: u64) -> Result<()> {
    if width == 0 || height == 0 || width.saturating_mul(height) > MAX_PIXELS {
        bail!(Error::BadFile(format!(
            "a picture of {width}x{height} pixels, expected 1 to {MAX_PIXELS} pixels; save it smaller"
        )));
    }
    Ok(())
}

fn refused(error: &ImageError) -> Error {
    // Decoders quote the file; a file must not fill the screen.
    let reason: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    Error::BadFile(match error {
        ImageError::Unsupported(_) => {
            format!("a kind of picture that cannot be read ({reason}); save it as PNG or JPEG")
        }
        ImageError::Limits(_) => format!("too large to decode ({reason}); save it smaller"),
        _ => format!("the picture is damaged or cut short ({reason}); copy or save it again"),
    })
}

/// The planes at working size; `read(y, row, channel)` fills in a row.
fn shrink(
    width: usize,
    height: usize,
    channels: usize,
    mut read: impl FnMut(usize, &mut [f32], usize),
) -> Vec<Gray> {
    let (new_width, new_height) = shrunk_size(width, height, WORKING_SIDE);
    let columns = overlaps(0.0, width as f64, new_width, width);
    let rows = overlaps(0.0, height as f64, new_height, height);
    (0..channels).map(|channel| reduce(&columns, &rows, |y, row| read(y, row, channel), width)).collect()
}

/// Lays red, green, blue and alpha on a background. White is paper; but white ink would vanish there, so a
/// picture whose opaque part is light throughout is laid on black.
fn flatten(width: usize, height: usize, pixels: &[u8]) -> Vec<Gray> {
    let (mut ink, mut light) = (0.0_f64, 0.0_f64);
    for pixel in pixels.chunks_exact(4) {
        let alpha = f64::from(pixel[3]);
        let luma = 0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]);
        ink += alpha;
        light += if luma >= LIGHT_INK { alpha } else { 0.0 };
    }
    let all_opaque = pixels.chunks_exact(4).all(|pixel| pixel[3] == 255);
    let background = if !all_opaque && light > 0.995 * ink { 0.0 } else { 255.0 };
    shrink(width, height, 3, |y, row, channel| {
        let from = pixels[y * width * 4..].chunks_exact(4);
        for (to, from) in row.iter_mut().zip(from) {
            let alpha = f32::from(from[3]) / 255.0;
            *to = f32::from(from[channel]) * alpha + background * (1.0 - alpha);
        }
    })
}

/// One plane for three equal ones, so that a grey picture in colours is the same picture.
fn without_colour(mut planes: Vec<Gray>) -> Vec<Gray> {
    if planes.len() == 3 && planes[0] == planes[1] && planes[1] == planes[2] {
        planes.truncate(1);
    }
    planes
}
