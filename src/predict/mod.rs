//! Pictures of handwritten digits, brought to the form in which a network knows them.
//!
//! [`read`] or [`decode`] makes a [`Picture`] of a file and [`prepare`] finds the digits in it. The stages, each
//! a file here, in order:
//!
//! 1. `decode`: the right way up, without transparency, not larger than needed;
//! 2. `light`: from brightness to ink, under uneven light, dark on light or light on dark, in any colour;
//! 3. `lines`: ruled lines are taken out;
//! 4. `shapes`: the threshold, specks, edges of sheets; which pieces are one digit, and in what order digits are
//!    read;
//! 5. `strokes`: each digit cut out, broken strokes joined, their width brought to MNIST's;
//! 6. `frame`: the box of 20 pixels, moved by its centre of mass.
//!
//! `gray`, `distance`, `closing` and `pieces` are what the stages are made of. *No network here:* what comes out are bytes
//! like those of a data set, and whoever has a model scales them as it was trained.
//!
//! A picture that already has the network's size and is light on a dark background passes through unchanged:
//! the pictures of a data set give the answers that the data set gives.

use anyhow::Result;
pub use image::GrayImage;

mod closing;
mod decode;
mod distance;
mod frame;
mod gray;
mod light;
mod lines;
mod pieces;
mod shapes;
mod strokes;

pub use decode::{Picture, decode, read};
use gray::Gray;
use shapes::{Found, Shape};

/// How light a border is that is still the dark background of a picture in the network's form.
const DARK_BORDER: f32 = 16.0;
/// Strokes thinner than this share of the digit have lost their shape.
const THIN: f32 = 0.02;
/// Digits with fewer pixels on their longer side are guesswork.
const SMALL: usize = 12;

/// Whether a picture must be inverted to be light on dark, as MNIST is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invert {
    /// Find out.
    #[default]
    Auto,
    /// It is dark on light.
    Yes,
    /// It is light on dark already.
    No,
}

/// What to make of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Dark on light, or light on dark.
    pub invert: Invert,
    /// All digits of the picture, not only the largest.
    pub multi: bool,
    /// Height and width that the network takes; at least 1 each.
    pub size: (usize, usize),
}

impl Default for Options {
    fn default() -> Self {
        Self { invert: Invert::Auto, multi: false, size: (28, 28) }
    }
}

/// A digit in the form of the network's training set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// `[height][width]` of [`Options::size`], 0 is paper and 255 is ink.
    pub pixels: Vec<u8>,
    /// Left, top, width and height of the digit in the picture, in its pixels, the right way up.
    pub bounds: (u32, u32, u32, u32),
    /// Why the answer may be wrong: sentences for people.
    pub warnings: Vec<String>,
}

/// A picture of one step, for people to look at.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Fit for a file name: a number for the order, and what it is.
    pub name: String,
    /// The picture.
    pub image: GrayImage,
}

/// Finds the digits of a picture: with [`Options::multi`] all, from the left in lines from the top; otherwise the
/// largest. Never fewer than one. Each step is added to `stages`.
///
/// # Errors
/// [`Error::BadFile`](crate::error::Error::BadFile) with the reason, if the picture is blank, faint or crowded.
pub fn prepare(
    picture: &Picture,
    options: &Options,
    stages: Option<&mut Vec<Stage>>,
) -> Result<Vec<Prepared>> {
    let mut log = Log(stages);
    let luma = picture.luma();
    log.add("picture", &luma, 1.0);
    if let Some(pixels) = already_framed(&luma, options) {
        return Ok(vec![as_it_is(pixels, options.size)]);
    }
    let ink = light::ink(picture, options.invert);
    log.add("dark-on-light", &ink.dark, 1.0);
    log.add("background", &ink.background, 1.0);
    log.add("ink", &ink.plane, 255.0);
    let threshold = shapes::ink_threshold(ink.noise);
    let mut plane = ink.plane;
    let lines = lines::remove(&mut plane, threshold);
    if lines.count > 0 {
        log.add("without-lines", &plane, 255.0);
    }
    let found = shapes::find(&plane, &lines, threshold, options.multi)?;
    log.add("digits", &drawn(&found, &plane), 255.0);
    let chosen: Vec<&Shape> = if options.multi {
        found.shapes.iter().collect()
    } else {
        let by_prominence = |a: &&Shape, b: &&Shape| a.prominence().total_cmp(&b.prominence());
        found.shapes.iter().max_by(by_prominence).into_iter().collect()
    };
    Ok(chosen
        .into_iter()
        .enumerate()
        .map(|(i, shape)| finish(i, shape, &plane, &found, picture, options, &mut log))
        .collect())
}

fn finish(
    index: usize,
    shape: &Shape,
    plane: &Gray,
    found: &Found,
    picture: &Picture,
    options: &Options,
    log: &mut Log,
) -> Prepared {
    let stroked = strokes::stroked(plane, found, shape);
    let pixels = frame::framed(&stroked.plane, options.size);
    let (height, width) = options.size;
    let number = index + 1;
    log.add(&format!("digit-{number}-cut-out"), &stroked.before, 255.0);
    log.add(&format!("digit-{number}-strokes"), &stroked.plane, 255.0);
    let bytes = Gray::from_fn(width, height, |x, y| f32::from(pixels[y * width + x]));
    log.add(&format!("digit-{number}-framed"), &bytes, 1.0);
    let mut warnings = warnings(shape, stroked.stroke);
    if !options.multi && found.shapes.len() > 1 {
        warnings.push(format!(
            "{} digits in the picture, this is the largest; use --multi to read all",
            found.shapes.len()
        ));
    }
    Prepared { pixels, bounds: in_picture(shape.bounds, picture), warnings }
}

fn warnings(shape: &Shape, stroke: f32) -> Vec<String> {
    let mut warnings = Vec::new();
    if shape.cut_off {
        warnings.push("the digit reaches the edge of the picture and may be cut off".to_owned());
    }
    if shape.long_side() < SMALL {
        warnings.push(format!("the digit is only {} pixels high", shape.long_side()));
    }
    if shape.width() * 2 > shape.height() * 3 {
        warnings.push("the shape is much wider than high; digits that touch are read as one".to_owned());
    }
    if stroke < THIN {
        warnings.push("the stroke is very thin for the size of the digit; use a thicker pen".to_owned());
    }
    warnings
}

/// The pixels of a picture that is in the network's form, or in its negative.
fn already_framed(luma: &Gray, options: &Options) -> Option<Vec<u8>> {
    if (luma.height, luma.width) != options.size {
        return None;
    }
    let mut border: Vec<f32> = Vec::new();
    for y in 0..luma.height {
        let whole_row = y == 0 || y + 1 == luma.height;
        border.extend(luma.row(y).iter().step_by(if whole_row { 1 } else { (luma.width - 1).max(1) }));
    }
    let median = gray::quantile(&mut border, 0.5);
    let blank = luma.pixels.iter().all(|&v| (v - median).abs() <= DARK_BORDER);
    let bytes = |f: fn(f32) -> f32| Some(luma.pixels.iter().map(|&v| f(v).round() as u8).collect());
    match options.invert {
        _ if blank => None,
        Invert::Auto | Invert::No if median <= DARK_BORDER => bytes(|v| v),
        Invert::Auto | Invert::Yes if median >= 255.0 - DARK_BORDER => bytes(|v| 255.0 - v),
        _ => None,
    }
}

fn as_it_is(pixels: Vec<u8>, (height, width): (usize, usize)) -> Prepared {
    Prepared { pixels, bounds: (0, 0, width as u32, height as u32), warnings: Vec::new() }
}

/// Bounds at working size, in pixels of the picture.
fn in_picture([left, top, right, bottom]: [usize; 4], picture: &Picture) -> (u32, u32, u32, u32) {
    let ((width, height), (working_width, working_height)) = (picture.size(), picture.working_size());
    let scaled = |at: usize, full: u32, working: usize| (at as u64 * u64::from(full) / working as u64) as u32;
    let (x, y) = (scaled(left, width, working_width), scaled(top, height, working_height));
    let end_x = scaled(right, width, working_width).max(x + 1);
    let end_y = scaled(bottom, height, working_height).max(y + 1);
    (x, y, end_x - x, end_y - y)
}

/// The ink of the digits, other ink faint.
fn drawn(found: &Found, plane: &Gray) -> Gray {
    let mut is_digit = vec![false; found.pieces.all.len()];
    found.shapes.iter().flat_map(|shape| &shape.members).for_each(|&m| is_digit[m as usize] = true);
    Gray::from_fn(plane.width, plane.height, |x, y| {
        let label = found.pieces.labels[y * plane.width + x];
        match label {
            pieces::NONE => 0.0,
            label if is_digit[label as usize] => 1.0,
            _ => 0.25,
        }
    })
}

/// Where the stages go, if anybody looks.
struct Log<'a>(Option<&'a mut Vec<Stage>>);

impl Log<'_> {
    fn add(&mut self, name: &str, plane: &Gray, scale: f32) {
        if let Some(stages) = &mut self.0 {
            let name = format!("{:02}-{name}", stages.len() + 1);
            stages.push(Stage { name, image: plane.to_image(scale) });
        }
    }
}
