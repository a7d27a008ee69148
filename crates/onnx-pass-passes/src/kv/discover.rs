//! Finding caches by structure.
//!
//! A cache is an input whose contents reach an output by being moved (cast, transposed, reshaped, split, …)
//! and extended or overwritten (concatenated, scattered into, taken in by a stateful operator), where the
//! graph also computes with what the output shows. Names only confirm and narrow; but of a state that is computed
//! anew from what it was nothing else tells (`carried`).

use indexmap::IndexSet;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Dim, GraphId, GraphOwner, Model, Node, NodeId, Type, Use, ValueId};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

pub use super::branches::{Selector, only_in_branch, read_around, selector};
use super::carried;
use super::checks::{self, Counted};
use super::stateful;
use crate::analysis::Analysis;

/// How a cache is kept up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// New rows are appended; the length starts at zero.
    Growing {
        /// The axis of the input that grows.
        axis: usize,
        /// Its length: a symbol that only caches have.
        length: Expr,
    },
    /// New rows are scattered into a buffer of fixed length.
    Buffer {
        /// The operators that write.
        writers: Vec<NodeId>,
    },
    /// A state of fixed shape (convolution, recurrence): empty means zeros. Or a window of rows that an operator
    /// keeps, which it is told how many are of.
    State,
    /// Read in one branch of an `If` only, and handed on there.
    Branch,
}

impl Form {
    /// The letter and words of the report.
    pub fn describe(&self) -> &'static str {
        match self {
            Form::Growing { .. } => "growing",
            Form::Buffer { .. } => "fixed buffer",
            Form::State => "state",
            Form::Branch => "branch",
        }
    }
}

/// One cache.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The input that brings the past.
    pub input: ValueId,
    /// The outputs of the main graph that carry it on.
    pub outputs: Vec<ValueId>,
    /// How it is kept.
    pub form: Form,
    /// The nodes that extend it.
    pub updates: Vec<NodeId>,
}

impl Cache {
    /// A state that is computed anew from what it was.
    fn state(input: ValueId, output: ValueId) -> Self {
        Cache { input, outputs: vec![output], form: Form::State, updates: Vec::new() }
    }

    /// What makes it like a cache, where that leaves a doubt.
    pub fn likeness(&self, m: &Model) -> String {
        match self.outputs.first() {
            Some(next) if self.updates.is_empty() => {
                format!("`{}` has its shape and a name like a state's next value", m.name(*next))
            }
            _ => "it is extended like a cache".into(),
        }
    }

    /// The length of one that grows.
    pub fn length(&self) -> Option<&Expr> {
        match &self.form {
            Form::Growing { length, .. } => Some(length),
            _ => None,
        }
    }
}

/// Inputs of caches, in order.
pub type Inputs = IndexSet<ValueId, FxBuildHasher>;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The caches, in the order of the inputs.
    pub caches: Vec<Cache>,
    /// Inputs that look like caches and are none that could go, with the reason.
    pub rejected: Vec<(ValueId, String)>,
    /// Inputs that are extended or handed on like caches, where nothing tells that they are the past: they count when
    /// the user names them.
    pub doubtful: Vec<Cache>,
    /// Inputs that are called a past and are not understood, with the reason.
    pub unknown: Vec<(ValueId, &'static str)>,
}

impl Found {
    /// The doubtful ones that a user should hear of: not those whose outputs carry a cache on that was found, of which
    /// they are the new rows.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Cache> {
        let carry: FxHashSet<ValueId> = self.caches.iter().flat_map(|c| c.outputs.iter().copied()).collect();
        self.doubtful.iter().filter(move |c| !c.outputs.iter().all(|o| carry.contains(o)))
    }
}

/// The flow of one input's contents.
#[derive(Default)]
struct Flow {
    /// Concatenations with something new, with the operand slot.
    concats: Vec<(NodeId, u32)>,
    writers: Vec<NodeId>,
    stateful: Vec<(NodeId, stateful::State)>,
    /// Branches that hand it on.
    branches: Vec<NodeId>,
    /// Outputs of the main graph reached after an update, or through a branch.
    outputs: Vec<ValueId>,
    /// Outputs of the main graph that the contents reach without an update.
    as_it_was: Vec<ValueId>,
    /// Whether something computes with the updated contents.
    read: bool,
}

const OPEN: &str = "how it is carried on is not understood, and what zeros are is not known where a length is open: bind \
     its lengths first (`prune-dynamic-axes`)";
const FILLED_ELSEWHERE: &str = "no output is seen to carry it on, so what fills it is not in this model";

/// Finds the caches of the main graph. Functions that a cache passes through should have been inlined.
pub fn discover(m: &Model, a: &Analysis) -> Found {
    let mut found = Found::default();
    let main = m.graph(m.main());
    let counted = checks::Counted::new(m, a);
    let carried = carried::pairs(m, a);
    for &input in main.inputs() {
        if m.value(input).initializer().is_some() {
            continue;
        }
        let mut flow = follow(m, input);
        flow.outputs = checks::presents(a, input, &flow.outputs);
        let form = match flow.outputs.is_empty() {
            true => Ok(None),
            false => classify(m, a, &counted, input, &flow),
        };
        // Whatever is done with a state of fixed shape, an empty one is zeros.
        let next = carried.get(&input).filter(|next| !flow.as_it_was.contains(&next.output));
        match (form, next) {
            (Ok(Some(form)), _) => {
                let updates = flow.concats.iter().map(|c| c.0).chain(flow.writers.iter().copied());
                let updates = updates.chain(flow.stateful.iter().map(|s| s.0)).collect();
                found.caches.push(Cache { input, outputs: flow.outputs, form, updates });
            }
            (Ok(None) | Err(_), Some(next)) if next.fixed && next.sure => {
                found.caches.push(Cache::state(input, next.output));
            }
            (Ok(None), Some(next)) if next.fixed => {
                found.doubtful.push(Cache::state(input, next.output));
            }
            (Err(reason), _) => found.rejected.push((input, reason)),
            (Ok(None), Some(next)) => found.unknown.extend(next.sure.then_some((input, OPEN))),
            (Ok(None), None) => {
                let float = a.dtype(input).is_some_and(|t| t.is_float());
                let named = float && carried::names_a_past(m.name(input));
                found.unknown.extend(named.then_some((input, FILLED_ELSEWHERE)));
            }
        }
    }
    doubt(m, &mut found);
    found
}

/// Sets those aside that a concatenation extends and that may as well be what is new, or no past at all (image
/// features before a text's): a cache has a name that says so, or another beside it that grows by the same length.
/// Where two inputs of different lengths are joined, only the name tells which is the past.
fn doubt(m: &Model, found: &mut Found) {
    let joined = |c: &Cache| c.updates.iter().any(|n| m.node(*n).is("Concat"));
    let named = |c: &Cache| carried::hints_at_a_past(m.name(c.input));
    // How many have a length, whether one of them is named, and what lengths a node extends.
    let mut alike: FxHashMap<&Expr, (usize, bool)> = FxHashMap::default();
    let mut extended: FxHashMap<NodeId, FxHashSet<&Expr>> = FxHashMap::default();
    for c in &found.caches {
        let Some(own) = c.length() else { continue };
        let (count, any_named) = alike.entry(own).or_default();
        *count += 1;
        *any_named |= named(c);
        c.updates.iter().for_each(|n| {
            extended.entry(*n).or_default().insert(own);
        });
    }
    let certain = |c: &Cache| {
        let Some(own) = c.length().filter(|_| joined(c) && !named(c)) else { return true };
        let rival = c.updates.iter().filter_map(|n| extended.get(n)).flatten().any(|l| *l != own);
        alike.get(own).is_some_and(|(count, any_named)| *any_named || !rival && *count > 1)
    };
    let sure: Vec<bool> = found.caches.iter().map(certain).collect();
    let mut sure = sure.into_iter();
    let (caches, doubtful) =
        std::mem::take(&mut found.caches).into_iter().partition(|_| sure.next().unwrap_or(true));
    found.caches = caches;
    found.doubtful.extend::<Vec<Cache>>(doubtful);
}

/// Follows an input's contents through the ops that move them.
fn follow(m: &Model, input: ValueId) -> Flow {
    let mut flow = Flow::default();
    let mut seen: FxHashSet<(ValueId, bool)> = FxHashSet::default();
    let mut work = vec![(input, false)];
    while let Some((v, updated)) = work.pop() {
        if !seen.insert((v, updated)) {
            continue;
        }
        for u in m.value(v).uses().to_vec() {
            match u {
                Use::Output { graph, index } => leave(m, graph, index, v, updated, &mut flow, &mut work),
                Use::Node { node, slot } => step(m, node, slot, updated, &mut flow, &mut work, &seen),
            }
        }
    }
    flow.outputs.sort_unstable();
    flow.outputs.dedup();
    flow.concats.sort_unstable();
    flow.concats.dedup();
    flow
}

/// A graph returns the contents.
fn leave(
    m: &Model,
    graph: GraphId,
    index: u32,
    v: ValueId,
    updated: bool,
    flow: &mut Flow,
    work: &mut Vec<(ValueId, bool)>,
) {
    match m.graph(graph).owner() {
        GraphOwner::Main if updated => flow.outputs.push(v),
        GraphOwner::Main => flow.as_it_was.push(v),
        GraphOwner::Node(n) if m.node(n).is("If") => {
            flow.branches.push(n);
            if let Some(out) = m.node(n).output(index as usize) {
                // What a branch hands on as it was counts as carried on: the other branch makes it.
                work.push((out, true));
            }
        }
        _ => {}
    }
}

/// Whether a node hands the contents of its first operand on, moved, or some of them.
pub(super) fn moves(n: &Node) -> bool {
    n.domain().is_empty()
        && matches!(
            n.op_type(),
            "Identity"
                | "Cast"
                | "Transpose"
                | "Reshape"
                | "Squeeze"
                | "Unsqueeze"
                | "Split"
                | "Slice"
                | "Flatten"
                | "Gather"
                | "Pad"
                | "Expand"
        )
}

/// Whether a node overwrites some of its first operand's contents.
pub(super) fn writes(n: &Node) -> bool {
    n.domain().is_empty()
        && matches!(n.op_type(), "ScatterND" | "ScatterElements" | "Scatter" | "TensorScatter")
}

/// A node reads the contents.
fn step(
    m: &Model,
    node: NodeId,
    slot: u32,
    updated: bool,
    flow: &mut Flow,
    work: &mut Vec<(ValueId, bool)>,
    seen: &FxHashSet<(ValueId, bool)>,
) {
    let n = m.node(node);
    if let Some(s) = stateful::states(n).iter().find(|s| s.past == slot as usize) {
        flow.stateful.push((node, *s));
        flow.read = true;
        if let Some(out) = n.output(s.present) {
            work.push((out, true));
        }
        return;
    }
    if !n.domain().is_empty() {
        flow.read |= updated;
        return;
    }
    let outputs = || n.outputs().iter().flatten().copied().collect::<Vec<_>>();
    match n.op_type() {
        _ if slot == 0 && moves(n) => work.extend(outputs().into_iter().map(|o| (o, updated))),
        _ if slot == 0 && writes(n) => {
            flow.writers.push(node);
            work.extend(outputs().into_iter().map(|o| (o, true)));
        }
        "Concat" => {
            let other = |v: &ValueId| !seen.contains(&(*v, false)) && !seen.contains(&(*v, true));
            let extended = n.inputs().iter().flatten().any(other);
            if extended {
                flow.concats.push((node, slot));
            }
            work.extend(outputs().into_iter().map(|o| (o, updated || extended)));
        }
        "Shape" | "Size" => {}
        _ => flow.read |= updated,
    }
}

fn classify(
    m: &Model,
    a: &Analysis,
    counted: &Counted<'_>,
    input: ValueId,
    flow: &Flow,
) -> Result<Option<Form>, String> {
    let Some(dims) = a.shape(input) else { return Ok(None) };
    let numeric = a.dtype(input).is_some_and(|t| t.is_float() || t.is_integer());
    if dims.len() < 2 || !numeric {
        return Ok(None);
    }
    if !flow.writers.is_empty() {
        let mut writers = flow.writers.clone();
        writers.sort_unstable();
        writers.dedup();
        return Ok(flow.read.then_some(Form::Buffer { writers }));
    }
    if !flow.stateful.is_empty() {
        return inside(m, counted, input, dims, flow).map(Some);
    }
    if !flow.concats.is_empty() && flow.read {
        return growing(m, a, counted, input, dims, flow);
    }
    if !flow.branches.is_empty() {
        return Ok(Some(Form::Branch));
    }
    Ok(None)
}

/// The form of a cache that operators extend inside.
fn inside(
    m: &Model,
    counted: &Counted<'_>,
    input: ValueId,
    dims: &[Expr],
    flow: &Flow,
) -> Result<Form, String> {
    let mut form = None;
    for (node, s) in &flow.stateful {
        let at = || m.describe(*node);
        if let Some(why) = stateful::objection(m.node(*node)) {
            return Err(format!("{}: {why}", at()));
        }
        if m.node(*node).input(s.past).is_none_or(|v| checks::root(m, v) != input) {
            return Err(format!("{}: the past that it takes is not the input as it is", at()));
        }
        let this = match s.axis {
            None => Form::State,
            Some(axis) => {
                let length = dims.get(axis).cloned();
                let length = length.ok_or_else(|| format!("{}: its past has another rank", at()))?;
                Form::Growing { axis, length }
            }
        };
        if form.as_ref().is_some_and(|f| *f != this) {
            return Err(format!("{}: it is extended there in another way than elsewhere", at()));
        }
        form = Some(this);
    }
    let form = form.unwrap_or(Form::State);
    if let Form::Growing { length, .. } = &form {
        if length.as_symbol().is_none() {
            return Err(format!("its length is always {length}: it is never empty"));
        }
        not_shared(m, counted, input, length)?;
    }
    Ok(form)
}

/// A past length belongs to caches alone.
fn not_shared(m: &Model, counted: &Counted<'_>, input: ValueId, length: &Expr) -> Result<(), String> {
    match counted.beside(input, length) {
        None => Ok(()),
        Some(other) => Err(format!(
            "it is extended along `{length}`, which `{}` has too: that is not a past length",
            m.name(other)
        )),
    }
}

/// The axis and length of a cache that concatenation extends.
fn growing(
    m: &Model,
    a: &Analysis,
    counted: &Counted<'_>,
    input: ValueId,
    dims: &[Expr],
    flow: &Flow,
) -> Result<Option<Form>, String> {
    let mut lengths: Vec<Expr> = Vec::new();
    for (node, slot) in &flow.concats {
        let n = m.node(*node);
        let operand = n.input(*slot as usize).and_then(|v| a.shape(v));
        let axis = operand.and_then(|s| super::index::axis_of(n.int("axis").unwrap_or(0), s.len()));
        let (Some(shape), Some(axis)) = (operand, axis) else {
            return Err(format!("{}: the shape that it extends is not known", m.describe(*node)));
        };
        if !lengths.contains(&shape[axis]) {
            lengths.push(shape[axis].clone());
        }
    }
    let constant = lengths.iter().all(Expr::is_const);
    if constant && dims.iter().skip(1).all(Expr::is_const) {
        if !as_long_as_before(a, dims, &flow.outputs) {
            // What is put before new rows and goes out with them is no state.
            return Ok(None);
        }
        return match never_filled(m, input, dims) {
            None => Ok(Some(Form::State)),
            Some(why) => Err(why),
        };
    }
    // Several concatenations of one cache (a merged layout, a window of two parts): the one along its length. Where
    // a part is extended (the last rows, of a window), it is one that an empty cache has nothing of.
    let own = |e: &&Expr| e.as_symbol().is_some() && dims.contains(e);
    let part = |length: &&Expr| {
        let zero = |s: &str| (length.as_symbol() == Some(s)).then(|| Expr::constant(0));
        length.as_symbol().is_some()
            && lengths
                .iter()
                .any(|e| length.as_symbol().is_some_and(|s| e.mentions(s)) && e.substitute(&zero).is_zero())
    };
    // An exporter may give each cache a length of its own, which broadcasting relates to the others': it is what the file
    // calls it.
    let declared = m.declared_type(input).and_then(Type::dims).unwrap_or_default();
    let called = |e: &Expr| {
        let mut both = dims.iter().zip(declared).skip(1);
        both.find(|(d, _)| *d == e).and_then(|(_, d)| d.to_expr()).filter(|d| d.as_symbol().is_some())
    };
    let found = lengths.iter().find(own).or_else(|| dims.iter().skip(1).find(part)).cloned();
    let Some(length) = found.or_else(|| lengths.iter().find_map(called)) else {
        let seen: Vec<String> = lengths.iter().map(ToString::to_string).collect();
        return Err(format!(
            "it is extended along a length of {}, which is none of its own axes",
            seen.join(" and ")
        ));
    };
    not_shared(m, counted, input, &length)?;
    let has = |(d, declared): (&Expr, Option<&Dim>)| {
        *d == length || declared.and_then(Dim::to_expr).is_some_and(|d| d == length)
    };
    let axis = dims.iter().enumerate().position(|(k, d)| has((d, declared.get(k)))).unwrap_or(0);
    Ok(Some(Form::Growing { axis, length }))
}

/// Whether an output is as a state is handed on: of the very shape that the input has, the batch aside.
fn as_long_as_before(a: &Analysis, dims: &[Expr], outputs: &[ValueId]) -> bool {
    let same = |(x, y): (&Expr, &Expr)| x == y || a.symbols.equal(x, y) == Some(true);
    outputs.iter().any(|o| match a.shape(*o) {
        Some(shape) => shape.iter().zip(dims).skip(1).all(same),
        None => true,
    })
}

/// Why an input is no state: it declares a length that the graph lets be 0 alone.
fn never_filled(m: &Model, input: ValueId, dims: &[Expr]) -> Option<String> {
    let declared = m.declared_type(input)?.dims()?;
    let mut both = declared.iter().zip(dims);
    let (length, _) = both.find(|(d, e)| e.is_zero() && !d.to_expr().is_some_and(|d| d.is_const()))?;
    Some(format!(
        "the graph runs only where its length (`{}`) is 0: it is not extended the way it is declared",
        length.to_expr().unwrap_or_else(|| Expr::symbol("?"))
    ))
}

/// Inlines the functions that a cache may pass through (decoder layers, scatter and gather); how many calls.
///
/// # Errors
/// One that cannot be inlined.
pub fn inline_layers(m: &mut Model) -> onnx_pass_ir::Result<u64> {
    let mut inlined = 0;
    loop {
        let calls = calls_on_the_way(m);
        if calls.is_empty() {
            return Ok(inlined);
        }
        for call in calls {
            m.inline_call(call)?;
            inlined += 1;
        }
    }
}

/// The calls of model-local functions that the contents of an input pass through.
pub fn calls_on_the_way(m: &Model) -> Vec<NodeId> {
    let mut calls = Vec::new();
    let mut seen: FxHashSet<ValueId> = FxHashSet::default();
    let float = |v: &ValueId| m.declared_type(*v).and_then(|t| t.elem()).is_some_and(|t| t.is_float());
    let mut work: Vec<ValueId> = m.graph(m.main()).inputs().iter().copied().filter(float).collect();
    while let Some(v) = work.pop() {
        if !seen.insert(v) {
            continue;
        }
        for u in m.value(v).uses() {
            let Use::Node { node, slot } = *u else { continue };
            if m.callee(node).is_some() {
                calls.push(node);
                continue;
            }
            let n = m.node(node);
            if n.is("Concat") || slot == 0 && (moves(n) || writes(n)) {
                work.extend(n.outputs().iter().flatten());
            }
        }
    }
    calls.sort_unstable();
    calls.dedup();
    calls
}
