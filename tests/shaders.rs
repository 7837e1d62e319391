//! Every kernel that a device could be given: valid WGSL, translatable to every language, inside WebGPU's default limits, and
//! with the bindings and parameters that its op declares.
//!
//! Where `spirv-val` or `glslangValidator` is installed, it judges the translations too; where not, a line says so.

mod common;

use clap::ValueEnum;
use common::network::plan_of;
use gpu_mnist::ops::case::Case;
use gpu_mnist::ops::matrices::{Factors, Matrices};
use gpu_mnist::ops::{self, Access, DeviceClass, Element, Kernel, MAX_GROUPS, Op, shader};
use gpu_mnist::plan::network::Target;
use gpu_mnist::recipe::{Recipe, preset};
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ScalarKind, StorageAccess, TypeInner};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// WebGPU's default limits.
const STORAGE_BUFFERS: usize = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16 << 10;
/// What one call's parameters may take in the uniform buffer of all calls.
const PARAMETER_BYTES: u32 = 256;

/// A kernel by op and constants: grids do not matter to its text.
type Kernels = BTreeMap<(&'static str, Vec<(&'static str, u32)>), &'static dyn Op>;

/// Kernels of all test cases, and of all shipped recipes at small, usual and large batches.
fn kernels() -> Kernels {
    let mut kernels = Kernels::new();
    let mut add = |op: &'static dyn Op, what: &str, kernel: Kernel| {
        let in_range = kernel.grid.iter().all(|groups| (1..=MAX_GROUPS).contains(groups));
        assert!(in_range, "{} ({what}): grid {:?}", op.name(), kernel.grid);
        kernels.insert((op.name(), kernel.constants), op);
    };
    for &class in DeviceClass::value_variants() {
        for &op in ops::ALL {
            for case in op.cases() {
                add(op, &case.name, op.kernel(&case.params, class));
            }
        }
        for name in preset::names() {
            let mut recipe = Recipe::preset(name).unwrap();
            for (batch, clip, fuse) in [(1, "0", true), (256, "1", false), (4096, "0", true)] {
                recipe.apply_set(&format!("training.clip_norm={clip}")).unwrap();
                let plan = plan_of(&recipe, batch, Target::Gpu(class), fuse).plan;
                for call in plan.programs.iter().flat_map(|program| &program.calls) {
                    add(call.op, &format!("{name}, batch {batch}"), call.op.kernel(&call.params, class));
                }
            }
        }
    }
    kernels
}

/// A kernel, parsed and validated.
struct Compiled {
    op: &'static dyn Op,
    constants: Vec<(&'static str, u32)>,
    module: Module,
    info: ModuleInfo,
}

/// All of them, made once.
static COMPILED: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compile = |((_, constants), op): ((_, Vec<_>), &'static dyn Op)| {
        let (module, info) = module(op, &constants);
        Compiled { op, constants, module, info }
    };
    kernels().into_iter().map(compile).collect()
});

/// Parses and validates a kernel's text.
fn module(op: &dyn Op, constants: &[(&'static str, u32)]) -> (Module, ModuleInfo) {
    let text = shader::expand(op, &Kernel { constants: constants.to_vec(), grid: [1; 3] });
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{} {constants:?}: {}", op.name(), error.emit_to_string(&text)));
    // No capability beyond those of every WebGPU device.
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{} {constants:?}: {}", op.name(), error.emit_to_string(&text)));
    (module, info)
}

#[test]
fn bindings_and_parameters_are_those_that_the_op_declares() {
    for Compiled { op, module, .. } in COMPILED.iter() {
        let (op, name) = (*op, op.name());
        let mut bound = BTreeMap::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(at) = variable.binding else { continue };
            assert_eq!(at.group, 0, "{name}");
            assert!(bound.insert(at.binding, variable).is_none(), "{name}: binding {} twice", at.binding);
        }
        let declared = op.bindings();
        assert_eq!(
            bound.keys().copied().collect::<Vec<_>>(),
            (0..=declared.len() as u32).collect::<Vec<_>>(),
            "{name}"
        );
        assert!(declared.len() <= STORAGE_BUFFERS, "{name} binds {} buffers", declared.len());
        assert_eq!(bound[&0].space, AddressSpace::Uniform, "{name}");
        check_parameters(op, module, &module.types[bound[&0].ty]);
        for (number, binding) in (1..).zip(declared) {
            let variable = bound[&number];
            let what = format!("{name}, binding {number} ({})", binding.name);
            assert_eq!(variable.name.as_deref(), Some(binding.name), "{what}");
            let access = match binding.access {
                Access::Read => StorageAccess::LOAD,
                Access::Write | Access::ReadWrite => StorageAccess::LOAD | StorageAccess::STORE,
            };
            assert_eq!(variable.space, AddressSpace::Storage { access }, "{what}");
            assert_eq!(element(module, variable.ty), Some(binding.element), "{what}");
        }
    }
}

/// The element of a runtime-sized array of numbers, words, or vectors of two or four numbers (buffers are multiples of 16 bytes).
fn element(module: &Module, ty: naga::Handle<naga::Type>) -> Option<Element> {
    let TypeInner::Array { base, size: naga::ArraySize::Dynamic, stride } = module.types[ty].inner else {
        return None;
    };
    match (&module.types[base].inner, stride) {
        (TypeInner::Scalar(scalar), 4) => scalar_element(*scalar),
        (TypeInner::Vector { size: naga::VectorSize::Bi, scalar }, 8)
        | (TypeInner::Vector { size: naga::VectorSize::Quad, scalar }, 16) => {
            scalar_element(*scalar).filter(|element| *element == Element::F32)
        }
        _ => None,
    }
}

fn scalar_element(scalar: naga::Scalar) -> Option<Element> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Some(Element::F32),
        (ScalarKind::Uint, 4) => Some(Element::U32),
        _ => None,
    }
}

/// The struct `Params` has the op's fields in its order, four bytes each.
fn check_parameters(op: &dyn Op, module: &Module, ty: &naga::Type) {
    let name = op.name();
    assert_eq!(ty.name.as_deref(), Some("Params"), "{name}");
    let TypeInner::Struct { members, span } = &ty.inner else { panic!("{name}: Params is no struct") };
    assert!(*span <= PARAMETER_BYTES, "{name}: {span} bytes of parameters");
    let found: Vec<_> = members
        .iter()
        .map(|member| {
            let TypeInner::Scalar(scalar) = module.types[member.ty].inner else {
                panic!("{name}: {member:?}")
            };
            // A name that WGSL reserves has an underscore there.
            let name = member.name.as_deref().unwrap().trim_end_matches('_').to_owned();
            (name, scalar_element(scalar).unwrap(), member.offset)
        })
        .collect();
    let fields = op.fields().iter().enumerate();
    let expected: Vec<_> =
        fields.map(|(i, &(field, element))| (field.to_owned(), element, 4 * i as u32)).collect();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn kernels_stay_inside_the_default_limits() {
    let (mut largest, mut threads) = (0, 0);
    for Compiled { op, constants, module, .. } in COMPILED.iter() {
        let (memory, invocations) = check_limits(module, &format!("{} {constants:?}", op.name()));
        (largest, threads) = (largest.max(memory), threads.max(invocations));
    }
    println!("at most {largest} bytes of workgroup memory and {threads} invocations");
}

/// Bytes of workgroup memory, and invocations of a workgroup.
fn check_limits(module: &Module, what: &str) -> (u32, u32) {
    let [entry] = &module.entry_points[..] else {
        panic!("{what}: {} entry points", module.entry_points.len())
    };
    assert_eq!((entry.name.as_str(), entry.stage), ("main", naga::ShaderStage::Compute), "{what}");
    let invocations = entry.workgroup_size.iter().product::<u32>();
    assert!((1..=INVOCATIONS).contains(&invocations), "{what}: {invocations} invocations");
    let memory: u32 = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
        .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
        .sum();
    assert!(memory <= WORKGROUP_BYTES, "{what}: {memory} bytes of workgroup memory");
    (memory, invocations)
}

/// Results must not depend on the order in which invocations come, and drivers may assume that there is no NaN.
#[test]
fn no_kernel_adds_atomically_or_asks_for_nan() {
    for Compiled { op, module, .. } in COMPILED.iter() {
        let atomic_floats = module
            .types
            .iter()
            .any(|(_, ty)| matches!(ty.inner, TypeInner::Atomic(scalar) if scalar.kind == ScalarKind::Float));
        assert!(!atomic_floats, "{}", op.name());
    }
    for (path, text) in all_shaders() {
        assert!(!text.contains("atomicCompareExchange"), "{path:?}: an atomic addition in disguise");
        assert!(!self_comparison(&text), "{path:?}: drivers may take x != x for false");
    }
    assert!(self_comparison("if x[i] != x[i] {") && self_comparison("a = (y==y);"));
    assert!(
        !self_comparison("if x[i] != x[j] {") && !self_comparison("xx != x") && !self_comparison("x == xx")
    );
}

/// Whether something is compared with itself.
fn self_comparison(text: &str) -> bool {
    let operand = |c: char| c.is_alphanumeric() || "_.[]".contains(c);
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let found = |line: &str, sign: &str| {
        line.match_indices(sign).any(|(at, _)| {
            let (left, right) = (line[..at].trim_end(), line[at + 2..].trim_start());
            let left = &left[left.rfind(|c| !operand(c)).map_or(0, |end| end + 1)..];
            let right = &right[..right.find(|c| !operand(c)).unwrap_or(right.len())];
            !left.is_empty() && left == right
        })
    };
    code.into_iter().any(|line| found(line, "!=") || found(line, "=="))
}

#[test]
fn every_op_has_two_files_of_its_name_and_no_file_is_unused() {
    let in_list: BTreeSet<String> = ops::ALL.iter().map(|op| op.name().to_owned()).collect();
    assert_eq!(in_list.len(), ops::ALL.len(), "names are unique");
    assert_eq!(stems("shaders", "wgsl"), in_list);
    let formulas = stems("src/ops", "rs").into_iter().filter(|stem| {
        let text = std::fs::read_to_string(root().join(format!("src/ops/{stem}.rs"))).unwrap();
        text.contains("\nimpl Formula for ")
    });
    assert_eq!(formulas.collect::<BTreeSet<_>>(), in_list);
    let imported = all_shaders().into_iter().flat_map(|(_, text)| {
        let imports = text.lines().filter_map(|line| line.strip_prefix("#import "));
        imports.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(imported.collect::<BTreeSet<_>>(), stems("shaders/shared", "wgsl"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    files(folder, extension)
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn all_shaders() -> Vec<(PathBuf, String)> {
    let paths = files("shaders", "wgsl").into_iter().chain(files("shaders/shared", "wgsl"));
    paths.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn kernels_translate_to_every_language() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spirv, mut sources, mut direct3d) = (Vec::new(), Vec::new(), Vec::new());
    for (number, Compiled { op, module, info, .. }) in COMPILED.iter().enumerate() {
        let name = op.name();
        for (kind, policy) in
            [("unchecked", BoundsCheckPolicy::Unchecked), ("checked", BoundsCheckPolicy::Restrict)]
        {
            let path = folder.path().join(format!("{name}-{number}-{kind}.spv"));
            let words = to_spirv(module, info, policy);
            std::fs::write(&path, bytemuck::cast_slice::<u32, u8>(&words)).unwrap();
            spirv.push(path);
        }
        let metal = to_metal(module, info, (2, 0));
        assert!(metal.contains("kernel void main_("), "{name}");
        assert!(to_hlsl(module, info, hlsl::ShaderModel::V5_1).contains("numthreads"), "{name}");
        let text = to_hlsl(module, info, hlsl::ShaderModel::V6_0);
        // glslang does not know how naga sets arrays to zero.
        if !text.contains("])0") {
            let path = folder.path().join(format!("{name}-{number}.hlsl"));
            std::fs::write(&path, text).unwrap();
            direct3d.push(path);
        }
        for version in [glsl::Version::new_gles(310), glsl::Version::Desktop(430)] {
            let kind = if version.is_es() { "es" } else { "desktop" };
            let path = folder.path().join(format!("{name}-{number}-{kind}.comp"));
            std::fs::write(&path, to_glsl(module, info, version)).unwrap();
            sources.push(path);
        }
    }
    println!("{} kernels translated to SPIR-V, MSL, HLSL and GLSL", COMPILED.len());
    judge("spirv-val", &["--target-env", "vulkan1.0"], spirv.chunks(1));
    judge("glslangValidator", &[], sources.chunks(64));
    // Its reading of HLSL, up to SPIR-V that it throws away: Microsoft's own compiler runs elsewhere.
    judge(
        "glslangValidator",
        &["-D", "-V", "-S", "comp", "-e", "main", "-o", "/dev/null"],
        direct3d.chunks(1),
    );
}

/// Kernels with all their activations in half precision are valid where there are 16-bit numbers, and nowhere else, and
/// translate to the languages that have them.
#[test]
fn kernels_in_half_precision_are_valid_and_translate() {
    let folder = tempfile::tempdir().unwrap();
    let mut spirv = Vec::new();
    for (number, Compiled { op, constants, .. }) in COMPILED.iter().enumerate() {
        let name = op.name();
        let halves: Vec<bool> = op.bindings().iter().map(|binding| binding.activations).collect();
        let whole = shader::expand(*op, &Kernel { constants: constants.clone(), grid: [1; 3] });
        let text = shader::in_halves(*op, &whole, &halves);
        assert_eq!(text != whole, halves.contains(&true), "{name}");
        if text == whole {
            continue;
        }
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{name} {constants:?}: {}", error.emit_to_string(&text)));
        let validator = |capabilities| Validator::new(ValidationFlags::all(), capabilities);
        assert!(validator(Capabilities::empty()).validate(&module).is_err(), "{name}");
        let info = validator(Capabilities::SHADER_FLOAT16)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name} {constants:?}: {}", error.emit_to_string(&text)));
        for (binding, half) in op.bindings().iter().zip(halves) {
            let variable =
                module.global_variables.iter().find(|(_, v)| v.name.as_deref() == Some(binding.name));
            let TypeInner::Array { base, .. } = module.types[variable.unwrap().1.ty].inner else {
                panic!("{name}: {} is no array", binding.name)
            };
            let scalar = module.types[base].inner.scalar().unwrap();
            assert_eq!(scalar.width, if half { 2 } else { 4 }, "{name}: {}", binding.name);
        }
        let path = folder.path().join(format!("{name}-{number}.spv"));
        let words = to_spirv(&module, &info, BoundsCheckPolicy::Unchecked);
        std::fs::write(&path, bytemuck::cast_slice::<u32, u8>(&words)).unwrap();
        spirv.push(path);
        assert!(to_metal(&module, &info, (2, 0)).contains("half"), "{name}");
        assert!(to_hlsl(&module, &info, hlsl::ShaderModel::V6_2).contains("half"), "{name}");
    }
    println!("{} kernels in half precision", spirv.len());
    judge("spirv-val", &["--target-env", "vulkan1.1"], spirv.chunks(1));
}

/// Kernels by cooperative matrices of every kind, for subgroups of every size, are valid where there are such matrices and
/// nowhere else, stay inside the limits, and translate to the languages that have them; so they are in parts, with a planted
/// fault and with activations in half precision.
#[test]
fn kernels_by_cooperative_matrices_are_valid_and_translate() {
    let mut kernels = Kernels::new();
    for (size, subgroup) in [8, 16].into_iter().flat_map(|size| [4, 8, 16, 32, 64, 128].map(|n| (size, n))) {
        for matrices in [Factors::F32, Factors::F16].map(|factors| Matrices { factors, size, subgroup }) {
            for &op in ops::ALL {
                let kernel = |case: &Case<Vec<u32>>| op.cooperative_kernel(&case.params, matrices);
                kernels.extend(op.cases().iter().filter_map(kernel).map(|k| ((op.name(), k.constants), op)));
            }
        }
    }
    println!("{} kernels by cooperative matrices", kernels.len());
    for ((name, constants), op) in kernels {
        let constant = |name| constants.iter().find(|(other, _)| *other == name).unwrap().1;
        let whole = shader::expand(op, &Kernel { constants: constants.clone(), grid: [1; 3] });
        let halves: Vec<bool> = op.bindings().iter().map(|binding| binding.activations).collect();
        let (part, wrong) = (shader::part(whole.clone()), shader::plant_fault(op, &whole).unwrap());
        assert!(wrong != whole, "{name}");
        for text in [whole.clone(), part, wrong, shader::in_halves(op, &whole, &halves)] {
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name} {constants:?}: {}", error.emit_to_string(&text)));
            let validator = |capabilities| Validator::new(ValidationFlags::all(), capabilities);
            let mut needed = Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
            needed.set(Capabilities::SHADER_FLOAT16, text.contains("f16"));
            let info = validator(needed)
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name} {constants:?}: {}", error.emit_to_string(&text)));
            for one in needed.iter() {
                let without = validator(needed - one).validate(&module);
                assert!(without.is_err(), "{name} is valid without {one:?}");
            }
            check_limits(&module, &format!("{name} {constants:?}"));
            for policy in [BoundsCheckPolicy::Unchecked, BoundsCheckPolicy::Restrict] {
                assert!(!to_spirv(&module, &info, policy).is_empty());
            }
            // Metal has no other size.
            if constant("SIZE") == 8 {
                assert!(to_metal(&module, &info, (2, 3)).contains("simdgroup_multiply_accumulate"), "{name}");
            }
        }
    }
}

/// Has an external validator look at files, if it is installed.
fn judge<'a>(program: &str, arguments: &[&str], files: impl Iterator<Item = &'a [PathBuf]>) {
    if Command::new(program).arg("--version").output().is_err() {
        println!("NOT VALIDATED by {program}: it is not installed");
        return;
    }
    let mut count = 0;
    for files in files {
        let output = Command::new(program).args(arguments).args(files).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{} {program} {files:?}", said.concat());
        count += files.len();
    }
    println!("{count} files are valid for {program}");
}

fn to_spirv(module: &Module, info: &ModuleInfo, policy: BoundsCheckPolicy) -> Vec<u32> {
    let bounds_check_policies = BoundsCheckPolicies { index: policy, buffer: policy, ..Default::default() };
    // As wgpu writes it for Vulkan 1.0 devices: without the extension, blocks take the older decoration.
    let options = spv::Options { lang_version: (1, 0), bounds_check_policies, ..Default::default() };
    let pipeline =
        spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(module, info, &options, Some(&pipeline)).unwrap()
}

fn to_metal(module: &Module, info: &ModuleInfo, lang_version: (u8, u8)) -> String {
    let options = msl::Options { lang_version, ..Default::default() };
    msl::write_string(module, info, &options, &msl::PipelineOptions::default()).unwrap().0
}

fn to_hlsl(module: &Module, info: &ModuleInfo, shader_model: hlsl::ShaderModel) -> String {
    let mut text = String::new();
    let options = hlsl::Options { shader_model, ..Default::default() };
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).unwrap();
    text
}

fn to_glsl(module: &Module, info: &ModuleInfo, version: glsl::Version) -> String {
    let mut text = String::new();
    let options = glsl::Options { version, ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
        multiview: None,
    };
    let policies = BoundsCheckPolicies::default();
    let mut writer = glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies).unwrap();
    writer.write().unwrap();
    text
}

/// Kernels that run a part of their grid, those with a planted fault, and those that sum by subgroups or whose invocations load
/// for each other compile like the whole and sound ones.
#[test]
fn kernels_in_parts_with_planted_faults_and_by_subgroups_are_valid() {
    let (mut by_subgroups, mut by_broadcast) = (0, 0);
    for Compiled { op, constants, module, .. } in COMPILED.iter() {
        let kernel = Kernel { constants: constants.clone(), grid: [1; 3] };
        let (whole, part) = (shader::expand(*op, &kernel), shader::part(shader::expand(*op, &kernel)));
        let wrong = [&whole, &part].map(|text| shader::plant_fault(*op, text));
        let [Some(wrong), Some(wrong_part)] = wrong else {
            panic!("no fault can be planted in {}", op.name())
        };
        assert!(wrong != whole && wrong_part != part, "{}", op.name());
        let by_subgroup = shader::expand_by_subgroup(*op, &kernel);
        by_subgroups += usize::from(by_subgroup.is_some());
        let broadcasting = shader::expand(*op, &shader::by_broadcast(kernel));
        if broadcasting.contains("subgroupBroadcast") {
            by_broadcast += 1;
            let invocations = module.entry_points[0].workgroup_size.iter().product::<u32>();
            assert!(invocations <= shader::BROADCASTING, "{} broadcasts among {invocations}", op.name());
        }
        for text in [part, wrong, wrong_part, broadcasting].into_iter().chain(by_subgroup) {
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{}: {}", op.name(), error.emit_to_string(&text)));
            Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP)
                .validate(&module)
                .unwrap_or_else(|error| panic!("{}: {}", op.name(), error.emit_to_string(&text)));
        }
    }
    assert!(by_subgroups > 0 && by_broadcast > 0);
}
