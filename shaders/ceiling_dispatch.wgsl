// count[0] += p.increment
//
// One invocation and one addition. Each dispatch writes what the one before wrote, so that it must wait for it, as the
// calls of a step do; and afterwards the count tells that all of them ran.
struct Params {
    increment: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> count: array<u32>; // [1]

@compute @workgroup_size(1)
fn main() {
    count[0] += p.increment;
}
