//! The exported page: the plan on WebGPU in the browser beside the same plan here.

use crate::browser::{Browser, strokes};
use crate::serving::reader;
use crate::trained::{Trained, trained};
use gpu_mnist::backend::device::Device;
use gpu_mnist::export::web;
use gpu_mnist::recipe::Overrides;
use gpu_mnist::train::engine::{DeviceData, Engine, EpochPlace};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// The seed of what is random while training in the page.
const SEED: u64 = 7;
/// Logits here and in the page differ by no more, and losses relative to their size.
const ALLOWED: f64 = 1e-4;
/// Training steps that are compared.
const STEPS: usize = 3;

/// Any static file server will do; this is the least.
struct Static {
    url: String,
    _folder: tempfile::TempDir,
}

impl Static {
    fn of(trained: &Trained) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in web::files(&trained.model, &trained.data, SEED).unwrap() {
            let path = folder.path().join(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file.bytes).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let root = folder.path().to_owned();
        // Until the tests are over.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let root = root.clone();
                std::thread::spawn(move || send(stream, &root));
            }
        });
        Self { url, _folder: folder }
    }
}

/// Answers one GET; a connection that asks for nothing is left alone.
fn send(mut stream: TcpStream, root: &Path) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let first = lines.next()?;
    lines.find(String::is_empty)?;
    let path = match first.split(' ').nth(1)? {
        "/" => "index.html",
        path => &path[1..],
    };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        _ => "application/octet-stream",
    };
    let (status, body) = std::fs::read(root.join(path)).map_or((404, Vec::new()), |body| (200, body));
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}

/// Opens the page and waits until it can do something.
fn opened(browser: &mut Browser, page: &Static) {
    browser.go(&page.url);
    browser.until("globalThis.gpuMnist !== undefined || !document.querySelector('#failure').hidden");
    let failure = browser.value("document.querySelector('#reason').textContent");
    assert_eq!(failure, "", "{:?}", browser.complaints);
}

/// The mean losses of the first steps, from the trained weights on, as this program makes them.
fn native_losses(trained: &Trained, order: &[u32]) -> Vec<f64> {
    let files = web::files(&trained.model, &trained.data, SEED).unwrap();
    let schedule = &files.iter().find(|file| file.path == "schedule.bin").unwrap().bytes;
    let schedule: Vec<f32> = schedule.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
    let (model, data) = (&trained.model, DeviceData::of(&trained.data));
    let (layers, device) = (model.layers().unwrap(), Device::Cpu { threads: 2 });
    let mut engine =
        Engine::new(&model.recipe, &layers, model.classes, model.transform, &data, &device).unwrap();
    engine.set_weights(&model.weights).unwrap();
    let place = EpochPlace { epoch: 0, step: 0, global_step: 0 };
    engine.start_epoch(place, SEED, order, &schedule[..2 * STEPS]).unwrap();
    engine.run_steps(STEPS).unwrap();
    let (losses, _) = engine.step_results(0..STEPS).unwrap();
    losses.iter().map(|&loss| f64::from(loss) / engine.batch_size() as f64).collect()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Logits of test images, and the losses of some training steps.
fn agrees(recipe: &str, changes: Overrides) {
    let Some(mut browser) = Browser::open(true) else { return };
    let trained = trained(recipe, changes);
    let page = Static::of(&trained);
    opened(&mut browser, &page);

    let images = 100;
    let first = browser.value("gpuMnist.network.plan.train_images").as_u64().unwrap();
    let rows: Vec<u64> = (first..first + images).collect();
    let theirs = browser.value(&format!("gpuMnist.network.logits({rows:?}).then((logits) => logits.flat())"));
    let ours = trained.logits(images as usize).concat();
    let theirs = numbers(&theirs);
    assert_eq!(theirs.len(), ours.len());
    let difference = ours.iter().zip(&theirs).map(|(&a, b)| (f64::from(a) - b).abs());
    // Written so that NaN is not lost.
    let difference = difference.fold(0.0_f64, |largest, d| if d <= largest { largest } else { d });
    println!("{recipe}: logits in the browser differ by {difference:.2e} at most");
    assert!(difference <= ALLOWED, "{recipe}: logits differ by {difference:e}");

    let batch = browser.value("gpuMnist.network.plan.batch_size").as_u64().unwrap() as usize;
    let order: Vec<u32> = (0..(batch * STEPS) as u32).rev().collect();
    let train = format!(
        "(async () => {{ const losses = []; await gpuMnist.network.train({order:?}, (loss) => void losses.push(loss)); return losses; }})()"
    );
    let (theirs, ours) = (numbers(&browser.value(&train)), native_losses(&trained, &order));
    println!("{recipe}: losses {ours:?} here, {theirs:?} in the browser");
    assert_eq!(theirs.len(), STEPS);
    for (step, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!(
            (a - b).abs() <= ALLOWED * a.abs(),
            "{recipe}: the loss of step {step} is {a} here, {b} in the browser"
        );
    }
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

fn of_batch(batch_size: u64) -> Overrides {
    Overrides { batch_size: Some(batch_size), ..Overrides::default() }
}

#[test]
fn the_browser_agrees_on_dense_layers() {
    agrees("mlp-128-128", of_batch(32));
}

#[test]
fn the_browser_agrees_on_batch_norm() {
    agrees("mlp-128-128", Overrides { batch_norm: Some(true), ..of_batch(128) });
}

#[test]
fn the_browser_agrees_on_convolutions_and_dropout() {
    agrees("cnn-16-36", of_batch(64));
}

#[test]
fn the_exported_page_recognises_drawn_digits_and_learns() {
    let Some(mut browser) = Browser::open(true) else { return };
    let page = Static::of(reader());
    opened(&mut browser, &page);
    browser.until("document.querySelector('#status').textContent.startsWith('test accuracy 9')");
    // Large, and so small that the pen is a blunt one.
    for (digit, size) in
        [0, 1, 2, 3, 4, 7].map(|digit| (digit, 1.0)).into_iter().chain([(0, 0.2), (2, 0.25), (4, 0.25)])
    {
        browser.click("#clear");
        browser.until("document.querySelector('#answer b').textContent === '–'");
        let scaled = |(x, y): (f64, f64)| (0.5 + (x - 0.5) * size, 0.5 + (y - 0.5) * size);
        let scaled: Vec<Vec<_>> =
            strokes(digit).into_iter().map(|stroke| stroke.into_iter().map(scaled).collect()).collect();
        browser.draw("#pad", &scaled);
        browser.until(&format!("document.querySelector('#answer b').textContent === '{digit}'"));
    }
    // From nothing, some epochs: the accuracy on the test images rises above what guessing gives.
    browser.click("#forget");
    let accuracy = "parseFloat(/accuracy ([\\d.]+)/.exec(document.querySelector('#status').textContent)[1])";
    browser.until(&format!("{accuracy} < 40"));
    browser.click("#train");
    browser.until(&format!("{accuracy} > 60"));
    browser.click("#train");
    browser.until("document.querySelector('#train').textContent === 'Train'");
    browser.screenshots("export");
    browser.click("#restore");
    browser.until(&format!("{accuracy} > 90"));
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[test]
fn without_webgpu_the_exported_page_says_so() {
    let Some(mut browser) = Browser::open(false) else { return };
    let page = Static::of(reader());
    browser.go(&page.url);
    browser.until("!document.querySelector('#failure').hidden");
    let reason = browser.value("document.querySelector('#reason').textContent");
    assert!(reason.as_str().unwrap().contains("WebGPU"), "{reason}");
    assert_eq!(browser.value("document.querySelector('#app').hidden"), true);
    browser.screenshots("export-without-webgpu");
}
