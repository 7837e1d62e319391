//! Pictures, pages and event files, read back by readers that are not ours.

mod common;

use common::tensorboard;
use std::io::Read;
use std::path::Path;

use gpu_mnist::report::filters::Filters;
use gpu_mnist::report::histogram::{HistogramGrid, bins};
use gpu_mnist::report::layers::LayerSeries;
use gpu_mnist::report::plot::Curve;
use gpu_mnist::report::run::{compare, save};
use gpu_mnist::report::sheet::{Mistake, Tile, contact};
use gpu_mnist::report::tensorboard::EventWriter;
use gpu_mnist::report::{Run, Table, Theme, png};
use roxmltree::{Document, ParsingOptions};

const NASTY: &str = "<b>&amp;\"'\u{0}\u{1b}[31m]]> -- 手 \u{fffe}";

/// A run with everything in it, whose curves have `values` and whose every text is `name`.
fn run(name: &str, values: &[f64]) -> Run {
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(x, &y)| (x as f64, y)).collect();
    let numbers: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let text = || name.to_owned();
    let curves = || vec![Curve::new(name, points.clone()), Curve::new(name, points.clone())];
    let grid = || {
        let cells = vec![vec![Some(bins(&numbers, 100)), None]; 2];
        Some(HistogramGrid { title: text(), columns: vec![text(); 2], rows: vec![text(); 2], cells })
    };
    let mut summary = Table::new(&[name, name]);
    summary.row([name, name]);
    Run {
        name: text(),
        facts: vec![(text(), text())],
        summary: Some(summary),
        x_label: text(),
        loss: curves(),
        accuracy: curves(),
        class_names: vec![text(); 2],
        confusion: vec![vec![5, u64::from(u32::MAX)], vec![0]],
        mistakes: vec![Mistake {
            pixels: vec![0, 128, 255, 7, 8, 9],
            height: 2,
            width: 3,
            label: 0,
            answer: 9,
            probability: values.first().copied().unwrap_or(f64::NAN),
            index: 3,
        }],
        filters: Some(Filters {
            layer: text(),
            height: 1,
            width: numbers.len(),
            weights: vec![numbers.clone(); 3],
        }),
        activations: grid(),
        weights: grid(),
        gradients: grid(),
        layers: vec![LayerSeries {
            layer: text(),
            mean: points.clone(),
            deviation: points.clone(),
            dead: points,
        }],
    }
}

fn hostile_values() -> Vec<Vec<f64>> {
    vec![
        vec![],
        vec![0.5],
        vec![0.0; 5],
        vec![f64::NAN; 3],
        vec![1.0, f64::NAN, f64::INFINITY, 2.0],
        vec![f64::MIN, f64::MAX, f64::NEG_INFINITY],
        vec![5e-324, 1e-300],
        (0..3000).map(|x| f64::from(x).sin()).collect(),
    ]
}

/// Every attribute that places something is a list of finite numbers, none beyond the page by much.
fn assert_sound(svg: &str) {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let places = [
        "x",
        "y",
        "width",
        "height",
        "cx",
        "cy",
        "r",
        "d",
        "viewBox",
        "transform",
        "font-size",
        "stroke-width",
    ];
    let size = |name| document.root_element().attribute(name).and_then(|text| text.parse::<f64>().ok());
    let page = size("width").expect("has a width").max(size("height").expect("has a height"));
    for node in document.descendants() {
        for attribute in node.attributes().filter(|attribute| places.contains(&attribute.name())) {
            let text = attribute.value().replace("rotate", " ");
            let numbers =
                text.split(|letter: char| " ,()MLHVZ".contains(letter)).filter(|part| !part.is_empty());
            for number in numbers {
                let value: f64 = number.parse().unwrap_or_else(|_| panic!("{number:?} in {attribute:?}"));
                assert!(value.is_finite() && value.abs() < 2.0 * page, "{value} in {attribute:?}");
            }
        }
    }
}

#[test]
fn every_svg_is_well_formed_and_finite_whatever_the_data() {
    for values in hostile_values() {
        for (name, picture) in run(NASTY, &values).pictures() {
            for theme in Theme::ALL {
                let svg = picture.svg(theme);
                assert_sound(&svg);
                assert!(!svg.contains("<b>"), "{name}: a name became markup");
            }
        }
    }
}

#[test]
fn every_kind_of_picture_is_in_a_run_with_everything() {
    let names: Vec<&str> = run("run", &[1.0, 0.5]).pictures().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["history", "confusion", "mistakes", "filters", "activations", "weights", "gradients", "layers"]
    );
    assert!(Run::default().pictures().is_empty());
}

#[test]
fn a_page_is_well_formed_and_loads_nothing() {
    let runs: Vec<Run> = hostile_values().iter().map(|values| run(NASTY, values)).collect();
    for html in
        [runs[1].page().html(), compare(&runs).html(), Run::default().page().html(), compare(&[]).html()]
    {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(&html, options).expect("is well-formed");
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            assert!(!["script", "link", "iframe", "img"].contains(&node.tag_name().name()), "{node:?}");
            for attribute in node.attributes().filter(|attribute| ["href", "src"].contains(&attribute.name()))
            {
                let inside = attribute.value().starts_with("data:image/png;base64,")
                    || attribute.value().starts_with('#');
                assert!(inside, "{attribute:?} is loaded from elsewhere");
            }
        }
        assert!(!html.contains("url(") && !html.contains("@import"));
        assert!(html.contains("prefers-color-scheme: dark"));
    }
}

#[test]
fn a_page_shows_both_themes_of_each_picture() {
    let run = run("run", &[1.0, 0.5]);
    let html = run.page().html();
    assert_eq!(html.matches("<div class=\"light\"><svg").count(), run.pictures().len());
    assert_eq!(html.matches("<div class=\"dark\"><svg").count(), run.pictures().len());
}

#[test]
fn a_run_survives_json_with_nan_in_it() {
    let before = run(NASTY, &[0.5, f64::NAN, 0.25]);
    let text = serde_json::to_string(&before).expect("is plain data");
    let after: Run = serde_json::from_str(&text).expect("is what we wrote");
    assert!(after.loss[0].points[1].1.is_nan());
    assert_eq!(serde_json::to_string(&after).expect("is plain data"), text);
    assert_eq!(serde_json::from_str::<Run>("{}").expect("everything has a default"), Run::default());
}

/// The chunks of a PNG, with their checksums looked at.
fn chunks(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
    let mut rest = &file[8..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        let mut crc = flate2::Crc::new();
        crc.update(&rest[4..8 + length]);
        assert_eq!(rest[8 + length..12 + length], crc.sum().to_be_bytes());
        found.push((String::from_utf8_lossy(&rest[4..8]).into_owned(), rest[8..8 + length].to_vec()));
        rest = &rest[12 + length..];
    }
    found
}

/// Width, height and the pixels of a PNG of ours: 8-bit RGB, every row filtered "up".
fn pixels(file: &[u8]) -> (usize, usize, Vec<[u8; 3]>) {
    let chunks = chunks(file);
    let names: Vec<&str> = chunks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["IHDR", "IDAT", "IEND"]);
    let side =
        |at: usize| u32::from_be_bytes(chunks[0].1[at..at + 4].try_into().expect("four bytes")) as usize;
    let (width, height) = (side(0), side(4));
    assert_eq!(chunks[0].1[8..], [8, 2, 0, 0, 0]);
    let mut data = Vec::new();
    flate2::read::ZlibDecoder::new(chunks[1].1.as_slice()).read_to_end(&mut data).expect("is zlib");
    assert_eq!(data.len(), height * (width * 3 + 1));
    let mut above = vec![0u8; width * 3];
    let mut found = Vec::new();
    for row in data.chunks(width * 3 + 1) {
        assert_eq!(row[0], 2);
        above.iter_mut().zip(&row[1..]).for_each(|(up, byte)| *up = up.wrapping_add(*byte));
        found.extend(above.chunks(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]));
    }
    (width, height, found)
}

#[test]
fn a_png_gives_back_the_pixels() {
    let rgb: Vec<u8> = (0..5 * 4 * 3).map(|byte| (byte * 37 % 256) as u8).collect();
    let (width, height, found) = pixels(&png::encode(5, 4, &rgb));
    assert_eq!((width, height, found.concat()), (5, 4, rgb));
}

#[test]
fn a_rasterised_image_has_its_colours_in_its_places() {
    let tile =
        Tile { pixels: &[255, 0, 0, 255], height: 2, width: 2, lines: vec!["7".to_owned()], marked: false };
    let picture = contact("title", "description", &[tile], 1);
    for (theme, page) in [(&Theme::LIGHT, [255; 3]), (&Theme::DARK, [13, 17, 23])] {
        let (width, height, found) = pixels(&picture.png(theme, 2.0).expect("is small"));
        assert_eq!((width as f64, height as f64), (2.0 * picture.size().0, 2.0 * picture.size().1));
        assert_eq!(found[0], page);
        // The tile is 84 wide at (20, 64): each pixel of the image covers 84 pixels of the file.
        let at = |x: usize, y: usize| found[(128 + y) * width + 40 + x];
        assert_eq!((at(42, 42), at(126, 42)), (at(126, 126), at(42, 126)));
        assert_ne!(at(42, 42), at(126, 42));
        let text = found
            .iter()
            .filter(|&&pixel| pixel != page && pixel != at(42, 42) && pixel != at(126, 42))
            .count();
        assert!(text > 400, "titles were drawn: {text} pixels");
    }
}

#[test]
fn every_picture_becomes_four_files() {
    let folder = tempfile::tempdir().expect("can be made");
    let pictures = run("run", &[1.0, f64::NAN, 0.5]).pictures();
    save(folder.path(), &pictures).expect("has room");
    for (name, _) in &pictures {
        for theme in ["light", "dark"] {
            let svg = std::fs::read_to_string(folder.path().join(format!("{name}-{theme}.svg")))
                .expect("was written");
            assert_sound(&svg);
            pixels(&std::fs::read(folder.path().join(format!("{name}-{theme}.png"))).expect("was written"));
        }
    }
    std::fs::write(folder.path().join("file"), "").expect("has room");
    let error = save(&folder.path().join("file"), &pictures).expect_err("is no folder").to_string();
    assert!(error.contains("file") && error.contains("check that"), "{error}");
}

fn write_events(folder: &Path) {
    let mut writer = EventWriter::create(folder, 1.0e9).expect("can be written");
    for step in 0..5u64 {
        writer
            .scalar(1.0e9 + step as f64, step, "loss/training", 2.0f64.powi(-(step as i32)))
            .expect("has room");
    }
    writer.scalar(1.0e9, 1 << 40, "accuracy/validation 手", 0.875).expect("has room");
    let histogram = bins(&[0.0, 1.0, 1.0, 2.0, 4.0, f32::NAN], 4);
    writer.histogram(1.0e9, 3, "dense 1/activations", &histogram).expect("has room");
    writer.flush().expect("has room");
}

#[test]
fn tensorboard_reads_what_was_written() {
    if !tensorboard::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("can be made");
    write_events(folder.path());
    let found = tensorboard::read(folder.path());
    let losses = serde_json::json!([
        [0, 1.0e9, 1.0],
        [1, 1.0e9 + 1.0, 0.5],
        [2, 1.0e9 + 2.0, 0.25],
        [3, 1.0e9 + 3.0, 0.125],
        [4, 1.0e9 + 4.0, 0.0625]
    ]);
    assert_eq!(found["scalars"]["loss/training"], losses);
    assert_eq!(found["scalars"]["accuracy/validation 手"], serde_json::json!([[1u64 << 40, 1.0e9, 0.875]]));
    let histogram = &found["histograms"]["dense 1/activations"][0];
    let figures: Vec<f64> = (0..6).map(|index| histogram[index].as_f64().expect("is a number")).collect();
    assert_eq!(figures[..4], [3.0, 0.0, 4.0, 5.0]);
    assert!((figures[4] - 8.0).abs() < 1e-9 && (figures[5] - 22.0).abs() < 1e-9, "{figures:?}");
    assert_eq!(histogram[6], serde_json::json!([1.0, 2.0, 3.0, 4.0]));
    assert_eq!(histogram[7], serde_json::json!([1.0, 2.0, 1.0, 1.0]));
}

/// The reader checks the checksums, so the test above says something about them.
#[test]
fn tensorboard_does_not_read_a_damaged_record() {
    if !tensorboard::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("can be made");
    write_events(folder.path());
    let path = std::fs::read_dir(folder.path())
        .expect("is there")
        .next()
        .expect("has a file")
        .expect("is there")
        .path();
    let mut bytes = std::fs::read(&path).expect("was written");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("has room");
    let found = tensorboard::read(folder.path());
    assert!(found["histograms"].as_object().expect("is an object").is_empty(), "{found}");
}
