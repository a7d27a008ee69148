//! Models over one weight file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onnx_pass_ir::{
    DataFile, Model, Result, StagedModel, Store, Tensor, TensorData, ValueId, Weights, WriteOptions,
};

use crate::Companion;

/// Weights of fewer bytes are in each model that has them.
const SHARED_FROM: usize = 1024;

/// The file of a companion of the model that is written to `output`.
pub fn path(companion: &Companion, output: &Path) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(companion.name.replace("{stem}", &stem))
}

/// Writes companions all but their names, and lets `model`, which is to be written to `output` with them, refer to the
/// weights that are in their files already: a weight that both have is on the disk once. Weights that are in files of
/// their own need nothing; those that are in the model move to `OUTPUT.data`, unless `options` ask for copies or for
/// everything in the model.
///
/// # Errors
/// When a companion cannot be written. Nothing of the others is left then.
pub fn stage(
    companions: &[Companion],
    model: &mut Model,
    output: &Path,
    options: &WriteOptions,
) -> Result<Vec<StagedModel>> {
    companions.iter().map(|companion| one(companion, model, output, options)).collect()
}

fn one(
    companion: &Companion,
    model: &mut Model,
    output: &Path,
    options: &WriteOptions,
) -> Result<StagedModel> {
    let path = path(companion, output);
    let mut other = companion.model.clone();
    let share = matches!(options.weights, Weights::Auto | Weights::Reference);
    let pairs = if share { pairs(model, &other) } else { Vec::new() };
    let name = format!("{}.data", output.file_name().unwrap_or_default().to_string_lossy());
    let store = Store::External(Arc::new(DataFile { name: name.into(), alignment: 4096 }));
    for (_, theirs) in &pairs {
        let Some(tensor) = other.value(*theirs).initializer() else { continue };
        let moved = tensor.stored(store.clone()).shared();
        other.set_initializer(*theirs, moved)?;
    }
    let staged = other.stage(&path, options)?;
    if pairs.is_empty() {
        return Ok(staged);
    }
    let there = staged.reread()?;
    for (ours, theirs) in pairs {
        let found = there.find_value(there.main(), other.name(theirs));
        let placed = found.and_then(|v| there.value(v).initializer());
        let (Some(placed), Some(tensor)) = (placed, model.value(ours).initializer()) else { continue };
        let moved = Tensor::with_data(tensor.dtype, &tensor.dims, placed.data.clone()).described_as(tensor);
        model.set_initializer(ours, moved.shared())?;
    }
    Ok(staged)
}

/// Initializers of the two main graphs with the same contents: the same memory, or, where an export has a weight
/// once for each branch, equal bytes.
fn pairs(model: &Model, other: &Model) -> Vec<(ValueId, ValueId)> {
    let (ours, theirs) = (inline(model), inline(other));
    let place = |raw: &[u8]| (raw.as_ptr().addr(), raw.len());
    let by_place: HashMap<_, _> = theirs.iter().map(|(v, raw)| (place(raw), *v)).collect();
    let (known, open): (Vec<_>, Vec<_>) = ours
        .into_iter()
        .map(|(v, raw)| (v, raw, by_place.get(&place(raw))))
        .partition(|(_, _, at)| at.is_some());
    let mut pairs: Vec<(ValueId, ValueId)> =
        known.iter().filter_map(|(v, _, at)| Some((*v, *(*at)?))).collect();
    // Hashes are taken only where places do not tell.
    let lengths: HashSet<usize> = open.iter().map(|(_, raw, _)| raw.len()).collect();
    let alike = theirs.iter().filter(|(_, raw)| lengths.contains(&raw.len()));
    let by_hash: HashMap<_, _> = alike.map(|(v, raw)| (blake3::hash(raw), *v)).collect();
    pairs.extend(open.iter().filter_map(|(v, raw, _)| Some((*v, *by_hash.get(&blake3::hash(raw))?))));
    pairs
}

/// The weights that are in the model's own file.
fn inline(model: &Model) -> Vec<(ValueId, &[u8])> {
    let large = |v: &ValueId| {
        let tensor = model.value(*v).initializer()?;
        match &tensor.data {
            TensorData::Raw(raw) if tensor.store != Store::Inline && raw.len() >= SHARED_FROM => {
                Some((*v, raw.as_ref()))
            }
            _ => None,
        }
    };
    model.graph(model.main()).initializers().iter().filter_map(large).collect()
}
