//! Nodes: adding them, and their inputs, results and attributes.

use std::sync::Arc;

use ecow::EcoString;

use super::{NewNode, Place};
use crate::error::{Error, Result};
use crate::model::*;
use crate::proto::devices;
use crate::{Attribute, GraphId, NodeId, Tensor, ValueId};

impl Model {
    /// Adds a node.
    pub fn add_node(&mut self, place: Place, new: NewNode) -> NodeId {
        let (graph, before) = match place {
            Place::Before(n) => (self.node(n).graph, Some(n)),
            Place::After(n) => (self.node(n).graph, self.links[n.index()].next),
            Place::Start(g) => (g, self.graph(g).first),
            Place::End(g) => (g, None),
        };
        let id = self.new_node_raw(graph);
        let outputs = new.outputs.iter().enumerate().map(|(k, hint)| {
            if hint.is_empty() {
                return None;
            }
            let name = self.fresh_name(hint);
            Some(self.new_value_raw(graph, name, Def::Node { node: id, index: k as u32 }))
        });
        let outputs: Vec<Option<ValueId>> = outputs.collect();
        let mut n = Node::blank(graph);
        n.set_operator(new.op_type, Some(new.domain).filter(|d| !d.is_empty()));
        n.name = Some(new.name).filter(|d| !d.is_empty());
        outputs.into_iter().for_each(|v| n.operands.push_output(v));
        n.attributes = new.attributes.into();
        self.nodes[id.index()] = n;
        self.link_raw(id, graph, before);
        for v in new.inputs {
            self.push_input_raw(id, v);
        }
        let graphs: Vec<GraphId> = self.nodes[id.index()].subgraphs().collect();
        for g in graphs {
            self.graphs[g.index()].owner = GraphOwner::Node(id);
            self.graphs[g.index()].parent = Some(graph);
        }
        self.touch(id);
        id
    }

    /// Sets input `slot` of a node, lengthening its inputs with absent ones where needed.
    pub fn set_input(&mut self, node: NodeId, slot: usize, value: Option<ValueId>) {
        if self.nodes[node.index()].inputs().len() <= slot {
            while self.nodes[node.index()].inputs().len() <= slot {
                self.push_input_raw(node, None);
            }
            self.touch(node);
        }
        let n = &self.nodes[node.index()];
        let (old, pos) = (n.inputs()[slot], n.operands.use_pos()[slot]);
        if old == value {
            return;
        }
        if let Some(old) = old {
            self.drop_use(old, pos);
        }
        let pos = value.map_or(0, |v| self.add_use(v, Use::Node { node, slot: slot as u32 }));
        self.nodes[node.index()].operands.set_input(slot, value, pos);
        if let (Some(old), Some(new)) = (old, value) {
            self.redirect_shards(node, old, new);
        }
        self.touch(node);
    }

    /// Device configurations name the operands that they shard.
    pub(super) fn redirect_shards(&mut self, node: NodeId, old: ValueId, new: ValueId) {
        let n = &self.nodes[node.index()];
        if n.rare().devices.is_empty() || n.inputs().contains(&Some(old)) {
            return;
        }
        let names = (self.value(old).name.clone(), self.value(new).name.clone());
        self.rename_shards(node, &[names]);
    }

    /// Gives operands other names in a node's device configurations: each pair is the old one and the new.
    pub(crate) fn rename_shards(&mut self, node: NodeId, names: &[(EcoString, EcoString)]) {
        let Some(rare) = &mut self.nodes[node.index()].rare else { return };
        for d in &mut rare.devices {
            // Reading has seen that it can be walked.
            if let Ok(renamed) = devices::rename(d, names) {
                *d = renamed.as_slice().into();
            }
        }
    }

    /// Cuts a node's inputs to the first `len`.
    pub fn truncate_inputs(&mut self, node: NodeId, len: usize) {
        while self.nodes[node.index()].inputs().len() > len {
            let slot = self.nodes[node.index()].inputs().len() - 1;
            self.set_input(node, slot, None);
            self.nodes[node.index()].operands.pop_input();
            self.touch(node);
        }
    }

    /// Replaces all inputs of a node.
    pub fn set_inputs(&mut self, node: NodeId, inputs: &[Option<ValueId>]) {
        for (slot, v) in inputs.iter().enumerate() {
            self.set_input(node, slot, *v);
        }
        self.truncate_inputs(node, inputs.len());
    }

    /// Sets an attribute, in the place of one of the same name.
    ///
    /// # Errors
    /// When the old or new value holds a graph: those are moved by [`Model::inline_graph`] and the like.
    pub fn set_attribute(&mut self, node: NodeId, a: Attribute) -> Result<()> {
        let n = &mut self.nodes[node.index()];
        let at = n.attributes.iter().position(|x| x.name == a.name);
        let holds = |a: &Attribute| !a.value.graphs().is_empty();
        if holds(&a) || at.is_some_and(|k| holds(&n.attributes[k])) {
            return Err(Error::edit(format!("attribute `{}` holds a graph", a.name)));
        }
        match at {
            Some(k) => n.attributes.make_mut()[k] = a,
            None => n.attributes.push(a),
        }
        self.touch(node);
        Ok(())
    }

    /// Removes an attribute that holds no graph; true when it was there.
    pub fn remove_attribute(&mut self, node: NodeId, name: &str) -> bool {
        let n = &mut self.nodes[node.index()];
        let Some(k) = n.attributes.iter().position(|a| a.name == name && a.value.graphs().is_empty()) else {
            return false;
        };
        n.attributes.remove(k);
        self.touch(node);
        true
    }

    /// Makes a node's result a constant with these contents, under its name and with its uses: an initializer,
    /// or a `Constant` node where an initializer cannot stand (in a function, as a graph's output, before IR 4).
    /// The node goes when it has no other result that is read.
    ///
    /// # Errors
    /// When no node computes the value.
    pub fn make_constant(&mut self, v: ValueId, tensor: Arc<Tensor>) -> Result<()> {
        let Def::Node { node, index } = self.value(v).def else {
            return Err(Error::edit(format!("`{}` is no node's result", self.name(v))));
        };
        let graph = self.value(v).graph;
        let in_function = matches!(self.graph(self.root_of(graph)).owner, GraphOwner::Function(_));
        let old_ir = self.header.ir_version.is_some_and(|ir| ir < 4);
        if in_function || old_ir || !self.output_uses(v).is_empty() {
            if self.constant_node(node).is_some_and(|t| Arc::ptr_eq(&t, &tensor)) {
                return Ok(());
            }
            let name = self.node(node).name.clone();
            let new = NewNode { op_type: "Constant".into(), ..NewNode::default() };
            let new = self.add_node(
                Place::Before(node),
                new.attr(Attribute::new("value", crate::AttrValue::Tensor(tensor))),
            );
            self.nodes[new.index()].name = name;
            self.nodes[new.index()].operands.push_output(Some(v));
            self.values[v.index()].def = Def::Node { node: new, index: 0 };
        } else {
            self.values[v.index()].def = Def::Initializer;
            self.values[v.index()].init = Some(tensor);
            self.graphs[graph.index()].initializers.push(v);
        }
        self.nodes[node.index()].operands.outputs_mut()[index as usize] = None;
        self.touch(node);
        if self.node(node).outputs().iter().flatten().all(|o| self.is_unused(*o)) {
            self.remove_node(node)?;
        }
        Ok(())
    }

    /// Leaves out result `k` of a node; trailing absent results are cut off. What the graph says of it goes at the next
    /// [`Model::sweep`].
    ///
    /// # Errors
    /// When something reads it.
    pub fn drop_result(&mut self, node: NodeId, k: usize) -> Result<()> {
        let Some(v) = self.node(node).output(k) else { return Ok(()) };
        if !self.is_unused(v) {
            return Err(Error::edit(format!(
                "{}: output `{}` is still read",
                self.describe(node),
                self.name(v)
            )));
        }
        self.mark_removed(v);
        let n = &mut self.nodes[node.index()];
        n.operands.outputs_mut()[k] = None;
        n.operands.trim_outputs();
        self.touch(node);
        Ok(())
    }

    /// Changes a node's operator.
    pub fn set_op(&mut self, node: NodeId, domain: &str, op_type: &str) {
        let n = &mut self.nodes[node.index()];
        n.set_operator(op_type.into(), if domain.is_empty() { None } else { Some(domain.into()) });
        if let Some(rare) = &mut n.rare {
            rare.overload = None;
        }
        self.touch(node);
    }

    /// Renames a node (`None` takes its name away).
    pub fn set_node_name(&mut self, node: NodeId, name: Option<&str>) {
        self.nodes[node.index()].name = name.map(Into::into);
        if let Some(n) = name {
            self.remember_node_name(&n.into());
        }
        self.touch(node);
    }
}
