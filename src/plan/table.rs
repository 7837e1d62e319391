//! A plan as a table for people: `summary --plan`.

use super::{Plan, ProgramId, Reuse, Slots};
use crate::ops::DeviceClass;
use crate::ops::matrices::{self, Matrices};
use std::fmt::Write;

/// The calls of a program: place, op, grid, work and buffers.
pub fn table(plan: &Plan, program: ProgramId, class: DeviceClass, matrices: Option<Matrices>) -> String {
    let program = &plan.programs[program.0];
    let mut text = format!("{}: {} dispatches\n", program.name, program.calls.len());
    let _ = writeln!(
        text,
        "{:>4}  {:<24} {:<22} {:>16} {:>9} {:>9}  buffers",
        "call", "place", "op", "grid", "MFLOP", "kB"
    );
    for (index, call) in program.calls.iter().enumerate() {
        let cost = plan.cost(call);
        let [x, y, z] = matrices::kernel(call.op, &call.params, class, matrices).grid;
        let buffers: Vec<String> = call
            .buffers
            .iter()
            .zip(call.op.bindings())
            .map(|(id, binding)| format!("{}={}", binding.name, plan.buffers[id.0].name))
            .collect();
        let _ = writeln!(
            text,
            "{index:>4}  {:<24} {:<22} {:>16} {:>9.3} {:>9.1}  {}",
            call.place,
            call.op.name(),
            format!("{x}x{y}x{z}"),
            cost.flops as f64 / 1e6,
            cost.bytes as f64 / 1e3,
            buffers.join(" "),
        );
    }
    text
}

/// Memory that the plan needs on a device.
pub fn memory(plan: &Plan, reuse: Reuse) -> String {
    let slots = Slots::assign(plan, reuse);
    format!(
        "{} buffers in {} slots, {:.1} MB on the device, the largest {:.1} MB\n",
        plan.buffers.len(),
        slots.words.len(),
        slots.bytes() as f64 / 1e6,
        4e-6 * slots.words.iter().copied().max().unwrap_or(0) as f64
    )
}
