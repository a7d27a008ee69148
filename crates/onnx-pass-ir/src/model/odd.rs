//! Messages of which the file says more than the model does.

use std::collections::VecDeque;
use std::hash::Hash;
use std::ops::{Deref, DerefMut};

use ecow::{EcoString, EcoVec};
use rustc_hash::FxHashMap;

use crate::proto::wire::rewritten;

/// What the model holds of a few messages, each with what the file says beyond it. It stands beside the list that
/// has them all, so that lists in which nothing is odd are no larger for it.
///
/// An entry of the list that is changed or removed has nothing here any more, which needs no keeping of books:
/// entries are found by what they hold.
#[derive(Clone, Debug)]
pub(crate) struct Odd<T>(Option<Box<Entries<T>>>);

type Entries<T> = Vec<(T, EcoVec<u8>)>;

impl<T> Odd<T> {
    pub const fn none() -> Self {
        Odd(None)
    }
}

impl<T> Default for Odd<T> {
    fn default() -> Self {
        Self::none()
    }
}

impl<T: Eq + Hash> Odd<T> {
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[cold]
    pub fn push(&mut self, held: T, more: EcoVec<u8>) {
        self.0.get_or_insert_default().push((held, more));
    }

    /// The entries of `list`, each with what there is beyond it; most have nothing.
    pub fn along<'a>(&'a self, list: &'a [T]) -> impl Iterator<Item = (&'a T, Option<&'a [u8]>)> {
        // Each counts for one entry: two that hold the same may differ beyond it.
        let mut left: FxHashMap<&T, VecDeque<&[u8]>> = FxHashMap::default();
        for (held, more) in self.0.iter().flat_map(|all| all.iter()) {
            left.entry(held).or_default().push_back(more);
        }
        list.iter().map(move |held| (held, left.get_mut(held).and_then(VecDeque::pop_front)))
    }
}

/// A key and its value.
pub(crate) type Pair = (EcoString, EcoString);

/// Key-value pairs in file order (`metadata_props`, `external_data`): a list of pairs, and what the file says of a
/// pair beyond its key and value.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pairs: Vec<Pair>,
    /// The messages of pairs that are not one key and one value, as they stood.
    odd: Odd<Pair>,
}

impl Metadata {
    /// No pairs.
    pub const fn new() -> Self {
        Metadata { pairs: Vec::new(), odd: Odd::none() }
    }

    /// Appends a pair; `message` is its payload where it holds more.
    pub(crate) fn add(&mut self, pair: Pair, message: Option<EcoVec<u8>>) {
        if let Some(message) = message {
            self.odd.push(pair.clone(), message);
        }
        self.pairs.push(pair);
    }

    /// Gives the pairs of that key another value.
    pub(crate) fn set(&mut self, key: &str, value: &EcoString) {
        for (_, old) in self.pairs.iter_mut().filter(|(k, _)| k == key) {
            old.clone_from(value);
        }
        for ((k, old), message) in self.odd.0.iter_mut().flat_map(|all| all.iter_mut()) {
            if k == key
                && let Ok(new) =
                    rewritten(message, |f| Ok((f.number == 2).then(|| value.as_bytes().to_vec())))
            {
                (*old, *message) = (value.clone(), new.as_slice().into());
            }
        }
    }

    /// The pairs, each with its message where it holds more.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&Pair, Option<&[u8]>)> {
        self.odd.along(&self.pairs)
    }

    /// Whether every pair is one key and one value.
    pub(crate) fn is_plain(&self) -> bool {
        self.odd.is_empty()
    }
}

impl Deref for Metadata {
    type Target = Vec<Pair>;

    fn deref(&self) -> &Vec<Pair> {
        &self.pairs
    }
}

impl DerefMut for Metadata {
    fn deref_mut(&mut self) -> &mut Vec<Pair> {
        &mut self.pairs
    }
}

impl From<Vec<Pair>> for Metadata {
    fn from(pairs: Vec<Pair>) -> Self {
        Metadata { pairs, odd: Odd::none() }
    }
}

impl FromIterator<Pair> for Metadata {
    fn from_iter<I: IntoIterator<Item = Pair>>(pairs: I) -> Self {
        pairs.into_iter().collect::<Vec<Pair>>().into()
    }
}

impl<'a> IntoIterator for &'a Metadata {
    type Item = &'a Pair;
    type IntoIter = std::slice::Iter<'a, Pair>;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.iter()
    }
}

/// Two lists are the same when their pairs are.
impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.pairs == other.pairs
    }
}

impl Eq for Metadata {}
