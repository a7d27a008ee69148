//! How the syntax writes names, strings, numbers and types.

use std::fmt::Write;

use super::leaf::is_type_word;
use super::lex::is_float_word;
use crate::types::{Dim, TensorType, Type, TypeKind};

pub(super) fn is_ident(s: &str) -> bool {
    s.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a graph in an attribute can have this name: a quoted one would be a string, a type's one a type, and
/// the official parser takes what begins with the letters of `inf` or `nan` for a float.
pub(super) fn is_subgraph_name(s: &str) -> bool {
    let letters = s.len() - s.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    is_ident(s) && !is_type_word(s) && !is_float_word(&s[..letters])
}

/// Dotted identifiers, as a domain before an operator must be.
pub(super) fn is_dotted(s: &str) -> bool {
    s.split('.').all(is_ident)
}

/// Appends a string in quotes.
pub(super) fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Appends a name: bare where it can be.
pub(super) fn name(s: &str, out: &mut String) {
    if is_ident(s) && !is_type_word(s) { out.push_str(s) } else { quote(s, out) }
}

/// Appends a float: its shortest decimal form. Gives false for a NaN with a payload, whose bits are lost.
pub(super) fn float(v: f32, out: &mut String) -> bool {
    if v.is_nan() {
        out.push_str(if v.is_sign_negative() { "-nan" } else { "nan" });
        return v.to_bits() & 0x7fff_ffff == 0x7fc0_0000;
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "{v:?}");
    true
}

/// As [`float`].
pub(super) fn double(v: f64, out: &mut String) -> bool {
    if v.is_nan() {
        out.push_str(if v.is_sign_negative() { "-nan" } else { "nan" });
        return v.to_bits() & (u64::MAX >> 1) == 0x7ff8_0000_0000_0000;
    }
    let _ = write!(out, "{v:?}");
    true
}

/// Appends a type; `None` when the syntax cannot say it all, and `out` is then of no use.
pub(super) fn ty(t: &Type, out: &mut String) -> Option<()> {
    if t.denotation.is_some() {
        return None;
    }
    match &t.kind {
        TypeKind::Tensor(t) => tensor_type(t, out)?,
        TypeKind::SparseTensor(t) => {
            out.push_str("sparse_tensor(");
            tensor_type(t, out)?;
            out.push(')');
        }
        TypeKind::Sequence(Some(e)) | TypeKind::Optional(Some(e)) => {
            out.push_str(if matches!(t.kind, TypeKind::Sequence(_)) { "seq(" } else { "optional(" });
            ty(e, out)?;
            out.push(')');
        }
        TypeKind::Map { key, value: Some(value) } => {
            out.push_str("map(");
            out.push_str(key.name().filter(|_| key.0 != 0)?);
            out.push_str(", ");
            ty(value, out)?;
            out.push(')');
        }
        TypeKind::Opaque { domain: None, name: None } => out.push_str("opaque()"),
        TypeKind::Opaque { domain: None, name: Some(n) } if is_dotted(n) => {
            out.extend(["opaque(", n, ")"]);
        }
        TypeKind::Opaque { domain: Some(d), name: Some(n) } if is_dotted(d) && is_ident(n) => {
            out.extend(["opaque(", d, ", ", n, ")"]);
        }
        _ => return None,
    }
    Some(())
}

fn tensor_type(t: &TensorType, out: &mut String) -> Option<()> {
    out.push_str(t.elem.name().filter(|_| t.elem.0 != 0)?);
    match &t.shape {
        None => out.push_str("[]"),
        Some(s) if !s.denotations.is_empty() => return None,
        Some(s) => dims(&s.dims, out),
    }
    Some(())
}

/// Appends the dims of a known rank.
pub(super) fn dims(dims: &[Dim], out: &mut String) {
    let mut separator = '[';
    for d in dims {
        out.push(separator);
        separator = ',';
        match d {
            Dim::Known(n) => {
                let _ = write!(out, "{n}");
            }
            Dim::Symbol(s) if is_ident(s) => out.push_str(s),
            Dim::Symbol(s) => quote(s, out),
            Dim::Unknown => out.push('?'),
        }
    }
    if !dims.is_empty() {
        out.push(']');
    }
}
