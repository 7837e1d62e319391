// Per channel, over the values that are finite: low = min x, high = max x, count, sum = sum of x,
// squares = sum of (x - sum / count)^2
//
// A channel lies in `blocks` runs of `each` words. Words past `len`, and lanes past `images`, do not count.
// A workgroup walks a channel twice: the deviations are from the mean itself, so that nothing cancels.
#import workgroup_sum

struct Params {
    first: u32,    // first word of the tensor
    len: u32,      // words of the tensor
    channels: u32,
    blocks: u32,
    each: u32,     // words of a channel in a block
    images: u32,   // lane i % 16 of block b is image 16 b + i % 16
    to: u32,       // first word of the result
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> moments: array<f32>; // [channels][low, high, count, sum, squares]

const LARGEST: f32 = 3.4028234663852886e38;

var<workgroup> ranges: array<vec2f, WIDTH>;

// The word of the tensor at place t of a channel; `len` for what does not count.
fn word(channel: u32, t: u32) -> u32 {
    let block = t / p.each;
    let rest = t % p.each;
    let at = (block * p.channels + channel) * p.each + rest;
    return select(p.len, at, at < p.len && block * 16u + rest % 16u < p.images);
}

// By its bits, since compilers may assume that there is nothing else.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) < 0x7f800000u;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let channel = group.x;
    let places = p.blocks * p.each;
    var range = vec2f(LARGEST, -LARGEST);
    var total = vec2f(0.0);
    for (var t = local; t < places; t += WIDTH) {
        let at = word(channel, t);
        if at < p.len {
            let x = values[p.first + at];
            if is_finite(x) {
                range = vec2f(min(range.x, x), max(range.y, x));
                total += vec2f(x, 1.0);
            }
        }
    }
    ranges[local] = range;
    total = workgroup_sum(local, 0u, total);
    let mean = total.x / max(total.y, 1.0);
    var squares = 0.0;
    for (var t = local; t < places; t += WIDTH) {
        let at = word(channel, t);
        if at < p.len {
            let x = values[p.first + at];
            if is_finite(x) {
                squares += (x - mean) * (x - mean);
            }
        }
    }
    squares = workgroup_sum(local, 1u, vec2f(squares, 0.0)).x;
    if local == 0u {
        for (var i = 1u; i < WIDTH; i++) {
            range = vec2f(min(range.x, ranges[i].x), max(range.y, ranges[i].y));
        }
        let to = p.to + channel * 5u;
        moments[to] = range.x;
        moments[to + 1u] = range.y;
        moments[to + 2u] = total.y;
        moments[to + 3u] = total.x;
        moments[to + 4u] = squares;
    }
}
