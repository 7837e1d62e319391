// y[f][oy][ox] = sum over c, ky, kx of x[c][oy + ky - pad][ox + kx - pad] weight[c][ky][kx][f], so
// x_grad[c][iy][ix] = activation'(x[c][iy][ix]) * sum over f, ky, kx of y_grad[f][iy + pad - ky][ix + pad - kx] weight[c][ky][kx][f]
// where y_grad is 0 outside the image, and x is the output of `activation`, which is thereby differentiated too.
//
// The same correlation as forward with the kernel flipped, and tiled in the same way: ky and kx below count from the other
// side. The weights of a channel lie beside each other by filter, so DEPTH of them are loaded at once.
#import activation
#import images
#import images_activation

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
@group(0) @binding(1) var<storage, read> y_grad: array<Images>; // [blocks][filters][out_height][out_width][GROUPS]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<Images>; // [blocks][channels][height][width][GROUPS]
@group(0) @binding(4) var<storage, read_write> x_grad: array<Images>; // [blocks][channels][height][width][GROUPS]

// Stores the gradients of a pixel of some images, from those of what the activation made of it.
fn keep(at: u32, made: Images) {
    var gradient = made;
    // The derivative of a linear function needs no x.
    if ACTIVATION != LINEAR {
        gradient *= activation_derivative_images(ACTIVATION, x[at]);
    }
    x_grad[at] = gradient;
}

#if COOPERATIVE 1
// A row for each channel, a column for each pixel of each image, a term for each weight of a channel.
#import matrix_product
#import matrix_weights

const LEFT_IN_ROWS: bool = true;
const RIGHT_IN_ROWS: bool = true;

fn rows() -> u32 {
    return p.channels;
}

fn columns() -> u32 {
    return p.blocks * p.height * p.width * 16u;
}

fn terms() -> u32 {
    return p.kernel * p.kernel * p.filters;
}

fn left4(channel: u32, term: u32) -> vec4f {
    return weights4(channel, term, p.channels, terms());
}

fn right4(term: u32, column: u32) -> vec4f {
    let pixel = column / 16u;
    let block = pixel / (p.height * p.width);
    // Row and column -1 are large numbers here.
    let oy = pixel / p.width % p.height + p.pad - term / p.filters / p.kernel;
    let ox = pixel % p.width + p.pad - term / p.filters % p.kernel;
    if term >= terms() || block >= p.blocks || oy >= p.out_height || ox >= p.out_width {
        return vec4f();
    }
    let f = term % p.filters;
    return y_grad[(((block * p.filters + f) * p.out_height + oy) * p.out_width + ox) * GROUPS + column / 4u % GROUPS];
}

fn keep4(channel: u32, column: u32, sums: vec4f) {
    let pixels = p.height * p.width;
    let pixel = column / 16u;
    keep(((pixel / pixels * p.channels + channel) * pixels + pixel % pixels) * GROUPS + column / 4u % GROUPS, sums);
}
#else
const COLUMNS: u32 = PIXELS + KERNEL - 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = min(n / GROUPS, p.blocks - 1u);
    // The last tile is moved back to end with the last pixel or channel: what two tiles make has the same bits in both.
    let tiles = (p.width + PIXELS - 1u) / PIXELS;
    let iy = group.y / tiles;
    let ix = min(group.y % tiles * PIXELS, p.width - PIXELS);
    let channel = min(group.z * OUTPUTS, p.channels - OUTPUTS);
    let pad = KERNEL - 1u - p.pad;
    // Columns are found by their distance from one that lies in the image.
    let origin = min(ix + LEFT - pad, p.out_width - 1u);
    let row_step = p.out_width * GROUPS;
    let plane_step = p.out_height * row_step;
    let y_first = block * p.filters * plane_step + (iy - pad) * row_step + origin * GROUPS + n % GROUPS;
    var edge: array<u32, COLUMNS>;
    var inside: array<bool, COLUMNS>;
    #unroll
    for (var i = 0u; i < COLUMNS; i++) {
        // Column -1 is a large number here, so one comparison covers both sides.
        inside[i] = ix + i - pad < p.out_width;
        edge[i] = select(0u, (ix + i - pad - origin) * GROUPS, inside[i]);
    }
    // Rows of the flipped kernel that meet the image.
    let first_row = max(pad, iy) - iy;
    let end_row = min(KERNEL, p.out_height + pad - iy);

    let channel_step = KERNEL * KERNEL * FILTERS;
    let last_weight = p.weight + (channel + 1u) * channel_step - FILTERS;

#if BROADCAST 1
    // Where this invocation finds its share of a row's weights.
    var own_weights_at: array<u32, WEIGHT_STRIPS>;
    #unroll
    for (var strip = 0u; strip < WEIGHT_STRIPS; strip++) {
        let own = min(strip * LANES + local, KERNEL * OUTPUTS - 1u);
        own_weights_at[strip] = own % OUTPUTS * channel_step - own / OUTPUTS * FILTERS;
    }
#endif

    var sums: array<Images, PIXELS * OUTPUTS>;
    for (var f = 0u; f < FILTERS; f += DEPTH) {
        var row = y_first + f * plane_step + first_row * row_step;
        var weights = last_weight + f - first_row * KERNEL * FILTERS;
        for (var ky = first_row; ky < end_row; ky++) {
            var columns: array<Images, COLUMNS * DEPTH>;
            var plane = row;
            #unroll
            for (var d = 0u; d < DEPTH; d++) {
                #unroll
                for (var i = 0u; i < COLUMNS; i++) {
                    if i < LEFT || i >= COLUMNS - RIGHT {
                        columns[d * COLUMNS + i] = select(Images(), y_grad[plane + edge[i]], inside[i]);
                    } else {
                        columns[d * COLUMNS + i] = y_grad[plane + (i - LEFT) * GROUPS];
                    }
                }
                plane += plane_step;
            }
#if BROADCAST 1
            var own_weights: array<f32, WEIGHT_STRIPS>;
            #unroll
            for (var strip = 0u; strip < WEIGHT_STRIPS; strip++) {
                own_weights[strip] = parameters[weights + own_weights_at[strip]];
            }
#endif
            #unroll
            for (var kx = 0u; kx < KERNEL; kx++) {
                #unroll
                for (var o = 0u; o < OUTPUTS; o++) {
                    #unroll
                    for (var d = 0u; d < DEPTH; d++) {
#if BROADCAST 1
                        let weight = Images(subgroupBroadcast(own_weights[(kx * OUTPUTS + o) / LANES], (kx * OUTPUTS + o) % LANES));
#else
                        let weight = Images(parameters[weights + o * channel_step - kx * FILTERS + d]);
#endif
                        #unroll
                        for (var i = 0u; i < PIXELS; i++) {
                            let at = o * PIXELS + i;
                            sums[at] = fma(columns[d * COLUMNS + i + kx], weight, sums[at]);
                        }
                    }
                }
            }
            row += row_step;
            weights -= KERNEL * FILTERS;
        }
    }
    if n >= p.blocks * GROUPS {
        return;
    }
    #unroll
    for (var o = 0u; o < OUTPUTS; o++) {
        let x_row = ((block * p.channels + channel + o) * p.height + iy) * p.width + ix;
        #unroll
        for (var i = 0u; i < PIXELS; i++) {
            keep((x_row + i) * GROUPS + n % GROUPS, sums[o * PIXELS + i]);
        }
    }
}
#endif
