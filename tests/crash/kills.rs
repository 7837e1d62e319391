//! SIGKILL at random times. `GPU_MNIST_KILLS` says how often; a few times without it.

use crate::scene::{Scene, error_text};
use gpu_mnist::rng::{Purpose, Stream};
use gpu_mnist::train::folder::RUN;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_process_killed_at_any_time_costs_no_more_than_an_interval() {
    let kills = std::env::var("GPU_MNIST_KILLS").map_or(12, |text| text.parse().unwrap());
    let scene = Scene::new(30, 24);
    let start = Instant::now();
    let trial = scene.path("trial");
    assert!(scene.train(&trial).output().unwrap().status.success());
    let whole = start.elapsed().max(Duration::from_millis(50));
    // Of a run that is killed and taken up again and again, until it gets to its end.
    let (mut run, mut killed, mut early, mut ends) = (0, 0, 0, 0);
    let stream = Stream::new(std::process::id().into(), Purpose::Test, 0, 0);
    for i in 0.. {
        let out = scene.path(&format!("run-{run}"));
        let what = format!("run {run}, process {i}, of seed {}", std::process::id());
        let mut command = scene.go_on(&out);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(f64::from(stream.below(i, 1000)) / 1000.0));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.signal() == Some(9) {
            killed += 1;
            early += u32::from(!out.join(RUN).exists());
            scene.check_checkpoint(&out, &what);
        } else {
            assert!(output.status.success(), "{what}: {}", error_text(&output));
            scene.check_results(&out, &what);
            ends += 1;
            run += 1;
        }
        if killed >= kills {
            scene.check_end(&out, &what);
            break;
        }
    }
    println!(
        "{killed} kills ({early} before the run was recorded), {ends} runs came to their end between, all the same"
    );
}
