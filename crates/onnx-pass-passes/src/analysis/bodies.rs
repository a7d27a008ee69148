//! Nodes with bodies: branches, loops, scans, maps over sequences, and calls of model-local functions.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{DataType, FunctionId, GraphId, NodeId, Type, TypeKind, ValueId};

use super::cx::{is_inside, made_up};
use super::driver::{Walk, bind};
use super::{Fact, OtherFact};

/// After so many rounds a loop's carried values are taken for unknown where they still change.
const ROUNDS: usize = 6;

impl Walk<'_, '_> {
    fn fact_of(&self, id: NodeId, slot: usize) -> Fact {
        self.model.node(id).input(slot).map_or_else(Fact::default, |v| self.a.fact(v).clone())
    }

    fn results(&self, g: GraphId) -> Vec<Fact> {
        self.model.graph(g).outputs().iter().map(|o| self.a.fact(o.value()).clone()).collect()
    }

    fn subgraph(&self, id: NodeId, name: &str) -> Option<GraphId> {
        self.model.node(id).attribute(name)?.as_graph()
    }

    /// Walks a graph one level deeper.
    fn enter(&mut self, g: GraphId) {
        self.depth += 1;
        self.graph(g);
        self.depth -= 1;
    }

    pub(super) fn fresh(&self, id: NodeId, k: usize, axis: usize) -> Expr {
        match self.model.node(id).output(k) {
            Some(v) => made_up(self.model, v, axis, &self.scope),
            None => Expr::symbol(ecow::eco_format!("?{id:?}{}:{k}.{axis}", self.scope)),
        }
    }

    pub(super) fn branch(&mut self, id: NodeId) {
        let (then, other) = (self.subgraph(id, "then_branch"), self.subgraph(id, "else_branch"));
        let (Some(then), Some(other)) = (then, other) else { return self.answer(id, &mut []) };
        let known = self.fact_of(id, 0).const_items().filter(|v| v.len() == 1).map(|v| v[0] != 0);
        if let Some(cond) = known {
            let taken = if cond { then } else { other };
            self.enter(taken);
            let mut out = self.results(taken);
            self.note_alternatives(id, None, &out);
            return self.answer(id, &mut out);
        }
        // What a branch proves of symbols holds only where it is taken.
        let mark = self.a.symbols.clone();
        self.enter(then);
        let a = self.results(then);
        self.a.symbols = mark.clone();
        self.enter(other);
        let b = self.results(other);
        self.a.symbols = mark;
        let joined = a.iter().zip(&b).enumerate();
        let mut out: Vec<Fact> =
            joined.map(|(k, (x, y))| join(x, y, &|axis| self.fresh(id, k, axis))).collect();
        self.note_alternatives(id, Some([&a, &b]), &out);
        self.answer(id, &mut out);
    }

    pub(super) fn repeat(&mut self, id: NodeId) {
        let Some(body) = self.subgraph(id, "body") else { return self.answer(id, &mut []) };
        let params = self.model.graph(body).inputs().to_vec();
        let carried = self.model.node(id).inputs().len().saturating_sub(2);
        if params.len() != carried + 2 || self.model.graph(body).outputs().len() < carried + 1 {
            return self.answer(id, &mut []);
        }
        let scalar = |t| Fact::tensor(Some(t), Some(Vec::new()));
        self.a.set(params[0], scalar(DataType::INT64));
        self.a.set(params[1], scalar(DataType::BOOL));
        let init: Vec<Fact> = (0..carried).map(|k| self.fact_of(id, k + 2)).collect();
        let state = self.settle_loop(body, &params[2..], init, 1);
        let results = self.results(body);
        let goes_on = |f: Option<&Fact>| f.is_some_and(|f| f.const_items().as_deref() == Some(&[1]));
        let cond_in = self.model.node(id).input(1).is_none() || goes_on(Some(&self.fact_of(id, 1)));
        let trip = self.fact_of(id, 0).items.as_ref().and_then(|i| i.first().cloned().flatten());
        let trip = trip.filter(|t| cond_in && goes_on(results.first()) && t.is_nonneg());
        let mut out: Vec<Fact> =
            state.into_iter().enumerate().map(|(k, f)| self.sealed(f, body, id, k)).collect();
        for (i, f) in results.into_iter().skip(carried + 1).enumerate() {
            let k = carried + i;
            let first = trip.clone().unwrap_or_else(|| self.fresh(id, k, 0));
            let f = self.sealed_from(f, body, id, k, 1);
            let shape = f.shape.map(|s| std::iter::once(first).chain(s.iter().cloned()).collect());
            out.push(Fact { dtype: f.dtype, shape, ..Fact::default() });
        }
        self.answer(id, &mut out);
    }

    /// Generalises carried values until a turn of the body changes nothing. Leaves the body analysed with the
    /// result, which holds before and after every turn. The body's first `skip` results are not carried.
    fn settle_loop(&mut self, body: GraphId, params: &[ValueId], init: Vec<Fact>, skip: usize) -> Vec<Fact> {
        let mut state = init;
        let mark = self.a.symbols.clone();
        let marked = (self.a.contradictions.len(), self.a.impossible.len(), self.a.narrow.len());
        let mut last = false;
        for round in 0.. {
            // When the time is up nothing is taken for known: then one turn is enough.
            last |= round > ROUNDS || self.budget == 0;
            if round >= ROUNDS || last {
                state = state.iter().zip(params).map(|(f, p)| self.widest(f, *p, !last)).collect();
            }
            for (p, f) in params.iter().zip(&state) {
                self.a.set(*p, f.clone());
            }
            self.a.symbols = mark.clone();
            self.a.contradictions.truncate(marked.0);
            self.a.impossible.truncate(marked.1);
            self.a.narrow.truncate(marked.2);
            self.enter(body);
            let after = self.results(body);
            let next: Vec<Fact> = (state.iter().zip(params).zip(after.iter().skip(skip)))
                .map(|((f, p), new)| join(f, new, &|axis| made_up(self.model, *p, axis, &self.scope)))
                .collect();
            if next == state || last {
                break;
            }
            state = next;
        }
        self.a.symbols = mark;
        state
    }

    /// Nothing known of a carried value but its type and, when `rank`, its rank.
    fn widest(&self, f: &Fact, p: ValueId, rank: bool) -> Fact {
        let rank = f.rank().filter(|_| rank);
        let shape = rank.map(|r| (0..r).map(|axis| made_up(self.model, p, axis, &self.scope)).collect());
        Fact { dtype: f.dtype, shape, ..Fact::default() }
    }

    /// What holds outside a body of a value inside it: lengths that are one turn's are not told.
    fn sealed(&self, f: Fact, body: GraphId, id: NodeId, k: usize) -> Fact {
        self.sealed_from(f, body, id, k, 0)
    }

    fn sealed_from(&self, mut f: Fact, body: GraphId, id: NodeId, k: usize, first: usize) -> Fact {
        let inside = |e: &Expr| e.symbols().iter().any(|s| is_inside(self.model, s, body));
        if let Some(shape) = &f.shape {
            let dim = |(axis, d): (usize, &Expr)| {
                if inside(d) { self.fresh(id, k, first + axis) } else { d.clone() }
            };
            f.shape = Some(shape.iter().enumerate().map(dim).collect());
        }
        if f.items.as_ref().is_some_and(|i| i.iter().flatten().any(inside)) {
            f.items = None;
        }
        f
    }

    pub(super) fn scan(&mut self, id: NodeId) {
        let n = self.model.node(id);
        let opset = self.model.opset(n.graph(), "").unwrap_or(1);
        let (Some(body), Some(scanned)) = (self.subgraph(id, "body"), n.int("num_scan_inputs")) else {
            return self.answer(id, &mut []);
        };
        let scanned = usize::try_from(scanned).unwrap_or(usize::MAX);
        let params = self.model.graph(body).inputs().to_vec();
        // Scan-8 has a batch axis and another order of inputs.
        let states = params.len().checked_sub(scanned);
        let Some(states) = states.filter(|_| opset >= 9 && n.inputs().len() == params.len()) else {
            return self.answer(id, &mut []);
        };
        let axes = |name: &str| n.ints(name).unwrap_or(&[]).to_vec();
        let (in_axes, out_axes) = (axes("scan_input_axes"), axes("scan_output_axes"));
        let mut turns: Option<Expr> = None;
        for (i, p) in params.iter().enumerate().skip(states) {
            let f = self.fact_of(id, i);
            let axis = in_axes.get(i - states).copied().unwrap_or(0);
            let mut element = Fact { dtype: f.dtype, ..Fact::default() };
            if let Some(shape) = &f.shape
                && let Some(axis) = super::NodeCx::axis(axis, shape.len())
            {
                let mut dims = shape.to_vec();
                let d = dims.remove(axis);
                turns = Some(turns.filter(|t| t.is_const()).unwrap_or(d));
                element.shape = Some(dims.into());
            }
            self.a.set(*p, element);
        }
        let init: Vec<Fact> = (0..states).map(|k| self.fact_of(id, k)).collect();
        if self.model.graph(body).outputs().len() < states {
            return self.answer(id, &mut []);
        }
        let state = self.settle_loop(body, &params[..states], init, 0);
        let mut out: Vec<Fact> =
            state.into_iter().enumerate().map(|(k, f)| self.sealed(f, body, id, k)).collect();
        for (k, f) in self.results(body).into_iter().enumerate().skip(states) {
            let f = self.sealed_from(f, body, id, k, 1);
            let shape = f.shape.and_then(|s| {
                let axis = out_axes.get(k - states).copied().unwrap_or(0);
                let axis = super::NodeCx::axis(axis, s.len() + 1)?;
                let mut dims = s.to_vec();
                dims.insert(axis, turns.clone().unwrap_or_else(|| self.fresh(id, k, 0)));
                Some(dims.into())
            });
            out.push(Fact { dtype: f.dtype, shape, ..Fact::default() });
        }
        self.answer(id, &mut out);
    }

    pub(super) fn sequence_map(&mut self, id: NodeId) {
        let Some(body) = self.subgraph(id, "body") else { return self.answer(id, &mut []) };
        let params = self.model.graph(body).inputs().to_vec();
        let mut len = None;
        for (i, p) in params.iter().enumerate() {
            let f = self.fact_of(id, i);
            let fact = match &f.other {
                Some(o) if matches!(o.ty.kind, TypeKind::Sequence(_)) => {
                    if i == 0 {
                        len = o.len.clone();
                    }
                    self.one_of(&o.element, *p)
                }
                _ => f,
            };
            self.a.set(*p, fact);
        }
        let mark = self.a.symbols.clone();
        self.enter(body);
        self.a.symbols = mark;
        let mut out = Vec::new();
        for (k, f) in self.results(body).into_iter().enumerate() {
            let elem = f.dtype.unwrap_or(DataType::UNDEFINED);
            let ty =
                Type { kind: TypeKind::Sequence(Some(Box::new(Type::tensor(elem, None)))), denotation: None };
            let element = self.varying(f, body, id, k);
            let other = OtherFact { ty, element, len: len.clone() };
            out.push(Fact { other: Some(Box::new(other)), ..Fact::default() });
        }
        self.answer(id, &mut out);
    }

    /// One element of a sequence as `p`: lengths that differ from element to element get symbols of their own.
    fn one_of(&self, element: &Fact, p: ValueId) -> Fact {
        let own = |(axis, d): (usize, &Expr)| match d.symbols().iter().any(|s| s.starts_with("?*")) {
            true => made_up(self.model, p, axis, &self.scope),
            false => d.clone(),
        };
        let shape = element.shape.as_ref().map(|s| s.iter().enumerate().map(own).collect());
        Fact { dtype: element.dtype, shape, ..Fact::default() }
    }

    /// The reverse: what holds of every element of a sequence that a body makes one element of.
    fn varying(&self, f: Fact, body: GraphId, id: NodeId, k: usize) -> Fact {
        let inside = |e: &Expr| e.symbols().iter().any(|s| is_inside(self.model, s, body));
        let dim = |(axis, d): (usize, &Expr)| match inside(d) {
            true => Expr::symbol(ecow::eco_format!("?*{id:?}{}:{k}.{axis}", self.scope)),
            false => d.clone(),
        };
        let shape = f.shape.as_ref().map(|s| s.iter().enumerate().map(dim).collect());
        Fact { dtype: f.dtype, shape, ..Fact::default() }
    }

    pub(super) fn call(&mut self, id: NodeId, f: FunctionId) {
        let body = self.model.function(f).graph();
        let params = self.model.graph(body).inputs().to_vec();
        let facts: Vec<Fact> = (0..params.len()).map(|k| self.fact_of(id, k)).collect();
        for (p, f) in params.iter().zip(facts) {
            self.a.set(*p, f);
        }
        let bindings = bind(self.model, id, f, &self.bindings);
        let outer = std::mem::replace(&mut self.bindings, bindings);
        let scope = self.scope.len();
        self.scope.push_str(&format!("@{}", id.index()));
        self.calls.push(f);
        self.callers.push(id);
        self.enter(body);
        self.callers.pop();
        self.calls.pop();
        self.scope.truncate(scope);
        self.bindings = outer;
        let mut out = self.results(body);
        self.forget(body);
        self.answer(id, &mut out);
    }

    /// Drops what is known inside a function's body: it is one call's.
    fn forget(&mut self, body: GraphId) {
        for g in self.model.graphs_in(body) {
            for &v in self.model.graph(g).inputs() {
                self.a.set(v, Fact::default());
            }
            for (_, n) in self.model.nodes(g) {
                for v in n.outputs().iter().flatten() {
                    self.a.set(*v, Fact::default());
                }
            }
        }
    }
}

/// What holds of a value that is one of two.
fn join(a: &Fact, b: &Fact, fresh: &dyn Fn(usize) -> Expr) -> Fact {
    let mut out = Fact { dtype: a.dtype.filter(|t| b.dtype == Some(*t)), ..Fact::default() };
    if let (Some(x), Some(y)) = (&a.shape, &b.shape)
        && x.len() == y.len()
    {
        let dim = |(axis, (d, e)): (usize, (&Expr, &Expr))| if d == e { d.clone() } else { fresh(axis) };
        out.shape = Some(x.iter().zip(y.iter()).enumerate().map(dim).collect());
    }
    if let (Some(x), Some(y)) = (&a.items, &b.items)
        && a.shape == b.shape
        && x.len() == y.len()
    {
        let items: Vec<Option<Expr>> =
            x.iter().zip(y.iter()).map(|(p, q)| if p == q { p.clone() } else { None }).collect();
        if items.is_empty() || items.iter().any(Option::is_some) {
            out.items = Some(items.into());
        }
    }
    if let (Some(s), Some(t)) = (&a.tensor, &b.tensor)
        && (Fact { tensor: Some(s.clone()), ..Fact::default() })
            == (Fact { tensor: Some(t.clone()), ..Fact::default() })
    {
        out.tensor = Some(s.clone());
    }
    if let (Some(s), Some(t)) = (&a.other, &b.other)
        && s.ty == t.ty
    {
        let element =
            join(&s.element, &t.element, &|axis| Expr::symbol(ecow::eco_format!("?*{}", fresh(axis))));
        let len = s.len.clone().filter(|l| t.len.as_ref() == Some(l));
        out.other = Some(Box::new(OtherFact { ty: s.ty.clone(), element, len }));
    }
    out
}
