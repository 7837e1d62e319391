//! A histogram of a tensor, between edges that are given.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::tensor_moments::not_finite;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, slots,
    write_words,
};

params! {
    /// Where the tensor lies, which of its words count, and where edges and counts lie.
    Params {
        /// First word of the tensor.
        first: u32,
        /// Its words.
        len: u32,
        /// Words of an image.
        features: u32,
        /// Images that count; `u32::MAX` where lanes are no images.
        images: u32,
        /// Bins.
        bins: u32,
        /// Pieces of the tensor, each with counts of its own.
        parts: u32,
        /// First word of the edges.
        first_edge: u32,
        /// First word of the result.
        to: u32,
    }
}

/// See the shader for the formula.
pub struct CountBins;

/// Counts one piece.
fn count<T: Real>(p: &Params, values: &[T], edges: &[T], part: usize, counts: &mut [u32]) {
    let (len, features) = (p.len as usize, p.features as usize);
    let edges = &edges[p.first_edge as usize..][..=p.bins as usize];
    let each = len.div_ceil(p.parts as usize);
    counts.fill(0);
    for i in (part * each).min(len)..((part + 1) * each).min(len) {
        let x = values[p.first as usize + i];
        let image = i / (features * LANES) * LANES + i % LANES;
        let inside = edges[0] <= x && x <= edges[p.bins as usize];
        if image < p.images as usize && x.to_f64().is_finite() && inside {
            let bin = edges[1..p.bins as usize].partition_point(|edge| *edge <= x);
            counts[bin] += 1;
        }
    }
}

impl Formula for CountBins {
    type Params = Params;
    const NAME: &'static str = "count_bins";
    const BINDINGS: &'static [Binding] = &[read_activation("values"), read("edges"), write_words("counts")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let width = match class {
            DeviceClass::Gpu => 256,
            DeviceClass::Software => 8,
        };
        Kernel { constants: vec![("WIDTH", width), ("BINS", p.bins)], grid: [p.parts, 1, 1] }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 0, bytes: 4 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [values, edges, counts] = slots(args);
        let (values, edges, bins) = (values.real(), edges.real(), p.bins as usize);
        let counts = &mut counts.words()[p.to as usize..][..p.parts as usize * bins];
        for (part, counts) in counts.chunks_exact_mut(bins).enumerate() {
            count(p, values, edges, part, counts);
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let (parts, bins, first) = (part.items(p.parts as usize, 1), p.bins as usize, p.to as usize);
        let counts = args.output_words(2, first + parts.start * bins..first + parts.end * bins);
        for (part, counts) in parts.zip(counts.chunks_exact_mut(bins)) {
            count(p, args.input(0), args.input(1), part, counts);
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str,
                    (first, len): (u32, u32),
                    (features, images): (u32, u32),
                    parts: u32,
                    values: Fill,
                    edges: Vec<f32>| {
            let bins = edges.len() as u32 - 1;
            let p = Params { first, len, features, images, bins, parts, first_edge: 2, to: 1 };
            let edges = [vec![-9.0, -8.0], edges].concat();
            let counts = Fill::OutputWords((1 + parts * bins) as usize + 3);
            Case::new(
                format!("{name}: {len} in {parts} parts, {bins} bins"),
                p,
                vec![values, Fill::Values(edges), counts],
            )
        };
        let all = (1, u32::MAX);
        let even = |low: f32, high: f32, bins: usize| -> Vec<f32> {
            (0..=bins).map(|i| low + (high - low) * i as f32 / bins as f32).collect()
        };
        let on_edges = (0..=100).map(|i| i as f32).chain([-1.0, 101.0, -0.0, 99.5]).collect();
        vec![
            case("signed", (3, 5000), all, 7, Fill::signed(5010), even(-1.0, 1.0, 100)),
            case("some outside", (0, 640), all, 3, Fill::signed(640), even(-0.5, 0.25, 10)),
            case("on the edges", (0, 105), all, 2, Fill::Values(on_edges), even(0.0, 100.0, 100)),
            case("not finite", (0, 64), all, 1, Fill::Values(not_finite(64)), even(-1e3, 1e3, 100)),
            case("ragged images", (0, 2 * 16 * 5), (5, 21), 4, Fill::signed(160), even(-1.0, 1.0, 100)),
            case("one value, one bin", (0, 1), all, 1, Fill::Values(vec![2.0]), vec![2.0, 2.0]),
            case("equal edges", (0, 33), all, 5, Fill::Values(vec![1e9; 33]), vec![1e9; 101]),
            case("more parts than values", (0, 3), all, 32, Fill::signed(3), even(-1.0, 1.0, 2)),
        ]
    }
}
