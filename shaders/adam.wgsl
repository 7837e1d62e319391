// One step of Adam.
#import control
#import weights
#import adam_update

struct Params {
    len: u32,
    one_minus_beta_1: f32,
    one_minus_beta_2: f32,
    epsilon: f32,
    weight_decay: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gradients: array<Weights>;
@group(0) @binding(2) var<storage, read> schedule: array<f32>; // [steps][rate, rate with bias correction]
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> parameters: array<Weights>;
@group(0) @binding(5) var<storage, read_write> first_moment: array<Weights>;
@group(0) @binding(6) var<storage, read_write> second_moment: array<Weights>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.len {
        return;
    }
    begin();
    update(i, gradients[i]);
}
