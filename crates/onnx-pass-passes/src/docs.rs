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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::pass::PassContext;
    use crate::registry;
    use crate::testing::{changes, model, run_in, show};

    /// Where weights are stored is settled on writing: their documentation shows files, not a model.
    const SHOW_FILES: &[&str] = &["embed", "externalize"];

    /// The contents of the fenced block of a language.
    fn block<'d>(doc: &'d str, language: &str) -> Option<&'d str> {
        let (_, rest) = doc.split_once(&format!("```{language}\n"))?;
        rest.split_once("```").map(|(block, _)| block)
    }

    /// The text before or after: the lines of a diff that stay, and those with the sign.
    fn side(diff: &str, sign: char) -> String {
        let of_it = |line: &&str| line.starts_with([' ', sign]) || line.is_empty();
        diff.lines().filter(of_it).map(|line| format!("{}\n", line.get(2..).unwrap_or_default())).collect()
    }

    /// Without the header that all examples have.
    fn body(text: &str) -> &str {
        text.split_once("\n>\n").map_or(text, |(_, body)| body)
    }

    #[test]
    fn every_example_is_what_the_pass_does() {
        for pass in registry::PASSES {
            let (name, doc) = (pass.name(), super::of_source(pass.source()));
            let example = doc.split("## Before → after").nth(1).and_then(|d| d.split("## Requires").next());
            let Some(diff) = block(example.unwrap_or_default(), "diff") else {
                assert!(SHOW_FILES.contains(&name), "{name} has no example as a diff");
                continue;
            };
            let example = example.unwrap_or_default();
            let options = block(example, "yaml").unwrap_or("{}");
            let options: Value = serde_yaml::from_str(options).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut m = model(&side(diff, '-'));
            let before = show(&m);
            let mut cx = PassContext::new();
            run_in(&mut m, &mut cx, name, options).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!cx.artifacts.is_empty() || before != show(&m), "{name}: nothing happens in its example");
            let now = changes(body(&before), body(&show(&m)));
            // Comments have no spaces at the ends of lines.
            assert!(
                now.lines().map(str::trim_end).eq(diff.lines()),
                "the example of {name} should be:\n{now}"
            );
            if let Some(file) = block(example, "json") {
                let made: Vec<Value> =
                    cx.artifacts.iter().filter_map(|a| serde_json::from_str(&a.text).ok()).collect();
                let told: Value = serde_json::from_str(file).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(made.contains(&told), "the file of {name} should be:\n{made:#?}");
            }
        }
    }
}
