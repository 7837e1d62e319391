//! The text of a kernel as it is compiled: constants first, imports expanded.

use super::{Kernel, Op};

/// What shaders may `#import`: the files of `shaders/shared`.
const SHARED: &[(&str, &str)] = &[
    ("activation", include_str!("../../shaders/shared/activation.wgsl")),
    ("channel_walk", include_str!("../../shaders/shared/channel_walk.wgsl")),
    ("control", include_str!("../../shaders/shared/control.wgsl")),
    ("dense_weight", include_str!("../../shaders/shared/dense_weight.wgsl")),
    ("dropout_mask", include_str!("../../shaders/shared/dropout_mask.wgsl")),
    ("images", include_str!("../../shaders/shared/images.wgsl")),
    ("images_activation", include_str!("../../shaders/shared/images_activation.wgsl")),
    ("threefry", include_str!("../../shaders/shared/threefry.wgsl")),
    ("workgroup_sum", include_str!("../../shaders/shared/workgroup_sum.wgsl")),
];

/// The WGSL of `op` with the constants of `kernel`; its entry point is `main`.
///
/// What stands between `#if NAME VALUE` and `#else` or `#endif` is left out unless the constant has that value.
pub fn expand(op: &dyn Op, kernel: &Kernel) -> String {
    let mut text = String::new();
    for (name, value) in &kernel.constants {
        text.push_str(&format!("const {name}: u32 = {value}u;\n"));
    }
    append(op.shader(), kernel, &mut text);
    text
}

fn append(source: &str, kernel: &Kernel, text: &mut String) {
    let mut keep = true;
    for line in source.lines() {
        if let Some(condition) = line.strip_prefix("#if ") {
            let holds = |(name, value): &(&str, u32)| condition == format!("{name} {value}");
            keep = kernel.constants.iter().any(holds);
        } else if line == "#else" {
            keep = !keep;
        } else if line == "#endif" {
            keep = true;
        } else if keep {
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
