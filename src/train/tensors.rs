//! Named tensors in a safetensors file with one JSON key of metadata.

use crate::error::Error;
use anyhow::{Context, Result, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::Path;

/// The one key: with several, the order in the file would differ from run to run.
const KEY: &str = "gpu_mnist";
/// No model or checkpoint of this program is larger.
const LARGEST_FILE: u64 = 4 << 30;

/// A named array of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

/// The bytes of a file with these tensors.
///
/// # Errors
/// When two tensors have one name or a shape is not that of its values.
pub fn to_bytes(metadata: &impl Serialize, tensors: &[Tensor]) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|tensor| {
            let bytes = bytemuck::cast_slice(&tensor.values);
            Ok((tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(metadata)?)]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Reads a file that [`to_bytes`] made.
///
/// # Errors
/// [`Error::BadFile`] for anything else, naming the file and what is wrong with it.
pub fn read<M: DeserializeOwned>(path: &Path) -> Result<(M, Vec<Tensor>)> {
    let bad = |what: String| Error::BadFile(format!("{}: {what}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| bad(format!("cannot be read: {e}")))?.len();
    if size > LARGEST_FILE {
        bail!(bad(format!("is {size} bytes long; a file of this program has at most {LARGEST_FILE}")));
    }
    let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    from_bytes(&bytes).map_err(|error| bad(format!("{error:#}; was it made by gpu-mnist?")).into())
}

/// Reads the bytes of a file.
///
/// # Errors
/// When they are not what [`to_bytes`] makes.
pub fn from_bytes<M: DeserializeOwned>(bytes: &[u8]) -> Result<(M, Vec<Tensor>)> {
    let (_, header) = SafeTensors::read_metadata(bytes).context("not a safetensors file")?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(KEY))
        .with_context(|| format!("the metadata key {KEY:?} is missing"))?;
    let metadata = serde_json::from_str(text).with_context(|| format!("the metadata key {KEY:?}"))?;
    let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            bail!("the tensor {name} is of type {:?}, expected F32", view.dtype());
        }
        let values =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.push(Tensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((metadata, tensors))
}

/// Takes the tensor called `name`, which must have this shape.
///
/// # Errors
/// When it is missing or has another shape.
pub fn take(tensors: &mut Vec<Tensor>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let Some(position) = tensors.iter().position(|tensor| tensor.name == name) else {
        bail!("the tensor {name} is missing");
    };
    let tensor = tensors.swap_remove(position);
    if tensor.shape != shape {
        bail!("the tensor {name} has the shape {:?}, expected {shape:?}", tensor.shape);
    }
    Ok(tensor.values)
}
