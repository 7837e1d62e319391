// y[i] = x[i]
//
// Four numbers at once, neighbours side by side, and no arithmetic: what is measured is the device's memory.
// A workgroup does TURNS runs of 64 times four numbers.
struct Params {
    len: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [len / 4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>; // [len / 4]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3u,
) {
    let first = (group.x + group.y * groups.x) * TURNS * 64u + local;
    for (var turn = 0u; turn < TURNS; turn++) {
        let i = first + turn * 64u;
        if i < p.len / 4u {
            y[i] = x[i];
        }
    }
}
