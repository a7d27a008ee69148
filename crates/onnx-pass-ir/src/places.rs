//! Filling tables of very many names.

/// Parts of a table that are filled one after the other, each small enough for the processor's cache.
const PARTS: usize = 256;

/// The items, ordered by the part of a hash table of this capacity that each goes to. In the order of the model they would
/// be all over the table, and each would wait for memory.
pub(crate) fn by_place<T: Copy>(items: &[T], hash: impl Fn(&T) -> u64, capacity: usize) -> Vec<T> {
    // Where a hash goes is told by its low bits, of which the table uses so many.
    let shift = usize::BITS - capacity.leading_zeros();
    let part = |item: &T| ((hash(item) << 8) >> shift) as usize % PARTS;
    let mut starts = [0usize; PARTS];
    items.iter().for_each(|item| starts[part(item)] += 1);
    let mut next = 0;
    for start in &mut starts {
        next += std::mem::replace(start, next);
    }
    let mut sorted = items.to_vec();
    for item in items {
        let at = &mut starts[part(item)];
        sorted[*at] = *item;
        *at += 1;
    }
    sorted
}
