//! What a model is made of, apart from names: scopes for people, hashes for comparing.

pub(crate) mod hash;
pub(crate) mod layered;
pub(crate) mod scope;

use std::sync::Arc;

use onnx_pass_ir::{GraphId, GraphOwner, Model, NodeId, Tensor, ValueId};

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

/// The graphs in a node's attributes, by the attributes' names: writers put `then_branch` first or last.
pub(crate) fn branches(m: &Model, node: NodeId) -> Vec<GraphId> {
    let mut held: Vec<_> =
        m.node(node).attributes().iter().filter(|a| !a.value.graphs().is_empty()).collect();
    held.sort_by(|a, b| a.name.cmp(&b.name));
    held.into_iter().flat_map(|a| a.value.graphs().to_vec()).collect()
}

/// The initializers that no caller can change, a graph after the other.
pub(crate) fn initializers(m: &Model) -> Vec<ValueId> {
    let all = m.live_graphs().into_iter().flat_map(|g| m.graph(g).initializers().to_vec());
    all.filter(|v| m.constant(*v).is_some()).collect()
}

/// All constants: the initializers, and what `Constant` nodes give.
pub(crate) fn constants(m: &Model) -> Vec<(ValueId, Arc<Tensor>)> {
    let of_nodes = all_nodes(m).into_iter().filter(|n| m.node(*n).is("Constant"));
    let values = of_nodes.filter_map(|n| m.node(n).output(0));
    initializers(m).into_iter().chain(values).filter_map(|v| Some((v, m.constant(v)?))).collect()
}

/// The name of the function whose body `graph` is or stands in.
pub(crate) fn function_of(m: &Model, graph: GraphId) -> Option<&str> {
    match m.graph(m.root_of(graph)).owner() {
        GraphOwner::Function(f) => Some(m.function(f).name.as_str()),
        _ => None,
    }
}
