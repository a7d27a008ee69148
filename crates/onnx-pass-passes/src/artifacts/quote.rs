//! Names as YAML scalars and as arguments of a shell.

use std::fmt::Write;

/// A string as a YAML scalar: plain where every reader, of YAML 1.1 or 1.2, takes it for that very string, and
/// double-quoted elsewhere.
pub(super) fn yaml_scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { double_quoted(text) }
}

/// Far narrower than the grammar: what could be a number, a truth value, a date, a base-60 number or null to
/// some reader is not plain.
fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"];
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    starts
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            ' '..='~' => out.push(c),
            // Beyond ASCII, letters and digits are themselves; whatever else there is stays visible.
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let code = u32::from(c);
                // Writing to a string cannot fail.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// An argument as a POSIX shell, or `xargs`, reads it.
fn shell_word(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Arguments as a file: one on a line, quoted for the shell where it needs that.
///
/// Both `xargs -a FILE COMMAND` and `eval "COMMAND $(cat FILE)"` read it as these very arguments.
pub fn render_arguments(arguments: &[String]) -> String {
    arguments.iter().map(|argument| shell_word(argument) + "\n").collect()
}
