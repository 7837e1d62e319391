//! What must not change the answer.

use anyhow::Result;
use gpu_mnist::data::DataSet;
use gpu_mnist::predict::{Invert, Options, Picture, Prepared, decode, prepare};
use image::{DynamicImage, GrayImage, ImageEncoder, ImageFormat, Luma, Rgba, RgbaImage};

use super::generator::{Scene, encode};
use super::score::{framed, recognised};

/// The first twenty test digits hold all ten classes.
const DIGITS: usize = 20;

fn one(picture: &Picture) -> Result<Prepared> {
    Ok(prepare(picture, &Options::default(), None)?.remove(0))
}

fn gray(picture: &GrayImage) -> Result<Picture> {
    Picture::from_gray(picture.width() as usize, picture.height() as usize, picture.as_raw())
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Asserts that the built-in network gives one answer to all of each row.
fn same_answers(rows: &[Vec<Vec<u8>>]) -> Result<()> {
    let images: Vec<[u8; 784]> = rows.iter().flatten().map(|pixels| framed(pixels)).collect();
    let mut answers = recognised(&images)?.into_iter();
    for (i, row) in rows.iter().enumerate() {
        let own: Vec<usize> = answers.by_ref().take(row.len()).collect();
        assert!(own.iter().all(|answer| *answer == own[0]), "{i}: {own:?}");
    }
    Ok(())
}

/// Mean difference in grey levels, over the pixels that are ink in either.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    let ink = a.iter().zip(b).filter(|(a, b)| **a > 0 || **b > 0);
    let sum: u32 = ink.clone().map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
    f64::from(sum) / ink.count().max(1) as f64
}

/// The same where `b` may lie a pixel beside `a`: digits are placed by whole pixels, and where the centre of mass is on the
/// border between two, a hair decides.
fn difference_but_for_a_pixel(a: &[u8], b: &[u8]) -> f64 {
    let moved = |dx: i32, dy: i32| -> Vec<u8> {
        let at = |x: i32, y: i32| {
            if (0..28).contains(&x) && (0..28).contains(&y) { b[(y * 28 + x) as usize] } else { 0 }
        };
        (0..784).map(|i| at(i % 28 + dx, i / 28 + dy)).collect()
    };
    let moves = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (dx, dy)));
    moves.map(|(dx, dy)| difference(a, &moved(dx, dy))).fold(f64::INFINITY, f64::min)
}

/// A clean drawing of test digit `row`, black on white.
fn drawing(data: &DataSet, row: usize, side: usize, centre: (f64, f64), scale: f64) -> GrayImage {
    let mut scene = Scene::with_digit(row as u64, data.test.images.rows(row..row + 1));
    (scene.width, scene.height) = (side, side);
    (scene.paper, scene.ink) = ([255.0; 3], [0.0; 3]);
    (scene.shadow, scene.ruling, scene.gradient) = (None, None, (0.0, 0.0));
    (scene.wobble, scene.blur, scene.noise, scene.negative) = (0.0, 0.0, 0.0, false);
    let digit = &mut scene.digits[0];
    (digit.centre, digit.scale, digit.rotation, digit.edge) = (centre, scale, 0.0, 0.4);
    DynamicImage::from(scene.render()).into_luma8()
}

/// Every image of the test set, exported as PNG and read again, is the same bytes; so the network gives the same
/// answer.
#[test]
fn all_test_digits_pass_through_unchanged() -> Result<()> {
    let data = DataSet::embedded()?;
    for row in 0..data.test.images.count {
        let pixels = data.test.images.rows(row..row + 1);
        let exported = png(&GrayImage::from_raw(28, 28, pixels.to_vec()).expect("sizes agree").into())?;
        assert_eq!(one(&decode(&exported)?)?.pixels, pixels, "{row}");
        let negative: Vec<u8> = pixels.iter().map(|p| 255 - p).collect();
        assert_eq!(one(&Picture::from_gray(28, 28, &negative)?)?.pixels, pixels, "{row}");
    }
    Ok(())
}

#[test]
fn a_file_of_a_test_digit_passes_through_unchanged_in_every_lossless_form() -> Result<()> {
    let data = DataSet::embedded()?;
    let pixels = data.test.images.rows(0..1);
    let picture = GrayImage::from_raw(28, 28, pixels.to_vec()).expect("sizes agree");
    let forms = [
        DynamicImage::from(picture.clone()),
        DynamicImage::from(picture.clone()).into_rgb8().into(),
        DynamicImage::from(picture.clone()).into_rgba8().into(),
        DynamicImage::from(picture).into_luma16().into(),
    ];
    for form in forms {
        assert_eq!(one(&decode(&png(&form)?)?)?.pixels, pixels);
        if form.color().bits_per_pixel() < 33
            && !form.color().has_alpha()
            && form.color().channel_count() == 3
        {
            for format in [ImageFormat::Bmp, ImageFormat::WebP] {
                let mut bytes = std::io::Cursor::new(Vec::new());
                form.write_to(&mut bytes, format)?;
                assert_eq!(one(&decode(&bytes.into_inner())?)?.pixels, pixels, "{format:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_negative_is_the_same_picture() -> Result<()> {
    let data = DataSet::embedded()?;
    let mut rows = Vec::new();
    for row in 0..DIGITS {
        let mut scene = Scene::with_digit(row as u64, data.test.images.rows(row..row + 1));
        scene.negative = false;
        let picture = scene.render();
        let mut negative = picture.clone();
        negative.pixels_mut().flat_map(|pixel| &mut pixel.0).for_each(|v| *v = 255 - *v);
        let positive = one(&decode(&encode(&picture, None))?)?;
        let negative = decode(&encode(&negative, None))?;
        assert!(difference(&positive.pixels, &one(&negative)?.pixels) < 2.0, "{row}");
        let told = Options { invert: Invert::No, ..Options::default() };
        assert!(difference(&positive.pixels, &prepare(&negative, &told, None)?[0].pixels) < 2.0, "{row}");
        rows.push(vec![positive.pixels, one(&negative)?.pixels]);
    }
    same_answers(&rows)
}

#[test]
fn place_does_not_matter() -> Result<()> {
    let data = DataSet::embedded()?;
    let mut rows = Vec::new();
    for row in 0..DIGITS {
        let centres = [(200.0, 200.0), (90.0, 307.0), (311.0, 92.0), (95.0, 95.0)];
        let all: Vec<Vec<u8>> = centres
            .iter()
            .map(|&centre| Ok(one(&gray(&drawing(&data, row, 400, centre, 5.0))?)?.pixels))
            .collect::<Result<_>>()?;
        for pixels in &all[1..] {
            assert!(difference(&all[0], pixels) < 2.0, "{row}: {}", difference(&all[0], pixels));
        }
        rows.push(all);
    }
    same_answers(&rows)
}

#[test]
fn size_does_not_matter() -> Result<()> {
    let data = DataSet::embedded()?;
    let mut rows = Vec::new();
    for row in 0..DIGITS {
        let middle = (400.0, 400.0);
        let reference = one(&gray(&drawing(&data, row, 800, middle, 12.0))?)?.pixels;
        let mut all = vec![reference.clone()];
        for scale in [4.0, 7.0, 17.0, 25.0] {
            let pixels = one(&gray(&drawing(&data, row, 800, middle, scale))?)?.pixels;
            let difference = difference_but_for_a_pixel(&reference, &pixels);
            assert!(difference < 16.0, "{row} at {scale}: {difference}");
            all.push(pixels);
        }
        rows.push(all);
    }
    same_answers(&rows)
}

#[test]
fn the_frame_is_that_of_mnist() -> Result<()> {
    let data = DataSet::embedded()?;
    for row in 0..100 {
        let scene = Scene::with_digit(row as u64, data.test.images.rows(row..row + 1));
        let pixels = one(&decode(&scene.encode())?)?.pixels;
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for (i, &pixel) in pixels.iter().enumerate() {
            sum += f64::from(pixel);
            x += f64::from(pixel) * (i % 28) as f64;
            y += f64::from(pixel) * (i / 28) as f64;
        }
        let inside = |centre: f64| (13.5..=14.5).contains(&(centre / sum));
        assert!(inside(x) && inside(y), "{row}: {} {}", x / sum, y / sum);
        let rows: Vec<usize> = (0..784).filter(|&i| pixels[i] > 0).map(|i| i / 28).collect();
        let columns: Vec<usize> = (0..784).filter(|&i| pixels[i] > 0).map(|i| i % 28).collect();
        let extent = |all: &[usize]| all.iter().max().unwrap_or(&0) - all.iter().min().unwrap_or(&0) + 1;
        let longest = extent(&rows).max(extent(&columns));
        assert!((19..=20).contains(&longest), "{row}: {longest}");
        assert_eq!(pixels.iter().max(), Some(&255), "{row}");
        assert_eq!(one(&Picture::from_gray(28, 28, &pixels)?)?.pixels, pixels, "{row}");
    }
    Ok(())
}

#[test]
fn bounds_are_those_of_the_digit_in_the_file() -> Result<()> {
    let data = DataSet::embedded()?;
    let small = drawing(&data, 0, 400, (120.0, 260.0), 5.0);
    for times in [1, 6] {
        let picture = image::imageops::resize(&small, 400 * times, 400 * times, image::imageops::Nearest);
        let (x, y, width, height) = one(&gray(&picture)?)?.bounds;
        let inked: Vec<(u32, u32)> =
            picture.enumerate_pixels().filter(|(.., p)| p.0[0] < 128).map(|(x, y, _)| (x, y)).collect();
        let range = |all: Vec<u32>| (*all.iter().min().unwrap_or(&0), *all.iter().max().unwrap_or(&0));
        let (left, right) = range(inked.iter().map(|p| p.0).collect());
        let (top, bottom) = range(inked.iter().map(|p| p.1).collect());
        let near = |a: u32, b: u32| a.abs_diff(b) <= 2 * times;
        assert!(near(x, left) && near(y, top), "{x} {y}, {left} {top}");
        assert!(near(x + width, right + 1) && near(y + height, bottom + 1));
    }
    Ok(())
}

#[test]
fn transparency_is_paper_whatever_the_ink() -> Result<()> {
    let data = DataSet::embedded()?;
    let drawn = drawing(&data, 2, 300, (150.0, 150.0), 8.0);
    let reference = one(&gray(&drawn)?)?.pixels;
    for ink in [[0, 0, 0], [255, 255, 255], [200, 30, 30]] {
        let [red, green, blue] = ink;
        let picture = RgbaImage::from_fn(300, 300, |x, y| {
            let Luma([light]) = *drawn.get_pixel(x, y);
            Rgba([red, green, blue, 255 - light])
        });
        let read = one(&decode(&png(&picture.into())?)?)?;
        assert!(difference(&reference, &read.pixels) < 8.0, "{ink:?}");
    }
    Ok(())
}

#[test]
fn pens_of_any_colour_are_read() -> Result<()> {
    let data = DataSet::embedded()?;
    let drawn = drawing(&data, 3, 300, (150.0, 150.0), 8.0);
    let reference = one(&gray(&drawn)?)?.pixels;
    for ink in [[1.0, 0.9, 0.1], [0.2, 0.8, 0.9], [1.0, 0.5, 0.7], [0.1, 0.1, 0.6]] {
        let picture = image::RgbImage::from_fn(300, 300, |x, y| {
            let pen = f64::from(255 - drawn.get_pixel(x, y).0[0]) / 255.0;
            image::Rgb(ink.map(|reflected: f64| (250.0 * (1.0 - pen * (1.0 - reflected))) as u8))
        });
        let read = one(&decode(&encode(&picture, None))?)?;
        assert!(difference(&reference, &read.pixels) < 8.0, "{ink:?}");
    }
    Ok(())
}

/// The eight orientations of EXIF: turning a picture and saying so gives the picture.
#[test]
fn exif_turns_the_picture_the_right_way_up() -> Result<()> {
    use image::metadata::Orientation;
    let data = DataSet::embedded()?;
    let drawn = DynamicImage::from(drawing(&data, 4, 300, (120.0, 170.0), 7.0));
    let reference = one(&gray(drawn.as_luma8().expect("is grey"))?)?.pixels;
    for (tag, undone_by) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)] {
        let mut turned = drawn.clone();
        turned.apply_orientation(Orientation::from_exif(undone_by).expect("is one of eight"));
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100);
        let exif = [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[tag, 0, 0, 0, 0, 0, 0, 0]];
        encoder.set_exif_metadata(exif.concat())?;
        let gray = turned.to_luma8();
        encoder.write_image(gray.as_raw(), 300, 300, image::ExtendedColorType::L8)?;
        let read = one(&decode(&bytes)?)?;
        assert!(difference(&reference, &read.pixels) < 8.0, "{tag}");
    }
    Ok(())
}

#[test]
fn other_sizes_have_their_own_frame() -> Result<()> {
    let data = DataSet::embedded()?;
    let picture = gray(&drawing(&data, 0, 400, (120.0, 260.0), 5.0))?;
    for size in [(64, 64), (32, 20), (1, 1), (8, 28)] {
        let read = prepare(&picture, &Options { size, ..Options::default() }, None)?;
        assert_eq!(read[0].pixels.len(), size.0 * size.1);
        assert!(read[0].pixels.contains(&255));
    }
    Ok(())
}

#[test]
fn each_stage_can_be_looked_at() -> Result<()> {
    let data = DataSet::embedded()?;
    let mut stages = Vec::new();
    let picture = decode(&Scene::with_digit(9, data.test.images.rows(9..10)).encode())?;
    let read = prepare(&picture, &Options::default(), Some(&mut stages))?;
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert!(names.len() >= 8 && names[0] == "01-picture", "{names:?}");
    assert_eq!(stages[stages.len() - 1].image.as_raw(), &read[0].pixels);
    Ok(())
}
