// y[i] = x[i]
//
// Four numbers an invocation, neighbours side by side, and no arithmetic: what is measured is the device's memory.
struct Params {
    len: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [len / 4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>; // [len / 4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i < p.len / 4u {
        y[i] = x[i];
    }
}
