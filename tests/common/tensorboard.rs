//! What TensorBoard itself makes of event files.

use std::path::Path;
use std::process::Command;

/// Prints a line for each value of a folder.
const READER: &str = r"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0})
events.Reload()
found = {'scalars': {}, 'histograms': {}}
for tag in events.Tags()['scalars']:
    found['scalars'][tag] = [[event.step, event.wall_time, event.value] for event in events.Scalars(tag)]
for tag in events.Tags()['histograms']:
    found['histograms'][tag] = [
        [event.step, h.min, h.max, h.num, h.sum, h.sum_squares, list(h.bucket_limit), list(h.bucket)]
        for event in events.Histograms(tag) for h in [event.histogram_value]]
print(json.dumps(found))
";

/// The Python to use: `GPU_MNIST_PYTHON`, or `python3`.
fn python() -> String {
    std::env::var("GPU_MNIST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Whether TensorBoard is installed; its absence is said aloud. Whoever names a Python in `GPU_MNIST_PYTHON` means it to be
/// used: then its absence is a failure.
pub(crate) fn is_there() -> bool {
    let found = Command::new(python()).args(["-c", "import tensorboard"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let message = format!(
        "NOT TESTED: {} has no TensorBoard to read our event files with; `pip install tensorboard`, or name a \
         Python that has it in GPU_MNIST_PYTHON",
        python()
    );
    assert!(std::env::var_os("GPU_MNIST_PYTHON").is_none(), "{message}");
    println!("{message}");
    false
}

/// All values of a folder.
pub(crate) fn read(folder: &Path) -> serde_json::Value {
    let output =
        Command::new(python()).arg("-c").arg(READER).arg(folder).output().expect("Python was there before");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("is JSON")
}
