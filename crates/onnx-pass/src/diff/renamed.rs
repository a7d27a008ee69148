//! What has another name now.

use std::collections::HashSet;

use onnx_pass_ir::NodeId;
use serde::Serialize;

use super::matching::Sides;
use super::weights::FEWEST;

/// Names that changed of what is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Renames {
    /// How many values.
    pub values: usize,
    /// How many nodes.
    pub nodes: usize,
    /// How many weights.
    pub weights: usize,
    /// How many constants of fewer than 16 elements.
    pub constants: usize,
    /// The first of them: the names before and now.
    pub examples: Vec<(String, String)>,
}

const EXAMPLES: usize = 3;

impl Renames {
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many in all.
    pub fn count(&self) -> usize {
        self.values + self.nodes + self.weights + self.constants
    }

    fn example(&mut self, a: &str, b: &str) {
        if self.examples.len() < EXAMPLES {
            self.examples.push((a.to_owned(), b.to_owned()));
        }
    }
}

/// Outputs of the main graph are told with the interface.
pub(super) fn renames(s: &Sides<'_>) -> Renames {
    let mut out = Renames::default();
    // A weight has many readers.
    let mut seen = HashSet::new();
    let mut small = None;
    let is_output = |n: NodeId, k: usize| {
        let main = s.a.m.graph(s.a.m.main());
        let v = s.a.m.node(n).output(k);
        v.is_some_and(|v| {
            s.a.m.value(v).graph() == s.a.m.main() && main.outputs().iter().any(|o| o.value() == v)
        })
    };
    for (a, b) in super::pairs(s) {
        let (x, y) = (s.a.m.node(a), s.b.m.node(b));
        for (k, (v, w)) in x.outputs().iter().zip(y.outputs()).enumerate() {
            let (Some(v), Some(w)) = (v, w) else { continue };
            let (from, to) = (s.a.m.name(*v), s.b.m.name(*w));
            if from != to && !is_output(a, k) {
                out.values += 1;
                out.example(from, to);
            }
        }
        if x.name() != y.name() {
            out.nodes += 1;
            out.example(x.name(), y.name());
        }
        for (v, w) in x.inputs().iter().zip(y.inputs()).filter_map(|(v, w)| v.zip(*w)) {
            let constants = s.a.m.constant(v).is_some() && s.b.m.constant(w).is_some();
            let renamed = s.a.m.name(v) != s.b.m.name(w) && s.same_value(v, w);
            if constants && renamed && seen.insert(v) {
                if s.a.m.constant(v).is_some_and(|t| t.len().is_ok_and(|n| n >= FEWEST)) {
                    out.weights += 1;
                    out.example(s.a.m.name(v), s.b.m.name(w));
                } else {
                    out.constants += 1;
                    small.get_or_insert((v, w));
                }
            }
        }
    }
    // Names of small constants tell little.
    if let Some((v, w)) = small {
        out.example(s.a.m.name(v), s.b.m.name(w));
    }
    out
}
