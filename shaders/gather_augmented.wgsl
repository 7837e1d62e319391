// x[n][y][c] = (warped[y][c] - mean) / divisor, warped[y][c] = image at source(c, y), or 0 where erased,
// source(pixel) = centre + K^-1 R^-1 (pixel - centre - shift) / z + e(pixel),
// image = images[order[step * batch + n]]; see src/ops/gather_augmented.rs for the symbols and sources;
// with l2_columns: warped[y][c] / max(|column c|, 1).
//
// One invocation makes one column of one image. Lanes past the batch get zeros. The numbers of an image are the stream
// (augment, epoch, image): pairs of words 0 to 5 for the image as a whole, then one for each node of the elastic grid.
#import control
#import threefry

struct Params {
    blocks: u32,
    height: u32,
    width: u32,
    l2_columns: u32,
    mean: f32,
    divisor: f32,
    epochs: u32,
    share: f32,
    shift: f32,
    turn: f32,
    scale: f32,
    shear: f32,
    elastic: f32,
    spacing: u32,
    erase: f32,
    erase_height: u32,
    erase_width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> images: array<u32>; // bytes: [image][height][width]
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>; // [blocks][height][width][16]

// The first pair of words of the grid's nodes.
const NODES: u32 = 16u;

// Two numbers uniform in [-1, 1).
fn signed2(key: vec2u, pair: u32) -> vec2f {
    return 2.0 * stream_uniform2(key, pair) - 1.0;
}

// Whole numbers uniform in 0 to bound - 1, for bounds below 65536.
fn below2(words: vec2u, bound: vec2u) -> vec2u {
    return ((words >> vec2u(16u)) * bound) >> vec2u(16u);
}

// A pixel of the image whose first byte is `first`; 0 outside.
fn pixel(first: u32, column: i32, row: i32) -> f32 {
    if column < 0 || row < 0 || column >= i32(p.width) || row >= i32(p.height) {
        return 0.0;
    }
    let byte = first + u32(row) * p.width + u32(column);
    return f32((images[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xFFu);
}

// The image at a place between pixels.
fn interpolated(first: u32, place: vec2f) -> f32 {
    // So that no place is too far off for an integer.
    let inside = clamp(place, vec2f(-1.0), vec2f(f32(p.width), f32(p.height)));
    let corner = vec2i(floor(inside));
    let weight = inside - vec2f(corner);
    let a = pixel(first, corner.x, corner.y);
    let b = pixel(first, corner.x, corner.y + 1);
    let above = a + weight.x * (pixel(first, corner.x + 1, corner.y) - a);
    let below = b + weight.x * (pixel(first, corner.x + 1, corner.y + 1) - b);
    return above + weight.y * (below - above);
}

// The elastic displacement at this column, on row `row` of the grid.
fn displacement(key: vec2u, elastic: f32, column: u32, row: u32) -> vec2f {
    let nodes = (p.width - 1u) / p.spacing + 2u;
    let pair = NODES + row * nodes + column / p.spacing;
    let weight = f32(column % p.spacing) / f32(p.spacing);
    let left = elastic * signed2(key, pair);
    return left + weight * (elastic * signed2(key, pair + 1u) - left);
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
    let image = order[control[STEP] * control[BATCH] + n];
    let first = image * p.height * p.width;
    let key = stream_key(vec2u(control[SEED_LOW], control[SEED_HIGH]), PURPOSE_AUGMENT, control[EPOCH], image);

    let centre = vec2f(f32(p.width - 1u), f32(p.height - 1u)) * 0.5;
    let changed = control[EPOCH] < p.epochs;
    let moved = changed && f32(threefry2x32(key, vec2u(5u, 0u)).x >> 8u) * (1.0 / 16777216.0) < p.share;
    let one = select(0.0, 1.0, moved);
    let elastic = one * p.elastic;
    let origin = centre + one * p.shift * signed2(key, 0u);
    let turn_scale = one * signed2(key, 1u);
    let shear_erase = threefry2x32(key, vec2u(2u, 0u));
    let t = p.turn * turn_scale.x;
    let k = one * p.shear * (2.0 * (f32(shear_erase.x >> 8u) * (1.0 / 16777216.0)) - 1.0);
    let unit = 1.0 / ((1.0 + t * t) * (1.0 + p.scale * turn_scale.y));
    let cosine = (1.0 - t * t) * unit;
    let sine = (t + t) * unit;

    let size = vec2u(1u) + below2(threefry2x32(key, vec2u(3u, 0u)), vec2u(p.erase_height, p.erase_width));
    let start = below2(threefry2x32(key, vec2u(4u, 0u)), vec2u(p.height, p.width) - size + 1u);
    var erased = f32(shear_erase.y >> 8u) * (1.0 / 16777216.0) < p.erase;
    erased = changed && erased && column >= start.y && column < start.y + size.y;

    let dx = f32(column) - origin.x;
    let left = centre + vec2f(cosine + k * sine, -sine) * dx;
    let down = vec2f(sine - k * cosine, cosine);
    var upper = vec2f();
    var lower = vec2f();
    var squares = 0.0;
    for (var y = 0u; y < p.height; y++) {
        var place = left + down * (f32(y) - origin.y);
        if elastic > 0.0 {
            let row = y / p.spacing;
            if y % p.spacing == 0u {
                upper = displacement(key, elastic, column, row);
                lower = displacement(key, elastic, column, row + 1u);
            }
            place += upper + f32(y % p.spacing) / f32(p.spacing) * (lower - upper);
        }
        var value = interpolated(first, place);
        if erased && y >= start.x && y < start.x + size.x {
            value = 0.0;
        }
        squares = fma(value, value, squares);
        x[out + y * p.width * 16u] = select((value - p.mean) / p.divisor, value, p.l2_columns != 0u);
    }
    if p.l2_columns != 0u {
        let norm = sqrt(max(squares, 1.0));
        for (var y = 0u; y < p.height; y++) {
            x[out + y * p.width * 16u] /= norm;
        }
    }
}
