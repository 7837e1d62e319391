// first[out + part] = the least index in piece `part` of the values whose number is NaN or infinite, or no_index;
// pieces of ceil(len / parts)
//
// By the bits of the exponent: drivers may assume that there is neither. A workgroup looks through a piece.
struct Params {
    len: u32,
    parts: u32,
    out: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>; // [len]
@group(0) @binding(2) var<storage, read_write> first: array<u32>; // [out + parts, and more]

const NO_INDEX: u32 = 0xffffffffu;
const EXPONENT: u32 = 0x7f800000u;

var<workgroup> least: array<u32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let each = (p.len + p.parts - 1u) / p.parts;
    let start = group.x * each;
    let end = min(start + each, p.len);
    var found = NO_INDEX;
    for (var i = start + local; i < end; i += WIDTH) {
        if (bitcast<u32>(values[i]) & EXPONENT) == EXPONENT {
            found = min(found, i);
        }
    }
    least[local] = found;
    for (var width = WIDTH / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if local < width {
            least[local] = min(least[local], least[local + width]);
        }
    }
    workgroupBarrier();
    if local == 0u {
        first[p.out + group.x] = least[0];
    }
}
