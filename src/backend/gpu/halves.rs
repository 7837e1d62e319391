//! Numbers in half precision, two to a word, between f32 on the host and the device.

use half::f16;

/// Rounds the f32 numbers in `numbers` into `words`, from half number `first` on.
pub(super) fn pack(numbers: &[u32], first: usize, words: &mut [u32]) {
    let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
    for (half, number) in halves[first..].iter_mut().zip(numbers) {
        *half = f16::from_f32(f32::from_bits(*number)).to_bits();
    }
}

/// The halves in `words`, from number `first` on, as f32.
pub(super) fn unpack(words: &[u32], first: usize, numbers: &mut [u32]) {
    let halves: &[u16] = bytemuck::cast_slice(words);
    for (number, half) in numbers.iter_mut().zip(&halves[first..]) {
        *number = f16::from_bits(*half).to_f32().to_bits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_rounded_to_the_nearest_and_leave_their_neighbours_alone() {
        let bits = |numbers: [f32; 3]| numbers.map(f32::to_bits);
        let mut words = [0x1234_0000, 0x0000_0000];
        // 2^-11 more than one is half way, and goes to even; 65520 is the least that becomes infinite.
        pack(&bits([1.0 + 0.000_488_281_25, -0.1, 65_520.0]), 0, &mut words[..]);
        let mut numbers = [0; 4];
        unpack(&words, 0, &mut numbers);
        assert_eq!(numbers.map(f32::from_bits), [1.0, -0.099_975_586, f32::INFINITY, 0.0]);
        pack(&bits([3.0, 4.0, 5.0]), 1, &mut words);
        unpack(&words, 0, &mut numbers);
        assert_eq!(numbers.map(f32::from_bits), [1.0, 3.0, 4.0, 5.0]);
    }
}
