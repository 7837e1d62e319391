//! A network that looks at one picture at a time, and shows what each layer makes of it.

use super::run::Watched;
use crate::backend::device::Device;
use crate::data::Images;
use crate::layers::Shape;
use crate::ops::{Access, LANES};
use crate::plan::network::{Description, Network};
use crate::plan::{BufferId, Lifetime};
use crate::predict::{self, Options, Prepared};
use crate::report::base64;
use crate::train::engine::{DeviceData, Engine};
use crate::train::evaluation::softmax;
use crate::train::model::Model;
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::sync::mpsc::{Receiver, Sender};

/// A picture file, and who wants to know.
pub(super) struct Question {
    pub(super) picture: Vec<u8>,
    pub(super) reply: Sender<Result<Value>>,
}

/// Answers questions until nobody can ask any more. The network is loaded when it is first needed, since it may still be
/// in training.
pub(super) fn answer(watched: &Watched, questions: &Receiver<Question>) {
    let mut look = None;
    while let Ok(question) = questions.recv() {
        let answer = ready(&mut look, watched).and_then(|look| look.at_file(&question.picture));
        // Whoever asked may have gone.
        let _ = question.reply.send(answer);
    }
}

fn ready<'a>(look: &'a mut Option<Look>, watched: &Watched) -> Result<&'a mut Look> {
    if look.is_none() {
        *look = Some(Look::new(&watched.model()?)?);
    }
    look.as_mut().ok_or_else(|| anyhow!("no network"))
}

/// A layer's output.
struct Output {
    name: String,
    what: String,
    shape: Shape,
    buffer: BufferId,
}

/// A network for one image.
struct Look {
    engine: Engine,
    outputs: Vec<Output>,
    classes: usize,
    size: (usize, usize),
}

impl Look {
    /// One image is too little for a GPU or for a second thread to help.
    fn new(model: &Model) -> Result<Self> {
        let Shape { height, width, .. } = model.input;
        let layers = model.layers()?;
        let blank = Images::new("blank", 1, height, width, vec![0; height * width])?;
        let data = DeviceData::of_images(&blank, &[]);
        let device = Device::Cpu { threads: 1 };
        let (recipe, transform) = (&model.recipe, model.transform);
        let mut engine =
            Engine::with_plan(recipe, &layers, model.classes, transform, &data, &device, keep_outputs)?;
        engine.set_weights(&model.weights)?;
        let outputs = layers.iter().filter_map(|layer| {
            let buffer = last_output(&engine.network, &layer.name)?;
            let (name, what) = (layer.name.clone(), layer.layer.as_layer().describe());
            Some(Output { name, what, shape: layer.output, buffer })
        });
        let outputs = outputs.collect();
        Ok(Self { engine, outputs, classes: model.classes, size: (height, width) })
    }

    /// The answer to a picture file, as `predict` gives it, and the layers' outputs.
    fn at_file(&mut self, picture: &[u8]) -> Result<Value> {
        let options = Options { size: self.size, ..Options::default() };
        let prepared = predict::prepare(&predict::decode(picture)?, &options, None)?;
        let first = prepared.into_iter().next().ok_or_else(|| anyhow!("there is no digit in the picture"))?;
        self.at(&first)
    }

    fn at(&mut self, prepared: &Prepared) -> Result<Value> {
        let mut bytes = prepared.pixels.clone();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect();
        let images = self.engine.network.images;
        self.engine.backend().write(images, 0, &words)?;
        let logits = self.engine.logits(&[0], self.classes)?.swap_remove(0);
        let probabilities = softmax(&logits);
        let digit =
            (0..self.classes).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0);
        let (height, width) = self.size;
        Ok(json!({
            "schema": 1,
            "digit": digit,
            "probabilities": probabilities,
            "warnings": prepared.warnings,
            "height": height,
            "width": width,
            "pixels": base64::encode(&prepared.pixels),
            "layers": self.outputs()?,
        }))
    }

    fn outputs(&mut self) -> Result<Vec<Value>> {
        let mut values = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let Shape { channels, height, width } = output.shape;
            let mut lanes = vec![0.0; self.engine.network.plan.words(output.buffer)];
            self.engine.read_f32(output.buffer, &mut lanes)?;
            // The one image is lane 0.
            let image = lanes.into_iter().step_by(LANES).take(output.shape.features());
            let (largest, bytes) = quantized(&image.collect::<Vec<_>>());
            values.push(json!({
                "name": output.name, "what": output.what, "largest": largest,
                "channels": channels, "height": height, "width": width, "values": base64::encode(&bytes),
            }));
        }
        Ok(values)
    }
}

/// Numbers for the eye: 128 is 0, and 1 and 255 are the greatest magnitude, which is returned.
fn quantized(values: &[f32]) -> (f32, Vec<u8>) {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    (largest, values.iter().map(|value| (128.0 + (value * scale).round()).clamp(1.0, 255.0) as u8).collect())
}

/// Keeps what the layers make in evaluation from being overwritten by what comes after.
fn keep_outputs(network: &mut Network, _: &Description<'_>) {
    let written: Vec<BufferId> = network.plan.programs[network.evaluate.0]
        .calls
        .iter()
        .flat_map(|call| call.buffers.iter().zip(call.op.bindings()))
        .filter(|(_, binding)| binding.access != Access::Read)
        .map(|(&buffer, _)| buffer)
        .collect();
    for buffer in written {
        network.plan.buffers[buffer.0].lifetime = Lifetime::Run;
    }
}

/// What the last call of a layer writes; layers that do nothing in evaluation have none.
fn last_output(network: &Network, layer: &str) -> Option<BufferId> {
    let calls = &network.plan.programs[network.evaluate.0].calls;
    let call = calls.iter().rev().find(|call| call.place == layer)?;
    let written = call.op.bindings().iter().position(|binding| binding.access == Access::Write)?;
    Some(call.buffers[written])
}

#[cfg(test)]
mod tests {
    use super::quantized;

    #[test]
    fn zero_is_in_the_middle() {
        assert_eq!(quantized(&[0.0, 2.0, -1.0, -2.0]), (2.0, vec![128, 255, 64, 1]));
        assert_eq!(quantized(&[0.0; 2]), (0.0, vec![128; 2]));
    }
}
