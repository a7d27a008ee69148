//! Nodes.

use std::sync::Arc;

use ecow::{EcoString, EcoVec};

use super::{Metadata, Operands};
use crate::span::Span;
use crate::{AttrValue, Attribute, GraphId, NodeId, ValueId};

/// An operator: one for all nodes of the file that name it alike.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    pub op_type: EcoString,
    /// As the file has it.
    pub raw_domain: Option<EcoString>,
    /// It is one of the standard domain.
    pub standard: bool,
}

impl Operator {
    pub fn new(op_type: EcoString, raw_domain: Option<EcoString>) -> Self {
        let standard = canonical_domain(raw_domain.as_deref().unwrap_or("")).is_empty();
        Operator { op_type, raw_domain, standard }
    }
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) name: Option<EcoString>,
    pub(crate) operator: Arc<Operator>,
    pub(crate) operands: Operands,
    pub(crate) attributes: EcoVec<Attribute>,
    pub(crate) rare: Option<Box<RareNode>>,
    pub(crate) graph: GraphId,
    pub(crate) live: bool,
    /// The field in its source; empty once the node or a subgraph of it was changed.
    pub(crate) src: Span,
}

/// A node's neighbours in its graph. They stand apart from the nodes, so that a walk in order does not fetch every node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    pub prev: Option<NodeId>,
    pub next: Option<NodeId>,
}

/// What few nodes have.
#[derive(Clone, Debug, Default)]
pub(crate) struct RareNode {
    pub overload: Option<EcoString>,
    pub doc: Option<EcoString>,
    pub metadata: Metadata,
    /// Each `NodeDeviceConfigurationProto` as it stands.
    pub devices: Vec<EcoVec<u8>>,
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

    pub(crate) fn set_operator(&mut self, op_type: EcoString, raw_domain: Option<EcoString>) {
        self.operator = Arc::new(Operator::new(op_type, raw_domain));
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
        &self.operator.op_type
    }
    /// The operator's domain; the standard one is empty, also where the file writes `ai.onnx`.
    #[inline]
    pub fn domain(&self) -> &str {
        canonical_domain(self.operator.raw_domain.as_deref().unwrap_or(""))
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
        self.operator.standard && self.operator.op_type == op_type
    }
    /// The inputs; an absent one in the middle, or written as an empty name at the end, is `None`.
    #[inline]
    pub fn inputs(&self) -> &[Option<ValueId>] {
        self.operands.inputs()
    }
    /// Input `k`; `None` when it is absent.
    #[inline]
    pub fn input(&self, k: usize) -> Option<ValueId> {
        self.inputs().get(k).copied().flatten()
    }
    /// The outputs; an absent one is `None`.
    #[inline]
    pub fn outputs(&self) -> &[Option<ValueId>] {
        self.operands.outputs()
    }
    /// Output `k`; `None` when it is absent.
    #[inline]
    pub fn output(&self, k: usize) -> Option<ValueId> {
        self.outputs().get(k).copied().flatten()
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
