//! Value numbering: of two values that are equal in every run the first does for both.
//!
//! Two values are equal when the same operator computes them from equal operands, and, for the small integer
//! tensors of shape arithmetic, when their symbolic contents are the same, however they came to be.

use std::fmt::Write;
use std::sync::Arc;

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{AttrValue, DataType, GraphId, Model, NodeId, Tensor, ValueId};
use rustc_hash::FxHashMap;

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
    let mut by_op: FxHashMap<String, NodeId> = FxHashMap::default();
    let mut merged = 0;
    for &v in m.graph(g).inputs() {
        if let Some(key) = contents(a, v) {
            by_contents.entry(key).or_insert(v);
        }
    }
    for n in m.node_ids(g) {
        if !m.is_live_node(n) || !is_pure(m, n) || m.node(n).subgraphs().next().is_some() {
            continue;
        }
        if m.constant_node(n).is_some() {
            continue;
        }
        if let Some(first) = twin(m, a, n, &mut by_contents) {
            merged += u64::from(replace(m, n, 0, first)?);
            continue;
        }
        let Some(key) = key(m, n) else { continue };
        match by_op.get(&key).copied() {
            None => {
                by_op.insert(key, n);
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

/// What a node computes: its operator, operands and attributes as a text.
fn key(m: &Model, n: NodeId) -> Option<String> {
    let node = m.node(n);
    let mut s = format!("{}|{}|{}|{}", node.domain(), node.op_type(), node.overload(), node.outputs().len());
    for v in node.inputs() {
        let _ = match v {
            Some(v) => write!(s, "|{}", v.index()),
            None => write!(s, "|-"),
        };
    }
    let mut attributes: Vec<String> = Vec::new();
    for at in node.attributes() {
        attributes.push(format!("{}={}", at.name, attribute(&at.value)?));
    }
    attributes.sort_unstable();
    for at in attributes {
        s.push('|');
        s.push_str(&at);
    }
    Some(s)
}

fn attribute(v: &AttrValue) -> Option<String> {
    Some(match v {
        AttrValue::Float(x) => format!("f{}", x.to_bits()),
        AttrValue::Int(x) => format!("i{x}"),
        AttrValue::String(x) => format!("s{x:?}"),
        AttrValue::Floats(x) => format!("F{:?}", x.iter().map(|f| f.to_bits()).collect::<Vec<_>>()),
        AttrValue::Ints(x) => format!("I{x:?}"),
        AttrValue::Strings(x) => format!("S{x:?}"),
        AttrValue::Tensor(t) => small_tensor(t)?,
        AttrValue::Ref { name, kind } => format!("r{kind}{name:?}"),
        _ => return None,
    })
}

fn small_tensor(t: &Tensor) -> Option<String> {
    t.byte_len().filter(|n| *n <= SMALL)?;
    Some(format!("t{}{:?}{:?}", t.dtype.0, t.dims, t.bytes().ok()?))
}
