// y = softmax(x) over channels, so, at each image and pixel,
// x_grad[c] = activation'(x[c]) * y[c] (y_grad[c] - sum over channels k of y_grad[k] y[k])
// where x is the output of `activation`, which is thereby differentiated too.
//
// An invocation makes all channels of an image at a pixel; neighbours are images.
#import activation

struct Params {
    blocks: u32,
    channels: u32,
    pixels: u32,
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<f32>; // [blocks][channels][pixels][16]
@group(0) @binding(2) var<storage, read> y: array<f32>; // [blocks][channels][pixels][16]
@group(0) @binding(3) var<storage, read> x: array<f32>; // [blocks][channels][pixels][16]
@group(0) @binding(4) var<storage, read_write> x_grad: array<f32>; // [blocks][channels][pixels][16]

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * LANES;
    let each = p.pixels * 16u;
    let block = i / each;
    if block >= p.blocks {
        return;
    }
    let first = block * p.channels * each + i % each;
    let end = first + p.channels * each;
    var total = 0.0;
    for (var at = first; at < end; at += each) {
        total = fma(y_grad[at], y[at], total);
    }
    for (var at = first; at < end; at += each) {
        x_grad[at] = y[at] * (y_grad[at] - total) * activation_derivative(ACTIVATION, x[at]);
    }
}
