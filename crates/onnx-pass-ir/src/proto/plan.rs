//! Where tensors' contents go when that is not where they came from.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Result;
use crate::model::{GraphOwner, Metadata, Model};
use crate::tensor::{Store, Tensor, TensorData};
use crate::{FunctionId, GraphId, NodeId};

/// The new place of a tensor's contents.
#[derive(Clone, Debug)]
pub(crate) enum Placed {
    /// In another file: the entries of `external_data`.
    At(Metadata),
    /// In the model: the range of a file that `raw_data` is read from.
    Inside { file: Arc<File>, range: Range<u64> },
}

/// What a tensor belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Site {
    /// An initializer of a graph, dense or part of a sparse one.
    Graph(GraphId),
    /// An attribute of a node.
    Node(NodeId),
    /// The default of a function's attribute.
    Function(FunctionId),
}

/// The tensors that are placed anew, and what holds them: messages that cannot be copied as they were.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By the tensor's address: the plan lives no longer than the borrow of its model.
    tensors: FxHashMap<usize, Placed>,
    nodes: FxHashSet<NodeId>,
    functions: FxHashSet<FunctionId>,
}

fn address(t: &Tensor) -> usize {
    std::ptr::from_ref(t).addr()
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    pub fn of(&self, t: &Tensor) -> Option<&Placed> {
        if self.is_empty() { None } else { self.tensors.get(&address(t)) }
    }

    pub fn touches_node(&self, n: NodeId) -> bool {
        !self.is_empty() && self.nodes.contains(&n)
    }

    pub fn touches_function(&self, f: FunctionId) -> bool {
        !self.is_empty() && self.functions.contains(&f)
    }

    pub fn place(&mut self, m: &Model, t: &Tensor, site: Site, placed: Placed) {
        self.tensors.insert(address(t), placed);
        let mut at = match site {
            Site::Function(f) => {
                self.functions.insert(f);
                return;
            }
            Site::Graph(g) => g,
            Site::Node(n) => {
                self.nodes.insert(n);
                m.node(n).graph
            }
        };
        loop {
            match m.graph(at).owner {
                GraphOwner::Node(n) if self.nodes.insert(n) => at = m.node(n).graph,
                GraphOwner::Function(f) => {
                    self.functions.insert(f);
                    return;
                }
                _ => return,
            }
        }
    }

    /// The plan that takes external contents into the model where they are to be there.
    pub fn embedding(m: &Model) -> Result<Self> {
        let mut plan = Plan::default();
        for (t, site) in tensors(m) {
            if t.store == Store::Inline {
                plan.embed(m, t, site)?;
            }
        }
        Ok(plan)
    }

    /// Takes external contents into the model; others are there already.
    pub fn embed(&mut self, m: &Model, t: &Tensor, site: Site) -> Result<()> {
        let TensorData::External(e) = &t.data else { return Ok(()) };
        let (file, length) = e.open(t.name.as_deref().unwrap_or(""), t.byte_len())?;
        let range = e.offset..e.offset + length;
        self.place(m, t, site, Placed::Inside { file: Arc::new(file), range });
        Ok(())
    }
}

/// A tensor and what it belongs to.
pub(crate) type Sited<'m> = (&'m Arc<Tensor>, Site);

/// Every dense tensor of the model and what it belongs to, in file order.
pub(crate) fn tensors(m: &Model) -> Vec<Sited<'_>> {
    let mut out = Vec::new();
    for g in m.live_graphs() {
        let graph = m.graph(g);
        out.extend(
            graph.initializers.iter().filter_map(|v| m.value(*v).init.as_ref()).map(|t| (t, Site::Graph(g))),
        );
        out.extend(
            graph.sparse_initializers.iter().flat_map(|(_, s)| s.tensors()).map(|t| (t, Site::Graph(g))),
        );
        for (n, node) in m.nodes(g) {
            out.extend(node.attributes.iter().flat_map(|a| a.value.tensors()).map(|t| (t, Site::Node(n))));
        }
    }
    for (f, function) in m.functions() {
        let defaults = function.attribute_defaults.iter();
        out.extend(defaults.flat_map(|a| a.value.tensors()).map(|t| (t, Site::Function(f))));
    }
    out
}
