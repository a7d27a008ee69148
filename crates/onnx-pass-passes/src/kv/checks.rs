//! What must hold before a cache may go, and what must still hold once it is empty.

use std::borrow::Cow;
use std::collections::BTreeSet;

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{DataType, Dim, EcoString, Model, NodeId, Use, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::discover::{self, Cache, Inputs};
use super::lengths;
use super::stateful;
use crate::analysis::{Analysis, is_made_up};
use crate::pass::PassError;

/// Of the outputs that an input's contents reach, those that can carry it on: of its type and rank, and as long
/// as it is but for one axis. What else they reach (its rows behind the logits, say) is an answer of the model.
pub fn presents(a: &Analysis, input: ValueId, outputs: &[ValueId]) -> Vec<ValueId> {
    let Some(own) = a.shape(input) else { return Vec::new() };
    let alike = |o: &ValueId| {
        let Some(shape) = a.shape(*o) else { return true };
        let differ = |(x, y): (&Expr, &Expr)| x != y && a.symbols.equal(x, y) == Some(false);
        let unlike = shape.iter().zip(own).filter(|(x, y)| differ((x, y))).count();
        a.dtype(*o) == a.dtype(input) && shape.len() == own.len() && unlike <= 1
    };
    outputs.iter().copied().filter(alike).collect()
}

/// The value behind what hands it on as it is.
pub fn root(m: &Model, v: ValueId) -> ValueId {
    let mut v = v;
    while let Some(p) = m.value(v).producer() {
        let n = m.node(p);
        let passes = n.domain().is_empty()
            && (matches!(n.op_type(), "Identity" | "Cast") || n.is("Concat") && n.inputs().len() == 1);
        match n.input(0) {
            Some(x) if passes => v = x,
            _ => break,
        }
    }
    v
}

/// An input that stays and is as long as the caches that go: it is a cache that was not found, or that is to be
/// kept, and emptied lengths would empty it too.
pub fn left_behind(
    m: &Model,
    a: &Analysis,
    put: &FxHashMap<String, Expr>,
    caches: &Inputs,
) -> Result<(), PassError> {
    // By rank, axis, length and type, the first cache that has it.
    let mut twins: FxHashMap<(usize, usize, &Expr, Option<DataType>), ValueId> = FxHashMap::default();
    for &c in caches {
        let Some(shape) = a.shape(c) else { continue };
        for (axis, d) in shape.iter().enumerate().filter(|(_, d)| d.as_symbol().is_some()) {
            twins.entry((shape.len(), axis, d, a.dtype(c))).or_insert(c);
        }
    }
    for &v in m.graph(m.main()).inputs() {
        if caches.contains(&v) || m.value(v).initializer().is_some() {
            continue;
        }
        let Some(shape) = a.shape(v) else { continue };
        for (axis, d) in shape.iter().enumerate() {
            let Some(symbol) = d.as_symbol().filter(|s| put.contains_key(*s)) else { continue };
            if let Some(twin) = twins.get(&(shape.len(), axis, d, a.dtype(v))) {
                return Err(PassError::refused_with(
                    format!("input `{}`", m.name(v)),
                    format!(
                        "it stays, and is as long (`{symbol}`) as the cache `{}`, which goes: emptied, it would \
                         be empty too",
                        m.name(*twin)
                    ),
                    "take both out, keep both, or give them lengths of different names",
                ));
            }
        }
    }
    Ok(())
}

/// With the caches empty, every node must still be able to run, at every length that the model ran at before.
pub fn still_runs(
    m: &Model,
    before: &Analysis,
    after: &Analysis,
    put: &FxHashMap<String, Expr>,
    updates: &FxHashSet<NodeId>,
) -> Result<(), PassError> {
    // What never ran is left as it is, but for what extends a cache.
    let known = before.impossible.iter().map(|i| i.node);
    let known: FxHashSet<NodeId> = known.filter(|n| !updates.contains(n)).collect();
    if let Some(i) = after.impossible.iter().find(|i| !known.contains(&i.node) && m.is_live_node(i.node)) {
        return Err(PassError::refused_with(
            m.describe(i.node),
            format!("with an empty cache it needs `{}` and `{}` to be the same", i.left, i.right),
            "one of the caches is not extended the way it is declared; list it under `keep`",
        ));
    }
    let narrow: FxHashSet<NodeId> = before.narrow.iter().map(|i| i.node).collect();
    if let Some(i) = after.narrow.iter().find(|i| !narrow.contains(&i.node) && m.is_live_node(i.node)) {
        let length = if i.left.is_zero() { &i.right } else { &i.left };
        return Err(PassError::refused_with(
            m.describe(i.node),
            format!(
                "with an empty cache it runs only where `{length}` is 0 or 1: it is broadcast to a length of 0"
            ),
            "one of the caches is never empty; list it under `keep`, or bind its length first (`prune-dynamic-axes`)",
        ));
    }
    // What was known of lengths before, with those of the caches put in.
    let mut told = before.symbols.clone();
    let mut names: Vec<(&String, &Expr)> = put.iter().collect();
    names.sort_unstable_by_key(|(s, _)| s.as_str());
    for (symbol, length) in names {
        if told.assert_equal(&Expr::symbol(symbol.as_str()), length).is_err() {
            return Err(PassError::refused(
                "the model",
                format!("`{symbol}` cannot be {length} in any run, which an empty cache would mean"),
            ));
        }
    }
    for s in lengths::input_symbols(m) {
        let e = Expr::symbol(s.clone());
        let (was, now) = (told.simplify(&e), after.symbols.simplify(&e));
        let made_up = now.symbols().iter().chain(was.symbols().iter()).any(|s| is_made_up(s));
        // Through what it has to agree with, an input that stays may be emptied too.
        let own = !put.contains_key(s.as_str());
        let emptied = own && was.is_const() && !before.symbols.simplify(&e).is_const();
        let way_out = match emptied {
            true => {
                "an input of that length goes with the caches or stays with them: take both out, or keep both"
            }
            false => "one of the caches is not extended the way it is declared; list it under `keep`",
        };
        if emptied || was != now && !made_up && told.equal(&e, &now) != Some(true) {
            return Err(PassError::refused_with(
                "the model",
                format!("with an empty cache it runs only where `{s}` is {now}"),
                way_out,
            ));
        }
    }
    Ok(())
}

/// The caches' own updates must not be what fixes the lengths of other inputs: where only the concatenation with a
/// past makes the batch a number (an axis was moved on the way), an empty past would not.
///
/// # Errors
/// The symbol that the updates alone fix.
pub fn updates_fix_nothing(
    m: &Model,
    a: &Analysis,
    facts: &Facts,
    caches: &[Cache],
) -> Result<(), PassError> {
    let inputs: FxHashSet<ValueId> = caches.iter().map(|c| c.input).collect();
    let others = m.graph(m.main()).inputs().iter().filter(|v| !inputs.contains(v));
    let dims = others.filter_map(|v| m.declared_type(*v)?.dims()).flatten().filter_map(Dim::to_expr);
    let fixed = |s: &EcoString| a.symbols.simplify(&Expr::symbol(s.clone())).is_const();
    let fixed: BTreeSet<EcoString> = dims.flat_map(|e| e.symbols()).filter(fixed).collect();
    if fixed.is_empty() {
        return Ok(());
    }
    let mut without = m.clone();
    for node in caches.iter().flat_map(|c| &c.updates).copied().filter(|n| m.node(*n).is("Concat")) {
        let n = m.node(node);
        let past = |v: &ValueId| inputs.contains(&moved_from(m, *v));
        let new: Vec<ValueId> = n.inputs().iter().flatten().copied().filter(|v| !past(v)).collect();
        if let ([new], Some(out)) = (new.as_slice(), n.output(0)) {
            without.replace_value(out, *new)?;
            without.remove_node(node)?;
        }
    }
    let free = Analysis::of(&without, facts);
    match fixed.iter().find(|s| !free.symbols.simplify(&Expr::symbol((*s).clone())).is_const()) {
        None => Ok(()),
        Some(s) => Err(PassError::refused_with(
            "the model",
            format!("nothing but the way in which its caches are extended makes it run at one `{s}` only"),
            "one of the caches is not extended the way it is declared; list it under `keep`",
        )),
    }
}

/// What a value is a moved form of.
fn moved_from(m: &Model, v: ValueId) -> ValueId {
    let mut v = v;
    while let Some(p) = m.value(v).producer() {
        let n = m.node(p);
        let passes = discover::moves(n) || n.inputs().len() == 1 && n.is("Concat");
        match n.input(0) {
            Some(x) if passes => v = x,
            _ => break,
        }
    }
    v
}

/// The lengths of the inputs that hold integers, declared or found. A length that such an input has beside a cache
/// is no past length.
pub struct Counted<'a> {
    /// At most two inputs each, in order: one may be the cache itself.
    inputs: FxHashMap<Cow<'a, Expr>, SmallVec<[ValueId; 2]>>,
}

impl<'a> Counted<'a> {
    /// Looks at all inputs of the main graph.
    pub fn new(m: &Model, a: &'a Analysis) -> Self {
        let mut inputs: FxHashMap<Cow<'a, Expr>, SmallVec<[ValueId; 2]>> = FxHashMap::default();
        for &v in m.graph(m.main()).inputs() {
            if !a.dtype(v).is_some_and(|t| t.is_integer() || t == DataType::BOOL) {
                continue;
            }
            let declared = m.declared_type(v).and_then(|t| t.dims()).unwrap_or_default();
            let declared = declared.iter().filter_map(Dim::to_expr).map(Cow::Owned);
            for length in declared.chain(a.shape(v).unwrap_or_default().iter().map(Cow::Borrowed)) {
                let having = inputs.entry(length).or_default();
                if having.len() < 2 && !having.contains(&v) {
                    having.push(v);
                }
            }
        }
        Counted { inputs }
    }

    /// An input other than `cache` that has this length.
    pub fn beside(&self, cache: ValueId, length: &Expr) -> Option<ValueId> {
        self.inputs.get(length)?.iter().copied().find(|v| *v != cache)
    }
}

/// What reads a buffer and would see rows to which no position was written: with padding, the new rows stand there
/// now, where zeros stood. Attention masks them; what else reads them may not, nor does who gets them as an output
/// (`presents` carry the cache on and go with it).
pub fn reader_beside(m: &Model, buffer: ValueId, presents: &[ValueId]) -> Option<String> {
    let mut work = vec![buffer];
    let mut seen: FxHashSet<ValueId> = FxHashSet::default();
    while let Some(v) = work.pop() {
        if !seen.insert(v) {
            continue;
        }
        for u in m.value(v).uses() {
            let (node, slot) = match *u {
                Use::Node { node, slot } => (node, slot),
                Use::Output { graph, .. } if graph == m.main() && !presents.contains(&v) => {
                    return Some(format!("output `{}`", m.name(v)));
                }
                Use::Output { .. } => continue,
            };
            let n = m.node(node);
            if !stateful::states(n).is_empty() {
                continue;
            }
            match n.op_type() {
                _ if !n.domain().is_empty() => return Some(m.describe(node)),
                "Shape" | "Size" | "MatMul" | "Einsum" | "Attention" => {}
                // Whole rows in order, which is looked at on its own.
                "GatherND" if slot == 0 => {}
                _ if slot == 0 && discover::writes(n) => work.extend(n.output(0)),
                "Identity" | "Cast" | "Transpose" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten"
                | "Expand" | "Tile" | "Split" | "Slice" | "Concat" | "Mul" | "Div" | "Where" => {
                    work.extend(n.outputs().iter().flatten());
                }
                _ => return Some(m.describe(node)),
            }
        }
    }
    None
}
