//! What every target demands: files are read, or refused as bad files.

use gpu_mnist::error::exit_code;

/// Passes what was read; a refusal must have the exit code and the length of one.
pub fn read<T>(result: anyhow::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(exit_code(&error), 4, "{error:#}");
            assert!(format!("{error:#}").len() < 8000, "a message without end");
            None
        }
    }
}
