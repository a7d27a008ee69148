//! Many changes told as few: equal ones of repeated layers together.

use indexmap::IndexMap;
use serde::Serialize;

use crate::structure::scope::{numbered, ranges};

/// Nodes of one scope, or of the same scope in repeated layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The scope: `model.layers.{0…27}.self_attn`; empty for the whole model.
    pub scope: String,
    /// What, and how often.
    pub what: IndexMap<String, usize>,
    /// How many in all.
    pub count: usize,
}

/// Groups `(scope, what)`, at a depth of scopes that gives at most `most` groups.
pub(crate) fn groups(entries: &[(Vec<String>, String)], most: usize) -> Vec<Group> {
    let mut out = Vec::new();
    for depth in (0..=8).rev() {
        out = at_depth(entries, depth);
        if out.len() <= most {
            break;
        }
    }
    out
}

#[derive(Default)]
struct Sum {
    numbers: Vec<u64>,
    what: IndexMap<String, usize>,
    count: usize,
}

fn at_depth(entries: &[(Vec<String>, String)], depth: usize) -> Vec<Group> {
    let mut table: IndexMap<(String, String), Sum> = IndexMap::new();
    for (path, what) in entries {
        let scope = path.iter().take(depth).map(String::as_str).collect::<Vec<_>>().join("/");
        let (key, number) = match numbered(&scope) {
            Some((before, n, after)) => ((before.to_owned(), format!("\u{0}{after}")), Some(n)),
            None => ((scope, String::new()), None),
        };
        let sum = table.entry(key).or_default();
        sum.numbers.extend(number);
        *sum.what.entry(what.clone()).or_default() += 1;
        sum.count += 1;
    }
    let named = table.into_iter().map(|((before, after), mut sum)| {
        sum.what.sort_by(|a, x, b, y| y.cmp(x).then_with(|| a.cmp(b)));
        Group { scope: with_numbers(&before, &sum.numbers, &after), what: sum.what, count: sum.count }
    });
    named.collect()
}

fn with_numbers(before: &str, numbers: &[u64], after: &str) -> String {
    match (after.strip_prefix('\0'), ranges(numbers)) {
        (Some(after), r) if r.contains(['…', ',']) => format!("{before}{{{r}}}{after}"),
        (Some(after), r) => format!("{before}{r}{after}"),
        (None, _) => before.to_owned(),
    }
}

/// Names that differ by one number together: `past_key.{0…27}`; each with how many it stands for. Only names
/// with an equal `kind` meet.
pub(crate) fn names(entries: &[(String, String)]) -> Vec<(String, String, usize)> {
    let mut table: IndexMap<(String, String, String), Vec<u64>> = IndexMap::new();
    for (name, kind) in entries {
        let (key, n) = match numbered(name) {
            Some((before, n, after)) => ((before.to_owned(), format!("\u{0}{after}"), kind.clone()), n),
            None => ((name.clone(), String::new(), kind.clone()), 0),
        };
        table.entry(key).or_default().push(n);
    }
    let told = table.into_iter().map(|((before, after, kind), numbers)| {
        (with_numbers(&before, &numbers, &after), kind, numbers.len())
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_fold_and_depth_gives_way_to_length() {
        let mut entries = Vec::new();
        for layer in 0..28 {
            for part in ["attn", "mlp"] {
                entries.push((
                    vec!["m".to_owned(), format!("layers.{layer}"), part.to_owned()],
                    "Add".to_owned(),
                ));
            }
        }
        let two = groups(&entries, 10);
        assert_eq!(
            two.iter().map(|g| g.scope.as_str()).collect::<Vec<_>>(),
            ["m/layers.{0…27}/attn", "m/layers.{0…27}/mlp"]
        );
        assert_eq!(groups(&entries, 1)[0].scope, "m/layers.{0…27}");
        assert_eq!(groups(&entries, 1)[0].what["Add"], 56);
        let pairs =
            [("k.0", "f"), ("k.1", "f"), ("x", "f"), ("k.7", "g")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(
            names(&pairs).into_iter().map(|(n, _, c)| (n, c)).collect::<Vec<_>>(),
            [("k.{0, 1}".to_owned(), 2), ("x".to_owned(), 1), ("k.7".to_owned(), 1)]
        );
    }
}
