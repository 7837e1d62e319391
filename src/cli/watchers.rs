//! Who follows a training: the console always, TensorBoard where asked for.

use super::console::Console;
use crate::plan::inspect::Kind;
use crate::report::tensorboard::EventWriter;
use crate::train::event::{EpochRecord, Event, Observer, Tick};
use crate::train::histograms::LayerHistogram;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Passes everything on.
pub(super) struct Watchers<'a> {
    pub(super) console: &'a mut Console,
    /// Whether histograms are to be taken.
    pub(super) histograms: bool,
    pub(super) tensorboard: Option<TensorBoard>,
}

impl Observer for Watchers<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        if let Some(tensorboard) = &mut self.tensorboard {
            tensorboard.event(event)?;
        }
        self.console.event(event)
    }

    fn tick(&mut self, tick: &Tick) {
        self.console.tick(tick);
    }

    fn wants_histograms(&self) -> bool {
        self.histograms
    }

    fn histograms(&mut self, found: &[LayerHistogram]) -> Result<()> {
        match &mut self.tensorboard {
            Some(tensorboard) => tensorboard.histograms(found),
            None => Ok(()),
        }
    }
}

/// An event file in the run folder.
pub(super) struct TensorBoard {
    writer: EventWriter<BufWriter<File>>,
    epochs: u64,
}

impl TensorBoard {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let writer = EventWriter::create(folder, now())
            .with_context(|| format!("cannot write TensorBoard's event file into {}", folder.display()))?;
        Ok(Self { writer, epochs: 0 })
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Start(_) => {}
            Event::Step { step, loss } => self.writer.scalar(now(), *step as u64, "loss/step", *loss)?,
            Event::Epoch(record) => self.epoch(record)?,
            Event::Result(summary) => {
                self.writer.scalar(now(), self.epochs, "loss/test", summary.test_loss)?;
                self.writer.scalar(now(), self.epochs, "accuracy/test", summary.test_accuracy)?;
            }
        }
        Ok(self.writer.flush()?)
    }

    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.epochs = record.epoch as u64;
        let scalars = [
            ("loss/training", Some(record.loss)),
            ("accuracy/training", Some(record.accuracy)),
            ("loss/validation", record.val_loss),
            ("accuracy/validation", record.val_accuracy),
            ("speed/images_per_second", Some(record.images_per_second)),
        ];
        for (tag, value) in scalars {
            if let Some(value) = value {
                self.writer.scalar(now(), self.epochs, tag, value)?;
            }
        }
        Ok(())
    }

    fn histograms(&mut self, found: &[LayerHistogram]) -> Result<()> {
        for one in found {
            let LayerHistogram { layer, tensor, .. } = one;
            let tag = match one.kind {
                Kind::Activation => format!("activations/{layer}"),
                Kind::Weight => format!("weights/{layer}.{tensor}"),
                Kind::Gradient => format!("gradients/{layer}.{tensor}"),
            };
            self.writer.histogram(now(), one.epoch as u64, &tag, &one.histogram)?;
            if let Some(dead) = one.dead {
                self.writer.scalar(now(), one.epoch as u64, &format!("dead/{layer}"), dead)?;
            }
        }
        Ok(self.writer.flush()?)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
