//! "Did you mean": the nearest known name to one that is not known.

/// The candidate that `name` most likely misspells, or `None` when none is near enough to be a likely
/// intent. Among equals the first candidate wins.
///
/// Case, `-` and `_` do not count; a swap of neighbours counts as one edit. A name of at least three letters
/// that begins exactly one candidate also finds it (`infer` finds `infer-shapes`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    let mut best: Option<(usize, &str)> = None;
    let mut begins: Option<&str> = None;
    let mut begun = 0;
    for candidate in candidates {
        let known = folded(candidate);
        let allowed = (wanted.len().max(known.len()) / 3).clamp(1, 3);
        if wanted.len().abs_diff(known.len()) <= allowed {
            let distance = edit_distance(&wanted, &known);
            if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        if wanted.len() >= 3 && known.starts_with(&wanted) {
            begun += 1;
            begins = Some(candidate);
        }
    }
    match best {
        Some((_, candidate)) => Some(candidate),
        None if begun == 1 => begins,
        None => None,
    }
}

/// ``did you mean `x`?`` for the nearest candidate, if there is one.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|known| format!("did you mean `{known}`?"))
}

/// A hint for an unknown name: the nearest one, else the list of what there is.
///
/// `what` names the candidates in the plural ("options"). The list is cut after twelve.
pub fn hint(name: &str, what: &str, candidates: &[&str]) -> String {
    const SHOWN: usize = 12;
    if let Some(suggestion) = did_you_mean(name, candidates.iter().copied()) {
        return suggestion;
    }
    if candidates.is_empty() {
        return format!("there are no {what}");
    }
    let shown: Vec<String> = candidates.iter().take(SHOWN).map(|known| format!("`{known}`")).collect();
    let more = if candidates.len() > SHOWN { ", …" } else { "" };
    format!("the {what} are {}{more}", shown.join(", "))
}

fn folded(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits (insert, delete, replace, swap neighbours) between two names: the optimal string alignment distance.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        let mut left = i + 1;
        for (j, (&y, steps)) in b.iter().zip(above.windows(2)).enumerate() {
            let &[diagonal, up] = steps else { continue };
            let mut cost = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if let (true, Some(&crossed)) = (swapped, before.get(j.wrapping_sub(1))) {
                cost = cost.min(crossed + 1);
            }
            row.push(cost);
            left = cost;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSES: &[&str] =
        &["eliminate-kv-cache", "eliminate-dead-code", "infer-shapes", "custom-io", "rename"];

    fn near(name: &str) -> Option<&'static str> {
        nearest(name, PASSES.iter().copied())
    }

    #[test]
    fn near_misses_find_their_name() {
        assert_eq!(near("eliminate-kv-cach"), Some("eliminate-kv-cache"));
        assert_eq!(near("Infer_Shapes"), Some("infer-shapes"));
        assert_eq!(near("custmo-io"), Some("custom-io"));
        assert_eq!(near("renam"), Some("rename"));
        assert_eq!(near("infer"), Some("infer-shapes"));
    }

    #[test]
    fn far_and_ambiguous_names_find_nothing() {
        assert_eq!(near("quantize"), None);
        assert_eq!(near("eliminate"), None);
        assert_eq!(near(""), None);
    }

    #[test]
    fn a_swap_is_one_edit() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(edit_distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(edit_distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(edit_distance(&chars(""), &chars("abc")), 3);
    }

    #[test]
    fn a_hint_lists_what_there_is_when_nothing_is_near() {
        assert_eq!(hint("x", "passes", &["rename", "custom-io"]), "the passes are `rename`, `custom-io`");
        assert_eq!(hint("renmae", "passes", &["rename"]), "did you mean `rename`?");
        assert_eq!(hint("x", "options", &[]), "there are no options");
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_zero_only_for_equals(a in "[a-d]{0,6}", b in "[a-d]{0,6}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let distance = edit_distance(&a, &b);
            prop_assert_eq!(distance, edit_distance(&b, &a));
            prop_assert_eq!(distance == 0, a == b);
            prop_assert!(distance <= a.len().max(b.len()));
        }
    }
}
