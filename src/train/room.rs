//! Whether a network fits on a device, and what would.

use crate::backend::Shortage;
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::network::Network;

/// Images of an evaluation step: enough for a device to be busy.
const EVALUATION_BATCH: usize = 512;
/// Batches that are given as advice are multiples of this, where they are larger: whole blocks.
const ROUND: usize = 16;

/// The network with its evaluation batch: the usual one, or so much smaller that the device can bind its buffers. `most` is the
/// largest that it binds, in bytes; `build` takes the batch and the evaluation batch.
pub fn fit_evaluation(
    batch_size: usize,
    rows: usize,
    most: Option<u64>,
    build: impl Fn(usize, usize) -> Network,
) -> (Network, usize) {
    let mut evaluation = EVALUATION_BATCH.max(batch_size.min(4 * EVALUATION_BATCH)).min(rows);
    loop {
        let network = build(batch_size, evaluation);
        let largest = largest_buffer(&network);
        if evaluation <= ROUND || most.is_none_or(|most| largest <= most) {
            return (network, evaluation);
        }
        evaluation = (evaluation / 2).max(ROUND);
    }
}

/// The largest buffer of an evaluation step in bytes.
fn largest_buffer(network: &Network) -> u64 {
    let calls = &network.plan.programs[network.evaluate.0].calls;
    let words = calls.iter().flat_map(|call| &call.buffers).map(|&buffer| network.plan.words(buffer));
    4 * words.max().unwrap_or(0) as u64
}

/// Makes the error of a plan that does not fit one that says which batch would; other errors stay as they are. `build` makes
/// the plan of a batch.
pub fn advise(error: anyhow::Error, batch_size: usize, build: impl Fn(usize) -> Plan) -> anyhow::Error {
    let Some(shortage) = error.downcast_ref::<Shortage>() else { return error };
    let advice = match largest_batch(batch_size, |batch| shortage.admits(&build(batch))) {
        Some(largest) => format!("the largest that fits is --batch-size {largest}; or use --backend cpu"),
        None => "not even a batch of one image fits: use fewer images (--limit), a smaller network, or --backend cpu".into(),
    };
    Error::NoDevice(format!(
        "a batch of {batch_size} images does not fit on this device: {shortage}; {advice}"
    ))
    .into()
}

/// The largest batch below `batch_size` that `fits`, in whole blocks where it has any.
fn largest_batch(batch_size: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut good, mut bad) = (0, batch_size);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    let rounded = if good > ROUND { good / ROUND * ROUND } else { good };
    (rounded > 0).then_some(rounded)
}

#[cfg(test)]
mod tests {
    use super::largest_batch;

    #[test]
    fn the_largest_batch_is_found_in_whole_blocks() {
        assert_eq!(largest_batch(4096, |batch| batch <= 1000), Some(992));
        assert_eq!(largest_batch(4096, |batch| batch <= 7), Some(7));
        assert_eq!(largest_batch(100, |_| true), Some(96));
        assert_eq!(largest_batch(100, |_| false), None);
        assert_eq!(largest_batch(1, |_| true), None);
    }
}
