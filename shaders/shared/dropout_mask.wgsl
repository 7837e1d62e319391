// Dropout as an epilogue, by the mask of dropout.wgsl; needs control and threefry. Nothing is drawn unless DROPOUT is 1.
fn dropout_key(layer: u32) -> vec2u {
    if DROPOUT != 1u {
        return vec2u();
    }
    return stream_key(vec2u(control[SEED_LOW], control[SEED_HIGH]), PURPOSE_DROPOUT, layer, control[GLOBAL_STEP]);
}

// Element `i`, which is `value` without dropout.
fn drop_or_keep(key: vec2u, rate: f32, i: u32, value: f32) -> f32 {
    if DROPOUT == 0u {
        return value;
    }
    return select(0.0, value * (1.0 / (1.0 - rate)), stream_uniform(key, i) >= rate);
}

// The four elements from `4 i` on, which are `value` without dropout.
fn drop_or_keep4(key: vec2u, rate: f32, i: u32, value: vec4f) -> vec4f {
    if DROPOUT == 0u {
        return value;
    }
    let uniforms = vec4f(stream_uniform2(key, 2u * i), stream_uniform2(key, 2u * i + 1u));
    return select(vec4f(), value * (1.0 / (1.0 - rate)), uniforms >= vec4f(rate));
}
