// first += (gradient - first) (1 - beta_1)
// second += (gradient^2 - second) (1 - beta_2)
// parameter -= rate * weight_decay * parameter                            (AdamW; 0 for Adam)
// parameter -= corrected_rate * first / (sqrt(second) + epsilon)
// corrected_rate = rate sqrt(1 - beta_2^t) / (1 - beta_1^t), as in Keras, comes from the schedule.
// Source: Kingma and Ba, 2015, section 2, last paragraph; Loshchilov and Hutter, 2019.
#import control

struct Params {
    len: u32,
    one_minus_beta_1: f32,
    one_minus_beta_2: f32,
    epsilon: f32,
    weight_decay: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> schedule: array<f32>; // [steps][rate, rate with bias correction]
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(5) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(6) var<storage, read_write> second_moment: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.len {
        return;
    }
    let step = control[STEP];
    let rate = schedule[step * 2u];
    let corrected_rate = schedule[step * 2u + 1u];
    let gradient = gradients[i];
    let first = fma(gradient - first_moment[i], p.one_minus_beta_1, first_moment[i]);
    let second = fma(gradient * gradient - second_moment[i], p.one_minus_beta_2, second_moment[i]);
    first_moment[i] = first;
    second_moment[i] = second;
    let decayed = parameters[i] - rate * p.weight_decay * parameters[i];
    parameters[i] = decayed - corrected_rate * first / (sqrt(second) + p.epsilon);
}
