// y[o][oy][ox] = activation(bias[o] + sum over i, ky, kx of x[i][oy + ky - pad][ox + kx - pad] weight[i][ky][kx][o])
// where x is 0 outside the image.
//
// A lane is an image; each invocation keeps PIXELS neighbours of a row x OUTPUTS filters of it. For each row of the kernel it
// loads the columns that they meet, and every weight, a uniform load, serves PIXELS multiply-adds.
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
    bias: u32,   // first word of bias[filters]
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [blocks][channels][height][width][16]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [blocks][filters][out_height][out_width][16]

const COLUMNS: u32 = PIXELS + KERNEL - 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = n / 16u;
    if block >= p.blocks {
        return;
    }
    let lane = n % 16u;
    // The last tile is moved back to end with the last pixel or filter: what two tiles make has the same bits in both.
    let tiles = (p.out_width + PIXELS - 1u) / PIXELS;
    let oy = group.y / tiles;
    let ox = min(group.y % tiles * PIXELS, p.out_width - PIXELS);
    let first_filter = min(group.z * OUTPUTS, p.filters - OUTPUTS);

    var sums: array<f32, PIXELS * OUTPUTS>;
    for (var i = 0u; i < PIXELS * OUTPUTS; i++) {
        sums[i] = 0.0;
    }
    var columns: array<f32, COLUMNS>;
    // Rows of the kernel that meet the image.
    let first_row = max(p.pad, oy) - oy;
    let end_row = min(KERNEL, p.height + p.pad - oy);
    for (var channel = 0u; channel < p.channels; channel++) {
        for (var ky = first_row; ky < end_row; ky++) {
            let row = ((block * p.channels + channel) * p.height + oy + ky - p.pad) * p.width;
            for (var i = 0u; i < COLUMNS; i++) {
                let ix = ox + i - p.pad;
                if i < LEFT || i >= COLUMNS - RIGHT {
                    // Column -1 is a large number here, so one comparison covers both sides.
                    columns[i] = select(0.0, x[(row + min(ix, p.width - 1u)) * 16u + lane], ix < p.width);
                } else {
                    columns[i] = x[(row + ix) * 16u + lane];
                }
            }
            let weights = p.weight + (channel * KERNEL + ky) * KERNEL * p.filters + first_filter;
            for (var kx = 0u; kx < KERNEL; kx++) {
                for (var o = 0u; o < OUTPUTS; o++) {
                    let weight = parameters[weights + kx * p.filters + o];
                    for (var i = 0u; i < PIXELS; i++) {
                        sums[o * PIXELS + i] = fma(columns[i + kx], weight, sums[o * PIXELS + i]);
                    }
                }
            }
        }
    }
    for (var o = 0u; o < OUTPUTS; o++) {
        let bias = parameters[p.bias + first_filter + o];
        let y_first = (((block * p.filters + first_filter + o) * p.out_height + oy) * p.out_width + ox) * 16u + lane;
        for (var i = 0u; i < PIXELS; i++) {
            y[y_first + i * 16u] = activate(p.activation, sums[o * PIXELS + i] + bias);
        }
    }
}
