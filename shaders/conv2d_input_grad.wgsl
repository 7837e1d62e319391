// y[f][oy][ox] = sum over c, ky, kx of x[c][oy + ky - pad][ox + kx - pad] weight[c][ky][kx][f], so
// x_grad[c][iy][ix] = activation'(x[c][iy][ix]) * sum over f, ky, kx of y_grad[f][iy + pad - ky][ix + pad - kx] weight[c][ky][kx][f]
// where y_grad is 0 outside the image, and x is the output of `activation`, which is thereby differentiated too.
//
// The same correlation as forward with the kernel flipped, and tiled in the same way: ky and kx below count from the other side.
#import activation

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
    weight: u32, // first word of weight[channels][kernel][kernel][filters]
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<f32>; // [blocks][filters][out_height][out_width][16]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>; // [blocks][channels][height][width][16]
@group(0) @binding(4) var<storage, read_write> x_grad: array<f32>; // [blocks][channels][height][width][16]

const COLUMNS: u32 = PIXELS + KERNEL - 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = n / 16u;
    if block >= p.blocks {
        return;
    }
    let lane = n % 16u;
    // The last tile is moved back to end with the last pixel or channel: what two tiles make has the same bits in both.
    let tiles = (p.width + PIXELS - 1u) / PIXELS;
    let iy = group.y / tiles;
    let ix = min(group.y % tiles * PIXELS, p.width - PIXELS);
    let channel = min(group.z * OUTPUTS, p.channels - OUTPUTS);

    var sums: array<f32, PIXELS * OUTPUTS>;
    for (var i = 0u; i < PIXELS * OUTPUTS; i++) {
        sums[i] = 0.0;
    }
    var columns: array<f32, COLUMNS>;
    let pad = KERNEL - 1u - p.pad;
    // Rows of the flipped kernel that meet the image.
    let first_row = max(pad, iy) - iy;
    let end_row = min(KERNEL, p.out_height + pad - iy);
    for (var f = 0u; f < p.filters; f++) {
        for (var ky = first_row; ky < end_row; ky++) {
            let row = ((block * p.filters + f) * p.out_height + iy + ky - pad) * p.out_width;
            for (var i = 0u; i < COLUMNS; i++) {
                let ox = ix + i - pad;
                if i < LEFT || i >= COLUMNS - RIGHT {
                    // Column -1 is a large number here, so one comparison covers both sides.
                    columns[i] = select(0.0, y_grad[(row + min(ox, p.out_width - 1u)) * 16u + lane], ox < p.out_width);
                } else {
                    columns[i] = y_grad[(row + ox) * 16u + lane];
                }
            }
            for (var kx = 0u; kx < KERNEL; kx++) {
                let tap = (KERNEL - 1u - ky) * KERNEL + KERNEL - 1u - kx;
                for (var o = 0u; o < OUTPUTS; o++) {
                    let weight = parameters[p.weight + ((channel + o) * KERNEL * KERNEL + tap) * p.filters + f];
                    for (var i = 0u; i < PIXELS; i++) {
                        sums[o * PIXELS + i] = fma(columns[i + kx], weight, sums[o * PIXELS + i]);
                    }
                }
            }
        }
    }
    for (var o = 0u; o < OUTPUTS; o++) {
        let first = (((block * p.channels + channel + o) * p.height + iy) * p.width + ix) * 16u + lane;
        for (var i = 0u; i < PIXELS; i++) {
            let at = first + i * 16u;
            x_grad[at] = sums[o * PIXELS + i] * activation_derivative(p.activation, x[at]);
        }
    }
}
