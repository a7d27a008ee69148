//! The passes' documentation: the leading `//!` lines of each pass's file, under fixed headings.

/// The headings that every pass's documentation has, in this order.
pub const HEADINGS: &[&str] =
    &["What it does", "Before → after", "Requires", "Guarantees", "Options", "Refuses"];

/// The documentation in a source file: its leading `//!` lines, as Markdown.
pub fn of_source(source: &str) -> String {
    let lines = source.lines().take_while(|l| l.starts_with("//!"));
    let text: Vec<&str> =
        lines.map(|l| l.strip_prefix("//! ").or(l.strip_prefix("//!")).unwrap_or(l)).collect();
    text.join("\n").trim().to_string() + "\n"
}

/// The first sentence of a documentation.
pub fn summary(doc: &str) -> String {
    let first: Vec<&str> = doc.lines().take_while(|l| !l.trim().is_empty()).collect();
    first.join(" ").trim_start_matches("# ").to_string()
}

/// The first line of the documentation in a source file, which is a sentence of its own.
pub fn first_line(source: &'static str) -> &'static str {
    let first = source.lines().next().unwrap_or_default();
    first.strip_prefix("//!").unwrap_or_default().trim()
}
