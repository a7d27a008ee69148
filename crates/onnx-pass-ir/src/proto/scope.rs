//! The names of a graph while it is read.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::ValueId;
use crate::model::Value;

/// The values of a graph by name. The names themselves stand in the values alone: a table of a million names is a third
/// of what one with the texts would be, and the look-ups, which are all over it, are most of the time of reading.
#[derive(Default)]
pub(super) struct Scope(HashTable<(u32, ValueId)>);

impl Scope {
    /// Makes room for so many more names.
    pub fn reserve(&mut self, more: usize) {
        self.0.reserve(more, |(short, _)| spread(*short));
    }

    /// The value that this name means here.
    #[inline]
    pub fn get(&self, values: &[Value], name: &str) -> Option<ValueId> {
        let short = short_hash(name);
        let found = self.0.find(spread(short), |(s, v)| *s == short && values[v.index()].name == name);
        found.map(|(_, v)| *v)
    }

    /// Enters a value under its name, unless that means another one already; gives the one that it means.
    pub fn enter(&mut self, values: &[Value], v: ValueId) -> ValueId {
        let name = &values[v.index()].name;
        let short = short_hash(name);
        let same = |(s, other): &(u32, ValueId)| *s == short && values[other.index()].name == *name;
        let entry = self.0.entry(spread(short), same, |(short, _)| spread(*short));
        entry.or_insert((short, v)).get().1
    }
}

fn short_hash(name: &str) -> u32 {
    let long = FxBuildHasher.hash_one(name);
    (long ^ long >> 32) as u32
}

/// The table takes places from the low bits and marks from the high ones.
fn spread(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}
