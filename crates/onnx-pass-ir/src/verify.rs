//! Checks of a model. The list below is the list of invariants; [`verify`] collects every breach.
//!
//! Invariant: uses and definitions agree. Every input of a node and every output of a graph is entered in
//! its value's use list, at the place that the reader remembers, and nothing else is.
//! Invariant: every used value is defined, by an input, an initializer or a node of a graph that encloses
//! the use.
//! Invariant: names are unique among the values of a graph, and not empty where a value is used.
//! Invariant: nodes are sorted: a node comes after what it reads, and a captured value's node before the
//! node whose subgraph captures it.
//! Invariant: every operator's domain has an opset import where it stands, or is a model-local function's.
//! Invariant: functions call no function that calls them.
//! Invariant: a tensor's contents have the size that its type and shape need.
//! Invariant: an input or output of a dense tensor type has an element type.

use std::fmt;

use rustc_hash::FxHashSet;

use crate::model::*;
use crate::{GraphId, NodeId, TensorData, ValueId};

/// How much [`verify`] checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What an edit could break, in one pass over the nodes.
    Structure,
    /// Everything.
    Full,
}

/// One breach of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The graph, node or value.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// Checks the model; an empty list means that it is sound.
pub fn verify(m: &Model, level: Level) -> Vec<Finding> {
    if level == Level::Structure && m.read_sound && m.revision == 0 {
        return Vec::new();
    }
    let mut v = Verifier {
        m,
        findings: Vec::new(),
        names: level == Level::Full || !m.unique_names,
        order: vec![u32::MAX; m.node_capacity()],
        uses: 0,
    };
    for g in m.live_graphs() {
        v.nodes(g);
        if level == Level::Full {
            v.domains(g);
            v.tensors(g);
            v.types(g);
        }
    }
    v.no_other_uses();
    if level == Level::Full {
        v.calls();
    }
    v.findings
}

struct Verifier<'m> {
    m: &'m Model,
    findings: Vec<Finding>,
    /// Whether names are looked at: not where they are known to be unique.
    names: bool,
    /// Each node's position in its graph.
    order: Vec<u32>,
    /// How many uses there are.
    uses: usize,
}

impl Verifier<'_> {
    fn report(&mut self, place: String, reason: String) {
        self.findings.push(Finding { place, reason });
    }

    /// Whether a use by the node at `order` is right as is seen at a look: it is entered, and the value is made in the
    /// same graph before. So it is with most; all others are checked one thing after the other.
    #[inline]
    fn is_sound_here(&self, value: &Value, u: Use, pos: u32, graph: GraphId, order: u32) -> bool {
        let before = match value.def {
            Def::Node { node, .. } => self.order[node.index()] < order,
            Def::Input | Def::Initializer => true,
            Def::Undefined | Def::Removed => false,
        };
        before && value.graph == graph && value.uses.get(pos as usize) == Some(&u)
    }

    fn check_use(&mut self, value: &Value, u: Use, pos: u32, graph: GraphId, place: &dyn Fn() -> String) {
        self.uses += 1;
        if value.uses.get(pos as usize) != Some(&u) {
            self.report(place(), format!("its use of `{}` is not entered", value.name));
        }
        match value.def {
            Def::Undefined => self.report(place(), format!("reads `{}`, which nothing defines", value.name)),
            Def::Removed => self.report(place(), format!("reads `{}`, which was removed", value.name)),
            _ if value.graph == graph => {}
            _ => {
                let mut at = self.m.graph(graph).parent;
                while let Some(g) = at.filter(|g| *g != value.graph) {
                    at = self.m.graph(g).parent;
                }
                if at.is_none() {
                    self.report(place(), format!("reads `{}`, which is not visible there", value.name));
                }
            }
        }
    }

    /// One walk over the nodes: their uses, their outputs, their order, their names. A graph is walked before
    /// those inside it, so the positions of what they read from outside are known.
    fn nodes(&mut self, g: GraphId) {
        let m = self.m;
        let graph = m.graph(g);
        let mut names: FxHashSet<&str> = FxHashSet::default();
        let looks = self.names;
        if looks {
            names.reserve(graph.inputs.len() + graph.initializers.len() + graph.node_count);
        }
        let mut twice = Vec::new();
        let mut define = |v: ValueId| {
            if looks && (m.name(v).is_empty() || !names.insert(m.name(v))) {
                twice.push(v);
            }
        };
        graph.inputs.iter().for_each(|v| define(*v));
        let sparse = graph.sparse_initializers.iter().map(|s| &s.0).filter(|v| m.value(**v).init.is_none());
        let initializers = graph.initializers.iter().chain(sparse);
        initializers.filter(|v| m.value(**v).def == Def::Initializer).for_each(|v| define(*v));
        let mut unsorted = false;
        for (i, (id, n)) in m.nodes(g).enumerate() {
            self.order[id.index()] = i as u32;
            let places = n.operands.use_pos();
            for (slot, v) in n.inputs().iter().enumerate() {
                let Some(v) = *v else { continue };
                let value = m.value(v);
                let u = Use::Node { node: id, slot: slot as u32 };
                let pos = places.get(slot).copied().unwrap_or(u32::MAX);
                if self.is_sound_here(value, u, pos, g, i as u32) {
                    self.uses += 1;
                    continue;
                }
                self.check_use(value, u, pos, g, &|| m.describe(id));
                unsorted |= self.check_order(id, value, g);
            }
            for (k, v) in n.outputs().iter().enumerate() {
                let Some(v) = *v else { continue };
                let value = m.value(v);
                if value.def != (Def::Node { node: id, index: k as u32 }) || value.graph != g {
                    self.report(
                        m.describe(id),
                        format!("output `{}` does not name it as its producer", value.name),
                    );
                }
                define(v);
            }
        }
        for (k, o) in graph.outputs.iter().enumerate() {
            let u = Use::Output { graph: g, index: k as u32 };
            self.check_use(m.value(o.value), u, o.use_pos, g, &|| {
                format!("output {k} of {}", graph_name(m, g))
            });
        }
        // Nodes in a wrong order can be sorted; nodes in a circle cannot.
        if unsorted && let Err(circle) = petgraph::algo::toposort(m.view(g), None) {
            self.report(
                m.describe(circle.node_id()),
                "computes from its own result, through other nodes".into(),
            );
        }
        for v in twice {
            self.report(
                graph_name(m, g),
                format!("`{}` is defined more than once, or has no name", m.name(v)),
            );
        }
    }

    /// Whether a node reads a value before it is computed, which is reported.
    fn check_order(&mut self, id: NodeId, value: &Value, g: GraphId) -> bool {
        let Some(producer) = value.producer() else { return false };
        let at = if value.graph == g { Some(id) } else { self.enclosing(id, value.graph) };
        let wrong = at.is_some_and(|at| self.order[producer.index()] >= self.order[at.index()]);
        if wrong {
            self.report(self.m.describe(id), format!("reads `{}` before it is computed", value.name));
        }
        wrong
    }

    /// Every use was found in its value's list, at a place of its own; more entries belong to nothing. As long as
    /// nothing else is wrong there are more in one list if there are more in all, so those of each value are counted
    /// only then.
    fn no_other_uses(&mut self) {
        let m = self.m;
        let entered: usize = m.values.iter().map(|value| value.uses.len()).sum();
        if self.findings.is_empty() && entered == self.uses {
            return;
        }
        let mut uses = vec![0usize; m.value_capacity()];
        for g in m.live_graphs() {
            let read = m.nodes(g).flat_map(|(_, n)| n.inputs().iter().flatten());
            let returned = m.graph(g).outputs.iter().map(|o| &o.value);
            read.chain(returned).for_each(|v| uses[v.index()] += 1);
        }
        for (v, value) in m.values() {
            if value.uses.len() != uses[v.index()] {
                self.report(
                    value.name.to_string(),
                    format!("{} uses are entered, {} are there", value.uses.len(), uses[v.index()]),
                );
            }
        }
    }

    /// `node`, or the node around it, that stands in `graph`.
    fn enclosing(&self, node: NodeId, graph: GraphId) -> Option<NodeId> {
        let mut at = node;
        loop {
            let g = self.m.node(at).graph;
            if g == graph {
                return Some(at);
            }
            match self.m.graph(g).owner {
                GraphOwner::Node(n) => at = n,
                _ => return None,
            }
        }
    }

    fn domains(&mut self, g: GraphId) {
        let m = self.m;
        let mut known: FxHashSet<&str> = FxHashSet::default();
        for (id, n) in m.nodes(g) {
            if known.contains(n.domain()) {
                continue;
            }
            if m.callee(id).is_none() && m.opset(g, n.domain()).is_none() {
                self.report(m.describe(id), format!("no opset import for domain `{}`", n.domain()));
            }
            known.insert(n.domain());
        }
    }

    fn tensors(&mut self, g: GraphId) {
        let m = self.m;
        for &v in &m.graph(g).initializers {
            let Some(t) = &m.value(v).init else { continue };
            let countable =
                t.len().ok().filter(|n| t.dtype.bits().is_none() || t.dtype.byte_len(*n).is_some());
            let Some(count) = countable else {
                self.report(m.name(v).into(), format!("initializer has an impossible shape {:?}", t.dims));
                continue;
            };
            if let (TensorData::Raw(raw), Some(need)) = (&t.data, t.dtype.byte_len(count))
                && raw.len() != need
            {
                let has = raw.len();
                self.report(
                    m.name(v).into(),
                    format!("initializer {} {:?} needs {need} bytes and has {has}", t.dtype, t.dims),
                );
            }
        }
    }

    fn types(&mut self, g: GraphId) {
        let m = self.m;
        if m.graph(g).owner != GraphOwner::Main {
            return;
        }
        for &v in &m.graph(g).inputs {
            let declared = m.value(v).info().and_then(|i| i.ty());
            if declared.is_none_or(|t| t.as_tensor().is_some_and(|t| t.elem.0 == 0))
                && m.value(v).init.is_none()
            {
                self.report(m.name(v).into(), "input without an element type".into());
            }
        }
    }

    fn calls(&mut self) {
        let m = self.m;
        let count = m.functions.len();
        let mut callees: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (f, function) in m.functions() {
            for g in m.graphs_in(function.graph) {
                for (n, _) in m.nodes(g) {
                    callees[f.index()].extend(m.callee(n).map(|c| c.index()));
                }
            }
        }
        // Kahn's algorithm: what is left over calls itself in a circle.
        let mut incoming = vec![0usize; count];
        callees.iter().flatten().for_each(|c| incoming[*c] += 1);
        let mut ready: Vec<usize> = (0..count).filter(|f| incoming[*f] == 0).collect();
        let mut done = 0;
        while let Some(f) = ready.pop() {
            done += 1;
            for &c in &callees[f] {
                incoming[c] -= 1;
                if incoming[c] == 0 {
                    ready.push(c);
                }
            }
        }
        if done < count {
            let names: Vec<_> =
                (0..count).filter(|f| incoming[*f] > 0).map(|f| m.functions[f].name.as_str()).collect();
            self.report("functions".into(), format!("call each other in a circle: {}", names.join(", ")));
        }
    }
}

/// How a message names a graph.
pub fn graph_name(m: &Model, g: GraphId) -> String {
    let graph = m.graph(g);
    let name = graph.name.as_deref().unwrap_or("");
    match graph.owner {
        GraphOwner::Main => "the main graph".into(),
        GraphOwner::Node(n) => format!("subgraph `{name}` of {}", m.describe(n)),
        GraphOwner::Function(f) => format!("function `{}`", m.function(f).name),
        GraphOwner::Training(i, _) => format!("training graph {i}"),
        GraphOwner::Detached => "a removed graph".into(),
    }
}
