//! External data: ranges of files beside the model.

use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ecow::EcoString;

use crate::error::{Error, Result};
use crate::model::Metadata;

/// Where the `location`s of a model's external tensors are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalRoot {
    /// The model's folder; `None` for a model that came as bytes.
    pub folder: Option<PathBuf>,
    /// Whether a location may be reached through a symbolic link (model-hub caches are made of them).
    pub allow_symlinks: bool,
}

/// `TensorProto.external_data`.
#[derive(Clone, Debug)]
pub struct External {
    /// The file, relative to the model's folder.
    pub location: EcoString,
    /// The first byte.
    pub offset: u64,
    /// The number of bytes; `None` when the file does not say.
    pub length: Option<u64>,
    /// All entries in file order, for those that this crate does not read (`checksum`, …).
    pub entries: Metadata,
    /// The folder that `location` is relative to.
    pub root: Arc<ExternalRoot>,
}

impl External {
    /// Reads the key-value form.
    pub(crate) fn from_entries(entries: Metadata, root: Arc<ExternalRoot>) -> Result<Self, String> {
        let get = |k: &str| entries.iter().find(|(key, _)| key == k).map(|(_, v)| v);
        let number = |k: &str| match get(k) {
            None => Ok(None),
            Some(v) => v.parse::<u64>().map(Some).map_err(|_| format!("external {k} `{v}` is not a number")),
        };
        let location = get("location").cloned().ok_or("external data without a location")?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        Ok(External { location, offset, length, entries, root })
    }

    /// A range of `location`, relative to `root`.
    pub fn new(location: &str, offset: u64, length: u64, root: Arc<ExternalRoot>) -> Self {
        let entries = vec![
            ("location".into(), location.into()),
            ("offset".into(), ecow::eco_format!("{offset}")),
            ("length".into(), ecow::eco_format!("{length}")),
        ];
        External { location: location.into(), offset, length: Some(length), entries: entries.into(), root }
    }

    /// True when both name the same bytes of the same file.
    pub fn same_place(&self, other: &External) -> bool {
        self.location == other.location
            && self.offset == other.offset
            && self.length == other.length
            && self.root == other.root
    }

    /// The file's path, checked: inside the model's folder, and not through a symbolic link unless allowed.
    ///
    /// # Errors
    /// [`Error::External`] with the way out.
    pub fn path(&self, tensor: &str) -> Result<PathBuf> {
        let fail = |reason: String| Error::External { tensor: tensor.into(), reason };
        let Some(folder) = &self.root.folder else {
            return Err(fail(format!(
                "`{}` is relative to the model's folder, and the model came without one; read it from its path",
                self.location
            )));
        };
        inside(folder, Path::new(self.location.as_str()), self.root.allow_symlinks).map_err(fail)
    }

    /// Opens the file and checks that the range lies in it; gives the file and the range's length.
    ///
    /// # Errors
    /// [`Error::External`] when the file is missing or too short.
    pub fn open(&self, tensor: &str, need: Option<usize>) -> Result<(File, u64)> {
        let fail = |reason: String| Error::External { tensor: tensor.into(), reason };
        let path = self.path(tensor)?;
        let file = File::open(&path).map_err(|e| {
            fail(format!("cannot open {}: {e}; put the file beside the model", path.display()))
        })?;
        let size = file.metadata().map_err(|e| Error::io(&path, e))?.len();
        let length = self.check_range(size, need).map_err(fail)?;
        Ok((file, length))
    }

    /// The number of bytes, checked: a file of `size` bytes has them, and they are what the tensor needs.
    pub(crate) fn check_range(&self, size: u64, need: Option<usize>) -> Result<u64, String> {
        let need = need.map(|n| n as u64);
        let length = self.length.or(need).unwrap_or(size.saturating_sub(self.offset));
        if self.offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!(
                "bytes {}..{} are claimed, `{}` has {size}",
                self.offset,
                self.offset.saturating_add(length),
                self.location
            ));
        }
        if need.is_some_and(|n| n != length) {
            return Err(format!(
                "its type and shape need {} bytes, its length says {length}",
                need.unwrap_or_default()
            ));
        }
        Ok(length)
    }

    pub(crate) fn map(&self, tensor: &str, need: usize) -> Result<Bytes> {
        let (file, _) = self.open(tensor, Some(need))?;
        if need == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the map is read only; a file that another process truncates meanwhile raises SIGBUS, which
        // the command turns into an error (see `source`).
        let map = unsafe { memmap2::MmapOptions::new().offset(self.offset).len(need).map(&file) }
            .map_err(|e| Error::io(self.location.as_str(), e))?;
        Ok(Bytes::from_owner(map))
    }
}

/// `location` in `folder`, checked: not outside, and not through a symbolic link unless allowed.
pub(crate) fn inside(folder: &Path, location: &Path, allow_symlinks: bool) -> Result<PathBuf, String> {
    check_location(location)?;
    if !allow_symlinks {
        let mut at = folder.to_path_buf();
        for part in location.components() {
            at.push(part);
            if std::fs::symlink_metadata(&at).is_ok_and(|m| m.file_type().is_symlink()) {
                return Err(format!(
                    "`{}` is reached through a symbolic link; pass --allow-symlinks if that is meant",
                    location.display().to_string().escape_debug()
                ));
            }
        }
    }
    Ok(folder.join(location))
}

/// Refuses a location that is absolute, empty, or steps out of its folder.
pub(crate) fn check_location(location: &Path) -> Result<(), String> {
    let inside = !location.as_os_str().is_empty()
        && location.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if inside {
        return Ok(());
    }
    Err(format!(
        "`{}` leaves the model's folder; weights must lie in it or below it",
        location.display().to_string().escape_debug()
    ))
}
