// gradient *= norm / max(norm, |gradients|), |gradients| = sqrt(sum of partials)
// for all parameters at once, so that the direction stays.
//
// Every workgroup adds the partial sums of squared_norm.wgsl, then each invocation scales EACH gradients.
#import workgroup_sum

struct Params {
    len: u32,
    parts: u32,
    norm: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>; // [parts]
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    var sum = 0.0;
    for (var i = local; i < p.parts; i += WIDTH) {
        sum += partials[i];
    }
    let length = sqrt(workgroup_sum(local, 0u, vec2f(sum, 0.0)).x);
    let scale = p.norm / max(p.norm, length);
    let first = (group.x + group.y * groups.x) * WIDTH * EACH;
    let end = min(first + WIDTH * EACH, p.len);
    for (var i = first + local; i < end; i += WIDTH) {
        gradients[i] *= scale;
    }
}
