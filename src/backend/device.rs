//! The device that a user asks for, from which backends are made.

use super::cpu::{Cpu, default_threads};
use super::gpu::adapter::{self, Adapter, Api, Selection};
use super::gpu::{Checks, Gpu};
use super::{Backend, DeviceInfo, count_threads};
use crate::error::Error;
use crate::ops::matrices::Factors;
use crate::ops::{DeviceClass, simd};
use crate::plan::Plan;
use crate::plan::network::Target;
use anyhow::{Result, bail};

/// A device, opened or not.
pub enum Device {
    /// This many threads.
    Cpu {
        /// At least one.
        threads: usize,
    },
    /// An adapter.
    Gpu {
        /// Which.
        adapter: Box<Adapter>,
        /// How its kernels are compiled.
        checks: Checks,
    },
}

/// What to run on, as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A hardware GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU through this API, software included.
    Gpu(Api),
}

impl Device {
    /// Finds the device, and says why it is this one.
    ///
    /// # Errors
    /// [`crate::error::Error::NoDevice`] with advice when there is none.
    pub fn find(wanted: Wanted, adapter: Option<String>, threads: Option<usize>) -> Result<(Self, String)> {
        let threads = threads.unwrap_or_else(default_threads).max(1);
        let on_cpu = format!("the CPU backend, {}, {}", count_threads(threads), simd::instructions());
        match wanted {
            Wanted::Cpu => Ok((Self::Cpu { threads }, format!("using {on_cpu}"))),
            Wanted::Auto if adapter.is_none() => match adapter::hardware() {
                Some(adapter) => Ok(Self::gpu(adapter, "a hardware GPU was found")),
                None => Ok((Self::Cpu { threads }, format!("no hardware GPU was found: using {on_cpu}"))),
            },
            Wanted::Auto => {
                Ok(Self::gpu(adapter::choose(&Selection { api: Api::Any, adapter })?, "as asked for"))
            }
            Wanted::Gpu(api) => Ok(Self::gpu(adapter::choose(&Selection { api, adapter })?, "as asked for")),
        }
    }

    /// The same, with sums over a workgroup by its subgroups.
    ///
    /// # Errors
    /// [`Error::NoDevice`] where there are none.
    pub fn with_subgroups(self) -> Result<Self> {
        match self {
            Self::Cpu { .. } => bail!(Error::NoDevice(
                "the CPU backend has no subgroups; leave --subgroups out, or choose a GPU with --backend gpu"
                    .into()
            )),
            Self::Gpu { adapter, checks } => {
                Ok(Self::Gpu { adapter: Box::new(adapter.with_subgroups()?), checks })
            }
        }
    }

    /// The same, with activations in half precision.
    ///
    /// # Errors
    /// [`Error::NoDevice`] where kernels have none.
    pub fn with_half_activations(self) -> Result<Self> {
        match self {
            Self::Cpu { .. } => bail!(Error::NoDevice(
                "the CPU backend has no half precision; leave --f16 out, or choose a GPU with --backend gpu"
                    .into()
            )),
            Self::Gpu { adapter, checks } => {
                Ok(Self::Gpu { adapter: Box::new(adapter.with_half_activations()?), checks })
            }
        }
    }

    /// The same, with dense products and convolutions by cooperative matrices, of factors in this precision or else the most exact.
    ///
    /// # Errors
    /// [`Error::NoDevice`] where there are none that kernels can use.
    pub fn with_matrices(self, factors: Option<Factors>) -> Result<Self> {
        match self {
            Self::Cpu { .. } => bail!(Error::NoDevice(
                "the CPU backend has no cooperative matrices; leave --cooperative-matrices out, or choose a GPU with --backend gpu"
                    .into()
            )),
            Self::Gpu { adapter, checks } => {
                Ok(Self::Gpu { adapter: Box::new(adapter.with_matrices(factors)?), checks })
            }
        }
    }

    /// The same with the kernels of this class.
    ///
    /// # Errors
    /// [`Error::NoDevice`] on the CPU, which has one kind of kernels.
    pub fn with_class(self, class: DeviceClass) -> Result<Self> {
        match self {
            Self::Cpu { .. } => bail!(Error::NoDevice(
                "the CPU backend has kernels of its own; leave --class out, or choose a GPU with --backend gpu".into()
            )),
            Self::Gpu { adapter, checks } => {
                Ok(Self::Gpu { adapter: Box::new(adapter.with_class(class)), checks })
            }
        }
    }

    fn gpu(adapter: Adapter, why: &str) -> (Self, String) {
        let info = adapter.info();
        let software =
            if info.software { "; it is a software rasteriser, slower than --backend cpu" } else { "" };
        let line = format!("using {} through {} ({why}{software})", info.name, info.backend);
        (Self::Gpu { adapter: Box::new(adapter), checks: Checks::Off }, line)
    }

    /// What plans should be made for.
    pub fn target(&self) -> Target {
        match self {
            Self::Cpu { .. } => Target::Cpu,
            Self::Gpu { adapter, .. } => Target::Gpu(adapter.class()),
        }
    }

    /// The largest buffer in bytes, where there is a limit.
    pub fn largest_binding(&self) -> Option<u64> {
        match self {
            Self::Cpu { .. } => None,
            Self::Gpu { adapter, .. } => Some(adapter.largest_binding()),
        }
    }

    /// What it is.
    pub fn info(&self) -> DeviceInfo {
        match self {
            Self::Cpu { threads } => Cpu::describe(*threads),
            Self::Gpu { adapter, .. } => adapter.info().clone(),
        }
    }

    /// A plan as the device stores it.
    pub fn stored(&self, plan: Plan) -> Plan {
        match self {
            Self::Gpu { adapter, .. } if adapter.uses_half_activations() => plan.with_half_activations(),
            _ => plan,
        }
    }

    /// A backend for a plan.
    ///
    /// # Errors
    /// When the device cannot be opened or does not suffice.
    pub fn open(&self, plan: &Plan) -> Result<Box<dyn Backend>> {
        match self {
            Self::Cpu { threads } => Ok(Box::new(Cpu::new(plan, *threads)?)),
            Self::Gpu { adapter, checks } => Ok(Box::new(Gpu::new(plan, adapter, *checks)?)),
        }
    }
}
