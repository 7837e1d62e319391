// loss[n] = log(sum over c of e^logits[n][c]) - logits[n][label[n]]
// logits_grad[n][c] = (softmax(logits[n])[c] - [c = label[n]]) * scale, scale = 1 / rows for the mean,
// 1 for the sum, 1 / batch for the mean of a full batch,
// times activation'(logits), where the logits are the output of `activation`.
// The row maximum is subtracted first, so that no logit overflows.
//
// A lane is an image. Lanes past the batch get no gradient and write no loss.
#import control
#import activation

struct Params {
    blocks: u32,
    classes: u32,
    reduction: u32, // 0: mean, 1: sum, 2: mean of a full batch
    activation: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>; // [blocks][classes][16]
@group(0) @binding(2) var<storage, read> labels: array<u32>; // [images]
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> control: array<u32>;
@group(0) @binding(5) var<storage, read_write> logits_grad: array<f32>; // [blocks][classes][16]
@group(0) @binding(6) var<storage, read_write> image_loss: array<f32>; // [rows of the epoch]
@group(0) @binding(7) var<storage, read_write> outcome: array<u32>; // [rows of the epoch]: answer, and bit 31 if right

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let n = id.x;
    let block = n / 16u;
    if block >= p.blocks {
        return;
    }
    let first = block * p.classes * 16u + n % 16u;
    if n >= control[ROWS] {
        for (var c = 0u; c < p.classes; c++) {
            logits_grad[first + c * 16u] = 0.0;
        }
        return;
    }
    let row = control[STEP] * control[BATCH] + n;
    let label = labels[order[row]];
    var largest = logits[first];
    var answer = 0u;
    for (var c = 1u; c < p.classes; c++) {
        let logit = logits[first + c * 16u];
        if logit > largest {
            largest = logit;
            answer = c;
        }
    }
    var total = 0.0;
    for (var c = 0u; c < p.classes; c++) {
        total += exp(logits[first + c * 16u] - largest);
    }
    var divisor = control[ROWS];
    switch p.reduction {
        case 1u: {
            divisor = 1u;
        }
        case 2u: {
            divisor = control[BATCH];
        }
        default: {}
    }
    let scale = 1.0 / f32(divisor);
    for (var c = 0u; c < p.classes; c++) {
        let logit = logits[first + c * 16u];
        let probability = exp(logit - largest) / total;
        let target_probability = select(0.0, 1.0, c == label);
        let slope = activation_derivative(p.activation, logit);
        logits_grad[first + c * 16u] = (probability - target_probability) * scale * slope;
    }
    image_loss[row] = log(total) + (largest - logits[first + label * 16u]);
    outcome[row] = answer | select(0u, 0x80000000u, answer == label);
}
