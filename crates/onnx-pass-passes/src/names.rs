//! Names that a user writes: exact ones and patterns, and what to say of one that fits nothing.
//!
//! In a pattern `*` stands for any run of characters, `.` and `/` included, and `?` for one character; every
//! other character is itself. So names of tensors with brackets and braces in them need no escapes. A name
//! that is there exactly as written is that name, whatever characters it has.

use smallvec::SmallVec;

use crate::suggest;

/// A pattern.
#[derive(Clone, Copy, Debug)]
pub struct Glob<'p>(&'p str);

impl<'p> Glob<'p> {
    /// The pattern, or `None` for a text that is a plain name.
    pub fn new(text: &'p str) -> Option<Self> {
        text.contains(['*', '?']).then_some(Glob(text))
    }

    /// Whether the name fits.
    pub fn matches(self, name: &str) -> bool {
        self.captures(name).is_some()
    }

    /// What each `*` and `?` stands for, in order, where the name fits; each `*` as short as can be, the first
    /// one first.
    pub fn captures(self, name: &str) -> Option<Vec<&str>> {
        let length = |text: &str, at: usize| text.get(at..)?.chars().next().map(char::len_utf8);
        let mut spans: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        // Where to go on when a character does not fit: the last star takes one more. An earlier star never
        // has to, as whatever the last one leaves over it can also leave over from further on.
        let mut retry: Option<(usize, usize, usize)> = None;
        let (mut p, mut n) = (0, 0);
        loop {
            match (self.0.as_bytes().get(p), length(name, n)) {
                (Some(b'*'), _) => {
                    spans.push((n, n));
                    retry = Some((p + 1, n, spans.len()));
                    p += 1;
                    continue;
                }
                (Some(b'?'), Some(one)) => {
                    spans.push((n, n + one));
                    (p, n) = (p + 1, n + one);
                    continue;
                }
                (Some(_), Some(one)) if self.0.get(p..p + one) == name.get(n..n + one) => {
                    (p, n) = (p + one, n + one);
                    continue;
                }
                (None, None) => break,
                _ => {}
            }
            let (after, end, kept) = retry?;
            let end = end + length(name, end)?;
            spans.truncate(kept);
            if let Some(star) = spans.last_mut() {
                star.1 = end;
            }
            retry = Some((after, end, kept));
            (p, n) = (after, end);
        }
        spans.iter().map(|(from, to)| name.get(*from..*to)).collect()
    }
}

/// Whether a name is the wanted one or fits it as a pattern.
pub fn fits(wanted: &str, name: &str) -> bool {
    wanted == name || Glob(wanted).matches(name)
}

/// The positions of the names that `wanted` means: the one of that very name, else those that it fits as a
/// pattern.
pub fn select(wanted: &str, names: &[&str]) -> Vec<usize> {
    let exact: Vec<usize> = positions(names, |name| name == wanted);
    match (exact.is_empty(), Glob::new(wanted)) {
        (true, Some(glob)) => positions(names, |name| glob.matches(name)),
        _ => exact,
    }
}

fn positions(names: &[&str], fits: impl Fn(&str) -> bool) -> Vec<usize> {
    names.iter().enumerate().filter(|(_, name)| fits(name)).map(|(k, _)| k).collect()
}

/// What to say of a name or pattern that fits none of the names. `one` and `many` name what they are.
pub fn unknown(wanted: &str, one: &str, many: &str, names: &[&str]) -> String {
    let hint = suggest::hint(wanted, many, names);
    match Glob::new(wanted) {
        Some(_) => format!("no {one} fits `{wanted}`; {hint}"),
        None => format!("there is no {one} `{wanted}`; {hint}"),
    }
}

/// `template` with `$1`, `$2`, … replaced by what was captured; `$$` is a dollar sign.
///
/// # Errors
/// Says which `$` stands for nothing.
pub fn substitute(template: &str, captures: &[&str]) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        if c != '$' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('$') => out.push('$'),
            Some(d) if d.is_ascii_digit() => {
                let number = d.to_digit(10).unwrap_or(0) as usize;
                match number.checked_sub(1).and_then(|k| captures.get(k)) {
                    Some(text) => out.push_str(text),
                    None => {
                        return Err(format!(
                            "`${d}` in `{template}` stands for nothing: the pattern has {} wildcards",
                            captures.len()
                        ));
                    }
                }
            }
            _ => {
                return Err(format!(
                    "`$` in `{template}` stands for nothing; write `$1` for the first wildcard, `$$` for a dollar sign"
                ));
            }
        }
    }
    Ok(out)
}

/// Names as a message lists them: the first few.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let names: Vec<&str> = names.into_iter().collect();
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn captures<'n>(pattern: &'n str, name: &'n str) -> Option<Vec<&'n str>> {
        Glob::new(pattern).and_then(|g| g.captures(name))
    }

    #[test]
    fn a_star_takes_any_run_and_a_question_mark_one_character() {
        assert_eq!(captures("past_*.?", "past_key.0"), Some(vec!["key", "0"]));
        assert_eq!(
            captures("*_RetainedState", "a_RetainedState_RetainedState"),
            Some(vec!["a_RetainedState"])
        );
        assert_eq!(captures("*a*b", "xaabab"), Some(vec!["x", "aba"]));
        assert_eq!(captures("?", "é"), Some(vec!["é"]));
        assert_eq!(captures("a*", "b"), None);
        assert_eq!(captures("*", ""), Some(vec![""]));
        assert!(Glob::new("plain[0]").is_none());
    }

    #[test]
    fn an_exact_name_wins_over_the_pattern_that_it_is_too() {
        assert_eq!(select("a*", &["ab", "a*", "ac"]), [1]);
        assert_eq!(select("a*", &["ab", "b", "ac"]), [0, 2]);
    }

    #[test]
    fn captures_are_put_in_by_number() {
        assert_eq!(substitute("x_$2_$1$$", &["a", "b"]), Ok("x_b_a$".into()));
        assert!(substitute("$3", &["a"]).is_err_and(|e| e.contains("1 wildcards")));
        assert!(substitute("a$", &[]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_captured_makes_the_name_again(pattern in "[aé*?]{0,6}", name in "[aé]{0,8}") {
            let Some(glob) = Glob::new(&pattern) else { return Ok(()) };
            let Some(found) = glob.captures(&name) else { return Ok(()) };
            let mut found = found.into_iter();
            let again: String = pattern
                .chars()
                .map(|c| if matches!(c, '*' | '?') { found.next().unwrap_or("-").to_owned() } else { c.to_string() })
                .collect();
            prop_assert_eq!(&again, &name);
            prop_assert!(found.next().is_none());
        }

        #[test]
        fn whatever_fits_by_trying_everything_fits(pattern in "[ab*?]{1,6}", name in "[ab]{0,7}") {
            fn fits(p: &[char], n: &[char]) -> bool {
                match (p.split_first(), n.split_first()) {
                    (None, rest) => rest.is_none(),
                    (Some(('*', p)), _) => (0..=n.len()).any(|k| fits(p, &n[k..])),
                    (Some(('?', p)), Some((_, n))) => fits(p, n),
                    (Some((c, p)), Some((d, n))) => c == d && fits(p, n),
                    (Some(_), None) => false,
                }
            }
            let Some(glob) = Glob::new(&pattern) else { return Ok(()) };
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(glob.matches(&name), fits(&p, &n));
        }
    }
}
