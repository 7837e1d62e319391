//! `verify`

use super::args::DeviceArgs;
use crate::error::Error;
use crate::verify::ops;
use anyhow::{Result, bail};
use clap::Args;

/// Flags of `verify`.
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    device: DeviceArgs,
    /// Only this op
    #[arg(long, value_name = "OP")]
    op: Option<String>,
    /// One JSON object for each case
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self) -> Result<()> {
        let (device, line) = self.device.find()?;
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
        if !self.json {
            super::print(&format!("{line}\nshare of the allowed error against the f64 reference\n"))?;
        }
        let mut wrong = Vec::new();
        for case in &cases {
            let report = ops::check(backend.as_mut(), case)?;
            super::print(&if self.json {
                let found = report.wrong.as_ref().map(|(buffer, d)| {
                    serde_json::json!({
                        "buffer": buffer, "index": d.index, "found": d.found, "expected": d.expected, "allowed": d.allowed,
                    })
                });
                let line = serde_json::json!({
                    "schema": 1, "op": report.op, "case": report.case, "share": report.worst, "wrong": found,
                });
                format!("{line}\n")
            } else {
                let verdict = if report.wrong.is_none() { "ok" } else { "WRONG" };
                format!("{:<26} {:<44} {:>9.4}  {verdict}\n", report.op, report.case, report.worst)
            })?;
            if let Some((buffer, difference)) = report.wrong {
                wrong.push(format!("{} ({}): {buffer}, {difference:?}", report.op, report.case));
            }
        }
        match wrong.first() {
            None => Ok(()),
            Some(first) => bail!(Error::Threshold(format!(
                "{} of {} cases are wrong; the first: {first}. Do not train on this device: use another --adapter or --backend cpu",
                wrong.len(),
                cases.len()
            ))),
        }
    }
}
