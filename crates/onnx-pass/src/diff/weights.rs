//! Weights, and the small constants that steer operators.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use onnx_pass_ir::{Model, Tensor, Use, ValueId};

use super::matching::Sides;
use super::{Change, Constants, WeightChange};
use crate::structure::{constants, hash::Hash};

/// Fewer elements are no weight: mostly axes, shapes and scalars, which their readers tell of.
pub(crate) const FEWEST: usize = 16;

type Named = (ValueId, Arc<Tensor>);

/// The changes of weights, and those of small constants as numbers.
pub(super) fn weights(s: &Sides<'_>) -> (Vec<WeightChange>, Constants) {
    let (left, new) = unmatched(s);
    let is_weight = |(_, t): &Named| t.len().is_ok_and(|n| n >= FEWEST);
    let (left, few_left): (Vec<Named>, Vec<Named>) = left.into_iter().partition(is_weight);
    let (new, few_new): (Vec<Named>, Vec<Named>) = new.into_iter().partition(is_weight);
    let by_name: HashMap<&str, &Named> = new.iter().map(|w| (s.b.m.name(w.0), w)).collect();
    let by_id: HashMap<ValueId, &Named> = new.iter().map(|w| (w.0, w)).collect();
    let mut taken = HashSet::new();
    let mut out = Vec::new();
    for v in &left {
        let read = counterpart(s, v.0).and_then(|w| by_id.get(&w));
        match read.or_else(|| by_name.get(s.a.m.name(v.0))).filter(|w| taken.insert(w.0)) {
            Some(w) => {
                let mut change = told(s.b.m, w, Change::Changed);
                if change.name != s.a.m.name(v.0) {
                    change.name = format!("{} → {}", s.a.m.name(v.0), change.name);
                }
                let before = weight_type(&v.1);
                if before != change.ty {
                    change.ty = format!("{before} → {}", change.ty);
                }
                out.push(change);
            }
            None => out.push(told(s.a.m, v, Change::Removed)),
        }
    }
    let rest = new.iter().filter(|w| !taken.contains(&w.0));
    out.extend(rest.map(|w| told(s.b.m, w, Change::Added)));
    (out, Constants { removed: few_left.len(), added: few_new.len() })
}

/// The constant that a partner reads where this one is read.
fn counterpart(s: &Sides<'_>, v: ValueId) -> Option<ValueId> {
    let uses = s.a.m.value(v).uses().iter();
    let mut readers: Vec<_> = uses
        .filter_map(|u| match u {
            Use::Node { node, slot } => Some((*node, *slot as usize)),
            Use::Output { .. } => None,
        })
        .collect();
    // Use lists have no order of their own.
    readers.sort_unstable();
    readers.into_iter().find_map(|(node, slot)| s.b.m.node(s.a.partner(node)?).input(slot))
}

/// The constants of each side whose contents the other has not, or not as often.
fn unmatched(s: &Sides<'_>) -> (Vec<Named>, Vec<Named>) {
    let (of_a, of_b) = (constants(s.a.m), constants(s.b.m));
    let mut by_hash: HashMap<Hash, Vec<usize>> = HashMap::new();
    for (i, (w, _)) in of_b.iter().enumerate().rev() {
        by_hash.entry(s.b.hashes.value[w.index()]).or_default().push(i);
    }
    let mut left = Vec::new();
    for v in of_a {
        if by_hash.get_mut(&s.a.hashes.value[v.0.index()]).and_then(Vec::pop).is_none() {
            left.push(v);
        }
    }
    let open: HashSet<usize> = by_hash.into_values().flatten().collect();
    let new = of_b.into_iter().enumerate().filter(|(i, _)| open.contains(i)).map(|(_, w)| w);
    (left, new.collect())
}

fn told(m: &Model, (v, t): &Named, change: Change) -> WeightChange {
    WeightChange { name: m.name(*v).to_owned(), change, ty: weight_type(t), bytes: t.byte_len().unwrap_or(0) }
}

fn weight_type(t: &Tensor) -> String {
    let dims: Vec<String> = t.dims.iter().map(ToString::to_string).collect();
    format!("{}[{}]", t.dtype, dims.join(", "))
}
