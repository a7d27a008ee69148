//! What changed between two models, as a person would say it: by structure first, names second.
//!
//! A node is the same in both when it computes the same from the same, when the same is computed from it, when
//! it reads the same weights, when its neighbours are the same, and last when it has the same name. So a
//! renumbered export in another order is no change, and one changed attribute is one change.

mod draw;
mod fold;
mod html;
mod markdown;
mod matching;
mod renamed;
mod text;

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use onnx_pass_ir::{Attribute, Def, Model, NodeId, OpsetImport, ValueId};
use serde::Serialize;

use crate::report::border;
use crate::show;
use crate::structure::hash;
pub use fold::Group;
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
    /// Weights.
    pub weights: Vec<WeightChange>,
    /// What has another name now.
    pub renames: Renames,
    /// Whether the nodes stand in another order.
    pub reordered: bool,
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

/// Changes of nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeChanges {
    /// How many there were.
    pub before: usize,
    /// How many there are.
    pub after: usize,
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

/// A change of a weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightChange {
    /// Its name, before where it is gone.
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
    let inputs = input_keys(before, after);
    let s = sides(before, after, inputs);
    let weights = weights(&s);
    let renames = renamed::renames(&s);
    let interface = interface(&s);
    let functions = functions(&s);
    let header = header(before, after);
    let (nodes, region) = nodes(&s);
    let changed = nodes.removed_count + nodes.added_count + nodes.changed_count;
    let structural = changed > 0
        || !interface.is_empty()
        || !weights.is_empty()
        || !functions.is_empty()
        || header.iter().any(|f| f.field.starts_with("opset"));
    Diff {
        format: FORMAT_VERSION,
        structural,
        interface,
        header,
        functions,
        nodes,
        weights,
        renames,
        reordered: reordered(&s),
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

/// Keys of the main graphs' inputs: by name, and those left over by type, in order.
fn input_keys(a: &Model, b: &Model) -> (HashMap<ValueId, String>, HashMap<ValueId, String>) {
    let inputs = |m: &Model| m.graph(m.main()).inputs().to_vec();
    let key = |m: &Model, v: ValueId| format!("= {}", m.name(v));
    let (of_a, of_b) = (inputs(a), inputs(b));
    let mut keys: (HashMap<_, _>, HashMap<_, _>) =
        (of_a.iter().map(|v| (*v, key(a, *v))).collect(), of_b.iter().map(|v| (*v, key(b, *v))).collect());
    let known = |m: &Model, list: &[ValueId], v: &str| list.iter().any(|w| m.name(*w) == v);
    let mut open: Vec<ValueId> = of_b.iter().copied().filter(|v| !known(a, &of_a, b.name(*v))).collect();
    for v in of_a.iter().filter(|v| !known(b, &of_b, a.name(**v))) {
        let ty = border(a, *v).ty;
        if let Some(at) = open.iter().position(|w| border(b, *w).ty == ty) {
            keys.1.insert(open.remove(at), key(a, *v));
        }
    }
    keys
}

fn pairs<'s>(s: &'s Sides<'_>) -> impl Iterator<Item = (NodeId, NodeId)> + 's {
    s.a.nodes.iter().filter_map(|a| Some((*a, s.a.partner(*a)?)))
}

fn interface(s: &Sides<'_>) -> Vec<BorderChange> {
    let (a, b) = (s.a.m, s.b.m);
    let mut out = Vec::new();
    let change = |end, before: Option<ValueId>, after: Option<ValueId>| {
        let (x, y) = (before.map(|v| border(a, v)), after.map(|v| border(b, v)));
        (x != y).then(|| BorderChange {
            end,
            before: x.as_ref().map(|x| x.name.clone()),
            after: y.as_ref().map(|y| y.name.clone()),
            type_before: x.map(|x| x.ty),
            type_after: y.map(|y| y.ty),
        })
    };
    let partner: HashMap<&String, ValueId> = s.b.inputs.iter().map(|(v, key)| (key, *v)).collect();
    for v in a.graph(a.main()).inputs() {
        let other = s.a.inputs.get(v).and_then(|key| partner.get(key)).copied();
        out.extend(change(End::Input, Some(*v), other));
    }
    let kept: Vec<&String> = s.a.inputs.values().collect();
    for v in b.graph(b.main()).inputs() {
        if s.b.inputs.get(v).is_none_or(|key| !kept.contains(&key)) {
            out.extend(change(End::Input, None, Some(*v)));
        }
    }
    let outputs = |m: &Model| m.graph(m.main()).outputs().iter().map(|o| o.value()).collect::<Vec<_>>();
    let (of_a, of_b) = (outputs(a), outputs(b));
    let mut taken = vec![false; of_b.len()];
    let mut partners = vec![None; of_a.len()];
    // By name first, since an output's name is what callers know; then by what is computed.
    let same_name = |v: ValueId, w: ValueId| a.name(v) == b.name(w);
    for matches in [&same_name as &dyn Fn(ValueId, ValueId) -> bool, &|v, w| s.same_value(v, w)] {
        for (v, partner) in of_a.iter().zip(&mut partners).filter(|(_, p)| p.is_none()) {
            if let Some(k) = (0..of_b.len()).find(|k| !taken[*k] && matches(*v, of_b[*k])) {
                taken[k] = true;
                *partner = Some(of_b[k]);
            }
        }
    }
    for (v, partner) in of_a.iter().zip(partners) {
        out.extend(change(End::Output, Some(*v), partner));
    }
    for (w, _) in of_b.iter().zip(taken).filter(|(_, taken)| !taken) {
        out.extend(change(End::Output, None, Some(*w)));
    }
    out
}

fn header(a: &Model, b: &Model) -> Vec<FieldChange> {
    let fields = |m: &Model| {
        let h = m.header();
        let mut out: IndexMap<String, String> = IndexMap::new();
        let mut put = |field: String, v: Option<String>| {
            out.extend(v.map(|v| (field, v)));
        };
        for OpsetImport { domain, version } in &h.opset_imports {
            let domain = domain.as_deref().filter(|d| !d.is_empty()).unwrap_or("ai.onnx");
            put(format!("opset {domain}"), version.map(|v| v.to_string()));
        }
        put("IR version".into(), h.ir_version.map(|v| v.to_string()));
        put("producer".into(), h.producer_name.as_ref().map(ToString::to_string));
        put("producer version".into(), h.producer_version.as_ref().map(ToString::to_string));
        put("domain".into(), h.domain.as_ref().map(ToString::to_string));
        put("model version".into(), h.model_version.map(|v| v.to_string()));
        put("doc string".into(), h.doc.as_ref().map(ToString::to_string));
        for (k, v) in &h.metadata {
            put(format!("metadata {k}"), Some(v.to_string()));
        }
        out
    };
    let (of_a, of_b) = (fields(a), fields(b));
    let all = of_a.keys().chain(of_b.keys().filter(|k| !of_a.contains_key(*k)));
    let changes = all.map(|k| FieldChange {
        field: k.clone(),
        before: of_a.get(k).cloned(),
        after: of_b.get(k).cloned(),
    });
    changes.filter(|c| c.before != c.after).collect()
}

fn functions(s: &Sides<'_>) -> Vec<FunctionChange> {
    let (a, b) = (s.a.m, s.b.m);
    let name = |(domain, name, overload): (&str, &str, &str)| {
        let overload = if overload.is_empty() { String::new() } else { format!(":{overload}") };
        if domain.is_empty() { format!("{name}{overload}") } else { format!("{domain}.{name}{overload}") }
    };
    let mut out = Vec::new();
    for (_, f) in a.functions() {
        let change = match b.functions().find(|(_, g)| g.key() == f.key()) {
            None => Some(Change::Removed),
            Some((_, g)) => {
                let (x, y) = (body(s.a.m, f.graph(), &s.a.hashes), body(s.b.m, g.graph(), &s.b.hashes));
                let same = x == y && f.attributes == g.attributes && f.opset_imports == g.opset_imports;
                (!same).then_some(Change::Changed)
            }
        };
        out.extend(change.map(|change| FunctionChange { name: name(f.key()), change }));
    }
    for (_, g) in b.functions().filter(|(_, g)| a.functions().all(|(_, f)| f.key() != g.key())) {
        out.push(FunctionChange { name: name(g.key()), change: Change::Added });
    }
    out
}

/// What a function's outputs compute.
fn body(m: &Model, g: onnx_pass_ir::GraphId, h: &hash::Hashes) -> (usize, Vec<hash::Hash>) {
    let outputs = m.graph(g).outputs().iter().map(|o| h.value[o.value().index()]);
    (m.graph(g).inputs().len(), outputs.collect())
}

/// The most groups of each kind of change.
const MOST_GROUPS: usize = 12;

fn nodes(s: &Sides<'_>) -> (NodeChanges, draw::Region) {
    let op = |m: &Model, n: NodeId| m.node(n).op_type().to_owned();
    let gone: Vec<NodeId> = s.a.nodes.iter().copied().filter(|n| s.a.partner(*n).is_none()).collect();
    let new: Vec<NodeId> = s.b.nodes.iter().copied().filter(|n| s.b.partner(*n).is_none()).collect();
    let mut changed = Vec::new();
    for (a, b) in pairs(s) {
        let what = node_changes(s, a, b);
        if !what.is_empty() {
            changed.push((a, b, format!("{}: {}", op(s.a.m, a), what.join(", "))));
        }
    }
    let entries =
        |m: &Model, list: &[NodeId]| list.iter().map(|n| (show::path(m, *n), op(m, *n))).collect::<Vec<_>>();
    let changes = NodeChanges {
        before: s.a.nodes.len(),
        after: s.b.nodes.len(),
        removed_count: gone.len(),
        added_count: new.len(),
        changed_count: changed.len(),
        removed: fold::groups(&entries(s.a.m, &gone), MOST_GROUPS),
        added: fold::groups(&entries(s.b.m, &new), MOST_GROUPS),
        changed: fold::groups(
            &changed.iter().map(|(_, b, what)| (show::path(s.b.m, *b), what.clone())).collect::<Vec<_>>(),
            MOST_GROUPS,
        ),
    };
    let region = draw::region(s, &gone, &new, &changed);
    (changes, region)
}

/// Longer values of attributes are cut.
const MOST_CHARS: usize = 40;

/// What is another in two nodes that are partners; nothing when they are the same.
fn node_changes(s: &Sides<'_>, a: NodeId, b: NodeId) -> Vec<String> {
    let (x, y) = (s.a.m.node(a), s.b.m.node(b));
    let mut out = Vec::new();
    if s.a.hashes.down[a.index()] == s.b.hashes.down[b.index()] {
        return out;
    }
    if (x.op_type(), x.domain()) != (y.op_type(), y.domain()) {
        out.push(format!("now {}", y.op_type()));
    }
    let value = |a: Option<&Attribute>| a.map_or("—".to_owned(), |a| show::attribute(&a.value, MOST_CHARS));
    let external = hash::External::Contents;
    for at in x.attributes() {
        let other = y.attribute(&at.name);
        if other.map(|o| hash::attribute(&o.value, external)) != Some(hash::attribute(&at.value, external)) {
            out.push(format!("{} {} → {}", at.name, value(Some(at)), value(other)));
        }
    }
    for at in y.attributes().iter().filter(|at| x.attribute(&at.name).is_none()) {
        out.push(format!("{} — → {}", at.name, value(Some(at))));
    }
    let wired = x.inputs().len() == y.inputs().len()
        && x.inputs().iter().zip(y.inputs()).all(|(v, w)| match (v, w) {
            (Some(v), Some(w)) => s.same_value(*v, *w),
            (v, w) => v.is_none() == w.is_none(),
        });
    if !wired {
        out.push("other inputs".to_owned());
    }
    let branches = |m: &Model, h: &hash::Hashes, n: NodeId| {
        let graphs = m.node(n).subgraphs().map(|g| body(m, g, h).1.len());
        graphs.collect::<Vec<_>>()
    };
    if branches(s.a.m, &s.a.hashes, a) != branches(s.b.m, &s.b.hashes, b) {
        out.push("other branches".to_owned());
    }
    out
}

fn weights(s: &Sides<'_>) -> Vec<WeightChange> {
    let list = |m: &Model| {
        let all = m.live_graphs().into_iter().flat_map(|g| m.graph(g).initializers().to_vec());
        all.filter(|v| m.value(*v).def() == Def::Initializer).collect::<Vec<_>>()
    };
    let (of_a, of_b) = (list(s.a.m), list(s.b.m));
    let mut by_hash: HashMap<hash::Hash, Vec<ValueId>> = HashMap::new();
    for w in of_b.iter().rev() {
        by_hash.entry(s.b.hashes.value[w.index()]).or_default().push(*w);
    }
    let mut left = Vec::new();
    for v in &of_a {
        if by_hash.get_mut(&s.a.hashes.value[v.index()]).and_then(Vec::pop).is_none() {
            left.push(*v);
        }
    }
    let unmatched: HashSet<ValueId> = by_hash.into_values().flatten().collect();
    let mut new: Vec<ValueId> = of_b.iter().copied().filter(|w| unmatched.contains(w)).collect();
    let told = |m: &Model, v: ValueId, change| WeightChange {
        name: m.name(v).to_owned(),
        change,
        ty: weight_type(m, v),
        bytes: m.value(v).initializer().and_then(|t| t.byte_len()).unwrap_or(0),
    };
    let mut out = Vec::new();
    for v in left {
        match new.iter().position(|w| s.b.m.name(*w) == s.a.m.name(v)) {
            Some(k) => {
                let mut change = told(s.b.m, new.remove(k), Change::Changed);
                let before = weight_type(s.a.m, v);
                if before != change.ty {
                    change.ty = format!("{before} → {}", change.ty);
                }
                out.push(change);
            }
            None => out.push(told(s.a.m, v, Change::Removed)),
        }
    }
    out.extend(new.into_iter().map(|w| told(s.b.m, w, Change::Added)));
    out
}

fn weight_type(m: &Model, v: ValueId) -> String {
    let Some(t) = m.value(v).initializer() else { return String::new() };
    let dims: Vec<String> = t.dims.iter().map(ToString::to_string).collect();
    format!("{}[{}]", t.dtype, dims.join(", "))
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
