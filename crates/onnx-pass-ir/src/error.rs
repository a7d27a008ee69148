//! The crate's errors.

use std::io;
use std::path::PathBuf;

/// What can go wrong when a model is read, changed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an ONNX model.
    #[error("{place}: {reason}")]
    Malformed {
        /// Where in the model, outermost first (`graph.node[3] "/Add".attribute "axis"`).
        place: String,
        /// What is wrong, and at which byte.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// An external weight file is missing, too short, or in a forbidden place.
    #[error("external data of `{tensor}`: {reason}")]
    External {
        /// The tensor's name.
        tensor: String,
        /// What is wrong and the way out.
        reason: String,
    },
    /// A tensor's contents do not fit its type and shape.
    #[error("tensor: {0}")]
    Tensor(String),
    /// An edit that would break the graph.
    #[error("{0}")]
    Edit(String),
    /// The model cannot be written in the asked form.
    #[error("cannot write: {0}")]
    Unwritable(String),
    /// A textual model does not parse.
    #[error("{line}:{column}: {reason}")]
    Text {
        /// One-based line.
        line: usize,
        /// One-based column.
        column: usize,
        /// What was found and what was expected.
        reason: String,
    },
}

impl Error {
    pub(crate) fn malformed(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Malformed { place: place.into(), reason: reason.into() }
    }

    pub(crate) fn edit(reason: impl Into<String>) -> Self {
        Error::Edit(reason.into())
    }

    /// An I/O error at `path`.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }

    /// As [`Error::io`], of a file that is written.
    pub(crate) fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Error::io(path, advise(source))
    }
}

/// What the system says of a file that cannot be written, with the way out where there is one.
pub fn advise(error: io::Error) -> io::Error {
    use io::ErrorKind::*;
    let advice = match error.kind() {
        StorageFull => "free some space, or name an output on another disk",
        QuotaExceeded => "free some of your space, or name an output on another disk",
        FileTooLarge => {
            "raise the limit on the size of files (`ulimit -f`), or name an output on another disk"
        }
        ReadOnlyFilesystem => "name an output on a disk that can be written",
        PermissionDenied => "name an output in a folder that you may write to",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
