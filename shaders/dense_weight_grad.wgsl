// y = x weight + bias, so
// weight_grad[k][u] = sum over n of x[n][k] y_grad[n][u]
// bias_grad[u] = sum over n of y_grad[n][u]
#import dense_weight

struct Params {
    blocks: u32,
    inputs: u32,
    units: u32,
    weight: u32, // first word of weight_grad[inputs][units]
    bias: u32,   // first word of bias_grad[units]
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [blocks][inputs][16 / 4]
@group(0) @binding(2) var<storage, read> y_grad: array<vec4f>; // [blocks][units][16 / 4]
@group(0) @binding(3) var<storage, read_write> gradients: array<Weights>;

fn begin() {}

fn keep(at: u32, gradient: Weights) {
    gradients[at] = gradient;
}
