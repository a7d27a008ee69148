//! Encoding of the leaf messages.

use ecow::EcoString;

use super::encode::How;
use super::plan::Placed;
use super::rope::Rope;
use super::schema;
use super::wire::Fields;
use crate::model::{OpsetImport, ValueInfo};
use crate::tensor::{SparseTensor, Tensor, TensorData};
use crate::types::{Dim, TensorType, Type, TypeKind};

pub(crate) fn pair(rope: &mut Rope, number: u32, (key, value): &(EcoString, EcoString)) {
    let mark = rope.begin(number);
    rope.str(1, key);
    rope.str(2, value);
    rope.end(mark);
}

pub(crate) fn opset(rope: &mut Rope, number: u32, o: &OpsetImport) {
    let m = schema::OperatorSetId { domain: o.domain.as_ref().map(ToString::to_string), version: o.version };
    rope.message(number, &m);
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
    rope.int(2, i64::from(t.dtype.0));
    // `segment`, field 3, is among the rest.
    if placed.is_none() {
        typed(rope, t, 4..=5);
        if let TensorData::Strings(v) = &t.data {
            v.iter().for_each(|s| rope.shared(6, s));
        }
        typed(rope, t, 7..=7);
    }
    rope.opt_str(8, name.or(t.name.as_deref()));
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
    for p in &t.metadata {
        pair(rope, 16, p);
    }
    match placed {
        Some(_) => rope.raw(&without_location(&t.rest)),
        None => rope.raw(&t.rest),
    }
    rope.end(mark);
}

fn external(rope: &mut Rope, entries: &[(EcoString, EcoString)]) {
    entries.iter().for_each(|p| pair(rope, 13, p));
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

/// The unknown fields without an explicit `data_location`, which no longer holds.
fn without_location(rest: &[u8]) -> Vec<u8> {
    let (mut out, mut fields) = (Vec::new(), Fields::new(rest));
    while let Ok(Some(f)) = fields.next() {
        if f.number != 14 {
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

pub(crate) fn value_info(rope: &mut Rope, number: u32, name: &str, info: &ValueInfo, how: How<'_>) {
    if how.verbatim && !info.src.is_empty() && info.src_name == name {
        rope.field_at(number, info.src);
        return;
    }
    let mark = rope.begin(number);
    rope.str(1, name);
    match info.ty.as_deref() {
        Some(d) if how.verbatim && !d.src.is_empty() => rope.splice(&d.src),
        Some(d) => ty(rope, 2, &d.ty),
        None => {}
    }
    let rare = info.rare();
    rope.opt_str(3, rare.doc.as_deref());
    for p in &rare.metadata {
        pair(rope, 4, p);
    }
    rope.raw(&rare.rest);
    rope.end(mark);
}

pub(crate) fn ty(rope: &mut Rope, number: u32, t: &Type) {
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
        TypeKind::Tensor(x) => tensor_type(rope, 1, x),
        TypeKind::SparseTensor(x) => tensor_type(rope, 8, x),
        TypeKind::Sequence(x) => inner(rope, 4, x.as_deref()),
        TypeKind::Optional(x) => inner(rope, 9, x.as_deref()),
        TypeKind::Map { key, value } => {
            let mark = rope.begin(5);
            rope.int(1, i64::from(key.0));
            if let Some(v) = value {
                ty(rope, 2, v);
            }
            rope.end(mark);
        }
        TypeKind::Opaque { domain, name } => {
            let mark = rope.begin(7);
            rope.opt_str(1, domain.as_deref());
            rope.opt_str(2, name.as_deref());
            rope.end(mark);
        }
        TypeKind::None => {}
    }
    if !denote_first {
        rope.opt_str(6, t.denotation.as_deref());
    }
    rope.end(mark);
}

fn inner(rope: &mut Rope, number: u32, t: Option<&Type>) {
    let mark = rope.begin(number);
    if let Some(t) = t {
        ty(rope, 1, t);
    }
    rope.end(mark);
}

fn tensor_type(rope: &mut Rope, number: u32, t: &TensorType) {
    let mark = rope.begin(number);
    rope.int(1, i64::from(t.elem.0));
    if let Some(shape) = &t.shape {
        let mark = rope.begin(2);
        for (i, d) in shape.dims.iter().enumerate() {
            let mark = rope.begin(1);
            match d {
                Dim::Known(n) => rope.int(1, *n),
                Dim::Symbol(s) => rope.str(2, s),
                Dim::Unknown => {}
            }
            rope.opt_str(3, shape.denotations.get(i).and_then(|d| d.as_deref()));
            rope.end(mark);
        }
        rope.end(mark);
    }
    rope.end(mark);
}
