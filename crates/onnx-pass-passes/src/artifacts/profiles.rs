//! Shapes as runtimes with dynamic axes take them: TensorRT profiles, ONNX Runtime overrides, OpenVINO reshape.

use serde_json::{Map, Value, json};

use super::{ArtifactError, IoTensor, Specialization, entry_names, positive, spelled};

fn same_count(inputs: &[IoTensor], entries: &[Specialization]) -> Result<(), ArtifactError> {
    match inputs.iter().find(|input| input.shapes.len() != entries.len()) {
        None => Ok(()),
        Some(input) => Err(ArtifactError::ShapeCount {
            name: input.name.clone(),
            shapes: input.shapes.len(),
            specializations: entries.len(),
        }),
    }
}

/// The lengths of `input` in one specialization, joined.
fn joined(input: &IoTensor, shape: &[i64], by: &str) -> Result<String, ArtifactError> {
    let mut dims = Vec::with_capacity(shape.len());
    for dim in shape {
        dims.push(positive(&input.name, *dim)?.to_string());
    }
    Ok(dims.join(by))
}

/// The arguments of `trtexec`: a profile for each specialization, with its shapes as smallest, best and largest.
///
/// # Errors
/// A name that `trtexec` cannot read, a length below 1, or an input without a shape for each specialization.
pub fn tensorrt_arguments(
    inputs: &[IoTensor],
    entries: &[Specialization],
) -> Result<Vec<String>, ArtifactError> {
    same_count(inputs, entries)?;
    let mut arguments = Vec::new();
    for (index, _) in entries.iter().enumerate() {
        let mut shapes = Vec::new();
        for input in inputs {
            // `*` is a wildcard, `,` parts the inputs, and `'` is what protects a `:`.
            let name = spelled(&input.name, "trtexec", &['*', ',', '\''])?;
            let name = if name.contains(':') { format!("'{name}'") } else { name.to_owned() };
            let shape = input.shapes.get(index).map(Vec::as_slice).unwrap_or_default();
            let dims = if shape.is_empty() { "scalar".to_owned() } else { joined(input, shape, "x")? };
            shapes.push(format!("{name}:{dims}"));
        }
        if shapes.is_empty() {
            continue;
        }
        let shapes = shapes.join(",");
        arguments.push(format!("--profile={index}"));
        arguments.extend(["min", "opt", "max"].map(|bound| format!("--{bound}Shapes={shapes}")));
    }
    Ok(arguments)
}

/// The free-dimension overrides of ONNX Runtime's performance tool for one specialization: `-f symbol:value`.
///
/// # Errors
/// A symbol that the tool cannot read, or a value below 1.
pub fn onnxruntime_arguments(entry: &Specialization) -> Result<Vec<String>, ArtifactError> {
    let mut arguments = Vec::new();
    for (symbol, value) in &entry.symbols {
        // The tool cuts at the first `:`.
        let symbol = spelled(symbol, "ONNX Runtime's command line", &[':'])?;
        arguments.push("-f".to_owned());
        arguments.push(format!("{symbol}:{}", positive(symbol, *value)?));
    }
    Ok(arguments)
}

/// The free-dimension overrides of each specialization as JSON, for a program to hand to
/// `AddFreeDimensionOverrideByName`.
///
/// # Errors
/// A value is below 1.
pub fn onnxruntime_json(entries: &[Specialization]) -> Result<String, ArtifactError> {
    let mut out = Vec::with_capacity(entries.len());
    for (entry, name) in entries.iter().zip(entry_names(entries)) {
        let mut overrides = Map::new();
        for (symbol, value) in &entry.symbols {
            overrides.insert(symbol.clone(), Value::from(positive(symbol, *value)?));
        }
        out.push(json!({"name": name, "free_dimension_overrides": overrides}));
    }
    Ok(format!("{:#}\n", json!({"specializations": out})))
}

/// The shapes of specialization `index` as OpenVINO's tools take them: `input_ids[1,128],position_ids[4,1,128]`.
///
/// # Errors
/// A name that the tools cannot read, a length below 1, or an input without that specialization.
pub fn openvino_argument(inputs: &[IoTensor], index: usize) -> Result<String, ArtifactError> {
    let mut shapes = Vec::with_capacity(inputs.len());
    for input in inputs {
        let name = spelled(&input.name, "OpenVINO's command line", &['[', ']', ',', '{', '}', '(', ')'])?;
        let shape = input.shapes.get(index).ok_or_else(|| ArtifactError::ShapeCount {
            name: input.name.clone(),
            shapes: input.shapes.len(),
            specializations: index.saturating_add(1),
        })?;
        shapes.push(format!("{name}[{}]", joined(input, shape, ",")?));
    }
    Ok(shapes.join(","))
}

/// The shapes of each specialization as JSON, for a program to hand to OpenVINO's `reshape`.
///
/// # Errors
/// A length below 1, or an input without a shape for each specialization.
pub fn openvino_json(inputs: &[IoTensor], entries: &[Specialization]) -> Result<String, ArtifactError> {
    same_count(inputs, entries)?;
    let mut out = Vec::with_capacity(entries.len());
    for (index, name) in entry_names(entries).into_iter().enumerate() {
        let mut shapes = Map::new();
        for input in inputs {
            let shape = input.shapes.get(index).map(Vec::as_slice).unwrap_or_default();
            for dim in shape {
                positive(&input.name, *dim)?;
            }
            shapes.insert(input.name.clone(), json!(shape));
        }
        out.push(json!({"name": name, "reshape": shapes}));
    }
    Ok(format!("{:#}\n", json!({"specializations": out})))
}
