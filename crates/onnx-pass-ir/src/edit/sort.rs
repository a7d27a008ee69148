//! The order of nodes.

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::model::*;
use crate::{GraphId, NodeId};

impl Model {
    /// Puts the nodes of a graph into an order in which each comes after what it reads. Nodes that stand right
    /// stay where they are, before those that had to wait for something. Gives whether any moved.
    ///
    /// # Errors
    /// When nodes compute from their own results in a circle.
    pub fn sort_nodes(&mut self, graph: GraphId) -> Result<bool> {
        use petgraph::visit::IntoNeighborsDirected;
        let order = self.node_ids(graph);
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states: FxHashMap<NodeId, State> = order.iter().map(|n| (*n, State::New)).collect();
        let mut sorted = Vec::with_capacity(order.len());
        // Depth first over what a node reads, with a stack of our own: chains are as long as models are.
        let mut stack: Vec<NodeId> = order.iter().rev().copied().collect();
        while let Some(&n) = stack.last() {
            match states.get(&n) {
                Some(State::New) => {
                    states.insert(n, State::Open);
                    let reads = self.view(graph).neighbors_directed(n, petgraph::Direction::Incoming);
                    let mut waits: Vec<NodeId> =
                        reads.filter(|p| states.get(p) != Some(&State::Done)).collect();
                    if let Some(p) = waits.iter().find(|p| states.get(p) == Some(&State::Open)) {
                        return Err(Error::edit(format!(
                            "{}: computes from its own result",
                            self.describe(*p)
                        )));
                    }
                    waits.reverse();
                    stack.extend(waits);
                }
                state => {
                    stack.pop();
                    if state == Some(&State::Open) {
                        states.insert(n, State::Done);
                        sorted.push(n);
                    }
                }
            }
        }
        if sorted == order {
            return Ok(false);
        }
        for n in sorted {
            self.unlink_raw(n);
            self.link_raw(n, graph, None);
            self.touch(n);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    #[test]
    fn sorting_moves_what_must_wait_and_finds_circles() -> Result<()> {
        let text = r#"<ir_version: 8, opset_import: ["" : 17]>
            agraph (float[N] x) => (float[N] y) { y = Relu (b)  b = Neg (a)  a = Abs (x) }"#;
        let mut m = parse(text)?;
        let main = m.main();
        assert!(m.sort_nodes(main)?);
        let ops: Vec<&str> = m.nodes(main).map(|(_, n)| n.op_type()).collect();
        assert_eq!(ops, ["Abs", "Neg", "Relu"]);
        assert!(!m.sort_nodes(main)?);
        assert_eq!(crate::verify::verify(&m, crate::verify::Level::Full), []);

        let circle = r#"<ir_version: 8, opset_import: ["" : 17]>
            agraph (float[N] x) => (float[N] y) { y = Relu (b)  b = Add (a, x)  a = Abs (b) }"#;
        let mut m = parse(circle)?;
        let main = m.main();
        assert!(m.sort_nodes(main).is_err());
        let found = crate::verify::verify(&m, crate::verify::Level::Structure);
        assert!(found.iter().any(|f| f.reason.contains("from its own result")), "{found:?}");
        Ok(())
    }
}
