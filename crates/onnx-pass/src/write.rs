//! Writing files so that nobody ever sees half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use onnx_pass_ir::{StagedFile, advise};
use thiserror::Error;

/// A file that could not be written. What stood at the path before still stands there.
#[derive(Debug, Error)]
#[error("{}: cannot {action}: {source}", path.display())]
pub struct WriteError {
    /// The file that was to be written.
    pub path: PathBuf,
    /// What failed.
    pub action: &'static str,
    /// Why.
    pub source: io::Error,
}

/// Puts `bytes` at `path` as a whole: a temporary file in the same folder is written, flushed to the disk, and
/// renamed over what was there.
///
/// A file that is replaced hands its permissions on. A symbolic link is replaced, not followed, so what it led
/// to, which others may read, stays as it was. What is no regular file (a pipe, a terminal, `/dev/null`) is
/// written to, for there is nothing to replace.
///
/// # Errors
/// The folder does not exist or cannot be written to, `path` is a folder, or the disk refuses.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    Staged::new(path, bytes)?.commit()?;
    sync_folder(folder_of(path));
    Ok(())
}

/// A file that is on the disk as a whole and not at its path yet. It is gone when this is dropped.
#[derive(Debug)]
#[must_use = "nothing is at the path before `commit`"]
pub struct Staged {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Beside the path, flushed.
    File(StagedFile),
    /// For what cannot be replaced.
    Stream(Vec<u8>),
}

impl WriteError {
    /// What failed, without the file's name.
    pub(crate) fn told(&self) -> String {
        format!("cannot {}: {}", self.action, self.source)
    }
}

impl Staged {
    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does what may fail: as [`atomic_write`], up to the renaming.
    ///
    /// # Errors
    /// As [`atomic_write`].
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self, WriteError> {
        let fail =
            |action| move |source| WriteError { path: path.to_owned(), action, source: advise(source) };
        let existing = fs::metadata(path).ok();
        if existing.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(fail("write")(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let folder = folder_of(path);
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) || is_device_folder(folder) {
            return Ok(Self { path: path.to_owned(), content: Content::Stream(bytes.to_owned()) });
        }
        let mut temporary = StagedFile::new(folder).map_err(fail("make a file beside it"))?;
        temporary.file.write_all(bytes).map_err(fail("write"))?;
        let replaced = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
        if let Some(replaced) = replaced {
            let permissions = replaced.permissions();
            temporary.file.set_permissions(permissions).map_err(fail("set the permissions"))?;
        }
        temporary.file.sync_all().map_err(fail("flush"))?;
        Ok(Self { path: path.to_owned(), content: Content::File(temporary) })
    }

    /// Puts it at its path; it outlives a power cut once the folder is flushed.
    ///
    /// # Errors
    /// The system refuses the renaming.
    pub fn commit(self) -> Result<(), WriteError> {
        let Self { path, content } = self;
        let at = path.as_path();
        let fail = |action| move |source| WriteError { path: at.to_owned(), action, source: advise(source) };
        match content {
            Content::Stream(bytes) => {
                let mut file = OpenOptions::new().write(true).open(&path).map_err(fail("open"))?;
                file.write_all(&bytes).and_then(|()| file.flush()).map_err(fail("write"))
            }
            Content::File(mut temporary) => {
                temporary.replace(&path).map_err(fail("rename the new file into place"))
            }
        }
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `/dev/stdout` and `/proc/self/fd/1` are links that must not be replaced, whatever they lead to.
fn is_device_folder(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    folder.starts_with("/proc") || (folder.starts_with("/dev") && !folder.starts_with("/dev/shm"))
}

/// Makes the rename last through a power cut where the system can. The file is whole either way, so a failure
/// is no error.
pub(crate) fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> io::Result<tempfile::TempDir> {
        tempfile::tempdir()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_else_is_left() -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder()?;
        let path = folder.path().join("a.json");
        atomic_write(&path, b"one")?;
        atomic_write(&path, b"two, which is longer")?;
        assert_eq!(fs::read(&path)?, b"two, which is longer");
        assert_eq!(names(folder.path()), ["a.json"]);
        Ok(())
    }

    #[test]
    fn a_failure_leaves_what_was_there() -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder()?;
        let missing = folder.path().join("missing").join("a.json");
        let error = atomic_write(&missing, b"x").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("a.json: cannot make a file beside it"), "{error}");
        let error =
            atomic_write(folder.path(), b"x").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("cannot write"), "{error}");
        assert!(names(folder.path()).is_empty());
        Ok(())
    }

    #[test]
    fn what_is_staged_is_not_there_before_it_is_committed() -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder()?;
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, b"old")?;
        let (staged, dropped) = (Staged::new(&a, b"new")?, Staged::new(&b, b"never")?);
        assert_eq!(fs::read(&a)?, b"old");
        drop(dropped);
        staged.commit()?;
        assert_eq!(fs::read(&a)?, b"new");
        assert_eq!(names(folder.path()), ["a"]);
        Ok(())
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        #[test]
        fn permissions_are_those_of_a_new_file_or_of_the_replaced_one()
        -> Result<(), Box<dyn std::error::Error>> {
            let folder = folder()?;
            let (path, plain) = (folder.path().join("a"), folder.path().join("plain"));
            fs::write(&plain, b"")?;
            atomic_write(&path, b"one")?;
            let mode = |path: &Path| fs::metadata(path).map(|data| data.permissions().mode() & 0o7777);
            assert_eq!(mode(&path)?, mode(&plain)?);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
            atomic_write(&path, b"two")?;
            assert_eq!(mode(&path)?, 0o640);
            Ok(())
        }

        #[test]
        fn a_link_is_replaced_and_what_shares_the_file_stays() -> Result<(), Box<dyn std::error::Error>> {
            let folder = folder()?;
            let [target, link, hard] = ["target", "link", "hard"].map(|name| folder.path().join(name));
            fs::write(&target, b"kept")?;
            symlink(&target, &link)?;
            fs::hard_link(&target, &hard)?;
            atomic_write(&link, b"new")?;
            atomic_write(&hard, b"new")?;
            assert_eq!(fs::read(&target)?, b"kept");
            assert_eq!(fs::metadata(&target)?.nlink(), 1);
            assert_eq!((fs::read(&link)?, fs::read(&hard)?), (b"new".to_vec(), b"new".to_vec()));
            Ok(())
        }

        #[test]
        fn a_device_is_written_to() -> Result<(), Box<dyn std::error::Error>> {
            atomic_write(Path::new("/dev/null"), b"gone")?;
            assert!(!fs::metadata("/dev/null")?.is_file());
            Ok(())
        }
    }
}
