// y[f][oy][ox] = bias[f] + sum over c, ky, kx of x[c][oy + ky - pad][ox + kx - pad] weight[c][ky][kx][f], so
// weight_grad[c][ky][kx][f] = sum over n, oy, ox of x[n][c][oy + ky - pad][ox + kx - pad] y_grad[n][f][oy][ox]
// bias_grad[f] = sum over n, oy, ox of y_grad[n][f][oy][ox]
// partials[slice] holds both, added over the images of the slice.
struct Params {
    blocks: u32,
    channels: u32,
    height: u32,
    width: u32,
    filters: u32,
    kernel: u32,
    pad: u32,
    out_height: u32,
    out_width: u32,
    blocks_per_slice: u32,
    first: u32, // first word of this layer in a slice of the partial sums
    slice_words: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [blocks][channels][height][width][16 / 4]
@group(0) @binding(2) var<storage, read> y_grad: array<vec4f>; // [blocks][filters][out_height][out_width][16 / 4]
@group(0) @binding(3) var<storage, read_write> partials: array<f32>; // [slices][slice_words], where the layer has weights, then biases

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let f = group.x * 8u + local;
    if f >= p.filters {
        return;
    }
    let channel = group.y / KERNEL;
    let ky = group.y % KERNEL;
    let slice = group.z;
    var sums: array<vec4f, KERNEL>;
    for (var kx = 0u; kx < KERNEL; kx++) {
        sums[kx] = vec4f();
    }
    var bias = vec4f();
    for (var block = slice * p.blocks_per_slice; block < min((slice + 1u) * p.blocks_per_slice, p.blocks); block++) {
        for (var oy = 0u; oy < p.out_height; oy++) {
            let iy = oy + ky - p.pad;
            for (var i = 0u; i < p.out_width * 4u; i++) {
                let gradient = y_grad[((block * p.filters + f) * p.out_height + oy) * p.out_width * 4u + i];
                bias += gradient;
                for (var kx = 0u; kx < KERNEL; kx++) {
                    let ix = i / 4u + kx - p.pad;
                    if iy < p.height && ix < p.width {
                        let at = ((block * p.channels + channel) * p.height + iy) * p.width + ix;
                        sums[kx] = fma(x[at * 4u + i % 4u], gradient, sums[kx]);
                    }
                }
            }
        }
    }
    let weights = p.channels * KERNEL * KERNEL * p.filters;
    let first = slice * p.slice_words + p.first;
    for (var kx = 0u; kx < KERNEL; kx++) {
        partials[first + (group.y * KERNEL + kx) * p.filters + f] = total(sums[kx]);
    }
    if group.y == 0u {
        partials[first + weights + f] = total(bias);
    }
}

fn total(v: vec4f) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
