// Threefry-2x32 with 20 rounds (Salmon and others, SC 2011). Kept in step with src/rng.rs.
fn threefry_round(x: vec2u, distance: u32) -> vec2u {
    let first = x.x + x.y;
    return vec2u(first, ((x.y << distance) | (x.y >> (32u - distance))) ^ first);
}

fn threefry2x32(key: vec2u, counter: vec2u) -> vec2u {
    let third = 0x1BD11BDAu ^ key.x ^ key.y;
    var x = counter + key;
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 13u), 15u), 26u), 6u);
    x += vec2u(key.y, third + 1u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 17u), 29u), 16u), 24u);
    x += vec2u(third, key.x + 2u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 13u), 15u), 26u), 6u);
    x += vec2u(key.x, key.y + 3u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 17u), 29u), 16u), 24u);
    x += vec2u(key.y, third + 4u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 13u), 15u), 26u), 6u);
    x += vec2u(third, key.x + 5u);
    return x;
}

// The purposes of streams, as far as kernels draw from them.
const PURPOSE_DROPOUT: u32 = 3u;
const PURPOSE_AUGMENT: u32 = 4u;

// The key of the stream `purpose` at coordinates (a, b).
fn stream_key(seed: vec2u, purpose: u32, a: u32, b: u32) -> vec2u {
    return threefry2x32(threefry2x32(seed, vec2u(purpose, a)), vec2u(b, 0u));
}

// Word number `index` of the stream.
fn stream_word(key: vec2u, index: u32) -> u32 {
    let pair = threefry2x32(key, vec2u(index >> 1u, 0u));
    return select(pair.x, pair.y, (index & 1u) == 1u);
}

// Uniform in [0, 1) with 24 bits.
fn stream_uniform(key: vec2u, index: u32) -> f32 {
    return f32(stream_word(key, index) >> 8u) * (1.0 / 16777216.0);
}

// The two of them at `2 pair` and `2 pair + 1`, which share an encryption.
fn stream_uniform2(key: vec2u, pair: u32) -> vec2f {
    return vec2f(threefry2x32(key, vec2u(pair, 0u)) >> vec2u(8u)) * (1.0 / 16777216.0);
}
