//! Names by pattern: `*` for any run of characters, `?` for one.

/// Whether a name fits a pattern. Linear in the name's length for each `*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < n.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == '?' || *c == n[j] => {
                i += 1;
                j += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (i, j) = (at + 1, from + 1);
            }
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        assert!(matches("past_key.*", "past_key.12"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "axxbyyc"));
        assert!(matches("past.?.key", "past.1.key"));
        assert!(!matches("past.?.key", "past.11.key"));
        assert!(!matches("past", "past_key"));
        assert!(!matches("a*b", "ac"));
    }
}
