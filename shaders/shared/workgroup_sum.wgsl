// Sums over the WIDTH invocations of a workgroup, in a fixed order, or by its subgroups.
#if BY_SUBGROUP 1
#import workgroup_sum_by_subgroup
#else
var<workgroup> partial: array<vec2f, 2u * WIDTH>;

// The sums of two values over the workgroup, the same bits in every invocation. Each of the two rounds that a kernel may
// have uses memory of its own, so that no barrier is needed between them.
fn workgroup_sum(local: u32, round: u32, value: vec2f) -> vec2f {
    let first = round * WIDTH;
    partial[first + local] = value;
    if WIDTH <= 8u {
        // Software devices are slow at barriers: one, and then everybody adds everything.
        workgroupBarrier();
        var sum = partial[first];
        for (var i = 1u; i < WIDTH; i++) {
            sum += partial[first + i];
        }
        return sum;
    }
    for (var width = WIDTH / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width {
            partial[first + local] += partial[first + local + width];
        }
    }
    workgroupBarrier();
    return partial[first];
}
#endif
