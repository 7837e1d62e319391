//! What is wrong with a recipe, and at which key: the error type of the decoder and of every check.

use std::fmt;

/// One thing wrong with a recipe. `path` is the key as `--set` takes it (`layers.2.units`); layers count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key concerned, empty while nothing is known about the place.
    pub path: String,
    /// What was found, what was expected, and the cure.
    pub message: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The same problem, seen from the table that holds `prefix`.
    #[must_use]
    pub fn inside(mut self, prefix: &str) -> Self {
        self.path = join(prefix, &self.path);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}", self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::at("", message.to_string())
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("expected {}, found {found}", in_words(&expected.to_string())))
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::at(field, format!("unknown key{}", suggestion(field, expected, "the keys here")))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!(
            "unknown value \"{variant}\"{}",
            suggestion(variant, expected, "the choices")
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(field, "this key is missing; it has no default")
    }
}

/// `a.b`, or whichever of the two is not empty.
pub(super) fn join(prefix: &str, key: &str) -> String {
    match (prefix, key) {
        ("", other) | (other, "") => other.to_string(),
        _ => format!("{prefix}.{key}"),
    }
}

/// serde's names of Rust types, in the words of someone who writes TOML.
fn in_words(expected: &str) -> &str {
    match expected {
        "u64" | "u32" | "usize" => "a whole number, 0 or more",
        "f64" => "a number",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// `; did you mean ...? The keys here are ...`
fn suggestion(word: &str, known: &[&str], noun: &str) -> String {
    let guess = nearest(word, known.iter().copied());
    let guess = guess.map_or(String::new(), |guess| format!("; did you mean `{guess}`?"));
    match known {
        [] => "; no further keys are known here, remove it".to_string(),
        _ => format!("{guess} ({noun} are {})", known.join(", ")),
    }
}

/// The candidate within a third of `word`'s length (at least two) of edits from it, if there is one.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    let scored = candidates.map(|candidate| (edit_distance(word, candidate), candidate));
    scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}

/// Levenshtein's distance, one row of the table at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// `value` must be at least `least`.
///
/// # Errors
/// Names the key and the bound, as do the three checks below.
pub fn at_least(key: &str, value: u64, least: u64) -> Result<(), Problem> {
    if value >= least {
        return Ok(());
    }
    Err(Problem::at(key, format!("{value} is too small; it must be {least} or more")))
}

/// `value` must lie in [0, 1).
///
/// # Errors
/// Where it does not, or is not a number.
pub fn fraction(key: &str, value: f64) -> Result<(), Problem> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Problem::at(key, format!("{value} is out of range; it must be 0 or more and below 1")))
}

/// `value` must be above 0 and finite.
///
/// # Errors
/// Where it is not.
pub fn positive(key: &str, value: f64) -> Result<(), Problem> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Problem::at(key, format!("{value} is out of range; it must be above 0 and finite")))
}

/// `value` must be 0 or more and finite.
///
/// # Errors
/// Where it is not.
pub fn not_negative(key: &str, value: f64) -> Result<(), Problem> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Problem::at(key, format!("{value} is out of range; it must be 0 or more and finite")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn a_far_word_suggests_nothing() {
        assert_eq!(nearest("epoch", ["epochs", "steps"].into_iter()), Some("epochs"));
        assert_eq!(nearest("zebra", ["epochs", "steps"].into_iter()), None);
    }

    #[test]
    fn ranges_refuse_what_is_not_a_number() {
        for check in [fraction, positive, not_negative] {
            assert!(check("x", f64::NAN).is_err());
            assert!(check("x", f64::INFINITY).is_err());
            assert!(check("x", 0.5).is_ok());
        }
    }
}
