// y = max of each window of x, so the first maximum of a window has
// x_grad = activation'(x) * y_grad of the window, and all else has 0,
// where x is the output of `activation`, which is thereby differentiated too.
//
// Each invocation writes one window; those at the edges that are not whole get zeros. There are WINDOWS_X of them in a row and
// WINDOWS_Y in a column, those that are not whole included.
#import activation

struct Params {
    blocks: u32,
    channels: u32,
    height: u32,
    width: u32,
    size: u32,
    out_height: u32,
    out_width: u32,
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y_grad: array<f32>; // [blocks][channels][out_height][out_width][16]
@group(0) @binding(2) var<storage, read> x: array<f32>; // [blocks][channels][height][width][16]
@group(0) @binding(3) var<storage, read_write> x_grad: array<f32>; // [blocks][channels][height][width][16]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let window = i / 16u;
    let lane = i % 16u;
    let ox = window % WINDOWS_X;
    let oy = window / WINDOWS_X % WINDOWS_Y;
    let plane = window / (WINDOWS_X * WINDOWS_Y);
    if plane >= p.blocks * p.channels {
        return;
    }
    let first = (plane * p.height + oy * SIZE) * p.width + ox * SIZE;
    let rows = min(SIZE, p.height - oy * SIZE);
    let columns = min(SIZE, p.width - ox * SIZE);
    var winner = rows * SIZE;
    var gradient = 0.0;
    if oy < p.out_height && ox < p.out_width {
        var best = x[first * 16u + lane];
        winner = 0u;
        for (var k = 1u; k < SIZE * SIZE; k++) {
            let value = x[(first + k / SIZE * p.width + k % SIZE) * 16u + lane];
            winner = select(winner, k, value > best);
            best = select(best, value, value > best);
        }
        let y_at = ((plane * p.out_height + oy) * p.out_width + ox) * 16u + lane;
        gradient = y_grad[y_at] * activation_derivative(ACTIVATION, best);
    }
    for (var ky = 0u; ky < rows; ky++) {
        for (var kx = 0u; kx < columns; kx++) {
            x_grad[(first + ky * p.width + kx) * 16u + lane] = select(0.0, gradient, ky * SIZE + kx == winner);
        }
    }
}
