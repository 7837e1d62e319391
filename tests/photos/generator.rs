//! Pictures like photos of handwriting, made of MNIST's test digits: no camera is needed, and the answer is known.
//!
//! A [`Scene`] is drawn at random from a seed; [`Scene::render`] paints it. Every property can be set by hand
//! for a test of its own.

use std::f64::consts::TAU;
use std::io::Cursor;

use gpu_mnist::rng::{Purpose, Stream};
use image::{ImageFormat, RgbImage};

/// A digit on the sheet.
#[derive(Clone, Debug)]
pub(crate) struct Digit {
    /// MNIST's pixels.
    pub(crate) pixels: Vec<u8>,
    /// Where the middle of its frame lies, in pixels of the picture.
    pub(crate) centre: (f64, f64),
    /// Pixels of the picture for one of MNIST's.
    pub(crate) scale: f64,
    /// Degrees.
    pub(crate) rotation: f64,
    /// MNIST's grey level, 0..1, at which the pen's edge runs: less is a thicker pen.
    pub(crate) edge: f64,
}

/// Ruled lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruling {
    pub(crate) spacing: f64,
    pub(crate) thickness: f64,
    /// Degrees.
    pub(crate) rotation: f64,
    pub(crate) colour: [f64; 3],
    /// Squares rather than lines.
    pub(crate) squares: bool,
}

/// The edge of a shadow that covers all on one side of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shadow {
    pub(crate) angle: f64,
    pub(crate) through: (f64, f64),
    pub(crate) depth: f64,
    pub(crate) softness: f64,
}

/// Everything that is in a picture.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) paper: [f64; 3],
    pub(crate) ink: [f64; 3],
    pub(crate) digits: Vec<Digit>,
    /// Direction and strength of the fall of light from one side to the other.
    pub(crate) gradient: (f64, f64),
    pub(crate) shadow: Option<Shadow>,
    pub(crate) ruling: Option<Ruling>,
    pub(crate) wobble: f64,
    pub(crate) blur: f64,
    pub(crate) noise: f64,
    /// A negative: chalk on a board.
    pub(crate) negative: bool,
    /// JPEG quality; PNG if there is none.
    pub(crate) jpeg: Option<u8>,
    pub(crate) seed: u64,
}

/// Random numbers in a row.
pub(crate) struct Dice(Stream, u32);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Stream::new(seed, Purpose::Test, 77, 0), 0)
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        self.1 += 1;
        low + (high - low) * self.0.uniform_f64(self.1)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.between(0.0, 1.0) < share
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.between(0.0, all.len() as f64) as usize]
    }
}

/// Ballpoints, felt pens and pencils, as shares of the light that they let back.
const INKS: [[f64; 3]; 7] = [
    [0.08, 0.08, 0.09],
    [0.20, 0.20, 0.22],
    [0.10, 0.15, 0.50],
    [0.15, 0.30, 0.70],
    [0.65, 0.10, 0.12],
    [0.08, 0.40, 0.20],
    [0.45, 0.45, 0.46],
];

impl Scene {
    /// A sheet of paper without anything on it.
    pub(crate) fn blank(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let (width, height) = dice.one_of(&[(640, 480), (480, 640), (800, 600), (320, 240), (600, 600)]);
        let grey = dice.between(160.0, 250.0);
        let paper = [grey, grey * dice.between(0.94, 1.0), grey * dice.between(0.85, 1.0)];
        let ink = dice.one_of(&INKS);
        let gradient = (dice.between(0.0, TAU), dice.between(0.0, 0.4));
        let shadow = dice.chance(0.35).then(|| Shadow {
            angle: dice.between(0.0, TAU),
            through: (width as f64 * dice.between(0.15, 0.85), height as f64 * dice.between(0.15, 0.85)),
            depth: dice.between(0.1, 0.4),
            softness: dice.between(3.0, 60.0),
        });
        let ruling = dice.chance(0.35).then(|| Ruling {
            spacing: height as f64 * dice.between(0.06, 0.2),
            thickness: dice.between(1.0, 3.0),
            rotation: dice.between(-8.0, 8.0),
            colour: dice.one_of(&[[0.55, 0.65, 0.9], [0.7, 0.7, 0.72], [0.8, 0.5, 0.5], [0.4, 0.5, 0.7]]),
            squares: dice.chance(0.3),
        });
        Self {
            width,
            height,
            paper,
            ink,
            digits: Vec::new(),
            gradient,
            shadow,
            ruling,
            wobble: dice.between(0.0, 0.5),
            blur: dice.between(0.0, 1.5),
            noise: dice.between(0.0, 8.0),
            negative: dice.chance(0.2),
            jpeg: dice.chance(0.8).then(|| dice.between(60.0, 96.0) as u8),
            seed,
        }
    }

    /// The sheet with a digit, small or large, somewhere on it.
    pub(crate) fn with_digit(seed: u64, pixels: &[u8]) -> Self {
        let mut scene = Self::blank(seed);
        let mut dice = Dice::new(seed ^ 0xD161_7000);
        let short = scene.width.min(scene.height) as f64;
        // MNIST's digits are 20 of 28 pixels high: 10 to 75 % of the picture's shorter side, and at least 30 pixels.
        let high = (short * 0.1 * 7.5_f64.powf(dice.between(0.0, 1.0))).max(30.0);
        let reach = high * 0.72;
        let centre = (
            dice.between(reach, scene.width as f64 - reach),
            dice.between(reach, scene.height as f64 - reach),
        );
        scene.digits.push(Digit {
            pixels: pixels.to_vec(),
            centre,
            scale: high / 20.0,
            rotation: dice.between(-10.0, 10.0),
            edge: dice.between(0.25, 0.5),
        });
        scene
    }

    /// The sheet with the digits in rows, at even sizes.
    pub(crate) fn with_rows(seed: u64, rows: &[Vec<&[u8]>]) -> Self {
        let mut scene = Self::blank(seed);
        let mut dice = Dice::new(seed ^ 0x2075);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(1) as f64;
        let (cell_x, cell_y) = (scene.width as f64 / columns, scene.height as f64 / rows.len() as f64);
        let scale = cell_x.min(cell_y) / 28.0 * dice.between(0.75, 1.0);
        let edge = dice.between(0.25, 0.5);
        for (y, row) in rows.iter().enumerate() {
            for (x, pixels) in row.iter().enumerate() {
                let mut jitter = || dice.between(-0.04, 0.04);
                let centre = ((x as f64 + 0.5 + jitter()) * cell_x, (y as f64 + 0.5 + jitter()) * cell_y);
                let rotation = 100.0 * jitter();
                scene.digits.push(Digit { pixels: pixels.to_vec(), centre, scale, rotation, edge });
            }
        }
        scene
    }

    /// Paints the scene.
    pub(crate) fn render(&self) -> RgbImage {
        let mut planes = [(); 3].map(|()| vec![0.0_f32; self.width * self.height]);
        for y in 0..self.height {
            for x in 0..self.width {
                let at = (x as f64 + 0.5, y as f64 + 0.5);
                let light = self.light(at);
                let rule = self.ruling.map_or([1.0; 3], |ruling| ruling.at(at));
                let pen = self.coverage(at);
                for channel in 0..3 {
                    let ink = 1.0 - pen * (1.0 - self.ink[channel]);
                    planes[channel][y * self.width + x] =
                        (self.paper[channel] * light * rule[channel] * ink) as f32;
                }
            }
        }
        let planes = planes.map(|plane| blurred(&plane, self.width, self.blur));
        let stream = Stream::new(self.seed, Purpose::Test, 78, 0);
        RgbImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let i = y as usize * self.width + x as usize;
            let noise = self.noise * rough_normal(stream.word(i as u32));
            image::Rgb([0, 1, 2].map(|channel: usize| {
                let value = f64::from(planes[channel][i]) + noise;
                let value = if self.negative { 255.0 - value } else { value };
                value.round().clamp(0.0, 255.0) as u8
            }))
        })
    }

    /// The picture file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(&self.render(), self.jpeg)
    }

    fn light(&self, (x, y): (f64, f64)) -> f64 {
        let (angle, strength) = self.gradient;
        let along =
            (x / self.width as f64 - 0.5) * angle.cos() + (y / self.height as f64 - 0.5) * angle.sin();
        let fall = 1.0 - strength * (along + 0.5).clamp(0.0, 1.0);
        let shade = self.shadow.map_or(0.0, |shadow| {
            let behind =
                (x - shadow.through.0) * shadow.angle.cos() + (y - shadow.through.1) * shadow.angle.sin();
            shadow.depth * smooth(behind / shadow.softness + 0.5)
        });
        fall * (1.0 - shade)
    }

    /// How much of a pixel is under ink, 0..1.
    fn coverage(&self, (x, y): (f64, f64)) -> f64 {
        self.digits.iter().map(|digit| digit.at(x, y, self.wobble)).fold(0.0, f64::max)
    }
}

impl Digit {
    fn at(&self, x: f64, y: f64, wobble: f64) -> f64 {
        let (dx, dy) = ((x - self.centre.0) / self.scale, (y - self.centre.1) / self.scale);
        if dx.abs().max(dy.abs()) > 22.0 {
            return 0.0;
        }
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let (u, v) = (cos * dx + sin * dy + 14.0, cos * dy - sin * dx + 14.0);
        // The hand trembles: a slow wave along the stroke.
        let u = u + wobble * (v * 0.9 + self.centre.0).sin();
        let v = v + wobble * (u * 0.7 + self.centre.1).sin();
        let softness = (1.0 / self.scale).clamp(0.05, 1.0);
        smooth((cubic(&self.pixels, u, v) - self.edge) / softness + 0.5)
    }
}

impl Ruling {
    fn at(self, (x, y): (f64, f64)) -> [f64; 3] {
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let drawn = |along: f64| {
            let from_line = (along.rem_euclid(self.spacing) - self.spacing / 2.0).abs();
            (self.thickness / 2.0 + 0.5 - from_line).clamp(0.0, 1.0)
        };
        let across = drawn(cos * y - sin * x);
        let down = if self.squares { drawn(cos * x + sin * y) } else { 0.0 };
        self.colour.map(|colour| 1.0 - across.max(down) * (1.0 - colour))
    }
}

/// PNG, or JPEG of a quality.
pub(crate) fn encode(picture: &RgbImage, jpeg: Option<u8>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    match jpeg {
        Some(quality) => {
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
            picture.write_with_encoder(encoder).expect("memory takes it");
        }
        None => picture.write_to(&mut bytes, ImageFormat::Png).expect("memory takes it"),
    }
    bytes.into_inner()
}

fn smooth(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The sum of four bytes is nearly normal.
fn rough_normal(word: u32) -> f64 {
    let sum: u32 = word.to_le_bytes().iter().map(|&b| u32::from(b)).sum();
    (f64::from(sum) - 510.0) / 147.8
}

/// MNIST's picture between its pixels (Catmull and Rom), 0..1.
fn cubic(pixels: &[u8], x: f64, y: f64) -> f64 {
    let weights = |at: f64| {
        let (floor, t) = (at.floor(), at - at.floor());
        let (t2, t3) = (t * t, t * t * t);
        let weights = [
            -0.5 * t + t2 - 0.5 * t3,
            1.0 - 2.5 * t2 + 1.5 * t3,
            0.5 * t + 2.0 * t2 - 1.5 * t3,
            -0.5 * t2 + 0.5 * t3,
        ];
        (floor as i64 - 1, weights)
    };
    let ((x0, wx), (y0, wy)) = (weights(x - 0.5), weights(y - 0.5));
    let mut sum = 0.0;
    for (y, wy) in (y0..).zip(wy).filter(|(y, _)| (0..28).contains(y)) {
        for (x, wx) in (x0..).zip(wx).filter(|(x, _)| (0..28).contains(x)) {
            sum += wx * wy * f64::from(pixels[(y * 28 + x) as usize]);
        }
    }
    sum / 255.0
}

/// Gaussian blur.
fn blurred(plane: &[f32], width: usize, sigma: f64) -> Vec<f32> {
    if sigma < 0.1 {
        return plane.to_vec();
    }
    let radius = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f64> = (-radius..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|w| (w / total) as f32).collect();
    let height = plane.len() / width;
    let pass = |plane: &[f32], dx: i64, dy: i64| -> Vec<f32> {
        let value = |i: usize| {
            let (x, y) = ((i % width) as i64, (i / width) as i64);
            let tap = |(k, w): (i64, &f32)| {
                let at_x = (x + k * dx).clamp(0, width as i64 - 1) as usize;
                let at_y = (y + k * dy).clamp(0, height as i64 - 1) as usize;
                w * plane[at_y * width + at_x]
            };
            (-radius..).zip(&weights).map(tap).sum()
        };
        (0..plane.len()).map(value).collect()
    };
    pass(&pass(plane, 1, 0), 0, 1)
}
