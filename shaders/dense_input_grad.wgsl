// y = x weight + bias, so
// x_grad[n][k] = dropout(activation'(x[n][k]) * sum over u of y_grad[n][u] weight[k][u])
// where x is the output of `activation` and of dropout after it, which are thereby differentiated too. Where DROPOUT is 2, the
// derivative is 0 wherever an element was dropped, and only those that were kept have to grow.
#import control
#import threefry
#import activation
#import weights

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
@group(0) @binding(1) var<storage, read> y_grad: array<vec4f>; // [blocks][units][16 / 4]
@group(0) @binding(2) var<storage, read> parameters: array<Weights>;
@group(0) @binding(3) var<storage, read> x: array<vec4f>; // [blocks][inputs][16 / 4]
@group(0) @binding(4) var<storage, read> control: array<u32>;
@group(0) @binding(5) var<storage, read_write> x_grad: array<vec4f>; // [blocks][inputs][16 / 4]

#import dropout_mask

// Stores the gradients of one input of four images, from those of what activation and dropout `made` of it.
fn keep(key: vec2u, at: u32, made: vec4f) {
    var gradient = made;
    // The derivative of a linear function needs no x.
    if ACTIVATION != LINEAR {
        gradient *= activation_derivative4(ACTIVATION, x[at] * (1.0 - p.dropout_rate));
    }
    if DROPOUT == 2u {
        gradient *= 1.0 / (1.0 - p.dropout_rate);
    } else {
        gradient = drop_or_keep4(key, p.dropout_rate, at, gradient);
    }
    x_grad[at] = gradient;
}

#if BY_WORKGROUP 1
// For software rasterisers, as dense_weight_by_workgroup.wgsl: each invocation makes the gradients of INPUTS inputs for a block of
// images, which is the workgroup's.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let k = group.x * LANES * INPUTS + lane;
    let block = group.y;
    // Inputs past the last repeat it and store nothing.
    var weights: array<u32, INPUTS>;
    #unroll
    for (var i = 0u; i < INPUTS; i++) {
        weights[i] = (p.weight + min(k + i * LANES, p.inputs - 1u) * UNITS) / WEIGHTS;
    }
    var sums: array<vec4f, INPUTS * 4>;
    var y_at = block * UNITS * 4u;
    for (var u = 0u; u < UNITS; u += WEIGHTS) {
#if BROADCAST 1
        var own_gradients: array<vec4f, 2>;
        own_gradients[0] = y_grad[y_at + lane];
        own_gradients[1] = y_grad[y_at + LANES + lane];
#endif
        #unroll
        for (var i = 0u; i < INPUTS; i++) {
            let of_units = parameters[weights[i]];
            weights[i] += 1u;
            #unroll
            for (var four = 0u; four < 4u; four++) {
                #unroll
                for (var d = 0u; d < WEIGHTS; d++) {
#if BROADCAST 1
                    let gradients = subgroupBroadcast(own_gradients[d / 2u], d % 2u * 4u + four);
#else
                    let gradients = y_grad[y_at + d * 4u + four];
#endif
                    sums[i * 4u + four] = fma(gradients, vec4f(of_units[d]), sums[i * 4u + four]);
                }
            }
        }
        y_at += WEIGHTS * 4u;
    }
    let key = dropout_key(p.dropout_layer);
    // The sums move up, so that activation and dropout, which are long, are compiled for one input.
    for (var input = k; input < min(k + INPUTS * LANES, p.inputs); input += LANES) {
        #unroll
        for (var four = 0u; four < 4u; four++) {
            keep(key, (block * p.inputs + input) * 4u + four, sums[four]);
        }
        #unroll
        for (var i = 0u; i < INPUTS * 4u - 4u; i++) {
            sums[i] = sums[i + 4u];
        }
    }
}
#elif COOPERATIVE 1
// A row for each input, a column for each image, a term for each unit.
#import matrix_product
#import matrix_weights

const LEFT_IN_ROWS: bool = true;
const RIGHT_IN_ROWS: bool = true;

fn rows() -> u32 {
    return p.inputs;
}

fn columns() -> u32 {
    return p.blocks * 16u;
}

fn terms() -> u32 {
    return p.units;
}

fn left4(k: u32, unit: u32) -> vec4f {
    return weights4(k, unit, p.inputs, p.units);
}

fn right4(unit: u32, image: u32) -> vec4f {
    if unit >= p.units || image >= columns() {
        return vec4f();
    }
    return y_grad[(image / 16u * p.units + unit) * 4u + image / 4u % 4u];
}

fn keep4(k: u32, image: u32, sums: vec4f) {
    keep(dropout_key(p.dropout_layer), (image / 16u * p.inputs + k) * 4u + image / 4u % 4u, sums);
}
#else
// Each invocation keeps INPUTS gradients of four images and takes DEPTH units at a time, whose weights lie beside each other.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    if n >= p.blocks * 4u {
        return;
    }
    let block = n / 4u;
    let four = n % 4u;
    // The last tile is moved back to end with the last input: what two tiles make has the same bits in both.
    let k = min(group.y * INPUTS, p.inputs - INPUTS);
    var sums: array<vec4f, INPUTS>;
    var y_at = block * UNITS * 4u + four;
    var weights = p.weight + k * UNITS;
    for (var u = 0u; u < UNITS; u += DEPTH) {
        var gradients: array<vec4f, DEPTH>;
        for (var d = 0u; d < DEPTH; d++) {
            gradients[d] = y_grad[y_at + d * 4u];
        }
        for (var i = 0u; i < INPUTS; i++) {
            for (var d = 0u; d < DEPTH; d++) {
                sums[i] = fma(gradients[d], vec4f(parameters[weights + i * UNITS + d]), sums[i]);
            }
        }
        y_at += DEPTH * 4u;
        weights += DEPTH;
    }
    let key = dropout_key(p.dropout_layer);
    let x_first = (block * p.inputs + k) * 4u + four;
    for (var i = 0u; i < INPUTS; i++) {
        keep(key, x_first + i * 4u, sums[i]);
    }
}
#endif
