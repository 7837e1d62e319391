//! Which training rows are kept for validation.

use anyhow::{Result, bail};

use crate::error::Error;

/// Keras's `validation_split`: of `n` rows, the first `floor(n (1 - v))` train and the rest validate, as they
/// lie in the file, before any shuffling. Returns the number that train.
///
/// # Errors
/// [`Error::Usage`] if `validation_split` is not in [0, 1), or leaves either part empty.
///
/// Source: Keras 3, `array_slicing.train_validation_split`; the same operations in f64, so the same cut.
pub fn validation_cut(n: usize, validation_split: f64) -> Result<usize> {
    if !(0.0..1.0).contains(&validation_split) {
        bail!(Error::Usage(format!(
            "validation_split is {validation_split}, expected 0 (no validation) up to but not 1; \
             0.2 keeps the last fifth for validation"
        )));
    }
    let cut = (n as f64 * (1.0 - validation_split)).floor() as usize;
    if cut == 0 || (validation_split > 0.0 && cut == n) {
        bail!(Error::Usage(format!(
            "validation_split {validation_split} of {n} training images leaves {cut} to train on and {} to \
             validate on, expected some of each; use another split or more images",
            n - cut
        )));
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `math.floor(n * (1.0 - v))` in Python.
    #[test]
    fn cuts_where_keras_cuts() -> Result<()> {
        for (n, v, cut) in [
            (60_000, 0.0, 60_000),
            (60_000, 0.3, 42_000),
            (60_000, 0.2, 48_000),
            (60_000, 0.1, 54_000),
            (3, 0.5, 1),
            (1_000, 0.001, 999),
            (70, 0.9, 6),
        ] {
            assert_eq!(validation_cut(n, v)?, cut, "{n} {v}");
        }
        Ok(())
    }

    #[test]
    fn refuses_what_leaves_a_part_empty() {
        for (n, v) in [
            (10, 1.0),
            (10, -0.1),
            (10, 0.9),
            (10, f64::NAN),
            (10, f64::INFINITY),
            (0, 0.0),
            (2, 0.99),
            (0, 0.5),
        ] {
            let error = validation_cut(n, v).expect_err("one part is empty");
            assert_eq!(crate::error::exit_code(&error), 2, "{n} {v}");
        }
        let text = validation_cut(1, 1e-300).expect_err("nothing to validate on").to_string();
        assert!(text.contains("leaves 1 to train on and 0 to validate on"), "{text}");
    }
}
