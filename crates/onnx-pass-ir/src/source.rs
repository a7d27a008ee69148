//! Where a model was read from.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::error::{Error, Result};

/// The bytes that a model was decoded from; spans point into them.
#[derive(Debug)]
pub struct Source {
    bytes: Bytes,
    file: Option<SourceFile>,
}

/// The mapped file behind a source.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub path: PathBuf,
    pub file: File,
    len: u64,
    modified: Option<SystemTime>,
}

impl Source {
    /// Bytes in memory.
    pub(crate) fn from_bytes(bytes: Bytes) -> Arc<Self> {
        Arc::new(Source { bytes, file: None })
    }

    /// Maps a file.
    pub(crate) fn map(path: &Path) -> Result<Arc<Self>> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let meta = file.metadata().map_err(|e| Error::io(path, e))?;
        if !meta.is_file() {
            return Err(Error::malformed(path.display().to_string(), "not a regular file"));
        }
        let bytes = if meta.len() == 0 {
            Bytes::new()
        } else {
            // SAFETY: the map is read only. A file that another process truncates meanwhile raises SIGBUS;
            // `check_unchanged` notices a change before anything is written, and the command installs a
            // handler that turns the signal into an error.
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
            Bytes::from_owner(map)
        };
        let (len, modified) = (meta.len(), meta.modified().ok());
        Ok(Arc::new(Source { bytes, file: Some(SourceFile { path: path.into(), file, len, modified }) }))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The path, when it came from one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|f| f.path.as_path())
    }

    /// The mapped file.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref().map(|f| &f.file)
    }

    /// Where in the mapped file a slice of it is.
    pub(crate) fn place_of(&self, part: &[u8]) -> Option<(&File, u64)> {
        let file = self.file()?;
        let at = part.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        (at + part.len() <= self.bytes.len()).then_some((file, at as u64))
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True for an empty source.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Fails when the file changed since it was mapped: its spans would no longer be what was read.
    ///
    /// # Errors
    /// [`Error::Io`] when the file's size or modification time is another.
    pub fn check_unchanged(&self) -> Result<()> {
        let Some(f) = &self.file else { return Ok(()) };
        let meta = f.file.metadata().map_err(|e| Error::io(&f.path, e))?;
        if meta.len() != f.len || meta.modified().ok() != f.modified {
            return Err(Error::io(
                &f.path,
                std::io::Error::other("the file was changed by somebody else while it was read; run again"),
            ));
        }
        Ok(())
    }
}
