//! Checked edits. Each keeps the uses right, forgets the source span of what it touches, and moves the
//! revision; none can leave a value with two definitions or a use of something that is gone.

use bytes::Bytes;
use ecow::{EcoString, eco_format};
use rustc_hash::FxHashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::*;
use crate::span::Span;
use crate::{Attribute, FunctionId, GraphId, NodeId, Tensor, Type, ValueId};

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

    /// A name that no value or node of the model has, made from `hint`.
    pub fn fresh_name(&mut self, hint: &str) -> EcoString {
        let hint = if hint.is_empty() { "value" } else { hint };
        let names = self.names();
        if !names.contains_key(hint) {
            names.insert(hint.into(), 0);
            return hint.into();
        }
        let mut next = self.next_name.get(hint).copied().unwrap_or(1);
        loop {
            let name = eco_format!("{hint}_{next}");
            next += 1;
            let names = self.names();
            if !names.contains_key(&name) {
                names.insert(name.clone(), 0);
                self.next_name.insert(hint.into(), next);
                return name;
            }
        }
    }

    /// How many values and nodes have each name.
    fn names(&mut self) -> &mut FxHashMap<EcoString, u32> {
        if self.names.is_none() {
            let mut counts = FxHashMap::default();
            let values = self.values.iter().filter(|v| v.def != Def::Removed).map(|v| &v.name);
            let nodes = self.nodes.iter().filter(|n| n.live).filter_map(|n| n.name.as_ref());
            for n in values.chain(nodes) {
                *counts.entry(n.clone()).or_insert(0u32) += 1;
            }
            self.names = Some(counts);
        }
        self.names.get_or_insert_default()
    }

    pub(crate) fn remember_name(&mut self, name: &EcoString) {
        if let Some(names) = &mut self.names {
            *names.entry(name.clone()).or_insert(0) += 1;
        }
    }

    pub(crate) fn unremember_name(&mut self, name: &EcoString) {
        if let Some(n) = self.names.as_mut().and_then(|names| names.get_mut(name)) {
            *n = n.saturating_sub(1);
        }
    }

    /// How many values and nodes have this name now.
    pub(crate) fn name_count(&mut self, name: &str) -> u32 {
        self.names().get(name).copied().unwrap_or(0)
    }

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

    /// Marks a value as gone.
    pub(crate) fn mark_removed(&mut self, v: ValueId) {
        if self.values[v.index()].def == Def::Removed {
            return;
        }
        let name = self.values[v.index()].name.clone();
        self.unremember_name(&name);
        let value = &mut self.values[v.index()];
        value.def = Def::Removed;
        value.init = None;
    }

    /// Adds a node.
    pub fn add_node(&mut self, place: Place, new: NewNode) -> NodeId {
        let (graph, before) = match place {
            Place::Before(n) => (self.node(n).graph, Some(n)),
            Place::After(n) => (self.node(n).graph, self.node(n).next),
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
        let outputs = outputs.collect();
        let mut n = Node::blank(graph);
        n.op_type = new.op_type;
        n.raw_domain = Some(new.domain).filter(|d| !d.is_empty());
        n.name = Some(new.name).filter(|d| !d.is_empty());
        n.outputs = outputs;
        n.attributes = new.attributes;
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
        if self.nodes[node.index()].inputs.len() <= slot {
            while self.nodes[node.index()].inputs.len() <= slot {
                self.push_input_raw(node, None);
            }
            self.touch(node);
        }
        let n = &self.nodes[node.index()];
        let (old, pos) = (n.inputs[slot], n.use_pos[slot]);
        if old == value {
            return;
        }
        if let Some(old) = old {
            self.drop_use(old, pos);
        }
        let pos = value.map_or(0, |v| self.add_use(v, Use::Node { node, slot: slot as u32 }));
        let n = &mut self.nodes[node.index()];
        n.inputs[slot] = value;
        n.use_pos[slot] = pos;
        if let (Some(old), Some(new)) = (old, value) {
            self.redirect_shards(node, old, new);
        }
        self.touch(node);
    }

    /// Device configurations name the operands that they shard.
    fn redirect_shards(&mut self, node: NodeId, old: ValueId, new: ValueId) {
        let n = &self.nodes[node.index()];
        if n.rare().devices.is_empty() || n.inputs.contains(&Some(old)) {
            return;
        }
        let (from, to) = (self.name(old).to_string(), self.name(new).to_string());
        self.rename_shards(node, &from, &to);
    }

    fn rename_shards(&mut self, node: NodeId, from: &str, to: &str) {
        let Some(rare) = &mut self.nodes[node.index()].rare else { return };
        let specs = rare.devices.iter_mut().flat_map(|d| &mut d.sharding_spec);
        for s in specs {
            if s.tensor_name.as_deref() == Some(from) {
                s.tensor_name = Some(to.to_string());
            }
        }
    }

    /// Cuts a node's inputs to the first `len`.
    pub fn truncate_inputs(&mut self, node: NodeId, len: usize) {
        while self.nodes[node.index()].inputs.len() > len {
            let slot = self.nodes[node.index()].inputs.len() - 1;
            self.set_input(node, slot, None);
            let n = &mut self.nodes[node.index()];
            n.inputs.pop();
            n.use_pos.pop();
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
            Some(k) => n.attributes[k] = a,
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
            self.nodes[new.index()].outputs.push(Some(v));
            self.values[v.index()].def = Def::Node { node: new, index: 0 };
        } else {
            self.values[v.index()].def = Def::Initializer;
            self.values[v.index()].init = Some(tensor);
            self.graphs[graph.index()].initializers.push(v);
        }
        self.nodes[node.index()].outputs[index as usize] = None;
        self.touch(node);
        if self.node(node).outputs.iter().flatten().all(|o| self.is_unused(*o)) {
            self.remove_node(node)?;
        }
        Ok(())
    }

    /// Leaves out result `k` of a node; trailing absent results are cut off.
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
        self.forget_value(v);
        let n = &mut self.nodes[node.index()];
        n.outputs[k] = None;
        while n.outputs.last().is_some_and(Option::is_none) {
            n.outputs.pop();
        }
        self.touch(node);
        Ok(())
    }

    /// Changes a node's operator.
    pub fn set_op(&mut self, node: NodeId, domain: &str, op_type: &str) {
        let n = &mut self.nodes[node.index()];
        n.op_type = op_type.into();
        n.raw_domain = if domain.is_empty() { None } else { Some(domain.into()) };
        if let Some(rare) = &mut n.rare {
            rare.overload = None;
        }
        self.touch(node);
    }

    /// Renames a node (`None` takes its name away).
    pub fn set_node_name(&mut self, node: NodeId, name: Option<&str>) {
        self.nodes[node.index()].name = name.map(Into::into);
        if let Some(n) = name {
            self.remember_name(&n.into());
        }
        self.touch(node);
    }

    /// Makes every node that reads `old` read `new`. Graph outputs are left: see [`Model::replace_value`].
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        if old == new {
            return;
        }
        let uses: Vec<Use> = self.value(old).uses.to_vec();
        for u in uses {
            if let Use::Node { node, slot } = u {
                self.set_input(node, slot as usize, Some(new));
            }
        }
    }

    /// Makes everything that reads `old` read `new`, graph outputs included. A graph output keeps its name:
    /// where `new` is computed in the same graph and is not an output itself it takes that name over, else
    /// an `Identity` carries it.
    ///
    /// # Errors
    /// When `old` is a graph output and not a node's result.
    pub fn replace_value(&mut self, old: ValueId, new: ValueId) -> Result<()> {
        self.replace_uses(old, new);
        let outputs: Vec<(GraphId, u32)> = self.output_uses(old);
        if outputs.is_empty() {
            return Ok(());
        }
        let Some(producer) = self.value(old).producer() else {
            return Err(Error::edit(format!("`{}` is an output and no node computes it", self.name(old))));
        };
        let same_graph =
            self.value(new).producer().is_some() && self.value(new).graph == self.value(old).graph;
        if same_graph && self.output_uses(new).is_empty() {
            self.swap_names(old, new);
            for (graph, index) in outputs {
                self.set_output(graph, index as usize, new);
            }
            return Ok(());
        }
        if self.node(producer).is("Identity") && self.node(producer).input(0) == Some(new) {
            return Ok(());
        }
        // `old` lives on as the result of an Identity in its producer's place.
        let node = self.add_node(
            Place::After(producer),
            NewNode { op_type: "Identity".into(), inputs: vec![Some(new)], ..NewNode::default() },
        );
        let Def::Node { index, .. } = self.value(old).def else { return Ok(()) };
        self.nodes[producer.index()].outputs[index as usize] = None;
        self.touch(producer);
        self.values[old.index()].def = Def::Node { node, index: 0 };
        self.nodes[node.index()].outputs.push(Some(old));
        Ok(())
    }

    pub(crate) fn output_uses(&self, v: ValueId) -> Vec<(GraphId, u32)> {
        let mut out: Vec<_> = (self.value(v).uses.iter())
            .filter_map(|u| match *u {
                Use::Output { graph, index } => Some((graph, index)),
                Use::Node { .. } => None,
            })
            .collect();
        out.sort_unstable();
        out
    }

    /// Exchanges the names, and with them the declarations, of two values of one graph.
    pub(crate) fn swap_names(&mut self, a: ValueId, b: ValueId) {
        self.forget_spans(a);
        self.forget_spans(b);
        let name_a = self.values[a.index()].name.clone();
        let name_b = std::mem::replace(&mut self.values[b.index()].name, name_a.clone());
        self.values[a.index()].name = name_b.clone();
        for v in [a, b] {
            let (from, to) = if v == a { (&name_a, &name_b) } else { (&name_b, &name_a) };
            for n in self.touching(v) {
                self.rename_shards(n, from, to);
            }
        }
        for (graph, _) in [(self.value(a).graph, ()), (self.value(b).graph, ())] {
            self.touch_graph(graph);
        }
    }

    /// The nodes whose written form holds the value's name.
    fn touching(&self, v: ValueId) -> Vec<NodeId> {
        let value = self.value(v);
        let users = value.uses.iter().filter_map(|u| match *u {
            Use::Node { node, .. } => Some(node),
            Use::Output { .. } => None,
        });
        users.chain(value.producer()).collect()
    }

    fn forget_spans(&mut self, v: ValueId) {
        for n in self.touching(v) {
            self.touch(n);
        }
        for (g, _) in self.output_uses(v) {
            self.touch_graph(g);
        }
    }

    /// Renames a value everywhere.
    ///
    /// # Errors
    /// When the name is empty, or another value that is visible in its graph, or in a graph inside it, has it.
    pub fn rename_value(&mut self, v: ValueId, name: &str) -> Result<()> {
        if self.name(v) == name {
            return Ok(());
        }
        if name.is_empty() {
            return Err(Error::edit(format!("`{}` cannot get an empty name", self.name(v))));
        }
        // A look at the table of names saves the look at every value where the name is a new one.
        if self.name_count(name) > 0
            && let Some(other) = self.name_clash(self.value(v).graph, name)
        {
            return Err(Error::edit(format!(
                "`{}` cannot be renamed to `{name}`: the graph has a value of that name{}",
                self.name(v),
                if self.value(other).def == Def::Input { " (an input)" } else { "" }
            )));
        }
        self.set_name(v, name.into());
        Ok(())
    }

    /// Whether a value that `graph` sees, or a graph inside it, has this name.
    pub fn is_name_taken(&mut self, graph: GraphId, name: &str) -> bool {
        self.name_count(name) > 0 && self.name_clash(graph, name).is_some()
    }

    /// A value that `graph`, or a graph around or inside it, knows by `name`.
    pub fn name_clash(&self, graph: GraphId, name: &str) -> Option<ValueId> {
        let inside = |mut g: GraphId, of: GraphId| loop {
            if g == of {
                return true;
            }
            match self.graph(g).parent {
                Some(p) => g = p,
                None => return false,
            }
        };
        self.values()
            .find(|(_, v)| v.name == name && (inside(v.graph, graph) || inside(graph, v.graph)))
            .map(|(id, _)| id)
    }

    /// Renames without a check.
    pub(crate) fn set_name(&mut self, v: ValueId, name: EcoString) {
        self.forget_spans(v);
        self.remember_name(&name);
        self.unique_names = false;
        let graph = self.value(v).graph;
        let old = std::mem::replace(&mut self.values[v.index()].name, name.clone());
        self.unremember_name(&old);
        for n in self.touching(v) {
            self.rename_shards(n, &old, &name);
        }
        self.touch_graph(graph);
    }

    /// Makes output `index` of a graph another value.
    pub fn set_output(&mut self, graph: GraphId, index: usize, value: ValueId) {
        let o = &self.graphs[graph.index()].outputs[index];
        let (old, pos) = (o.value, o.use_pos);
        self.drop_use(old, pos);
        let pos = self.add_use(value, Use::Output { graph, index: index as u32 });
        let o = &mut self.graphs[graph.index()].outputs[index];
        (o.value, o.use_pos) = (value, pos);
        self.touch_graph(graph);
    }

    /// Appends an output to a graph.
    pub fn add_output(&mut self, graph: GraphId, value: ValueId, ty: Option<Type>) {
        self.push_output_raw(graph, value, ValueInfo::new(ty));
        self.touch_graph(graph);
    }

    /// Removes output `index` of a graph; its value stays.
    pub fn remove_output(&mut self, graph: GraphId, index: usize) {
        let o = &self.graphs[graph.index()].outputs[index];
        let (value, pos) = (o.value, o.use_pos);
        // While all outputs have their places: the use that moves up may be another output's of this graph.
        self.drop_use(value, pos);
        self.graphs[graph.index()].outputs.remove(index);
        for k in index..self.graphs[graph.index()].outputs.len() {
            let o = &self.graphs[graph.index()].outputs[k];
            let (v, pos) = (o.value, o.use_pos);
            self.values[v.index()].uses[pos as usize] = Use::Output { graph, index: k as u32 };
        }
        self.touch_graph(graph);
    }

    /// Appends an input to a graph. A taken name gets a number.
    pub fn add_input(&mut self, graph: GraphId, name: &str, ty: Option<Type>) -> ValueId {
        let name = self.fresh_name(name);
        let v = self.new_value_raw(graph, name, Def::Input);
        self.values[v.index()].info = Some(Box::new(ValueInfo::new(ty)));
        self.graphs[graph.index()].inputs.push(v);
        self.touch_graph(graph);
        v
    }

    /// Removes an input that nothing reads, with its default.
    ///
    /// # Errors
    /// When something still reads it.
    pub fn remove_input(&mut self, v: ValueId) -> Result<()> {
        if !self.is_unused(v) {
            return Err(Error::edit(format!("input `{}` is still read", self.name(v))));
        }
        let graph = self.value(v).graph;
        self.graphs[graph.index()].inputs.retain(|x| *x != v);
        self.forget_value(v);
        self.touch_graph(graph);
        Ok(())
    }

    /// Turns an input into an initializer: every caller now gets these contents.
    ///
    /// # Errors
    /// When the value is not an input.
    pub fn bind_input(&mut self, v: ValueId, tensor: Arc<Tensor>) -> Result<()> {
        if self.value(v).def != Def::Input {
            return Err(Error::edit(format!("`{}` is not an input", self.name(v))));
        }
        let graph = self.value(v).graph;
        self.graphs[graph.index()].inputs.retain(|x| *x != v);
        if self.values[v.index()].init.is_none() {
            self.graphs[graph.index()].initializers.push(v);
        }
        let value = &mut self.values[v.index()];
        value.def = Def::Initializer;
        value.init = Some(tensor);
        if value.info.is_some() {
            self.graphs[graph.index()].value_info.push(v);
        }
        self.touch_graph(graph);
        Ok(())
    }

    /// Adds an initializer. A taken name gets a number.
    pub fn add_initializer(&mut self, graph: GraphId, name: &str, tensor: Arc<Tensor>) -> ValueId {
        let name = self.fresh_name(name);
        let v = self.new_value_raw(graph, name, Def::Initializer);
        self.values[v.index()].init = Some(tensor);
        self.graphs[graph.index()].initializers.push(v);
        self.touch_graph(graph);
        v
    }

    /// Replaces the contents of an initializer (or of an input's default).
    ///
    /// # Errors
    /// When the value has no initializer.
    pub fn set_initializer(&mut self, v: ValueId, tensor: Arc<Tensor>) -> Result<()> {
        if self.value(v).init.is_none() {
            return Err(Error::edit(format!("`{}` has no initializer", self.name(v))));
        }
        self.values[v.index()].init = Some(tensor);
        self.touch_graph(self.value(v).graph);
        Ok(())
    }

    /// Removes an initializer that nothing reads.
    ///
    /// # Errors
    /// When something reads it, or it is an input.
    pub fn remove_initializer(&mut self, v: ValueId) -> Result<()> {
        if !self.is_unused(v) || self.value(v).def != Def::Initializer {
            return Err(Error::edit(format!("initializer `{}` is still read or is an input", self.name(v))));
        }
        self.remove_initializers(&[v])
    }

    /// Removes many initializers at once, each unused and not an input.
    ///
    /// # Errors
    /// As [`Model::remove_initializer`], before anything is removed.
    pub fn remove_initializers(&mut self, dead: &[ValueId]) -> Result<()> {
        for &v in dead {
            if !self.is_unused(v) || self.value(v).def != Def::Initializer {
                return Err(Error::edit(format!(
                    "initializer `{}` is still read or is an input",
                    self.name(v)
                )));
            }
        }
        let mut graphs: Vec<GraphId> = dead.iter().map(|v| self.value(*v).graph).collect();
        graphs.sort_unstable();
        graphs.dedup();
        for &v in dead {
            self.mark_removed(v);
        }
        for g in graphs {
            self.purge(g);
            self.touch_graph(g);
        }
        Ok(())
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

    /// Marks a value as gone and drops what its graph says of it.
    fn forget_value(&mut self, v: ValueId) {
        let value = &mut self.values[v.index()];
        let listed = value.info.is_some() || value.init.is_some();
        let graph = value.graph;
        value.info = None;
        self.mark_removed(v);
        if listed || !self.graphs[graph.index()].annotations.is_empty() {
            self.purge(graph);
        }
    }

    /// Removes a node whose outputs nothing reads, with its subgraphs. What the graph says of the outputs
    /// (`value_info`, annotations) goes at the next [`Model::sweep`].
    ///
    /// # Errors
    /// When an output is still read.
    pub fn remove_node(&mut self, node: NodeId) -> Result<()> {
        if let Some(v) = self.node(node).outputs.iter().flatten().find(|v| !self.is_unused(**v)) {
            return Err(Error::edit(format!(
                "{}: output `{}` is still read",
                self.describe(node),
                self.name(*v)
            )));
        }
        self.touch(node);
        let mut doomed = vec![node];
        while let Some(n) = doomed.pop() {
            let outputs: Vec<ValueId> = self.node(n).outputs.iter().flatten().copied().collect();
            for v in outputs {
                self.mark_removed(v);
            }
            for slot in 0..self.node(n).inputs.len() {
                let (v, pos) = (self.node(n).inputs[slot], self.node(n).use_pos[slot]);
                if let Some(v) = v {
                    self.drop_use(v, pos);
                }
            }
            for g in self.node(n).subgraphs().collect::<Vec<_>>() {
                doomed.extend(self.dismantle(g));
            }
            let x = &mut self.nodes[n.index()];
            x.inputs.clear();
            x.use_pos.clear();
            x.attributes.clear();
            self.unlink_raw(n);
        }
        Ok(())
    }

    /// Takes a graph apart; gives the nodes in it, which are to be removed next.
    pub(crate) fn dismantle(&mut self, graph: GraphId) -> Vec<NodeId> {
        while let Some(o) = self.graphs[graph.index()].outputs.pop() {
            self.drop_use(o.value, o.use_pos);
        }
        let g = &mut self.graphs[graph.index()];
        let own: Vec<ValueId> = g.inputs.drain(..).chain(g.initializers.drain(..)).collect();
        g.owner = GraphOwner::Detached;
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

    /// Declares a value's type: in its own entry, or a new one in `value_info`. Graph outputs that are this
    /// value are declared so too.
    pub fn set_type(&mut self, v: ValueId, ty: Type) {
        let outputs = self.output_uses(v);
        let graph = self.value(v).graph;
        let declared_by_output = outputs.iter().any(|(g, _)| *g == graph);
        for (g, index) in outputs {
            let info = &mut self.graphs[g.index()].outputs[index as usize].info;
            if info.ty() != Some(&ty) {
                info.set_ty(Some(ty.clone()));
                self.touch_graph(g);
            }
        }
        let value = &mut self.values[v.index()];
        match &mut value.info {
            Some(info) if info.ty() == Some(&ty) => return,
            Some(info) => {
                info.set_ty(Some(ty));
            }
            None if declared_by_output => return,
            None => {
                value.info = Some(Box::new(ValueInfo::new(Some(ty))));
                if value.def != Def::Input {
                    self.graphs[graph.index()].value_info.push(v);
                }
            }
        }
        self.touch_graph(graph);
    }

    /// Takes a value's own declaration away (its entry in `value_info`); inputs and outputs keep theirs.
    pub fn clear_value_info(&mut self, v: ValueId) {
        if self.value(v).def == Def::Input || self.value(v).info.is_none() {
            return;
        }
        let graph = self.value(v).graph;
        self.values[v.index()].info = None;
        self.graphs[graph.index()].value_info.retain(|x| *x != v);
        self.touch_graph(graph);
    }

    /// Drops the entries of `value_info` that belong to no value of the graph; gives how many.
    pub fn drop_stale_value_info(&mut self, graph: GraphId) -> usize {
        let n = self.graph(graph).stale_info.len();
        if n > 0 {
            self.graphs[graph.index()].stale_info.clear();
            self.touch_graph(graph);
        }
        n
    }

    /// Changes every declared type of a graph (inputs, outputs, `value_info`) dim by dim. Gives how many
    /// declarations changed.
    pub fn map_dims(
        &mut self,
        graph: GraphId,
        f: &mut dyn FnMut(&crate::Dim) -> Option<crate::Dim>,
    ) -> usize {
        let mut changed = 0;
        let mut apply = |info: &mut ValueInfo| {
            let Some(mut ty) = info.ty().cloned() else { return };
            if ty.map_dims(f) {
                info.set_ty(Some(ty));
                changed += 1;
            }
        };
        let (graphs, values) = (&mut self.graphs, &mut self.values);
        let g = &mut graphs[graph.index()];
        for v in g.inputs.iter().chain(&g.value_info) {
            if let Some(info) = &mut values[v.index()].info {
                apply(info);
            }
        }
        g.outputs.iter_mut().for_each(|o| apply(&mut o.info));
        g.stale_info.iter_mut().for_each(|(_, i)| apply(i));
        if changed > 0 {
            self.touch_graph(graph);
        }
        changed
    }

    /// Removes a function that nothing calls any more.
    pub fn remove_function(&mut self, f: FunctionId) {
        let key = self.functions[f.index()].key();
        let key = (key.0.into(), key.1.into(), key.2.into());
        self.function_index.remove(&key);
        let graph = self.functions[f.index()].graph;
        let mut doomed = self.dismantle(graph);
        while let Some(n) = doomed.pop() {
            for slot in 0..self.node(n).inputs.len() {
                let (v, pos) = (self.node(n).inputs[slot], self.node(n).use_pos[slot]);
                if let Some(v) = v {
                    self.drop_use(v, pos);
                }
            }
            for v in self.node(n).outputs.clone().into_iter().flatten() {
                self.mark_removed(v);
            }
            for g in self.node(n).subgraphs().collect::<Vec<_>>() {
                doomed.extend(self.dismantle(g));
            }
            let x = &mut self.nodes[n.index()];
            x.inputs.clear();
            x.use_pos.clear();
            self.unlink_raw(n);
        }
        self.functions[f.index()].live = false;
        self.revision += 1;
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
