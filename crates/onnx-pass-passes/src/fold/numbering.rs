//! Value numbering: of two values that are equal in every run the first does for both.
//!
//! Two values are equal when the same operator computes them from equal operands, and, for the small integer
//! tensors of shape arithmetic, when their symbolic contents are the same, however they came to be.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{AttrValue, DataType, GraphId, Model, NodeId, ValueId};
use rustc_hash::{FxHashMap, FxHasher};

use super::constants::is_pure;
use crate::analysis::Analysis;
use crate::pass::PassError;

/// Constants of at most this many bytes are merged by contents.
const SMALL: usize = 256;

type Contents = (DataType, Arc<[Expr]>, Arc<[Option<Expr>]>);

/// Merges equal values of one graph; gives how many nodes became idle.
pub fn merge(m: &mut Model, a: &Analysis, g: GraphId) -> Result<u64, PassError> {
    merge_constants(m, g)?;
    let mut by_contents: FxHashMap<Contents, ValueId> = FxHashMap::default();
    // A node that read another's result reads its twin's now, so a node in the table may hash otherwise than when it was
    // entered: the hash stands beside it.
    let mut by_op: HashTable<(u64, NodeId)> = HashTable::with_capacity(m.graph(g).node_count());
    let mut merged = 0;
    for &v in m.graph(g).inputs() {
        if let Some(key) = contents(a, v) {
            by_contents.entry(key).or_insert(v);
        }
    }
    for n in m.node_ids(g) {
        if !m.is_live_node(n) || !is_pure(m, n) || m.node(n).has_subgraphs() {
            continue;
        }
        if m.constant_node(n).is_some() {
            continue;
        }
        if let Some(first) = twin(m, a, n, &mut by_contents) {
            merged += u64::from(replace(m, n, 0, first)?);
            continue;
        }
        let Some(key) = hash(m, n) else { continue };
        match by_op.find(key, |(k, other)| *k == key && same(m, *other, n)).map(|(_, first)| *first) {
            None => {
                by_op.insert_unique(key, (key, n), |(k, _)| *k);
            }
            Some(first) => {
                for k in 0..m.node(n).outputs().len() {
                    if let Some(other) = m.node(first).output(k) {
                        merged += u64::from(replace(m, n, k, other)?);
                    }
                }
            }
        }
    }
    Ok(merged)
}

fn replace(m: &mut Model, n: NodeId, k: usize, by: ValueId) -> Result<bool, PassError> {
    let Some(old) = m.node(n).output(k) else { return Ok(false) };
    // A graph output keeps its own node where taking the other's value would need an Identity.
    let is_output =
        |v: ValueId| m.value(v).uses().iter().any(|u| matches!(u, onnx_pass_ir::Use::Output { .. }));
    if old == by || m.is_unused(old) || is_output(old) {
        return Ok(false);
    }
    m.replace_value(old, by)?;
    Ok(true)
}

/// An earlier value with the same symbolic contents.
fn twin(m: &Model, a: &Analysis, n: NodeId, seen: &mut FxHashMap<Contents, ValueId>) -> Option<ValueId> {
    let [Some(v)] = m.node(n).outputs() else { return None };
    let key = contents(a, *v)?;
    match seen.get(&key) {
        Some(first) => Some(*first),
        None => {
            seen.insert(key, *v);
            None
        }
    }
}

fn contents(a: &Analysis, v: ValueId) -> Option<Contents> {
    let f = a.fact(v);
    let items = f.items.as_ref().filter(|i| i.iter().all(Option::is_some))?;
    Some((f.dtype?, f.shape.clone()?, items.clone()))
}

/// Small initializers of the same contents become one.
fn merge_constants(m: &mut Model, g: GraphId) -> Result<(), PassError> {
    let mut seen: FxHashMap<(DataType, Vec<i64>, bytes::Bytes), ValueId> = FxHashMap::default();
    let mut dead = Vec::new();
    for v in m.graph(g).initializers().to_vec() {
        let Some(t) = m.constant(v) else { continue };
        if t.byte_len().is_none_or(|n| n > SMALL) || t.is_external() {
            continue;
        }
        let Ok(raw) = t.bytes() else { continue };
        let key = (t.dtype, t.dims.to_vec(), raw);
        match seen.get(&key) {
            None => {
                seen.insert(key, v);
            }
            Some(first) => {
                let outputs = m.value(v).uses().iter().any(|u| matches!(u, onnx_pass_ir::Use::Output { .. }));
                m.replace_uses(v, *first);
                if !outputs && m.is_unused(v) {
                    dead.push(v);
                }
            }
        }
    }
    dead.retain(|v| m.value(*v).def() == onnx_pass_ir::Def::Initializer);
    if !dead.is_empty() {
        m.remove_initializers(&dead)?;
    }
    Ok(())
}

/// A hash of what a node computes: its operator's name, operands and attributes. `None` for attributes that are not
/// compared (graphs, large tensors).
fn hash(m: &Model, n: NodeId) -> Option<u64> {
    let node = m.node(n);
    let mut h = FxHasher::default();
    (node.op_type(), node.inputs()).hash(&mut h);
    // The order of attributes means nothing.
    let mut attributes = 0u64;
    for at in node.attributes() {
        let mut one = FxHasher::default();
        (at.name.as_str(), at.value.kind()).hash(&mut one);
        match &at.value {
            AttrValue::Float(x) => x.to_bits().hash(&mut one),
            AttrValue::Int(x) => x.hash(&mut one),
            AttrValue::String(x) => x.hash(&mut one),
            AttrValue::Floats(x) => x.iter().for_each(|f| f.to_bits().hash(&mut one)),
            AttrValue::Ints(x) => x.hash(&mut one),
            AttrValue::Strings(x) => x.hash(&mut one),
            AttrValue::Tensor(t) => {
                t.byte_len().filter(|n| *n <= SMALL)?;
                t.dims.hash(&mut one);
            }
            AttrValue::Ref { name, .. } => name.hash(&mut one),
            _ => return None,
        }
        attributes = attributes.wrapping_add(one.finish());
    }
    attributes.hash(&mut h);
    Some(h.finish())
}

/// Whether two nodes compute the same.
fn same(m: &Model, a: NodeId, b: NodeId) -> bool {
    let (a, b) = (m.node(a), m.node(b));
    a.op_type() == b.op_type()
        && a.domain() == b.domain()
        && a.overload() == b.overload()
        && a.inputs() == b.inputs()
        && a.outputs().len() == b.outputs().len()
        && a.attributes().len() == b.attributes().len()
        && a.attributes()
            .iter()
            .all(|x| b.attribute(&x.name).is_some_and(|y| same_attribute(&x.value, &y.value)))
}

fn same_attribute(a: &AttrValue, b: &AttrValue) -> bool {
    let bits = |v: &[f32]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
    match (a, b) {
        (AttrValue::Float(a), AttrValue::Float(b)) => a.to_bits() == b.to_bits(),
        (AttrValue::Int(a), AttrValue::Int(b)) => a == b,
        (AttrValue::String(a), AttrValue::String(b)) => a == b,
        (AttrValue::Floats(a), AttrValue::Floats(b)) => bits(a) == bits(b),
        (AttrValue::Ints(a), AttrValue::Ints(b)) => a == b,
        (AttrValue::Strings(a), AttrValue::Strings(b)) => a == b,
        (AttrValue::Tensor(a), AttrValue::Tensor(b)) => a.same_contents(b).unwrap_or(false),
        (AttrValue::Ref { name: a, kind: k }, AttrValue::Ref { name: b, kind: l }) => a == b && k == l,
        _ => false,
    }
}
