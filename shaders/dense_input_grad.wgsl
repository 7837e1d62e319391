// y = x weight + bias, so
// x_grad[n][k] = activation'(x[n][k]) * sum over u of y_grad[n][u] weight[k][u]
// where x is the output of `activation`, which is thereby differentiated too.
//
// A lane is an image; each invocation keeps INPUTS gradients of it.
#import activation

struct Params {
    blocks: u32,
    inputs: u32,
    units: u32,
    weight: u32, // first word of weight[inputs][units]
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<f32>; // [blocks][units][16]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>; // [blocks][inputs][16]
@group(0) @binding(4) var<storage, read_write> x_grad: array<f32>; // [blocks][inputs][16]

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = n / 16u;
    if block >= p.blocks {
        return;
    }
    let lane = n % 16u;
    let first = group.y * INPUTS;
    var sums: array<f32, INPUTS>;
    for (var i = 0u; i < INPUTS; i++) {
        sums[i] = 0.0;
    }
    let y_first = block * p.units * 16u + lane;
    for (var u = 0u; u < p.units; u++) {
        let value = y_grad[y_first + u * 16u];
        for (var i = 0u; i < INPUTS; i++) {
            // Rows past the last repeat it and store nothing.
            let k = min(first + i, p.inputs - 1u);
            sums[i] = fma(value, parameters[p.weight + k * p.units + u], sums[i]);
        }
    }
    for (var i = 0u; i < INPUTS; i++) {
        if first + i < p.inputs {
            let at = (block * p.inputs + first + i) * 16u + lane;
            x_grad[at] = sums[i] * activation_derivative(p.activation, x[at]);
        }
    }
}
