// y = x weight + bias, so
// gradient of weight[k][u] = sum over n of x[n][k] y_grad[n][u]
// gradient of bias[u] = sum over n of y_grad[n][u]
// and at once the step of shared/sgd_update.wgsl for every parameter. The old weights are gone afterwards: dense_input_grad comes
// before.
#import control
#import dense_weight
#import sgd_update

struct Params {
    blocks: u32,
    inputs: u32,
    units: u32,
    weight: u32, // first word of weight[inputs][units]
    bias: u32,   // first word of bias[units]
    momentum: f32,
    nesterov: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [blocks][inputs][16 / 4]
@group(0) @binding(2) var<storage, read> y_grad: array<vec4f>; // [blocks][units][16 / 4]
@group(0) @binding(3) var<storage, read> schedule: array<f32>; // [steps][rate, rate with bias correction]
@group(0) @binding(4) var<storage, read> control: array<u32>;
@group(0) @binding(5) var<storage, read_write> parameters: array<Weights>;
@group(0) @binding(6) var<storage, read_write> velocity: array<Weights>;

fn keep(at: u32, gradient: Weights) {
    update(at, gradient);
}
