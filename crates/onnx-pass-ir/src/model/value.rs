//! Values, their uses and their declarations.

use std::sync::Arc;

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use smallvec::SmallVec;

use super::Metadata;
use crate::span::Span;
use crate::{GraphId, NodeId, Tensor, Type};

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
    /// The field in its source, under the name that the value had there; empty when changed.
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
    /// The field in its source, from which it is written when a value is renamed; empty when made by us.
    pub src: Bytes,
    /// The message that it was read from, or that was here before, where the schema does not know all of it.
    pub odd: Bytes,
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
        let odd = self.ty.as_ref().map(|d| d.odd.clone()).unwrap_or_default();
        self.ty = ty.map(|ty| Arc::new(Declared { ty, src: Bytes::new(), odd }));
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

    /// Whether a graph hands it out.
    pub fn is_graph_output(&self) -> bool {
        self.uses.iter().any(|u| matches!(u, Use::Output { .. }))
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
