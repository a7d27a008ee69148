//! Files that appear as a whole or not at all.
//!
//! Invariant: a name in a folder that we write to never stands for a half-written file. Contents go to a file
//! that has no name yet (Linux), so that a crash leaves nothing behind, or a hidden temporary one elsewhere;
//! it gets its name when it is complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::hidden::{fresh, lock};

/// A file that is being written, in the folder where it will stand. It is gone when this is dropped.
#[derive(Debug)]
pub struct StagedFile {
    /// The file.
    pub file: File,
    folder: PathBuf,
    /// The temporary name, where the system knows no nameless files.
    name: Option<PathBuf>,
}

impl StagedFile {
    /// An empty file, with the permissions that any new one has.
    ///
    /// # Errors
    /// When the folder takes none.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.to_path_buf();
        if let Some(file) = nameless(&folder) {
            return Ok(StagedFile { file, folder, name: None });
        }
        let (file, name) = named(&folder)?;
        Ok(StagedFile { file, folder, name: Some(name) })
    }

    /// Gives the file a name that nothing has. When something has it the file is handed back.
    pub(super) fn place(mut self, path: &Path) -> io::Result<Option<Self>> {
        match self.link(path) {
            Ok(()) => {
                if let Some(name) = self.name.take() {
                    fs::remove_file(name)?;
                }
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Some(self)),
            // A file system without hard links: only a hidden name can be moved, and two runs may race.
            Err(_) if self.name.is_some() && fs::symlink_metadata(path).is_err() => {
                self.replace(path).map(|()| None)
            }
            Err(e) => Err(e),
        }
    }

    /// Gives the file a name, in the place of what has it.
    ///
    /// # Errors
    /// When the system refuses; the file can be placed elsewhere then.
    pub fn replace(&mut self, path: &Path) -> io::Result<()> {
        if self.name.is_none() {
            self.name = Some(fresh(&self.folder, lock(&self.file), |p| self.link(p))?);
        }
        if let Some(name) = &self.name {
            fs::rename(name, path)?;
        }
        self.name = None;
        Ok(())
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        match &self.name {
            Some(name) => fs::hard_link(name, path),
            None => name_it(&self.file, path),
        }
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

fn named(folder: &Path) -> io::Result<(File, PathBuf)> {
    let mut file = None;
    // It has its name before it could be locked.
    let name = fresh(folder, false, |p| {
        file = Some(File::options().read(true).write(true).create_new(true).open(p)?);
        Ok(())
    })?;
    Ok((file.ok_or_else(|| io::Error::other("no temporary file"))?, name))
}

#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    // The name is given through /proc.
    if !Path::new("/proc/self/fd").is_dir() {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666)).ok().map(File::from)
}

/// Gives an open file a name.
#[cfg(target_os = "linux")]
pub(super) fn name_it(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};
    use std::os::fd::AsRawFd;
    let proc = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, proc, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn name_it(_: &File, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
