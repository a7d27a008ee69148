//! The input and output configuration of the QNN converter.

use std::fmt::Write;

use indexmap::IndexMap;

use super::quote::yaml_scalar;
use super::{ArtifactError, IoEntry, IoTensor, Precision, positive};

/// The text of the QNN configuration: every input with its type and shapes, every output with its type.
///
/// `custom` says which types differ from the graph's. An input that has one shape in all specializations has it
/// written once, else the shapes are written in the order of the specializations.
///
/// # Errors
/// A shape has a length below 1, an input has no shape, `custom` asks for what this format does not know (a
/// layout, a scale), or names a tensor that is not among the inputs and outputs.
pub fn qnn_yaml(
    inputs: &[IoTensor],
    outputs: &[IoTensor],
    custom: &[IoEntry],
) -> Result<String, ArtifactError> {
    let mut types = IndexMap::new();
    for entry in custom {
        types.insert(entry.name.as_str(), data_type(entry, inputs, outputs)?);
    }
    let mut out = String::new();
    section(&mut out, "Input Tensor Configuration", inputs, &types, true)?;
    section(&mut out, "Output Tensor Configuration", outputs, &types, false)?;
    Ok(out)
}

fn data_type(
    entry: &IoEntry,
    inputs: &[IoTensor],
    outputs: &[IoTensor],
) -> Result<&'static str, ArtifactError> {
    let refuse = |reason| Err(ArtifactError::Entry { name: entry.name.clone(), reason });
    if !inputs.iter().chain(outputs).any(|tensor| tensor.name == entry.name) {
        return refuse("names no input or output");
    }
    match entry.precision {
        _ if entry.layout.is_some() => refuse("has a layout, which the QNN spelling does not know"),
        _ if entry.scale.is_some() || entry.offset.is_some() => {
            refuse("has a scale or an offset, which the QNN spelling does not know")
        }
        None => refuse("says no precision"),
        Some(Precision::Float) => Ok("float32"),
        Some(Precision::Float16) => Ok("float16"),
        Some(Precision::BFloat16) => Ok("bfloat16"),
        Some(Precision::Int8) => Ok("int8"),
        Some(Precision::MxInt8) => Ok("uint8"),
    }
}

fn section(
    out: &mut String,
    title: &str,
    tensors: &[IoTensor],
    types: &IndexMap<&str, &'static str>,
    with_shapes: bool,
) -> Result<(), ArtifactError> {
    if tensors.is_empty() {
        out.push_str(title);
        out.push_str(": []\n");
        return Ok(());
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{title}:");
    for tensor in tensors {
        let custom = types.get(tensor.name.as_str()).copied();
        let dtype = custom.unwrap_or(&tensor.dtype);
        let _ = writeln!(out, "  - Name: {}", yaml_scalar(&tensor.name));
        let _ = writeln!(out, "    Desired Model Parameters:");
        let _ = writeln!(out, "      DataType: {}", yaml_scalar(dtype));
        if with_shapes {
            let _ = writeln!(out, "      Shape: {}", shapes(tensor)?);
        }
    }
    Ok(())
}

fn shapes(tensor: &IoTensor) -> Result<String, ArtifactError> {
    let mut written = Vec::with_capacity(tensor.shapes.len());
    for shape in &tensor.shapes {
        let mut dims = Vec::with_capacity(shape.len());
        for dim in shape {
            dims.push(positive(&tensor.name, *dim)?.to_string());
        }
        written.push(format!("({})", dims.join(", ")));
    }
    match written.split_first() {
        None => Err(ArtifactError::Entry { name: tensor.name.clone(), reason: "has no shape" }),
        Some((first, rest)) if rest.iter().all(|shape| shape == first) => Ok(first.clone()),
        Some(_) => Ok(written.join(", ")),
    }
}
