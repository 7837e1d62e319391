// y = activation(x), elementwise
//
// For functions that are not the epilogue of the op that makes x.
#import activation

struct Params {
    blocks: u32,
    len: u32,
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [len]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i < p.len {
        y[i] = activate(ACTIVATION, x[i]);
    }
}
