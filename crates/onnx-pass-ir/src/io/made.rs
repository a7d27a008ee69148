//! What a write makes before the file that it is about.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files and folders that were not there before. When this is dropped they are taken away, a folder only if nothing
/// else came to lie in it.
#[derive(Debug, Default)]
#[must_use = "what was made goes when this is dropped"]
pub struct NewFiles {
    files: Vec<PathBuf>,
    /// Outer ones first.
    folders: Vec<PathBuf>,
}

impl NewFiles {
    /// The files, in the order in which they were made.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// A file that was made.
    pub(super) fn add(&mut self, file: PathBuf) {
        self.files.push(file);
    }

    /// Makes a folder and those around it, where they are missing.
    ///
    /// # Errors
    /// When the system refuses, or something else has the name.
    pub fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        let missing = folder.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists());
        let missing: Vec<&Path> = missing.collect();
        for at in missing.into_iter().rev() {
            match fs::create_dir(at) {
                Ok(()) => self.folders.push(at.to_path_buf()),
                // Another run wanted it too.
                Err(_) if at.is_dir() => {}
                Err(e) => return Err(e),
            }
        }
        if folder.is_dir() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::NotADirectory)) }
    }

    /// Everything stays.
    pub fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
