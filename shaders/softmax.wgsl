// y[n][c][i] = e^(x[n][c][i] - m) / sum over channels k of e^(x[n][k][i] - m), m = max over k of x[n][k][i],
// which is subtracted so that nothing overflows
//
// An invocation makes all channels of an image at a pixel; neighbours are images.
struct Params {
    blocks: u32,
    channels: u32,
    pixels: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [blocks][channels][pixels][16]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [blocks][channels][pixels][16]

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * LANES;
    let each = p.pixels * 16u;
    let block = i / each;
    if block >= p.blocks {
        return;
    }
    let first = block * p.channels * each + i % each;
    let end = first + p.channels * each;
    var largest = x[first];
    for (var at = first + each; at < end; at += each) {
        largest = max(largest, x[at]);
    }
    var total = 0.0;
    for (var at = first; at < end; at += each) {
        total += exp(x[at] - largest);
    }
    for (var at = first; at < end; at += each) {
        y[at] = exp(x[at] - largest) / total;
    }
}
