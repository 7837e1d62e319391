//! The text of a kernel as it is compiled: constants first, imports expanded.

use super::{Kernel, Op};

/// What shaders may `#import`: the files of `shaders/shared`.
const SHARED: &[(&str, &str)] = &[
    ("activation", include_str!("../../shaders/shared/activation.wgsl")),
    ("channel_walk", include_str!("../../shaders/shared/channel_walk.wgsl")),
    ("control", include_str!("../../shaders/shared/control.wgsl")),
    ("dense_weight", include_str!("../../shaders/shared/dense_weight.wgsl")),
    ("dropout_mask", include_str!("../../shaders/shared/dropout_mask.wgsl")),
    ("threefry", include_str!("../../shaders/shared/threefry.wgsl")),
    ("workgroup_sum", include_str!("../../shaders/shared/workgroup_sum.wgsl")),
];

/// The WGSL of `op` with the constants of `kernel`; its entry point is `main`.
pub fn expand(op: &dyn Op, kernel: &Kernel) -> String {
    let mut text = String::new();
    for (name, value) in &kernel.constants {
        text.push_str(&format!("const {name}: u32 = {value}u;\n"));
    }
    for line in op.shader().lines() {
        match line.strip_prefix("#import ") {
            Some(name) => text.push_str(shared(name.trim())),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn shared(name: &str) -> &'static str {
    // A test expands every shader, so a wrong name cannot reach a user.
    SHARED.iter().find(|(file, _)| *file == name).map_or("#error unknown import", |(_, text)| text)
}
