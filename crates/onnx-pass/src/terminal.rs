//! Text for a terminal: names made harmless, tables.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

/// `text` with every character that would steer a terminal or deceive its reader made visible: control
/// characters (and with them every escape sequence), marks that turn the direction of writing, characters
/// without a width, line and paragraph separators.
///
/// Names in a model are data that anyone may have written. A backslash stays as it is, so this is for reading,
/// not for getting the name back.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table without lines: columns two blanks apart, as wide as what they hold.
///
/// Cells are escaped as they come in. A row with fewer cells than columns ends early; cells beyond the last
/// column are dropped.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Align>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns. Titles that are all empty are not printed.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let (header, columns) =
            columns.into_iter().map(|(title, align)| (escape(title).into_owned(), align)).unzip();
        Self { columns, header, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let cells = cells.into_iter().take(self.columns.len());
        self.rows.push(cells.map(|cell| escape(cell.as_ref()).into_owned()).collect());
        self
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, each line ended.
    pub fn render(&self) -> String {
        let with_header = self.header.iter().any(|title| !title.is_empty());
        let lines = with_header.then_some(&self.header).into_iter().chain(&self.rows);
        let mut widths = vec![0; self.columns.len()];
        for line in lines.clone() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.width());
            }
        }
        let mut out = String::new();
        for line in lines {
            let mut text = String::new();
            for ((cell, align), width) in line.iter().zip(&self.columns).zip(&widths) {
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                match align {
                    Align::Left => text.extend([cell.as_str(), &blanks, "  "]),
                    Align::Right => text.extend([&blanks, cell.as_str(), "  "]),
                }
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_steer_a_terminal_are_made_visible() {
        assert_eq!(escape("past_key.0"), "past_key.0");
        assert_eq!(escape("größe 深さ"), "größe 深さ");
        assert_eq!(escape("\u{1b}[2Jgone\u{7}"), "\\u{1b}[2Jgone\\u{7}");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escape("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
        assert_eq!(escape("two\nlines\r\t"), "two\\nlines\\r\\t");
        assert_eq!(escape("a\u{200b}b\u{e0041}"), "a\\u{200b}b\\u{e0041}");
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::new([("pass", Align::Left), ("nodes", Align::Right), ("note", Align::Left)]);
        table.row(["eliminate-kv-cache", "-118", "4 caches"]);
        table.row(["深さ", "0", ""]);
        table.row(["bad\u{1b}[31m", "12"]);
        insta::assert_snapshot!(table.render());
    }

    #[test]
    fn a_table_without_titles_has_no_header() {
        let mut table = Table::new([("", Align::Left), ("", Align::Right)]);
        assert!(table.is_empty() && table.render().is_empty());
        table.row(["a", "1", "dropped"]);
        assert_eq!(table.render(), "a  1\n");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_comes_through(text in ".*") {
            let escaped = escape(&text);
            prop_assert!(!escaped.chars().any(is_unsafe));
            prop_assert_eq!(escape(&escaped), escaped.clone());
        }

        #[test]
        fn a_row_is_a_line(cells in prop::collection::vec(".{0,6}", 0..4)) {
            let mut table = Table::new([("a", Align::Left), ("b", Align::Right)]);
            table.row(&cells);
            prop_assert_eq!(table.render().lines().count(), 2);
        }
    }
}
