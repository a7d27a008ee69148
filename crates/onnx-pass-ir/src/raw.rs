//! Building blocks of a model that check nothing: for the decoders and, behind the checks, the edits.

use std::sync::{Arc, LazyLock};

use ecow::{EcoString, EcoVec};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::model::*;
use crate::span::Span;
use crate::{FunctionId, GraphId, NodeId, ValueId};

impl Node {
    pub(crate) fn blank(graph: GraphId) -> Self {
        static NONE: LazyLock<Arc<Operator>> = LazyLock::new(Arc::default);
        Node {
            name: None,
            operator: NONE.clone(),
            operands: Operands::default(),
            attributes: EcoVec::new(),
            rare: None,
            graph,
            live: false,
            src: Span::NONE,
        }
    }
}

impl Graph {
    pub(crate) fn blank(owner: GraphOwner, parent: Option<GraphId>) -> Self {
        Graph {
            owner,
            parent,
            name: None,
            doc: None,
            metadata: Metadata::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            initializers: Vec::new(),
            sparse_initializers: Vec::new(),
            value_info: Vec::new(),
            stale_info: Vec::new(),
            annotations: Vec::new(),
            first: None,
            last: None,
            node_count: 0,
            rest: EcoVec::new(),
        }
    }
}

impl Model {
    /// A model with an empty main graph and no opset import.
    pub fn empty() -> Self {
        Model {
            header: Header::default(),
            nodes: Vec::new(),
            links: Vec::new(),
            values: Vec::new(),
            graphs: vec![Graph::blank(GraphOwner::Main, None)],
            functions: Vec::new(),
            function_index: FxHashMap::default(),
            standard_functions: false,
            main: GraphId::new(0),
            training: Vec::new(),
            source: None,
            revision: 0,
            names: None,
            uncounted: Vec::new(),
            next_name: FxHashMap::default(),
            unique_names: true,
            read_sound: false,
        }
    }

    pub(crate) fn new_value_raw(&mut self, graph: GraphId, name: EcoString, def: Def) -> ValueId {
        let id = ValueId::new(self.values.len());
        self.remember_name(&name);
        self.unique_names = false;
        self.values.push(Value { name, graph, def, uses: SmallVec::new(), pins: 0, info: None, init: None });
        id
    }

    pub(crate) fn new_graph_raw(&mut self, owner: GraphOwner, parent: Option<GraphId>) -> GraphId {
        let id = GraphId::new(self.graphs.len());
        self.graphs.push(Graph::blank(owner, parent));
        id
    }

    pub(crate) fn new_node_raw(&mut self, graph: GraphId) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        self.nodes.push(Node::blank(graph));
        self.links.push(Link::default());
        id
    }

    /// Links a node into `graph`, before another node or at the end.
    pub(crate) fn link_raw(&mut self, id: NodeId, graph: GraphId, before: Option<NodeId>) {
        let prev = match before {
            Some(b) => self.links[b.index()].prev,
            None => self.graphs[graph.index()].last,
        };
        let n = &mut self.nodes[id.index()];
        (n.graph, n.live) = (graph, true);
        self.links[id.index()] = Link { prev, next: before };
        match prev {
            Some(p) => self.links[p.index()].next = Some(id),
            None => self.graphs[graph.index()].first = Some(id),
        }
        match before {
            Some(b) => self.links[b.index()].prev = Some(id),
            None => self.graphs[graph.index()].last = Some(id),
        }
        self.graphs[graph.index()].node_count += 1;
    }

    /// Takes a node out of its graph's list; the node stays as it is otherwise.
    pub(crate) fn unlink_raw(&mut self, id: NodeId) {
        let Link { prev, next } = std::mem::take(&mut self.links[id.index()]);
        let n = &mut self.nodes[id.index()];
        n.live = false;
        let graph = n.graph;
        match prev {
            Some(p) => self.links[p.index()].next = next,
            None => self.graphs[graph.index()].first = next,
        }
        match next {
            Some(x) => self.links[x.index()].prev = prev,
            None => self.graphs[graph.index()].last = prev,
        }
        self.graphs[graph.index()].node_count -= 1;
    }

    /// Appends an input to a node and enters the use.
    pub(crate) fn push_input_raw(&mut self, id: NodeId, value: Option<ValueId>) {
        let slot = self.nodes[id.index()].inputs().len() as u32;
        let pos = value.map_or(0, |v| self.add_use(v, Use::Node { node: id, slot }));
        self.nodes[id.index()].operands.push_input(value, pos);
    }

    /// Appends an output to a graph and enters the use.
    pub(crate) fn push_output_raw(&mut self, graph: GraphId, value: ValueId, info: ValueInfo) {
        let index = self.graphs[graph.index()].outputs.len() as u32;
        let use_pos = self.add_use(value, Use::Output { graph, index });
        self.graphs[graph.index()].outputs.push(GraphOutput { value, use_pos, info });
    }

    /// Enters a use; gives its place in the value's list.
    pub(crate) fn add_use(&mut self, value: ValueId, u: Use) -> u32 {
        let uses = &mut self.values[value.index()].uses;
        uses.push(u);
        (uses.len() - 1) as u32
    }

    /// Removes the use at `pos` of the value's list, in constant time.
    pub(crate) fn drop_use(&mut self, value: ValueId, pos: u32) {
        let uses = &mut self.values[value.index()].uses;
        uses.swap_remove(pos as usize);
        if let Some(moved) = uses.get(pos as usize).copied() {
            match moved {
                Use::Node { node, slot } => self.nodes[node.index()].operands.moved_use(slot, pos),
                Use::Output { graph, index } => {
                    self.graphs[graph.index()].outputs[index as usize].use_pos = pos;
                }
            }
        }
    }

    pub(crate) fn push_function_raw(&mut self, f: Function) -> FunctionId {
        let id = FunctionId::new(self.functions.len());
        let (domain, name, overload) = f.key();
        self.standard_functions |= domain.is_empty();
        let key = (domain.into(), name.into(), overload.into());
        self.function_index.entry(key).or_insert(id);
        self.functions.push(f);
        id
    }
}
