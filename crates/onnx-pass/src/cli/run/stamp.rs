//! `--if-changed`: what a model was made from, kept in a file beside it (`model.onnx.stamp`).
//!
//! The key is a hash of all that has a say in the outputs: the version of the program, the pipeline, its
//! variables, the model and its external data. The outputs themselves are told by size and time, as build tools
//! do, so that one that somebody replaced or removed is made anew.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use onnx_pass_ir::Model;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::plan::Job;
use crate::write::{WriteError, atomic_write};
use crate::{pass_specs, passes, weights};

/// The content hash of what a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    key: String,
    /// The outputs by their names in the folder: bytes, and nanoseconds of the time of the last change.
    files: BTreeMap<String, (u64, u128)>,
}

impl Key {
    /// Hashes everything, the weights included.
    pub fn of(shared: &Shared<'_>, job: &Job, model: &Model) -> Result<Self, Box<dyn std::error::Error>> {
        let table = passes(&shared.settings.passes);
        let resolved = shared.pipeline.resolve(&shared.settings.set, &pass_specs(&table))?;
        let mut hasher = blake3::Hasher::new();
        // Lengths go before contents, so that no two lists of parts are one text.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(env!("CARGO_PKG_VERSION").as_bytes());
        part(shared.pipeline.text().as_bytes());
        part(serde_json::to_string(&resolved.vars)?.as_bytes());
        part(shared.args.stop_after.as_deref().unwrap_or_default().as_bytes());
        part(job.output.as_deref().and_then(Path::file_name).unwrap_or_default().as_encoded_bytes());
        hash_file(&mut hasher, &job.model)?;
        for (tensor, external) in weights::external_files(model) {
            hasher.update(external.location.as_bytes());
            hash_file(&mut hasher, &external.path(&tensor)?)?;
        }
        Ok(Self(hasher.finalize().to_hex().to_string()))
    }
}

fn hash_file(hasher: &mut blake3::Hasher, path: &Path) -> Result<(), String> {
    let hash = |path: &Path| -> io::Result<()> {
        let file = File::open(path)?;
        hasher.update(&file.metadata()?.len().to_le_bytes());
        hasher.update_reader(file)?;
        Ok(())
    };
    let mut hash = hash;
    hash(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where the stamp of an output is.
pub fn path(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".stamp");
    output.with_file_name(name)
}

fn state(path: &Path) -> Option<(u64, u128)> {
    let data = fs::metadata(path).ok()?;
    let time = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((data.len(), time.as_nanos()))
}

/// The outputs, when they were made from what has this key and nobody touched them since.
pub fn up_to_date(output: &Path, key: &Key) -> Option<Vec<PathBuf>> {
    let stamp: Stamp = serde_json::from_slice(&fs::read(path(output)).ok()?).ok()?;
    let beside = |name: &String| output.with_file_name(name);
    let whole = stamp.key == key.0
        && stamp.files.contains_key(output.file_name()?.to_str()?)
        && stamp.files.iter().all(|(name, was)| state(&beside(name)) == Some(*was));
    let mut files: Vec<PathBuf> = stamp.files.keys().map(beside).collect();
    // The model first, as when it was made.
    files.sort_by_key(|file| file != output);
    whole.then_some(files)
}

/// Records what was made.
pub fn write(output: &Path, key: &Key, files: &[PathBuf]) -> Result<(), WriteError> {
    let entry = |file: &PathBuf| Some((file.file_name()?.to_str()?.to_owned(), state(file)?));
    let stamp = Stamp { key: key.0.clone(), files: files.iter().filter_map(entry).collect() };
    let text = serde_json::to_string_pretty(&stamp).unwrap_or_default() + "\n";
    atomic_write(&path(output), text.as_bytes())
}
