// One channel of a batch, walked by the WIDTH invocations of a workgroup.
// Users declare p.blocks, p.channels and p.pixels, and index arrays of vec4f: [blocks][channels][pixels][16 / 4].

// A place in a channel: four images at one pixel.
struct Walk {
    block: u32,
    rest: u32,  // within the channel of the block
    index: u32, // within the tensor
}

// The first place of invocation `part`.
fn channel_walk(channel: u32, part: u32) -> Walk {
    let each = p.pixels * 4u;
    let block = part / each;
    let rest = part % each;
    return Walk(block, rest, (block * p.channels + channel) * each + rest);
}

// The next place of the same invocation, without a division.
fn next_place(at: Walk) -> Walk {
    let each = p.pixels * 4u;
    let blocks = WIDTH / each;
    var next = Walk(at.block + blocks, at.rest + WIDTH % each, at.index + blocks * p.channels * each + WIDTH % each);
    if next.rest >= each {
        next.rest -= each;
        next.block += 1u;
        next.index += (p.channels - 1u) * each;
    }
    return next;
}

// Rounds in which the invocations walk all places, in the last of which some may be past the end: there is nothing valid, and
// the readable index is another place's. A loop to be followed by a barrier counts rounds, since Mesa's OpenGL on llvmpipe
// (22.3) leaves invocations that end such a loop earlier than others out of the loops behind the barrier.
fn rounds() -> u32 {
    return (p.blocks * p.pixels * 4u + WIDTH - 1u) / WIDTH;
}

fn readable(at: Walk) -> u32 {
    return min(at.index, p.blocks * p.channels * p.pixels * 4u - 1u);
}

// Which of the four images at a place are images of the batch.
fn valid(at: Walk, rows: u32) -> vec4<bool> {
    return vec4u(at.block * 16u + at.rest % 4u * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(rows);
}

fn add_lanes(v: vec4f) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
