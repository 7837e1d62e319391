// The kernel of weight gradients of convolutions; the ops have the parameters and the buffers x, y_grad and partials.
//
// Each invocation keeps the sums of ROWS rows of the kernel x FILTERS filters for one channel, and takes PIXELS neighbours of
// a row at a time: the gradients of those pixels serve every tap. A workgroup has TILES such tiles, SHARED_CHANNELS of them
// beside each other in channels and the rest in filters, each IMAGE_LANES invocations wide, which add up their images in the end.
//
// With SIDE 2 only the winners of windows of 2x2 outputs have gradients: y_grad and winners have one number for each window,
// and outputs that fill no window have none.
const COLUMNS: u32 = PIXELS + KERNEL - 1u;
const LANES: u32 = TILES * IMAGE_LANES;
// Sums of a tile: taps, then biases.
const TAPS: u32 = ROWS * KERNEL * FILTERS;
const SUMS: u32 = TAPS + FILTERS;

// The channel, the first row of the kernel and the first filter of a tile.
struct Place {
    channel: u32,
    row: u32,
    filter_first: u32,
}

fn place(group: vec3u, tile: u32) -> Place {
    let rows = (KERNEL + ROWS - 1u) / ROWS;
    let channel = group.y / rows * SHARED_CHANNELS + tile % SHARED_CHANNELS;
    let filter_tile = group.x * (TILES / SHARED_CHANNELS) + tile / SHARED_CHANNELS;
    // The last tiles are moved back to end with the last row or filter: what two tiles make has the same bits in both.
    return Place(channel, min(group.y % rows * ROWS, KERNEL - ROWS), min(filter_tile * FILTERS, p.filters - FILTERS));
}

fn store(at: Place, slice: u32, i: u32, sum: f32) {
    let filter_index = at.filter_first + i % FILTERS;
    let first = slice * p.slice_words + p.first + filter_index;
    if i < TAPS {
        let tap = at.row * KERNEL + i / FILTERS;
        partials[first + (at.channel * KERNEL * KERNEL + tap) * p.filters] = sum;
    } else if at.channel == 0u && at.row == 0u {
        partials[first + p.channels * KERNEL * KERNEL * p.filters] = sum;
    }
}

#if IMAGES 1
var<workgroup> lane_sums: array<f32, SUMS * LANES>;
#endif

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let at = place(group, local / IMAGE_LANES);
    let slice = group.z;
    let x_row = p.width * GROUPS;
    // Rows and columns of outputs that have gradients.
    let out_height = p.out_height / SIDE * SIDE;
    let out_width = p.out_width / SIDE * SIDE;
    let y_row = out_width / SIDE * GROUPS;
    let x_plane = p.height * x_row;
    let y_plane = out_height / SIDE * y_row;
    let first_block = slice * p.blocks_per_slice;
    let end_block = min(first_block + p.blocks_per_slice, p.blocks);
    let with_biases = group.y == 0u;

    var sums: array<Images, SUMS>;
    for (var step = first_block * GROUPS + local % IMAGE_LANES; step < end_block * GROUPS; step += IMAGE_LANES) {
        let block = step / GROUPS;
        let images = step % GROUPS;
        let x_first = (block * p.channels + at.channel) * x_plane + images;
        let y_first = (block * p.filters + at.filter_first) * y_plane + images;
        for (var oy = 0u; oy < out_height; oy++) {
            for (var ox = 0u; ox < out_width; ox += PIXELS) {
                var gradients: array<Images, PIXELS * FILTERS>;
                var y_at = y_first + oy / SIDE * y_row + ox / SIDE * GROUPS;
                #unroll
                for (var f = 0u; f < FILTERS; f++) {
                    #unroll
                    for (var i = 0u; i < PIXELS; i++) {
                        let at = y_at + i / SIDE * GROUPS;
#if SIDE 2
                        let inside = RAGGED == 0u || ox + i < out_width;
                        let window = select(y_at, at, inside);
                        let is_winner = winners[window] == Images(f32(oy % SIDE * SIDE + i % SIDE));
                        gradients[f * PIXELS + i] = select(Images(), select(Images(), y_grad[window], is_winner), inside);
#else
                        if RAGGED == 1u {
                            let inside = ox + i < out_width;
                            gradients[f * PIXELS + i] = select(Images(), y_grad[select(y_at, at, inside)], inside);
                        } else {
                            gradients[f * PIXELS + i] = y_grad[at];
                        }
#endif
                    }
                    y_at += y_plane;
                }
                if with_biases {
                    #unroll
                    for (var f = 0u; f < FILTERS; f++) {
                        #unroll
                        for (var i = 0u; i < PIXELS; i++) {
                            sums[TAPS + f] += gradients[f * PIXELS + i];
                        }
                    }
                }
#if BROADCAST 1
                // Of the rows and columns that meet these pixels, this invocation loads every eighth.
                var own_values: array<Images, VALUE_STRIPS>;
                #unroll
                for (var strip = 0u; strip < VALUE_STRIPS; strip++) {
                    let own = strip * LANES + local;
                    let y = oy + at.row + own / COLUMNS - p.pad;
                    let column = ox + own % COLUMNS - p.pad;
                    let inside = y < p.height && column < p.width;
                    let value = x[x_first + select(0u, y * x_row + column * GROUPS, inside)];
                    own_values[strip] = select(Images(), value, inside);
                }
#else
                // Columns are found by their distance from one that lies in the image.
                let origin = min(ox + LEFT - p.pad, p.width - 1u);
                var edge: array<u32, COLUMNS>;
                var inside: array<bool, COLUMNS>;
                #unroll
                for (var i = 0u; i < COLUMNS; i++) {
                    // Column -1 is a large number here, so one comparison covers both sides.
                    inside[i] = ox + i - p.pad < p.width;
                    edge[i] = select(0u, (ox + i - p.pad - origin) * GROUPS, inside[i]);
                }
                let first_row = x_first + (oy + at.row - p.pad) * x_row + origin * GROUPS;
#endif
                #unroll
                for (var ky = 0u; ky < ROWS; ky++) {
                    if oy + at.row + ky - p.pad < p.height {
                        var columns: array<Images, COLUMNS>;
#if BROADCAST 1
                        #unroll
                        for (var i = 0u; i < COLUMNS; i++) {
                            columns[i] = subgroupBroadcast(own_values[(ky * COLUMNS + i) / LANES], (ky * COLUMNS + i) % LANES);
                        }
#else
                        let row = first_row + ky * x_row;
                        #unroll
                        for (var i = 0u; i < COLUMNS; i++) {
                            if i < LEFT || i >= COLUMNS - RIGHT {
                                columns[i] = select(Images(), x[row + edge[i]], inside[i]);
                            } else {
                                columns[i] = x[row + (i - LEFT) * GROUPS];
                            }
                        }
#endif
                        #unroll
                        for (var kx = 0u; kx < KERNEL; kx++) {
                            #unroll
                            for (var f = 0u; f < FILTERS; f++) {
                                let sum = (ky * KERNEL + kx) * FILTERS + f;
                                #unroll
                                for (var i = 0u; i < PIXELS; i++) {
                                    sums[sum] = fma(columns[i + kx], gradients[f * PIXELS + i], sums[sum]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
#if IMAGES 1
    for (var i = 0u; i < SUMS; i++) {
        lane_sums[i * LANES + local] = sums[i];
    }
    workgroupBarrier();
    for (var i = local; i < SUMS * TILES; i += LANES) {
        let tile = i % TILES;
        let first = i / TILES * LANES + tile * IMAGE_LANES;
        var sum = 0.0;
        for (var lane = 0u; lane < IMAGE_LANES; lane++) {
            sum += lane_sums[first + lane];
        }
        store(place(group, tile), slice, i / TILES, sum);
    }
#else
    #unroll
    for (var i = 0u; i < SUMS; i++) {
        let four = sums[i];
        store(at, slice, i, (four.x + four.y) + (four.z + four.w));
    }
#endif
}
