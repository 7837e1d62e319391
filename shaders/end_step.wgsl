// losses[step] = sum over the batch of image_loss; hits[step] = right answers of the batch;
// then the control words advance to the next step.
//
// One workgroup; each invocation adds every 256th image, and the partial sums are added as a tree.
#import control

struct Params {
    batch: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> image_loss: array<f32>; // [rows of the epoch]
@group(0) @binding(2) var<storage, read> outcome: array<u32>; // [rows of the epoch]
@group(0) @binding(3) var<storage, read_write> control: array<u32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>; // [steps of the epoch]
@group(0) @binding(5) var<storage, read_write> hits: array<u32>; // [steps of the epoch]

var<workgroup> partial_loss: array<f32, 256>;
var<workgroup> partial_hits: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
    let step = control[STEP];
    let rows = control[ROWS];
    let first = step * control[BATCH];
    var loss = 0.0;
    var right = 0u;
    for (var n = local; n < rows; n += 256u) {
        loss += image_loss[first + n];
        right += outcome[first + n] >> 31u;
    }
    partial_loss[local] = loss;
    partial_hits[local] = right;
    for (var width = 128u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width {
            partial_loss[local] += partial_loss[local + width];
            partial_hits[local] += partial_hits[local + width];
        }
    }
    // The barrier also keeps the control words until everybody has read them.
    workgroupBarrier();
    if local == 0u {
        losses[step] = partial_loss[0];
        hits[step] = partial_hits[0];
        control[STEP] = step + 1u;
        control[GLOBAL_STEP] += 1u;
        let done = min((step + 1u) * control[BATCH], control[TOTAL_ROWS]);
        control[ROWS] = min(control[TOTAL_ROWS] - done, control[BATCH]);
    }
}
