//! What callers see: inputs, outputs, the model's own fields, functions.

use std::collections::HashMap;

use indexmap::IndexMap;
use onnx_pass_ir::{DataType, GraphId, Model, OpsetImport, Type, ValueId};

use super::matching::Sides;
use super::{BorderChange, Change, End, FieldChange, FunctionChange};
use crate::report::border;
use crate::structure::hash;

type Keys = HashMap<ValueId, String>;

/// The inputs of the main graph that a caller gives; before IR 4 weights stand among them.
fn inputs(m: &Model) -> Vec<ValueId> {
    m.graph(m.main()).inputs().iter().copied().filter(|v| m.constant(*v).is_none()).collect()
}

/// Keys of the main graphs' inputs: by name, those left over by type, and then, where there are as many on both
/// sides, by element type and rank; in order.
pub(super) fn input_keys(a: &Model, b: &Model) -> (Keys, Keys) {
    let key = |m: &Model, v: ValueId| format!("= {}", m.name(v));
    let (of_a, of_b) = (inputs(a), inputs(b));
    let mut keys: (Keys, Keys) =
        (of_a.iter().map(|v| (*v, key(a, *v))).collect(), of_b.iter().map(|v| (*v, key(b, *v))).collect());
    let known = |m: &Model, list: &[ValueId], v: &str| list.iter().any(|w| m.name(*w) == v);
    let mut left: Vec<ValueId> = of_a.iter().copied().filter(|v| !known(b, &of_b, a.name(*v))).collect();
    let mut open: Vec<ValueId> = of_b.iter().copied().filter(|v| !known(a, &of_a, b.name(*v))).collect();
    left.retain(|v| {
        let ty = border(a, *v).ty;
        let at = open.iter().position(|w| border(b, *w).ty == ty);
        if let Some(at) = at {
            keys.1.insert(open.remove(at), key(a, *v));
        }
        at.is_none()
    });
    for v in &left {
        let kind = kind(a, *v);
        let of_kind: Vec<ValueId> = open.iter().copied().filter(|w| self::kind(b, *w) == kind).collect();
        let same: Vec<&ValueId> = left.iter().filter(|v| self::kind(a, **v) == kind).collect();
        let place = same.iter().position(|w| *w == v);
        if let (true, Some(w)) = (same.len() == of_kind.len(), place.and_then(|k| of_kind.get(k))) {
            keys.1.insert(*w, key(a, *v));
        }
    }
    keys
}

/// Element type and rank.
fn kind(m: &Model, v: ValueId) -> (Option<DataType>, Option<usize>) {
    let ty = m.declared_type(v);
    (ty.and_then(Type::elem), ty.and_then(Type::dims).map(<[_]>::len))
}

/// The changes, and whether what stayed stands in another order.
pub(super) fn interface(s: &Sides<'_>) -> (Vec<BorderChange>, bool) {
    let mut out = Vec::new();
    let of_inputs = input_pairs(s);
    for (v, w) in &of_inputs {
        out.extend(change(s, End::Input, *v, *w));
    }
    let of_outputs = output_pairs(s);
    for (v, w) in &of_outputs {
        out.extend(change(s, End::Output, *v, *w));
    }
    let order = |list: Vec<ValueId>, pairs: &[(Option<ValueId>, Option<ValueId>)]| {
        let place = |w: ValueId| list.iter().position(|x| *x == w);
        let places: Vec<usize> = pairs.iter().filter_map(|(v, w)| v.and(*w).and_then(place)).collect();
        places.windows(2).any(|p| p[0] > p[1])
    };
    let reordered = order(inputs(s.b.m), &of_inputs) || order(outputs(s.b.m), &of_outputs);
    (out, reordered)
}

type Pairs = Vec<(Option<ValueId>, Option<ValueId>)>;

fn input_pairs(s: &Sides<'_>) -> Pairs {
    let partner: HashMap<&String, ValueId> = s.b.inputs.iter().map(|(v, key)| (key, *v)).collect();
    let of_a = inputs(s.a.m).into_iter();
    let mut out: Pairs =
        of_a.map(|v| (Some(v), s.a.inputs.get(&v).and_then(|key| partner.get(key)).copied())).collect();
    let taken: Vec<ValueId> = out.iter().filter_map(|(_, w)| *w).collect();
    out.extend(inputs(s.b.m).into_iter().filter(|w| !taken.contains(w)).map(|w| (None, Some(w))));
    out
}

fn outputs(m: &Model) -> Vec<ValueId> {
    m.graph(m.main()).outputs().iter().map(|o| o.value()).collect()
}

/// By name first, since an output's name is what callers know; then by what is computed.
fn output_pairs(s: &Sides<'_>) -> Pairs {
    let (of_a, of_b) = (outputs(s.a.m), outputs(s.b.m));
    let mut taken = vec![false; of_b.len()];
    let mut partners = vec![None; of_a.len()];
    let same_name = |v: ValueId, w: ValueId| s.a.m.name(v) == s.b.m.name(w);
    for matches in [&same_name as &dyn Fn(ValueId, ValueId) -> bool, &|v, w| s.same_value(v, w)] {
        for (v, partner) in of_a.iter().zip(&mut partners).filter(|(_, p)| p.is_none()) {
            if let Some(k) = (0..of_b.len()).find(|k| !taken[*k] && matches(*v, of_b[*k])) {
                taken[k] = true;
                *partner = Some(of_b[k]);
            }
        }
    }
    let mut out: Pairs = of_a.into_iter().map(Some).zip(partners).collect();
    out.extend(of_b.into_iter().zip(taken).filter(|(_, taken)| !taken).map(|(w, _)| (None, Some(w))));
    out
}

fn change(s: &Sides<'_>, end: End, v: Option<ValueId>, w: Option<ValueId>) -> Option<BorderChange> {
    let (x, y) = (v.map(|v| border(s.a.m, v)), w.map(|w| border(s.b.m, w)));
    let default = match (v, w) {
        (Some(v), Some(w)) => s.a.hashes.defaults.get(&v) != s.b.hashes.defaults.get(&w),
        _ => false,
    };
    let source = match (end, v, w) {
        (End::Output, Some(v), Some(w)) => s.rewired(v, w),
        _ => None,
    };
    if x == y && !default && source.is_none() {
        return None;
    }
    Some(BorderChange {
        end,
        before: x.as_ref().map(|x| x.name.clone()),
        after: y.as_ref().map(|y| y.name.clone()),
        type_before: x.map(|x| x.ty),
        type_after: y.map(|y| y.ty),
        default_changed: default,
        rewired: source,
    })
}

pub(super) fn header(a: &Model, b: &Model) -> Vec<FieldChange> {
    let (of_a, of_b) = (fields(a), fields(b));
    let all = of_a.keys().chain(of_b.keys().filter(|k| !of_a.contains_key(*k)));
    let changes = all.map(|k| FieldChange {
        field: k.clone(),
        before: of_a.get(k).cloned(),
        after: of_b.get(k).cloned(),
    });
    changes.filter(|c| c.before != c.after).collect()
}

fn fields(m: &Model) -> IndexMap<String, String> {
    let h = m.header();
    let mut out: IndexMap<String, String> = IndexMap::new();
    let mut put = |field: String, v: Option<String>| {
        out.extend(v.map(|v| (field, v)));
    };
    for OpsetImport { domain, version } in &h.opset_imports {
        let domain = domain.as_deref().filter(|d| !d.is_empty()).unwrap_or("ai.onnx");
        put(format!("opset {domain}"), version.map(|v| v.to_string()));
    }
    put("IR version".into(), h.ir_version.map(|v| v.to_string()));
    put("producer".into(), h.producer_name.as_ref().map(ToString::to_string));
    put("producer version".into(), h.producer_version.as_ref().map(ToString::to_string));
    put("domain".into(), h.domain.as_ref().map(ToString::to_string));
    put("model version".into(), h.model_version.map(|v| v.to_string()));
    put("doc string".into(), h.doc.as_ref().map(ToString::to_string));
    for (k, v) in &h.metadata {
        put(format!("metadata {k}"), Some(v.to_string()));
    }
    out
}

pub(super) fn functions(s: &Sides<'_>) -> Vec<FunctionChange> {
    let (a, b) = (s.a.m, s.b.m);
    let name = |(domain, name, overload): (&str, &str, &str)| {
        let overload = if overload.is_empty() { String::new() } else { format!(":{overload}") };
        if domain.is_empty() { format!("{name}{overload}") } else { format!("{domain}.{name}{overload}") }
    };
    let mut out = Vec::new();
    for (_, f) in a.functions() {
        let change = match b.functions().find(|(_, g)| g.key() == f.key()) {
            None => Some(Change::Removed),
            Some((_, g)) => {
                let (x, y) = (body(s.a.m, f.graph(), &s.a.hashes), body(s.b.m, g.graph(), &s.b.hashes));
                let same = x == y && f.attributes == g.attributes && f.opset_imports == g.opset_imports;
                (!same).then_some(Change::Changed)
            }
        };
        out.extend(change.map(|change| FunctionChange { name: name(f.key()), change }));
    }
    for (_, g) in b.functions().filter(|(_, g)| a.functions().all(|(_, f)| f.key() != g.key())) {
        out.push(FunctionChange { name: name(g.key()), change: Change::Added });
    }
    out
}

/// What a function's outputs compute.
fn body(m: &Model, g: GraphId, h: &hash::Hashes) -> (usize, Vec<hash::Hash>) {
    let outputs = m.graph(g).outputs().iter().map(|o| h.value[o.value().index()]);
    (m.graph(g).inputs().len(), outputs.collect())
}
