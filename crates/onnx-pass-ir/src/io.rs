//! Reading a model from a path, bytes or a stream, and writing it back.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::external::ExternalRoot;
use crate::model::Model;
use crate::proto::encode::{self, Encoding};
use crate::proto::{decode, rope::Rope};
use crate::source::Source;

/// How a model is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Whether external data may be reached through symbolic links.
    pub allow_symlinks: bool,
}

/// How a model is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Whether the file that the model was read from may be replaced.
    pub in_place: bool,
    /// How much of the source is copied.
    pub encoding: Encoding,
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

    /// The model as one byte string. External data stays a reference.
    ///
    /// # Errors
    /// When it exceeds what protobuf readers take (2 GiB, 31 nested graphs).
    pub fn to_bytes(&self, encoding: Encoding) -> Result<Bytes> {
        encode::to_bytes(self, encoding)
    }

    /// Writes the model: to a temporary file in the same folder, flushed and renamed. Returns the number of
    /// bytes written.
    ///
    /// # Errors
    /// When `path` is the file that the model was read from and `in_place` is not set, or writing fails; an
    /// existing file is then as it was.
    pub fn write(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<u64> {
        let path = path.as_ref();
        self.check_target(path, options)?;
        let rope = encode::model(self, options.encoding)?;
        if rope.len() > i32::MAX as u64 {
            return Err(Error::Unwritable(format!(
                "{} bytes inline; ONNX readers stop at 2 GiB: write the weights as external data",
                rope.len()
            )));
        }
        let written = atomic_write(path, |w| write_rope(&rope, w))?;
        Ok(written)
    }

    fn check_target(&self, path: &Path, options: &WriteOptions) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        source.check_unchanged()?;
        if let Some(from) = source.path()
            && !options.in_place
            && same_file(from, path)
        {
            return Err(Error::Unwritable(format!(
                "{} is the input; name another output, or pass --in-place to replace it",
                path.display()
            )));
        }
        Ok(())
    }
}

fn write_rope(rope: &Rope, w: &mut dyn Write) -> io::Result<u64> {
    for p in &rope.pieces {
        w.write_all(rope.piece(p))?;
    }
    Ok(rope.len())
}

/// Whether two paths lead to one file.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Writes a file as a whole or not at all: to a temporary file in the same folder, flushed to the disk, then
/// renamed over `path`.
pub(crate) fn atomic_write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<u64>) -> Result<u64> {
    let temporary = temporary_beside(path);
    let result = (|| {
        let file = File::options().write(true).create_new(true).open(&temporary)?;
        let mut w = BufWriter::with_capacity(256 * 1024, file);
        let n = fill(&mut w)?;
        w.flush()?;
        w.get_ref().sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(n)
    })();
    result.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::io(path, e)
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{n}.tmp", std::process::id()))
}
