//! The text of a kernel as it is compiled: constants first, imports expanded.
//!
//! No kernel relies on the zero of a variable that is declared in a loop without a value: in browsers on SwiftShader it is set
//! in the first turn only.

use super::unroll::{UNROLL, unroll};
use super::{Access, Element, Kernel, Op, halves};

/// What shaders may `#import`: the files of `shaders/shared`.
const SHARED: &[(&str, &str)] = &[
    ("activation", include_str!("../../shaders/shared/activation.wgsl")),
    ("adam_update", include_str!("../../shaders/shared/adam_update.wgsl")),
    ("channel_walk", include_str!("../../shaders/shared/channel_walk.wgsl")),
    ("control", include_str!("../../shaders/shared/control.wgsl")),
    ("conv2d_weight_sums", include_str!("../../shaders/shared/conv2d_weight_sums.wgsl")),
    ("dense_weight", include_str!("../../shaders/shared/dense_weight.wgsl")),
    ("dense_weight_by_matrices", include_str!("../../shaders/shared/dense_weight_by_matrices.wgsl")),
    ("dense_weight_by_workgroup", include_str!("../../shaders/shared/dense_weight_by_workgroup.wgsl")),
    ("dropout_mask", include_str!("../../shaders/shared/dropout_mask.wgsl")),
    ("images", include_str!("../../shaders/shared/images.wgsl")),
    ("images_activation", include_str!("../../shaders/shared/images_activation.wgsl")),
    ("matrix_product", include_str!("../../shaders/shared/matrix_product.wgsl")),
    ("matrix_weights", include_str!("../../shaders/shared/matrix_weights.wgsl")),
    ("sgd_update", include_str!("../../shaders/shared/sgd_update.wgsl")),
    ("threefry", include_str!("../../shaders/shared/threefry.wgsl")),
    ("weights", include_str!("../../shaders/shared/weights.wgsl")),
    ("workgroup_sum", include_str!("../../shaders/shared/workgroup_sum.wgsl")),
    ("workgroup_sum_by_subgroup", include_str!("../../shaders/shared/workgroup_sum_by_subgroup.wgsl")),
];

/// The WGSL of `op` with the constants of `kernel`; its entry point is `main`.
///
/// What stands between `#if NAME VALUE` or `#elif NAME VALUE` and the next such line, `#else` or `#endif` is left out unless the
/// constant has that value. Loops behind `#unroll` are written out where the kernel asks for it, and what a file enables stands
/// before everything.
pub fn expand(op: &dyn Op, kernel: &Kernel) -> String {
    let mut text = String::new();
    for (name, value) in &kernel.constants {
        text.push_str(&format!("const {name}: u32 = {value}u;\n"));
    }
    append(op.shader(), kernel, &mut text);
    let (enabled, text): (Vec<_>, Vec<_>) =
        text.split_inclusive('\n').partition(|line| line.starts_with("enable "));
    enabled.concat() + &unroll(&text.concat())
}

/// The same kernel where each invocation loads a part of what all of its workgroup read, and broadcasts it, for drivers whose
/// subgroups hold [`BROADCASTING`] invocations. That names lanes by constants, so kernels are left alone whose loops are not unrolled.
pub fn by_broadcast(mut kernel: Kernel) -> Kernel {
    if kernel.constants.iter().any(|(name, _)| *name == UNROLL) {
        kernel.constants.push(("BROADCAST", 1));
    }
    kernel
}

/// Invocations of the largest workgroup that broadcasts.
pub const BROADCASTING: u32 = 8;

/// The same with sums over a workgroup by its subgroups; `None` for a kernel without such sums.
pub fn expand_by_subgroup(op: &dyn Op, kernel: &Kernel) -> Option<String> {
    if !op.shader().contains("#import workgroup_sum\n") {
        return None;
    }
    let constants = kernel.constants.iter().copied().chain([("BY_SUBGROUP", 1)]).collect();
    let text = expand(op, &Kernel { constants, grid: kernel.grid });
    let (before, rest) = text.split_once("fn main(")?;
    let (signature, body) = rest.split_once('{')?;
    let place = "\n    @builtin(subgroup_invocation_id) subgroup_lane: u32,\n    @builtin(subgroup_id) subgroup_number: u32,\n    \
                 @builtin(num_subgroups) subgroups: u32,\n    ";
    let set = "\n    subgroup = Subgroup(subgroup_lane, subgroup_number, subgroups);";
    Some(format!("{before}fn main({place}{}{{{set}{body}", signature.trim_start()))
}

/// The same as a kernel that runs a part of its grid: binding 0 of group 1 says which, so that one pipeline does for all.
///
/// The built-in values of `main` are renamed, and what they would be in the whole grid takes their names.
pub fn part(text: String) -> String {
    let Some((before, rest)) = text.split_once("fn main(") else { return text };
    let Some((signature, body)) = rest.split_once('{') else { return text };
    let size = before.rsplit_once("@workgroup_size(").map_or("1", |(_, size)| size);
    let size = size.split_once(')').map_or("1", |(size, _)| size);
    let size = format!("{size}{}", ", 1".repeat(2 - size.matches(',').count().min(2)));
    let (mut signature, mut lets) = (signature.to_owned(), String::new());
    let builtins = [
        ("workgroup_id", "NAME_in_part + grid_part.first.xyz".to_owned()),
        ("num_workgroups", "grid_part.groups.xyz".to_owned()),
        ("global_invocation_id", format!("NAME_in_part + grid_part.first.xyz * vec3u({size})")),
    ];
    for (builtin, whole) in builtins {
        let start = format!("@builtin({builtin}) ");
        let Some((head, tail)) = signature.split_once(&start) else { continue };
        let Some((name, tail)) = tail.split_once(':') else { continue };
        lets.push_str(&format!("\n    let {name} = {};", whole.replace("NAME", name)));
        signature = format!("{head}{start}{name}_in_part:{tail}");
    }
    let part = "struct GridPart { first: vec4u, groups: vec4u }\n\
                @group(1) @binding(0) var<uniform> grid_part: GridPart;\n";
    // Declarations come behind what the text enables.
    let is_enabled = |line: &&str| line.starts_with("enable ");
    let enabled = before.split_inclusive('\n').take_while(is_enabled).map(str::len).sum();
    let (enabled, before) = before.split_at(enabled);
    format!("{enabled}{part}{before}fn main({signature}{{{lets}{body}")
}

/// The same with these of the op's buffers in half precision: numbers are converted where they are read and written, and
/// everything between is in single precision.
pub fn in_halves(op: &dyn Op, text: &str, halves: &[bool]) -> String {
    let bindings = op.bindings().iter().zip(halves).filter(|&(_, &half)| half);
    bindings.fold(text.to_owned(), |text, (binding, _)| halves::store(&text, binding.name))
}

/// The same with the op's parameters in storage, for drivers that compile uniforms in. They are loaded once, since such drivers
/// load wherever a buffer is named.
pub fn params_as_storage(text: &str) -> String {
    let text = text.replace("var<uniform> p:", "var<storage, read> stored_p:");
    let Some((before, rest)) = text.split_once("fn main(") else { return text };
    let Some((signature, body)) = rest.split_once('{') else { return text };
    format!("{before}fn main({signature}{{\n    p = stored_p;{body}\nvar<private> p: Params;\n")
}

/// The same with a mistake: what the last line that writes an output writes is half as large again, or one more. For
/// rehearsals; `None` where no such line is found.
pub fn plant_fault(op: &dyn Op, text: &str) -> Option<String> {
    let outputs = || op.bindings().iter().filter(|binding| binding.access != Access::Read);
    let numbers = outputs().filter(|binding| binding.element == Element::F32);
    let words = outputs().filter(|binding| binding.element == Element::U32);
    numbers.chain(words).find_map(|binding| {
        let start = format!("{}[", binding.name);
        let writes = |line: &str| line.trim_start().starts_with(&start) && line.trim_end().ends_with(';');
        let (number, line) = text.lines().enumerate().filter(|(_, line)| writes(line)).last()?;
        let (place, value) = line.trim_end().trim_end_matches(';').split_once("= ")?;
        let wrong = match binding.element {
            Element::F32 => format!("{place}= ({value}) * 1.5;"),
            Element::U32 => format!("{place}= ({value}) + 1u;"),
        };
        let lines = text.lines().enumerate().map(|(i, line)| if i == number { &wrong } else { line });
        Some(lines.collect::<Vec<_>>().join("\n"))
    })
}

fn append(source: &str, kernel: &Kernel, text: &mut String) {
    let holds =
        |condition: &str| kernel.constants.iter().any(|(name, value)| condition == format!("{name} {value}"));
    // For each `#if` round this line, whether it is kept, and whether a branch before it was.
    let mut branches: Vec<(bool, bool)> = Vec::new();
    for line in source.lines() {
        if let Some(condition) = line.strip_prefix("#if ") {
            branches.push((holds(condition), false));
        } else if line == "#else" || line.starts_with("#elif ") {
            let Some((keep, kept)) = branches.last_mut() else { continue };
            *kept |= *keep;
            *keep = !*kept && line.strip_prefix("#elif ").is_none_or(holds);
        } else if line == "#endif" {
            branches.pop();
        } else if branches.iter().all(|(keep, _)| *keep) {
            match line.strip_prefix("#import ") {
                Some(name) => append(shared(name.trim()), kernel, text),
                None => text.push_str(line),
            }
            text.push('\n');
        }
    }
}

fn shared(name: &str) -> &'static str {
    // A test expands every shader, so a wrong name cannot reach a user.
    SHARED.iter().find(|(file, _)| *file == name).map_or("#error unknown import", |(_, text)| text)
}
