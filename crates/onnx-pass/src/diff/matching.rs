//! Which node of one model is which node of the other: by what they compute, by who reads them, by the weights
//! that they read, by their neighbours, and by name last.

use std::collections::{HashMap, HashSet, VecDeque};

use onnx_pass_ir::{Def, Model, NodeId, Use, ValueId};

use super::nodes::origin;
use super::weights::FEWEST;
use crate::structure::hash::{self, External, Hash, Hashes};
use crate::structure::{self, all_nodes, function_of};

/// A value with more readers than this (a shared constant) tells nothing about any of them.
const MOST_READERS: usize = 64;

/// How many values are looked at between two nodes.
const MOST_BETWEEN: usize = 48;

/// Two models side by side.
pub(crate) struct Sides<'m> {
    pub a: Side<'m>,
    pub b: Side<'m>,
    /// How weights in other files are told apart.
    pub external: External,
}

/// One of two models.
pub(crate) struct Side<'m> {
    pub m: &'m Model,
    /// The nodes, but for constants, which are values.
    pub nodes: Vec<NodeId>,
    /// How many `Constant` nodes there are.
    pub constants: usize,
    pub hashes: Hashes,
    /// The hashes of all constants.
    contents: HashSet<Hash>,
    /// The other side's node. By node.
    pub partner: Vec<Option<NodeId>>,
    /// The key of an input of the main graph: equal for the two that are one.
    pub inputs: HashMap<ValueId, String>,
}

impl<'m> Side<'m> {
    fn new(m: &'m Model, external: External, inputs: HashMap<ValueId, String>) -> Self {
        let key = |v: ValueId| inputs.get(&v).cloned().unwrap_or_default();
        let hashes = hash::of(m, external, &key);
        let (constants, nodes): (Vec<_>, Vec<_>) =
            all_nodes(m).into_iter().partition(|n| m.constant_node(*n).is_some());
        let contents = structure::constants(m).iter().map(|(v, _)| hashes.value[v.index()]).collect();
        let partner = vec![None; m.node_capacity()];
        Side { m, nodes, constants: constants.len(), hashes, contents, partner, inputs }
    }

    pub fn partner(&self, n: NodeId) -> Option<NodeId> {
        self.partner.get(n.index()).copied().flatten()
    }

    fn open(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().copied().filter(|n| self.partner(*n).is_none())
    }

    /// The value and those above it that nodes without a partner make it of: the nearest first.
    fn through_open(&self, v: ValueId) -> Vec<ValueId> {
        let mut out = vec![v];
        let mut at = 0;
        while let (Some(v), true) = (out.get(at).copied(), out.len() < MOST_BETWEEN) {
            at += 1;
            let producer = self.m.value(v).producer();
            let Some(n) = producer.filter(|n| self.partner(*n).is_none()) else { continue };
            let inputs = self.m.node(n).inputs().iter().flatten();
            let above: Vec<ValueId> = inputs.filter(|v| self.m.constant(**v).is_none()).copied().collect();
            above.into_iter().for_each(|v| {
                if !out.contains(&v) {
                    out.push(v);
                }
            });
        }
        out
    }

    fn context(&self, n: NodeId) -> &'m str {
        function_of(self.m, self.m.node(n).graph()).unwrap_or("")
    }
}

/// Matches the nodes of two models. `inputs` are the keys of the main graphs' inputs.
pub(crate) fn sides<'m>(
    a: &'m Model,
    b: &'m Model,
    inputs: (HashMap<ValueId, String>, HashMap<ValueId, String>),
) -> Sides<'m> {
    let external = External::between(a, b);
    let mut s = Sides { a: Side::new(a, external, inputs.0), b: Side::new(b, external, inputs.1), external };
    s.by_key(|side, n| Some((side.hashes.down[n.index()], side.context(n))), false);
    if s.a.open().next().is_some() && s.b.open().next().is_some() {
        s.by_key(|side, n| Some((side.hashes.up[n.index()], side.context(n))), false);
        s.by_key(anchor, true);
        s.by_neighbours();
        s.by_key(named, true);
        s.by_neighbours();
    }
    s
}

/// A node and the weights that it reads: in a model with trained weights there is only one such.
fn anchor<'m>(side: &Side<'m>, n: NodeId) -> Option<(Hash, Vec<Hash>, &'m str)> {
    let weight = |v: &ValueId| {
        let large = side.m.constant(*v)?.len().is_ok_and(|n| n >= FEWEST);
        large.then(|| side.hashes.value[v.index()])
    };
    let weights: Vec<Hash> = side.m.node(n).inputs().iter().flatten().filter_map(weight).collect();
    (!weights.is_empty()).then(|| (side.hashes.local[n.index()], weights, side.context(n)))
}

fn named<'m>(side: &Side<'m>, n: NodeId) -> Option<(&'m str, &'m str, &'m str)> {
    let m: &'m Model = side.m;
    let node = m.node(n);
    let output = node.outputs().iter().flatten().next()?;
    Some((node.op_type(), m.name(*output), side.context(n)))
}

impl<'m> Sides<'m> {
    fn pair(&mut self, a: NodeId, b: NodeId) {
        self.a.partner[a.index()] = Some(b);
        self.b.partner[b.index()] = Some(a);
    }

    /// Pairs open nodes with equal keys, in order; with `unique`, only those whose key no other has.
    fn by_key<K: std::hash::Hash + Eq>(
        &mut self,
        key: impl Fn(&Side<'m>, NodeId) -> Option<K>,
        unique: bool,
    ) {
        let mut table: HashMap<K, (Vec<NodeId>, Vec<NodeId>)> = HashMap::new();
        for n in self.a.open() {
            if let Some(k) = key(&self.a, n) {
                table.entry(k).or_default().0.push(n);
            }
        }
        for n in self.b.open() {
            if let Some((_, list)) = key(&self.b, n).and_then(|k| table.get_mut(&k)) {
                list.push(n);
            }
        }
        for (of_a, of_b) in table.into_values() {
            if !unique || (of_a.len() == 1 && of_b.len() == 1) {
                of_a.into_iter().zip(of_b).for_each(|(a, b)| self.pair(a, b));
            }
        }
    }

    /// From each pair to what it reads and what reads it, as long as that finds more.
    fn by_neighbours(&mut self) {
        let pairs = self.a.nodes.iter().filter_map(|a| Some((*a, self.a.partner(*a)?)));
        let mut queue: VecDeque<(NodeId, NodeId)> = pairs.collect();
        while let Some((a, b)) = queue.pop_front() {
            for (x, y) in self.above(a, b).into_iter().chain(self.below(a, b)) {
                let open = self.a.partner(x).is_none() && self.b.partner(y).is_none();
                if open && self.alike(x, y) {
                    self.pair(x, y);
                    queue.push_back((x, y));
                }
            }
        }
    }

    fn alike(&self, a: NodeId, b: NodeId) -> bool {
        let (x, y) = (self.a.m.node(a), self.b.m.node(b));
        (x.op_type(), x.domain()) == (y.op_type(), y.domain()) && self.a.context(a) == self.b.context(b)
    }

    fn above(&self, a: NodeId, b: NodeId) -> Vec<(NodeId, NodeId)> {
        let producer = |m: &Model, v: &Option<ValueId>| v.and_then(|v| m.value(v).producer());
        let (x, y) = (self.a.m.node(a).inputs(), self.b.m.node(b).inputs());
        x.iter().zip(y).filter_map(|(v, w)| producer(self.a.m, v).zip(producer(self.b.m, w))).collect()
    }

    /// Readers of the same output at the same slot: those that are the same by themselves first.
    fn below(&self, a: NodeId, b: NodeId) -> Vec<(NodeId, NodeId)> {
        let (x, y) = (self.a.m.node(a).outputs(), self.b.m.node(b).outputs());
        let mut out = Vec::new();
        for (v, w) in x.iter().zip(y).filter_map(|(v, w)| v.zip(*w)) {
            let (of_a, of_b) = (readers(&self.a, v), readers(&self.b, w));
            if of_a.len().max(of_b.len()) > MOST_READERS {
                continue;
            }
            for same_local in [true, false] {
                for (n, slot) in &of_a {
                    let mut fits = of_b.iter().filter(|(other, s)| {
                        let local = self.a.hashes.local[n.index()] == self.b.hashes.local[other.index()];
                        s == slot && self.alike(*n, *other) && (local || !same_local)
                    });
                    if let (Some((other, _)), None) = (fits.next(), fits.next()) {
                        out.push((*n, *other));
                    }
                }
            }
        }
        out
    }

    /// Whether two values are the same thing, apart from what is above them: outputs of partners, one input,
    /// constants with the same contents.
    pub fn same_value(&self, v: ValueId, w: ValueId) -> bool {
        let (x, y) = (self.a.m.value(v), self.b.m.value(w));
        if self.a.hashes.value[v.index()] == self.b.hashes.value[w.index()] {
            return true;
        }
        if self.a.m.constant(v).is_some() || self.b.m.constant(w).is_some() {
            return false;
        }
        match (x.def(), y.def()) {
            (Def::Node { node: a, index: i }, Def::Node { node: b, index: k }) => {
                // Of nodes that compute the same, one may stand for several.
                let (down_a, down_b) = (&self.a.hashes.down, &self.b.hashes.down);
                let same_in_a = |n: NodeId| down_a[n.index()] == down_a[a.index()];
                let same_in_b = |n: NodeId| down_b[n.index()] == down_b[b.index()];
                i == k
                    && (self.b.partner(b).is_some_and(same_in_a) || self.a.partner(a).is_some_and(same_in_b))
            }
            (Def::Input, Def::Input) => match (self.a.inputs.get(&v), self.b.inputs.get(&w)) {
                (Some(a), Some(b)) => a == b,
                // Inputs of subgraphs and functions: by their place.
                (None, None) => place(self.a.m, v) == place(self.b.m, w),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether two values are the same, or the nodes between them and the same value are all gone or new, so that
    /// these tell of the change.
    pub fn same_or_told(&self, v: ValueId, w: ValueId) -> bool {
        if self.same_value(v, w) {
            return true;
        }
        let (of_a, of_b) = (self.a.through_open(v), self.b.through_open(w));
        of_a.iter().any(|v| of_b.iter().any(|w| self.same_value(*v, *w)))
    }

    /// Whether two constants are weights whose contents the other model has nowhere: the weights tell of them.
    pub fn told_by_weights(&self, v: ValueId, w: ValueId) -> bool {
        let large = |side: &Side<'_>, v: ValueId| {
            side.m.constant(v).is_some_and(|t| t.len().is_ok_and(|n| n >= FEWEST))
        };
        large(&self.a, v)
            && large(&self.b, w)
            && !self.b.contents.contains(&self.a.hashes.value[v.index()])
            && !self.a.contents.contains(&self.b.hashes.value[w.index()])
    }

    /// The operators of two outputs whose nodes both have a partner, which is not the other.
    pub fn rewired(&self, v: ValueId, w: ValueId) -> Option<(String, String)> {
        (!self.same_or_told(v, w)).then(|| (origin(self.a.m, v), origin(self.b.m, w)))
    }
}

fn place(m: &Model, v: ValueId) -> Option<usize> {
    m.graph(m.value(v).graph()).inputs().iter().position(|i| *i == v)
}

fn readers(side: &Side<'_>, v: ValueId) -> Vec<(NodeId, u32)> {
    let uses = side.m.value(v).uses().iter().filter_map(|u| match *u {
        Use::Node { node, slot } if side.partner(node).is_none() => Some((node, slot)),
        _ => None,
    });
    let mut out: Vec<_> = uses.collect();
    // Use lists have no order of their own.
    out.sort_unstable();
    out
}
