//! Notes: what the official syntax cannot carry, in comments that the official parser skips.
//!
//! A note is a comment that begins with `#@`, ends with its line, and belongs to the next thing in the text:
//! the model, a graph, a function, a node, an attribute, a tensor or a value's declaration.

use std::fmt::Write;

use super::base64;

/// A note and where it stands.
#[derive(Debug)]
pub(super) struct Note {
    pub at: usize,
    pub kind: Kind,
}

/// What a note says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// `doc "…"`: `doc_string`.
    Doc(String),
    /// `metadata "key" "value"`: one of `metadata_props`.
    Metadata(String, String),
    /// `no name`, `no type`, …: the field that the syntax sets is absent.
    No(String),
    /// `name "…"`, `domain "…"`, `op "…"`, `overload "…"`: the field's true text.
    Set(String, String),
    /// `nodes domain ""`: nodes without a domain in the text have an empty one.
    NodesDomain,
    /// `typed`: a tensor's contents are in the typed field.
    Typed,
    /// `tensor BASE64`: a whole `TensorProto` in place of what the text says.
    Tensor(Vec<u8>),
    /// `type BASE64`: a whole `TypeProto` in place of what the text says.
    Type(Vec<u8>),
    /// `field NAME BASE64`: fields that are added to the message as they are; the name is for the reader.
    Field(String, Vec<u8>),
    /// `attribute INDEX BASE64`: a whole `AttributeProto` at this place among the node's attributes.
    Attribute(usize, Vec<u8>),
    /// `initializer INDEX BASE64`: a whole `TensorProto` at this place among the graph's initializers.
    Initializer(usize, Vec<u8>),
}

/// Reads what follows `#@`.
pub(super) fn parse(text: &str) -> Result<Kind, String> {
    let mut words = Words { rest: text };
    let word = words.word()?;
    let kind = match word {
        "doc" => Kind::Doc(words.string()?),
        "metadata" => Kind::Metadata(words.string()?, words.string()?),
        "no" => Kind::No(words.word()?.into()),
        "name" | "domain" | "op" | "overload" => Kind::Set(word.into(), words.string()?),
        "nodes" => match (words.word()?, words.string()?.as_str()) {
            ("domain", "") => Kind::NodesDomain,
            _ => return Err("the note `nodes` is `nodes domain \"\"`".into()),
        },
        "typed" => Kind::Typed,
        "tensor" => Kind::Tensor(words.bytes()?),
        "type" => Kind::Type(words.bytes()?),
        "field" => Kind::Field(words.word()?.into(), words.bytes()?),
        "attribute" => Kind::Attribute(words.index()?, words.bytes()?),
        "initializer" => Kind::Initializer(words.index()?, words.bytes()?),
        other => return Err(format!("unknown note `{}`", other.escape_debug())),
    };
    if words.rest.trim().is_empty() { Ok(kind) } else { Err(format!("too much after the note `{word}`")) }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, String> {
        let text = self.rest.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        if word.is_empty() { Err("a note ends too early".into()) } else { Ok(word) }
    }

    fn index(&mut self) -> Result<usize, String> {
        self.word()?.parse().map_err(|_| "a note's place is not a number".into())
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        // No bytes at all are written as `-`.
        match self.word()? {
            "-" => Ok(Vec::new()),
            text => base64::decode(text).ok_or_else(|| "a note's bytes are not Base64".into()),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let text = self.rest.trim_start().strip_prefix('"').ok_or("a note's text is not in quotes")?;
        let mut out = String::new();
        let mut chars = text.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &text[i + 1..];
                    return Ok(out);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some('u') => out.push(unicode(&mut chars).ok_or("a note's `\\u{…}` is no character")?),
                    Some(c) => out.push(c),
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err("a note's text has no closing `\"`".into())
    }
}

fn unicode(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let (_, '{') = chars.next()? else { return None };
    let mut code = 0u32;
    for _ in 0..7 {
        match chars.next()?.1 {
            '}' => return char::from_u32(code),
            c => code = code << 4 | c.to_digit(16)?,
        }
    }
    None
}

/// Appends a string in quotes such that a note can hold it: on one line, without control characters.
pub(super) fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The text of a note, without a line feed.
pub(super) fn print(kind: &Kind, out: &mut String) {
    let bytes =
        |b: &[u8], out: &mut String| if b.is_empty() { out.push('-') } else { base64::encode(b, out) };
    out.push_str("#@ ");
    match kind {
        Kind::Doc(s) => {
            out.push_str("doc ");
            quote(s, out);
        }
        Kind::Metadata(k, v) => {
            out.push_str("metadata ");
            quote(k, out);
            out.push(' ');
            quote(v, out);
        }
        Kind::No(field) => out.extend(["no ", field]),
        Kind::Set(field, s) => {
            out.extend([field, " "]);
            quote(s, out);
        }
        Kind::NodesDomain => out.push_str("nodes domain \"\""),
        Kind::Typed => out.push_str("typed"),
        Kind::Tensor(b) => {
            out.push_str("tensor ");
            bytes(b, out);
        }
        Kind::Type(b) => {
            out.push_str("type ");
            bytes(b, out);
        }
        Kind::Field(name, b) => {
            out.extend(["field ", name, " "]);
            bytes(b, out);
        }
        Kind::Attribute(i, b) => {
            let _ = write!(out, "attribute {i} ");
            bytes(b, out);
        }
        Kind::Initializer(i, b) => {
            let _ = write!(out, "initializer {i} ");
            bytes(b, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..9);
        prop_oneof![
            any::<String>().prop_map(Kind::Doc),
            (any::<String>(), any::<String>()).prop_map(|(k, v)| Kind::Metadata(k, v)),
            any::<String>().prop_map(|v| Kind::Set("name".into(), v)),
            bytes().prop_map(Kind::Tensor),
            bytes().prop_map(|b| Kind::Field("device_configurations".into(), b)),
            (any::<usize>(), bytes()).prop_map(|(i, b)| Kind::Attribute(i, b)),
            Just(Kind::Typed),
            Just(Kind::NodesDomain),
            Just(Kind::No("name".into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(kind in kinds()) {
            let mut out = String::new();
            print(&kind, &mut out);
            prop_assert!(!out.contains('\n'));
            prop_assert_eq!(parse(&out[2..]), Ok(kind));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
