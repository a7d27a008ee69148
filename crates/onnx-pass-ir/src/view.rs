//! A graph as `petgraph` sees it: nodes, and an edge from each node to those that read its results. Reads
//! from subgraphs count as reads by the node that holds them.
//!
//! Two of `petgraph`'s algorithms are not for us: its topological order is not the file's, so nothing is
//! ever written by it; and `tarjan_scc` and `is_cyclic_directed` recurse, which a chain of a million nodes
//! does not survive.

use petgraph::visit::{
    Data, GraphBase, GraphProp, GraphRef, IntoNeighbors, IntoNeighborsDirected, IntoNodeIdentifiers,
    NodeCount, NodeIndexable, Visitable,
};
use petgraph::{Directed, Direction};
use std::collections::HashSet;

use crate::model::{GraphOwner, Model, Use};
use crate::{GraphId, NodeId};

/// One graph of a model, for `petgraph`.
#[derive(Clone, Copy)]
pub struct View<'m> {
    model: &'m Model,
    graph: GraphId,
}

impl Model {
    /// A graph as `petgraph` sees it.
    pub fn view(&self, graph: GraphId) -> View<'_> {
        View { model: self, graph }
    }
}

impl View<'_> {
    /// The node of this graph that is `node`, or holds it in a subgraph.
    fn lift(&self, node: NodeId) -> Option<NodeId> {
        let mut at = node;
        loop {
            let g = self.model.node(at).graph();
            if g == self.graph {
                return Some(at);
            }
            match self.model.graph(g).owner() {
                GraphOwner::Node(n) => at = n,
                _ => return None,
            }
        }
    }

    fn successors(&self, node: NodeId) -> Vec<NodeId> {
        let values = self.model.node(node).outputs().iter().flatten();
        let users = values.flat_map(|v| self.model.value(*v).uses()).filter_map(|u| match *u {
            Use::Node { node, .. } => self.lift(node),
            Use::Output { graph, .. } => match self.model.graph(graph).owner() {
                GraphOwner::Node(n) if graph != self.graph => self.lift(n),
                _ => None,
            },
        });
        let mut out: Vec<NodeId> = users.collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    fn predecessors(&self, node: NodeId) -> Vec<NodeId> {
        let mut out = Vec::new();
        let mut graphs = vec![];
        let mut take = |n: NodeId, graphs: &mut Vec<GraphId>| {
            let x = self.model.node(n);
            let producers = x.inputs().iter().flatten().filter_map(|v| self.model.value(*v).producer());
            out.extend(producers.filter(|p| self.model.node(*p).graph() == self.graph));
            graphs.extend(x.subgraphs());
        };
        take(node, &mut graphs);
        let mut returned = Vec::new();
        while let Some(g) = graphs.pop() {
            returned.extend(self.model.graph(g).outputs().iter().map(|o| o.value()));
            for (n, _) in self.model.nodes(g) {
                take(n, &mut graphs);
            }
        }
        out.extend(
            returned
                .into_iter()
                .filter_map(|v| self.model.value(v).producer())
                .filter(|p| self.model.node(*p).graph() == self.graph),
        );
        out.sort_unstable();
        out.dedup();
        out
    }
}

impl GraphBase for View<'_> {
    type EdgeId = (NodeId, NodeId);
    type NodeId = NodeId;
}

impl GraphRef for View<'_> {}

impl Data for View<'_> {
    type NodeWeight = ();
    type EdgeWeight = ();
}

impl GraphProp for View<'_> {
    type EdgeType = Directed;
}

impl IntoNeighbors for View<'_> {
    type Neighbors = std::vec::IntoIter<NodeId>;

    fn neighbors(self, n: NodeId) -> Self::Neighbors {
        self.successors(n).into_iter()
    }
}

impl IntoNeighborsDirected for View<'_> {
    type NeighborsDirected = std::vec::IntoIter<NodeId>;

    fn neighbors_directed(self, n: NodeId, d: Direction) -> Self::NeighborsDirected {
        match d {
            Direction::Outgoing => self.successors(n).into_iter(),
            Direction::Incoming => self.predecessors(n).into_iter(),
        }
    }
}

impl IntoNodeIdentifiers for View<'_> {
    type NodeIdentifiers = std::vec::IntoIter<NodeId>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        self.model.node_ids(self.graph).into_iter()
    }
}

impl NodeCount for View<'_> {
    fn node_count(&self) -> usize {
        self.model.graph(self.graph).node_count()
    }
}

impl NodeIndexable for View<'_> {
    fn node_bound(&self) -> usize {
        self.model.node_capacity()
    }
    fn to_index(&self, n: NodeId) -> usize {
        n.index()
    }
    fn from_index(&self, i: usize) -> NodeId {
        NodeId::new(i)
    }
}

impl Visitable for View<'_> {
    type Map = HashSet<NodeId>;

    fn visit_map(&self) -> Self::Map {
        HashSet::new()
    }
    fn reset_map(&self, map: &mut Self::Map) {
        map.clear();
    }
}
