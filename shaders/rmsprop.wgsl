// mean_square = rho mean_square + (1 - rho) gradient^2
// change = rate * gradient / sqrt(mean_square + epsilon)
// parameter -= change, or with momentum: velocity = momentum velocity + change, parameter -= velocity
// (Keras's RMSprop, not centred), rate = schedule[step].
// Source: Tieleman and Hinton, Coursera lecture 6.5, 2012.
#import control

struct Params {
    len: u32,
    rho: f32,
    one_minus_rho: f32,
    momentum: f32,
    epsilon: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> schedule: array<f32>; // [steps][rate, rate with bias correction]
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(5) var<storage, read_write> mean_square: array<f32>;
@group(0) @binding(6) var<storage, read_write> velocity: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.len {
        return;
    }
    let gradient = gradients[i];
    let square = fma(p.rho, mean_square[i], p.one_minus_rho * (gradient * gradient));
    mean_square[i] = square;
    let change = schedule[control[STEP] * 2u] * gradient / sqrt(square + p.epsilon);
    if p.momentum == 0.0 {
        parameters[i] -= change;
        return;
    }
    let v = fma(p.momentum, velocity[i], change);
    velocity[i] = v;
    parameters[i] -= v;
}
