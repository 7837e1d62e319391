// The gradients of a dense product with respect to its weights and biases, each handed to `keep` with its word:
// weight[k][u]: sum over n of x[n][k] y_grad[n][u]
// bias[u]: sum over n of y_grad[n][u]
// Who imports this declares `keep`, the parameters `p` and the buffers `x` and `y_grad`.
//
// Each invocation makes 4 x 4 gradients, adding over blocks in order; four images to a vec4.
fn total(v: vec4f) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let u = id.x * 4u;
    let k = id.y * 4u;
    if u >= p.units || k >= p.inputs {
        return;
    }
    // Rows and columns past the last repeat it and store nothing.
    let k1 = min(k + 1u, p.inputs - 1u);
    let k2 = min(k + 2u, p.inputs - 1u);
    let k3 = min(k + 3u, p.inputs - 1u);
    let u1 = min(u + 1u, p.units - 1u);
    let u2 = min(u + 2u, p.units - 1u);
    let u3 = min(u + 3u, p.units - 1u);
    var s00 = vec4f(); var s01 = vec4f(); var s02 = vec4f(); var s03 = vec4f();
    var s10 = vec4f(); var s11 = vec4f(); var s12 = vec4f(); var s13 = vec4f();
    var s20 = vec4f(); var s21 = vec4f(); var s22 = vec4f(); var s23 = vec4f();
    var s30 = vec4f(); var s31 = vec4f(); var s32 = vec4f(); var s33 = vec4f();
    for (var quarter = 0u; quarter < p.blocks * 4u; quarter++) {
        let block = quarter / 4u;
        let lane = quarter % 4u;
        let xs = block * p.inputs * 4u + lane;
        let ys = block * p.units * 4u + lane;
        let x0 = x[xs + k * 4u];
        let x1 = x[xs + k1 * 4u];
        let x2 = x[xs + k2 * 4u];
        let x3 = x[xs + k3 * 4u];
        let y0 = y_grad[ys + u * 4u];
        let y1 = y_grad[ys + u1 * 4u];
        let y2 = y_grad[ys + u2 * 4u];
        let y3 = y_grad[ys + u3 * 4u];
        s00 = fma(x0, y0, s00); s01 = fma(x0, y1, s01); s02 = fma(x0, y2, s02); s03 = fma(x0, y3, s03);
        s10 = fma(x1, y0, s10); s11 = fma(x1, y1, s11); s12 = fma(x1, y2, s12); s13 = fma(x1, y3, s13);
        s20 = fma(x2, y0, s20); s21 = fma(x2, y1, s21); s22 = fma(x2, y2, s22); s23 = fma(x2, y3, s23);
        s30 = fma(x3, y0, s30); s31 = fma(x3, y1, s31); s32 = fma(x3, y2, s32); s33 = fma(x3, y3, s33);
    }
    store(k, u, s00, s01, s02, s03);
    if k + 1u < p.inputs { store(k + 1u, u, s10, s11, s12, s13); }
    if k + 2u < p.inputs { store(k + 2u, u, s20, s21, s22, s23); }
    if k + 3u < p.inputs { store(k + 3u, u, s30, s31, s32, s33); }
    if k == 0u {
        for (var i = u; i < min(u + 4u, p.units); i++) {
            var sum = vec4f();
            for (var quarter = 0u; quarter < p.blocks * 4u; quarter++) {
                sum += y_grad[(quarter / 4u * p.units + i) * 4u + quarter % 4u];
            }
            keep(p.bias + i, total(sum));
        }
    }
}

fn store(k: u32, u: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
    let at = p.weight + k * p.units + u;
    keep(at, total(a));
    if u + 1u < p.units { keep(at + 1u, total(b)); }
    if u + 2u < p.units { keep(at + 2u, total(c)); }
    if u + 3u < p.units { keep(at + 3u, total(d)); }
}
