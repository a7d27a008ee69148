//! Texts of repeated layers told once.

use std::hash::Hash;

use indexmap::IndexMap;

use super::scope::ranges;

/// Texts of one kind that differ by a number alone together, by first appearance: `past_key.{0…27}: float[n, 8]`,
/// with the places of those that it stands for. The number may be in several places of the text
/// (`k.0: float[k.0_dim]`), always at the end of a word.
pub(crate) fn layered<K: Copy + Eq + Hash>(entries: &[(K, &str)]) -> Vec<(K, String, Vec<usize>)> {
    let cut: Vec<Numbered<'_>> = entries.iter().map(|(_, text)| Numbered::of(text)).collect();
    let mut alike: IndexMap<(K, &[&str]), Vec<usize>> = IndexMap::new();
    for (i, ((kind, _), text)) in entries.iter().zip(&cut).enumerate() {
        alike.entry((*kind, &text.pieces)).or_default().push(i);
    }
    let mut out = Vec::new();
    for ((kind, _), members) in alike {
        let numbers = |i: &usize, k: usize| cut[*i].numbers[k];
        let count = members.first().map_or(0, |i| cut[*i].numbers.len());
        let varies = |k: usize| members.windows(2).any(|w| numbers(&w[0], k) != numbers(&w[1], k));
        let layer = (0..count).find(|k| varies(*k));
        // Places whose number is neither the layer's nor the same in all: only equal ones meet.
        let others: Vec<usize> = (0..count)
            .filter(|k| {
                varies(*k) && members.iter().any(|i| layer.is_some_and(|l| numbers(i, *k) != numbers(i, l)))
            })
            .collect();
        let mut parts: IndexMap<Vec<u64>, Vec<usize>> = IndexMap::new();
        for i in members.iter().copied() {
            parts.entry(others.iter().map(|k| numbers(&i, *k)).collect()).or_default().push(i);
        }
        let told = parts.into_values().map(|part| {
            let layers: Vec<u64> = layer.iter().flat_map(|l| part.iter().map(|i| numbers(i, *l))).collect();
            let shown = |k: usize| {
                let fixed = part.windows(2).all(|w| numbers(&w[0], k) == numbers(&w[1], k));
                if fixed { None } else { Some(format!("{{{}}}", ranges(&layers))) }
            };
            (kind, part.first().map(|i| cut[*i].with(shown)).unwrap_or_default(), part)
        });
        out.extend(told);
    }
    // Parts of one family came together; all stand by their first.
    out.sort_by_key(|(_, _, part)| part.first().copied());
    out
}

/// A text cut at the numbers that end its words.
struct Numbered<'t> {
    pieces: Vec<&'t str>,
    numbers: Vec<u64>,
}

impl<'t> Numbered<'t> {
    fn of(text: &'t str) -> Self {
        let (mut pieces, mut numbers, mut from, mut at) = (Vec::new(), Vec::new(), 0, 0);
        let bytes = text.as_bytes();
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit() {
                at += 1;
                continue;
            }
            let end = bytes[at..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| at + n);
            let in_word =
                at > 0 && (bytes[at - 1].is_ascii_alphabetic() || matches!(bytes[at - 1], b'_' | b'.'));
            let plain = end == at + 1 || bytes[at] != b'0';
            if let (true, Ok(n)) = (in_word && plain, text[at..end].parse()) {
                pieces.push(&text[from..at]);
                numbers.push(n);
                from = end;
            }
            at = end;
        }
        pieces.push(&text[from..]);
        Numbered { pieces, numbers }
    }

    /// The text again, with some of the numbers as they are told.
    fn with(&self, shown: impl Fn(usize) -> Option<String>) -> String {
        let mut out = String::new();
        for (k, piece) in self.pieces.iter().enumerate() {
            out.push_str(piece);
            if let Some(n) = self.numbers.get(k) {
                out.push_str(&shown(k).unwrap_or_else(|| n.to_string()));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_with_their_symbols() {
        let told = |entries: &[(char, &str)]| {
            layered(entries)
                .into_iter()
                .map(|(_, text, of)| format!("{text} {}", of.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(&[('-', "k.0: f"), ('-', "k.1: f"), ('-', "x: f"), ('-', "k.7: g"), ('+', "k.3: f")]),
            ["k.{0, 1}: f 2", "x: f 1", "k.7: g 1", "k.3: f 1"]
        );
        assert_eq!(
            told(&[
                ('-', "k.0_out: float[Cat_k.0_out_dim_0, 2, 16]"),
                ('-', "k.1_out: float[Cat_k.1_out_dim_0, 2, 16]"),
                ('-', "k.2_out: float[Cat_k.2_out_dim_0, 2, 16]"),
            ]),
            ["k.{0…2}_out: float[Cat_k.{0…2}_out_dim_0, 2, 16] 3"]
        );
        // Of two numbers that vary, the first is the layer.
        assert_eq!(
            told(&[('-', "b1.l0.n1"), ('-', "b1.l0.n2"), ('-', "b1.l1.n1"), ('-', "b1.l1.n2")]),
            ["b1.l{0, 1}.n1 2", "b1.l{0, 1}.n2 2"]
        );
        assert_eq!(told(&[('-', "float[1]"), ('-', "float[2]")]), ["float[1] 1", "float[2] 1"]);
        assert_eq!(told(&[('-', "é.01"), ('-', "é.99999999999999999999")]).len(), 2);
    }
}
