//! The best epoch, and early stopping.

use super::event::EpochRecord;
use super::state::{Best, Progress};
use crate::recipe::{Monitor, Training, Validation};

impl Training {
    /// Whether the weights of the best epoch are those of the result.
    pub(super) fn wants_best(&self) -> bool {
        self.keep_best || self.early_stopping.as_ref().is_some_and(|stopping| stopping.restore_best)
    }

    /// Whether the epochs since the best one are as many as early stopping waits for.
    pub(super) fn should_stop(&self, progress: &Progress) -> bool {
        self.early_stopping.as_ref().is_some_and(|stopping| progress.waited >= stopping.patience)
    }

    /// Notes a finished epoch, and returns whether it is the best so far.
    pub(super) fn judge(
        &self,
        validation: Validation,
        record: &EpochRecord,
        progress: &mut Progress,
    ) -> bool {
        if self.early_stopping.is_none() && !self.keep_best {
            return false;
        }
        let monitor = self.best_monitor(validation);
        let min_delta = self.early_stopping.as_ref().map_or(0.0, |stopping| stopping.min_delta);
        let value = match monitor {
            Monitor::Loss => Some(record.loss),
            Monitor::Accuracy => Some(record.accuracy),
            Monitor::ValLoss => record.val_loss,
            Monitor::ValAccuracy => record.val_accuracy,
        };
        let Some(value) = value else { return false };
        let improved = progress.best.is_none_or(|best| monitor.improves(value, best.value, min_delta));
        if improved {
            progress.best = Some(Best { epoch: record.epoch, value });
            progress.waited = 0;
        } else {
            progress.waited += 1;
        }
        improved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::EarlyStopping;

    fn epoch(epoch: usize, val_loss: Option<f64>) -> EpochRecord {
        let (loss, accuracy, seconds, images_per_second) = (0.5, 0.9, 1.0, 1.0);
        EpochRecord { epoch, loss, accuracy, val_loss, val_accuracy: None, seconds, images_per_second }
    }

    #[test]
    fn the_best_epoch_is_kept_and_patience_ends() {
        let early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.1, ..EarlyStopping::default() });
        let training = Training { early_stopping, ..Training::default() };
        let mut progress = Progress::default();
        let losses = [0.9, 0.5, 0.45, f64::NAN];
        let judged = losses.iter().enumerate().map(|(i, &loss)| {
            let improved = training.judge(Validation::Split, &epoch(i + 1, Some(loss)), &mut progress);
            (improved, progress.waited, training.should_stop(&progress))
        });
        let expected = [(true, 0, false), (true, 0, false), (false, 1, false), (false, 2, true)];
        assert_eq!(judged.collect::<Vec<_>>(), expected);
        assert_eq!(progress.best, Some(Best { epoch: 2, value: 0.5 }));
    }

    #[test]
    fn without_the_wish_or_the_figure_nothing_is_noted() {
        let keep_best = Training { keep_best: true, ..Training::default() };
        for (training, val_loss) in [(Training::default(), Some(0.1)), (keep_best, None)] {
            let mut progress = Progress::default();
            assert!(!training.judge(Validation::Split, &epoch(1, val_loss), &mut progress));
            assert_eq!(progress, Progress::default());
            assert!(!training.should_stop(&progress));
        }
    }
}
