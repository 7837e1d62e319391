//! Two reports against each other: how many times as fast the second is.

use super::report::{Report, SCHEMA};
use serde::Serialize;
use std::fmt::Write;

/// One thing that both reports have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// `ceiling`, `op` or `step`.
    pub kind: &'static str,
    /// What was measured.
    pub name: String,
    /// The speed in the first report.
    pub a: f64,
    /// The speed in the second report.
    pub b: f64,
    /// Of what.
    pub unit: &'static str,
    /// The second over the first: above one, the second is faster.
    pub ratio: f64,
}

/// What two reports have in common, and what not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The devices.
    pub devices: [String; 2],
    /// What both have.
    pub ratios: Vec<Ratio>,
    /// Names of what only one has.
    pub only_in_one: Vec<String>,
}

/// Compares two reports.
pub fn compare(a: &Report, b: &Report) -> Comparison {
    let (rates_a, mut rates_b) = (rates(a), rates(b));
    let (mut ratios, mut only_in_one) = (Vec::new(), Vec::new());
    for rate in rates_a {
        match rates_b.iter().position(|other| (other.kind, &other.name) == (rate.kind, &rate.name)) {
            Some(position) => {
                let other = rates_b.remove(position);
                let ratio = other.speed / rate.speed;
                let Rate { kind, name, speed, unit } = rate;
                ratios.push(Ratio { kind, name, a: speed, b: other.speed, unit, ratio });
            }
            None => only_in_one.push(rate.name),
        }
    }
    only_in_one.extend(rates_b.into_iter().map(|rate| rate.name));
    let device = |report: &Report| format!("{} {}", report.device.backend, report.device.name);
    Comparison { schema: SCHEMA, devices: [device(a), device(b)], ratios, only_in_one }
}

/// A speed: the more the better.
struct Rate {
    kind: &'static str,
    name: String,
    speed: f64,
    unit: &'static str,
}

fn rates(report: &Report) -> Vec<Rate> {
    let ceilings = &report.ceilings;
    let ceiling = |name: &str, speed, unit| Rate { kind: "ceiling", name: name.to_owned(), speed, unit };
    let mut rates = vec![ceiling("multiply-adds", ceilings.gflop_per_s.median, "GFLOP/s")];
    rates.extend(ceilings.bandwidth.iter().map(|of_size| {
        ceiling(&format!("copies of {} bytes", of_size.bytes), of_size.gb_per_s.median, "GB/s")
    }));
    rates.push(ceiling("dispatches", 1.0 / ceilings.dispatch.median, "1/s"));
    rates.push(ceiling("submissions", 1.0 / ceilings.submit.median, "1/s"));
    rates.extend(report.ops.iter().map(|op| Rate {
        kind: "op",
        // Two calls of an op at one place differ in their work.
        name: format!("{} {} {} ({} flops, {} bytes)", op.recipe, op.place, op.op, op.flops, op.bytes),
        speed: 1.0 / op.seconds.median,
        unit: "1/s",
    }));
    rates.extend(report.steps.iter().map(|step| Rate {
        kind: "step",
        name: format!("{}, {} images a step", step.recipe, step.batch_size),
        speed: step.images_per_second,
        unit: "images/s",
    }));
    rates
}

impl Comparison {
    /// The geometric mean of the ratios of a kind, where there are any.
    pub fn mean(&self, kind: &str) -> Option<f64> {
        let logs: Vec<f64> = self.ratios.iter().filter(|r| r.kind == kind).map(|r| r.ratio.ln()).collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    }

    /// The table.
    pub fn text(&self) -> String {
        let [a, b] = &self.devices;
        let mut text = format!("A: {a}\nB: {b}\n\n{:>14} {:>14} {:<9} {:>8}  what\n", "A", "B", "", "B / A");
        for Ratio { kind, name, a, b, unit, ratio } in &self.ratios {
            let _ = writeln!(text, "{a:>14.1} {b:>14.1} {unit:<9} {ratio:>8.3}  {kind} {name}");
        }
        text.push('\n');
        for kind in ["ceiling", "op", "step"] {
            if let Some(mean) = self.mean(kind) {
                let _ = writeln!(text, "{kind}s: B is {mean:.3} times as fast as A (geometric mean)");
            }
        }
        if !self.only_in_one.is_empty() {
            let _ = writeln!(text, "only in one of them: {}", self.only_in_one.join("; "));
        }
        text
    }
}
