//! `verify`

use super::args::{DataArgs, DeviceArgs, RecipeArgs};
use crate::backend::device::Device;
use crate::backend::{Backend, DeviceInfo};
use crate::data::DataSet;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::verify::compare::{Comparison, Difference};
use crate::verify::ops::CaseReport;
use crate::verify::{ops, steps};
use anyhow::{Result, bail};
use clap::Args;

/// Threads of the CPU backend beside a GPU; results do not depend on them.
const CPU_THREADS: usize = 2;

/// Flags of `verify`.
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Only this op, and no training steps
    #[arg(long, value_name = "OP")]
    op: Option<String>,
    /// Training steps of the recipe, after the ops
    #[arg(long, value_name = "N", default_value_t = 2)]
    steps: usize,
    /// Decides the first weights of the training steps
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// One JSON object for each case and call
    #[arg(long)]
    json: bool,
}

/// The largest error of one backend, and what is allowed there.
struct Figures {
    error: f64,
    allowed: f64,
    share: f64,
}

impl From<&CaseReport> for Figures {
    fn from(report: &CaseReport) -> Self {
        Self { error: report.error, allowed: report.allowed, share: report.worst }
    }
}

impl From<&Comparison> for Figures {
    fn from(comparison: &Comparison) -> Self {
        Self { error: comparison.error, allowed: comparison.allowed, share: comparison.worst }
    }
}

/// A line of the table: a case of an op, or a call of a step.
struct Line<'a> {
    place: &'a str,
    what: &'a str,
    /// The device, and the CPU beside it.
    figures: Vec<Figures>,
    wrong: Option<&'a Difference>,
}

impl Verify {
    pub(super) fn run(&self) -> Result<()> {
        // What cannot work is said before minutes of checks.
        let with_steps = self.op.is_none() && self.steps > 0;
        let subject = with_steps.then(|| anyhow::Ok((self.recipe.load()?, self.data.load()?))).transpose()?;
        let (device, line) = self.device.find()?;
        let info = device.info();
        if !self.json {
            super::print(&format!("{line}\n{}", heading(&info)))?;
        }
        let (mut wrong, count) = self.ops(&device)?;
        let wrong_cases = wrong.len();
        if let Some(subject) = subject {
            wrong.extend(self.steps(subject, &device)?);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let steps = if wrong.len() > wrong_cases { " and a training step" } else { "" };
        bail!(Error::Threshold(format!(
            "{wrong_cases} of {count} cases{steps} are wrong on {} ({}):\n  {}\nDo not train on this device: update its driver, \
             or use another --adapter or --backend cpu",
            info.name,
            info.driver,
            shortened(&wrong).join("\n  ")
        )))
    }

    /// Runs all cases; returns what is wrong, and the number of cases.
    fn ops(&self, device: &Device) -> Result<(Vec<String>, usize)> {
        let (plan, cases) = ops::plan(self.op.as_deref());
        if cases.is_empty() {
            let names: Vec<&str> = crate::ops::ALL.iter().map(|op| op.name()).collect();
            bail!(Error::Usage(format!(
                "there is no op {:?}; there are {}",
                self.op.as_deref().unwrap_or_default(),
                names.join(", ")
            )));
        }
        let mut backend = device.open(&plan)?;
        let mut cpu = match device {
            Device::Cpu { .. } => None,
            Device::Gpu { .. } => Some(Device::Cpu { threads: CPU_THREADS }.open(&plan)?),
        };
        let mut wrong = Vec::new();
        for case in &cases {
            let mut backends: Vec<&mut dyn Backend> = vec![backend.as_mut()];
            if let Some(cpu) = &mut cpu {
                backends.push(cpu.as_mut());
            }
            let names: Vec<String> =
                backends.iter().map(|backend| backend.device().backend.clone()).collect();
            let reports = ops::check_each(&mut backends, case)?;
            let first = reports.iter().find_map(|report| report.wrong.as_ref());
            super::print(&self.line(&Line {
                place: reports[0].op,
                what: &reports[0].case,
                figures: reports.iter().map(Figures::from).collect(),
                wrong: first.map(|(_, difference)| difference),
            }))?;
            for (name, report) in names.iter().zip(&reports) {
                if let Some((buffer, difference)) = &report.wrong {
                    wrong.push(format!("{name}: {} ({}), {buffer}: {difference}", report.op, report.case));
                }
            }
        }
        Ok((wrong, cases.len()))
    }

    /// Runs the training steps; returns the first wrong call.
    fn steps(&self, (recipe, data): (Recipe, DataSet), device: &Device) -> Result<Option<String>> {
        let mut stepper = steps::Stepper::new(recipe, data, self.seed, device)?;
        for step in 1..=self.steps {
            let mut lines = String::new();
            let wrong = stepper.step(step, |call, report| {
                lines.push_str(
                    &self.line(&Line {
                        place: &format!("step {step} {}", call.place),
                        what: call.op.name(),
                        figures: [Some(&report.device), report.cpu.as_ref()]
                            .into_iter()
                            .flatten()
                            .map(Figures::from)
                            .collect(),
                        wrong: report
                            .device
                            .first
                            .as_ref()
                            .or(report.cpu.as_ref().and_then(|cpu| cpu.first.as_ref())),
                    }),
                );
            })?;
            super::print(&lines)?;
            if let Some(wrong) = wrong {
                return Ok(Some(format!(
                    "{}: step {}, call {}: {} in {} ({}) makes {} numbers of {} wrong: {}",
                    wrong.backend,
                    wrong.step,
                    wrong.call,
                    wrong.op,
                    wrong.place,
                    wrong.params,
                    wrong.wrong,
                    wrong.buffer,
                    wrong.first
                )));
            }
        }
        Ok(None)
    }

    fn line(&self, line: &Line<'_>) -> String {
        let Line { place, what, figures, wrong } = line;
        if self.json {
            let figures = |figures: &Figures| serde_json::json!({ "error": figures.error, "allowed": figures.allowed, "share": figures.share });
            let wrong = wrong.map(|d| {
                serde_json::json!({ "index": d.index, "found": d.found, "expected": d.expected, "allowed": d.allowed })
            });
            let line = serde_json::json!({
                "schema": 1, "place": place, "what": what, "device": figures(&line.figures[0]),
                "cpu": line.figures.get(1).map(figures), "wrong": wrong,
            });
            return format!("{line}\n");
        }
        let mut text = format!("{place:<24} {what:<44}");
        for Figures { error, allowed, share } in figures {
            let share = if *share < 1000.0 { format!("{share:.3}") } else { format!("{share:.0e}") };
            text.push_str(&format!(" {error:>9.1e} {allowed:>9.1e} {share:>7}"));
        }
        let verdict = if wrong.is_none() { "ok" } else { "WRONG" };
        format!("{text}  {verdict}\n")
    }
}

/// What the columns are.
fn heading(info: &DeviceInfo) -> String {
    let columns = format!(" {:>9} {:>9} {:>7}", "error", "allowed", "share");
    let mut names = vec![info.backend.as_str()];
    if info.backend != "cpu" {
        names.push("cpu");
    }
    let above: String = names.iter().map(|name| format!(" {name:^27}")).collect();
    format!(
        "the largest error against the f64 reference, and the error that is allowed there\n{:69}{above}\n{:<24} {:<44}{}\n",
        "",
        "op or place",
        "case or op",
        columns.repeat(names.len())
    )
}

/// The first and last of a long list.
fn shortened(wrong: &[String]) -> Vec<String> {
    const SHOWN: usize = 4;
    if wrong.len() <= SHOWN + 1 {
        return wrong.to_vec();
    }
    let mut lines = wrong[..SHOWN].to_vec();
    lines.push(format!("and {} more, the last of them:", wrong.len() - SHOWN));
    lines.push(wrong[wrong.len() - 1].clone());
    lines
}
