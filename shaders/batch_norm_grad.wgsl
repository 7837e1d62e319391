// y = gamma[c] normal + beta[c], normal = (x - mean[c]) inv_std[c], with the batch's own statistics, so
// beta_grad[c] = sum over images n and pixels i of y_grad[n][c][i]
// gamma_grad[c] = sum over n and i of y_grad[n][c][i] normal[n][c][i]
// x_grad = activation'(x) * gamma[c] inv_std[c] (y_grad - beta_grad[c] / count - normal gamma_grad[c] / count)
// where x is the output of `activation`, which is thereby differentiated too.
// Source: Ioffe and Szegedy, 2015, section 3, gathered.
//
// A workgroup makes a channel; each invocation adds every WIDTH-th vec4 of four images, in order. Lanes past the batch
// do not count and get no gradient.
#import control
#import activation
#import workgroup_sum

struct Params {
    blocks: u32,
    channels: u32,
    pixels: u32,
    gamma: u32,      // first word of gamma[channels] in parameters
    gamma_grad: u32, // first word of gamma_grad[channels] in gradients
    beta_grad: u32,
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<vec4f>; // [blocks][channels][pixels][16 / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4f>; // [blocks][channels][pixels][16 / 4]
@group(0) @binding(3) var<storage, read> parameters: array<f32>;
@group(0) @binding(4) var<storage, read> saved: array<f32>; // mean[channels], inv_std[channels]
@group(0) @binding(5) var<storage, read> control: array<u32>;
@group(0) @binding(6) var<storage, read_write> gradients: array<f32>;
@group(0) @binding(7) var<storage, read_write> x_grad: array<vec4f>; // [blocks][channels][pixels][16 / 4]

#import channel_walk

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let channel = group.x;
    let first = channel_walk(channel, local);
    let rows = control[ROWS];
    let count = f32(max(rows * p.pixels, 1u));
    let mean = saved[channel];
    let inv_std = saved[p.channels + channel];

    var sum = vec4f();
    var products = vec4f();
    var at = first;
    for (var round = 0u; round < rounds(); round++) {
        let gradient = select(vec4f(), y_grad[readable(at)], valid(at, rows));
        let normal = select(vec4f(), (x[readable(at)] - mean) * inv_std, valid(at, rows));
        sum += gradient;
        products = fma(gradient, normal, products);
        at = next_place(at);
    }
    let total = workgroup_sum(local, 0u, vec2f(add_lanes(sum), add_lanes(products)));

    let scale = parameters[p.gamma + channel] * inv_std;
    let average = total / count;
    for (at = first; at.block < p.blocks; at = next_place(at)) {
        let value = x[at.index];
        let normal = (value - mean) * inv_std;
        let gradient = (y_grad[at.index] - average.x - normal * average.y) * scale;
        let slope = activation_derivative4(ACTIVATION, value);
        x_grad[at.index] = select(vec4f(), gradient * slope, valid(at, rows));
    }
    if local == 0u {
        gradients[p.beta_grad + channel] = total.x;
        gradients[p.gamma_grad + channel] = total.y;
    }
}
