//! Copies of a function's body, in the place of a call.

use bytes::Bytes;
use ecow::{EcoString, EcoVec};
use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::model::*;
use crate::proto::attributes::without_value;
use crate::proto::wire::rewritten;
use crate::span::Span;
use crate::{AttrValue, Attribute, GraphId, NodeId, ValueId};

/// Copies the nodes of a function's body, and the graphs in them.
pub(crate) struct Copier<'f> {
    /// Names of what is copied begin with it.
    pub prefix: EcoString,
    pub call: &'f Node,
    pub function: &'f Function,
    /// The body's values, and what stands for them at the call; `None` for an input that the call leaves out.
    pub map: FxHashMap<ValueId, Option<ValueId>>,
    /// The body's values that values of the caller become, under their names.
    pub kept: FxHashMap<ValueId, ValueId>,
}

impl Copier<'_> {
    /// What stands for a value; `None` for an input that the call leaves out.
    fn mapped(&self, v: ValueId) -> Option<ValueId> {
        self.map.get(&v).copied().unwrap_or(Some(v))
    }

    fn all_mapped<'v>(&self, list: impl IntoIterator<Item = &'v ValueId>) -> Vec<ValueId> {
        list.into_iter().filter_map(|v| self.mapped(*v)).collect()
    }

    /// What stands for a value that a graph returns.
    pub fn result(&self, m: &Model, v: ValueId) -> Result<ValueId> {
        let absent = || {
            let (domain, name, _) = self.function.key();
            Error::edit(format!("a call of `{domain}::{name}` leaves out `{}`, which is returned", m.name(v)))
        };
        self.mapped(v).ok_or_else(absent)
    }

    fn name(&self, m: &mut Model, name: &str) -> EcoString {
        if name.is_empty() { EcoString::new() } else { m.fresh_name(&format!("{}/{name}", self.prefix)) }
    }

    /// Copies the nodes of one graph into another, before a node or at the end, and what is declared of their
    /// results.
    pub fn nodes(&mut self, m: &mut Model, from: GraphId, to: GraphId, before: Option<NodeId>) -> Result<()> {
        let ids = m.node_ids(from);
        // All results are there before they are read, in whatever order the nodes stand.
        let copies: Vec<NodeId> = ids.iter().map(|id| self.outputs(m, *id, to, before)).collect();
        self.value_info(m, from, to);
        for (id, copy) in ids.into_iter().zip(copies) {
            self.operands(m, id, copy)?;
        }
        Ok(())
    }

    /// A node's copy, with its outputs alone.
    fn outputs(&mut self, m: &mut Model, id: NodeId, graph: GraphId, before: Option<NodeId>) -> NodeId {
        let old = m.node(id).clone();
        let copy = m.new_node_raw(graph);
        let mut n = Node { src: Span::NONE, graph, ..old };
        n.operands.clear_inputs();
        n.attributes.clear();
        n.name = n.name.map(|x| self.name(m, &x));
        if let Some(name) = &n.name {
            m.remember_node_name(name);
        }
        for (index, v) in (0..).zip(n.operands.outputs_mut()) {
            let Some(old) = *v else { continue };
            let def = Def::Node { node: copy, index };
            let new = match self.kept.get(&old) {
                Some(&kept) => {
                    m.values[kept.index()].def = def;
                    self.map.insert(old, Some(kept));
                    kept
                }
                None => self.value(m, old, graph, def),
            };
            *v = Some(new);
        }
        m.nodes[copy.index()] = n;
        m.link_raw(copy, graph, before);
        copy
    }

    fn value(&mut self, m: &mut Model, old: ValueId, graph: GraphId, def: Def) -> ValueId {
        let name = m.value(old).name.clone();
        let name = self.name(m, &name);
        let new = m.new_value_raw(graph, name, def);
        self.map.insert(old, Some(new));
        new
    }

    /// Entries of `value_info`, but those of a function's inputs, as what is passed has its own, and of results of which
    /// the caller has one.
    fn value_info(&self, m: &mut Model, from: GraphId, to: GraphId) {
        for v in m.graph(from).value_info.clone() {
            let Some(new) = self.mapped(v).filter(|_| !matches!(m.value(v).def, Def::Input | Def::Removed))
            else {
                continue;
            };
            if m.value(new).info.is_none() {
                m.values[new.index()].info = m.value(v).info.clone();
                m.graphs[to.index()].value_info.push(new);
            }
        }
    }

    /// The rest of a node.
    fn operands(&mut self, m: &mut Model, id: NodeId, copy: NodeId) -> Result<()> {
        let old = m.node(id).clone();
        for v in old.inputs() {
            m.push_input_raw(copy, v.and_then(|v| self.mapped(v)));
        }
        if !old.rare().devices.is_empty() {
            let operands = old.inputs().iter().chain(old.outputs()).flatten();
            let names = operands.filter_map(|v| Some((m.value(*v).name.clone(), self.mapped(*v)?)));
            let names: Vec<_> = names.map(|(from, to)| (from, m.value(to).name.clone())).collect();
            m.rename_shards(copy, &names);
        }
        for a in &old.attributes {
            if let Some(a) = self.attribute(m, a, copy)? {
                m.nodes[copy.index()].attributes.push(a);
            }
        }
        m.touch(copy);
        Ok(())
    }

    fn attribute(&mut self, m: &mut Model, a: &Attribute, owner: NodeId) -> Result<Option<Attribute>> {
        let value = match &a.value {
            AttrValue::Ref { name, .. } => return self.referred(a, name),
            AttrValue::Graph(g) => AttrValue::Graph(self.graph(m, *g, owner)?),
            AttrValue::Graphs(gs) => {
                AttrValue::Graphs(gs.iter().map(|g| self.graph(m, *g, owner)).collect::<Result<_>>()?)
            }
            _ => return Ok(Some(a.clone())),
        };
        let (name, doc, rest) = (a.name.clone(), a.doc.clone(), a.rest.clone());
        Ok(Some(Attribute { name, value, doc, rest, src: Bytes::new() }))
    }

    /// The value that the call, or else the function, gives for a reference. One that neither gives is absent in the
    /// body, and its operator's default holds.
    fn referred(&self, a: &Attribute, name: &str) -> Result<Option<Attribute>> {
        let default = || self.function.attribute_defaults.iter().find(|d| d.name == name);
        let Some(found) = self.call.attribute(name).or_else(default) else { return Ok(None) };
        if !found.value.graphs().is_empty() {
            return Err(Error::edit(format!("attribute `{name}` of a call holds a graph")));
        }
        let mut rest = without_value(&a.rest);
        rest.extend_from_slice(&found.rest);
        let (name, value, doc) = (a.name.clone(), found.value.clone(), a.doc.clone());
        Ok(Some(Attribute { name, value, doc, rest, src: Bytes::new() }))
    }

    fn graph(&mut self, m: &mut Model, g: GraphId, owner: NodeId) -> Result<GraphId> {
        let parent = m.node(owner).graph;
        let copy = m.new_graph_raw(GraphOwner::Node(owner), Some(parent));
        let old = m.graph(g).clone();
        let sparse = old.sparse_initializers.iter().map(|s| &s.0);
        for &v in old.inputs.iter().chain(&old.initializers).chain(sparse) {
            if self.map.contains_key(&v) {
                continue;
            }
            let def = m.value(v).def;
            let new = self.value(m, v, copy, def);
            m.values[new.index()].init = m.value(v).init.clone();
            if def == Def::Input {
                m.values[new.index()].info = m.value(v).info.clone();
            }
        }
        let to = &mut m.graphs[copy.index()];
        to.inputs = self.all_mapped(&old.inputs);
        to.initializers = self.all_mapped(&old.initializers);
        let sparse = old.sparse_initializers.iter();
        to.sparse_initializers = sparse.filter_map(|(v, t)| Some((self.mapped(*v)?, t.clone()))).collect();
        (to.name, to.doc, to.metadata, to.rest) = (old.name, old.doc, old.metadata, old.rest);
        self.nodes(m, g, copy, None)?;
        for o in &old.outputs {
            let v = self.result(m, o.value)?;
            m.push_output_raw(copy, v, o.info.clone());
        }
        for (name, info) in old.stale_info {
            let name = self.other_name(m, g, &name);
            m.graphs[copy.index()].stale_info.push((name, info));
        }
        for a in &old.annotations {
            if a.value.is_none_or(|v| m.is_live_value(v)) {
                let a = self.annotation(m, a, g);
                m.graphs[copy.index()].annotations.push(a);
            }
        }
        Ok(copy)
    }

    /// The name for one that stands in `graph` and belongs to none of its values: it may be that of a value around
    /// it, and is not to become that of one around the call.
    fn other_name(&self, m: &mut Model, graph: GraphId, name: &str) -> EcoString {
        match m.find_value(graph, name).and_then(|v| self.mapped(v)) {
            Some(v) => m.value(v).name.clone(),
            None => self.name(m, name),
        }
    }

    fn annotation(&self, m: &mut Model, a: &QuantAnnotation, graph: GraphId) -> QuantAnnotation {
        let mut out = QuantAnnotation {
            value: a.value.and_then(|v| self.mapped(v)),
            params: Vec::new(),
            messages: Vec::new(),
            dangling: Metadata::new(),
            dangling_name: None,
            rest: a.rest.clone(),
        };
        if out.value.is_none() {
            let name = a.value.map(|v| m.value(v).name.clone()).or_else(|| a.dangling_name.clone());
            out.dangling_name = name.map(|n| self.other_name(m, graph, &n));
        }
        for (k, (key, v)) in a.params.iter().enumerate() {
            let message = a.messages.get(k).cloned().flatten();
            match self.mapped(*v) {
                Some(v) => {
                    m.values[v.index()].pins += 1;
                    out.params.push((key.clone(), v));
                    out.messages.push(message);
                }
                None => {
                    let name = m.value(*v).name.clone();
                    self.dangling(m, &mut out, graph, (key, &name), message.as_deref());
                }
            }
        }
        for ((key, name), message) in a.dangling.messages() {
            self.dangling(m, &mut out, graph, (key, name), message);
        }
        if out.messages.iter().all(Option::is_none) {
            out.messages.clear();
        }
        out
    }

    /// Adds a parameter that names no value.
    fn dangling(
        &self,
        m: &mut Model,
        to: &mut QuantAnnotation,
        graph: GraphId,
        (key, name): (&EcoString, &EcoString),
        message: Option<&[u8]>,
    ) {
        let name = self.other_name(m, graph, name);
        let message = message.and_then(|message| {
            // Reading has seen that it can be walked.
            rewritten(message, |f| Ok((f.number == 2).then(|| name.as_bytes().to_vec()))).ok()
        });
        to.dangling.add((key.clone(), name), message.map(|m| EcoVec::from(m.as_slice())));
    }
}
