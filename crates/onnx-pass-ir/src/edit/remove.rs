//! Removals, and what they leave to be swept.

use crate::error::{Error, Result};
use crate::model::*;
use crate::{FunctionId, GraphId, NodeId, ValueId};

impl Model {
    /// Marks a value as gone.
    pub(crate) fn mark_removed(&mut self, v: ValueId) {
        if self.values[v.index()].def == Def::Removed {
            return;
        }
        if self.names.is_some() {
            self.uncounted.push(v);
        }
        let value = &mut self.values[v.index()];
        value.def = Def::Removed;
        value.init = None;
    }

    /// Drops every entry of a graph's lists that belongs to a removed value.
    pub(crate) fn purge(&mut self, graph: GraphId) {
        let (graphs, values) = (&mut self.graphs, &mut self.values);
        let g = &mut graphs[graph.index()];
        let live = |values: &[Value], v: &ValueId| values[v.index()].def != Def::Removed;
        g.initializers.retain(|v| live(values, v));
        g.sparse_initializers.retain(|(v, _)| live(values, v));
        g.value_info.retain(|v| live(values, v));
        g.annotations.retain(|a| {
            let keep = a.value.is_none_or(|v| live(values, &v));
            if !keep {
                a.params.iter().for_each(|(_, v)| values[v.index()].pins -= 1);
            }
            keep
        });
    }

    /// The graphs that values belong to, each once.
    pub(super) fn graphs_of(&self, values: &[ValueId]) -> Vec<GraphId> {
        let mut graphs: Vec<GraphId> = values.iter().map(|v| self.value(*v).graph).collect();
        graphs.sort_unstable();
        graphs.dedup();
        graphs
    }

    /// Removes a node whose outputs nothing reads, with its subgraphs. What the graph says of the outputs
    /// (`value_info`, annotations) goes at the next [`Model::sweep`].
    ///
    /// # Errors
    /// When an output is still read.
    pub fn remove_node(&mut self, node: NodeId) -> Result<()> {
        if let Some(v) = self.node(node).outputs().iter().flatten().find(|v| !self.is_unused(**v)) {
            return Err(Error::edit(format!(
                "{}: output `{}` is still read",
                self.describe(node),
                self.name(*v)
            )));
        }
        self.touch(node);
        let mut inner = Vec::new();
        self.gut_node(node, &mut inner);
        self.gut_nodes(inner);
        Ok(())
    }

    /// Takes nodes that go together out of everything, with their subgraphs, whether or not their outputs are read.
    pub(crate) fn gut_nodes(&mut self, mut doomed: Vec<NodeId>) {
        while let Some(n) = doomed.pop() {
            self.gut_node(n, &mut doomed);
        }
    }

    /// Takes a node out of everything; the nodes of its subgraphs are `doomed`.
    fn gut_node(&mut self, n: NodeId, doomed: &mut Vec<NodeId>) {
        for k in 0..self.node(n).outputs().len() {
            if let Some(v) = self.node(n).output(k) {
                self.mark_removed(v);
            }
        }
        for slot in 0..self.node(n).inputs().len() {
            if let Some(v) = self.node(n).input(slot) {
                self.drop_use(v, self.node(n).operands.use_pos()[slot]);
            }
        }
        let x = &mut self.nodes[n.index()];
        x.operands.clear_inputs();
        let attributes = std::mem::take(&mut x.attributes);
        self.unlink_raw(n);
        for g in attributes.iter().flat_map(|a| a.value.graphs()) {
            doomed.extend(self.dismantle(*g));
        }
    }

    /// Takes a graph apart; gives the nodes in it, which are to be removed next.
    pub(crate) fn dismantle(&mut self, graph: GraphId) -> Vec<NodeId> {
        while let Some(o) = self.graphs[graph.index()].outputs.pop() {
            self.drop_use(o.value, o.use_pos);
        }
        let (graphs, values) = (&mut self.graphs, &mut self.values);
        let g = &mut graphs[graph.index()];
        let sparse = g.sparse_initializers.drain(..).map(|s| s.0);
        let own: Vec<ValueId> = g.inputs.drain(..).chain(g.initializers.drain(..)).chain(sparse).collect();
        g.owner = GraphOwner::Detached;
        for (_, v) in g.annotations.drain(..).flat_map(|a| a.params) {
            values[v.index()].pins -= 1;
        }
        for v in own {
            self.mark_removed(v);
        }
        self.node_ids(graph)
    }

    /// Drops `value_info` entries and annotations of values that are gone, in every graph.
    pub fn sweep(&mut self) {
        for g in self.live_graphs() {
            let graph = self.graph(g);
            let stale = graph.value_info.iter().any(|v| self.value(*v).def == Def::Removed)
                || graph
                    .annotations
                    .iter()
                    .any(|a| a.value.is_some_and(|v| self.value(v).def == Def::Removed));
            if stale {
                self.purge(g);
                self.touch_graph(g);
            }
        }
    }

    /// Removes a function that nothing calls any more.
    pub fn remove_function(&mut self, f: FunctionId) {
        let key = self.functions[f.index()].key();
        let key = (key.0.into(), key.1.into(), key.2.into());
        self.function_index.remove(&key);
        let graph = self.functions[f.index()].graph;
        let doomed = self.dismantle(graph);
        self.gut_nodes(doomed);
        self.functions[f.index()].live = false;
        self.revision += 1;
    }
}
