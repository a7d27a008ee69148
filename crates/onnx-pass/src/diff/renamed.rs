//! What has another name now.

use onnx_pass_ir::NodeId;
use serde::Serialize;

use super::matching::Sides;

/// Names that changed of what is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Renames {
    /// How many values.
    pub values: usize,
    /// How many nodes.
    pub nodes: usize,
    /// How many weights.
    pub weights: usize,
    /// The first of them: the names before and now.
    pub examples: Vec<(String, String)>,
}

const EXAMPLES: usize = 3;

impl Renames {
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.values + self.nodes + self.weights == 0
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
            let weights = s.a.m.value(v).initializer().is_some() && s.b.m.value(w).initializer().is_some();
            if weights && s.a.m.name(v) != s.b.m.name(w) && s.same_value(v, w) {
                out.weights += 1;
                out.example(s.a.m.name(v), s.b.m.name(w));
            }
        }
    }
    out
}
