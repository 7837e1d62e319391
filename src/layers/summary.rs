//! The table of a network's layers, in the form of Keras's `summary()`.

use super::ResolvedLayer;
use std::fmt::Write;

/// Numbers of parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParameterCount {
    /// Those that the optimiser changes.
    pub trainable: usize,
    /// The others: running means and variances.
    pub not_trainable: usize,
}

impl ParameterCount {
    /// All of them.
    pub fn total(self) -> usize {
        self.trainable + self.not_trainable
    }
}

/// Counts the parameters of `layers`.
pub fn count(layers: &[ResolvedLayer]) -> ParameterCount {
    let mut sum = ParameterCount::default();
    for parameter in layers.iter().flat_map(|layer| &layer.parameters) {
        match parameter.trainable {
            true => sum.trainable += parameter.len(),
            false => sum.not_trainable += parameter.len(),
        }
    }
    sum
}

/// The table as text: one line a layer with name, settings, output shape (channels x rows x columns) and parameters, then the totals.
pub fn table(layers: &[ResolvedLayer]) -> String {
    let mut rows = vec![["Layer", "Settings", "Output shape", "Parameters"].map(String::from)];
    rows.extend(layers.iter().map(row));
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let rule = "-".repeat(widths.iter().sum::<usize>() + 6);
    let mut text = String::new();
    for (index, [name, settings, output, parameters]) in rows.iter().enumerate() {
        let [w0, w1, w2, w3] = widths;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:w0$}  {settings:w1$}  {output:w2$}  {parameters:>w3$}");
        if index == 0 {
            let _ = writeln!(text, "{rule}");
        }
    }
    let count = count(layers);
    let totals = [count.total(), count.trainable, count.not_trainable].map(thousands);
    let _ = writeln!(text, "{rule}");
    for (label, total) in ["Total parameters", "Trainable", "Not trainable"].iter().zip(totals) {
        let _ = writeln!(text, "{label}: {total}");
    }
    text
}

/// A layer's line of the table: name, settings, output shape, parameters.
pub fn row(layer: &ResolvedLayer) -> [String; 4] {
    let mut settings = layer.layer.as_layer().describe();
    if layer.softmax_in_loss {
        settings.push_str(" (softmax in the loss)");
    }
    let parameters = count(std::slice::from_ref(layer)).total();
    [layer.name.clone(), settings, layer.output.to_string(), thousands(parameters)]
}

/// 1234567 as 1,234,567.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(
            [0, 999, 1000, 232_590, 1_903_498].map(thousands),
            ["0", "999", "1,000", "232,590", "1,903,498"]
        );
    }
}
