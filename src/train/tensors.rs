//! Named tensors in a safetensors file with one JSON key of metadata.
//!
//! *Files are hostile until read:* a file of `n` bytes makes this module hold a small multiple of `n` bytes, whatever
//! its header says.

use crate::data::open_regular;
use crate::error::{Error, reason};
use anyhow::{Context, Result, anyhow, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

/// The one key: with several, the order in the file would differ from run to run.
const KEY: &str = "gpu_mnist";
/// No model or checkpoint of this program is larger.
const LARGEST_FILE: u64 = 4 << 30;
/// Nor is any header: 10,000 layers of four tensors, and a recipe.
const LARGEST_HEADER: u64 = 16 << 20;
/// Bytes of the length that comes first.
const LENGTH: usize = 8;

/// What to do about tensors that are not those of the network.
const ANOTHER: &str = "give the file that was trained with this recipe";

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
    serialize((KEY, serde_json::to_string(metadata)?), tensors)
}

/// The bytes of a file with these tensors and one key of metadata.
///
/// # Errors
/// When two tensors have one name or a shape is not that of its values.
pub fn serialize((key, value): (&str, String), tensors: &[Tensor]) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|tensor| {
            let bytes = bytemuck::cast_slice(&tensor.values);
            Ok((tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, Some(HashMap::from([(key.to_owned(), value)])))?)
}

/// The tensors of a file by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Reads a file that [`to_bytes`] made.
///
/// # Errors
/// [`Error::BadFile`] for anything else, naming the file and what is wrong with it.
pub fn read<M: DeserializeOwned>(path: &Path) -> Result<(M, Tensors)> {
    parse(&path.display().to_string(), &read_file(path)?)
}

/// The bytes of a file that can be a model or a checkpoint.
///
/// # Errors
/// [`Error::BadFile`] if it is no regular file, too large, or cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let (file, size) = open_regular(path)?;
    let bad = |what: String| Error::BadFile(format!("{}: {what}", path.display()));
    if size > LARGEST_FILE {
        bail!(bad(format!(
            "is {size} bytes long, and a file of this program has at most {LARGEST_FILE}; give another file"
        )));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // A file can grow while it is read.
    let read = file.take(LARGEST_FILE).read_to_end(&mut bytes);
    read.map_err(|error| bad(format!("cannot be read ({error}); check the disk")))?;
    Ok(bytes)
}

/// [`read`] from memory; `name` begins every message.
///
/// # Errors
/// As [`read`].
pub fn parse<M: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<(M, Tensors)> {
    decode(bytes).map_err(|error| {
        Error::BadFile(format!(
            "{name}: {}; give a file that gpu-mnist made, or copy it again",
            reason(&error)
        ))
        .into()
    })
}

fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<(M, Tensors)> {
    check_header_length(bytes)?;
    let explained = |error: safetensors::SafeTensorError| explain(bytes, &error);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(explained)?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(KEY))
        .with_context(|| format!("the metadata key {KEY:?} is missing"))?;
    let metadata = serde_json::from_str(text).with_context(|| format!("the metadata key {KEY:?}"))?;
    let file = SafeTensors::deserialize(bytes).map_err(explained)?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            bail!("the tensor {name:?} is of type {:?}, expected F32", view.dtype());
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        tensors
            .insert(name.to_owned(), Tensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
    }
    Ok((metadata, tensors))
}

/// The header's length must be one, and lie within the file.
fn check_header_length(bytes: &[u8]) -> Result<()> {
    let Some(&length) = bytes.first_chunk::<LENGTH>() else {
        bail!(
            "has {} bytes, expected a safetensors file, which begins with {LENGTH} bytes of length",
            bytes.len()
        );
    };
    let (header, rest) = (u64::from_le_bytes(length), (bytes.len() - LENGTH) as u64);
    if header > rest {
        bail!(
            "begins {length:02x?}, a header of {header} bytes, but {rest} bytes follow: it is cut short, or no \
             safetensors file"
        );
    }
    if header > LARGEST_HEADER {
        bail!("has a header of {header} bytes, expected at most {LARGEST_HEADER}");
    }
    Ok(())
}

/// What the header says of a tensor.
#[derive(serde::Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Names the tensor that the library refuses, with the bytes that it claims and has.
fn explain(bytes: &[u8], error: &safetensors::SafeTensorError) -> anyhow::Error {
    let unexplained = || anyhow!("is not a whole safetensors file ({error})");
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return unexplained() };
    let Some((header, data)) = rest.split_at_checked(u64::from_le_bytes(*length) as usize) else {
        return unexplained();
    };
    let Ok(infos) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(header) else {
        return unexplained();
    };
    for (name, info) in infos.into_iter().filter(|(name, _)| name != "__metadata__") {
        let Ok(Info { dtype, shape, data_offsets: (start, end) }) = serde_json::from_value(info) else {
            return anyhow!("the header's entry for the tensor {name:?} is not one ({error})");
        };
        let elements = shape.iter().try_fold(1_u64, |product, &side| product.checked_mul(side));
        let size =
            elements.and_then(|elements| elements.checked_mul(dtype.bitsize() as u64)).map(|bits| bits / 8);
        let Some(size) = size else {
            return anyhow!(
                "the tensor {name:?} has the shape {shape:?}, which is more than any file can hold"
            );
        };
        if end.checked_sub(start) != Some(size) {
            return anyhow!(
                "the tensor {name:?} has the shape {shape:?} of {dtype:?}, {size} bytes, but the header gives it the \
                 bytes {start} to {end}"
            );
        }
        if end > data.len() as u64 {
            return anyhow!(
                "the tensor {name:?} lies at the bytes {start} to {end}, but only {} follow the header: it is cut \
                 short",
                data.len()
            );
        }
    }
    unexplained()
}

/// Takes the tensor called `name`, which must have this shape.
///
/// # Errors
/// When it is missing or has another shape.
pub fn take(tensors: &mut Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let Some(tensor) = tensors.remove(name) else { bail!("the tensor {name} is missing; {ANOTHER}") };
    if tensor.shape != shape {
        bail!("the tensor {name} has the shape {:?}, expected {shape:?}; {ANOTHER}", tensor.shape);
    }
    Ok(tensor.values)
}
