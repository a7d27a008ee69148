//! Encoding of the leaf messages.

use super::encode::How;
use super::plan::Placed;
use super::rope::Rope;
use super::wire::{Fields, all_within, within};
use crate::DataType;
use crate::model::{Metadata, Odd, OpsetImport, ValueInfo};
use crate::tensor::{SparseTensor, Tensor, TensorData};
use crate::types::{Dim, Shape, TensorType, Type, TypeKind};

pub(crate) fn pairs(rope: &mut Rope, number: u32, list: &Metadata) {
    for ((key, value), message) in list.messages() {
        if let Some(message) = message {
            rope.bytes(number, message);
            continue;
        }
        let mark = rope.begin(number);
        rope.str(1, key);
        rope.str(2, value);
        rope.end(mark);
    }
}

pub(crate) fn opsets(rope: &mut Rope, number: u32, list: &[OpsetImport], odd: &Odd<OpsetImport>) {
    for (o, rest) in odd.along(list) {
        let mark = rope.begin(number);
        rope.opt_str(1, o.domain.as_deref());
        if let Some(v) = o.version {
            rope.int(2, v);
        }
        rope.raw(rest.unwrap_or_default());
        rope.end(mark);
    }
}

/// A text that its message should have. An empty one is there only if a field says so, which is among the [`rest`].
pub(crate) fn said_str(rope: &mut Rope, number: u32, text: &str) {
    rope.opt_str(number, Some(text).filter(|t| !t.is_empty()));
}

/// The fields that are kept of a message. Of those with a true beside their number something was written, and what
/// says nothing in its place goes.
pub(crate) fn rest(rope: &mut Rope, kept: &[u8], said: &[(u32, bool)]) {
    if kept.is_empty() || said.iter().all(|(_, said)| !said) {
        return rope.raw(kept);
    }
    let mut fields = Fields::new(kept);
    while let Ok(Some(f)) = fields.next() {
        if !said.contains(&(f.number, true)) {
            rope.raw(f.whole);
        }
    }
}

/// A tensor; `name` is the initializer's, `None` keeps the tensor's own.
pub(crate) fn tensor(rope: &mut Rope, number: u32, t: &Tensor, name: Option<&str>, how: How<'_>) {
    let renamed = name.is_some_and(|n| t.name.as_deref().unwrap_or("") != n);
    let placed = how.plan.of(t);
    if how.verbatim && placed.is_none() && !renamed && !t.src.is_empty() {
        rope.field(number, &t.src);
        return;
    }
    let mark = rope.begin(number);
    for d in &t.dims {
        rope.int(1, *d);
    }
    if t.dtype != DataType::UNDEFINED {
        rope.int(2, i64::from(t.dtype.0));
    }
    // `segment`, field 3, is among the rest.
    if placed.is_none() {
        typed(rope, t, 4..=5);
        if let TensorData::Strings(v) = &t.data {
            v.iter().for_each(|s| rope.shared(6, s));
        }
        typed(rope, t, 7..=7);
    }
    rope.opt_str(8, name.filter(|n| !n.is_empty()).or(t.name.as_deref()));
    match (placed, &t.data) {
        (Some(Placed::Inside { file, range }), _) => rope.file(9, file, range.clone()),
        (None, TensorData::Raw(raw)) => rope.shared(9, raw),
        _ => {}
    }
    if placed.is_none() {
        typed(rope, t, 10..=11);
    }
    rope.opt_str(12, t.doc.as_deref());
    match (placed, &t.data) {
        (Some(Placed::At(entries)), _) => external(rope, entries),
        (None, TensorData::External(e)) => external(rope, &e.entries),
        _ => {}
    }
    pairs(rope, 16, &t.metadata);
    let said = [(2, t.dtype != DataType::UNDEFINED)];
    match placed {
        Some(_) => rest(rope, &without_contents(&t.rest), &said),
        None => rest(rope, &t.rest, &said),
    }
    rope.end(mark);
}

fn external(rope: &mut Rope, entries: &Metadata) {
    pairs(rope, 13, entries);
    rope.int(14, 1);
}

/// The typed data fields of a tensor whose numbers lie in `range`.
fn typed(rope: &mut Rope, t: &Tensor, range: std::ops::RangeInclusive<u8>) {
    if let TensorData::Typed(data) = &t.data {
        for f in &data.fields {
            if f.first().is_some_and(|b| range.contains(&(b >> 3))) {
                rope.splice(f);
            }
        }
    }
}

/// The fields that are kept, without those that tell of contents, or of their place, which no longer hold.
pub(crate) fn without_contents(rest: &[u8]) -> Vec<u8> {
    let (mut out, mut fields) = (Vec::new(), Fields::new(rest));
    while let Ok(Some(f)) = fields.next() {
        if !matches!(f.number, 4..=7 | 9..=11 | 13 | 14) {
            out.extend_from_slice(f.whole);
        }
    }
    out
}

pub(crate) fn sparse_tensor(
    rope: &mut Rope,
    number: u32,
    t: &SparseTensor,
    name: Option<&str>,
    how: How<'_>,
) {
    let renamed = name.is_some_and(|n| t.values.name.as_deref().unwrap_or("") != n);
    let placed = how.plan.of(&t.values).or(t.indices.as_deref().and_then(|i| how.plan.of(i)));
    if how.verbatim && placed.is_none() && !renamed && !t.src.is_empty() {
        rope.field(number, &t.src);
        return;
    }
    let mark = rope.begin(number);
    tensor(rope, 1, &t.values, name, how);
    if let Some(i) = &t.indices {
        tensor(rope, 2, i, None, how);
    }
    for d in &t.dims {
        rope.int(3, *d);
    }
    rope.raw(&t.rest);
    rope.end(mark);
}

/// Whether a `ValueInfoProto` has this name, so that it may be written as it stands.
fn is_named(field: &[u8], name: &str) -> bool {
    let Ok(Some(field)) = Fields::new(field).next() else { return false };
    let mut fields = Fields::new(field.len().unwrap_or_default());
    let mut found: &[u8] = &[];
    while let Ok(Some(f)) = fields.next() {
        if let (1, Ok(text)) = (f.number, f.len()) {
            found = text;
        }
    }
    found == name.as_bytes()
}

pub(crate) fn value_info(rope: &mut Rope, number: u32, name: &str, info: &ValueInfo, how: How<'_>) {
    if how.verbatim && is_named(rope.source(info.src), name) {
        rope.field_at(number, info.src);
        return;
    }
    let mark = rope.begin(number);
    said_str(rope, 1, name);
    match info.ty.as_deref() {
        Some(d) if how.verbatim && !d.src.is_empty() => rope.splice(&d.src),
        Some(d) => ty(rope, 2, &d.ty, &d.odd),
        None => {}
    }
    let rare = info.rare();
    rope.opt_str(3, rare.doc.as_deref());
    pairs(rope, 4, &rare.metadata);
    rest(rope, &rare.rest, &[(1, !name.is_empty())]);
    rope.end(mark);
}

/// A type. What the schema does not know in `like`, the message that it was read from or that stood here before,
/// is kept in each message that both have.
pub(crate) fn ty(rope: &mut Rope, number: u32, t: &Type, like: &[u8]) {
    let mark = rope.begin(number);
    // `denotation` is field 6; the cases of the union stand before and after it.
    let denote_first = matches!(
        t.kind,
        TypeKind::Opaque { .. } | TypeKind::SparseTensor(_) | TypeKind::Optional(_) | TypeKind::None
    );
    if denote_first {
        rope.opt_str(6, t.denotation.as_deref());
    }
    match &t.kind {
        TypeKind::Tensor(x) => tensor_type(rope, 1, x, within(like, 1)),
        TypeKind::SparseTensor(x) => tensor_type(rope, 8, x, within(like, 8)),
        TypeKind::Sequence(x) => inner(rope, 4, x.as_deref(), within(like, 4)),
        TypeKind::Optional(x) => inner(rope, 9, x.as_deref(), within(like, 9)),
        TypeKind::Map { key, value } => {
            let like = within(like, 5);
            let mark = rope.begin(5);
            elem(rope, *key, like);
            if let Some(v) = value {
                ty(rope, 2, v, within(like, 2));
            }
            unknown(rope, like, &[1, 2]);
            rope.end(mark);
        }
        TypeKind::Opaque { domain, name } => {
            let mark = rope.begin(7);
            rope.opt_str(1, domain.as_deref());
            rope.opt_str(2, name.as_deref());
            unknown(rope, within(like, 7), &[1, 2]);
            rope.end(mark);
        }
        TypeKind::None => {}
    }
    if !denote_first {
        rope.opt_str(6, t.denotation.as_deref());
    }
    unknown(rope, like, &[1, 4, 5, 6, 7, 8, 9]);
    rope.end(mark);
}

/// The fields of `like` that the schema does not know.
fn unknown(rope: &mut Rope, like: &[u8], known: &[u32]) {
    let mut fields = Fields::new(like);
    while let Ok(Some(f)) = fields.next() {
        if !known.contains(&f.number) {
            rope.raw(f.whole);
        }
    }
}

fn inner(rope: &mut Rope, number: u32, t: Option<&Type>, like: &[u8]) {
    let mark = rope.begin(number);
    if let Some(t) = t {
        ty(rope, 1, t, within(like, 1));
    }
    unknown(rope, like, &[1]);
    rope.end(mark);
}

/// An element type. An undefined one is there only if a field of `like` says so.
fn elem(rope: &mut Rope, elem: DataType, like: &[u8]) {
    if elem != DataType::UNDEFINED {
        rope.int(1, i64::from(elem.0));
        return;
    }
    let mut fields = Fields::new(like);
    let fields = std::iter::from_fn(|| fields.next().ok().flatten());
    if fields.filter(|f| f.number == 1).last().is_some_and(|f| f.int32().is_ok_and(|n| n == 0)) {
        rope.int(1, 0);
    }
}

fn tensor_type(rope: &mut Rope, number: u32, t: &TensorType, like: &[u8]) {
    let mark = rope.begin(number);
    elem(rope, t.elem, like);
    if let Some(s) = &t.shape {
        shape(rope, 2, s, within(like, 2));
    }
    unknown(rope, like, &[1, 2]);
    rope.end(mark);
}

fn shape(rope: &mut Rope, number: u32, shape: &Shape, like: &[u8]) {
    let mark = rope.begin(number);
    // Of another rank, its dims are not these.
    let same_rank = all_within(like, 1).count() == shape.dims.len();
    let mut likes = all_within(if same_rank { like } else { &[] }, 1);
    for (i, d) in shape.dims.iter().enumerate() {
        let mark = rope.begin(1);
        match d {
            Dim::Known(n) => rope.int(1, *n),
            Dim::Symbol(s) => rope.str(2, s),
            Dim::Unknown => {}
        }
        rope.opt_str(3, shape.denotations.get(i).and_then(|d| d.as_deref()));
        unknown(rope, likes.next().unwrap_or(&[]), &[1, 2, 3]);
        rope.end(mark);
    }
    unknown(rope, like, &[1]);
    rope.end(mark);
}
