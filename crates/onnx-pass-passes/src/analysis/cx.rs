//! What a shape rule sees of its node, and how it answers.

use std::sync::Arc;

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{AttrValue, Attribute, DataType, GraphId, Model, Node, NodeId, Tensor, ValueId};

use super::{Fact, Impossible, MAX_ITEMS, SymItems, SymShape};

/// A node, what is known of its inputs, and what its rule finds out of its outputs.
pub struct NodeCx<'a> {
    /// The model.
    pub model: &'a Model,
    /// The node.
    pub id: NodeId,
    /// The node.
    pub node: &'a Node,
    /// What is known of the model's values, the node's inputs among them.
    pub facts: &'a [Fact],
    /// The answers, one an output. They start as nothing.
    pub outputs: &'a mut [Fact],
    /// What is known of symbols. Rules may add equalities that every run must satisfy.
    pub symbols: &'a mut Facts,
    /// Values of the attributes that the body of a function refers to, at this call.
    pub bindings: &'a [Attribute],
    /// Lengths that must agree and cannot; rules add to it through [`NodeCx::must_equal`].
    pub impossible: &'a mut Vec<Impossible>,
    /// Lengths of 0 that are broadcast to unknown ones.
    pub narrow: &'a mut Vec<Impossible>,
    /// Pairs of lengths that are broadcast to each other and are not known to be equal.
    pub disputes: &'a mut Vec<(Expr, Expr)>,
    /// The chain of calls that leads to this body; empty outside functions. It tells made-up symbols of
    /// different calls apart.
    pub scope: &'a str,
}

impl<'a> NodeCx<'a> {
    /// What is known of input `k`, if it is there.
    #[inline]
    pub fn input(&self, k: usize) -> Option<&'a Fact> {
        self.facts.get(self.node.input(k)?.index())
    }

    /// What is known of the inputs that are there.
    pub fn given(&self) -> impl Iterator<Item = &'a Fact> + use<'a> {
        let facts = self.facts;
        self.node.inputs().iter().flatten().filter_map(move |v| facts.get(v.index()))
    }

    /// The version of the node's domain that is imported where it stands (1 when nothing is).
    pub fn opset(&self) -> i64 {
        self.model.opset(self.node.graph(), self.node.domain()).unwrap_or(1)
    }

    /// True when input `k` is given.
    pub fn has_input(&self, k: usize) -> bool {
        self.input(k).is_some()
    }

    /// The shape of input `k`.
    pub fn shape(&self, k: usize) -> Option<&'a [Expr]> {
        self.input(k)?.shape.as_deref()
    }

    /// The rank of input `k`.
    pub fn rank(&self, k: usize) -> Option<usize> {
        self.shape(k).map(<[Expr]>::len)
    }

    /// The element type of input `k`.
    pub fn dtype(&self, k: usize) -> Option<DataType> {
        self.input(k)?.dtype
    }

    /// The symbolic contents of input `k`.
    pub fn items(&self, k: usize) -> Option<SymItems> {
        self.input(k)?.items.clone()
    }

    /// The symbolic contents of input `k`, if every element is known.
    pub fn exprs(&self, k: usize) -> Option<Vec<Expr>> {
        self.input(k)?.items.as_ref()?.iter().cloned().collect()
    }

    /// The contents of input `k`, if they are known integers.
    pub fn ints(&self, k: usize) -> Option<Vec<i64>> {
        self.input(k)?.const_items()
    }

    /// The contents of input `k`, if they are the same in every run.
    pub fn tensor(&self, k: usize) -> Option<Arc<Tensor>> {
        self.input(k)?.tensor.clone()
    }

    /// An attribute; a reference to the enclosing function's attribute is resolved.
    pub fn attr(&self, name: &str) -> Option<&'a AttrValue> {
        match &self.node.attribute(name)?.value {
            AttrValue::Ref { name, .. } => self.bindings.iter().find(|a| a.name == *name).map(|a| &a.value),
            v => Some(v),
        }
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attr(name)? {
            AttrValue::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// An integer attribute, or its default.
    pub fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    /// An integer-list attribute.
    pub fn int_list(&self, name: &str) -> Option<&'a [i64]> {
        match self.attr(name)? {
            AttrValue::Ints(v) => Some(v),
            _ => None,
        }
    }

    /// A string attribute.
    pub fn str(&self, name: &str) -> Option<&'a str> {
        match self.attr(name)? {
            AttrValue::String(s) => std::str::from_utf8(s).ok(),
            _ => None,
        }
    }

    /// A tensor attribute.
    pub fn tensor_attr(&self, name: &str) -> Option<&'a Arc<Tensor>> {
        match self.attr(name)? {
            AttrValue::Tensor(t) => Some(t),
            _ => None,
        }
    }

    /// An axis counted from the end made one counted from the front; `None` when it is out of range.
    pub fn axis(axis: i64, rank: usize) -> Option<usize> {
        let rank = rank as i64;
        let a = if axis < 0 { axis + rank } else { axis };
        (0..rank).contains(&a).then_some(a as usize)
    }

    /// Answers type and shape of output `k`.
    pub fn set(&mut self, k: usize, dtype: Option<DataType>, shape: Option<Vec<Expr>>) {
        self.set_fact(k, Fact::tensor(dtype, shape));
    }

    /// Answers type and shape of output `k`, the shape being one that is there already.
    pub fn set_shared(&mut self, k: usize, dtype: Option<DataType>, shape: Option<SymShape>) {
        self.set_fact(k, Fact { dtype, shape, ..Fact::default() });
    }

    /// The shape of input `k`, to be shared.
    pub fn shared_shape(&self, k: usize) -> Option<SymShape> {
        self.input(k)?.shape.clone()
    }

    /// Answers output `k`.
    pub fn set_fact(&mut self, k: usize, fact: Fact) {
        if let Some(out) = self.outputs.get_mut(k) {
            *out = fact;
        }
    }

    /// Answers output `k` as an integer tensor of a constant shape with these symbolic contents (left out when
    /// there are too many or none is known).
    pub fn set_items(&mut self, k: usize, dtype: DataType, dims: &[i64], items: Vec<Option<Expr>>) {
        let shape = dims.iter().map(|d| Expr::constant(*d)).collect();
        self.set_shared(k, Some(dtype), Some(shape));
        self.add_items(k, items);
    }

    /// Adds symbolic contents to answer `k`, whose shape is set (left out when there are too many or none is known).
    pub fn add_items(&mut self, k: usize, items: Vec<Option<Expr>>) {
        let Some(out) = self.outputs.get_mut(k) else { return };
        let fits = items.len() <= MAX_ITEMS && out.count() == Some(items.len());
        if fits && (items.is_empty() || items.iter().any(Option::is_some)) {
            out.items = Some(items.into());
        }
    }

    /// A symbol for a length that is not known before the model runs: axis `axis` of output `k`. The same at
    /// every analysis of the same node.
    pub fn fresh(&self, k: usize, axis: usize) -> Expr {
        match self.node.output(k) {
            Some(v) => made_up(self.model, v, axis, self.scope),
            None => Expr::symbol(ecow::eco_format!("?{:?}{}:{k}.{axis}", self.id, self.scope)),
        }
    }

    /// A shape of `rank` unknown lengths.
    pub fn fresh_shape(&self, k: usize, rank: usize) -> Vec<Expr> {
        (0..rank).map(|a| self.fresh(k, a)).collect()
    }

    /// True when the two lengths are the same in every run.
    pub fn same(&self, a: &Expr, b: &Expr) -> bool {
        a == b || self.symbols.equal(a, b) == Some(true)
    }

    /// The lesser of two lengths.
    pub fn min(&self, a: &Expr, b: &Expr) -> Expr {
        if self.symbols.surely_le(a, b) {
            a.clone()
        } else if self.symbols.surely_le(b, a) {
            b.clone()
        } else {
            a.min(b)
        }
    }

    /// The greater of two lengths.
    pub fn max(&self, a: &Expr, b: &Expr) -> Expr {
        if self.symbols.surely_le(a, b) {
            b.clone()
        } else if self.symbols.surely_le(b, a) {
            a.clone()
        } else {
            a.max(b)
        }
    }

    /// True when the expression is at least 0 in every run.
    pub fn nonneg(&self, e: &Expr) -> bool {
        e.is_nonneg() || self.symbols.least(e).is_some_and(|lo| lo >= 0)
    }

    /// True when the expression is at least 1 in every run.
    pub fn positive(&self, e: &Expr) -> bool {
        e.is_positive() || self.symbols.least(e).is_some_and(|lo| lo >= 1)
    }

    /// Of two lengths that must agree the plainer one; notes that they must.
    pub fn agree(&mut self, a: &Expr, b: &Expr) -> Expr {
        self.must_equal(a, b);
        let made_up = |e: &Expr| e.as_symbol().is_some_and(super::is_made_up);
        if b.is_const() || (!a.is_const() && made_up(a)) { b.clone() } else { a.clone() }
    }

    /// Notes that two lengths must agree, or the model fails when run. Two that cannot are kept in
    /// [`super::Analysis::impossible`].
    pub fn must_equal(&mut self, a: &Expr, b: &Expr) {
        if a != b && self.symbols.assert_equal(a, b).is_err() {
            let (left, right) = (a.clone(), b.clone());
            self.impossible.push(Impossible { node: self.id, left, right });
        }
    }

    /// The length that two broadcast lengths make. Two different unknown ones may be equal or one of them 1,
    /// and the greater is right in every case (a length of zero against one excepted, where it is zero).
    pub fn broadcast_dim(&mut self, a: &Expr, b: &Expr) -> Expr {
        if a == b || b.is_one() {
            return a.clone();
        }
        if a.is_one() {
            return b.clone();
        }
        if a.is_zero() || b.is_zero() {
            if !a.is_const() || !b.is_const() {
                self.narrow.push(Impossible { node: self.id, left: a.clone(), right: b.clone() });
            }
            return Expr::constant(0);
        }
        if self.symbols.equal(a, b) == Some(true) {
            return if b.is_const() { b.clone() } else { a.clone() };
        }
        if let Some(d) = unless_zero(a, b).or_else(|| unless_zero(b, a)) {
            return d;
        }
        let over_one = |s: &Facts, e: &Expr| s.least(e).is_some_and(|lo| lo > 1);
        if over_one(self.symbols, a) && over_one(self.symbols, b) {
            // Neither can be stretched.
            return self.agree(a, b);
        }
        self.disputes.push((a.clone(), b.clone()));
        if over_one(self.symbols, a) {
            return a.clone();
        }
        if over_one(self.symbols, b) {
            return b.clone();
        }
        let never_less = |a: &Expr, b: &Expr| self.symbols.least(&a.sub(b)).is_some_and(|lo| lo >= 0);
        match (never_less(a, b), never_less(b, a)) {
            (true, _) => a.clone(),
            (_, true) => b.clone(),
            _ => a.max(b),
        }
    }

    /// Whether one shape broadcast to another is seen at a look to be that other.
    pub fn covers(big: &[Expr], small: &[Expr]) -> bool {
        let skip = big.len().checked_sub(small.len());
        skip.is_some_and(|skip| big[skip..].iter().zip(small).all(|(x, y)| y.is_one() || x == y))
    }

    /// As [`NodeCx::broadcast`], of shapes of which the greater is mostly the answer.
    pub fn broadcast_shared(&mut self, a: SymShape, b: SymShape) -> SymShape {
        if Self::covers(&a, &b) {
            a
        } else if Self::covers(&b, &a) {
            b
        } else {
            self.broadcast(&a, &b).into()
        }
    }

    /// The shape that broadcasting makes (numpy's rule).
    pub fn broadcast(&mut self, a: &[Expr], b: &[Expr]) -> Vec<Expr> {
        let rank = a.len().max(b.len());
        let one = Expr::constant(1);
        (0..rank)
            .map(|i| {
                let at = |s: &[Expr]| (i + s.len()).checked_sub(rank).map_or(one.clone(), |k| s[k].clone());
                let (x, y) = (at(a), at(b));
                self.broadcast_dim(&x, &y)
            })
            .collect()
    }
}

/// A symbolic length that another one is equal to unless the first is 0. Broadcast to each other they give the first in
/// every run: where it is 0 the other has to be 0 or 1.
fn unless_zero(a: &Expr, b: &Expr) -> Option<Expr> {
    let symbol = a.as_symbol().filter(|s| b.mentions(s))?;
    let above = a.add(&Expr::ONE);
    let shifted = b.substitute(&|s| (s == symbol).then(|| above.clone()));
    (shifted == above).then(|| a.clone())
}

/// The made-up symbol of an axis of a value. Values of different graphs may share a name, and a function's
/// body is another one at each call, so graph and call chain are part of the symbol's name.
pub(super) fn made_up(model: &Model, v: ValueId, axis: usize, scope: &str) -> Expr {
    let value = model.value(v);
    let name = value.name();
    if value.graph() == model.main() && !name.contains('#') {
        Expr::symbol(ecow::eco_format!("?{name}.{axis}"))
    } else {
        Expr::symbol(ecow::eco_format!("?{name}#{}{scope}.{axis}", value.graph().index()))
    }
}

/// True when a symbol is made up for a value inside `body`, or inside a function that is called from there.
/// Such a length is one turn's of a loop and means nothing outside.
pub(super) fn is_inside(model: &Model, symbol: &str, body: GraphId) -> bool {
    let Some((rest, _axis)) = symbol.strip_prefix('?').and_then(|s| s.rsplit_once('.')) else {
        return false;
    };
    let Some((_, place)) = rest.rsplit_once('#') else { return false };
    let mut parts = place.split('@').map(|s| s.parse::<usize>().ok());
    let graph = parts.next().flatten().filter(|g| *g < model.graph_capacity()).map(GraphId::new);
    let calls = parts.flatten().filter(|n| *n < model.node_capacity());
    graph.into_iter().chain(calls.map(|n| model.node(NodeId::new(n)).graph())).any(|g| within(model, g, body))
}

/// True when `graph` is `body` or stands inside it.
fn within(model: &Model, graph: GraphId, body: GraphId) -> bool {
    let mut at = Some(graph);
    while let Some(g) = at {
        if g == body {
            return true;
        }
        at = model.graph(g).parent();
    }
    false
}
