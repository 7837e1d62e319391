//! The one source of randomness: Threefry-2x32 with 20 rounds, a counter-based generator.
//!
//! Every random number of a run is a pure function of (seed, purpose, two coordinates, index): there is no state
//! to save, so a resumed run draws what the uninterrupted one would have drawn, on any number of
//! threads, and `shaders/shared/threefry.wgsl` draws the same bits on a GPU.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// The key-schedule parity constant (`SKEIN_KS_PARITY32`).
const PARITY: u32 = 0x1BD1_1BDA;

/// Encrypts `counter` under `key` with Threefry-2x32-20.
#[inline(always)]
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let [[first], [second]] = encrypt(key, counter.map(|word| [word]));
    [first, second]
}

/// Encrypts `N` counters side by side, first and second words apart, which compilers turn into vector instructions.
#[inline(always)]
fn encrypt<const N: usize>(key: [u32; 2], counters: [[u32; N]; 2]) -> [[u32; N]; 2] {
    let schedule = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
    let mut x = counters;
    inject(&mut x, &schedule, 0);
    // The rotation distances are the paper's; as constants, so that a rotation is two shifts.
    for group in 1..=5 {
        if group % 2 == 1 {
            mix::<13, N>(&mut x);
            mix::<15, N>(&mut x);
            mix::<26, N>(&mut x);
            mix::<6, N>(&mut x);
        } else {
            mix::<17, N>(&mut x);
            mix::<29, N>(&mut x);
            mix::<16, N>(&mut x);
            mix::<24, N>(&mut x);
        }
        inject(&mut x, &schedule, group);
    }
    x
}

/// One round.
#[inline(always)]
fn mix<const DISTANCE: u32, const N: usize>([first, second]: &mut [[u32; N]; 2]) {
    for lane in 0..N {
        first[lane] = first[lane].wrapping_add(second[lane]);
        second[lane] = second[lane].rotate_left(DISTANCE) ^ first[lane];
    }
}

/// Adds the key, as it is after `group` groups of four rounds.
#[inline(always)]
fn inject<const N: usize>([first, second]: &mut [[u32; N]; 2], schedule: &[u32; 3], group: usize) {
    for lane in 0..N {
        first[lane] = first[lane].wrapping_add(schedule[group % 3]);
        second[lane] = second[lane].wrapping_add(schedule[(group + 1) % 3]).wrapping_add(group as u32);
    }
}

/// What a stream of random numbers is for. Two purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights; coordinates: (layer, tensor).
    Init = 1,
    /// The order of the training set; coordinates: (epoch, 0).
    Shuffle = 2,
    /// Dropout masks; coordinates: (layer, global step).
    Dropout = 3,
    /// Augmentation; coordinates: (epoch, image).
    Augment = 4,
    /// Inputs of tests and benchmarks; coordinates are theirs.
    Test = 5,
}

/// A stream: the numbers of one purpose at one place.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// The stream of `purpose` at coordinates `(a, b)` under `seed`.
    #[inline]
    pub fn new(seed: u64, purpose: Purpose, a: u32, b: u32) -> Self {
        let seed_key = [seed as u32, (seed >> 32) as u32];
        let purposed = threefry2x32(seed_key, [purpose as u32, a]);
        Self { key: threefry2x32(purposed, [b, 0]) }
    }

    /// The key under which [`Stream::word`] encrypts; for vectorised users.
    #[inline(always)]
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Word number `index` of the stream: the first or second half of an encrypted pair.
    #[inline(always)]
    pub fn word(&self, index: u32) -> u32 {
        threefry2x32(self.key, [index >> 1, 0])[(index & 1) as usize]
    }

    /// Uniform in [0, 1) with 24 bits: the number number `index`.
    #[inline(always)]
    pub fn uniform(&self, index: u32) -> f32 {
        (self.word(index) >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Words `2 pair` and on of the stream, 2 N of them: those at even indices and those at odd ones.
    #[inline(always)]
    pub fn words<const N: usize>(&self, pair: u32) -> [[u32; N]; 2] {
        let mut pairs = [pair; N];
        for (lane, pair) in pairs.iter_mut().enumerate() {
            *pair = pair.wrapping_add(lane as u32);
        }
        encrypt(self.key, [pairs, [0; N]])
    }

    /// Uniform in [0, 1) with 53 bits, from words `2 index` and `2 index + 1`.
    pub fn uniform_f64(&self, index: u32) -> f64 {
        let [high, low] = threefry2x32(self.key, [index, 0]);
        ((u64::from(high) << 21) ^ (u64::from(low) >> 11)) as f64 / 9_007_199_254_740_992.0
    }

    /// Standard normal deviate number `index`, by Box and Muller from two words.
    pub fn normal(&self, index: u32) -> f64 {
        let [radius_word, angle_word] = threefry2x32(self.key, [index, 1]);
        let radius = (-2.0 * ((f64::from(radius_word) + 0.5) / 4_294_967_296.0).ln()).sqrt();
        radius * (std::f64::consts::TAU * f64::from(angle_word) / 4_294_967_296.0).cos()
    }

    /// Uniform integer in `0..bound` by multiply-shift (bias below `bound / 2^64`).
    pub fn below(&self, index: u32, bound: u32) -> u32 {
        let [high, low] = threefry2x32(self.key, [index, 2]);
        let wide = (u128::from(high) << 32 | u128::from(low)) * u128::from(bound);
        (wide >> 64) as u32
    }

    /// A permutation of `0..len` (Fisher and Yates).
    pub fn permutation(&self, len: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..len as u32).collect();
        for i in (1..len).rev() {
            order.swap(i, self.below(i as u32, i as u32 + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (`kat_vectors`, threefry2x32 20).
    #[test]
    fn threefry_matches_the_published_vectors() {
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32([!0, !0], [!0, !0]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }

    #[test]
    fn thirty_two_words_at_once_are_the_same_words() {
        let stream = Stream::new(5, Purpose::Dropout, 2, 9);
        for pair in [0, 1, 1000, u32::MAX / 2 - 20] {
            let words = stream.words::<16>(pair);
            for i in 0..32 {
                assert_eq!(words[i % 2][i / 2], stream.word(2 * pair + i as u32));
            }
        }
    }

    #[test]
    fn normals_have_mean_zero_and_deviation_one() {
        let stream = Stream::new(7, Purpose::Test, 0, 0);
        let draws: Vec<f64> = (0..100_000).map(|i| stream.normal(i)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_depends_on_the_seed() {
        let order = Stream::new(1, Purpose::Shuffle, 0, 0).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(i, &x)| i == x as usize));
        assert_ne!(order, Stream::new(2, Purpose::Shuffle, 0, 0).permutation(1000));
        assert_ne!(order, Stream::new(1, Purpose::Shuffle, 1, 0).permutation(1000));
    }
}
