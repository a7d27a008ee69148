//! The written form of a model: pieces of the source that did not change, and bytes that we made.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::wire::split_field;
use crate::span::Span;

/// Runs of the source shorter than this are copied into the scratch bytes.
const SPLICE_FROM: usize = 512;

/// Room that is made beforehand.
const MOST_RESERVED: usize = 64 << 20;

/// One run of output bytes.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Bytes that we made: a range of the scratch buffer.
    Scratch(Range<usize>),
    /// A range of the source file.
    Source(Range<usize>),
    /// Bytes from elsewhere.
    Shared(Bytes),
    /// A range of another file.
    File(Arc<File>, Range<u64>),
}

/// A sequence of pieces. Messages are written front to back; their headers are put in at their end.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    base: Bytes,
    pub scratch: Vec<u8>,
    pub pieces: Vec<Piece>,
    /// Start of the scratch bytes that are not in a piece yet.
    tail: usize,
    /// A run of the source that may still grow.
    run: Range<usize>,
    /// Bytes in `pieces`.
    closed: u64,
}

/// An open message.
pub(crate) struct Mark {
    number: u32,
    piece: usize,
    scratch: usize,
    start: u64,
}

impl Rope {
    pub fn new(base: Bytes) -> Self {
        Rope { base, ..Rope::default() }
    }

    /// Makes room for about as many bytes as the source has. What is not used is never touched, and so costs nothing.
    pub fn reserve(&mut self) {
        self.scratch.reserve(self.base.len().min(MOST_RESERVED));
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.closed + (self.scratch.len() - self.tail) as u64 + self.run.len() as u64
    }

    fn close_tail(&mut self) {
        if self.tail < self.scratch.len() {
            self.closed += (self.scratch.len() - self.tail) as u64;
            self.pieces.push(Piece::Scratch(self.tail..self.scratch.len()));
            self.tail = self.scratch.len();
        }
    }

    fn close_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.len() >= SPLICE_FROM {
            self.close_tail();
            self.closed += run.len() as u64;
            self.pieces.push(Piece::Source(run));
        } else if !run.is_empty() {
            self.scratch.extend_from_slice(&self.base[run]);
        }
    }

    /// The buffer for bytes that we make.
    pub fn buf(&mut self) -> &mut Vec<u8> {
        if !self.run.is_empty() {
            self.close_run();
        }
        &mut self.scratch
    }

    /// Appends shared bytes, as a splice when they are large or go on where the last ones ended.
    pub fn splice(&mut self, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        let at = (bytes.as_ptr() as usize).wrapping_sub(self.base.as_ptr() as usize);
        if at < self.base.len() && bytes.len() <= self.base.len() - at {
            return self.splice_range(at..at + bytes.len());
        }
        self.close_run();
        if bytes.len() >= SPLICE_FROM {
            self.close_tail();
            self.closed += bytes.len() as u64;
            self.pieces.push(Piece::Shared(bytes.clone()));
        } else {
            self.scratch.extend_from_slice(bytes);
        }
    }

    pub fn begin(&mut self, number: u32) -> Mark {
        self.close_run();
        Mark { number, piece: self.pieces.len(), scratch: self.scratch.len(), start: self.len() }
    }

    pub fn end(&mut self, mark: Mark) {
        self.close_run();
        let len = self.len() - mark.start;
        let mut header = [0u8; 16];
        let mut h = &mut header[..];
        encode_key(mark.number, WireType::LengthDelimited, &mut h);
        encode_varint(len, &mut h);
        let n = 16 - h.len();
        let header = &header[..n];
        if self.pieces.len() == mark.piece {
            let old = self.scratch.len();
            self.scratch.extend_from_slice(header);
            self.scratch.copy_within(mark.scratch..old, mark.scratch + n);
            self.scratch[mark.scratch..mark.scratch + n].copy_from_slice(header);
            return;
        }
        // The message holds spliced pieces: the header becomes a piece of its own, before the part of the
        // scratch piece that belongs to the message.
        self.close_tail();
        let at = self.scratch.len();
        self.scratch.extend_from_slice(header);
        self.tail = self.scratch.len();
        self.closed += n as u64;
        let mut insert = mark.piece;
        if let Piece::Scratch(r) = &self.pieces[mark.piece]
            && r.start < mark.scratch
        {
            let (before, after) = (r.start..mark.scratch, mark.scratch..r.end);
            self.pieces[mark.piece] = Piece::Scratch(before);
            insert += 1;
            if !after.is_empty() {
                self.pieces.insert(insert, Piece::Scratch(after));
            }
        }
        self.pieces.insert(insert, Piece::Scratch(at..at + n));
    }

    /// A field that was read as `src`, now under `number`.
    pub fn field(&mut self, number: u32, src: &Bytes) {
        let same = src.first().is_some_and(|b| number < 16 && u32::from(*b) == (number << 3 | 2));
        if same {
            self.splice(src);
        } else if let Ok((old, payload)) = split_field(src) {
            if old == number {
                self.splice(src);
            } else {
                self.header(number, payload.len());
                self.splice(&payload);
            }
        }
    }

    /// What stands at a place of the source.
    pub fn source(&self, at: Span) -> &[u8] {
        self.base.get(at.range(&self.base)).unwrap_or_default()
    }

    /// As [`Rope::field`], of a field of the source.
    pub fn field_at(&mut self, number: u32, src: Span) {
        let range = src.range(&self.base);
        let same =
            self.base.get(range.start).is_some_and(|b| number < 16 && u32::from(*b) == (number << 3 | 2));
        if same {
            self.splice_range(range);
        } else {
            self.field(number, &self.base.slice(range));
        }
    }

    /// Appends a range of the source.
    fn splice_range(&mut self, range: Range<usize>) {
        if !self.run.is_empty() && self.run.end == range.start {
            self.run.end = range.end;
        } else {
            self.close_run();
            self.run = range;
        }
    }

    fn header(&mut self, number: u32, len: usize) {
        let buf = self.buf();
        encode_key(number, WireType::LengthDelimited, buf);
        encode_varint(len as u64, buf);
    }

    /// Whole fields.
    pub fn raw(&mut self, fields: &[u8]) {
        if !fields.is_empty() {
            self.buf().extend_from_slice(fields);
        }
    }

    pub fn bytes(&mut self, number: u32, payload: &[u8]) {
        self.header(number, payload.len());
        self.buf().extend_from_slice(payload);
    }

    pub fn shared(&mut self, number: u32, payload: &Bytes) {
        self.header(number, payload.len());
        self.splice(payload);
    }

    /// A range of another file as the payload.
    pub fn file(&mut self, number: u32, file: &Arc<File>, range: Range<u64>) {
        let len = range.end - range.start;
        let buf = self.buf();
        encode_key(number, WireType::LengthDelimited, buf);
        encode_varint(len, buf);
        self.close_tail();
        self.closed += len;
        self.pieces.push(Piece::File(file.clone(), range));
    }

    pub fn str(&mut self, number: u32, s: &str) {
        self.bytes(number, s.as_bytes());
    }

    pub fn opt_str(&mut self, number: u32, s: Option<&str>) {
        if let Some(s) = s {
            self.str(number, s);
        }
    }

    pub fn int(&mut self, number: u32, v: i64) {
        let buf = self.buf();
        encode_key(number, WireType::Varint, buf);
        encode_varint(v as u64, buf);
    }

    pub fn float(&mut self, number: u32, v: f32) {
        let buf = self.buf();
        encode_key(number, WireType::ThirtyTwoBit, buf);
        buf.extend(v.to_le_bytes());
    }

    /// Closes the rope; nothing may be appended afterwards.
    pub fn finish(&mut self) {
        self.close_run();
        self.close_tail();
    }

    /// The bytes of a piece that is in memory.
    pub fn piece<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Scratch(r) => &self.scratch[r.clone()],
            Piece::Source(r) => &self.base[r.clone()],
            Piece::Shared(b) => b,
            Piece::File(..) => &[],
        }
    }

    /// Everything as one vector.
    pub fn concat(&self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.len() as usize);
        for p in &self.pieces {
            match p {
                Piece::File(file, range) => {
                    let start = out.len();
                    out.resize(start + (range.end - range.start) as usize, 0);
                    std::os::unix::fs::FileExt::read_exact_at(&**file, &mut out[start..], range.start)?;
                }
                _ => out.extend_from_slice(self.piece(p)),
            }
        }
        Ok(out)
    }
}
