//! The report of a benchmark: one JSON document, and tables for people.

use super::ceilings::{Bound, Figures};
use super::measure::Figure;
use super::ops::OpFigures;
use super::steps::StepFigures;
use crate::backend::{Clock, DeviceInfo, count_threads};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The schema of reports.
pub const SCHEMA: u32 = 1;

/// Everything that was measured, on what, when and how. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Of this program.
    pub version: String,
    /// When, in UTC.
    pub date: String,
    /// Whether it was only to see that everything works: such figures mean little.
    pub quick: bool,
    /// The host.
    pub machine: Machine,
    /// The device.
    pub device: DeviceInfo,
    /// Whose clock timed ceilings and ops.
    pub clock: Clock,
    /// What the device can do at all.
    pub ceilings: Figures,
    /// Each op at the shapes of each recipe.
    pub ops: Vec<OpFigures>,
    /// Whole training steps.
    pub steps: Vec<StepFigures>,
}

/// A spread of ops beyond this is no property of the device.
const CALM: f64 = 0.1;

/// The host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system.
    pub os: String,
    /// Instruction set.
    pub arch: String,
    /// The processor's name; empty where it is unknown.
    pub processor: String,
    /// Threads that run at the same time.
    pub processors: usize,
}

impl Report {
    /// The tables.
    pub fn text(&self) -> String {
        let mut text = self.head();
        text.push_str(&self.ceilings_text());
        if !self.ops.is_empty() {
            text.push_str(&self.ops_text());
        }
        if !self.steps.is_empty() {
            text.push_str(&self.steps_text());
        }
        if !self.quick && self.usual_spread() > CALM {
            let _ = writeln!(
                text,
                "\nwarning: half of these figures vary by more than ±{:.0}%; other programs seem to use the device: close \
                 them and measure again",
                100.0 * self.usual_spread()
            );
        }
        text
    }

    /// The median of all spreads.
    fn usual_spread(&self) -> f64 {
        let ops = self.ops.iter().map(|op| op.seconds.spread());
        let spreads: Vec<f64> = ops.chain(self.steps.iter().map(|step| step.seconds.spread())).collect();
        if spreads.is_empty() { 0.0 } else { Figure::of(spreads).median }
    }

    fn head(&self) -> String {
        let Self { device, machine, .. } = self;
        let threads = match device.threads {
            0 => String::new(),
            threads => format!(", {}", count_threads(threads)),
        };
        let software = if device.software { ", a software rasteriser" } else { "" };
        let processor = match machine.processor.as_str() {
            "" => machine.arch.as_str(),
            name => name,
        };
        let clock = match self.clock {
            Clock::Device => "the device's timestamps",
            Clock::Wall => "the host's clock, round many repetitions",
        };
        let quick = match self.quick {
            true => "measured with --quick: these figures only show that everything works\n",
            false => "",
        };
        format!(
            "{} {}{threads}{software}, on {processor} ({} processors, {}); {}, gpu-mnist {}\n\
             medians, ± half the distance of the quartiles; ceilings and ops by {clock}\n{quick}",
            device.backend, device.name, machine.processors, machine.os, self.date, self.version
        )
    }

    fn ceilings_text(&self) -> String {
        let Figures { gflop_per_s, bandwidth, dispatch, submit } = &self.ceilings;
        let mut text = "\nceilings\n".to_owned();
        let mut line = |what: &str, figure: &Figure, digits: usize, unit: &str| {
            let Figure { median, .. } = figure;
            let _ = writeln!(text, "{what:<26} {median:>12.digits$} {unit:<8} {}", spread(figure));
        };
        line("multiply-adds", gflop_per_s, 1, "GFLOP/s");
        for of_size in bandwidth {
            line(&format!("copies of {}", bytes(of_size.bytes)), &of_size.gb_per_s, 1, "GB/s");
        }
        line("a dispatch", &dispatch.scaled(1e6), 2, "us");
        line("a submission and its wait", &submit.scaled(1e6), 2, "us");
        text
    }

    fn ops_text(&self) -> String {
        let mut text = format!(
            "\nops; share: of the nearer of the two ceilings, multiply-adds and bytes; above 100 % where less is done than the formula says\n{:<14} {:<16} {:<22} {:>5} {:>11} {:>6} {:>9} {:>8} {:>7}  bound by\n",
            "recipe", "place", "op", "calls", "us", "", "GFLOP/s", "GB/s", "share"
        );
        for figures in &self.ops {
            let OpFigures { recipe, place, op, count, seconds, gflop_per_s, gb_per_s, share, bound, .. } =
                figures;
            let bound = match bound {
                Bound::Compute => "multiply-adds",
                Bound::Memory => "bytes",
                Bound::Dispatch => "dispatch",
            };
            let _ = writeln!(
                text,
                "{recipe:<14} {place:<16} {op:<22} {count:>5} {:>11.2} {:>6} {gflop_per_s:>9.1} {gb_per_s:>8.1} {:>6.1}%  {bound}",
                1e6 * seconds.median,
                spread(seconds),
                100.0 * share,
            );
        }
        text
    }

    fn steps_text(&self) -> String {
        let mut text = format!(
            "\ntraining steps; share: of the ceilings of all calls\n{:<14} {:>5} {:>10} {:>11} {:>6} {:>10} {:>9} {:>7}  where the time goes\n",
            "recipe", "batch", "dispatches", "us", "", "images/s", "GFLOP/s", "share"
        );
        for figures in &self.steps {
            let parts: Vec<String> = figures
                .parts
                .iter()
                .take(5)
                .map(|part| format!("{} {:.0}%", part.op, 100.0 * part.share))
                .collect();
            let _ = writeln!(
                text,
                "{:<14} {:>5} {:>10} {:>11.1} {:>6} {:>10.0} {:>9.1} {:>6.1}%  {}; calls by themselves take {:.0}% of the step",
                figures.recipe,
                figures.batch_size,
                figures.dispatches,
                1e6 * figures.seconds.median,
                spread(&figures.seconds),
                figures.images_per_second,
                figures.gflop_per_s,
                100.0 * figures.share,
                parts.join(", "),
                100.0 * figures.parts_share,
            );
            if figures.record_seconds > 0.0 {
                let (microseconds, dispatches) =
                    (1e6 * figures.record_seconds, figures.dispatches_per_submission);
                let _ = writeln!(
                    text,
                    "{:<14} the host takes {microseconds:.2} us to record and submit a dispatch; {dispatches:.0} dispatches, {:.0} steps a submission",
                    "",
                    dispatches / figures.dispatches as f64
                );
            }
        }
        text
    }
}

fn spread(figure: &Figure) -> String {
    format!("±{:.0}%", 100.0 * figure.spread())
}

/// A size in binary units, as buffers are.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
