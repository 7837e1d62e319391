//! The generator draws the same bits in Rust and in WGSL.

mod common;

use common::gpu;
use gpu_mnist::ops::case::Case;
use gpu_mnist::ops::matrices::Matrices;
use gpu_mnist::ops::share::{CpuArgs, Part, Region, Split};
use gpu_mnist::ops::tracked::Tracked;
use gpu_mnist::ops::{Binding, Cost, DeviceClass, Element, Field, Kernel, Op, Slot, read_words, write_words};
use gpu_mnist::plan::{Call, Lifetime, Plan};
use gpu_mnist::rng::{Purpose, Stream, threefry2x32};

/// Draws: for each index the stream's word and the encryption of (index, seed) under the seed.
struct Draw;

const SHADER: &str = "
#import threefry
struct Params {
    len: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> seed: array<u32>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>;
@group(0) @binding(3) var<storage, read_write> uniforms: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= p.len {
        return;
    }
    let key = stream_key(vec2u(seed[0], seed[1]), PURPOSE_DROPOUT, seed[2], seed[3]);
    let encrypted = threefry2x32(vec2u(seed[0], seed[1]), vec2u(id.x, seed[0]));
    let pair = stream_uniform2(key, id.x);
    words[3u * id.x] = stream_word(key, id.x);
    words[3u * id.x + 1u] = encrypted.x;
    words[3u * id.x + 2u] = encrypted.y;
    uniforms[3u * id.x] = bitcast<u32>(stream_uniform(key, id.x));
    uniforms[3u * id.x + 1u] = bitcast<u32>(pair.x);
    uniforms[3u * id.x + 2u] = bitcast<u32>(pair.y);
}";

const LEN: u32 = 10_000;

impl Op for Draw {
    fn name(&self) -> &'static str {
        "draw"
    }
    fn bindings(&self) -> &'static [Binding] {
        const BINDINGS: &[Binding] = &[read_words("seed"), write_words("words"), write_words("uniforms")];
        BINDINGS
    }
    fn fields(&self) -> &'static [Field] {
        &[("len", Element::U32)]
    }
    fn shader(&self) -> &'static str {
        SHADER
    }
    fn kernel(&self, _: &[u32], _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: [LEN.div_ceil(64), 1, 1] }
    }
    fn cooperative_kernel(&self, _: &[u32], _: Matrices) -> Option<Kernel> {
        None
    }
    fn cost(&self, _: &[u32]) -> Cost {
        Cost::default()
    }
    fn reference_f32(&self, _: &[u32], _: Vec<Slot<'_, f32>>) {}
    fn reference_f64(&self, _: &[u32], _: Vec<Slot<'_, f64>>) {}
    fn reference_tracked(&self, _: &[u32], _: Vec<Slot<'_, Tracked>>) {}
    fn cpu_differs(&self, _: &[u32]) -> bool {
        false
    }
    fn cpu_reference_tracked(&self, _: &[u32], _: Vec<Slot<'_, Tracked>>) {}
    fn split(&self, _: &[u32]) -> Split {
        Split::Whole
    }
    fn regions(&self, _: &[u32], _: usize) -> Vec<Region> {
        Vec::new()
    }
    fn cpu(&self, _: &[u32], _: &CpuArgs<'_>, _: Part) {}
    fn cases(&self) -> Vec<Case<Vec<u32>>> {
        Vec::new()
    }
}

static DRAW: Draw = Draw;

#[test]
fn threefry_draws_the_same_bits_in_rust_and_wgsl() {
    let Some(gpu) = gpu() else { return };
    let mut plan = Plan::default();
    let program = plan.program("draw");
    let seed = plan.buffer("seed", 4, Lifetime::Run);
    let [words, uniforms] =
        ["words", "uniforms"].map(|name| plan.buffer(name, 3 * LEN as usize, Lifetime::Run));
    let buffers = vec![seed, words, uniforms];
    plan.programs[program.0].calls.push(Call { op: &DRAW, params: vec![LEN], buffers, place: String::new() });
    let mut backend = gpu.open(&plan).unwrap();
    for (number, a, b) in
        [(0_u64, 0_u32, 0_u32), (1, 2, 3), (0x1234_5678_9ABC_DEF0, 5, 99), (u64::MAX, !0, !0)]
    {
        let (low, high) = (number as u32, (number >> 32) as u32);
        backend.write(seed, 0, &[low, high, a, b]).unwrap();
        backend.run(program, 1).unwrap();
        let mut found = [vec![0; 3 * LEN as usize], vec![0; 3 * LEN as usize]];
        backend.read(words, 0, &mut found[0]).unwrap();
        backend.read(uniforms, 0, &mut found[1]).unwrap();
        let stream = Stream::new(number, Purpose::Dropout, a, b);
        for i in 0..LEN {
            let at = 3 * i as usize;
            let [x, y] = threefry2x32([low, high], [i, low]);
            assert_eq!(found[0][at..at + 3], [stream.word(i), x, y], "seed {number:#x}, index {i}");
            let uniform = [stream.uniform(i), stream.uniform(2 * i), stream.uniform(2 * i + 1)];
            assert_eq!(found[1][at..at + 3], uniform.map(f32::to_bits), "seed {number:#x}, index {i}");
        }
    }
}
