//! Value numbering: of two values that are equal in every run the first does for both.
//!
//! Two values are equal when the same operator computes them from equal operands, and, for the small integer
//! tensors of shape arithmetic, when their symbolic contents are the same, however they came to be.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{AttrValue, DataType, GraphId, Model, NodeId, Use, ValueId};
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
    let mut by_op = Numbered { table: HashTable::new(), seen: vec![false; m.node_capacity()] };
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
            merged += u64::from(by_op.replace(m, n, 0, first)?);
            continue;
        }
        if let Some(first) = by_op.first_or_enter(m, n) {
            for k in 0..m.node(n).outputs().len() {
                if let Some(other) = m.node(first).output(k) {
                    merged += u64::from(by_op.replace(m, n, k, other)?);
                }
            }
        }
    }
    Ok(merged)
}

/// The nodes that others may be equal to, by what they compute.
///
/// Invariant: a node that was seen is in the table if each of its operands is read more than once. One that alone reads
/// a value has no equal, and most nodes do: the table is small, where one of all nodes would be a wait for memory at each.
struct Numbered {
    /// The hash stands beside the node: one that read another's result reads its twin's now, and hashes otherwise.
    table: HashTable<(u32, NodeId)>,
    seen: Vec<bool>,
}

impl Numbered {
    /// The first node that computes what `n` does; `n` is entered when there is none.
    fn first_or_enter(&mut self, m: &Model, n: NodeId) -> Option<NodeId> {
        self.seen[n.index()] = true;
        if m.node(n).inputs().iter().flatten().any(|v| m.value(*v).uses().len() == 1) {
            return None;
        }
        let key = hash(m, n)?;
        let entry = self.table.entry(
            spread(key),
            |(k, other)| *k == key && (*other == n || same(m, *other, n)),
            |(k, _)| spread(*k),
        );
        Some(entry.or_insert((key, n)).get().1).filter(|first| *first != n)
    }

    /// Lets the readers of a node's output read another value.
    fn replace(&mut self, m: &mut Model, n: NodeId, k: usize, by: ValueId) -> Result<bool, PassError> {
        let only = match m.value(by).uses() {
            [Use::Node { node, .. }] => {
                Some(*node).filter(|only| self.seen.get(only.index()).is_some_and(|seen| *seen))
            }
            _ => None,
        };
        let replaced = replace(m, n, k, by)?;
        if let Some(only) = only.filter(|only| replaced && m.node(*only).graph() == m.node(n).graph()) {
            // It is not the only reader any more.
            self.first_or_enter(m, only);
        }
        Ok(replaced)
    }
}

/// The table takes places from the low bits and marks from the high ones.
fn spread(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}

fn replace(m: &mut Model, n: NodeId, k: usize, by: ValueId) -> Result<bool, PassError> {
    let Some(old) = m.node(n).output(k) else { return Ok(false) };
    // A graph output keeps its own node where taking the other's value would need an Identity.
    if old == by || m.is_unused(old) || m.value(old).is_graph_output() {
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
                let outputs = m.value(v).is_graph_output();
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
fn hash(m: &Model, n: NodeId) -> Option<u32> {
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
    let long = h.finish();
    Some((long ^ long >> 32) as u32)
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
