//! Several models, or several views of each image, asked as one: their probabilities are averaged.

use super::engine::{DeviceData, Engine};
use super::evaluation::{Evaluation, softmax};
use super::model::Model;
use crate::backend::device::Device;
use crate::data::{Images, Split};
use anyhow::Result;

/// The answers of all `models` together on a split: the mean of their probabilities, and over all shifts of the images by
/// at most `shift` pixels in x and in y (0 is the image as it is alone), with paper put in. The loss is that of the mean.
///
/// # Errors
/// When the device fails, or a model does not fit the images.
///
/// # Panics
/// If there is no model, or the models have different numbers of classes.
pub fn evaluate(models: &[Model], split: &Split, shift: u32, device: &Device) -> Result<Evaluation> {
    let classes = models.first().expect("one model at least").classes;
    assert!(models.iter().all(|model| model.classes == classes), "models of different classes");
    let rows: Vec<u32> = (0..split.images.count as u32).collect();
    let views = views(&split.images, shift);
    let mut sums = vec![vec![0.0; classes]; rows.len()];
    for model in models {
        let mut engine: Option<Engine> = None;
        for (dx, dy) in &views {
            let data = DeviceData::of_images(&shifted(&split.images, *dx, *dy), &split.labels);
            let engine = match &mut engine {
                Some(engine) => {
                    engine.set_images(&data)?;
                    engine
                }
                None => engine.insert(open(model, &data, device)?),
            };
            for (sum, logits) in sums.iter_mut().zip(engine.logits(&rows, classes)?) {
                sum.iter_mut().zip(softmax(&logits)).for_each(|(sum, probability)| *sum += probability);
            }
        }
    }
    let count = (models.len() * views.len()) as f64;
    sums.iter_mut().flatten().for_each(|sum| *sum /= count);
    Ok(Evaluation::of_probabilities(&sums, &split.labels))
}

fn open(model: &Model, data: &DeviceData, device: &Device) -> Result<Engine> {
    let layers = model.layers()?;
    let mut engine = Engine::new(&model.recipe, &layers, model.classes, model.transform, data, device)?;
    engine.set_weights(&model.weights)?;
    Ok(engine)
}

/// All shifts by at most `shift` that leave something of an image, the image as it is first.
fn views(images: &Images, shift: u32) -> Vec<(i64, i64)> {
    let range = |side: usize| {
        let most = i64::from(shift).min(side as i64 - 1);
        -most..=most
    };
    let all = range(images.height).flat_map(|dy| range(images.width).map(move |dx| (dx, dy)));
    let mut views: Vec<(i64, i64)> = all.collect();
    views.sort_by_key(|&view| view != (0, 0));
    views
}

/// Every image moved right by `dx` and down by `dy`.
fn shifted(images: &Images, dx: i64, dy: i64) -> Images {
    let (height, width) = (images.height as i64, images.width as i64);
    let mut pixels = vec![0; images.pixels.len()];
    let lines = pixels.chunks_exact_mut(images.width).enumerate();
    for (line, target) in lines {
        let (image, y) = (line as i64 / height, line as i64 % height - dy);
        if !(0..height).contains(&y) {
            continue;
        }
        let source = &images.pixels[((image * height + y) * width) as usize..][..images.width];
        let (from, to) = ((-dx).max(0) as usize, dx.max(0) as usize);
        let kept = images.width - from - to;
        target[to..to + kept].copy_from_slice(&source[from..from + kept]);
    }
    Images { pixels, ..*images }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_move_and_paper_comes_in() {
        let images = Images::new("test", 2, 2, 3, (1..=12).collect()).unwrap();
        assert_eq!(shifted(&images, 0, 0), images);
        assert_eq!(shifted(&images, 1, 0).pixels, [0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11]);
        assert_eq!(shifted(&images, -2, 1).pixels, [0, 0, 0, 3, 0, 0, 0, 0, 0, 9, 0, 0]);
    }

    #[test]
    fn views_are_all_shifts_once() {
        let images = Images::new("test", 1, 2, 9, vec![0; 18]).unwrap();
        assert_eq!(views(&images, 0), [(0, 0)]);
        let views = views(&images, 2);
        assert_eq!((views.len(), views[0]), (3 * 5, (0, 0)));
    }
}
