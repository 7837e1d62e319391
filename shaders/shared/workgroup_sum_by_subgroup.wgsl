// The same as workgroup_sum.wgsl, by sums over subgroups: one barrier instead of one for each halving. In what order a subgroup
// adds is the device's choice. `subgroup` is set at the start of `main`.
struct Subgroup {
    lane: u32, // of this invocation
    number: u32,
    count: u32,
}
var<private> subgroup: Subgroup;
var<workgroup> partial: array<vec2f, 2u * WIDTH>;

fn workgroup_sum(local: u32, round: u32, value: vec2f) -> vec2f {
    let first = round * WIDTH;
    let sum = subgroupAdd(value);
    if subgroup.lane == 0u {
        partial[first + subgroup.number] = sum;
    }
    workgroupBarrier();
    var total = partial[first];
    for (var i = 1u; i < subgroup.count; i++) {
        total += partial[first + i];
    }
    return total;
}
