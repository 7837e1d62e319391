// y[f][oy][ox] = bias[f] + sum over c, ky, kx of x[c][oy + ky - pad][ox + kx - pad] weight[c][ky][kx][f], so
// weight_grad[c][ky][kx][f] = sum over n, oy, ox of x[n][c][oy + ky - pad][ox + kx - pad] y_grad[n][f][oy][ox]
// bias_grad[f] = sum over n, oy, ox of y_grad[n][f][oy][ox]
// partials[slice] holds both, added over the images of the slice.
#import images

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
@group(0) @binding(1) var<storage, read> x: array<Images>; // [blocks][channels][height][width][GROUPS]
@group(0) @binding(2) var<storage, read> y_grad: array<Images>; // [blocks][filters][out_height][out_width][GROUPS]
@group(0) @binding(3) var<storage, read_write> partials: array<f32>; // [slices][slice_words], where the layer has weights, then biases
#import conv2d_weight_sums
