// y[n][u] = dropout(activation(sum over k of x[n][k] weight[k][u] + bias[u]))
//
// A lane is an image; each invocation keeps UNITS outputs of it. Lanes of a workgroup share the
// weights, which are uniform loads.
#import control
#import threefry
#import activation

struct Params {
    blocks: u32,
    inputs: u32,
    units: u32,
    weight: u32, // first word of weight[inputs][units]
    bias: u32,   // first word of bias[units]
    activation: u32,
    dropout_layer: u32,
    dropout_rate: f32, // 0: no dropout
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [blocks][inputs][16]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [blocks][units][16]

#import dropout_mask

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = n / 16u;
    if block >= p.blocks {
        return;
    }
    let lane = n % 16u;
    let first = group.y * UNITS;
    var sums: array<f32, UNITS>;
    for (var i = 0u; i < UNITS; i++) {
        sums[i] = 0.0;
    }
    let x_first = block * p.inputs * 16u + lane;
    // The last tile is moved back to end with the last unit: what two tiles make has the same bits in both.
    let tile = min(first, max(p.units, UNITS) - UNITS);
    if p.units >= UNITS {
        for (var k = 0u; k < p.inputs; k++) {
            let value = x[x_first + k * 16u];
            let row = p.weight + k * p.units + tile;
            for (var i = 0u; i < UNITS; i++) {
                sums[i] = fma(value, parameters[row + i], sums[i]);
            }
        }
    } else {
        for (var k = 0u; k < p.inputs; k++) {
            let value = x[x_first + k * 16u];
            let row = p.weight + k * p.units;
            for (var i = 0u; i < UNITS; i++) {
                sums[i] = fma(value, parameters[row + min(i, p.units - 1u)], sums[i]);
            }
        }
    }
    let y_first = (block * p.units + tile) * 16u + lane;
    let key = dropout_key(p.dropout_layer);
    for (var i = 0u; i < UNITS; i++) {
        if tile + i < p.units {
            let at = y_first + i * 16u;
            let value = activate(p.activation, sums[i] + parameters[p.bias + tile + i]);
            y[at] = drop_or_keep(key, p.dropout_rate, at, value);
        }
    }
}
