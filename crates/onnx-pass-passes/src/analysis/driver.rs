//! The walk over a model's graphs.

use std::sync::Arc;

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{
    AttrValue, Attribute, Def, Dim, FunctionId, GraphId, GraphOwner, Model, NodeId, Tensor, Type, TypeKind,
    ValueId,
};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::cx::made_up;
use super::{Analysis, Contradiction, Fact, NodeCx, OtherFact, SymItems, is_made_up, ops};
use crate::fold;

/// Subgraphs and calls deeper than this are not entered; what they give is taken as declared.
const MAX_DEPTH: usize = 4096;
/// Beyond this depth the walk gets a thread with a stack of its own.
const SHALLOW: usize = 24;
/// Stack that one level needs at most, with a wide margin.
const STACK_PER_LEVEL: usize = 64 << 10;
/// Contents of more bytes than this are not computed during analysis; the folding pass does, within its limit.
const MAX_EVALUATED: usize = 16 << 10;

/// Analyses a model.
pub(super) fn analyse(model: &Model, given: &Facts) -> Analysis {
    let mut a = walk_all(model, given, FxHashSet::default());
    let wrong = disputed_inputs(model, &a);
    if !wrong.is_empty() {
        let axes = wrong.iter().filter_map(|c| Some((c.value, c.axis?))).collect();
        a = walk_all(model, given, axes);
        a.contradictions.extend(wrong);
    }
    a.contradictions.sort_by_key(|c| (c.value, c.axis));
    a.contradictions.dedup();
    a.impossible.dedup();
    a.narrow.dedup();
    a
}

fn walk_all(model: &Model, given: &Facts, disputed: FxHashSet<(ValueId, usize)>) -> Analysis {
    let mut a = Analysis { symbols: given.clone(), disputed, ..Analysis::default() };
    a.facts.resize_with(model.value_capacity(), Fact::default);
    with_stack(model, |limit| {
        let mut walk = Walk::new(model, &mut a, limit);
        walk.model();
    });
    a
}

/// Inputs whose declared length cannot be what it says.
///
/// Some exporters write `past_sequence_length + 1` for the length of a mask that has `past_sequence_length +
/// sequence_length` elements. Such a declaration is a claim that only a run can refute, but the graph shows it:
/// it broadcasts that length to another one over the declared symbols, and the two would have to be the same.
fn disputed_inputs(model: &Model, a: &Analysis) -> Vec<Contradiction> {
    let mut out = Vec::new();
    for &v in model.graph(model.main()).inputs() {
        let dims = model.declared_type(v).and_then(Type::dims).unwrap_or(&[]);
        for (axis, d) in dims.iter().enumerate() {
            let Some(e) = d.to_expr().filter(|e| !e.is_const() && e.as_symbol().is_none()) else { continue };
            let named = |x: &Expr| !x.is_const() && !x.any_symbol(&mut |s| !a.declared.contains(s));
            let other = a.disputes.iter().find_map(|(x, y)| match () {
                () if *x == e && named(y) => Some(y),
                () if *y == e && named(x) => Some(x),
                () => None,
            });
            if let Some(other) = other {
                let declared = d.symbol().unwrap_or_default().to_string();
                let computed = other.to_string();
                out.push(Contradiction { value: v, axis: Some(axis), declared, computed });
            }
        }
    }
    out
}

/// Works out one node anew.
pub(super) fn update(a: &mut Analysis, model: &Model, node: NodeId) -> bool {
    if a.facts.len() < model.value_capacity() {
        a.facts.resize_with(model.value_capacity(), Fact::default);
    }
    let outputs = || model.node(node).outputs().iter().flatten();
    let before: SmallVec<[Fact; 1]> = outputs().map(|v| a.fact(*v).clone()).collect();
    if !a.alternatives.is_empty() {
        Walk::new(model, a, SHALLOW).note_alternatives(node, None, &[]);
    }
    let nests = model.node(node).has_subgraphs() || model.callee(node).is_some();
    if nests {
        with_stack(model, |limit| Walk::new(model, a, limit).node(node));
    } else {
        Walk::new(model, a, SHALLOW).node(node);
    }
    outputs().zip(&before).any(|(v, old)| a.fact(*v) != old)
}

/// Computes a node's outputs from these contents of its inputs.
pub(super) fn evaluate_node(
    a: &mut Analysis,
    model: &Model,
    id: NodeId,
    inputs: &[Option<Arc<Tensor>>],
) -> Option<Vec<Option<Arc<Tensor>>>> {
    let node = model.node(id);
    let known = |v: &ValueId| a.facts.get(v.index()).cloned();
    let outputs = node.outputs().iter().map(|v| v.as_ref().and_then(known).unwrap_or_default());
    let cx = NodeCx {
        model,
        id,
        node,
        facts: &a.facts,
        outputs: &mut outputs.collect::<Vec<_>>(),
        symbols: &mut a.symbols,
        bindings: &[],
        impossible: &mut a.impossible,
        narrow: &mut a.narrow,
        disputes: &mut a.disputes,
        scope: "",
    };
    fold::evaluate(&cx, inputs)
}

/// Runs `f` with a bound of depth that the stack allows: on this thread when the model nests little, else on
/// one that is made for it.
fn with_stack<R: Send>(model: &Model, f: impl FnOnce(usize) -> R + Send) -> R {
    let mut depth = vec![0usize; model.graph_capacity()];
    let mut deepest = 0;
    let graphs = model.live_graphs();
    for g in &graphs {
        let d = model.graph(*g).parent().map_or(0, |p| depth[p.index()] + 1);
        depth[g.index()] = d;
        deepest = deepest.max(d);
    }
    // Calls nest too, at most as deep as there are functions, each with its own subgraphs.
    let functions = model.functions().count();
    let need = (deepest + 1).saturating_mul(functions + 1).min(MAX_DEPTH);
    if need <= SHALLOW {
        return f(SHALLOW);
    }
    let cell = std::sync::Mutex::new(Some(f));
    let run = |limit: usize| {
        let f = cell.lock().ok().and_then(|mut c| c.take());
        f.map(|f| f(limit))
    };
    let made = std::thread::scope(|s| {
        let builder = std::thread::Builder::new().stack_size(need * STACK_PER_LEVEL + (1 << 20));
        builder.spawn_scoped(s, || run(need + 1)).ok().map(|h| h.join())
    });
    match made {
        Some(Ok(Some(r))) => r,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // No thread was to be had: `f` is still there.
        _ => match run(SHALLOW) {
            Some(r) => r,
            None => unreachable!("the closure runs once"),
        },
    }
}

/// The state of a walk.
pub(super) struct Walk<'m, 'a> {
    pub(super) model: &'m Model,
    pub(super) a: &'a mut Analysis,
    noted: FxHashSet<(String, String)>,
    /// Visits of nodes that are left before loops and calls are no longer entered again and again.
    pub(super) budget: u64,
    pub(super) depth: usize,
    pub(super) limit: usize,
    pub(super) calls: Vec<FunctionId>,
    /// The calls that lead here from the main graph, outermost first.
    pub(super) callers: Vec<NodeId>,
    pub(super) bindings: Vec<Attribute>,
    pub(super) scope: String,
    /// Room for the answers of one node; between nodes nothing is in it.
    room: Vec<Fact>,
}

impl<'m, 'a> Walk<'m, 'a> {
    fn new(model: &'m Model, a: &'a mut Analysis, limit: usize) -> Self {
        let noted = a.without_rule.iter().cloned().collect();
        let budget = 1_000_000 + 16 * model.node_capacity() as u64;
        Walk {
            model,
            a,
            noted,
            budget,
            depth: 0,
            limit,
            calls: Vec::new(),
            callers: Vec::new(),
            bindings: Vec::new(),
            scope: String::new(),
            room: Vec::new(),
        }
    }

    fn model(&mut self) {
        let main = self.model.main();
        for &v in self.model.graph(main).inputs() {
            let fact = input_fact(self.a, self.model, v);
            for d in fact.shape.iter().flat_map(|s| s.iter()) {
                let named = d.symbols().into_iter().filter(|s| !is_made_up(s));
                for s in named {
                    self.a.symbols.declare(&s);
                    self.a.declared.insert(s);
                }
            }
            self.a.set(v, fact);
        }
        self.graph(main);
        self.simplify_all();
        // A function's body is analysed with what its calls pass while the main graph is walked, and here
        // once more with nothing known of its inputs: that is what holds at every call, and is kept.
        let roots = self.model.live_graphs();
        for g in roots.into_iter().filter(|g| self.model.graph(*g).parent().is_none() && *g != main) {
            let mark = self.a.symbols.clone();
            self.a.declared.clear();
            for &v in self.model.graph(g).inputs() {
                let fact = source_fact(self.model, v);
                self.a.set(v, fact);
            }
            let call = match self.model.graph(g).owner() {
                GraphOwner::Function(f) => Some(f),
                _ => None,
            };
            self.calls.extend(call);
            self.graph(g);
            self.calls.clear();
            self.a.symbols = mark;
        }
        self.a.declared = declared_symbols(self.model);
    }

    /// Brings every dim to the simplest form that the whole graph's equalities allow.
    fn simplify_all(&mut self) {
        let symbols = &self.a.symbols;
        for fact in &mut self.a.facts {
            if let Some(new) = fact.shape.as_ref().and_then(|s| symbols.simplify_all(s)) {
                fact.shape = Some(new.into());
            }
            let simpler = |i: &&SymItems| i.iter().flatten().any(|e| symbols.simpler(e).is_some());
            if let Some(items) = fact.items.as_ref().filter(simpler) {
                fact.items = Some(items.iter().map(|e| e.as_ref().map(|e| symbols.simplify(e))).collect());
            }
        }
        for x in self.a.alternatives.values_mut() {
            x.then = symbols.simplify(&x.then);
            x.other = symbols.simplify(&x.other);
        }
    }

    /// Walks a graph whose inputs' facts are set.
    pub(super) fn graph(&mut self, g: GraphId) {
        let graph = self.model.graph(g);
        for &v in graph.initializers() {
            if self.model.value(v).def() == Def::Initializer {
                let fact = source_fact(self.model, v);
                self.a.set(v, fact);
            }
        }
        for (v, t) in graph.sparse_initializers() {
            let shape = t.dims.iter().map(|d| Expr::constant(*d)).collect();
            self.a.set(*v, Fact::tensor(Some(t.values.dtype), Some(shape)));
        }
        for (id, _) in self.model.nodes(g) {
            self.node(id);
        }
    }

    /// Works out the outputs of one node.
    pub(super) fn node(&mut self, id: NodeId) {
        self.budget = self.budget.saturating_sub(1);
        let n = self.model.node(id);
        let deep = self.depth >= self.limit;
        if let Some(f) = self.model.callee(id) {
            if deep || self.calls.contains(&f) || self.budget == 0 {
                return self.answer(id, &mut []);
            }
            return self.call(id, f);
        }
        if n.domain().is_empty() && n.has_subgraphs() {
            if deep {
                return self.answer(id, &mut []);
            }
            match n.op_type() {
                "If" => return self.branch(id),
                "Loop" => return self.repeat(id),
                "Scan" => return self.scan(id),
                "SequenceMap" => return self.sequence_map(id),
                _ => {}
            }
        }
        let Some(rule) = ops::rule(n.domain(), n.op_type()) else {
            self.note_unknown(id);
            return self.answer(id, &mut []);
        };
        let mut room = std::mem::take(&mut self.room);
        if room.len() < n.outputs().len() {
            room.resize_with(n.outputs().len(), Fact::default);
        }
        let outputs = &mut room[..n.outputs().len()];
        let mut cx = NodeCx {
            model: self.model,
            id,
            node: n,
            facts: &self.a.facts,
            outputs,
            symbols: &mut self.a.symbols,
            bindings: &self.bindings,
            impossible: &mut self.a.impossible,
            narrow: &mut self.a.narrow,
            disputes: &mut self.a.disputes,
            scope: &self.scope,
        };
        rule(&mut cx);
        evaluate(&mut cx);
        self.answer(id, &mut room);
        self.room = room;
    }

    fn note_unknown(&mut self, id: NodeId) {
        let n = self.model.node(id);
        let key = (n.domain().to_string(), n.op_type().to_string());
        if self.noted.insert(key.clone()) {
            self.a.without_rule.push(key);
        }
    }

    /// Stores what was found of a node's outputs, and leaves nothing in its place.
    pub(super) fn answer(&mut self, id: NodeId, found: &mut [Fact]) {
        for (k, v) in self.model.node(id).outputs().iter().enumerate() {
            let mut fact = found.get_mut(k).map(std::mem::take).unwrap_or_default();
            let Some(v) = *v else { continue };
            self.settle(v, &mut fact);
            self.a.set(v, fact);
        }
    }

    /// Weighs what was computed against what is declared.
    fn settle(&mut self, v: ValueId, fact: &mut Fact) {
        if let Some(plain) = fact.shape.as_ref().and_then(|s| self.a.symbols.simplify_all(s)) {
            fact.shape = Some(plain.into());
        }
        let Some(declared) = self.model.declared_type(v) else { return };
        let Some(t) = declared.as_tensor() else {
            if fact.other.is_none() && fact.shape.is_none() {
                fact.other = other_fact(self.model, v, declared, &self.scope).map(Box::new);
            }
            return;
        };
        if fact.other.is_some() {
            return;
        }
        let elem = declared.elem();
        match (fact.dtype, elem) {
            (None, _) => fact.dtype = elem,
            (Some(a), Some(b)) if a != b => self.contradict(v, None, b.to_string(), a.to_string()),
            _ => {}
        }
        let Some(dims) = t.shape.as_ref().map(|s| s.dims.as_slice()) else { return };
        let Some(shape) = &mut fact.shape else {
            let evidence = |(axis, d)| self.evidence(v, axis, d);
            fact.shape = Some(dims.iter().enumerate().map(evidence).collect());
            return;
        };
        if shape.len() != dims.len() {
            let text = |n: usize| format!("rank {n}");
            self.contradict(v, None, text(dims.len()), text(shape.len()));
            return;
        }
        for (axis, d) in dims.iter().enumerate() {
            if is_declared(&shape[axis], d) {
                continue;
            }
            if let Some(told) = self.settle_dim(v, axis, d, &shape[axis]) {
                // What other values share is copied at the first change, and then this value's own.
                Arc::make_mut(shape)[axis] = told;
            }
        }
    }

    /// Holds a computed length to the declared one, which is another; gives what is known instead, where the
    /// declaration tells more.
    fn settle_dim(&mut self, v: ValueId, axis: usize, declared: &Dim, computed: &Expr) -> Option<Expr> {
        let unknown = computed.as_symbol().is_some_and(is_made_up);
        if unknown && *computed == made_up(self.model, v, axis, &self.scope) {
            // Of a node with a body "not known" can mean that its ways differ, which no declaration mends.
            let node = self.model.value(v).producer();
            let plain = node.is_none_or(|n| !self.model.node(n).has_subgraphs());
            return plain.then(|| self.evidence(v, axis, declared));
        }
        let d = self.meaningful(declared)?;
        if !d.is_const() && computed.any_symbol(&mut |s| is_made_up(s)) {
            return None;
        }
        let equal = d == *computed || self.a.symbols.equal(&d, computed) == Some(true);
        // A number against symbols may be right for the sizes that the file was made for.
        let comparable = d.is_const() == computed.is_const() || self.a.symbols.equal(&d, computed).is_some();
        if !equal && comparable {
            let text = match declared {
                Dim::Symbol(s) => s.to_string(),
                _ => d.to_string(),
            };
            self.contradict(v, Some(axis), text, computed.to_string());
        }
        None
    }

    /// A declared dim whose every symbol is one that an input declares.
    fn meaningful(&self, d: &Dim) -> Option<Expr> {
        let e = d.to_expr()?;
        if e.as_const().is_some_and(|n| n < 0) {
            return None;
        }
        let here = self.calls.is_empty() || e.is_const();
        (here && !e.any_symbol(&mut |s| !self.a.declared.contains(s))).then_some(e)
    }

    /// What a declaration tells of an axis of which nothing was computed.
    fn evidence(&self, v: ValueId, axis: usize, d: &Dim) -> Expr {
        self.meaningful(d).unwrap_or_else(|| made_up(self.model, v, axis, &self.scope))
    }

    fn contradict(&mut self, value: ValueId, axis: Option<usize>, declared: String, computed: String) {
        if self.calls.is_empty() {
            self.a.contradictions.push(Contradiction { value, axis, declared, computed });
        }
    }
}

/// Whether a length is just what is declared.
#[inline]
fn is_declared(computed: &Expr, declared: &Dim) -> bool {
    match declared {
        Dim::Known(n) => computed.as_const() == Some(*n),
        Dim::Symbol(s) => computed.as_symbol() == Some(s),
        Dim::Unknown => false,
    }
}

/// The symbols that the main graph's inputs declare.
fn declared_symbols(model: &Model) -> FxHashSet<onnx_pass_ir::EcoString> {
    let inputs = model.graph(model.main()).inputs();
    let types = inputs.iter().filter_map(|v| model.declared_type(*v)).filter_map(Type::dims);
    types.flatten().filter_map(Dim::to_expr).flat_map(|e| e.symbols()).filter(|s| !is_made_up(s)).collect()
}

/// Computes the contents of the outputs where all inputs are known numbers and few.
fn evaluate(cx: &mut NodeCx<'_>) {
    let few = |f: &Fact| f.count().is_some_and(|n| n <= MAX_EVALUATED / 8);
    if !cx.outputs.iter().any(few) || !cx.given().all(few) {
        return;
    }
    if cx.outputs.iter().all(|f| f.tensor.is_some() || f.const_items().is_some()) {
        return;
    }
    if !cx.given().all(Fact::is_constant) {
        return;
    }
    let count = cx.node.inputs().len();
    let mut inputs: Vec<Option<Arc<Tensor>>> = Vec::with_capacity(count);
    for k in 0..count {
        match cx.input(k) {
            None => inputs.push(None),
            Some(f) => match f.constant() {
                Some(t) => inputs.push(Some(t)),
                None => return,
            },
        }
    }
    let Some(results) = fold::evaluate(cx, &inputs) else { return };
    for (k, t) in results.into_iter().enumerate() {
        if let Some(t) = t {
            cx.set_fact(k, Fact::of_tensor(&t));
        }
    }
}

/// What is known of an input of the main graph, or of another value that no node computes.
pub(super) fn input_fact(a: &Analysis, model: &Model, v: ValueId) -> Fact {
    let mut fact = source_fact(model, v);
    if let Some(shape) = fact.shape.as_ref().filter(|_| !a.disputed.is_empty()) {
        let dim = |(axis, d): (usize, &Expr)| match a.disputed.contains(&(v, axis)) {
            true => made_up(model, v, axis, ""),
            false => d.clone(),
        };
        fact.shape = Some(shape.iter().enumerate().map(dim).collect());
    }
    fact
}

/// What is known of a value that no node computes.
fn source_fact(model: &Model, v: ValueId) -> Fact {
    if let Some(t) = model.constant(v) {
        return Fact::of_tensor(&t);
    }
    let Some(ty) = model.declared_type(v) else { return Fact::default() };
    match ty.as_tensor() {
        Some(t) => {
            let dim = |(axis, d): (usize, &Dim)| input_dim(model, v, axis, d, "");
            let dims = t.shape.as_ref().map(|s| s.dims.iter().enumerate().map(dim).collect());
            Fact::tensor(ty.elem(), dims)
        }
        None => Fact { other: other_fact(model, v, ty, "").map(Box::new), ..Fact::default() },
    }
}

/// The length that an input declares. A name that looks like one of ours would be taken for it, so it counts
/// as no name; so does a negative number, by which some exporters mean an unknown length.
fn input_dim(model: &Model, v: ValueId, axis: usize, d: &Dim, scope: &str) -> Expr {
    let known = d.to_expr().filter(|e| e.as_const().is_none_or(|n| n >= 0));
    known.filter(|e| !e.any_symbol(&mut |s| is_made_up(s))).unwrap_or_else(|| made_up(model, v, axis, scope))
}

/// What a declaration tells of a sequence, an optional or a map.
fn other_fact(model: &Model, v: ValueId, ty: &Type, scope: &str) -> Option<OtherFact> {
    other_fact_at(model, v, ty, scope, MAX_NESTED_TYPES)
}

/// Declared types nest in each other no deeper than this; what is further in is not known.
const MAX_NESTED_TYPES: usize = 8;

fn other_fact_at(model: &Model, v: ValueId, ty: &Type, scope: &str, depth: usize) -> Option<OtherFact> {
    let inner = match &ty.kind {
        TypeKind::Sequence(e) | TypeKind::Optional(e) => e.as_deref(),
        TypeKind::Map { .. } | TypeKind::SparseTensor(_) | TypeKind::Opaque { .. } => None,
        TypeKind::Tensor(_) | TypeKind::None => return None,
    };
    let mut element = Fact::default();
    if let Some(t) = inner.and_then(Type::as_tensor) {
        // Elements differ in length, so what is not declared is one made-up length each.
        let dim = |(axis, d): (usize, &Dim)| match d {
            Dim::Known(n) if *n >= 0 => Expr::constant(*n),
            _ => Expr::symbol(ecow::eco_format!("?*{}#{}{scope}.{axis}", model.name(v), v.index())),
        };
        let dims = t.shape.as_ref().map(|s| s.dims.iter().enumerate().map(dim).collect());
        element = Fact::tensor(inner.and_then(Type::elem), dims);
    } else if let (Some(inner), Some(depth)) = (inner, depth.checked_sub(1)) {
        element.other = other_fact_at(model, v, inner, scope, depth).map(Box::new);
    }
    Some(OtherFact { ty: ty.clone(), element, len: None })
}

/// The values of a function's attributes at a call: the call's own, else the function's defaults.
pub(super) fn bind(model: &Model, call: NodeId, f: FunctionId, outer: &[Attribute]) -> Vec<Attribute> {
    let n = model.node(call);
    let mut out: Vec<Attribute> = Vec::new();
    for a in n.attributes() {
        match &a.value {
            AttrValue::Ref { name, .. } => {
                let given = outer.iter().find(|o| o.name == *name);
                out.extend(given.map(|o| Attribute::new(&a.name, o.value.clone())));
            }
            _ => out.push(a.clone()),
        }
    }
    for d in &model.function(f).attribute_defaults {
        if !out.iter().any(|a| a.name == d.name) {
            out.push(d.clone());
        }
    }
    out
}
