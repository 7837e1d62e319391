//! The recipes shipped with the program.

/// One preset a line: `assets/recipes/<name>.toml`.
macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../assets/recipes/", $name, ".toml")))),*]
    };
}

/// Name and text of every preset, in the order of the help.
pub const PRESETS: &[(&str, &str)] = presets![
    "mlp-50x100",
    "mlp-128-128",
    "mlp-16-16",
    "softmax",
    "cnn-28-10",
    "cnn-16",
    "cnn-16-36",
    "cnn-32-64",
    "cnn-64-128",
    "cnn-128-256",
    "cnn-16-36-64",
    "cnn-fast",
    "cnn-best",
];

/// The names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// The text of the preset called `name`.
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
