//! What the device can do at all: multiply-adds, bytes, dispatches and submissions a second.
//!
//! They are measured through the same plans and backends as everything else, with ops that do nothing else.

use super::measure::{self, Effort, Figure};
use crate::backend::device::Device;
use crate::backend::{Backend, Clock};
use crate::ops::Cost;
use crate::ops::ceiling_copy::{self, CeilingCopy};
use crate::ops::ceiling_dispatch::{self, CeilingDispatch};
use crate::ops::ceiling_fma::{self, CeilingFma};
use crate::plan::{BufferId, Lifetime, Plan, ProgramId};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Words of each of the two buffers: 128 MiB together, more than caches hold.
const WORDS: usize = 1 << 24;
/// Elements and rounds of the chains of multiply-adds: few long ones suit few cores, many keep a large GPU busy. The last
/// only where the one before is soon done.
const CHAINS: [(u32, u32); 3] = [(1 << 16, 1024), (1 << 20, 64), (1 << 20, 1024)];
/// Seconds in which chains can be 16 times as long and still soon done.
const SOON: f64 = 0.005;
/// Words copied, from what a first cache holds to [`WORDS`].
const COPIES: [usize; 5] = [1 << 12, 1 << 15, 1 << 18, 1 << 21, WORDS];

/// The ceilings of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Floating-point operations, 10^9 a second, a multiply-add counting two.
    pub gflop_per_s: Figure,
    /// Bytes read and written by copies, by their size; the largest is the memory's.
    pub bandwidth: Vec<Bandwidth>,
    /// Seconds of a dispatch that does next to nothing and waits for the one before it.
    pub dispatch: Figure,
    /// Seconds from submitting such a dispatch by itself until the host knows that it is done.
    pub submit: Figure,
}

/// How fast copies of a size are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bytes read and written.
    pub bytes: u64,
    /// 10^9 a second.
    pub gb_per_s: Figure,
}

/// The ceilings, and the clock that they were measured by.
pub struct Ceilings {
    /// The clock.
    pub clock: Clock,
    /// The ceilings.
    pub figures: Figures,
}

/// What keeps a call from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Moving bytes.
    Memory,
    /// Being dispatched at all.
    Dispatch,
}

impl Figures {
    /// The bandwidth, in 10^9 bytes a second, that work on so many bytes can have: that of copies no smaller, for small
    /// copies may be bound by their dispatch.
    pub fn bandwidth_of(&self, bytes: u64) -> f64 {
        let largest = self.bandwidth.iter().map(|b| b.bytes).max().unwrap_or(0);
        let no_smaller = self.bandwidth.iter().filter(|b| b.bytes >= bytes.min(largest));
        no_smaller.map(|b| b.gb_per_s.median).fold(0.0, f64::max)
    }

    /// The least seconds of this work by the nearer of the two ceilings, and what keeps a call of it from being faster.
    pub fn least_seconds(&self, cost: &Cost) -> (f64, Bound) {
        let compute = cost.flops as f64 / (1e9 * self.gflop_per_s.median);
        let memory = cost.bytes as f64 / (1e9 * self.bandwidth_of(cost.bytes));
        let least = compute.max(memory);
        let bound = match () {
            () if self.dispatch.median > least => Bound::Dispatch,
            () if compute > memory => Bound::Compute,
            () => Bound::Memory,
        };
        (least, bound)
    }
}

/// The plan of the ceilings: one call in each program.
struct Rig {
    plan: Plan,
    source: BufferId,
    target: BufferId,
    count: BufferId,
    chains: [ProgramId; CHAINS.len()],
    copies: [ProgramId; COPIES.len()],
    dispatch: ProgramId,
}

impl Rig {
    fn new() -> Self {
        let mut plan = Plan::default();
        let mut buffer = |name, words| plan.buffer(name, words, Lifetime::Run);
        let (source, target) = (buffer("source", WORDS), buffer("target", WORDS));
        let count = buffer("count", 1);
        let chains = CHAINS.map(|(len, rounds)| {
            let program = plan.program("multiply-adds");
            let params = ceiling_fma::Params { len, rounds };
            plan.call(program, "ceiling", &CeilingFma, &params, &[source, target]);
            program
        });
        let copies = COPIES.map(|words| {
            let program = plan.program("copy");
            let params = ceiling_copy::Params { len: words as u32 };
            plan.call(program, "ceiling", &CeilingCopy, &params, &[source, target]);
            program
        });
        let dispatch = plan.program("dispatch");
        let params = ceiling_dispatch::Params { increment: 1 };
        plan.call(dispatch, "ceiling", &CeilingDispatch, &params, &[count]);
        Self { plan, source, target, count, chains, copies, dispatch }
    }

    fn cost(&self, program: ProgramId) -> Cost {
        self.plan.programs[program.0].calls.iter().fold(Cost::default(), |sum, call| {
            let cost = call.cost();
            Cost { flops: sum.flops + cost.flops, bytes: sum.bytes + cost.bytes }
        })
    }
}

/// Measures the ceilings.
///
/// # Errors
/// When the device cannot be opened, fails, or skips work.
pub fn measure(device: &Device, effort: &Effort) -> Result<Ceilings> {
    let rig = Rig::new();
    let mut backend = device.open(&rig.plan)?;
    let numbers: Vec<u32> = (0..WORDS).map(|i| (1.0 + i as f32 / WORDS as f32).to_bits()).collect();
    backend.write(rig.source, 0, &numbers)?;
    backend.write(rig.target, 0, &numbers)?;
    let mut figures = Figures {
        gflop_per_s: multiply_adds(&rig, backend.as_mut(), effort)?,
        bandwidth: bandwidth(&rig, backend.as_mut(), effort)?,
        dispatch: dispatch(&rig, backend.as_mut(), effort)?,
        submit: submit(&rig, backend.as_mut(), effort)?,
    };
    figures.bandwidth.sort_by_key(|b| b.bytes);
    Ok(Ceilings { clock: backend.clock(), figures })
}

fn multiply_adds(rig: &Rig, backend: &mut dyn Backend, effort: &Effort) -> Result<Figure> {
    let mut best: Option<Figure> = None;
    let mut last = 0.0;
    for &program in &rig.chains {
        if program == rig.chains[CHAINS.len() - 1] && last > SOON {
            break;
        }
        let seconds = measure::seconds(effort, usize::MAX, |times| backend.time(program, times))?;
        let rate = seconds.rate(rig.cost(program).flops as f64 * 1e-9);
        if best.is_none_or(|best| rate.median > best.median) {
            best = Some(rate);
        }
        last = seconds.median;
    }
    best.ok_or_else(|| anyhow::anyhow!("no multiply-adds were measured"))
}

fn bandwidth(rig: &Rig, backend: &mut dyn Backend, effort: &Effort) -> Result<Vec<Bandwidth>> {
    let of = |&program: &ProgramId| {
        let bytes = rig.cost(program).bytes;
        let seconds = measure::seconds(effort, usize::MAX, |times| backend.time(program, times))?;
        Ok(Bandwidth { bytes, gb_per_s: seconds.rate(bytes as f64 * 1e-9) })
    };
    rig.copies.iter().map(of).collect()
}

/// A dispatch, and with it the proof that what is timed has run: each counts itself.
fn dispatch(rig: &Rig, backend: &mut dyn Backend, effort: &Effort) -> Result<Figure> {
    let mut done = 0_u32;
    let figure = measure::seconds(effort, usize::MAX, |times| {
        done += times as u32;
        backend.time(rig.dispatch, times)
    })?;
    let mut count = [0];
    backend.read(rig.count, 0, &mut count)?;
    ensure!(
        count[0] == done,
        "{} of {done} dispatches ran: times of this device mean nothing. Check it with `gpu-mnist verify`",
        count[0]
    );
    Ok(figure)
}

/// By the host's clock, since it is the host that waits.
fn submit(rig: &Rig, backend: &mut dyn Backend, effort: &Effort) -> Result<Figure> {
    measure::seconds(effort, usize::MAX, |times| {
        let start = Instant::now();
        for _ in 0..times {
            backend.run(rig.dispatch, 1)?;
            backend.wait()?;
        }
        Ok(start.elapsed())
    })
}
