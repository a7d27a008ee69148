//! Places in a model's source.

use std::ops::Range;

/// A range of the bytes that a model was read from; empty for what was made or changed since. Half of what a
/// [`bytes::Bytes`] takes, and with nothing to count: for what never leaves its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    len: usize,
}

impl Span {
    /// Nowhere.
    pub const NONE: Span = Span { start: 0, len: 0 };

    /// Where `part` stands in `source`; nowhere when it is not part of it.
    pub fn of(source: &[u8], part: &[u8]) -> Self {
        match part.as_ptr().addr().checked_sub(source.as_ptr().addr()) {
            Some(start) if start + part.len() <= source.len() => Span { start, len: part.len() },
            _ => Span::NONE,
        }
    }

    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}
