//! What is wrong with a pipeline, in one line.

use std::fmt;

use super::Position;
use crate::terminal::escape;

/// An error in a pipeline or in what overrides it. It prints as one line: `file:line:column: message; suggestion`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineError {
    /// The file, or the argument of the command line.
    pub origin: String,
    /// The place in the file.
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub suggestion: Option<String>,
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.origin))?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", escape(&self.message))?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {}", escape(suggestion)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PipelineError {}
