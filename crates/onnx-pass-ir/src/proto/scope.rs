//! The names of a graph while it is read.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::ValueId;
use crate::model::Value;

/// The values of a graph by name. The names themselves stand in the values alone: a table of a million names is a sixth of
/// what one with the texts would be, and the look-ups, which are all over it, are most of the time of reading.
#[derive(Default)]
pub(super) struct Scope(HashTable<ValueId>);

impl Scope {
    /// Makes room for so many more names.
    pub fn reserve(&mut self, values: &[Value], more: usize) {
        self.0.reserve(more, |v| hash(&values[v.index()].name));
    }

    /// The value that this name means here.
    #[inline]
    pub fn get(&self, values: &[Value], name: &str) -> Option<ValueId> {
        self.0.find(hash(name), |v| values[v.index()].name == name).copied()
    }

    /// Enters a value under its name, unless that means another one already; gives the one that it means.
    pub fn enter(&mut self, values: &[Value], v: ValueId) -> ValueId {
        let name = &values[v.index()].name;
        let same = |other: &ValueId| values[other.index()].name == *name;
        let entry = self.0.entry(hash(name), same, |v| hash(&values[v.index()].name));
        *entry.or_insert(v).get()
    }
}

fn hash(name: &str) -> u64 {
    FxBuildHasher.hash_one(name)
}
