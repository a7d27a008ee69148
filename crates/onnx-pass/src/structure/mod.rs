//! What a model is made of, apart from names: scopes for people, hashes for comparing.

pub(crate) mod hash;
pub(crate) mod scope;

use onnx_pass_ir::{GraphId, GraphOwner, Model, NodeId};

/// All nodes of the model: a graph's in order, those of a node's subgraphs before the node.
pub(crate) fn all_nodes(m: &Model) -> Vec<NodeId> {
    let roots = m.live_graphs().into_iter().filter(|g| !matches!(m.graph(*g).owner(), GraphOwner::Node(_)));
    let mut out = Vec::new();
    for root in roots {
        let at = out.len();
        // Nodes outer ones first and backwards, then turned over: no recursion.
        let mut open: Vec<NodeId> = m.node_ids(root);
        while let Some(n) = open.pop() {
            out.push(n);
            m.node(n).subgraphs().for_each(|g| open.extend(m.nodes(g).map(|(id, _)| id)));
        }
        out[at..].reverse();
    }
    out
}

/// The name of the function whose body `graph` is or stands in.
pub(crate) fn function_of(m: &Model, graph: GraphId) -> Option<&str> {
    match m.graph(m.root_of(graph)).owner() {
        GraphOwner::Function(f) => Some(m.function(f).name.as_str()),
        _ => None,
    }
}
