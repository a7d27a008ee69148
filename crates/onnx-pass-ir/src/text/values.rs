//! The model as text: tensors and attributes.

use std::fmt::Write;

use super::leaf::{ATTRIBUTE, ATTRIBUTE_TYPES, TENSOR};
use super::notes::Kind;
use super::print::{Printer, common, type_text};
use super::{Weights, words};
use crate::error::Result;
use crate::{AttrValue, Attribute, DataType, GraphId, Metadata, Tensor, TensorData};

/// A tensor in pieces: `ty name = contents  # comment`.
#[derive(Debug, Default)]
pub(super) struct TensorText {
    pub notes: Vec<Kind>,
    pub ty: String,
    pub name: Option<String>,
    pub contents: String,
    pub comment: Option<String>,
}

/// An attribute that the syntax can carry, with what goes before it.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub notes: Vec<Kind>,
    /// Up to the `=`, or all of it.
    pub head: String,
    pub tensor: Option<TensorText>,
    pub graph: Option<GraphId>,
}

impl Prepared {
    /// Whether it cannot stand on one line with others.
    pub fn needs_lines(&self, notes: bool) -> bool {
        let of_tensor = |t: &TensorText| t.comment.is_some() || (notes && !t.notes.is_empty());
        self.graph.is_some()
            || (notes && !self.notes.is_empty())
            || self.tensor.as_ref().is_some_and(of_tensor)
    }

    /// The whole of one that needs no lines.
    pub fn line(&self) -> String {
        let Some(t) = &self.tensor else { return self.head.clone() };
        let name = t.name.as_ref().map(|n| format!(" {n}")).unwrap_or_default();
        let equals = if t.contents.starts_with('{') { "" } else { " =" };
        format!("{} {}{name}{equals} {}", self.head, t.ty, t.contents)
    }
}

/// Whether the syntax has a type for the tensor.
pub(super) fn has_type(t: &Tensor) -> bool {
    t.dtype != DataType::UNDEFINED && t.dtype.name().is_some() && t.len().is_ok()
}

impl Printer<'_> {
    /// A tensor that [`has_type`]; `name` is the initializer's.
    pub fn tensor(&mut self, t: &Tensor, name: Option<&str>) -> Result<TensorText> {
        let mut text = TensorText { notes: common(&t.doc, &t.metadata, TENSOR), ..TensorText::default() };
        text.ty.push_str(t.dtype.name().unwrap_or("undefined"));
        words::dims(&t.dims.iter().map(|d| crate::Dim::Known(*d)).collect::<Vec<_>>(), &mut text.ty);
        if let (None, Some(own)) = (name, &t.name) {
            if words::is_ident(own) {
                text.name = Some(own.to_string());
            } else {
                text.notes.push(Kind::Set("name".into(), own.to_string()));
            }
        }
        if !t.rest.is_empty() {
            text.notes.push(Kind::Field("unknown".into(), t.rest.to_vec()));
        }
        if !self.contents_of(t, &mut text) {
            text.notes = vec![Kind::Tensor(self.parts.tensor(t, name)?)];
        }
        Ok(text)
    }

    /// Fills in the contents; false when the syntax cannot carry them.
    fn contents_of(&self, t: &Tensor, text: &mut TensorText) -> bool {
        let out = &mut text.contents;
        match &t.data {
            TensorData::External(e) if !e.entries.is_plain() => false,
            TensorData::External(e) => {
                external(e.entries.iter().map(|(k, v)| (k.as_str(), v.as_str())), out);
                true
            }
            TensorData::None => {
                if t.dtype == DataType::STRING && t.is_empty() {
                    out.push_str("{}");
                }
                true
            }
            TensorData::Strings(list) => t.dtype == DataType::STRING && strings(list, t, out),
            TensorData::Raw(_) | TensorData::Typed(_) => {
                let Ok(bytes) = t.bytes() else { return false };
                if matches!(t.data, TensorData::Typed(_)) {
                    text.notes.push(Kind::Typed);
                }
                if self.is_inline(bytes.len()) {
                    return values(t.dtype, &bytes, out);
                }
                if let Weights::Hashed { .. } = self.options.weights {
                    text.comment = Some(format!("{} of {} bytes", short_hash(&bytes), bytes.len()));
                    return true;
                }
                match self.place_in_source(&bytes) {
                    Some((file, offset)) if matches!(t.data, TensorData::Raw(_)) => {
                        let (offset, length) = (offset.to_string(), bytes.len().to_string());
                        let entries = [("location", file.as_str()), ("offset", &offset), ("length", &length)];
                        external(entries.into_iter(), out);
                        true
                    }
                    _ => values(t.dtype, &bytes, out),
                }
            }
        }
    }

    /// The model's file name and the offset of `bytes` in it, when they lie there.
    fn place_in_source(&self, bytes: &[u8]) -> Option<(String, usize)> {
        let source = self.m.source()?;
        let name = source.path()?.file_name()?.to_str()?;
        let offset = (bytes.as_ptr() as usize).checked_sub(source.bytes().as_ptr() as usize)?;
        (offset.checked_add(bytes.len())? <= source.len()).then(|| (name.to_string(), offset))
    }

    /// An attribute in pieces; `None` when the syntax cannot carry it.
    pub fn prepare(&mut self, a: &Attribute) -> Result<Option<Prepared>> {
        if !words::is_ident(&a.name) {
            return Ok(None);
        }
        let mut p = Prepared { notes: common(&a.doc, &Metadata::new(), ATTRIBUTE), ..Prepared::default() };
        if !a.rest.is_empty() {
            p.notes.push(Kind::Field("unknown".into(), a.rest.to_vec()));
        }
        let absent = self.parts.absent(a);
        let absent = [(absent.kind, "type"), (absent.value, "value")];
        p.notes.extend(absent.into_iter().filter(|a| a.0).map(|(_, field)| Kind::No(field.into())));
        let mut head = format!("{} = ", a.name);
        let carried = match &a.value {
            AttrValue::Float(v) => words::float(*v, &mut head),
            AttrValue::Int(v) => write!(head, "{v}").is_ok(),
            AttrValue::String(s) => string(s, &mut head),
            AttrValue::Floats(v) if !v.is_empty() => list(v, &mut head, |v, out| words::float(*v, out)),
            AttrValue::Ints(v) if !v.is_empty() => list(v, &mut head, |v, out| write!(out, "{v}").is_ok()),
            AttrValue::Strings(v) if !v.is_empty() => list(v, &mut head, |s, out| string(s, out)),
            AttrValue::Type(t) if !self.parts.has_odd_type(a) => {
                type_text(t).map(|t| head.push_str(&t)).is_some()
            }
            AttrValue::Tensor(t) if has_type(t) => {
                head.truncate(head.len() - 1);
                p.tensor = Some(self.tensor(t, None)?);
                true
            }
            AttrValue::Graph(g) => {
                head.truncate(head.len() - 1);
                p.graph = Some(*g);
                true
            }
            AttrValue::Ref { name, kind } => reference(&a.name, name, *kind, &mut head),
            other => empty_list(&a.name, other, &mut head),
        };
        p.head = head;
        Ok(carried.then_some(p))
    }
}

fn type_name(kind: i32) -> Option<&'static str> {
    ATTRIBUTE_TYPES.get(usize::try_from(kind.checked_sub(1)?).ok()?).copied()
}

/// `name: ints = @outer`.
fn reference(name: &str, outer: &str, kind: i32, head: &mut String) -> bool {
    if kind != 0 {
        let Some(kind) = type_name(kind) else { return false };
        *head = format!("{name}: {kind} = ");
    }
    head.push('@');
    words::name(outer, head);
    true
}

/// `name: ints = []`; false for what is no empty list.
fn empty_list(name: &str, v: &AttrValue, head: &mut String) -> bool {
    let empty = match v {
        AttrValue::Floats(v) => v.is_empty(),
        AttrValue::Ints(v) => v.is_empty(),
        AttrValue::Strings(v) => v.is_empty(),
        AttrValue::Tensors(v) => v.is_empty(),
        AttrValue::Graphs(v) => v.is_empty(),
        AttrValue::SparseTensors(v) => v.is_empty(),
        AttrValue::Types(v) => v.is_empty(),
        _ => false,
    };
    match type_name(v.kind()) {
        Some(kind) if empty => {
            *head = format!("{name}: {kind} = []");
            true
        }
        _ => false,
    }
}

fn string(s: &[u8], out: &mut String) -> bool {
    std::str::from_utf8(s).map(|s| words::quote(s, out)).is_ok()
}

fn list<T>(items: &[T], out: &mut String, mut each: impl FnMut(&T, &mut String) -> bool) -> bool {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if !each(item, out) {
            return false;
        }
    }
    out.push(']');
    true
}

fn external<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>, out: &mut String) {
    out.push('[');
    for (i, (k, v)) in entries.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        words::quote(k, out);
        out.push_str(": ");
        words::quote(v, out);
    }
    out.push(']');
}

fn strings(items: &[bytes::Bytes], t: &Tensor, out: &mut String) -> bool {
    if t.len().ok() != Some(items.len()) {
        return false;
    }
    out.push('{');
    for (i, s) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if !string(s, out) {
            out.clear();
            return false;
        }
    }
    out.push('}');
    true
}

/// The values in braces; false when a NaN's payload is lost.
fn values(dtype: DataType, raw: &[u8], out: &mut String) -> bool {
    let mut exact = true;
    out.reserve(raw.len() * 2);
    out.push('{');
    match dtype {
        DataType::FLOAT | DataType::COMPLEX64 => each(raw, out, |b, out| {
            exact &= words::float(f32::from_le_bytes(b), out);
            whole(out);
        }),
        DataType::DOUBLE | DataType::COMPLEX128 => each(raw, out, |b, out| {
            exact &= words::double(f64::from_le_bytes(b), out);
            whole(out);
        }),
        DataType::INT64 => each(raw, out, |b, out| show(i64::from_le_bytes(b), out)),
        DataType::INT32 => each(raw, out, |b, out| show(i32::from_le_bytes(b), out)),
        DataType::INT16 => each(raw, out, |b, out| show(i16::from_le_bytes(b), out)),
        DataType::INT8 => each(raw, out, |b: [u8; 1], out| show(b[0] as i8, out)),
        DataType::UINT64 => each(raw, out, |b, out| show(u64::from_le_bytes(b), out)),
        DataType::UINT32 => each(raw, out, |b, out| show(u32::from_le_bytes(b), out)),
        _ if dtype.bits() == Some(16) => each(raw, out, |b, out| show(u16::from_le_bytes(b), out)),
        _ => each(raw, out, |b: [u8; 1], out| show(b[0], out)),
    }
    out.push('}');
    exact
}

fn each<const N: usize>(raw: &[u8], out: &mut String, mut one: impl FnMut([u8; N], &mut String)) {
    for (i, c) in raw.as_chunks::<N>().0.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        one(*c, out);
    }
}

fn show(v: impl std::fmt::Display, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{v}");
}

/// Among a tensor's values a whole number needs no point.
fn whole(out: &mut String) {
    if out.ends_with(".0") {
        out.truncate(out.len() - 2);
    }
}

/// The beginning of the BLAKE3 hash of a tensor's contents.
fn short_hash(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes).to_hex();
    format!("blake3 {}", &hash[..16])
}
