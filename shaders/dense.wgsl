// y[n][u] = dropout(activation(sum over k of x[n][k] weight[k][u] + bias[u]))
#import control
#import threefry
#import activation
#import weights

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
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [blocks][inputs][16 / 4]
@group(0) @binding(2) var<storage, read> parameters: array<Weights>;
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>; // [blocks][units][16 / 4]

#import dropout_mask

#if BY_WORKGROUP 1
// For software rasterisers, as dense_weight_by_workgroup.wgsl: each invocation makes the outputs of four units for BLOCKS blocks
// of images, which are the workgroup's.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let own_unit = (group.x * LANES + lane) * WEIGHTS;
    let unit = min(own_unit, p.units - WEIGHTS);
    let block = group.y * BLOCKS;
    var sums: array<Weights, BLOCKS * 16u>;
    var x_at = block * p.inputs * 4u;
    var weights = (p.weight + unit) / WEIGHTS;
    for (var k = 0u; k < p.inputs; k++) {
        let of_input = parameters[weights];
#if BROADCAST 1
        let own_images = x[x_at + lane / 4u % BLOCKS * p.inputs * 4u + lane % 4u];
#endif
        #unroll
        for (var four = 0u; four < BLOCKS * 4u; four++) {
#if BROADCAST 1
            let images = subgroupBroadcast(own_images, four);
#else
            let images = x[x_at + four / 4u * p.inputs * 4u + four % 4u];
#endif
            #unroll
            for (var i = 0u; i < 4u; i++) {
                sums[four * 4u + i] = fma(Weights(images[i]), of_input, sums[four * 4u + i]);
            }
        }
        weights += p.units / WEIGHTS;
        x_at += 4u;
    }
    if own_unit >= p.units {
        return;
    }
    let key = dropout_key(p.dropout_layer);
    let bias = parameters[(p.bias + unit) / WEIGHTS];
    // The sums move up, so that activation and dropout, which are long, are compiled for four images.
    for (var four = 0u; four < BLOCKS * 4u; four++) {
        let a = sums[0] + bias;
        let b = sums[1] + bias;
        let c = sums[2] + bias;
        let d = sums[3] + bias;
        #unroll
        for (var u = 0u; u < WEIGHTS; u++) {
            let at = ((block + four / 4u) * p.units + unit + u) * 4u + four % 4u;
            let value = activate4(ACTIVATION, vec4f(a[u], b[u], c[u], d[u]));
            y[at] = drop_or_keep4(key, p.dropout_rate, at, value);
        }
        #unroll
        for (var i = 0u; i < BLOCKS * 16u - 4u; i++) {
            sums[i] = sums[i + 4u];
        }
    }
}
#elif COOPERATIVE 1
// A row for each unit, a column for each image, a term for each input.
#import matrix_product
#import matrix_weights

const LEFT_IN_ROWS: bool = false;
const RIGHT_IN_ROWS: bool = true;

fn rows() -> u32 {
    return p.units;
}

fn columns() -> u32 {
    return p.blocks * 16u;
}

fn terms() -> u32 {
    return p.inputs;
}

fn left4(unit: u32, k: u32) -> vec4f {
    return weights4(k, unit, p.inputs, p.units);
}

fn right4(k: u32, image: u32) -> vec4f {
    if k >= p.inputs || image >= columns() {
        return vec4f();
    }
    return x[(image / 16u * p.inputs + k) * 4u + image / 4u % 4u];
}

fn keep4(unit: u32, image: u32, sums: vec4f) {
    let at = (image / 16u * p.units + unit) * 4u + image / 4u % 4u;
    let value = activate4(ACTIVATION, sums + parameters[p.bias + unit]);
    y[at] = drop_or_keep4(dropout_key(p.dropout_layer), p.dropout_rate, at, value);
}
#else
// Each invocation keeps UNITS outputs of four images and takes DEPTH inputs at a time; invocations of a workgroup share the
// weights, which are uniform loads.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    if n >= p.blocks * 4u {
        return;
    }
    let block = n / 4u;
    let four = n % 4u;
    // The last tile is moved back to end with the last unit: what two tiles make has the same bits in both.
    let unit = min(group.y * UNITS, p.units - UNITS);
    var sums: array<vec4f, UNITS>;
    var x_at = block * p.inputs * 4u + four;
    var row = p.weight + unit;
    for (var k = 0u; k < p.inputs; k += DEPTH) {
        for (var d = 0u; d < DEPTH; d++) {
            let value = x[x_at + d * 4u];
            for (var i = 0u; i < UNITS; i++) {
                sums[i] = fma(value, vec4f(parameters[row + i]), sums[i]);
            }
            row += p.units;
        }
        x_at += DEPTH * 4u;
    }
    let key = dropout_key(p.dropout_layer);
    let y_first = (block * p.units + unit) * 4u + four;
    for (var i = 0u; i < UNITS; i++) {
        let at = y_first + i * 4u;
        let value = activate4(ACTIVATION, sums[i] + parameters[p.bias + unit + i]);
        y[at] = drop_or_keep4(key, p.dropout_rate, at, value);
    }
}
#endif
