//! Looking at a model.

use std::sync::Arc;

use super::*;
use crate::source::Source;
use crate::{AttrValue, DataType, FunctionId, GraphId, NodeId, Tensor, Type, ValueId};

impl Model {
    /// The main graph.
    #[inline]
    pub fn main(&self) -> GraphId {
        self.main
    }
    /// What stands beside the graphs.
    pub fn header(&self) -> &Header {
        &self.header
    }
    /// Changes what stands beside the graphs.
    pub fn header_mut(&mut self) -> &mut Header {
        self.revision += 1;
        &mut self.header
    }
    /// A counter that every change moves.
    #[inline]
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// Where the model was read from.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_deref()
    }
    /// A node.
    #[inline]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
    /// A value.
    #[inline]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }
    /// A value's name.
    #[inline]
    pub fn name(&self, id: ValueId) -> &str {
        &self.values[id.index()].name
    }
    /// A graph.
    #[inline]
    pub fn graph(&self, id: GraphId) -> &Graph {
        &self.graphs[id.index()]
    }
    /// A function.
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id.index()]
    }
    /// The functions, in file order.
    pub fn functions(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        self.functions.iter().enumerate().filter(|(_, f)| f.live).map(|(i, f)| (FunctionId::new(i), f))
    }
    /// `training_info`
    pub fn training(&self) -> &[TrainingInfo] {
        &self.training
    }
    /// The function that a node calls.
    #[inline]
    pub fn callee(&self, node: NodeId) -> Option<FunctionId> {
        if self.function_index.is_empty() {
            return None;
        }
        let n = self.node(node);
        if n.operator.standard && !self.standard_functions {
            return None;
        }
        let key = (n.domain().into(), n.operator.op_type.clone(), n.overload().into());
        self.function_index.get(&key).copied()
    }
    /// The number of ids ever given to nodes; [`NodeId::index`] is below it. For side tables.
    pub fn node_capacity(&self) -> usize {
        self.nodes.len()
    }
    /// As [`Model::node_capacity`], for values.
    pub fn value_capacity(&self) -> usize {
        self.values.len()
    }
    /// As [`Model::node_capacity`], for graphs.
    pub fn graph_capacity(&self) -> usize {
        self.graphs.len()
    }
    /// False once the node was removed.
    #[inline]
    pub fn is_live_node(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|n| n.live)
    }
    /// False once the value was removed.
    #[inline]
    pub fn is_live_value(&self, id: ValueId) -> bool {
        self.values.get(id.index()).is_some_and(|v| v.def != Def::Removed)
    }

    /// The nodes of a graph, in order.
    #[inline]
    pub fn nodes(&self, graph: GraphId) -> Nodes<'_> {
        Nodes { model: self, next: self.graph(graph).first }
    }

    /// The ids of a graph's nodes, in order, for use while the graph changes.
    pub fn node_ids(&self, graph: GraphId) -> Vec<NodeId> {
        let g = self.graph(graph);
        let mut ids = Vec::with_capacity(g.node_count);
        ids.extend(std::iter::successors(g.first, |id| self.links[id.index()].next));
        ids
    }

    /// Every graph that is part of the model: the main graph and its subgraphs, then each function's, then
    /// training's. A graph comes before the graphs inside it.
    pub fn live_graphs(&self) -> Vec<GraphId> {
        let mut out = Vec::new();
        let roots = std::iter::once(self.main)
            .chain(self.functions().map(|(_, f)| f.graph))
            .chain(self.training.iter().flat_map(|t| [t.initialization, t.algorithm]).flatten());
        for root in roots {
            self.graphs_below(root, &mut out);
        }
        out
    }

    /// `root` and every graph inside it, outer ones first, in node order.
    pub fn graphs_in(&self, root: GraphId) -> Vec<GraphId> {
        let mut out = Vec::new();
        self.graphs_below(root, &mut out);
        out
    }

    fn graphs_below(&self, root: GraphId, out: &mut Vec<GraphId>) {
        // Most graphs have none inside, which their nodes need not be asked for.
        let mut has_inner = vec![false; self.graphs.len()];
        self.graphs.iter().filter_map(|g| g.parent).for_each(|p| has_inner[p.index()] = true);
        let mut stack = vec![root];
        while let Some(g) = stack.pop() {
            out.push(g);
            if !has_inner[g.index()] {
                continue;
            }
            let at = stack.len();
            for (_, n) in self.nodes(g) {
                stack.extend(n.subgraphs());
            }
            stack[at..].reverse();
        }
    }

    /// The type that the file declares for a value: by its own entry, else by a graph output's.
    #[inline]
    pub fn declared_type(&self, id: ValueId) -> Option<&Type> {
        let v = self.value(id);
        if let Some(t) = v.info.as_ref().and_then(|i| i.ty()) {
            return Some(t);
        }
        v.uses.iter().find_map(|u| match *u {
            Use::Output { graph, index } => {
                self.graph(graph).outputs.get(index as usize).and_then(|o| o.info.ty())
            }
            Use::Node { .. } => None,
        })
    }

    /// The contents of a value that no caller can change: an initializer that is not an input (before IR 4,
    /// where every initializer is among the inputs, any), or the output of a `Constant`.
    #[inline]
    pub fn constant(&self, id: ValueId) -> Option<Arc<Tensor>> {
        let v = self.value(id);
        match v.def {
            Def::Initializer => v.init.clone(),
            Def::Input if self.header.ir_version.is_some_and(|ir| ir < 4) => v.init.clone(),
            Def::Node { node, index: 0 } => self.constant_node(node),
            _ => None,
        }
    }

    /// The contents of a `Constant` node.
    #[inline]
    pub fn constant_node(&self, node: NodeId) -> Option<Arc<Tensor>> {
        let n = self.node(node);
        if !n.is("Constant") {
            return None;
        }
        let a = n.attributes.first()?;
        match (a.name.as_str(), &a.value) {
            ("value", AttrValue::Tensor(t)) => Some(t.clone()),
            ("value_int", AttrValue::Int(i)) => Some(Tensor::int64(&[], &[*i]).shared()),
            ("value_ints", AttrValue::Ints(v)) => Some(Tensor::int64_vec(v).shared()),
            ("value_float", AttrValue::Float(f)) => Some(Tensor::float(&[], &[*f]).shared()),
            ("value_floats", AttrValue::Floats(v)) => Some(Tensor::float(&[v.len() as i64], v).shared()),
            ("value_string", AttrValue::String(s)) => Some(
                Tensor::with_data(DataType::STRING, &[], crate::TensorData::Strings(vec![s.clone()]))
                    .shared(),
            ),
            ("value_strings", AttrValue::Strings(v)) => Some(
                Tensor::with_data(DataType::STRING, &[v.len() as i64], crate::TensorData::Strings(v.clone()))
                    .shared(),
            ),
            _ => None,
        }
    }

    /// The version of `domain` that operators in `graph` are resolved by: the enclosing function's imports,
    /// or the model's.
    #[inline]
    pub fn opset(&self, graph: GraphId, domain: &str) -> Option<i64> {
        let imports = match self.graph(self.root_of(graph)).owner {
            GraphOwner::Function(f) => &self.function(f).opset_imports,
            _ => &self.header.opset_imports,
        };
        let domain = canonical_domain(domain);
        imports
            .iter()
            .find(|o| canonical_domain(o.domain.as_deref().unwrap_or("")) == domain)
            .and_then(|o| o.version)
    }

    /// The outermost graph around `graph`: the main graph, a function's body or a training graph.
    #[inline]
    pub fn root_of(&self, graph: GraphId) -> GraphId {
        let mut at = graph;
        while let Some(p) = self.graph(at).parent {
            at = p;
        }
        at
    }

    /// The value of that name as `graph` sees it: its own, else the graphs' around it. Linear in the number
    /// of values; for tables of names see the text printer's scopes.
    pub fn find_value(&self, graph: GraphId, name: &str) -> Option<ValueId> {
        let mut at = Some(graph);
        while let Some(g) = at {
            let hit = self
                .values
                .iter()
                .position(|v| v.graph == g && v.name == name && !matches!(v.def, Def::Removed));
            if let Some(i) = hit {
                return Some(ValueId::new(i));
            }
            at = self.graph(g).parent;
        }
        None
    }

    /// All values that exist, by id.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values
            .iter()
            .enumerate()
            .filter(|(_, v)| v.def != Def::Removed)
            .map(|(i, v)| (ValueId::new(i), v))
    }

    /// True when nothing reads the value: no node, no graph output, no annotation or training binding.
    #[inline]
    pub fn is_unused(&self, id: ValueId) -> bool {
        let v = self.value(id);
        v.uses.is_empty() && v.pins == 0
    }

    /// How a message names a node: its name, else its operator and first output.
    pub fn describe(&self, id: NodeId) -> String {
        let n = self.node(id);
        if !n.name().is_empty() {
            return format!("{} \"{}\"", n.op_type(), n.name());
        }
        match n.outputs().iter().flatten().next() {
            Some(v) => format!("{} of \"{}\"", n.op_type(), self.name(*v)),
            None => n.op_type().to_string(),
        }
    }
}

/// Iterator over a graph's nodes in order.
#[derive(Clone)]
pub struct Nodes<'a> {
    model: &'a Model,
    next: Option<NodeId>,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = (NodeId, &'a Node);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next?;
        self.next = self.model.links[id.index()].next;
        Some((id, self.model.node(id)))
    }
}
