// The same as dense_weight.wgsl, for software rasterisers. They load word by word for every invocation, also where the address
// is the workgroup's, and that takes longer than the multiply-adds. So each invocation has WEIGHTS units, the TALL inputs
// are the workgroup's, and with BROADCAST each invocation loads every eighth of those and hands it to the others.

// The gradients of WEIGHTS units for each of four images, from those of four images for each unit.
#if WEIGHTS 4
fn by_image(units: array<vec4f, WEIGHTS>) -> array<Weights, 4> {
    return array<Weights, 4>(
        vec4f(units[0].x, units[1].x, units[2].x, units[3].x),
        vec4f(units[0].y, units[1].y, units[2].y, units[3].y),
        vec4f(units[0].z, units[1].z, units[2].z, units[3].z),
        vec4f(units[0].w, units[1].w, units[2].w, units[3].w),
    );
}
#else
fn by_image(units: array<vec4f, WEIGHTS>) -> array<Weights, 4> {
    return array<Weights, 4>(units[0].x, units[0].y, units[0].z, units[0].w);
}
#endif

// The gradients of WEIGHTS units, which begin at `unit`, of each of four images.
fn gradients_at(quarter: u32, unit: u32) -> array<Weights, 4> {
    var units: array<vec4f, WEIGHTS>;
    #unroll
    for (var w = 0u; w < WEIGHTS; w++) {
        units[w] = y_grad[(quarter / 4u * p.units + unit + w) * 4u + quarter % 4u];
    }
    return by_image(units);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let own_unit = (group.x * LANES + lane) * WEIGHTS;
    let u = min(own_unit, p.units - WEIGHTS);
    let first = group.y * TALL;
    // Units and inputs past the last repeat it and store nothing.
    var sums: array<Weights, TALL>;
    var of_bias: array<Weights, 4>;
    for (var quarter = 0u; quarter < p.blocks * 4u; quarter++) {
        let block = quarter / 4u;
        let gradients = gradients_at(quarter, u);
        #unroll
        for (var i = 0u; i < 4u; i++) {
            of_bias[i] += gradients[i];
        }
#if BROADCAST 1
        var own_values: array<vec4f, STRIPS>;
        #unroll
        for (var strip = 0u; strip < STRIPS; strip++) {
            let input = min(first + strip * LANES + lane, p.inputs - 1u);
            own_values[strip] = x[(block * p.inputs + input) * 4u + quarter % 4u];
        }
#endif
        #unroll
        for (var r = 0u; r < TALL; r++) {
#if BROADCAST 1
            let value = subgroupBroadcast(own_values[r / LANES], r % LANES);
#else
            let value = x[(block * p.inputs + min(first + r, p.inputs - 1u)) * 4u + quarter % 4u];
#endif
            let two = fma(Weights(value.y), gradients[1], fma(Weights(value.x), gradients[0], sums[r]));
            sums[r] = fma(Weights(value.w), gradients[3], fma(Weights(value.z), gradients[2], two));
        }
    }
    if own_unit >= p.units {
        return;
    }
    begin();
    // The sums move up, so that `keep`, which is long, is compiled for one of them.
    for (var k = first; k < min(first + TALL, p.inputs); k++) {
        keep((p.weight + k * p.units + u) / WEIGHTS, sums[0]);
        #unroll
        for (var r = 0u; r < TALL - 1u; r++) {
            sums[r] = sums[r + 1u];
        }
    }
    if group.y == 0u {
        keep((p.bias + u) / WEIGHTS, (of_bias[0] + of_bias[1]) + (of_bias[2] + of_bias[3]));
    }
}
