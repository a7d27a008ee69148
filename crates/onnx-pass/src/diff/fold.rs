//! Many changes told as few: equal ones of repeated layers together.

use indexmap::IndexMap;
use serde::Serialize;

use crate::structure::layered::layered;

/// Nodes of one scope, or of the same scope in repeated layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The scope: `model/layers.{0…27}/self_attn`; empty for the whole model.
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

fn at_depth(entries: &[(Vec<String>, String)], depth: usize) -> Vec<Group> {
    let mut scopes: IndexMap<String, IndexMap<&str, usize>> = IndexMap::new();
    for (path, what) in entries {
        let scope = path.iter().take(depth).map(String::as_str).collect::<Vec<_>>().join("/");
        *scopes.entry(scope).or_default().entry(what).or_default() += 1;
    }
    let names: Vec<((), &str)> = scopes.keys().map(|name| ((), name.as_str())).collect();
    let told = layered(&names).into_iter().map(|((), scope, members)| {
        let mut what: IndexMap<String, usize> = IndexMap::new();
        for (op, n) in members.iter().filter_map(|i| scopes.get_index(*i)).flat_map(|(_, ops)| ops) {
            *what.entry((*op).to_owned()).or_default() += n;
        }
        what.sort_by(|a, x, b, y| y.cmp(x).then_with(|| a.cmp(b)));
        let count = what.values().sum();
        Group { scope, what, count }
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
    }
}
