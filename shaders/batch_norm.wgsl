// mean[c] = sum over images n and pixels i of x[n][c][i] / count
// variance[c] = sum over n and i of (x[n][c][i] - mean[c])^2 / count            (biased, as in Keras)
// y = activation(gamma[c] (x - mean[c]) inv_std[c] + beta[c]), inv_std = 1 / sqrt(variance + epsilon)
// running_* = running_* momentum + * (1 - momentum)
// Source: Ioffe and Szegedy, 2015, algorithm 1.
//
// A workgroup makes a channel; each invocation adds every WIDTH-th vec4 of four images, in order. Lanes past the batch
// do not count. Two passes over x, since E[x^2] - E[x]^2 would cancel.
#import control
#import activation
#import workgroup_sum

struct Params {
    blocks: u32,
    channels: u32,
    pixels: u32,
    gamma: u32, // first word of gamma[channels] in parameters
    beta: u32,
    running_mean: u32, // first word of running_mean[channels] in statistics
    running_variance: u32,
    activation: u32,
    momentum: f32,
    one_minus_momentum: f32,
    epsilon: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [blocks][channels][pixels][16 / 4]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;
@group(0) @binding(5) var<storage, read_write> saved: array<f32>; // mean[channels], inv_std[channels]
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>; // [blocks][channels][pixels][16 / 4]

#import channel_walk

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let channel = group.x;
    let first = channel_walk(channel, local);
    let rows = control[ROWS];
    let count = f32(max(rows * p.pixels, 1u));

    var sum = vec4f();
    var at = first;
    for (var round = 0u; round < rounds(); round++) {
        sum += select(vec4f(), x[readable(at)], valid(at, rows));
        at = next_place(at);
    }
    let mean = workgroup_sum(local, 0u, vec2f(add_lanes(sum), 0.0)).x / count;

    var squares = vec4f();
    at = first;
    for (var round = 0u; round < rounds(); round++) {
        let deviation = select(vec4f(), x[readable(at)] - mean, valid(at, rows));
        squares = fma(deviation, deviation, squares);
        at = next_place(at);
    }
    let variance = workgroup_sum(local, 1u, vec2f(add_lanes(squares), 0.0)).x / count;

    let inv_std = 1.0 / sqrt(variance + p.epsilon);
    let scale = vec4f(parameters[p.gamma + channel] * inv_std);
    let beta = vec4f(parameters[p.beta + channel]);
    for (at = first; at.block < p.blocks; at = next_place(at)) {
        y[at.index] = activate4(ACTIVATION, fma(x[at.index] - mean, scale, beta));
    }
    if local == 0u {
        saved[channel] = mean;
        saved[p.channels + channel] = inv_std;
        let m = p.running_mean + channel;
        let v = p.running_variance + channel;
        statistics[m] = statistics[m] * p.momentum + mean * p.one_minus_momentum;
        statistics[v] = statistics[v] * p.momentum + variance * p.one_minus_momentum;
    }
}
