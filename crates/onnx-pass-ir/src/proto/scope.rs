//! The names of a graph while it is read.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::ValueId;
use crate::model::{Value, hash_of};

/// So many names wait to be entered. The place of each is somewhere in the table, far from the last one's: entered one
/// right after the other, they wait for memory together.
const WAITING: usize = 16;

/// The values of a graph by name. The names themselves stand in the values alone: a table of a million names is a sixth of
/// what one with the texts would be, and the look-ups, which are all over it, are most of the time of reading.
#[derive(Default)]
pub(super) struct Scope {
    table: HashTable<ValueId>,
    /// Values that are not in the table yet, with the hashes of their names.
    waiting: SmallVec<[(u64, ValueId); WAITING]>,
    /// Two values were entered under one name.
    ambiguous: bool,
}

impl Scope {
    /// Makes room for so many more names.
    pub fn reserve(&mut self, values: &[Value], more: usize) {
        self.table.reserve(more, |v| hash_of(&values[v.index()].name));
    }

    /// The value that this name means here: of several that have it, one of them.
    #[inline]
    pub fn get(&self, values: &[Value], name: &str) -> Option<ValueId> {
        let (key, has) = (hash_of(name), |v: &ValueId| values[v.index()].name == name);
        let waits = self.waiting.iter().find(|(k, v)| *k == key && has(v)).map(|(_, v)| *v);
        waits.or_else(|| self.table.find(key, has).copied())
    }

    /// Enters a value under its name.
    #[inline]
    pub fn enter(&mut self, values: &[Value], v: ValueId) {
        if self.waiting.len() == WAITING {
            self.settle(values);
        }
        self.waiting.push((hash_of(&values[v.index()].name), v));
    }

    /// Enters all that waits; whether each name means one value alone.
    pub fn settle(&mut self, values: &[Value]) -> bool {
        for (key, v) in self.waiting.drain(..) {
            let same = |other: &ValueId| values[other.index()].name == values[v.index()].name;
            let entry = self.table.entry(key, same, |v| hash_of(&values[v.index()].name));
            self.ambiguous |= *entry.or_insert(v).get() != v;
        }
        !self.ambiguous
    }
}
