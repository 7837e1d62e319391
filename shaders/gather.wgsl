// x[n][y][c] = (image[y][c] - mean) / divisor, image = images[order[step * batch + n]];
// with l2_columns: image[y][c] / |column c|, a zero norm dividing by one.
//
// One invocation makes COLUMNS columns, four if a word of bytes never crosses rows, of four images, HEIGHT rows of them. Lanes past
// the batch get zeros.
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
@group(0) @binding(4) var<storage, read_write> x: array<vec4f>; // [blocks][height][width][16 / 4]

#if COLUMNS 4
alias Columns = vec4f;

// From this byte on.
fn pixels(byte: u32) -> Columns {
    let word = images[byte >> 2u];
    return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xFFu));
}

fn store(at: u32, of_images: array<Columns, 4>) {
    for (var c = 0u; c < 4u; c++) {
        x[at + c * 4u] = vec4f(of_images[0][c], of_images[1][c], of_images[2][c], of_images[3][c]);
    }
}
#else
alias Columns = f32;

fn pixels(byte: u32) -> Columns {
    return f32((images[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xFFu);
}

fn store(at: u32, of_images: array<Columns, 4>) {
    x[at] = vec4f(of_images[0], of_images[1], of_images[2], of_images[3]);
}
#endif

// What the pixels of these columns, whose top is byte `first`, are divided by.
fn divisor(first: u32) -> Columns {
    if p.l2_columns == 0u {
        return Columns(p.divisor);
    }
    var squares = Columns();
    for (var y = 0u; y < p.height; y++) {
        let values = pixels(first + y * p.width);
        squares = fma(values, values, squares);
    }
    return select(Columns(1.0), sqrt(squares), squares > Columns());
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let block = id.x / 4u;
    let column = id.y * COLUMNS;
    if block >= p.blocks || column >= p.width {
        return;
    }
    var firsts: array<u32, 4>;
    var divisors: array<Columns, 4>;
    for (var i = 0u; i < 4u; i++) {
        let n = id.x * 4u + i;
        // Any image does for lanes past the batch.
        let row = order[select(0u, control[STEP] * control[BATCH] + n, n < control[ROWS])];
        firsts[i] = row * p.height * p.width + column;
        divisors[i] = divisor(firsts[i]);
    }
    for (var y = id.z * HEIGHT; y < min((id.z + 1u) * HEIGHT, p.height); y++) {
        var values: array<Columns, 4>;
        for (var i = 0u; i < 4u; i++) {
            let scaled = (pixels(firsts[i] + y * p.width) - p.mean) / divisors[i];
            values[i] = select(Columns(), scaled, id.x * 4u + i < control[ROWS]);
        }
        store(((block * p.height + y) * p.width + column) * 4u + id.x % 4u, values);
    }
}
