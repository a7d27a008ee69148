//! Reading a model from a path, bytes or a stream, and writing it back.

mod hidden;
mod made;
mod out;
mod sigbus;
mod stage;
#[cfg(test)]
mod tests;
mod weights;
mod write;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::external::ExternalRoot;
use crate::model::Model;
use crate::proto::decode;
use crate::proto::encode::{self, Encoding};
use crate::source::Source;

pub use hidden::{SecondName, clean_hidden};
pub use made::NewFiles;
pub use sigbus::install_sigbus_handler;
pub use stage::StagedFile;
pub use write::{StagedModel, Weights, WriteOptions, Written, real_name};

/// How a model is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Whether external data may be reached through symbolic links.
    pub allow_symlinks: bool,
}

impl Model {
    /// Maps and decodes the file at `path`. Weights are neither read nor copied.
    ///
    /// # Errors
    /// When the file cannot be read or is not an ONNX model.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_with(path, &ReadOptions::default())
    }

    /// As [`Model::read`].
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn read_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        let source = Source::map(path)?;
        if source.bytes().starts_with(b"version https://git-lfs") {
            return Err(Error::malformed(
                path.display().to_string(),
                "a Git LFS pointer, not the model; run `git lfs pull` first",
            ));
        }
        let folder = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        let root =
            ExternalRoot { folder: folder.map(Path::to_path_buf), allow_symlinks: options.allow_symlinks };
        Self::decode(source, root).map_err(|e| match e {
            Error::Malformed { place, reason } => {
                Error::malformed(format!("{}: {place}", path.display()), reason)
            }
            e => e,
        })
    }

    /// Decodes a model from memory. `folder` is where its external data would be.
    ///
    /// # Errors
    /// When the bytes are not an ONNX model.
    pub fn from_bytes(bytes: impl Into<Bytes>, folder: Option<&Path>) -> Result<Self> {
        let root = ExternalRoot { folder: folder.map(Path::to_path_buf), allow_symlinks: false };
        Self::decode(Source::from_bytes(bytes.into()), root)
    }

    /// Decodes a model from a stream, read to its end.
    ///
    /// # Errors
    /// As [`Model::from_bytes`], and when the stream fails.
    pub fn from_reader(mut reader: impl Read, folder: Option<&Path>) -> Result<Self> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|e| Error::io("<stream>", e))?;
        Self::from_bytes(bytes, folder)
    }

    fn decode(source: Arc<Source>, root: ExternalRoot) -> Result<Self> {
        let mut model = decode::model(source.bytes(), Arc::new(root))?;
        model.source = Some(source);
        Ok(model)
    }

    /// The model as one byte string. External data stays a reference, but for tensors that are to be stored
    /// inline ([`crate::Store`]).
    ///
    /// # Errors
    /// When it exceeds what protobuf readers take (2 GiB, 31 nested graphs).
    pub fn to_bytes(&self, encoding: Encoding) -> Result<Bytes> {
        encode::to_bytes(self, encoding)
    }
}
