// y[i] = x[i] / (1 - rate) if uniform[i] >= rate, else 0, so
// x_grad[i] = activation'(x[i]) * y_grad[i] / (1 - rate) if uniform[i] >= rate, else 0
// where x is the output of `activation`, which is thereby differentiated too. The mask is drawn as in dropout.wgsl.
//
// Two elements share an encryption. An invocation makes PAIRS such pairs, since the stream's key takes two more.
#import activation
#import control
#import threefry

struct Params {
    blocks: u32,
    len: u32,
    layer: u32,
    activation: u32,
    rate: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<vec2f>; // [len / 2]
@group(0) @binding(2) var<storage, read> x: array<vec2f>; // [len / 2]
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> x_grad: array<vec2f>; // [len / 2]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let seed = vec2u(control[SEED_LOW], control[SEED_HIGH]);
    let key = stream_key(seed, PURPOSE_DROPOUT, p.layer, control[GLOBAL_STEP]);
    let first = (group.x + group.y * groups.x) * 64u * PAIRS + local;
    let end = min(p.len / 2u, first + 64u * PAIRS);
    for (var i = first; i < end; i += 64u) {
        let kept = stream_uniform2(key, i) >= vec2f(p.rate);
        let value = x[i];
        let slope = vec2f(activation_derivative(ACTIVATION, value.x), activation_derivative(ACTIVATION, value.y));
        x_grad[i] = select(vec2f(), y_grad[i] * (1.0 / (1.0 - p.rate)) * slope, kept);
    }
}
