//! The cursor over the text: blanks, comments and the notes in them, identifiers, literals.

use super::notes::{self, Note};
use crate::error::{Error, Result};

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal<'a> {
    /// Digits, with a sign.
    Int(&'a str),
    /// A number with a point or exponent, or `inf` or `nan`.
    Float(&'a str),
    /// A quoted string.
    String(String),
}

pub(super) struct Cursor<'a> {
    src: &'a str,
    pub pos: usize,
    /// Notes in the comments that were passed and that belong to what comes next.
    notes: Vec<Note>,
    /// A comment that begins like a note and is none; reported when the notes are taken.
    bad_note: Option<(usize, String)>,
}

impl<'a> Cursor<'a> {
    pub fn new(src: &'a str) -> Self {
        Cursor { src, pos: 0, notes: Vec::new(), bad_note: None }
    }

    /// An error at the cursor.
    pub fn fail<T>(&self, reason: impl Into<String>) -> Result<T> {
        self.fail_at(self.pos, reason)
    }

    /// An error at a byte of the text.
    pub fn fail_at<T>(&self, pos: usize, reason: impl Into<String>) -> Result<T> {
        let before = self.src.get(..pos).unwrap_or(self.src);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Err(Error::Text {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            reason: reason.into(),
        })
    }

    fn rest(&self) -> &'a [u8] {
        self.src.as_bytes().get(self.pos..).unwrap_or(&[])
    }

    /// Passes blanks and comments and gathers the notes.
    pub fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x0b).count();
            self.pos += blanks;
            let rest = &rest[blanks..];
            if rest.first() != Some(&b'#') {
                return;
            }
            let len = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            // A comment starts at `#` and ends before a line feed, both one byte long.
            let comment = self.src.get(self.pos..self.pos + len).unwrap_or("");
            if let Some(text) = comment.strip_prefix("#@") {
                match notes::parse(text) {
                    Ok(kind) => self.notes.push(Note { at: self.pos, kind }),
                    Err(reason) => {
                        self.bad_note.get_or_insert((self.pos, reason));
                    }
                }
            }
            self.pos += len;
        }
    }

    /// The notes that stand before the next thing.
    pub fn take_notes(&mut self) -> Result<Vec<Note>> {
        self.skip();
        if let Some((at, reason)) = self.bad_note.take() {
            return self.fail_at(at, reason);
        }
        Ok(std::mem::take(&mut self.notes))
    }

    /// The next byte that is neither blank nor comment; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        self.skip();
        self.rest().first().copied().unwrap_or(0)
    }

    pub fn at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    pub fn eat(&mut self, c: u8) -> bool {
        let hit = self.peek() == c && !self.rest().is_empty();
        self.pos += usize::from(hit);
        hit
    }

    pub fn expect(&mut self, c: u8) -> Result<()> {
        if self.eat(c) { Ok(()) } else { self.unexpected(&format!("`{}`", char::from(c))) }
    }

    /// What comes next, for a message.
    fn found(&mut self) -> String {
        self.skip();
        let Some(rest) = self.src.get(self.pos..).filter(|r| !r.is_empty()) else {
            return "the end of the text".into();
        };
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(24).collect();
        let word = if word.is_empty() { rest.chars().take(1).collect() } else { word };
        format!("`{}`", word.escape_debug())
    }

    /// An error that names what was expected and what is there.
    pub fn unexpected<T>(&mut self, expected: &str) -> Result<T> {
        let found = self.found();
        self.fail(format!("expected {expected}, found {found}"))
    }

    /// An identifier, if one is next.
    pub fn ident(&mut self) -> Option<&'a str> {
        let word = self.peek_ident();
        self.pos += word.map_or(0, str::len);
        word
    }

    /// The identifier that is next.
    pub fn peek_ident(&mut self) -> Option<&'a str> {
        self.skip();
        let rest = self.rest();
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        if len == 0 || rest.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        self.src.get(self.pos..self.pos + len)
    }

    pub fn expect_ident(&mut self, what: &str) -> Result<&'a str> {
        match self.ident() {
            Some(s) => Ok(s),
            None => self.unexpected(what),
        }
    }

    /// A name: an identifier or a quoted string.
    pub fn name(&mut self, what: &str) -> Result<String> {
        match self.optional_name()? {
            Some(s) => Ok(s),
            None => self.unexpected(what),
        }
    }

    pub fn optional_name(&mut self) -> Result<Option<String>> {
        if self.peek() == b'"' {
            return self.string("a name").map(Some);
        }
        Ok(self.ident().map(str::to_string))
    }

    pub fn string(&mut self, what: &str) -> Result<String> {
        if self.peek() != b'"' {
            return self.unexpected(what);
        }
        let start = self.pos + 1;
        let mut out = String::new();
        let mut chars = self.src.get(start..).unwrap_or("").char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.pos = start + i + 1;
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, c)) => out.push(c),
                    None => break,
                },
                c => out.push(c),
            }
        }
        self.fail("a string without its closing `\"`")
    }

    pub fn literal(&mut self, what: &str) -> Result<Literal<'a>> {
        if self.peek() == b'"' {
            return self.string(what).map(Literal::String);
        }
        let start = self.pos;
        let rest = self.rest();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let letters = rest[sign..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let word = self.src.get(start + sign..start + sign + letters).unwrap_or("");
        if is_float_word(word) {
            self.pos += sign + letters;
            return Ok(Literal::Float(&self.src[start..self.pos]));
        }
        let mut len = sign + digits(sign);
        if len == sign {
            return self.unexpected(what);
        }
        let mut float = false;
        if rest.get(len) == Some(&b'.') {
            float = true;
            len += 1 + digits(len + 1);
        }
        if matches!(rest.get(len), Some(b'e' | b'E')) {
            let mark = len + 1 + usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
            float = true;
            len = mark + digits(mark);
        }
        self.pos += len;
        let text = &self.src[start..self.pos];
        Ok(if float { Literal::Float(text) } else { Literal::Int(text) })
    }

    pub fn int(&mut self, what: &str) -> Result<i64> {
        let at = {
            self.skip();
            self.pos
        };
        match self.literal(what)? {
            Literal::Int(s) => match s.parse() {
                Ok(v) => Ok(v),
                Err(_) => self.fail_at(at, format!("{s} is beyond int64")),
            },
            _ => self.fail_at(at, format!("expected {what}, found another kind of value")),
        }
    }
}

/// `inf`, `infinity` and `nan`, in any case.
pub(super) fn is_float_word(word: &str) -> bool {
    ["inf", "infinity", "nan"].iter().any(|w| word.eq_ignore_ascii_case(w))
}
