//! What training shows: a bar where stderr is a terminal, plain lines where it is not, JSON lines on stdout if asked.

use crate::report::{sparkline, terminal};
use crate::train::event::{EpochRecord, Event, Observer, Start, Summary, Tick, to_json};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Without a terminal, long epochs get a line this often.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a training.
pub(super) struct Console {
    json: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Console {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = "{prefix} {bar:30} {pos}/{len} {msg}";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { json, quiet, bar, last_line: Instant::now() }
    }

    /// Takes the bar away until the next tick.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            bar.reset();
        }
    }

    /// The course of the loss over all steps, in one line.
    pub(super) fn course(&self, losses: &[f64]) {
        const WIDTH: usize = 60;
        if let (Some(first), Some(last)) = (losses.first(), losses.last()) {
            let course = sparkline(losses, WIDTH, terminal::unicode());
            self.say(&format!("loss {first:.3} {course} {last:.3}, {} steps", losses.len()));
        }
    }

    /// A line for people, on stderr.
    pub(super) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| eprint_line(line)),
            None => eprint_line(line),
        }
    }
}

/// A closed stderr is nobody's problem.
pub(super) fn eprint_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Observer for Console {
    fn event(&mut self, event: &Event) -> Result<()> {
        if self.json {
            super::print(&format!("{}\n", to_json(event)?))?;
        }
        match event {
            Event::Start(start) => self.say(&start_line(start)),
            Event::Step { step, loss } => self.say(&format!("step {step}: loss {loss:.4}")),
            Event::Epoch(record) => self.say(&epoch_line(record)),
            Event::Result(summary) => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                if !self.json {
                    super::print(&result_text(summary))?;
                }
            }
        }
        self.last_line = Instant::now();
        Ok(())
    }

    fn tick(&mut self, tick: &Tick) {
        let rate = format!("{:.0} images/s, {} left", tick.images_per_second, duration(tick.seconds_left));
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(format!("epoch {}/{}", tick.epoch, tick.epochs));
                bar.set_length(tick.steps as u64);
                bar.set_position(tick.step as u64);
                bar.set_message(rate);
            }
            None if self.last_line.elapsed() >= PLAIN_LINE_EVERY && tick.step < tick.steps => {
                self.last_line = Instant::now();
                self.say(&format!(
                    "epoch {}/{}: step {}/{}, {rate}",
                    tick.epoch, tick.epochs, tick.step, tick.steps
                ));
            }
            None => {}
        }
    }
}

fn start_line(start: &Start) -> String {
    let validation = match start.validation_rows {
        0 => String::new(),
        rows => format!(", validating on {rows}"),
    };
    let resumed = if start.first_step == 0 {
        String::new()
    } else {
        format!(", going on after step {}", start.first_step)
    };
    format!(
        "training {} ({} parameters) on {} images{validation}, {} a step, seed {}{resumed}",
        start.recipe, start.parameters, start.rows, start.batch_size, start.seed
    )
}

fn epoch_line(record: &EpochRecord) -> String {
    let EpochRecord { epoch, loss, accuracy, seconds, images_per_second, .. } = record;
    let validation = match (record.val_loss, record.val_accuracy) {
        (Some(loss), Some(accuracy)) => format!(", val_loss {loss:.4}, val_accuracy {accuracy:.4}"),
        _ => String::new(),
    };
    format!(
        "epoch {epoch}: loss {loss:.4}, accuracy {accuracy:.4}{validation} ({seconds:.2} s, {images_per_second:.0} images/s)"
    )
}

fn result_text(summary: &Summary) -> String {
    let mut text = format!(
        "test accuracy {:.4}, test loss {:.4}, trained in {} at {:.0} images/s\n",
        summary.test_accuracy,
        summary.test_loss,
        duration(summary.train_seconds),
        summary.images_per_second
    );
    if let Some(folder) = &summary.run_dir {
        text.push_str(&format!("saved in {folder}\n"));
    }
    text
}

/// `3.2 s`, `4 min 05 s` or `2 h 03 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}
