// y[f][oy][ox] = activation(bias[f] + max of z[f] over the window of 2x2), z being the convolution of x, so with its gradient
// before the activation, which the place of the maximum in the window, the winner, gets alone, and none where it is 4:
// z_grad[f][2 oy + dy][2 ox + dx] = y_grad[f][oy][ox] where 2 dy + dx = winners[f][oy][ox], else 0
// weight_grad[c][ky][kx][f] = sum over n, zy, zx of x[n][c][zy + ky - pad][zx + kx - pad] z_grad[n][f][zy][zx]
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
    out_height: u32, // before the pooling
    out_width: u32,
    blocks_per_slice: u32,
    first: u32, // first word of this layer in a slice of the partial sums
    slice_words: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Images>; // [blocks][channels][height][width][GROUPS]
@group(0) @binding(2) var<storage, read> y_grad: array<Images>; // [blocks][filters][out_height / 2][out_width / 2][GROUPS]
@group(0) @binding(3) var<storage, read> winners: array<Images>; // the same
@group(0) @binding(4) var<storage, read_write> partials: array<f32>; // [slices][slice_words], where the layer has weights, then biases

#import conv2d_weight_sums
