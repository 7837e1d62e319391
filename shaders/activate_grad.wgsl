// y = activation(x), so
// x_grad = input_activation'(x) * y_grad * activation'(x)
// where x is the output of `input_activation`, which is thereby differentiated too.
#import activation

struct Params {
    blocks: u32,
    len: u32,
    activation: u32,
    input_activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<f32>; // [len]
@group(0) @binding(2) var<storage, read> x: array<f32>; // [len]
@group(0) @binding(3) var<storage, read_write> x_grad: array<f32>; // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i < p.len {
        let slope = activation_derivative_at(ACTIVATION, x[i]);
        x_grad[i] = y_grad[i] * slope * activation_derivative(INPUT_ACTIVATION, x[i]);
    }
}
