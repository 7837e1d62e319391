//! From a recipe's entries to the layers of one network, with all shapes.

use super::{LayerConfig, ParameterSpec, Shape, repeat};
use crate::recipe::{Problem, Recipe};
use anyhow::Result;
use std::collections::HashMap;

/// The most values that a tensor, or the output of a layer for one image, may have: 2^26 are 256 MiB, WebGPU's limit of a buffer.
pub const MAX_VALUES: usize = 1 << 26;

/// The most values that all tensors together may have: 1 GiB, so that a checkpoint with two moments and the best weights
/// has at most 4.
const MAX_TOTAL: usize = 1 << 28;

/// A layer in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedLayer {
    /// Its number in the network, from 0, repeats expanded.
    pub index: usize,
    /// Its entry in the recipe (`layers.0.layers.2`).
    pub path: String,
    /// Its name, as Keras gives it: dense, dense_1, ...
    pub name: String,
    /// Settings, with the number of classes filled in.
    pub layer: LayerConfig,
    /// What comes in, for one image.
    pub input: Shape,
    /// What goes out.
    pub output: Shape,
    /// Its tensors.
    pub parameters: Vec<ParameterSpec>,
    /// Set on the last layer if the recipe gives it a softmax: `layer` is linear instead, its output the logits, and
    /// the softmax is the loss's.
    pub softmax_in_loss: bool,
}

/// Builds the network of `recipe` for images of `input` and `classes` classes.
///
/// # Errors
/// A layer that cannot take its input or is too large, an end that is not one value a class, or nothing to train; the
/// kind is that of [`Recipe::apply`] if the command line changed the recipe, else that of [`Recipe::from_toml`].
pub fn resolve(recipe: &Recipe, input: Shape, classes: usize) -> Result<Vec<ResolvedLayer>> {
    build(recipe, input, classes).map_err(|problem| recipe.fault(&problem).into())
}

fn build(recipe: &Recipe, input: Shape, classes: usize) -> Result<Vec<ResolvedLayer>, Problem> {
    let mut entries = Vec::new();
    repeat::expand(&recipe.layers, "", &mut entries);
    let softmax_in_loss = entries.last_mut().is_some_and(|(_, layer)| layer.as_layer_mut().absorb_softmax());
    let mut names = Names::default();
    let mut shape = input;
    let mut layers: Vec<ResolvedLayer> = Vec::with_capacity(entries.len());
    let mut total = 0;
    for (index, (path, mut layer)) in entries.into_iter().enumerate() {
        layer.as_layer_mut().set_classes(classes);
        let (output, parameters) = place(&layer, shape).map_err(|message| refuse(&path, &layer, &message))?;
        total += parameters.iter().map(ParameterSpec::len).sum::<usize>();
        if total > MAX_TOTAL {
            let message =
                format!("the network has {total} values up to here, more than {MAX_TOTAL}; make it smaller");
            return Err(refuse(&path, &layer, &message));
        }
        let name = names.next(layer.as_layer().keras_class());
        let input = std::mem::replace(&mut shape, output);
        layers.push(ResolvedLayer {
            index,
            path,
            name,
            layer,
            input,
            output,
            parameters,
            softmax_in_loss: false,
        });
    }
    if let Some(last) = layers.last_mut() {
        last.softmax_in_loss = softmax_in_loss;
    }
    check_end(&layers, shape, classes)?;
    Ok(layers)
}

/// Output and parameters of one layer, if they are possible.
fn place(layer: &LayerConfig, input: Shape) -> Result<(Shape, Vec<ParameterSpec>), String> {
    let layer = layer.as_layer();
    let output = layer.output_shape(input).map_err(|error| error.to_string())?;
    if output.features() > MAX_VALUES {
        return Err(format!("output {output} has more than {MAX_VALUES} values; make the layer smaller"));
    }
    let parameters = layer.parameters(input);
    if let Some(large) = parameters.iter().find(|parameter| parameter.len() > MAX_VALUES) {
        let sides: Vec<_> = large.shape.iter().map(usize::to_string).collect();
        let (name, sides) = (large.name, sides.join("x"));
        return Err(format!("{name} of {sides} has more than {MAX_VALUES} values; make the layer smaller"));
    }
    Ok((output, parameters))
}

/// The problem of one layer, as `layer 3 (max_pool 2): ...`; the number is the one that `--set layers.3` takes.
fn refuse(path: &str, layer: &LayerConfig, message: &str) -> Problem {
    let number = path.strip_prefix("layers.").unwrap_or(path);
    Problem::at("", format!("layer {number} ({}): {message}", layer.as_layer().describe()))
}

fn check_end(layers: &[ResolvedLayer], end: Shape, classes: usize) -> Result<(), Problem> {
    let Some(last) = layers.last() else { return Err(Problem::at("layers", "there are no layers")) };
    let cure = "end the recipe with [[layers]] type = \"dense\", units = \"classes\"";
    if end.features() == classes && !end.is_vector() {
        let message =
            format!("the network ends with an image of {end}; add [[layers]] type = \"flatten\" after it");
        return Err(refuse(&last.path, &last.layer, &message));
    }
    if end != Shape::vector(classes) {
        let found =
            format!("the network ends with {end} values an image, but the data set has {classes} classes");
        return Err(refuse(&last.path, &last.layer, &format!("{found}; {cure}")));
    }
    if !layers.iter().flat_map(|layer| &layer.parameters).any(|parameter| parameter.trainable) {
        return Err(refuse(&last.path, &last.layer, &format!("no layer has anything to train; {cure}")));
    }
    Ok(())
}

/// Gives out Keras's names: the class in snake case, numbered from the second on.
#[derive(Default)]
struct Names(HashMap<&'static str, usize>);

impl Names {
    fn next(&mut self, class: &'static str) -> String {
        let count = self.0.entry(class).or_insert(0);
        *count += 1;
        match *count {
            1 => snake_case(class),
            count => format!("{}_{}", snake_case(class), count - 1),
        }
    }
}

/// As Keras does it: an underscore before a capital that follows a small letter.
fn snake_case(class: &str) -> String {
    let mut name = String::new();
    for letter in class.chars() {
        if letter.is_uppercase() && name.ends_with(|before: char| before.is_lowercase()) {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_keras() {
        let mut names = Names::default();
        let given =
            ["Conv2D", "MaxPooling2D", "Conv2D", "BatchNormalization", "Conv2D"].map(|c| names.next(c));
        assert_eq!(given, ["conv2d", "max_pooling2d", "conv2d_1", "batch_normalization", "conv2d_2"]);
    }
}
