//! Gathers a training batch as [`gather`](super::gather) does, each image changed at random: shifted, rotated, scaled,
//! sheared, deformed elastically, and a rectangle of it erased.
//!
//! The changes of an image are a function of (seed, epoch, image) alone, so they do not depend on the order of the images, the
//! batch size or the number of threads, and a run taken up in the middle of an epoch sees what it would have seen.
//!
//! # Formula
//! An output pixel shows the input at
//! ```text
//! source = centre + K^-1 R^-1 (pixel - centre - shift) / z + e(pixel)
//! R = [c -s; s c], c = (1 - t^2) / (1 + t^2), s = 2 t / (1 + t^2), t = tan(angle / 2) = turn u
//! K = [1 k; 0 1], k = shear u;   z = 1 + scale u;   shift = (shift u, shift u)
//! ```
//! where every `u` is a number of its own, uniform in [-1, 1), so that neither host nor device needs a sine (drivers differ in
//! theirs). Between pixels the input is interpolated bilinearly, and beyond its edges it is 0, paper.
//!
//! `e` is the elastic displacement: `elastic (u, u)` at the nodes of a grid of `spacing` pixels, interpolated bilinearly between
//! them. Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to visual document
//! analysis" (ICDAR 2003) smooth a displacement for every pixel with a Gaussian; a coarse grid that is interpolated,
//! as in Ronneberger, Fischer, Brox, "U-Net" (MICCAI 2015), is as smooth for a fraction of the work.
//!
//! Erasing is that of Zhong and others, "Random erasing data augmentation" (AAAI 2020), with the two sides drawn
//! uniformly instead of an area and a ratio, so that they are whole numbers on every device, and with paper put in.

mod cpu;

use super::case::{Case, Fill};
use super::control::{self, BATCH, EPOCH, ROWS, SEED_HIGH, SEED_LOW, STEP};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read_words, simd, slots, write,
};
use crate::rng::{Purpose, Stream};
use std::ops::Range;

params! {
    /// Shapes, pixel scaling and the ranges of the changes.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Rows of an image.
        height: u32,
        /// Columns of an image.
        width: u32,
        /// 1: divide each column by its norm instead.
        l2_columns: u32,
        /// Subtracted from a pixel.
        mean: f32,
        /// What the difference is divided by.
        divisor: f32,
        /// Epochs, from the first on, in which images are changed.
        epochs: u32,
        /// Share of the images that are moved: shifted, rotated, scaled, sheared and deformed.
        share: f32,
        /// Furthest shift, pixels.
        shift: f32,
        /// Tangent of half the largest angle of rotation.
        turn: f32,
        /// Largest change of size, below 1.
        scale: f32,
        /// Tangent of the largest angle of shear.
        shear: f32,
        /// Furthest elastic displacement of a node, pixels.
        elastic: f32,
        /// Pixels between nodes.
        spacing: u32,
        /// Share of the images with something erased.
        erase: f32,
        /// Most rows of what is erased, 1 to `height`.
        erase_height: u32,
        /// Most columns of what is erased, 1 to `width`.
        erase_width: u32,
    }
}

/// See the module for the formula.
pub struct GatherAugmented;

/// The first draw of the grid's nodes; those before it are for the image as a whole. Two numbers share a draw.
const NODES: u32 = 16;

/// The random numbers of an image in the epoch where `control` stands.
fn stream(control: &[u32], image: u32) -> Stream {
    let seed = u64::from(control[SEED_LOW]) | u64::from(control[SEED_HIGH]) << 32;
    Stream::new(seed, Purpose::Augment, control[EPOCH], image)
}

/// A word as a number uniform in [0, 1) with 24 bits.
#[inline(always)]
fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A word as a number uniform in [-1, 1), exact.
#[inline(always)]
fn signed(word: u32) -> f32 {
    2.0 * uniform(word) - 1.0
}

/// A word as a whole number uniform in `0..bound`, `bound` below 65,536 (bias below `bound / 65,536`).
#[inline(always)]
fn below(word: u32, bound: u32) -> u32 {
    ((word >> 16) * bound) >> 16
}

impl Params {
    /// Those of an image in an epoch, by its first draws: what does not happen to it has a range of 0.
    fn of_image(&self, epoch: u32, [even, _]: &[[u32; LANES]; 2]) -> Self {
        let changed = epoch < self.epochs;
        let erase = if changed { self.erase } else { 0.0 };
        if changed && uniform(even[5]) < self.share {
            return *self;
        }
        Self { shift: 0.0, turn: 0.0, scale: 0.0, shear: 0.0, elastic: 0.0, erase, ..*self }
    }
}

/// What happens to an image as a whole.
struct Warp<T> {
    /// From an output pixel's place to the input's: `source = centre + matrix (pixel - origin)`, row by row.
    matrix: [T; 4],
    /// x and y of the input's centre.
    centre: [T; 2],
    /// x and y of where the centre goes.
    origin: [T; 2],
    /// Columns and rows that are erased.
    erased: (Range<usize>, Range<usize>),
}

impl<T: Real> Warp<T> {
    /// From the image's first draws: words at even places of the stream, and at odd ones.
    fn new(p: &Params, [even, odd]: &[[u32; LANES]; 2]) -> Self {
        let number = |x: f32| T::of(f64::from(x));
        let draw = |word: u32, range: f32| number(signed(word)) * number(range);
        let half = |size: u32| T::of(f64::from(size - 1) / 2.0);
        let centre = [half(p.width), half(p.height)];
        let origin = [centre[0] + draw(even[0], p.shift), centre[1] + draw(odd[0], p.shift)];
        let (t, z) = (draw(even[1], p.turn), T::ONE + draw(odd[1], p.scale));
        let k = draw(even[2], p.shear);
        let unit = T::ONE / ((T::ONE + t * t) * z);
        let (cosine, sine) = ((T::ONE - t * t) * unit, (t + t) * unit);
        let matrix = [cosine + k * sine, sine - k * cosine, -sine, cosine];
        let mut erased = (0..0, 0..0);
        if uniform(odd[2]) < p.erase {
            let (rows, columns) = (1 + below(even[3], p.erase_height), 1 + below(odd[3], p.erase_width));
            let (top, left) = (below(even[4], p.height - rows + 1), below(odd[4], p.width - columns + 1));
            erased = (left as usize..(left + columns) as usize, top as usize..(top + rows) as usize);
        }
        Self { matrix, centre, origin, erased }
    }

    fn erases(&self, x: usize, y: usize) -> bool {
        self.erased.0.contains(&x) && self.erased.1.contains(&y)
    }

    /// Where the input of a pixel lies, elastic displacement aside.
    fn source(&self, x: usize, y: usize) -> [T; 2] {
        let [dx, dy] = [T::of(x as f64) - self.origin[0], T::of(y as f64) - self.origin[1]];
        let [xx, xy, yx, yy] = self.matrix;
        [self.centre[0] + xx * dx + xy * dy, self.centre[1] + yx * dx + yy * dy]
    }
}

/// Nodes in a row of the elastic grid.
fn nodes(p: &Params) -> u32 {
    (p.width - 1) / p.spacing + 2
}

/// The elastic displacement of a pixel.
fn displacement<T: Real>(p: &Params, stream: &Stream, x: usize, y: usize) -> [T; 2] {
    let node = |column: u32, row: u32, axis: u32| {
        let word = stream.word(2 * (NODES + row * nodes(p) + column) + axis);
        T::of(f64::from(signed(word))) * T::of(f64::from(p.elastic))
    };
    let between = |a: T, b: T, weight: T| a + weight * (b - a);
    let (x, y) = (x as u32, y as u32);
    let (column, row) = (x / p.spacing, y / p.spacing);
    let weight = |rest: u32| T::of(f64::from(rest)) / T::of(f64::from(p.spacing));
    let (across, down) = (weight(x % p.spacing), weight(y % p.spacing));
    [0, 1].map(|axis| {
        let of_row = |row| between(node(column, row, axis), node(column + 1, row, axis), across);
        between(of_row(row), of_row(row + 1), down)
    })
}

/// Bilinear interpolation as a sum of hat functions, max(0, 1 - |distance|), over four by four pixels. Two by two have
/// weights, but which two hangs on rounding where the place is nearly whole: here such an error is inside the bound.
fn interpolated<T: Real>([x, y]: [T; 2], pixel: impl Fn(i64, i64) -> T) -> T {
    let hat = |place: T, i: i64| (T::ONE - (place - T::of(i as f64)).abs()).max(T::ZERO);
    let around = |place: T| {
        let first = place.to_f64().floor() as i64 - 1;
        first..first + 4
    };
    let mut sum = T::ZERO;
    for row in around(y) {
        for column in around(x) {
            sum += hat(x, column) * hat(y, row) * pixel(column, row);
        }
    }
    sum
}

impl Formula for GatherAugmented {
    type Params = Params;
    const NAME: &'static str = "gather_augmented";
    const BINDINGS: &'static [Binding] =
        &[read_words("images"), read_words("order"), read_words("control"), write("x")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: [(p.blocks * LANES as u32).div_ceil(64), p.width, 1] }
    }

    fn cost(p: &Params) -> Cost {
        let pixels = u64::from(p.blocks * p.height * p.width) * LANES as u64;
        Cost { flops: 22 * pixels, bytes: 5 * pixels }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [images, order, control, x] = slots(args);
        let (images, order, control, x) = (images.words(), order.words(), control.words(), x.real());
        let (height, width) = (p.height as usize, p.width as usize);
        let bytes: &[u8] = bytemuck::cast_slice(images);
        let mut warped = vec![T::ZERO; height * width];
        for n in 0..p.blocks as usize * LANES {
            let out = n / LANES * height * width * LANES + n % LANES;
            if n >= control[ROWS] as usize {
                (0..height * width).for_each(|i| x[out + i * LANES] = T::ZERO);
                continue;
            }
            let row = order[(control[STEP] * control[BATCH]) as usize + n];
            let image = &bytes[row as usize * height * width..][..height * width];
            warp(p, control[EPOCH], &stream(control, row), image, &mut warped);
            for column in 0..width {
                let squares = (0..height).fold(T::ZERO, |sum, y| {
                    let pixel = warped[y * width + column];
                    pixel.mul_add(pixel, sum)
                });
                for y in (0..height).map(|y| y * width + column) {
                    x[out + y * LANES] = if p.l2_columns == 0 {
                        (warped[y] - T::of(f64::from(p.mean))) / T::of(f64::from(p.divisor))
                    } else {
                        // Of whole pixels no norm is between 0 and 1; faint edges of shifted ones are not blown up.
                        warped[y] / squares.max(T::ONE).sqrt()
                    };
                }
            }
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(cpu::Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        cases()
    }
}

/// One image, its pixels from 0 to 255.
fn warp<T: Real>(p: &Params, epoch: u32, stream: &Stream, image: &[u8], warped: &mut [T]) {
    let (height, width) = (p.height as usize, p.width as usize);
    let draws = stream.words(0);
    let p = &p.of_image(epoch, &draws);
    let warp = Warp::<T>::new(p, &draws);
    let pixel = |x: i64, y: i64| {
        let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
        if inside { T::of(f64::from(image[y as usize * width + x as usize])) } else { T::ZERO }
    };
    for (i, warped) in warped.iter_mut().enumerate() {
        let (x, y) = (i % width, i / width);
        let mut source = warp.source(x, y);
        if p.elastic > 0.0 {
            let [ex, ey] = displacement(p, stream, x, y);
            source = [source[0] + ex, source[1] + ey];
        }
        *warped = if warp.erases(x, y) { T::ZERO } else { interpolated(source, pixel) };
    }
}

fn cases() -> Vec<Case<Params>> {
    let off = Params {
        blocks: 0,
        height: 0,
        width: 0,
        l2_columns: 0,
        mean: 33.318,
        divisor: 78.567,
        epochs: 4,
        share: 1.0,
        shift: 0.0,
        turn: 0.0,
        scale: 0.0,
        shear: 0.0,
        elastic: 0.0,
        spacing: 7,
        erase: 0.0,
        erase_height: 1,
        erase_width: 1,
    };
    let case =
        |name: &str, batch: usize, (height, width): (u32, u32), step: usize, total: usize, p: Params| {
            let images = 37;
            let p = Params { blocks: super::blocks(batch) as u32, height, width, ..p };
            let pixels = (height * width) as usize;
            // Strokes, of which most pixels are paper, so that edges matter.
            let byte = |i: u32| if i % 5 < 2 { 37 * i % 251 } else { 0 };
            let word = |i: u32| (0..4).fold(0, |word, k| word | byte(4 * i + k) << (8 * k));
            let buffers = vec![
                Fill::Words((0..(images * pixels).div_ceil(4) as u32).map(word).collect()),
                Fill::Words((0..total as u32).map(|i| i * 29 % images as u32).collect()),
                Fill::Words(control::start(step, 7, total, batch, 3, 0x1234_5678_9ABC_DEF0).to_vec()),
                Fill::Output(p.blocks as usize * pixels * LANES),
            ];
            Case::new(name, p, buffers)
        };
    let all = Params {
        shift: 2.5,
        turn: 0.2,
        scale: 0.2,
        shear: 0.3,
        elastic: 2.0,
        erase: 0.5,
        erase_height: 9,
        erase_width: 5,
        ..off
    };
    let (mnist, one) = ((28, 28), Params { erase_height: 1, erase_width: 1, ..all });
    vec![
        case("nothing changes", 3, (7, 5), 0, 3, off),
        case("shifted", 16, mnist, 0, 16, Params { shift: 3.0, ..off }),
        case("shifted out of sight", 5, (6, 9), 0, 5, Params { shift: 1000.0, ..off }),
        case("rotated by up to 90 degrees", 16, mnist, 0, 16, Params { turn: 1.0, ..off }),
        case("scaled and sheared", 16, (9, 14), 0, 16, Params { scale: 0.9, shear: 1.7, ..off }),
        case("elastic", 16, mnist, 0, 16, Params { elastic: 3.0, ..off }),
        case("elastic, a node for each pixel", 3, (8, 11), 0, 3, Params { elastic: 9.0, spacing: 1, ..off }),
        case("elastic, nodes far outside", 3, (8, 11), 0, 3, Params { elastic: 1.0, spacing: 40, ..off }),
        case("erased", 32, mnist, 0, 32, Params { erase: 1.0, erase_height: 28, erase_width: 28, ..off }),
        case("everything, second and ragged batch", 20, mnist, 1, 33, all),
        case("half of the images moved", 48, mnist, 0, 48, Params { share: 0.5, ..all }),
        case("no image moved", 16, mnist, 0, 16, Params { share: 0.0, ..all }),
        case("after the last epoch of changes", 16, mnist, 0, 16, Params { epochs: 3, ..all }),
        case("everything, columns by their norms", 17, (19, 23), 1, 30, Params { l2_columns: 1, ..all }),
        case("one image of one pixel", 1, (1, 1), 0, 1, one),
    ]
}
