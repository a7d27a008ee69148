//! Names: fresh ones, and those of values.

use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;

use ecow::{EcoString, eco_format};
use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{Error, Result};
use crate::model::*;
use crate::places::by_place;
use crate::{GraphId, NodeId, ValueId};

/// Enters names, in the order of their places in the table.
fn enter<'n>(counts: &mut Names, names: impl Iterator<Item = &'n EcoString>, count: impl Fn(&mut Named)) {
    let hashes: Vec<u64> = names.map(|name| hash_of(name)).collect();
    for key in by_place(&hashes, |key| *key, counts.capacity()) {
        count(counts.entry(key).or_default());
    }
}

impl Model {
    /// A name that no value or node of the model has, made from `hint`.
    pub fn fresh_name(&mut self, hint: &str) -> EcoString {
        let hint = if hint.is_empty() { "value" } else { hint };
        if let Entry::Vacant(free) = self.names().entry(hash_of(hint)) {
            free.insert(Named::default());
            return hint.into();
        }
        let mut next = self.next_name.get(hint).copied().unwrap_or(1);
        loop {
            let name = eco_format!("{hint}_{next}");
            next += 1;
            if let Entry::Vacant(free) = self.names().entry(hash_of(&name)) {
                free.insert(Named::default());
                self.next_name.insert(hint.into(), next);
                return name;
            }
        }
    }

    /// How many values and nodes have each name, by the names' hashes: two names of one hash count as one, so that a
    /// name may seem taken that is not, and never the other way.
    fn names(&mut self) -> &mut Names {
        if self.names.is_none() {
            let room = self.values.len() + self.nodes.len();
            let mut counts = Names::with_capacity_and_hasher(room, BuildHasherDefault::default());
            let values = self.values.iter().filter(|v| v.def != Def::Removed);
            enter(&mut counts, values.map(|v| &v.name), |n| n.values += 1);
            let nodes = self.nodes.iter().filter(|n| n.live);
            enter(&mut counts, nodes.filter_map(|n| n.name.as_ref()), |n| n.nodes += 1);
            self.names = Some(counts);
        }
        self.names.get_or_insert_default()
    }

    /// Enters the name of a value.
    pub(crate) fn remember_name(&mut self, name: &EcoString) {
        if let Some(names) = &mut self.names {
            names.entry(hash_of(name)).or_default().values += 1;
        }
    }

    /// Enters the name of a node.
    pub(crate) fn remember_node_name(&mut self, name: &EcoString) {
        if let Some(names) = &mut self.names {
            names.entry(hash_of(name)).or_default().nodes += 1;
        }
    }

    /// Takes the name of a value out.
    pub(crate) fn unremember_name(&mut self, name: &EcoString) {
        if let Some(n) = self.names.as_mut().and_then(|names| names.get_mut(&hash_of(name))) {
            n.values = n.values.saturating_sub(1);
        }
    }

    /// How many values and nodes have this name now.
    fn named(&mut self, name: &str) -> Named {
        self.uncount_removed();
        self.names().get(&hash_of(name)).copied().unwrap_or_default()
    }

    /// Takes the names of removed values out. Many are removed without anybody asking for a name after that, and each is a
    /// look at a place of the table that has to be waited for.
    fn uncount_removed(&mut self) {
        let mut removed = std::mem::take(&mut self.uncounted);
        for v in removed.drain(..) {
            let name = self.values[v.index()].name.clone();
            self.unremember_name(&name);
        }
        self.uncounted = removed;
    }

    /// How many values and nodes have this name now.
    pub(crate) fn name_count(&mut self, name: &str) -> u32 {
        let n = self.named(name);
        n.values + n.nodes
    }

    /// Whether a value has this name, in whatever graph: the table tells, so that not every value need be asked.
    fn names_a_value(&mut self, name: &str) -> bool {
        self.named(name).values > 0
    }

    /// Exchanges the names, and with them the declarations, of two values of one graph.
    pub(crate) fn swap_names(&mut self, a: ValueId, b: ValueId) {
        self.forget_spans(a);
        self.forget_spans(b);
        let name_a = self.values[a.index()].name.clone();
        let name_b = std::mem::replace(&mut self.values[b.index()].name, name_a.clone());
        self.values[a.index()].name = name_b.clone();
        let mut nodes = [self.touching(a), self.touching(b)].concat();
        nodes.sort_unstable();
        nodes.dedup();
        let both = [(name_a.clone(), name_b.clone()), (name_b, name_a)];
        nodes.into_iter().for_each(|n| self.rename_shards(n, &both));
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
        if self.names_a_value(name)
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

    /// Renames values everywhere, all at once: one may get the old name of another.
    ///
    /// # Errors
    /// The position of one whose name is empty, or that of another value which is visible in its graph, or in a graph
    /// inside it. Nothing is renamed then.
    pub fn rename_values(&mut self, new: &[(ValueId, EcoString)]) -> std::result::Result<(), usize> {
        if let Some(k) = new.iter().position(|(_, name)| name.is_empty()) {
            return Err(k);
        }
        if let Some(k) = self.clash_of_new(new) {
            return Err(k);
        }
        let unique = self.unique_names;
        for (v, name) in new {
            if self.name(*v) != name {
                self.set_name(*v, name.clone());
            }
        }
        self.unique_names = unique;
        Ok(())
    }

    /// The position of a new name that two values would have of which one sees the other. The values are gone through
    /// once, against a table of the new names alone.
    fn clash_of_new(&self, new: &[(ValueId, EcoString)]) -> Option<usize> {
        let mut first: HashTable<u32> = HashTable::with_capacity(new.len());
        let mut renamed = vec![false; self.values.len()];
        // Of a name that more than one value will have: its first position, and where else it will be.
        let mut others: Vec<(usize, GraphId)> = Vec::new();
        for (k, (v, name)) in new.iter().enumerate() {
            renamed[v.index()] = true;
            let entry =
                first.entry(hash_of(name), |o| new[*o as usize].1 == *name, |o| hash_of(&new[*o as usize].1));
            // There are fewer values than ids.
            let known = *entry.or_insert(k as u32).get() as usize;
            if known != k {
                others.push((known, self.value(*v).graph));
            }
        }
        for (v, value) in self.values().filter(|(v, _)| !renamed[v.index()]) {
            if let Some(k) = first.find(hash_of(&value.name), |o| new[*o as usize].1 == value.name) {
                others.push((*k as usize, self.value(v).graph));
            }
        }
        let mut graphs: FxHashMap<usize, Vec<GraphId>> = FxHashMap::default();
        for (k, graph) in others {
            graphs.entry(k).or_insert_with(|| vec![self.value(new[k].0).graph]).push(graph);
        }
        graphs.into_iter().filter(|(_, all)| self.see_each_other(all)).map(|(k, _)| k).min()
    }

    /// Whether one of these graphs is another, or around it.
    fn see_each_other(&self, graphs: &[GraphId]) -> bool {
        let mut seen = FxHashSet::default();
        let distinct = graphs.iter().all(|g| seen.insert(*g));
        let around = |g: &GraphId| std::iter::successors(self.graph(*g).parent, |p| self.graph(*p).parent);
        !distinct || graphs.iter().any(|g| around(g).any(|p| seen.contains(&p)))
    }

    /// Whether a value that `graph` sees, or a graph inside it, has this name.
    pub fn is_name_taken(&mut self, graph: GraphId, name: &str) -> bool {
        self.names_a_value(name) && self.name_clash(graph, name).is_some()
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
        self.remember_name(&name);
        self.unique_names = false;
        let graph = self.value(v).graph;
        let old = std::mem::replace(&mut self.values[v.index()].name, name.clone());
        self.unremember_name(&old);
        let renamed = [(old, name)];
        for k in 0..self.value(v).uses.len() {
            match self.value(v).uses[k] {
                Use::Node { node, .. } => self.touch_renamed(node, &renamed),
                Use::Output { graph, .. } => self.touch_graph(graph),
            }
        }
        if let Some(producer) = self.value(v).producer() {
            self.touch_renamed(producer, &renamed);
        }
        self.touch_graph(graph);
    }

    /// Notes that operands of a node have other names.
    fn touch_renamed(&mut self, node: NodeId, renamed: &[(EcoString, EcoString)]) {
        self.touch(node);
        self.rename_shards(node, renamed);
    }
}
