//! Places in a model's source.

use std::ops::Range;

use crate::proto::wire::Fields;

/// A field in the bytes that a model was read from; nowhere for what was made or changed since. It is a quarter of what
/// a [`bytes::Bytes`] takes, and with nothing to count: for what never leaves its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span(u64);

/// Bits for the length; the others are for the start, so that sources up to a tebibyte have spans.
const LENGTH_BITS: u32 = 24;
/// A length that takes more bits: the field itself tells it.
const LONG: u64 = (1 << LENGTH_BITS) - 1;

impl Span {
    /// Nowhere.
    pub const NONE: Span = Span(0);

    /// Where the field `part` stands in `source`; nowhere when it is not part of it.
    pub fn of(source: &[u8], part: &[u8]) -> Self {
        match part.as_ptr().addr().checked_sub(source.as_ptr().addr()) {
            Some(start) if start + part.len() <= source.len() && start as u64 >> (64 - LENGTH_BITS) == 0 => {
                Span((start as u64) << LENGTH_BITS | (part.len() as u64).min(LONG))
            }
            _ => Span::NONE,
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 & LONG == 0
    }

    /// The range of a field of `source`; an empty one for a span that is not of this source.
    #[inline]
    pub fn range(self, source: &[u8]) -> Range<usize> {
        let start = (self.0 >> LENGTH_BITS) as usize;
        let length = match self.0 & LONG {
            LONG => long(source.get(start..).unwrap_or_default()),
            length => length as usize,
        };
        if start + length <= source.len() { start..start + length } else { 0..0 }
    }
}

/// The length of the field at the start of some bytes.
#[cold]
fn long(bytes: &[u8]) -> usize {
    match Fields::new(bytes).next() {
        Ok(Some(field)) => field.whole.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_fields_tell_their_length() {
        for length in [1usize, 300, LONG as usize - 6, LONG as usize - 5, LONG as usize, LONG as usize + 9] {
            let mut source = vec![7u8, 7, 7];
            prost::encoding::bytes::encode(1, &vec![9u8; length], &mut source);
            let end = source.len();
            source.extend([1, 2, 3]);
            let span = Span::of(&source, &source[3..end]);
            assert_eq!(span.range(&source), 3..end, "{length}");
            assert!(!span.is_empty());
            assert_eq!(span.range(&[]), 0..0);
        }
        assert!(Span::of(&[1, 2], &[3]).is_empty());
        assert_eq!(Span::NONE.range(&[1, 2]), 0..0);
    }
}
