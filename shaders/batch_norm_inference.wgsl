// y = activation(gamma[c] (x - running_mean[c]) / sqrt(running_variance[c] + epsilon) + beta[c])
//
// One invocation makes four images of a channel at a pixel.
#import activation

struct Params {
    blocks: u32,
    channels: u32,
    pixels: u32,
    gamma: u32, // first word of gamma[channels] in parameters
    beta: u32,
    running_mean: u32, // first word of running_mean[channels] in statistics
    running_variance: u32,
    activation: u32,
    epsilon: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [blocks][channels][pixels][16 / 4]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>; // [blocks][channels][pixels][16 / 4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.blocks * p.channels * p.pixels * 4u {
        return;
    }
    let channel = i / (p.pixels * 4u) % p.channels;
    let deviation = x[i] - statistics[p.running_mean + channel];
    let scale = parameters[p.gamma + channel] / sqrt(statistics[p.running_variance + channel] + p.epsilon);
    let normal = fma(deviation, vec4f(scale), vec4f(parameters[p.beta + channel]));
    y[i] = activate4(ACTIVATION, normal);
}
