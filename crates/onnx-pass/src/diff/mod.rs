//! What changed between two models, as a person would say it: by structure first, names second.
//!
//! A node is the same in both when it computes the same from the same, when the same is computed from it, when
//! it reads the same weights, when its neighbours are the same, and last when it has the same name. So a
//! renumbered export in another order is no change, and one changed attribute is one change.

mod draw;
mod fold;
mod html;
mod interface;
mod markdown;
mod matching;
mod nodes;
mod renamed;
mod text;
mod weights;

use onnx_pass_ir::{Model, NodeId, ValueId};
use serde::Serialize;

use crate::structure::hash::External;
pub use fold::Group;
pub use markdown::code as markdown_code;
use matching::{Sides, sides};
pub use renamed::Renames;

/// The version of the JSON form. It grows when a field is renamed, removed, or changes what it means.
pub const FORMAT_VERSION: u32 = 1;

/// What changed between two models.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Diff {
    /// [`FORMAT_VERSION`].
    pub format: u32,
    /// Whether anything changed that is more than names, order and remarks.
    pub structural: bool,
    /// Inputs and outputs.
    pub interface: Vec<BorderChange>,
    /// Opsets, versions, producer, the model's metadata.
    pub header: Vec<FieldChange>,
    /// Model-local functions.
    pub functions: Vec<FunctionChange>,
    /// Nodes, those of branches and of functions included.
    pub nodes: NodeChanges,
    /// Weights, whether initializers or `Constant` nodes.
    pub weights: Vec<WeightChange>,
    /// Constants of fewer than 16 elements; a node that reads another one is among the changed nodes.
    pub constants: Constants,
    /// What has another name now.
    pub renames: Renames,
    /// Whether the nodes stand in another order.
    pub reordered: bool,
    /// Whether the inputs or outputs that stayed stand in another order.
    pub interface_reordered: bool,
    /// Whether weights in other files were compared by their place in these, since one cannot be read.
    pub weights_by_place: bool,
    /// Nodes whose metadata or doc string changed.
    pub remarks: usize,
    /// Values inside the graph whose declared type changed.
    pub declared_types: usize,
    /// The changed region, for the drawing.
    #[serde(skip)]
    pub(crate) region: draw::Region,
}

/// Which end of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// An input of the main graph.
    Input,
    /// An output of the main graph.
    Output,
}

/// A change of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BorderChange {
    /// Which.
    pub end: End,
    /// Its name before; `None` when it is new.
    pub before: Option<String>,
    /// Its name now; `None` when it is gone.
    pub after: Option<String>,
    /// Its type before.
    pub type_before: Option<String>,
    /// Its type now.
    pub type_after: Option<String>,
    /// Whether what is taken when a caller does not give it is another.
    pub default_changed: bool,
    /// The operators that computed this output before and now, when it is another value that was there or is there
    /// still.
    pub rewired: Option<(String, String)>,
}

/// A change of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// Its value before.
    pub before: Option<String>,
    /// Its value now.
    pub after: Option<String>,
}

/// A change of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FunctionChange {
    /// Domain and name.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is gone.
    Removed,
    /// It is new.
    Added,
    /// It is another.
    Changed,
}

/// Changes of nodes. `Constant` nodes are weights or constants, and among neither the removed nor the added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeChanges {
    /// How many there were.
    pub before: usize,
    /// How many there are.
    pub after: usize,
    /// How many of them were `Constant` nodes.
    pub constants_before: usize,
    /// How many of them are `Constant` nodes.
    pub constants_after: usize,
    /// How many are gone.
    pub removed_count: usize,
    /// How many are new.
    pub added_count: usize,
    /// How many have other attributes or inputs.
    pub changed_count: usize,
    /// Those that are gone, by scope and operator.
    pub removed: Vec<Group>,
    /// Those that are new, by scope and operator.
    pub added: Vec<Group>,
    /// Those with other attributes or inputs, by scope and what changed.
    pub changed: Vec<Group>,
}

/// Changes of small constants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Constants {
    /// How many are gone.
    pub removed: usize,
    /// How many are new.
    pub added: usize,
}

/// A change of a weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightChange {
    /// Its name, before where it is gone; `before → now` when it has another.
    pub name: String,
    /// What happened to it.
    pub change: Change,
    /// Type and shape before, and now where they are others.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its size in bytes, before where it is gone.
    pub bytes: usize,
}

/// Compares two models. Weights are compared by a hash of their contents; those in files beside the models are
/// not read when both models refer to the same files.
pub fn diff(before: &Model, after: &Model) -> Diff {
    let s = sides(before, after, interface::input_keys(before, after));
    let (weights, constants) = weights::weights(&s);
    let (interface, interface_reordered) = interface::interface(&s);
    let functions = interface::functions(&s);
    let header = interface::header(before, after);
    let (nodes, region) = nodes::nodes(&s);
    let changed = nodes.removed_count + nodes.added_count + nodes.changed_count;
    let structural = changed + constants.removed + constants.added > 0
        || !interface.is_empty()
        || interface_reordered
        || !weights.is_empty()
        || !functions.is_empty()
        || header.iter().any(|f| f.field.starts_with("opset "));
    Diff {
        format: FORMAT_VERSION,
        structural,
        interface,
        header,
        functions,
        nodes,
        weights,
        constants,
        renames: renamed::renames(&s),
        reordered: reordered(&s),
        interface_reordered,
        weights_by_place: s.external == External::Missing,
        remarks: pairs(&s).filter(|(a, b)| remarks(before, *a) != remarks(after, *b)).count(),
        declared_types: declared_types(&s),
        region,
    }
}

impl Diff {
    /// True when nothing at all changed.
    pub fn is_empty(&self) -> bool {
        !self.structural
            && self.header.is_empty()
            && self.renames.is_empty()
            && !self.reordered
            && self.nodes.constants_before == self.nodes.constants_after
            && self.remarks + self.declared_types == 0
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        text::text(self)
    }

    /// For a comment on a pull request; the details are folded.
    pub fn to_markdown(&self) -> String {
        markdown::markdown(self)
    }

    /// For programs: `diff.schema.json` describes it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    /// One page without other files, with the two graphs of the changed region side by side.
    pub fn to_html(&self, before: &str, after: &str) -> String {
        html::html(self, before, after)
    }
}

/// The JSON Schema (draft 2020-12) of [`Diff::to_json`].
pub fn json_schema() -> serde_json::Value {
    // Written by hand; a test holds it to a diff.
    serde_json::from_str(include_str!("diff.schema.json")).unwrap_or_default()
}

fn pairs<'s>(s: &'s Sides<'_>) -> impl Iterator<Item = (NodeId, NodeId)> + 's {
    s.a.nodes.iter().filter_map(|a| Some((*a, s.a.partner(*a)?)))
}

fn reordered(s: &Sides<'_>) -> bool {
    let mut place = vec![0; s.b.m.node_capacity()];
    for (i, n) in s.b.nodes.iter().enumerate() {
        place[n.index()] = i;
    }
    let places: Vec<usize> = pairs(s).map(|(_, b)| place[b.index()]).collect();
    places.windows(2).any(|w| w[0] > w[1])
}

type Remarks<'m> = (&'m str, &'m [(onnx_pass_ir::EcoString, onnx_pass_ir::EcoString)]);

fn remarks(m: &Model, n: NodeId) -> Remarks<'_> {
    (m.node(n).doc(), m.node(n).metadata())
}

fn declared_types(s: &Sides<'_>) -> usize {
    let inner = |m: &Model, v: ValueId| m.value(v).info().and_then(|i| i.ty()).cloned();
    let outputs = pairs(s).flat_map(|(a, b)| {
        let (x, y) = (s.a.m.node(a).outputs(), s.b.m.node(b).outputs());
        x.iter().zip(y).filter_map(|(v, w)| v.zip(*w)).collect::<Vec<_>>()
    });
    outputs.filter(|(v, w)| inner(s.a.m, *v) != inner(s.b.m, *w)).count()
}

#[cfg(test)]
mod tests;
