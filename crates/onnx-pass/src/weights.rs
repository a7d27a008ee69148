//! What is checked of a model's weights before a run: that they are there.
//!
//! Passes read few weights, so a file that is missing would show only when somebody uses the rewritten model.

use std::sync::Arc;

use onnx_pass_ir::{AttrValue, Error, External, Model, Result, Tensor, TensorData};

/// Every file of external data that the model refers to, each once, in the order of the model, with the name of
/// a tensor that is in it.
pub fn external_files(model: &Model) -> Vec<(String, External)> {
    let mut files: Vec<(String, External)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for_each_tensor(model, &mut |name, tensor| {
        if let TensorData::External(external) = &tensor.data
            && seen.insert(external.location.clone())
        {
            files.push((name(), external.clone()));
        }
        Ok(())
    })
    .unwrap_or_default();
    files
}

/// Checks that each tensor has the bytes that its type and shape need, in the model or in a file beside it. No
/// weight is read.
///
/// # Errors
/// The first tensor that is short, or whose file is missing, short or in a forbidden place.
pub fn check(model: &Model) -> Result<()> {
    let mut sizes: std::collections::HashMap<onnx_pass_ir::EcoString, u64> = std::collections::HashMap::new();
    for_each_tensor(model, &mut |name, tensor| {
        let count = tensor.len().map_err(|error| Error::Tensor(format!("`{}`: {error}", name())))?;
        let Some(need) = tensor.dtype.byte_len(count) else { return Ok(()) };
        match &tensor.data {
            TensorData::Raw(raw) if raw.len() != need => {
                let (has, dtype, dims) = (raw.len(), tensor.dtype, tensor.dims.as_slice());
                Err(Error::Tensor(format!(
                    "`{}` is {dtype} {dims:?}, which is {need} bytes, and has {has}",
                    name()
                )))
            }
            TensorData::External(external) => {
                let end = external.offset.checked_add(external.length.unwrap_or(need as u64));
                // One look at each file is enough as long as the ranges are inside it.
                if let (Some(size), Some(end)) = (sizes.get(&external.location), end)
                    && end <= *size
                {
                    return Ok(());
                }
                let (file, _) = external.open(&name(), Some(need))?;
                let size = file.metadata().map_err(|e| Error::io(external.location.as_str(), e))?.len();
                sizes.insert(external.location.clone(), size);
                Ok(())
            }
            _ => Ok(()),
        }
    })
}

/// What is done with a tensor. Its name is made when it is asked for, which is where something is wrong.
type Visit<'a> = dyn FnMut(&dyn Fn() -> String, &Tensor) -> Result<()> + 'a;

fn for_each_tensor(model: &Model, f: &mut Visit<'_>) -> Result<()> {
    for graph in model.live_graphs() {
        for value in model.graph(graph).initializers() {
            if let Some(tensor) = model.value(*value).initializer() {
                f(&|| model.name(*value).to_owned(), tensor)?;
            }
        }
        for (value, sparse) in model.graph(graph).sparse_initializers() {
            for tensor in std::iter::once(&sparse.values).chain(&sparse.indices) {
                f(&|| model.name(*value).to_owned(), tensor)?;
            }
        }
        for (id, node) in model.nodes(graph) {
            for attribute in node.attributes() {
                let tensors: &[Arc<Tensor>] = match &attribute.value {
                    AttrValue::Tensor(tensor) => std::slice::from_ref(tensor),
                    AttrValue::Tensors(tensors) => tensors,
                    _ => continue,
                };
                for tensor in tensors {
                    f(&|| format!("{} of {}", attribute.name, model.describe(id)), tensor)?;
                }
            }
        }
    }
    Ok(())
}
