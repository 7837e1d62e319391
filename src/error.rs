//! What can go wrong, in the terms of the exit code.
//!
//! Functions return [`anyhow::Result`]; where the kind of failure matters to a script, the chain
//! holds one of these. Each message says what was found, what was expected and what to do.

/// A failure that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong usage: a flag, a key or a combination that cannot work.
    #[error("{0}")]
    Usage(String),
    /// No device that can do what was asked.
    #[error("{0}")]
    NoDevice(String),
    /// A data, model, recipe or image file that cannot be used.
    #[error("{0}")]
    BadFile(String),
    /// Training left the finite numbers.
    #[error("{0}")]
    Diverged(String),
    /// A threshold that was asked for was not met.
    #[error("{0}")]
    Threshold(String),
    /// Stopped by a signal, after saving.
    #[error("interrupted; saved: {0}")]
    Interrupted(String),
}

impl Error {
    /// The process exit code of this kind of failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NoDevice(_) => 3,
            Self::BadFile(_) => 4,
            Self::Diverged(_) => 5,
            Self::Threshold(_) => 6,
            Self::Interrupted(_) => 130,
        }
    }
}

/// The exit code for a whole error chain: that of the first [`Error`] in it, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Error>().map_or(1, Error::exit_code)
}

/// The text of an error that may quote a file: without control characters, which could steer a terminal, and of a long
/// one the beginning, since a file can make it as long as it likes.
pub(crate) fn reason(error: &impl std::fmt::Display) -> String {
    const SHOWN: usize = 500;
    // Alternate, so that the causes of a chain are told.
    printable(&format!("{error:#}"), SHOWN).replace('\n', " ")
}

/// The beginning of a text, its control characters escaped except for ends of lines.
pub(crate) fn printable(text: &str, shown: usize) -> String {
    let mut result = String::new();
    for character in text.chars().take(shown) {
        match character {
            '\n' => result.push('\n'),
            control if control.is_control() => result.extend(control.escape_default()),
            character => result.push(character),
        }
    }
    if text.chars().nth(shown).is_some() {
        result.push_str("..");
    }
    result
}
