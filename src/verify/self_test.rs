//! A short test of a device before it is used: one small case of every op of a plan, by the kernels that will run.

use super::ops::{self, PlacedCase};
use crate::backend::Backend;
use crate::error::Error;
use crate::ops::Op;
use crate::ops::case::Case;
use crate::plan::Plan;
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// Work of a case, in operations and bytes, that the f64 reference does in about a millisecond.
const MOST_WORK: u64 = 100_000;

/// The cases, placed in a plan.
pub struct SelfTest {
    cases: Vec<PlacedCase>,
}

impl SelfTest {
    /// Adds a program for each op that the plan calls.
    pub fn add(plan: &mut Plan) -> Self {
        let calls = plan.programs.iter().flat_map(|program| &program.calls);
        let called: BTreeMap<&str, &'static dyn Op> = calls.map(|call| (call.op.name(), call.op)).collect();
        let cases = called.into_values().filter_map(|op| Some((op, telling_case(op)?)));
        Self { cases: cases.map(|(op, case)| ops::place(plan, op, case)).collect() }
    }

    /// Runs them all.
    ///
    /// # Errors
    /// [`Error::NoDevice`] with the device's name when an op is wrong; when the device fails.
    pub fn run(&self, backend: &mut dyn Backend) -> Result<()> {
        for case in &self.cases {
            let report = ops::check(backend, case)?;
            let Some((buffer, wrong)) = report.wrong else { continue };
            let device = backend.device();
            bail!(Error::NoDevice(format!(
                "{} ({}) fails the self-test: {} ({}) makes {buffer}[{}] {} where {} is right, within {:.1e}; a network trained \
                 there would be wrong, so it is refused. Look closer with `gpu-mnist verify --backend {}`, update the driver, \
                 or use another --adapter or --backend cpu",
                device.name,
                device.driver,
                report.op,
                report.case,
                wrong.index,
                wrong.found,
                wrong.expected,
                wrong.allowed,
                device.backend,
            )));
        }
        Ok(())
    }
}

/// The case with the most work that is still quick; the least work if none is.
fn telling_case(op: &dyn Op) -> Option<Case<Vec<u32>>> {
    let work = |case: &Case<Vec<u32>>| {
        let cost = op.cost(&case.params);
        cost.flops + cost.bytes
    };
    // Too much work counts against a case, the more the worse.
    let rank = |case: &Case<Vec<u32>>| match work(case) {
        work @ 0..=MOST_WORK => i128::from(work),
        work => -i128::from(work),
    };
    op.cases().into_iter().max_by_key(rank)
}
