//! No picture lets a label run into another or off the page, whatever the data are.

use super::confusion;
use super::filters::{self, Filters};
use super::histogram::{self, HistogramGrid, bins};
use super::layers::{self, LayerSeries};
use super::picture::{Anchor, Area, Letters, Picture, Shape};
use super::plot::{self, Curve, LinePlot, NAMED};
use super::sheet::{self, Mistake};

/// From the ascent of digits to the baseline; descenders and overshoot are let be.
fn extent(x: f64, y: f64, text: &str, letters: Letters) -> Area {
    let (long, high) = (letters.measure(text), letters.size * 0.71);
    let back = match letters.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => long / 2.0,
        Anchor::End => long,
    };
    if letters.upwards {
        Area::new(x - high, y + back - long, high, long)
    } else {
        Area::new(x - back, y - high, long, high)
    }
}

fn problems(picture: &Picture) -> Vec<String> {
    let texts: Vec<(&str, Area)> = picture
        .shapes
        .iter()
        .filter_map(|shape| match shape {
            Shape::Text { x, y, text, letters } => Some((text.as_str(), extent(*x, *y, text, *letters))),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for (index, (text, area)) in texts.iter().enumerate() {
        if area.x < 0.0 || area.y < 0.0 || area.right() > picture.width || area.bottom() > picture.height {
            found.push(format!("{text:?} leaves the page: {area:?}"));
        }
        for (other, at) in &texts[index + 1..] {
            let apart = area.right() <= at.x
                || at.right() <= area.x
                || area.bottom() <= at.y
                || at.bottom() <= area.y;
            if !apart {
                found.push(format!("{text:?} runs into {other:?}: {area:?}, {at:?}"));
            }
        }
    }
    found
}

#[track_caller]
fn check(name: &str, picture: &Picture) {
    let found = problems(picture);
    assert!(found.is_empty(), "{name} ({}): {found:#?}", found.len());
}

fn names() -> [fn(usize) -> String; 3] {
    [
        |index| index.to_string(),
        |index| format!("dense {index}"),
        |index| format!("a name {index} of a length that nobody has asked for, and then some more"),
    ]
}

#[test]
fn the_check_finds_what_is_wrong() {
    let mut picture = Picture::new(300.0, 100.0, "title", "");
    let letters = Letters::new(12.0, super::theme::Paint::Text);
    picture.text(20.0, 80.0, "one", letters);
    assert_eq!(problems(&picture).len(), 0);
    picture.text(25.0, 84.0, "two", letters);
    assert_eq!(problems(&picture).len(), 1);
    picture.text(10.0, 60.0, "three", letters.end());
    assert_eq!(problems(&picture).len(), 2);
}

#[test]
fn line_charts() {
    let ranges: [(f64, f64); 7] =
        [(0.0, 1.0), (0.9, 0.99), (1e-9, 3e-9), (1e-6, 1e5), (-1e12, 1e12), (5.0, 5.0), (f64::NAN, 1e300)];
    for name in names() {
        for count in [0, 1, 2, NAMED, NAMED + 1, 50] {
            for (low, high) in ranges {
                for length in [0, 1, 2, 10, 3000] {
                    let points: Vec<(f64, f64)> =
                        (0..length).map(|x| (f64::from(x), low)).chain([(0.0, high)]).collect();
                    let short = if count > 2 { &points[points.len().saturating_sub(3)..] } else { &points };
                    let plot = LinePlot {
                        title: name(0),
                        x_label: name(1),
                        y_label: name(2),
                        curves: (0..count).map(|index| Curve::new(&name(index), short.to_vec())).collect(),
                        ..LinePlot::default()
                    };
                    check("plot", &plot::draw(&name(0), &name(1), &[plot.clone(), plot], 2));
                }
            }
        }
    }
}

#[test]
fn confusion_matrices() {
    for name in names() {
        for classes in [0, 1, 2, 10, 27, 62] {
            for count in [0, 7, 98_765, 123_456_789] {
                let names: Vec<String> = (0..classes).map(name).collect();
                let counts = vec![vec![count; classes]; classes];
                check("confusion", &confusion::draw("Confusion matrix", &counts, &names));
            }
        }
    }
}

#[test]
fn histogram_grids() {
    for name in names() {
        for (rows, columns) in [(0, 0), (1, 1), (10, 6), (100, 50)] {
            for scale in [0.0, 1e-9, 1.0, 3e7, f32::NAN] {
                let values = [-0.7, -0.1, 0.0, 0.0, 0.0, 0.0, 0.3, 0.71].map(|value: f32| value * scale);
                let cell = Some(bins(&values, 100));
                let grid = HistogramGrid {
                    title: name(0),
                    columns: (0..columns).map(name).collect(),
                    rows: (0..rows).map(name).collect(),
                    cells: vec![vec![cell; columns]; rows],
                };
                check("grid", &histogram::draw(&grid));
            }
        }
    }
}

#[test]
fn sheets_and_filters() {
    for name in names() {
        for count in [0, 1, 36, 100] {
            let mistake = |index| Mistake {
                pixels: vec![9; 6],
                height: 3,
                width: 2,
                label: index,
                answer: index + 1,
                probability: 0.999,
                index: 59_999,
            };
            let mistakes: Vec<Mistake> = (0..count).map(mistake).collect();
            let names: Vec<String> = (0..=count).map(name).collect();
            check("mistakes", &sheet::mistakes(&name(0), &mistakes, &names));
            for side in [1, 3, 28] {
                let weights = vec![vec![1e-12; side * side]; count];
                let filters = Filters { layer: name(0), height: side, width: side, weights };
                check("filters", &filters::draw(&name(0), &filters));
            }
        }
    }
}

#[test]
fn layers_over_time() {
    for name in names() {
        for count in [0, 1, 5, 50] {
            let series = vec![(1.0, 0.0), (2.0, 0.5)];
            let layer = |index| LayerSeries {
                layer: name(index),
                mean: series.clone(),
                deviation: series.clone(),
                dead: series.clone(),
            };
            let all: Vec<LayerSeries> = (0..count).map(layer).collect();
            check("layers", &layers::draw(&name(0), "epoch", &all));
        }
    }
}
