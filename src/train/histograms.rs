//! Histograms of activations, weights and gradients, once an epoch: taken, kept, and read again.
//!
//! `histograms.jsonl` in a run folder has a line for each tensor and epoch, epoch 0 being the untrained network:
//!
//! ```text
//! {"schema": 1, "epoch": 3, "kind": "activation", "layer": "dense", "tensor": "output", "function": "relu",
//!  "low": 0.0, "high": 4.1, "counts": [100 numbers], "mean": 0.3, "deviation": 0.5, "not_finite": 0, "dead": 0.02}
//! ```
//!
//! `kind` is `activation` (what a layer puts out in evaluation, for the first 512 training images; the layer `input` is the
//! images themselves), `weight` or `gradient` (of the loss of those images). `counts` are of equal bins from `low` to
//! `high`. `dead` is the share of units, or filters, that are zero for every image; absent for weights and gradients. A
//! number that is not finite is `null`.

use super::engine::Engine;
use super::folder::Folder;
use crate::error::Error;
use crate::ops::activation::Activation;
use crate::ops::control;
use crate::ops::tensor_moments::MOMENTS;
use crate::plan::inspect::{BINS, Inspection, Kind, Subject};
use crate::report::histogram::{self, Histogram};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// The file of a run folder.
pub const HISTOGRAMS: &str = "histograms.jsonl";
/// Images that are looked at: the first ones of the training set.
pub const IMAGES: usize = 512;
/// The schema of the lines.
const SCHEMA: u32 = 1;

/// The histogram of a tensor after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerHistogram {
    /// Epochs trained.
    pub epoch: usize,
    /// What is counted.
    pub kind: Kind,
    /// The layer's name.
    pub layer: String,
    /// `output`, or the name of the parameter.
    pub tensor: String,
    /// The function that made it.
    pub function: Activation,
    /// Range, bins, mean and deviation.
    #[serde(flatten)]
    pub histogram: Histogram,
    /// Share of units that are zero for every image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<f64>,
}

/// Takes the histograms of everything. Changes nothing that training reads.
///
/// # Errors
/// When the device fails.
pub fn take(
    engine: &mut Engine,
    inspection: &Inspection,
    epoch: usize,
    seed: u64,
) -> Result<Vec<LayerHistogram>> {
    let images = inspection.images;
    let order: Vec<u32> = (0..images as u32).collect();
    let backend = engine.backend();
    backend.write(inspection.feed.order, 0, &order)?;
    backend.write(inspection.feed.control, 0, &control::start(0, 0, images, images, epoch, seed))?;
    backend.run(inspection.ranges, 1)?;
    let end = |end: fn(&Subject) -> usize| inspection.subjects.last().map_or(0, end);
    let mut moments = vec![0_u32; end(|last| last.moments + last.channels * MOMENTS)];
    backend.read(inspection.moments, 0, &mut moments)?;
    let figures: Vec<Figures> = (inspection.subjects.iter())
        .map(|subject| {
            let words = &moments[subject.moments..][..subject.channels * MOMENTS];
            Figures::of(bytemuck::cast_slice(words), subject.values)
        })
        .collect();
    let edges: Vec<f32> = figures.iter().flat_map(Figures::edges).collect();
    backend.write(inspection.edges, 0, bytemuck::cast_slice(&edges))?;
    backend.run(inspection.counts, 1)?;
    let mut counts = vec![0_u32; end(|last| last.counts + last.parts * BINS)];
    backend.read(inspection.bins, 0, &mut counts)?;
    let found = inspection.subjects.iter().zip(figures).map(|(subject, figures)| {
        let pieces = &counts[subject.counts..][..subject.parts * BINS];
        let is_output = subject.kind == Kind::Activation && subject.layer != "input";
        LayerHistogram {
            epoch,
            kind: subject.kind,
            layer: subject.layer.clone(),
            tensor: subject.tensor.clone(),
            function: subject.function,
            dead: is_output.then_some(figures.dead),
            histogram: figures.histogram(pieces),
        }
    });
    Ok(found.collect())
}

/// The moments of a whole tensor.
struct Figures {
    low: f32,
    high: f32,
    mean: f64,
    deviation: f64,
    not_finite: u64,
    dead: f64,
}

impl Figures {
    /// Adds up channels. Source of the squared deviations: Chan, Golub and LeVeque, "Updating formulae and a pairwise
    /// algorithm for computing sample variances" (1979).
    fn of(moments: &[f32], values: usize) -> Self {
        let (mut low, mut high, mut dead) = (f32::MAX, f32::MIN, 0);
        let (mut count, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
        let (channels, _) = moments.as_chunks::<MOMENTS>();
        for &[least, greatest, number, sum, spread] in channels {
            let number = f64::from(number);
            if number == 0.0 {
                continue;
            }
            (low, high) = (low.min(least), high.max(greatest));
            dead += usize::from(least == 0.0 && greatest == 0.0);
            let distance = f64::from(sum) / number - mean;
            squares += f64::from(spread) + distance * distance * count * number / (count + number);
            count += number;
            mean += distance * number / count;
        }
        if count == 0.0 {
            (low, high, mean, squares) = (0.0, 1.0, f64::NAN, f64::NAN);
        } else if low == high {
            // As NumPy has it: equal values are in the middle of a range one wide.
            (low, high) = (low - 0.5, high + 0.5);
        }
        let deviation = (squares / count.max(1.0)).sqrt();
        let not_finite = values as u64 - (count as u64).min(values as u64);
        Self { low, high, mean, deviation, not_finite, dead: dead as f64 / channels.len().max(1) as f64 }
    }

    /// The edges of equal bins, rounded to f32.
    fn edges(&self) -> impl Iterator<Item = f32> {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        (0..=BINS).map(move |i| {
            let share = i as f64 / BINS as f64;
            (low * (1.0 - share) + high * share) as f32
        })
    }

    /// With the counts of all pieces.
    fn histogram(&self, pieces: &[u32]) -> Histogram {
        let mut counts = vec![0_u64; BINS];
        for piece in pieces.chunks_exact(BINS) {
            counts.iter_mut().zip(piece).for_each(|(sum, count)| *sum += u64::from(*count));
        }
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let Self { mean, deviation, not_finite, .. } = *self;
        Histogram { low, high, counts, mean, deviation, not_finite }
    }
}

/// Appends the lines of an epoch to the run's file.
///
/// # Errors
/// When it cannot be written.
pub fn append(folder: &Folder, found: &[LayerHistogram]) -> Result<()> {
    let mut text = Vec::new();
    found.iter().try_for_each(|one| line_into(&mut text, one))?;
    let path = folder.path().join(HISTOGRAMS);
    let written = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(&text));
    written.map_err(|error| anyhow::anyhow!("cannot write {}: {error}; make room", path.display()))
}

fn line_into(text: &mut Vec<u8>, one: &LayerHistogram) -> Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        schema: u32,
        #[serde(flatten)]
        one: &'a LayerHistogram,
    }
    serde_json::to_writer(&mut *text, &Line { schema: SCHEMA, one })?;
    text.push(b'\n');
    Ok(())
}

/// Everything that a run's file holds; nothing if there is none. A last line that a killed program left unfinished is
/// passed over.
///
/// # Errors
/// [`Error::BadFile`] when a whole line is something else.
pub fn read(folder: &Path) -> Result<Vec<LayerHistogram>> {
    let path = folder.join(HISTOGRAMS);
    let bad =
        |what: String| Error::BadFile(format!("{}: {what}; remove the file, or train anew", path.display()));
    let Ok(file) = fs::File::open(&path) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| bad(format!("cannot be read ({error})")))?;
        match serde_json::from_slice(&line) {
            Ok(one) => found.push(one),
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(bad(format!("line {} is no histogram ({error})", number + 1)).into()),
        }
    }
    Ok(found)
}

/// Drops the lines of epochs after `epoch`: training goes on from there and will make them again.
///
/// # Errors
/// When the file cannot be read or written.
pub fn truncate(folder: &Folder, epoch: usize) -> Result<()> {
    let mut text = Vec::new();
    for one in read(folder.path())?.iter().filter(|one| one.epoch <= epoch) {
        line_into(&mut text, one)?;
    }
    folder.write(HISTOGRAMS, &text)
}

/// The bins and moments of `values`, as [`take`] finds them on a device: for tests.
pub fn expected(values: &[f32]) -> Histogram {
    histogram::bins(values, BINS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(parts: &[&[f32]]) -> Figures {
        let moments = |values: &&[f32]| {
            let sum: f32 = values.iter().sum();
            let mean = sum / values.len() as f32;
            let fold = |f: fn(f32, f32) -> f32| values.iter().copied().reduce(f).unwrap_or(0.0);
            let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            [fold(f32::min), fold(f32::max), values.len() as f32, sum, squares]
        };
        let all: Vec<f32> = parts.iter().flat_map(moments).collect();
        Figures::of(&all, parts.iter().map(|part| part.len()).sum::<usize>() + 2)
    }

    #[test]
    fn channels_add_up_to_the_whole() {
        let found = figures(&[&[1.0, 2.0, 3.0], &[0.0; 4], &[-7.0]]);
        let whole = expected(&[1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, -7.0]);
        assert_eq!((found.low, found.high, found.not_finite), (-7.0, 3.0, 2));
        assert!((found.mean - whole.mean).abs() < 1e-12 && (found.deviation - whole.deviation).abs() < 1e-12);
        assert!((found.dead - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn edges_ascend_and_end_where_the_values_do() {
        for (low, high) in [(-1.0, 3.0), (f32::MIN, f32::MAX), (1.0, 1.0000001), (0.0, 1e-44), (1e30, 1e30)] {
            let edges: Vec<f32> = figures(&[&[low, high]]).edges().collect();
            assert!(edges.len() == BINS + 1 && edges.is_sorted(), "{edges:?}");
            if low < high {
                assert_eq!((edges[0], edges[BINS]), (low, high));
            }
        }
    }
}
