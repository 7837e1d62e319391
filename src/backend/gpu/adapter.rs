//! Finding adapters, choosing one, and opening it.

use super::rehearsal::Faults;
use crate::backend::DeviceInfo;
use crate::error::Error;
use crate::ops::DeviceClass;
use crate::ops::matrices::{Factors, Matrices};
use crate::ops::shader::BROADCASTING;
use anyhow::{Result, bail};

/// Graphics APIs that carry compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Any of them.
    Any,
    /// Vulkan
    Vulkan,
    /// Metal
    Metal,
    /// Direct3D 12
    Dx12,
    /// OpenGL (ES)
    Gl,
}

impl Api {
    fn backends(self) -> wgpu::Backends {
        match self {
            Self::Any => {
                wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::GL
            }
            Self::Vulkan => wgpu::Backends::VULKAN,
            Self::Metal => wgpu::Backends::METAL,
            Self::Dx12 => wgpu::Backends::DX12,
            Self::Gl => wgpu::Backends::GL,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "GPU",
            Self::Vulkan => "Vulkan",
            Self::Metal => "Metal",
            Self::Dx12 => "Direct3D 12",
            Self::Gl => "OpenGL",
        }
    }

    /// How to come by one.
    fn advice(self) -> &'static str {
        match self {
            Self::Metal if !cfg!(target_vendor = "apple") => {
                "Metal is there on Apple's systems only: use --backend gpu, which takes what this one has"
            }
            Self::Dx12 if !cfg!(windows) => {
                "Direct3D 12 is there on Windows only: use --backend gpu, which takes what this system has"
            }
            Self::Vulkan | Self::Gl if cfg!(target_vendor = "apple") => {
                "Apple's systems have Metal instead: use --backend metal"
            }
            _ if cfg!(target_os = "linux") => {
                "install a driver (on Debian and Ubuntu: apt-get install mesa-vulkan-drivers, which also brings a software one)"
            }
            _ => "install the driver of the graphics card's maker",
        }
    }
}

/// Which adapter a user wants.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The API.
    pub api: Api,
    /// An index into `devices`, or part of a name.
    pub adapter: Option<String>,
}

/// An adapter that could be used.
pub struct Adapter {
    adapter: wgpu::Adapter,
    info: DeviceInfo,
    device_type: wgpu::DeviceType,
    faults: Faults,
    class: DeviceClass,
    subgroups: bool,
    half_activations: bool,
    matrices: Option<Matrices>,
}

/// Share of the memory that the driver says is free, in percent, that may be allocated: the last of it is the desktop's, and
/// drivers that are out of memory lose devices.
const MEMORY_SHARE: u8 = 95;

/// Every adapter of an API, in the order of `devices`.
pub fn all(api: Api) -> Vec<Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = api.backends();
    descriptor.memory_budget_thresholds.for_resource_creation = Some(MEMORY_SHARE);
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(api.backends()));
    // Where the variable cannot be read, `choose` says so.
    let faults = Faults::from_env().unwrap_or_default();
    adapters.into_iter().map(|adapter| Adapter::new(adapter, faults.clone())).collect()
}

/// The adapter that `selection` means.
///
/// # Errors
/// [`Error::NoDevice`] with advice when there is none.
pub fn choose(selection: &Selection) -> Result<Adapter> {
    Faults::from_env()?;
    let mut adapters = all(selection.api);
    let names: Vec<String> = adapters.iter().map(|a| a.info.name.clone()).collect();
    if adapters.is_empty() {
        bail!(Error::NoDevice(format!(
            "no {} adapter was found; {}, check with `gpu-mnist devices`, or train with --backend cpu",
            selection.api.name(),
            selection.api.advice()
        )));
    }
    let position = match &selection.adapter {
        // Real GPUs first, the fastest kind first; the order of equals is the driver's.
        None => (0..adapters.len()).min_by_key(|&i| adapters[i].rank()),
        Some(wanted) => match wanted.parse::<usize>() {
            Ok(index) => (index < adapters.len()).then_some(index),
            Err(_) => {
                let wanted = wanted.to_lowercase();
                names.iter().position(|name| name.to_lowercase().contains(&wanted))
            }
        },
    };
    match position {
        Some(position) => Ok(adapters.swap_remove(position)),
        None => bail!(Error::NoDevice(format!(
            "no {} adapter is called or numbered {:?}; there are: {}. See `gpu-mnist devices`",
            selection.api.name(),
            selection.adapter.as_deref().unwrap_or_default(),
            names.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The best hardware adapter, if there is one: what `auto` takes. It never takes a software rasteriser.
pub fn hardware() -> Option<Adapter> {
    let adapters = all(Api::Any).into_iter().filter(|adapter| !adapter.info.software);
    adapters.min_by_key(Adapter::rank)
}

impl Adapter {
    fn new(adapter: wgpu::Adapter, faults: Faults) -> Self {
        let info = adapter.get_info();
        let device_type = info.device_type;
        let info = DeviceInfo {
            backend: info.backend.to_str().to_owned(),
            name: info.name,
            driver: format!("{} {}{}", info.driver, info.driver_info, faults.label()).trim().to_owned(),
            software: device_type == wgpu::DeviceType::Cpu,
            threads: 0,
        };
        let class = if info.software { DeviceClass::Software } else { DeviceClass::Gpu };
        let (subgroups, half_activations, matrices) = (false, false, None);
        Self { adapter, info, device_type, faults, class, subgroups, half_activations, matrices }
    }

    /// The same, with sums over a workgroup by its subgroups.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when it offers none.
    pub fn with_subgroups(self) -> Result<Self> {
        self.check_offers(wgpu::Features::SUBGROUP, "subgroups", "--subgroups")?;
        Ok(Self { subgroups: true, ..self }.said("sums by subgroups"))
    }

    /// Whether sums over a workgroup are made by its subgroups.
    pub(super) fn uses_subgroups(&self) -> bool {
        self.subgroups
    }

    /// Whether invocations of the software kernels load for each other: where a subgroup holds all of a workgroup. It makes no
    /// difference to the results.
    pub(super) fn broadcasts(&self) -> bool {
        self.class == DeviceClass::Software
            && self.adapter.features().contains(wgpu::Features::SUBGROUP)
            && self.subgroup_sizes().0 >= BROADCASTING
    }

    /// The same, with activations in half precision.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when its kernels cannot.
    pub fn with_half_activations(self) -> Result<Self> {
        self.check_offers(wgpu::Features::SHADER_F16, "half precision", "--f16")?;
        Ok(Self { half_activations: true, ..self }.said("activations in half precision"))
    }

    /// Whether activations are in half precision.
    pub(crate) fn uses_half_activations(&self) -> bool {
        self.half_activations
    }

    /// The same, with dense products and convolutions by cooperative matrices: of factors in this precision, or else in single
    /// precision where it offers that.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when it offers none that kernels can use.
    pub fn with_matrices(self, factors: Option<Factors>) -> Result<Self> {
        const FLAG: &str = "--cooperative-matrices";
        self.check_offers(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices", FLAG)?;
        let usable = self.matrices();
        let Some(&matrices) = usable.iter().find(|m| factors.is_none_or(|wanted| wanted == m.factors)) else {
            let name = factors.map_or("f32 or f16", Factors::name);
            bail!(Error::NoDevice(format!(
                "{} through {} offers cooperative matrices of {} and the kernels need 8x8x8 or 16x16x16 of {name} with sums in f32; \
                 leave {FLAG} out, or use another --adapter or --backend (see `gpu-mnist devices`)",
                self.info.name,
                self.info.backend,
                self.offered_matrices().join(", ")
            )));
        };
        let (size, name) = (matrices.size, matrices.factors.name());
        Ok(Self { matrices: Some(matrices), ..self }
            .said(&format!("products by cooperative matrices of {size}x{size} {name}")))
    }

    /// What products are made by, if not by ordinary kernels.
    pub(super) fn uses_matrices(&self) -> Option<Matrices> {
        self.matrices
    }

    /// Whether these take factors in half precision.
    pub(super) fn has_half_factors(&self) -> bool {
        self.matrices.is_some_and(|matrices| matrices.factors == Factors::F16)
    }

    /// The cooperative matrices that kernels can use: those of one size in all directions, for which WGSL has types, and with
    /// sums in single precision. The most exact first, and of these the largest.
    fn matrices(&self) -> Vec<Matrices> {
        let (_, subgroup) = self.subgroup_sizes();
        let has = |feature| self.adapter.features().contains(feature);
        let usable = |offered: &wgpu::CooperativeMatrixProperties| {
            let size = offered.m_size;
            let factors = match offered.ab_type {
                wgpu::CooperativeScalarType::F32 => Factors::F32,
                wgpu::CooperativeScalarType::F16 if has(wgpu::Features::SHADER_F16) => Factors::F16,
                _ => return None,
            };
            let fits = [8, 16].contains(&size)
                && [offered.n_size, offered.k_size] == [size; 2]
                && offered.cr_type == wgpu::CooperativeScalarType::F32
                && !offered.saturating_accumulation
                && has(wgpu::Features::SUBGROUP);
            fits.then_some(Matrices { factors, size, subgroup })
        };
        let offered = self.adapter.cooperative_matrix_properties();
        let mut usable: Vec<Matrices> = offered.iter().filter_map(usable).collect();
        usable.sort_by_key(|matrices| (matrices.factors, std::cmp::Reverse(matrices.size)));
        usable
    }

    /// The cooperative matrices that it offers: rows, columns and terms of a product, and the types of factors and sums.
    pub fn offered_matrices(&self) -> Vec<String> {
        let name = |scalar| match scalar {
            wgpu::CooperativeScalarType::F32 => "f32",
            wgpu::CooperativeScalarType::F16 => "f16",
            wgpu::CooperativeScalarType::I32 => "i32",
            wgpu::CooperativeScalarType::U32 => "u32",
        };
        let offered = self.adapter.cooperative_matrix_properties();
        let names = offered.iter().map(|m| {
            format!("{}x{}x{} {} to {}", m.m_size, m.n_size, m.k_size, name(m.ab_type), name(m.cr_type))
        });
        names.collect()
    }

    /// Refuses an adapter without a feature that `flag` asks for.
    fn check_offers(&self, feature: wgpu::Features, what: &str, flag: &str) -> Result<()> {
        if !self.adapter.features().contains(feature) {
            bail!(Error::NoDevice(format!(
                "{} through {} offers no {what}; leave {flag} out, or use another --adapter or --backend (see `gpu-mnist \
                 devices`)",
                self.info.name, self.info.backend
            )));
        }
        Ok(())
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Its kind: `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub fn kind(&self) -> &'static str {
        match self.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        }
    }

    /// Smallest and largest subgroup.
    pub fn subgroup_sizes(&self) -> (u32, u32) {
        let info = self.adapter.get_info();
        (info.subgroup_min_size, info.subgroup_max_size)
    }

    /// Optional features that kernels could use, by name.
    pub fn features(&self) -> Vec<&'static str> {
        let offered = self.adapter.features();
        let known = [
            (wgpu::Features::SUBGROUP, "subgroup"),
            (wgpu::Features::SHADER_F16, "shader-f16"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
            (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative-matrix"),
        ];
        known.into_iter().filter(|(feature, _)| offered.contains(*feature)).map(|(_, name)| name).collect()
    }

    /// Whose kernels it runs: at first those that suit it.
    pub fn class(&self) -> DeviceClass {
        self.class
    }

    /// The same with the kernels of this class, whether they suit it or not: so a software rasteriser can verify those for GPUs.
    pub fn with_class(self, class: DeviceClass) -> Self {
        if class == self.class {
            return self;
        }
        let said = match class {
            DeviceClass::Gpu => "kernels for GPUs",
            DeviceClass::Software => "kernels for software rasterisers",
        };
        Self { class, ..self }.said(said)
    }

    /// The same, with this behind its driver's name.
    fn said(mut self, what: &str) -> Self {
        self.info.driver = format!("{}, {what}", self.info.driver);
        self
    }

    fn rank(&self) -> usize {
        match self.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::Other => 2,
            wgpu::DeviceType::VirtualGpu => 3,
            wgpu::DeviceType::Cpu => 4,
        }
    }

    /// The largest buffer that a kernel can bind, in bytes.
    pub fn largest_binding(&self) -> u64 {
        let limits = self.limits();
        limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What it offers.
    fn limits(&self) -> wgpu::Limits {
        let mut limits = self.adapter.limits();
        if let Some(most) = self.faults.storage_buffers {
            limits.max_storage_buffers_per_shader_stage = most;
        }
        if let Some(most) = self.faults.binding_bytes {
            limits.max_storage_buffer_binding_size = most;
        }
        limits
    }

    /// Refuses an adapter that lacks what the kernels need: a test holds them inside WebGPU's default limits.
    fn check_limits(&self, offered: &wgpu::Limits) -> Result<()> {
        let needed = wgpu::Limits::default();
        let limits = [
            (
                "storage buffers in a kernel",
                needed.max_storage_buffers_per_shader_stage,
                offered.max_storage_buffers_per_shader_stage,
            ),
            (
                "invocations in a workgroup",
                needed.max_compute_invocations_per_workgroup,
                offered.max_compute_invocations_per_workgroup,
            ),
            (
                "bytes of workgroup memory",
                needed.max_compute_workgroup_storage_size,
                offered.max_compute_workgroup_storage_size,
            ),
            (
                "workgroups in a dimension",
                needed.max_compute_workgroups_per_dimension,
                offered.max_compute_workgroups_per_dimension,
            ),
        ];
        for (what, needed, offered) in limits {
            if offered < needed {
                bail!(Error::NoDevice(format!(
                    "{} offers {offered} {what} and the kernels need {needed}; update its driver, or use another --adapter \
                     (see `gpu-mnist devices`) or --backend cpu",
                    self.info.name
                )));
            }
        }
        Ok(())
    }

    /// Opens it with WebGPU's default limits, and larger buffers where it offers them.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when it lacks a limit or does not open.
    pub(super) fn open(&self) -> Result<(wgpu::Device, wgpu::Queue)> {
        let offered = self.limits();
        self.check_limits(&offered)?;
        let required_limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_color_attachments: offered.max_color_attachments.min(8),
            ..wgpu::Limits::default().or_worse_values_from(&offered)
        };
        let mut optional = wgpu::Features::empty();
        let subgroups = self.subgroups || self.broadcasts() || self.matrices.is_some();
        optional.set(wgpu::Features::SUBGROUP, subgroups);
        optional.set(wgpu::Features::SHADER_F16, self.half_activations || self.has_half_factors());
        optional.set(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, self.matrices.is_some());
        let experimental_features = match self.matrices {
            None => wgpu::ExperimentalFeatures::disabled(),
            // SAFETY: cooperative matrices only, where a user asks for them. Their kernel loads and stores whole matrices inside
            // arrays of the workgroup's memory, all invocations of a subgroup together.
            Some(_) => unsafe { wgpu::ExperimentalFeatures::enabled() },
        };
        let request = self.adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("gpu-mnist"),
            // For `bench`; costs nothing where no pass is timed.
            required_features: optional | self.adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits,
            experimental_features,
            ..Default::default()
        });
        pollster::block_on(request).map_err(|error| {
            Error::NoDevice(format!(
                "{} cannot be opened: {error}; see `gpu-mnist devices`, or use --backend cpu",
                self.info.name
            ))
            .into()
        })
    }
}
