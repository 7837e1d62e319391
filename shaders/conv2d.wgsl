// y[o][oy][ox] = activation(bias[o] + sum over i, ky, kx of x[i][oy + ky - pad][ox + kx - pad] weight[i][ky][kx][o])
// where x is 0 outside the image.
//
// Each invocation keeps PIXELS neighbours of a row x OUTPUTS filters of its images. For each row of the kernel it loads the
// columns that they meet, and every weight, a uniform load, serves PIXELS multiply-adds.
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
    bias: u32,   // first word of bias[filters]
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Images>; // [blocks][channels][height][width][GROUPS]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Images>; // [blocks][filters][out_height][out_width][GROUPS]

#if COOPERATIVE 1
// A row for each filter, a column for each pixel of each image, a term for each weight of a filter.
#import matrix_product
#import matrix_weights

const LEFT_IN_ROWS: bool = false;
const RIGHT_IN_ROWS: bool = true;

fn rows() -> u32 {
    return p.filters;
}

fn columns() -> u32 {
    return p.blocks * p.out_height * p.out_width * 16u;
}

fn terms() -> u32 {
    return p.channels * p.kernel * p.kernel;
}

fn left4(f: u32, term: u32) -> vec4f {
    return weights4(term, f, terms(), p.filters);
}

fn right4(term: u32, column: u32) -> vec4f {
    let pixel = column / 16u;
    let block = pixel / (p.out_height * p.out_width);
    // Row and column -1 are large numbers here.
    let iy = pixel / p.out_width % p.out_height + term / p.kernel % p.kernel - p.pad;
    let ix = pixel % p.out_width + term % p.kernel - p.pad;
    if term >= terms() || block >= p.blocks || iy >= p.height || ix >= p.width {
        return vec4f();
    }
    let channel = term / (p.kernel * p.kernel);
    return x[(((block * p.channels + channel) * p.height + iy) * p.width + ix) * GROUPS + column / 4u % GROUPS];
}

fn keep4(f: u32, column: u32, sums: vec4f) {
    let pixels = p.out_height * p.out_width;
    let pixel = column / 16u;
    let at = ((pixel / pixels * p.filters + f) * pixels + pixel % pixels) * GROUPS + column / 4u % GROUPS;
    y[at] = activate_images(ACTIVATION, sums + parameters[p.bias + f]);
}
#else
const COLUMNS: u32 = PIXELS + KERNEL - 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = min(n / GROUPS, p.blocks - 1u);
    // The last tile is moved back to end with the last pixel or filter: what two tiles make has the same bits in both.
    let tiles = (p.out_width + PIXELS - 1u) / PIXELS;
    let oy = group.y / tiles;
    let ox = min(group.y % tiles * PIXELS, p.out_width - PIXELS);
    let first_filter = min(group.z * OUTPUTS, p.filters - OUTPUTS);
    // Columns are found by their distance from one that lies in the image.
    let origin = min(ox + LEFT - p.pad, p.width - 1u);
    let row_step = p.width * GROUPS;
    let plane_step = p.height * row_step;
    let x_first = block * p.channels * plane_step + (oy - p.pad) * row_step + origin * GROUPS + n % GROUPS;
    var edge: array<u32, COLUMNS>;
    var inside: array<bool, COLUMNS>;
    #unroll
    for (var i = 0u; i < COLUMNS; i++) {
        // Column -1 is a large number here, so one comparison covers both sides.
        inside[i] = ox + i - p.pad < p.width;
        edge[i] = select(0u, (ox + i - p.pad - origin) * GROUPS, inside[i]);
    }
    // Rows of the kernel that meet the image.
    let first_row = max(p.pad, oy) - oy;
    let end_row = min(KERNEL, p.height + p.pad - oy);
    let channels = p.channels;
    let filters = p.filters;
    let first_weight = p.weight + first_filter;

#if BROADCAST 1
    // Where this invocation finds its share of a row's weights.
    var own_weights_at: array<u32, WEIGHT_STRIPS>;
    #unroll
    for (var strip = 0u; strip < WEIGHT_STRIPS; strip++) {
        let own = min(strip * LANES + local, KERNEL * OUTPUTS - 1u);
        own_weights_at[strip] = own / OUTPUTS * filters + own % OUTPUTS;
    }
#endif

    var sums: array<Images, PIXELS * OUTPUTS>;
    for (var channel = 0u; channel < channels; channel++) {
        var row = x_first + channel * plane_step + first_row * row_step;
        var weights = first_weight + (channel * KERNEL + first_row) * KERNEL * filters;
        for (var ky = first_row; ky < end_row; ky++) {
            var columns: array<Images, COLUMNS>;
            #unroll
            for (var i = 0u; i < COLUMNS; i++) {
                if i < LEFT || i >= COLUMNS - RIGHT {
                    columns[i] = select(Images(), x[row + edge[i]], inside[i]);
                } else {
                    columns[i] = x[row + (i - LEFT) * GROUPS];
                }
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
#if BROADCAST 1
                    let weight = Images(subgroupBroadcast(own_weights[(kx * OUTPUTS + o) / LANES], (kx * OUTPUTS + o) % LANES));
#else
                    let weight = Images(parameters[weights + kx * filters + o]);
#endif
                    #unroll
                    for (var i = 0u; i < PIXELS; i++) {
                        sums[o * PIXELS + i] = fma(columns[i + kx], weight, sums[o * PIXELS + i]);
                    }
                }
            }
            row += row_step;
            weights += KERNEL * filters;
        }
    }
    if n >= p.blocks * GROUPS {
        return;
    }
    #unroll
    for (var o = 0u; o < OUTPUTS; o++) {
        let bias = parameters[p.bias + first_filter + o];
        let row = ((block * filters + first_filter + o) * p.out_height + oy) * p.out_width + ox;
        #unroll
        for (var i = 0u; i < PIXELS; i++) {
            y[(row + i) * GROUPS + n % GROUPS] = activate_images(ACTIVATION, sums[o * PIXELS + i] + bias);
        }
    }
}
#endif
