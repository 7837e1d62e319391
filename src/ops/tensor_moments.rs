//! Range, mean and spread of each channel of a tensor: what histograms and the figures of layers start from.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read_activation, slots, write,
};

params! {
    /// Where the tensor lies, and which of its words count.
    Params {
        /// First word of the tensor.
        first: u32,
        /// Its words.
        len: u32,
        /// Channels.
        channels: u32,
        /// Runs of words of a channel: blocks of 16 images.
        blocks: u32,
        /// Words of a run: the pixels of a channel, 16 images innermost.
        each: u32,
        /// Images that count; `u32::MAX` where lanes are no images.
        images: u32,
        /// First word of the result.
        to: u32,
    }
}

/// Words of a channel's result: low, high, count, sum, squares.
pub const MOMENTS: usize = 5;

/// See the shader for the formula.
pub struct TensorMoments;

/// Words whose values are added before the sums are: long sums of f32 would lose digits.
const TOGETHER: usize = 16 * LANES;

/// The places of a channel that count, by pieces of its runs, which begin with the first lane.
fn runs<'a, T>(
    p: &'a Params,
    values: &'a [T],
    channel: usize,
) -> impl Iterator<Item = (usize, &'a [T])> + Clone {
    let (channels, each, len) = (p.channels as usize, p.each as usize, p.len as usize);
    (0..p.blocks as usize).flat_map(move |block| {
        let start = (block * channels + channel) * each;
        let run = start.min(len)..(start + each).min(len);
        let run = &values[p.first as usize + run.start..p.first as usize + run.end];
        run.chunks(TOGETHER).map(move |piece| (block, piece))
    })
}

/// The finite values of a piece that are of images that count.
fn counted<T: Real>(p: &Params, block: usize, run: &[T]) -> impl Iterator<Item = T> {
    let images = (p.images as usize).saturating_sub(block * LANES);
    let counts = move |(i, x): (usize, &T)| (i % LANES < images && x.to_f64().is_finite()).then_some(*x);
    run.iter().enumerate().filter_map(counts)
}

/// The result of one channel.
fn moments<T: Real>(p: &Params, values: &[T], channel: usize) -> [T; MOMENTS] {
    let (mut low, mut high) = (T::of(f64::from(f32::MAX)), T::of(f64::from(f32::MIN)));
    let (mut count, mut sum, mut squares) = (0_u32, T::ZERO, T::ZERO);
    for (block, run) in runs(p, values, channel) {
        let mut part = T::ZERO;
        for x in counted(p, block, run) {
            low = if x < low { x } else { low };
            high = if x > high { x } else { high };
            count += 1;
            part += x;
        }
        sum += part;
    }
    let mean = sum / T::of(f64::from(count.max(1)));
    for (block, run) in runs(p, values, channel) {
        let deviations = counted(p, block, run).map(|x| x - mean);
        squares += deviations.fold(T::ZERO, |part, deviation| part + deviation * deviation);
    }
    [low, high, T::of(f64::from(count)), sum, squares]
}

impl Formula for TensorMoments {
    type Params = Params;
    const NAME: &'static str = "tensor_moments";
    const BINDINGS: &'static [Binding] = &[read_activation("values"), write("moments")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let width = match class {
            DeviceClass::Gpu => 256,
            DeviceClass::Software => 8,
        };
        Kernel { constants: vec![("WIDTH", width)], grid: [p.channels, 1, 1] }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 4 * u64::from(p.len), bytes: 8 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [values, results] = slots(args);
        let (values, results) = (values.real(), results.real());
        for channel in 0..p.channels as usize {
            let to = p.to as usize + channel * MOMENTS;
            results[to..to + MOMENTS].copy_from_slice(&moments(p, values, channel));
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let channels = part.items(p.channels as usize, 1);
        let first = p.to as usize;
        let results = args.output(1, first + channels.start * MOMENTS..first + channels.end * MOMENTS);
        for (channel, result) in channels.zip(results.as_chunks_mut::<MOMENTS>().0) {
            *result = moments(p, args.input(0), channel);
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let activations = |name: &str, images: u32, channels: u32, pixels: u32, first: u32, values: Fill| {
            let (blocks, each) = (images.div_ceil(LANES as u32), pixels * LANES as u32);
            let p = Params { first, len: blocks * channels * each, channels, blocks, each, images, to: 3 };
            let name = format!("{name}: {images} images of {channels} channels of {pixels}");
            Case::new(name, p, vec![values, Fill::Output(3 + channels as usize * MOMENTS + 2)])
        };
        let flat = |len: u32, channels: u32, first: u32| {
            let p = Params {
                first,
                len,
                channels,
                blocks: 1,
                each: len.div_ceil(channels),
                images: u32::MAX,
                to: 0,
            };
            let values = Fill::Uniform((first + len) as usize + 7, -0.2, 0.1);
            Case::new(
                format!("{len} weights in {channels} parts"),
                p,
                vec![values, Fill::Output(channels as usize * MOMENTS)],
            )
        };
        vec![
            activations("full blocks", 32, 5, 9, 0, Fill::signed(32 * 45)),
            activations("ragged, far from zero", 21, 3, 1, 5, Fill::Uniform(5 + 32 * 3, 99.0, 101.0)),
            activations("one image", 1, 1, 70, 0, Fill::signed(16 * 70)),
            activations("not finite", 16, 2, 2, 0, Fill::Values(not_finite(64))),
            activations("zeros", 17, 2, 3, 0, Fill::Values(vec![0.0; 192])),
            flat(1009, 4, 13),
            flat(5, 8, 0),
            flat(1, 1, 2),
        ]
    }
}

/// Ordinary numbers with what is none among them; the second channel of two has nothing else.
pub(super) fn not_finite(len: usize) -> Vec<f32> {
    let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let value = |i: usize| if i.is_multiple_of(5) || i >= len / 2 { strange[i % 3] } else { i as f32 - 11.5 };
    (0..len).map(value).collect()
}
