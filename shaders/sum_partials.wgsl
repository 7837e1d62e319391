// gradients[i] = sum over s, in order, of partials[s][i]
struct Params {
    slices: u32,
    len: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>; // [slices][len]
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.len {
        return;
    }
    var sum = 0.0;
    for (var slice = 0u; slice < p.slices; slice++) {
        sum += partials[slice * p.len + i];
    }
    gradients[i] = sum;
}
