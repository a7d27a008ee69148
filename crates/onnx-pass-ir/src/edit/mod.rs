//! Checked edits. Each keeps the uses right, forgets the source span of what it touches, and moves the
//! revision; none can leave a value with two definitions or a use of something that is gone.

mod declared;
mod initializers;
mod interface;
mod names;
mod nodes;
mod remove;
mod sort;
mod uses;

use bytes::Bytes;
use ecow::EcoString;

use crate::model::*;
use crate::span::Span;
use crate::{Attribute, GraphId, NodeId, ValueId};

/// Where a new node goes.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Before a node, in its graph.
    Before(NodeId),
    /// After a node, in its graph.
    After(NodeId),
    /// At the start of a graph.
    Start(GraphId),
    /// At the end of a graph.
    End(GraphId),
}

/// What a new node is to be.
#[derive(Clone, Debug, Default)]
pub struct NewNode {
    /// The operator.
    pub op_type: EcoString,
    /// Its domain; empty for the standard one.
    pub domain: EcoString,
    /// The node's name; empty for none.
    pub name: EcoString,
    /// The inputs.
    pub inputs: Vec<Option<ValueId>>,
    /// Names of the outputs; an empty one is absent. A name that is taken gets a number.
    pub outputs: Vec<EcoString>,
    /// The attributes.
    pub attributes: Vec<Attribute>,
}

impl NewNode {
    /// A node of the standard domain with one output.
    pub fn new(op_type: &str, inputs: &[ValueId], output: &str) -> Self {
        NewNode {
            op_type: op_type.into(),
            inputs: inputs.iter().map(|v| Some(*v)).collect(),
            outputs: vec![output.into()],
            ..NewNode::default()
        }
    }

    /// With an attribute more.
    #[must_use]
    pub fn attr(mut self, a: Attribute) -> Self {
        self.attributes.push(a);
        self
    }

    /// With a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }
}

impl Model {
    /// Notes a change of a node: its span and those of the graphs around it are no longer what it is.
    pub(crate) fn touch(&mut self, node: NodeId) {
        self.revision += 1;
        self.nodes[node.index()].src = Span::NONE;
        let mut at = self.touch_graph_owner(self.nodes[node.index()].graph);
        // A node without a span has none around it either, so the walk ends at the first.
        while let Some(n) = at.filter(|n| !self.nodes[n.index()].src.is_empty()) {
            self.nodes[n.index()].src = Span::NONE;
            at = self.touch_graph_owner(self.nodes[n.index()].graph);
        }
    }

    /// Notes a change of a graph's own lists (inputs, outputs, initializers, value infos).
    pub(crate) fn touch_graph(&mut self, graph: GraphId) {
        self.revision += 1;
        if let Some(n) = self.touch_graph_owner(graph) {
            self.touch(n);
        }
    }

    fn touch_graph_owner(&mut self, graph: GraphId) -> Option<NodeId> {
        match self.graphs[graph.index()].owner {
            GraphOwner::Node(n) => Some(n),
            GraphOwner::Function(f) => {
                self.functions[f.index()].src = Bytes::new();
                None
            }
            GraphOwner::Main | GraphOwner::Training(..) | GraphOwner::Detached => None,
        }
    }
}
