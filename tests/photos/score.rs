//! Photos of digits, and what the built-in network says about them and about the clean digits that they show.

use anyhow::Result;
use gpu_mnist::backend::device::Device;
use gpu_mnist::data::{Images, Split};
use gpu_mnist::predict::{Options, decode, prepare};
use gpu_mnist::train::answer::answers;
use gpu_mnist::train::builtin;
use image::imageops::{FilterType, resize};

use super::generator::Scene;

/// A photo of a digit.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) label: usize,
    /// The answer to the clean digit.
    pub(crate) clean: usize,
    /// The answer to the photo, or why it was refused.
    pub(crate) photo: Result<usize, String>,
    /// The answer to the whole photo shrunk to 28x28, as much tutorial code does it.
    pub(crate) naive: usize,
}

/// How many are right.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Score {
    pub(crate) count: usize,
    pub(crate) clean: usize,
    pub(crate) photo: usize,
    pub(crate) refused: usize,
    pub(crate) naive: usize,
}

impl Score {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let count = |is: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
        Self {
            count: outcomes.len(),
            clean: count(&|outcome| outcome.clean == outcome.label),
            photo: count(&|outcome| outcome.photo.as_ref() == Ok(&outcome.label)),
            refused: count(&|outcome| outcome.photo.is_err()),
            naive: count(&|outcome| outcome.naive == outcome.label),
        }
    }
}

/// What the built-in network says about images of 28x28.
pub(crate) fn recognised(images: &[[u8; 784]]) -> Result<Vec<usize>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let images = Images::new("photos", images.len(), 28, 28, images.concat())?;
    let answers = answers(&builtin::load()?, &images, &Device::Cpu { threads: 2 })?;
    Ok(answers.iter().map(|answer| answer.digit()).collect())
}

/// Takes a photo of each of the `rows` of `split`, with seeds from `seed` on, and asks about them.
pub(crate) fn outcomes(split: &Split, rows: &[usize], seed: u64) -> Result<Vec<Outcome>> {
    let seen = in_parallel(rows.len(), |i| {
        let pixels = split.images.rows(rows[i]..rows[i] + 1);
        let photo = Scene::with_digit(seed + i as u64, pixels).encode();
        let read = decode(&photo).and_then(|picture| prepare(&picture, &Options::default(), None));
        let read = read.map(|digits| framed(&digits[0].pixels)).map_err(|error| error.to_string());
        (framed(pixels), read, shrunk(&photo))
    });
    let clean = recognised(&seen.iter().map(|(clean, ..)| *clean).collect::<Vec<_>>())?;
    let naive = recognised(&seen.iter().map(|(.., naive)| *naive).collect::<Vec<_>>())?;
    let read: Vec<[u8; 784]> = seen.iter().filter_map(|(_, read, _)| read.as_ref().ok()).copied().collect();
    let mut photos = recognised(&read)?.into_iter();
    let mut outcomes = Vec::new();
    for (i, (_, read, _)) in seen.into_iter().enumerate() {
        outcomes.push(Outcome {
            label: usize::from(split.labels[rows[i]]),
            clean: clean[i],
            photo: read.map(|_| photos.next().expect("one for each that was read")),
            naive: naive[i],
        });
    }
    Ok(outcomes)
}

pub(crate) fn framed(pixels: &[u8]) -> [u8; 784] {
    pixels.try_into().expect("28x28")
}

/// The whole picture at 28x28, inverted.
fn shrunk(photo: &[u8]) -> [u8; 784] {
    let photo = image::load_from_memory(photo).expect("was just encoded").into_luma8();
    let small = resize(&photo, 28, 28, FilterType::Triangle);
    framed(&small.pixels().map(|pixel| 255 - pixel.0[0]).collect::<Vec<_>>())
}

/// `work` of each number below `count`, in their order.
pub(crate) fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || (part..count).step_by(threads).map(|i| (i, work(i))).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<(usize, T)> =
            parts.into_iter().flat_map(|part| part.join().expect("no panic within")).collect();
        all.sort_by_key(|(i, _)| *i);
        all.into_iter().map(|(_, result)| result).collect()
    })
}
