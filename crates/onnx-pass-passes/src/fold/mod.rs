//! What is known becomes a constant, what does nothing goes, what is there twice is there once.
//!
//! Every rule holds for every run of the model: it rests on the facts of [`crate::analysis`] and on what the
//! operators mean. Rules run over the nodes in order until none applies.

mod bodies;
mod cones;
mod constants;
mod eval;
mod layout;
mod numbering;
mod rules;
mod targets;
#[cfg(test)]
mod tests;
mod through;

pub(crate) use eval::evaluate;

use std::collections::VecDeque;

use onnx_pass_ir::{GraphId, Model, NodeId, Use};
use smallvec::SmallVec;

use crate::analysis::Analysis;
use crate::pass::{PassContext, PassError};
use crate::passes::eliminate_dead_code;

/// Rounds of analysis and rules. Each settles what the one before made possible; real models need three.
const MAX_ROUNDS: usize = 64;
/// Steps of one round over a graph, for each of its nodes.
const MAX_STEPS: usize = 32;

/// Which rules run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Known results become constants; known branches and loops are inlined.
    pub constants: bool,
    /// Nodes that hand their operand on go; sequences of them are shortened.
    pub identities: bool,
    /// What is computed twice is computed once.
    pub common: bool,
    /// A constant of at most this many bytes is made always, a larger one only when it replaces as much.
    pub max_bytes: usize,
}

impl Rules {
    /// No rule.
    pub const NONE: Rules =
        Rules { constants: false, identities: false, common: false, max_bytes: DEFAULT_MAX_BYTES };
    /// All of them.
    pub const ALL: Rules = Rules { constants: true, identities: true, common: true, ..Rules::NONE };
}

/// Constants up to this size take little more room than the nodes that they replace.
pub const DEFAULT_MAX_BYTES: usize = 1024;

/// Applies every rule, and removes dead code, until nothing changes. Gives whether anything did.
///
/// # Errors
/// None that a sound model causes.
pub fn simplify(m: &mut Model, cx: &mut PassContext) -> Result<bool, PassError> {
    run(m, cx, Rules::ALL)
}

/// As [`simplify`], with some rules only.
///
/// # Errors
/// As [`simplify`].
pub fn run(m: &mut Model, cx: &mut PassContext, rules: Rules) -> Result<bool, PassError> {
    let before = m.revision();
    eliminate_dead_code::sweep(m, cx)?;
    for _ in 0..MAX_ROUNDS {
        let start = m.revision();
        if cx.is_settled(m, rules) {
            break;
        }
        let analysis = cx.take_analysis(m);
        let mut f = Folder { analysis, cx, rules, stale: false };
        for g in m.live_graphs() {
            f.graph(m, g)?;
        }
        let Folder { analysis, stale, .. } = f;
        if m.revision() == start {
            cx.keep_analysis(m, analysis);
            cx.note_settled(m, rules);
            break;
        }
        eliminate_dead_code::sweep(m, cx)?;
        if !stale {
            cx.keep_analysis(m, analysis);
        }
    }
    Ok(m.revision() != before)
}

/// One round over the model.
struct Folder<'c> {
    analysis: Analysis,
    cx: &'c mut PassContext,
    rules: Rules,
    /// Whether the analysis of the model as it is now may say more than the one at hand: not so while readers
    /// have come to read other values of which the same is known.
    stale: bool,
}

impl Folder<'_> {
    /// The nodes of a graph in order; after a change the node and its readers once more, and what was inlined.
    fn graph(&mut self, m: &mut Model, g: GraphId) -> Result<(), PassError> {
        let rules = self.rules.constants || self.rules.identities;
        let mut queue = Queue::of(m, if rules { m.node_ids(g) } else { Vec::new() });
        let mut steps = queue.nodes.len().saturating_mul(MAX_STEPS);
        while let Some(n) = queue.pop() {
            if !m.is_live_node(n) || m.node(n).graph() != g {
                continue;
            }
            steps = steps.saturating_sub(1);
            let fitting = self.fitting(m, n);
            if !fitting.constants && !fitting.identities {
                continue;
            }
            let mut readers = readers(m, n);
            let inner: Vec<NodeId> = if m.node(n).has_subgraphs() {
                m.node(n).subgraphs().flat_map(|b| m.node_ids(b)).collect()
            } else {
                Vec::new()
            };
            let start = m.revision();
            let known = self.node(m, n, fitting)?;
            if m.revision() == start {
                continue;
            }
            if !known && m.is_live_node(n) {
                self.analysis.update(m, n);
            }
            if steps == 0 {
                break;
            }
            // What was inlined comes before the node.
            if m.is_live_node(n) {
                queue.push_first(n);
            }
            let moved = inner.into_iter().filter(|i| m.is_live_node(*i) && m.node(*i).graph() == g);
            moved.rev().for_each(|x| queue.push_first(x));
            readers.sort_unstable();
            readers.into_iter().for_each(|x| queue.push_last(x));
        }
        if self.rules.common {
            let merged = numbering::merge(m, &self.analysis, g)?;
            self.stale |= merged > 0;
            self.cx.count("computed once instead of twice", merged);
        }
        Ok(())
    }

    /// The rules that may fit a node, as is seen without looking at what stands around it: with most nodes none.
    fn fitting(&self, m: &Model, n: NodeId) -> Rules {
        let rules = self.rules;
        Rules {
            constants: rules.constants
                && (constants::concern(m, &self.analysis, n) || targets::concern(m, n)),
            identities: rules.identities && rules::concern(m, &self.analysis, n),
            ..rules
        }
    }

    /// Applies rules to a node. Gives whether the analysis is up to date with what they made of it.
    fn node(&mut self, m: &mut Model, n: NodeId, rules: Rules) -> Result<bool, PassError> {
        if rules.constants && constants::fold(m, &mut self.analysis, n, rules.max_bytes)? {
            self.stale = true;
            self.cx.count("results folded to constants", 1);
            return Ok(false);
        }
        let start = m.revision();
        if rules.constants && m.is_live_node(n) {
            match m.node(n).op_type() {
                "If" => bodies::branch(m, &self.analysis, n)?,
                "Loop" => bodies::repeat(m, &mut self.analysis, n)?,
                _ => {}
            }
            if m.revision() != start {
                self.stale = true;
                self.cx.count("bodies inlined", 1);
                return Ok(false);
            }
        }
        let mut known = rules.identities && m.is_live_node(n) && self.identity(m, n)?;
        if m.revision() == start && m.is_live_node(n) && rules.constants {
            targets::shorten(m, &mut self.analysis, n)?;
            known &= m.revision() == start;
            self.stale |= m.revision() != start;
        }
        if m.revision() != start {
            self.cx.count("nodes simplified", 1);
        }
        Ok(known)
    }

    /// Applies the rules for identities, and sees whether the analysis outlives what they did. Gives whether it is
    /// up to date with the node.
    fn identity(&mut self, m: &mut Model, n: NodeId) -> Result<bool, PassError> {
        let start = m.revision();
        let out = m.node(n).output(0);
        let transposed = m.node(n).is("Transpose");
        let read = rules::apply(m, &mut self.analysis, n)?;
        if m.revision() == start {
            return Ok(true);
        }
        let (same, known) = match (out, read) {
            // What was known of a value is kept when its node goes.
            (Some(out), Some(v)) => (self.analysis.fact(out) == self.analysis.fact(v), false),
            (Some(_), None) if transposed && m.is_live_node(n) => (!self.analysis.update(m, n), true),
            _ => (false, false),
        };
        self.stale |= !same;
        Ok(known)
    }
}

/// The nodes that are to be looked at: those of the graph in order, what is to come before the rest of them, and what
/// is to come after. Each stands there once.
struct Queue {
    first: Vec<NodeId>,
    nodes: std::vec::IntoIter<NodeId>,
    last: VecDeque<NodeId>,
    /// By id, whether a node stands in one of these.
    waiting: Vec<bool>,
}

impl Queue {
    fn of(m: &Model, nodes: Vec<NodeId>) -> Self {
        let mut waiting = vec![false; m.node_capacity()];
        nodes.iter().for_each(|n| waiting[n.index()] = true);
        Queue { first: Vec::new(), nodes: nodes.into_iter(), last: VecDeque::new(), waiting }
    }

    fn pop(&mut self) -> Option<NodeId> {
        let n = self.first.pop().or_else(|| self.nodes.next()).or_else(|| self.last.pop_front())?;
        self.waiting[n.index()] = false;
        Some(n)
    }

    fn push_first(&mut self, n: NodeId) {
        if self.enter(n) {
            self.first.push(n);
        }
    }

    fn push_last(&mut self, n: NodeId) {
        if self.enter(n) {
            self.last.push_back(n);
        }
    }

    /// True when it was not there.
    fn enter(&mut self, n: NodeId) -> bool {
        if self.waiting.len() <= n.index() {
            self.waiting.resize(n.index() + 1, false);
        }
        !std::mem::replace(&mut self.waiting[n.index()], true)
    }
}

/// The nodes that read a node's results, each as often as it does.
fn readers(m: &Model, n: NodeId) -> SmallVec<[NodeId; 8]> {
    let mut out = SmallVec::new();
    for v in m.node(n).outputs().iter().flatten() {
        for u in m.value(*v).uses() {
            if let Use::Node { node, .. } = *u {
                out.push(node);
            }
        }
    }
    out
}
