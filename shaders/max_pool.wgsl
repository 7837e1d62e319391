// y[c][oy][ox] = dropout(max over ky, kx < size of x[c][oy size + ky][ox size + kx])
// Windows do not overlap; rows and columns that fill no window are dropped. Sizes that something is divided by are constants.
#import control
#import threefry

struct Params {
    blocks: u32,
    channels: u32,
    height: u32,
    width: u32,
    size: u32,
    out_height: u32,
    out_width: u32,
    dropout_layer: u32,
    dropout_rate: f32, // 0: no dropout
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [blocks][channels][height][width][16]
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [blocks][channels][out_height][out_width][16]

#import dropout_mask

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let pixel = i / 16u;
    let lane = i % 16u;
    let row = pixel / OUT_WIDTH;
    let plane = row / OUT_HEIGHT;
    if plane >= p.blocks * p.channels {
        return;
    }
    let first = (plane * p.height + row % OUT_HEIGHT * SIZE) * p.width + pixel % OUT_WIDTH * SIZE;
    var best = x[first * 16u + lane];
    for (var ky = 0u; ky < SIZE; ky++) {
        for (var kx = 0u; kx < SIZE; kx++) {
            let value = x[(first + ky * p.width + kx) * 16u + lane];
            best = select(best, value, value > best);
        }
    }
    y[i] = drop_or_keep(dropout_key(p.dropout_layer), p.dropout_rate, i, best);
}
