// y = max of each window of x, so the first maximum of a window has
// x_grad = activation'(x) * y_grad of the window, and all else has 0,
// where x is the output of `activation`, which is thereby differentiated too.
//
// Each invocation writes one window; those at the edges that are not whole get zeros.
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
    // Windows in a row and in a column, those that are not whole included.
    let windows_x = (p.width + p.size - 1u) / p.size;
    let windows_y = (p.height + p.size - 1u) / p.size;
    let ox = window % windows_x;
    let oy = window / windows_x % windows_y;
    let plane = window / (windows_x * windows_y);
    if plane >= p.blocks * p.channels {
        return;
    }
    let first = (plane * p.height + oy * p.size) * p.width + ox * p.size;
    let rows = min(p.size, p.height - oy * p.size);
    let columns = min(p.size, p.width - ox * p.size);
    var winner = rows * p.size;
    var gradient = 0.0;
    if oy < p.out_height && ox < p.out_width {
        var best = x[first * 16u + lane];
        winner = 0u;
        for (var k = 1u; k < p.size * p.size; k++) {
            let value = x[(first + k / p.size * p.width + k % p.size) * 16u + lane];
            winner = select(winner, k, value > best);
            best = select(best, value, value > best);
        }
        let y_at = ((plane * p.out_height + oy) * p.out_width + ox) * 16u + lane;
        gradient = y_grad[y_at] * activation_derivative(p.activation, best);
    }
    for (var ky = 0u; ky < rows; ky++) {
        for (var kx = 0u; kx < columns; kx++) {
            x_grad[(first + ky * p.width + kx) * 16u + lane] = select(0.0, gradient, ky * p.size + kx == winner);
        }
    }
}
