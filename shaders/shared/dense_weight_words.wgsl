// The same as dense_weight.wgsl, for software rasterisers. They load word by word for every invocation, but once for all
// where the address is that of the workgroup: so each invocation has WIDE units, and the TALL inputs are the workgroup's.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let u = group.x * LANES * WIDE + lane;
    let k = group.y * TALL;
    if u >= p.units {
        return;
    }
    // Rows and columns past the last repeat it and store nothing.
    var columns: array<u32, WIDE>;
    for (var c = 0u; c < WIDE; c++) {
        columns[c] = min(u + c * LANES, p.units - 1u);
    }
    var sums: array<array<f32, WIDE>, TALL>;
    for (var quarter = 0u; quarter < p.blocks * 4u; quarter++) {
        let block = quarter / 4u;
        var gradients_of: array<vec4f, WIDE>;
        for (var c = 0u; c < WIDE; c++) {
            gradients_of[c] = y_grad[(block * p.units + columns[c]) * 4u + quarter % 4u];
        }
        for (var r = 0u; r < TALL; r++) {
            let value = x[(block * p.inputs + min(k + r, p.inputs - 1u)) * 4u + quarter % 4u];
            for (var c = 0u; c < WIDE; c++) {
                let four = gradients_of[c];
                let two = fma(value.y, four.y, fma(value.x, four.x, sums[r][c]));
                sums[r][c] = fma(value.w, four.w, fma(value.z, four.z, two));
            }
        }
    }
    for (var r = 0u; r < TALL; r++) {
        for (var c = 0u; c < WIDE; c++) {
            if k + r < p.inputs && u + c * LANES < p.units {
                keep(p.weight + (k + r) * p.units + u + c * LANES, sums[r][c]);
            }
        }
    }
    if group.y > 0u {
        return;
    }
    for (var c = 0u; c < WIDE; c++) {
        if u + c * LANES < p.units {
            var sum = vec4f();
            for (var quarter = 0u; quarter < p.blocks * 4u; quarter++) {
                sum += y_grad[(quarter / 4u * p.units + u + c * LANES) * 4u + quarter % 4u];
            }
            keep(p.bias + u + c * LANES, (sum.x + sum.y) + (sum.z + sum.w));
        }
    }
}
