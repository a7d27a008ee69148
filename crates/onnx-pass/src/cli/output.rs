//! Text that goes out.

use std::io::{self, IsTerminal, Write};

/// A stream that somebody reads, or has stopped reading.
pub struct Output {
    stream: Box<dyn Write + Send>,
    terminal: bool,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self { terminal: io::stdout().is_terminal(), stream: Box::new(io::stdout()) }
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self { terminal: io::stderr().is_terminal(), stream: Box::new(io::stderr()) }
    }

    /// Whether people see it as it is.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes the text as it stands. A reader that left (`onnx-pass passes | head -1`) or a full disk behind a
    /// redirection does not stop the work.
    pub fn text(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush());
    }

    /// Writes a line.
    pub fn line(&mut self, line: &str) {
        self.text(&format!("{line}\n"));
    }
}
