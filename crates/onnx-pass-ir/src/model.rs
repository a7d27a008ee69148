//! The model: one arena of nodes, values and graphs, and what stands around them.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::source::Source;
use crate::span::Span;
use crate::{
    AttrValue, Attribute, DataType, FunctionId, GraphId, NodeId, SparseTensor, Tensor, Type, ValueId,
};

/// `metadata_props`: key-value pairs in file order.
pub type Metadata = Vec<(EcoString, EcoString)>;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Def {
    /// An input of its graph or function. It may also have an initializer: a default that a caller may
    /// override (IR 4 and later).
    Input,
    /// An initializer, dense or sparse.
    Initializer,
    /// An output of a node.
    Node {
        /// The node.
        node: NodeId,
        /// Which of its outputs.
        index: u32,
    },
    /// Nothing defines it: the model names a value that does not exist. `verify` reports it.
    Undefined,
    /// It was removed.
    Removed,
}

/// One use of a value. A use in a subgraph of a value from outside (a capture) is an ordinary use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// Input `slot` of a node.
    Node {
        /// The node.
        node: NodeId,
        /// Which of its inputs.
        slot: u32,
    },
    /// Output `index` of a graph or function.
    Output {
        /// The graph.
        graph: GraphId,
        /// Which of its outputs.
        index: u32,
    },
}

/// What a `ValueInfoProto` says beside the name.
#[derive(Clone, Debug, Default)]
pub struct ValueInfo {
    pub(crate) ty: Option<Arc<Declared>>,
    rare: Option<Box<RareInfo>>,
    /// The name that `src` was written with.
    pub(crate) src_name: EcoString,
    /// The field in its source; empty when changed.
    pub(crate) src: Span,
}

/// What few declarations have.
#[derive(Clone, Debug, Default)]
pub(crate) struct RareInfo {
    pub doc: Option<EcoString>,
    pub metadata: Metadata,
    pub rest: EcoVec<u8>,
}

/// A declared type: one for all values of the file that are declared alike.
#[derive(Debug)]
pub(crate) struct Declared {
    pub ty: Type,
    /// The field in its source, so that what the schema does not know of it stays when a value is renamed.
    pub src: Bytes,
}

impl ValueInfo {
    /// A declaration of a type.
    pub fn new(ty: Option<Type>) -> Self {
        let mut info = ValueInfo::default();
        info.set_ty(ty);
        info
    }

    /// The declared type.
    #[inline]
    pub fn ty(&self) -> Option<&Type> {
        self.ty.as_deref().map(|d| &d.ty)
    }

    /// `doc_string`.
    pub fn doc(&self) -> &str {
        self.rare().doc.as_deref().unwrap_or("")
    }

    /// `metadata_props`.
    pub fn metadata(&self) -> &[(EcoString, EcoString)] {
        &self.rare().metadata
    }

    pub(crate) fn rare(&self) -> &RareInfo {
        static NONE: RareInfo = RareInfo { doc: None, metadata: Metadata::new(), rest: EcoVec::new() };
        self.rare.as_deref().unwrap_or(&NONE)
    }

    pub(crate) fn rare_mut(&mut self) -> &mut RareInfo {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn set_ty(&mut self, ty: Option<Type>) {
        self.ty = ty.map(|ty| Arc::new(Declared { ty, src: Bytes::new() }));
        self.src = Span::NONE;
    }
}

/// A value: a graph input, an initializer or a node output.
#[derive(Clone, Debug)]
pub struct Value {
    pub(crate) name: EcoString,
    pub(crate) graph: GraphId,
    pub(crate) def: Def,
    pub(crate) uses: SmallVec<[Use; 1]>,
    /// References from quantization annotations and training bindings, which keep a value alive.
    pub(crate) pins: u32,
    pub(crate) info: Option<Box<ValueInfo>>,
    pub(crate) init: Option<Arc<Tensor>>,
}

impl Value {
    /// The name, unique in its graph and the graphs around it.
    #[inline]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph that defines it.
    #[inline]
    pub fn graph(&self) -> GraphId {
        self.graph
    }

    /// Where it comes from.
    #[inline]
    pub fn def(&self) -> Def {
        self.def
    }

    /// Its uses, in no particular order.
    #[inline]
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The node that computes it.
    #[inline]
    pub fn producer(&self) -> Option<NodeId> {
        match self.def {
            Def::Node { node, .. } => Some(node),
            _ => None,
        }
    }

    /// Its entry among the graph's inputs or `value_info`.
    #[inline]
    pub fn info(&self) -> Option<&ValueInfo> {
        self.info.as_deref()
    }

    /// The dense initializer: its contents, or the default of an input.
    #[inline]
    pub fn initializer(&self) -> Option<&Arc<Tensor>> {
        self.init.as_ref()
    }
}

/// An output of a graph.
#[derive(Clone, Debug)]
pub struct GraphOutput {
    pub(crate) value: ValueId,
    pub(crate) use_pos: u32,
    /// The output's declaration.
    pub info: ValueInfo,
}

impl GraphOutput {
    /// The value.
    #[inline]
    pub fn value(&self) -> ValueId {
        self.value
    }
}

/// What a graph belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphOwner {
    /// The model's main graph.
    Main,
    /// An attribute of a node: a branch, a loop's body, ….
    Node(NodeId),
    /// A model-local function.
    Function(FunctionId),
    /// `training_info[index]`'s initialization (false) or algorithm (true).
    Training(u32, bool),
    /// Nothing any more.
    Detached,
}

/// `TensorAnnotation`: which values hold the quantization parameters of a tensor.
#[derive(Clone, Debug)]
pub struct QuantAnnotation {
    /// The annotated value.
    pub value: Option<ValueId>,
    /// `SCALE_TENSOR`, `ZERO_POINT_TENSOR`, … and the values that hold them.
    pub params: Vec<(EcoString, ValueId)>,
    /// Parameters that name no value, kept as they are.
    pub(crate) dangling: Metadata,
    /// The annotated name where it names no value.
    pub(crate) dangling_name: Option<EcoString>,
    pub(crate) rest: EcoVec<u8>,
}

/// A graph: the main one, a subgraph, or a function's body.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) owner: GraphOwner,
    /// The graph around this one, whose values it may capture.
    pub(crate) parent: Option<GraphId>,
    /// `name`.
    pub name: Option<EcoString>,
    /// `doc_string`.
    pub doc: Option<EcoString>,
    /// `metadata_props`.
    pub metadata: Metadata,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<GraphOutput>,
    pub(crate) initializers: Vec<ValueId>,
    pub(crate) sparse_initializers: Vec<(ValueId, Arc<SparseTensor>)>,
    /// Values with an entry in `value_info`, in file order.
    pub(crate) value_info: Vec<ValueId>,
    /// Entries of `value_info` that name no value or one that is declared elsewhere.
    pub(crate) stale_info: Vec<(EcoString, ValueInfo)>,
    pub(crate) annotations: Vec<QuantAnnotation>,
    pub(crate) first: Option<NodeId>,
    pub(crate) last: Option<NodeId>,
    pub(crate) node_count: usize,
    pub(crate) rest: EcoVec<u8>,
}

impl Graph {
    /// What it belongs to.
    pub fn owner(&self) -> GraphOwner {
        self.owner
    }
    /// The graph around it.
    pub fn parent(&self) -> Option<GraphId> {
        self.parent
    }
    /// The inputs, those with a default included.
    #[inline]
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    /// The outputs.
    #[inline]
    pub fn outputs(&self) -> &[GraphOutput] {
        &self.outputs
    }
    /// The dense initializers, in file order; those that are inputs too included.
    pub fn initializers(&self) -> &[ValueId] {
        &self.initializers
    }
    /// The sparse initializers.
    pub fn sparse_initializers(&self) -> &[(ValueId, Arc<SparseTensor>)] {
        &self.sparse_initializers
    }
    /// Values with an entry in `value_info`, in file order.
    pub fn value_info(&self) -> &[ValueId] {
        &self.value_info
    }
    /// Names and declarations in `value_info` that belong to no value of the graph.
    pub fn stale_value_info(&self) -> impl Iterator<Item = (&str, &ValueInfo)> {
        self.stale_info.iter().map(|(n, i)| (n.as_str(), i))
    }
    /// `quantization_annotation`.
    pub fn annotations(&self) -> &[QuantAnnotation] {
        &self.annotations
    }
    /// The number of nodes, subgraphs' not counted.
    pub fn node_count(&self) -> usize {
        self.node_count
    }
}

/// Four take no more room than one.
pub(crate) type Operands = SmallVec<[Option<ValueId>; 4]>;

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) name: Option<EcoString>,
    pub(crate) op_type: EcoString,
    /// As the file has it.
    pub(crate) raw_domain: Option<EcoString>,
    pub(crate) inputs: Operands,
    /// `use_pos[k]` is the place of input k in its value's use list.
    pub(crate) use_pos: SmallVec<[u32; 4]>,
    pub(crate) outputs: Operands,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) rare: Option<Box<RareNode>>,
    pub(crate) graph: GraphId,
    pub(crate) prev: Option<NodeId>,
    pub(crate) next: Option<NodeId>,
    pub(crate) live: bool,
    /// The field in its source; empty once the node or a subgraph of it was changed.
    pub(crate) src: Span,
}

/// What few nodes have.
#[derive(Clone, Debug, Default)]
pub(crate) struct RareNode {
    pub overload: Option<EcoString>,
    pub doc: Option<EcoString>,
    pub metadata: Metadata,
    pub devices: Vec<crate::proto::schema::NodeDeviceConfiguration>,
    pub rest: EcoVec<u8>,
}

impl Node {
    pub(crate) fn rare(&self) -> &RareNode {
        static NONE: RareNode = RareNode {
            overload: None,
            doc: None,
            metadata: Metadata::new(),
            devices: Vec::new(),
            rest: EcoVec::new(),
        };
        self.rare.as_deref().unwrap_or(&NONE)
    }

    pub(crate) fn rare_mut(&mut self) -> &mut RareNode {
        self.rare.get_or_insert_default()
    }

    /// `name`; empty when it has none.
    #[inline]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("")
    }
    /// `op_type`.
    #[inline]
    pub fn op_type(&self) -> &str {
        &self.op_type
    }
    /// The operator's domain; the standard one is empty, also where the file writes `ai.onnx`.
    #[inline]
    pub fn domain(&self) -> &str {
        canonical_domain(self.raw_domain.as_deref().unwrap_or(""))
    }
    /// `overload`.
    pub fn overload(&self) -> &str {
        self.rare().overload.as_deref().unwrap_or("")
    }
    /// `doc_string`.
    pub fn doc(&self) -> &str {
        self.rare().doc.as_deref().unwrap_or("")
    }
    /// True for this operator of the standard domain.
    #[inline]
    pub fn is(&self, op_type: &str) -> bool {
        self.op_type == op_type && self.domain().is_empty()
    }
    /// The inputs; an absent one in the middle, or written as an empty name at the end, is `None`.
    #[inline]
    pub fn inputs(&self) -> &[Option<ValueId>] {
        &self.inputs
    }
    /// Input `k`; `None` when it is absent.
    #[inline]
    pub fn input(&self, k: usize) -> Option<ValueId> {
        self.inputs.get(k).copied().flatten()
    }
    /// The outputs; an absent one is `None`.
    #[inline]
    pub fn outputs(&self) -> &[Option<ValueId>] {
        &self.outputs
    }
    /// Output `k`; `None` when it is absent.
    #[inline]
    pub fn output(&self, k: usize) -> Option<ValueId> {
        self.outputs.get(k).copied().flatten()
    }
    /// The attributes, in file order.
    #[inline]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
    /// The attribute of that name.
    #[inline]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.name == name)
    }
    /// The integer attribute of that name.
    #[inline]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.as_int()
    }
    /// The integer-list attribute of that name.
    #[inline]
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name)?.as_ints()
    }
    /// The float attribute of that name.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.as_float()
    }
    /// The string attribute of that name.
    pub fn str(&self, name: &str) -> Option<&str> {
        self.attribute(name)?.as_str()
    }
    /// `metadata_props`.
    pub fn metadata(&self) -> &[(EcoString, EcoString)] {
        &self.rare().metadata
    }
    /// The graph that it stands in.
    #[inline]
    pub fn graph(&self) -> GraphId {
        self.graph
    }
    /// Whether an attribute holds a graph.
    #[inline]
    pub fn has_subgraphs(&self) -> bool {
        self.attributes.iter().any(|a| matches!(a.value, AttrValue::Graph(_) | AttrValue::Graphs(_)))
    }
    /// The graphs in its attributes.
    pub fn subgraphs(&self) -> impl Iterator<Item = GraphId> + '_ {
        self.attributes.iter().flat_map(|a| a.value.graphs().iter().copied())
    }
}

/// The empty name for the standard domain, whatever way it is written.
#[inline]
pub fn canonical_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// `OperatorSetIdProto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpsetImport {
    /// The domain as the file has it.
    pub domain: Option<EcoString>,
    /// The version.
    pub version: Option<i64>,
}

/// A model-local function. Its body is a graph of the model's arena.
#[derive(Clone, Debug)]
pub struct Function {
    /// `name`.
    pub name: EcoString,
    /// `domain`, as the file has it.
    pub domain: Option<EcoString>,
    /// `overload`.
    pub overload: Option<EcoString>,
    /// The body.
    pub(crate) graph: GraphId,
    /// Attributes without a default.
    pub attributes: Vec<EcoString>,
    /// Attributes with one.
    pub attribute_defaults: Vec<Attribute>,
    /// The opsets that the body's operators are resolved by.
    pub opset_imports: Vec<OpsetImport>,
    pub(crate) src: Bytes,
    pub(crate) live: bool,
}

impl Function {
    /// The body.
    #[inline]
    pub fn graph(&self) -> GraphId {
        self.graph
    }

    /// Domain, name and overload: what a call names.
    pub fn key(&self) -> (&str, &str, &str) {
        (
            canonical_domain(self.domain.as_deref().unwrap_or("")),
            &self.name,
            self.overload.as_deref().unwrap_or(""),
        )
    }
}

/// `TrainingInfoProto`.
#[derive(Clone, Debug)]
pub struct TrainingInfo {
    /// `initialization`
    pub initialization: Option<GraphId>,
    /// `algorithm`
    pub algorithm: Option<GraphId>,
    /// `initialization_binding`: an initializer and the output that resets it.
    pub initialization_binding: Vec<Binding>,
    /// `update_binding`: an initializer and the output that updates it.
    pub update_binding: Vec<Binding>,
    pub(crate) rest: EcoVec<u8>,
}

/// A pair of a binding: names resolved to values where they name one.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The key's text, and the value that it names.
    pub key: (Option<EcoString>, Option<ValueId>),
    /// The value's text, and the value that it names.
    pub value: (Option<EcoString>, Option<ValueId>),
}

/// What stands in `ModelProto` beside the graphs.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// `ir_version`
    pub ir_version: Option<i64>,
    /// `producer_name`
    pub producer_name: Option<EcoString>,
    /// `producer_version`
    pub producer_version: Option<EcoString>,
    /// `domain`
    pub domain: Option<EcoString>,
    /// `model_version`
    pub model_version: Option<i64>,
    /// `doc_string`
    pub doc: Option<EcoString>,
    /// `metadata_props`
    pub metadata: Metadata,
    /// `opset_import`
    pub opset_imports: Vec<OpsetImport>,
    pub(crate) configurations: Vec<Bytes>,
    pub(crate) rest: EcoVec<u8>,
}

/// A model in memory. `Send + Sync`, no lifetime; a clone shares all weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// What stands beside the graphs.
    pub(crate) header: Header,
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<Value>,
    pub(crate) graphs: Vec<Graph>,
    pub(crate) functions: Vec<Function>,
    pub(crate) function_index: FxHashMap<(EcoString, EcoString, EcoString), FunctionId>,
    pub(crate) main: GraphId,
    pub(crate) training: Vec<TrainingInfo>,
    pub(crate) source: Option<Arc<Source>>,
    pub(crate) revision: u64,
    /// How many values and nodes have each name; made at the first need.
    pub(crate) names: Option<FxHashMap<EcoString, u32>>,
    pub(crate) next_name: FxHashMap<EcoString, u32>,
    /// Every value has a name that no other of its graph has: known from reading, until one gets another.
    pub(crate) unique_names: bool,
    /// Reading found that the structure is sound; it holds as long as nothing was changed.
    pub(crate) read_sound: bool,
}

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
        let key = (n.domain().into(), n.op_type.clone(), n.overload().into());
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
        self.nodes(graph).map(|(id, _)| id).collect()
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
        match n.outputs.iter().flatten().next() {
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
        let n = self.model.node(id);
        self.next = n.next;
        Some((id, n))
    }
}
