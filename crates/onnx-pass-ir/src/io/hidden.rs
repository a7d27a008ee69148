//! Hidden names, and what runs that were killed leave of them.
//!
//! Invariant: a file has a name that starts with [`LOCKED`] only while the run that gave it holds a lock on the file,
//! taken before. The name tells under which start of the system that was, so that a lock of another machine, which a
//! shared disk need not show, is not missed. All other hidden names stay until somebody removes them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::stage::name_it;

const PLAIN: &str = ".onnx-pass-";
const LOCKED: &str = ".onnx-pass-locked-";
const ENDING: &str = ".tmp";

/// A living run has such a name for moments, so that even a file system with no true locks betrays none.
const DEAD_AFTER: Duration = Duration::from_secs(10);

/// This start of the system, where it has a name.
fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let id = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
        Some(blake3::hash(&id).to_hex().chars().take(16).collect())
    };
    BOOT.get_or_init(read).as_deref()
}

/// Marks a file as ours until it is closed; false where nobody would see it.
pub(super) fn lock(file: &File) -> bool {
    boot().is_some() && rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).is_ok()
}

/// Calls `make` with hidden names until one is free. `locked` says that the file is.
pub(super) fn fresh(
    folder: &Path,
    locked: bool,
    mut make: impl FnMut(&Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = std::process::id();
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = match boot().filter(|_| locked) {
            Some(boot) => {
                // No name comes twice, so that who finds one dead removes no other.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                format!("{LOCKED}{boot}-{id}-{n}-{now}{ENDING}")
            }
            None => format!("{PLAIN}{id}-{n}{ENDING}"),
        };
        let name = folder.join(name);
        match make(&name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => return Ok(name),
        }
    }
}

/// Removes what runs that were killed left in a folder under hidden names, where it is certain that they are dead.
pub fn clean_hidden(folder: &Path) {
    clean(folder, DEAD_AFTER);
}

pub(super) fn clean(folder: &Path, dead_after: Duration) {
    let Some(boot) = boot() else { return };
    let start = format!("{LOCKED}{boot}-");
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(&start) && name.ends_with(ENDING)) {
            remove_dead(&entry.path(), dead_after);
        }
    }
}

fn remove_dead(path: &Path, dead_after: Duration) {
    let Some(file) = open(path) else { return };
    let Ok(data) = file.metadata() else { return };
    let changed =
        Duration::new(data.ctime().try_into().unwrap_or(0), data.ctime_nsec().try_into().unwrap_or(0));
    let age = SystemTime::now().duration_since(UNIX_EPOCH + changed).unwrap_or_default();
    if age >= dead_after && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = fs::remove_file(path);
    }
}

/// A regular file itself, and nothing that it leads to.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().is_ok_and(|data| data.is_file()).then_some(file)
}

/// A hidden second name of what is at a path, so that it outlives being replaced. It goes when this is dropped.
#[derive(Debug)]
pub struct SecondName {
    name: PathBuf,
    /// Holds the lock.
    _file: Option<File>,
}

impl SecondName {
    /// Gives a file or a symbolic link a second name in its folder; a copy gets it where the system has no second
    /// names.
    ///
    /// # Errors
    /// When there is nothing, or the folder takes neither.
    pub fn of(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Some(file) = open(path).filter(lock)
            && let Ok(name) = fresh(folder, true, |name| name_it(&file, name))
        {
            return Ok(SecondName { name, _file: Some(file) });
        }
        let name = fresh(folder, false, |name| link_or_copy(path, name))?;
        Ok(SecondName { name, _file: None })
    }

    /// Puts it back, in the place of what is at the path now.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn give_back(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.name, path)
    }
}

impl Drop for SecondName {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.name);
    }
}

fn link_or_copy(path: &Path, name: &Path) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match fs::hard_link(path, name) {
        Err(e) if !matches!(e.kind(), AlreadyExists | QuotaExceeded | ReadOnlyFilesystem | StorageFull) => {
            copy(path, name)
        }
        linked => linked,
    }
}

/// Another of the same kind: a link leads where the first does.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    let made = File::options().write(true).create_new(true).open(to)?;
    fs::copy(from, to).and_then(|_| made.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}
