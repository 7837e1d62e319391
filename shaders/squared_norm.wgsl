// partials[i] = sum of gradient^2 over piece i of the flat buffer, pieces of ceil(len / parts)
//
// A workgroup makes a partial sum; clip_norm.wgsl adds them.
#import workgroup_sum

struct Params {
    len: u32,
    parts: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>; // [parts]

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let each = (p.len + p.parts - 1u) / p.parts;
    let first = group.x * each;
    let end = min(first + each, p.len);
    var sum = 0.0;
    for (var i = first + local; i < end; i += WIDTH) {
        sum = fma(gradients[i], gradients[i], sum);
    }
    let total = workgroup_sum(local, 0u, vec2f(sum, 0.0)).x;
    if local == 0u {
        partials[group.x] = total;
    }
}
