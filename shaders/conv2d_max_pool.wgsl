// z[o][oy][ox] = sum over i, ky, kx of x[i][oy + ky - pad][ox + kx - pad] weight[i][ky][kx][o], x being 0 outside the image
// y[o][oy][ox] = activation(bias[o] + max over dy, dx < 2 of z[o][2 oy + dy][2 ox + dx])
// winners[o][oy][ox] = 2 dy + dx of the first maximum, or 4 where activation is relu and y is 0
//
// Each invocation keeps two rows of WINDOWS neighbouring windows x OUTPUTS filters of its images. For each row of the kernel it
// loads one row of columns, the other being that of the row before, and every weight, a uniform load, serves both.
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
    out_height: u32, // before the pooling
    out_width: u32,
    weight: u32, // first word of weight[channels][kernel][kernel][filters]
    bias: u32,   // first word of bias[filters]
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Images>; // [blocks][channels][height][width][GROUPS]
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Images>; // [blocks][filters][out_height / 2][out_width / 2][GROUPS]
@group(0) @binding(4) var<storage, read_write> winners: array<Images>; // the same

const PIXELS: u32 = 2u * WINDOWS;
const COLUMNS: u32 = PIXELS + KERNEL - 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let n = group.x * LANES + local;
    let block = min(n / GROUPS, p.blocks - 1u);
    let height = p.out_height / 2u;
    let width = p.out_width / 2u;
    // The last tile is moved back to end with the last window or filter: what two tiles make has the same bits in both.
    let tiles = (width + WINDOWS - 1u) / WINDOWS;
    let oy = group.y / tiles;
    let ox = min(group.y % tiles * WINDOWS, width - WINDOWS);
    let first_filter = min(group.z * OUTPUTS, p.filters - OUTPUTS);
    // Columns are found by their distance from one that lies in the image.
    let origin = min(2u * ox + LEFT - p.pad, p.width - 1u);
    let row_step = p.width * GROUPS;
    let plane_step = p.height * row_step;
    let x_first = block * p.channels * plane_step + origin * GROUPS + n % GROUPS;
    var edge: array<u32, COLUMNS>;
    var inside: array<bool, COLUMNS>;
    #unroll
    for (var i = 0u; i < COLUMNS; i++) {
        // Column -1 is a large number here, so one comparison covers both sides.
        inside[i] = 2u * ox + i - p.pad < p.width;
        edge[i] = select(0u, (2u * ox + i - p.pad - origin) * GROUPS, inside[i]);
    }
    let channels = p.channels;
    let filters = p.filters;

    var sums: array<Images, 2u * PIXELS * OUTPUTS>;
    for (var channel = 0u; channel < channels; channel++) {
        var weights = p.weight + first_filter + channel * KERNEL * KERNEL * filters;
        var upper: array<Images, COLUMNS>;
        var lower: array<Images, COLUMNS>;
        for (var row = 0u; row <= KERNEL; row++) {
            // Row -1 is a large number here.
            let iy = 2u * oy + row - p.pad;
            let meets = iy < p.height;
            let x_row = x_first + channel * plane_step + select(0u, iy, meets) * row_step;
            #unroll
            for (var i = 0u; i < COLUMNS; i++) {
                upper[i] = lower[i];
                if i < LEFT || i >= COLUMNS - RIGHT {
                    lower[i] = select(Images(), x[x_row + edge[i]], meets && inside[i]);
                } else {
                    lower[i] = select(Images(), x[x_row + (i - LEFT) * GROUPS], meets);
                }
            }
            if row > 0u {
                #unroll
                for (var kx = 0u; kx < KERNEL; kx++) {
                    #unroll
                    for (var o = 0u; o < OUTPUTS; o++) {
                        let weight = Images(parameters[weights + kx * filters + o]);
                        #unroll
                        for (var i = 0u; i < PIXELS; i++) {
                            let sum = 2u * o * PIXELS + i;
                            sums[sum] = fma(upper[i + kx], weight, sums[sum]);
                            sums[sum + PIXELS] = fma(lower[i + kx], weight, sums[sum + PIXELS]);
                        }
                    }
                }
                weights += KERNEL * filters;
            }
        }
    }
    if n >= p.blocks * GROUPS {
        return;
    }
    #unroll
    for (var o = 0u; o < OUTPUTS; o++) {
        let bias = parameters[p.bias + first_filter + o];
        let row = ((block * filters + first_filter + o) * height + oy) * width + ox;
        #unroll
        for (var i = 0u; i < WINDOWS; i++) {
            var best = sums[2u * o * PIXELS + 2u * i];
            var winner = Images();
            #unroll
            for (var k = 0u; k < 3u; k++) {
                let sum = sums[(2u * o + (k + 1u) / 2u) * PIXELS + 2u * i + (k + 1u) % 2u];
                let greater = sum > best;
                winner = select(winner, Images(f32(k + 1u)), greater);
                best = select(best, sum, greater);
            }
            best += bias;
            if ACTIVATION == RELU {
                winner = select(Images(4.0), winner, best > Images());
            }
            y[(row + i) * GROUPS + n % GROUPS] = activate_images(ACTIVATION, best);
            winners[(row + i) * GROUPS + n % GROUPS] = winner;
        }
    }
}
