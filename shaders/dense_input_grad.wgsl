// y = x weight + bias, so
// x_grad[n][k] = dropout(activation'(x[n][k]) * sum over u of y_grad[n][u] weight[k][u])
// where x is the output of `activation` and of dropout after it, which are thereby differentiated too.
//
// A lane is an image; each invocation keeps INPUTS gradients of it.
#import control
#import threefry
#import activation

struct Params {
    blocks: u32,
    inputs: u32,
    units: u32,
    weight: u32, // first word of weight[inputs][units]
    activation: u32,
    dropout_layer: u32,
    dropout_rate: f32, // 0: no dropout
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<f32>; // [blocks][units][16]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>; // [blocks][inputs][16]
@group(0) @binding(4) var<storage, read> control: array<u32>;
@group(0) @binding(5) var<storage, read_write> x_grad: array<f32>; // [blocks][inputs][16]

#import dropout_mask

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
    let key = dropout_key(p.dropout_layer);
    for (var i = 0u; i < INPUTS; i++) {
        if first + i < p.inputs {
            let at = (block * p.inputs + first + i) * 16u + lane;
            let slope = activation_derivative(p.activation, x[at] * (1.0 - p.dropout_rate));
            x_grad[at] = drop_or_keep(key, p.dropout_rate, at, sums[i] * slope);
        }
    }
}
