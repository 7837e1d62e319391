// x[n][y][c] = (image[y][c] - mean) / divisor, image = images[order[step * batch + n]];
// with l2_columns: image[y][c] / |column c|, a zero norm dividing by one.
//
// One invocation makes one column of one image. Lanes past the batch get zeros.
#import control

struct Params {
    blocks: u32,
    height: u32,
    width: u32,
    l2_columns: u32,
    mean: f32,
    divisor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> images: array<u32>; // bytes: [image][height][width]
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>; // [blocks][height][width][16]

fn pixel(byte: u32) -> f32 {
    return f32((images[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xFFu);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let n = id.x;
    let column = id.y;
    let block = n / 16u;
    if block >= p.blocks {
        return;
    }
    let out = block * p.height * p.width * 16u + column * 16u + n % 16u;
    if n >= control[ROWS] {
        for (var y = 0u; y < p.height; y++) {
            x[out + y * p.width * 16u] = 0.0;
        }
        return;
    }
    let row = order[control[STEP] * control[BATCH] + n];
    let first = row * p.height * p.width + column;
    var divisor = p.divisor;
    if p.l2_columns != 0u {
        var squares = 0.0;
        for (var y = 0u; y < p.height; y++) {
            let value = pixel(first + y * p.width);
            squares = fma(value, value, squares);
        }
        divisor = select(1.0, sqrt(squares), squares > 0.0);
    }
    for (var y = 0u; y < p.height; y++) {
        x[out + y * p.width * 16u] = (pixel(first + y * p.width) - p.mean) / divisor;
    }
}
