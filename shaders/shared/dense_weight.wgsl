// The gradients of a dense product with respect to its weights and biases, each handed to `keep` with its place:
// weight[k][u]: sum over n of x[n][k] y_grad[n][u]
// bias[u]: sum over n of y_grad[n][u]
// Who imports this declares `begin`, which is called before the first of them, `keep`, the parameters `p` and the buffers `x` and `y_grad`; places are counted in Weights.
#import weights
#if BY_WORKGROUP 1
#import dense_weight_by_workgroup
#elif COOPERATIVE 1
#import dense_weight_by_matrices
#else
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
    for (var block = 0u; block < p.blocks; block++) {
        let xs = block * p.inputs;
        let ys = block * p.units;
        let a0 = (xs + k) * 4u;
        let a1 = (xs + k1) * 4u;
        let a2 = (xs + k2) * 4u;
        let a3 = (xs + k3) * 4u;
        let b0 = (ys + u) * 4u;
        let b1 = (ys + u1) * 4u;
        let b2 = (ys + u2) * 4u;
        let b3 = (ys + u3) * 4u;
        for (var lane = 0u; lane < 4u; lane++) {
            let x0 = x[a0 + lane];
            let x1 = x[a1 + lane];
            let x2 = x[a2 + lane];
            let x3 = x[a3 + lane];
            let y0 = y_grad[b0 + lane];
            let y1 = y_grad[b1 + lane];
            let y2 = y_grad[b2 + lane];
            let y3 = y_grad[b3 + lane];
            s00 = fma(x0, y0, s00); s01 = fma(x0, y1, s01); s02 = fma(x0, y2, s02); s03 = fma(x0, y3, s03);
            s10 = fma(x1, y0, s10); s11 = fma(x1, y1, s11); s12 = fma(x1, y2, s12); s13 = fma(x1, y3, s13);
            s20 = fma(x2, y0, s20); s21 = fma(x2, y1, s21); s22 = fma(x2, y2, s22); s23 = fma(x2, y3, s23);
            s30 = fma(x3, y0, s30); s31 = fma(x3, y1, s31); s32 = fma(x3, y2, s32); s33 = fma(x3, y3, s33);
        }
    }
    begin();
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
#endif
