// y[i] = sum over k = 0 .. 7 of c_k after p.rounds times c_k = c_k / 2 + x[i], from c_k = k
//
// Eight independent chains of multiply-adds that stay in registers, and hardly any memory: what is measured is the
// device's rate of multiply-adds. The chains go to 2 x[i], so that numbers stay ordinary.
struct Params {
    len: u32,
    rounds: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [len]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i >= p.len {
        return;
    }
    let step = vec4f(x[i]);
    let half = vec4f(0.5);
    var a = vec4f(0.0, 1.0, 2.0, 3.0);
    var b = vec4f(4.0, 5.0, 6.0, 7.0);
    // Sixteen rounds a turn, so that the loop itself costs next to nothing.
    for (var turn = 0u; turn < p.rounds / 16u; turn++) {
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
        a = fma(a, half, step); b = fma(b, half, step);
    }
    for (var turn = 0u; turn < p.rounds % 16u; turn++) {
        a = fma(a, half, step);
        b = fma(b, half, step);
    }
    y[i] = a.x + a.y + a.z + a.w + b.x + b.y + b.z + b.w;
}
