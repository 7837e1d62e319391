//! `serve` and `train --serve` in the browser.

use crate::browser::{Browser, strokes};
use crate::serving::{Serving, reader_folder};

/// The digit that the page shows, once it shows one.
fn answer(browser: &mut Browser) -> String {
    browser.until("document.querySelector('#answer b').textContent !== '–'");
    browser.value("document.querySelector('#answer b').textContent").as_str().unwrap().to_owned()
}

/// Clears the sheet, draws, and waits until the page's answer is that digit; other answers may come first, since the page
/// answers while the pen moves.
fn recognises(browser: &mut Browser, digit: usize, draw: fn(&mut Browser, usize)) {
    browser.click("#clear");
    browser.until("document.querySelector('#answer b').textContent === '–'");
    draw(browser, digit);
    answer(browser);
    browser.until(&format!("document.querySelector('#answer b').textContent === '{digit}'"));
    let shares =
        browser.value("[...document.querySelectorAll('.share')].map((s) => parseFloat(s.textContent))");
    let shares: Vec<f64> = shares.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    assert_eq!(shares.len(), 10);
    assert!((shares.iter().sum::<f64>() - 100.0).abs() < 0.5, "{shares:?}");
    let best = (0..10).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap();
    assert_eq!(best, digit, "{shares:?}");
}

fn with_mouse(browser: &mut Browser, digit: usize) {
    browser.draw("#pad", &strokes(digit));
}

fn with_finger(browser: &mut Browser, digit: usize) {
    browser.touch("#pad", &strokes(digit));
}

#[test]
fn drawn_digits_are_recognised_on_the_served_page() {
    let folder = reader_folder();
    let Some(mut browser) = Browser::open(false) else { return };
    let serving = Serving::of(folder.path());
    browser.go(&serving.url);
    browser.until("document.querySelector('#hint').textContent.includes('finger')");
    for digit in [0, 1, 2, 3, 4, 7] {
        recognises(&mut browser, digit, with_mouse);
    }
    recognises(&mut browser, 2, with_finger);
    // What the network sees is not blank, and each layer that does anything shows something.
    let ink = "(() => { const c = document.querySelector('#seen'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
               return [c.width, c.height, new Set(d).size]; })()";
    let ink = browser.value(ink);
    assert_eq!((&ink[0], &ink[1]), (&28.into(), &28.into()));
    assert!(ink[2].as_u64().unwrap() > 10, "{ink}");
    let layers = browser.value("[...document.querySelectorAll('.layer h3')].map((name) => name.textContent)");
    assert_eq!(layers, serde_json::json!(["conv2d", "max_pooling2d", "dense", "dense_1"]));
    browser.screenshots("serve");
    browser.click("#clear");
    browser.until("document.querySelectorAll('.layer').length === 0");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    assert_eq!(serving.interrupt().code(), Some(0));
}

#[test]
fn the_curves_are_on_the_page_while_a_run_trains() {
    let Some(mut browser) = Browser::open(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--recipe", "mlp-16-16", "--limit", "3200", "--epochs", "100000"];
    let serving = Serving::training(&flags, &folder.path().join("run"));
    browser.go(&serving.url);
    let step =
        "parseInt(/^step (\\d+) of 10000000/.exec(document.querySelector('#status').textContent)?.[1] ?? 0)";
    browser.until(&format!("{step} > 100"));
    let first = browser.value(step).as_u64().unwrap();
    browser.until(&format!("{step} > {first}"));
    browser.until("document.querySelectorAll('#loss path.line').length === 3");
    browser.until("document.querySelectorAll('#accuracy path.line').length === 2");
    let hint = browser.value("document.querySelector('#hint').textContent");
    assert_eq!(hint, "as soon as the training is over");
    browser.screenshots("train-serve");
    assert_eq!(serving.interrupt().code(), Some(130));
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[test]
fn a_run_that_is_done_can_be_drawn_for_on_the_same_page() {
    let Some(mut browser) = Browser::open(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let flags = ["--recipe", "mlp-128-128", "--limit", "12000", "--epochs", "3"];
    let serving = Serving::training(&flags, &run);
    browser.go(&serving.url);
    browser.until("document.querySelector('#status').textContent.startsWith('done: test accuracy 9')");
    recognises(&mut browser, 0, with_mouse);
    assert!(
        browser
            .value("document.querySelector('#facts').textContent")
            .as_str()
            .unwrap()
            .contains("mlp-128-128")
    );
    browser.screenshots("train-serve-done");
    assert_eq!(serving.interrupt().code(), Some(0));
    // The same folder later: the curves are still there.
    let serving = Serving::of(&run);
    browser.go(&serving.url);
    browser.until("document.querySelector('#status').textContent.startsWith('done: test accuracy 9')");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}
