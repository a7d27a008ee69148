//! The names of a graph while it is read.

use hashbrown::HashTable;

use crate::ValueId;
use crate::model::Value;
use crate::places::by_place;

/// From so many names on that wait, they are entered part by part of the table.
const MANY: usize = 4096;

/// A value under some bits of its name's hash.
#[derive(Clone, Copy)]
struct Entry {
    key: u32,
    value: ValueId,
}

impl Entry {
    /// Its hash in the table, which looks at the lowest bits and at the highest.
    fn hash(&self) -> u64 {
        spread(self.key)
    }
}

fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The values of a graph by name. The names themselves stand in the values alone: a table of a million names is a quarter
/// of what one with the texts would be.
#[derive(Default)]
pub(super) struct Scope {
    table: HashTable<Entry>,
    /// Values that are not in the table yet. Few names are looked up before all are known, and the place of each is
    /// somewhere in the table, far from the last one's.
    waiting: Vec<Entry>,
    /// Two values were entered under one name.
    ambiguous: bool,
}

impl Scope {
    /// Makes room for so many more names.
    pub fn reserve(&mut self, more: usize) {
        self.waiting.reserve(more);
        self.table.reserve(self.waiting.len() + more, Entry::hash);
    }

    /// The value that this name, whose hash is `key`, means here: of several that have it, one of them.
    pub fn get(&mut self, values: &[Value], key: u64, name: &str) -> Option<ValueId> {
        let key = key as u32;
        let has = |e: &Entry| e.key == key && values[e.value.index()].name == name;
        if let Some(e) = self.table.find(spread(key), has) {
            return Some(e.value);
        }
        if self.waiting.is_empty() {
            return None;
        }
        self.settle(values);
        self.table.find(spread(key), has).map(|e| e.value)
    }

    /// Enters a value under its name, whose hash is `key`.
    #[inline]
    pub fn enter(&mut self, key: u64, value: ValueId) {
        self.waiting.push(Entry { key: key as u32, value });
    }

    /// Enters all that waits; whether each name means one value alone.
    pub fn settle(&mut self, values: &[Value]) -> bool {
        let mut waiting = std::mem::take(&mut self.waiting);
        if waiting.len() >= MANY {
            self.table.reserve(waiting.len(), Entry::hash);
            waiting = by_place(&waiting, Entry::hash, self.table.capacity());
        }
        for e in waiting.drain(..) {
            let same = |other: &Entry| {
                other.key == e.key && values[other.value.index()].name == values[e.value.index()].name
            };
            let entry = self.table.entry(e.hash(), same, Entry::hash);
            self.ambiguous |= entry.or_insert(e).get().value != e.value;
        }
        self.waiting = waiting;
        !self.ambiguous
    }
}

/// Names of which `Recent` knows the value.
const RECENT: usize = 4096;

/// The values that names meant of late, by some bits of the names' hashes: a guess, as names of any graph replace one
/// another. What a node reads was mostly made a few nodes before it, and so is found in the processor's caches, while its
/// place in a table of all names is somewhere in memory.
pub(super) struct Recent(Box<[ValueId]>);

impl Default for Recent {
    fn default() -> Self {
        Recent(vec![ValueId::new(0); RECENT].into())
    }
}

impl Recent {
    /// The value that a name with this hash may mean.
    #[inline]
    pub fn get(&self, key: u64) -> ValueId {
        self.0[key as usize % RECENT]
    }

    #[inline]
    pub fn set(&mut self, key: u64, v: ValueId) {
        self.0[key as usize % RECENT] = v;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Model;
    use crate::model::{Def, hash_of};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Names that wait in small numbers and in large ones, some twice, under hashes that may be the same.
        #[test]
        fn a_scope_knows_each_name_and_whether_it_is_one_values(
            texts in prop::collection::vec(0..200_000_u32, 1..3 * MANY),
            looks_after in 1..2 * MANY,
            hashes in prop_oneof![Just(500), Just(u64::MAX)],
        ) {
            let (mut m, mut scope) = (Model::empty(), Scope::default());
            let key = |name: &str| hash_of(name) % hashes;
            let mut entered: HashMap<String, Vec<ValueId>> = HashMap::new();
            for (k, text) in texts.iter().enumerate() {
                let name = format!("/a/name/longer/than/most/{text}");
                let v = m.new_value_raw(m.main(), name.as_str().into(), Def::Input);
                scope.enter(key(&name), v);
                entered.entry(name).or_default().push(v);
                if k % looks_after == 0 {
                    prop_assert_eq!(scope.get(&m.values, key("absent"), "absent"), None);
                }
            }
            for (name, values) in &entered {
                let found = scope.get(&m.values, key(name), name);
                prop_assert!(found.is_some_and(|v| values.contains(&v)), "{} is {:?}", name, found);
            }
            prop_assert_eq!(scope.settle(&m.values), entered.values().all(|values| values.len() == 1));
        }
    }
}
