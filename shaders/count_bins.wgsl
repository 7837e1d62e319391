// counts[part][b] = how many finite x of piece `part` have edges[b] <= x < edges[b + 1]; the last bin includes its high
// edge. What lies outside of all bins is in none.
//
// Edges are given, and nothing is computed but comparisons: every device counts the same.
// A workgroup counts a piece of ceil(len / parts) words in memory of its own. Integers add up to the same in any order.

struct Params {
    first: u32,      // first word of the tensor
    len: u32,        // words of the tensor
    features: u32,   // words of an image, so that lane i % 16 of block b is image 16 b + i % 16
    images: u32,
    bins: u32,
    parts: u32,
    first_edge: u32,
    to: u32,         // first word of the result
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> edges: array<f32>; // [bins + 1], ascending
@group(0) @binding(3) var<storage, read_write> counts: array<u32>; // [parts][bins]

var<workgroup> own: array<atomic<u32>, BINS>;

// By its bits, since compilers may assume that there is nothing else.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) < 0x7f800000u;
}

// The last bin whose low edge is not above x, by halving.
fn bin_of(x: f32) -> u32 {
    var low = 0u;
    var high = BINS;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if edges[p.first_edge + middle] <= x {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    for (var b = local; b < BINS; b += WIDTH) {
        atomicStore(&own[b], 0u);
    }
    workgroupBarrier();
    let each = (p.len + p.parts - 1u) / p.parts;
    let end = min((group.x + 1u) * each, p.len);
    for (var i = group.x * each + local; i < end; i += WIDTH) {
        let x = values[p.first + i];
        let image = i / (p.features * 16u) * 16u + i % 16u;
        let inside = edges[p.first_edge] <= x && x <= edges[p.first_edge + BINS];
        if image < p.images && is_finite(x) && inside {
            atomicAdd(&own[bin_of(x)], 1u);
        }
    }
    workgroupBarrier();
    for (var b = local; b < BINS; b += WIDTH) {
        counts[p.to + group.x * BINS + b] = atomicLoad(&own[b]);
    }
}
