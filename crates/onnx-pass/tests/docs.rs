//! The documentation in `docs/` is what the program says of itself.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

use onnx_pass_passes::docs;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/passes")
}

#[test]
fn the_pages_of_the_passes_are_those_of_the_registry() -> Result<(), Box<dyn Error>> {
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(folder())? {
        there.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let pages = onnx_pass::cli::pages(&onnx_pass::passes(&[]));
    for (name, text) in &pages {
        let page = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(page == *text, "{name} is old: run `cargo run -- passes --markdown docs/passes`");
        there.remove(name);
    }
    assert!(there.is_empty(), "no pass has the pages {there:?}: remove them");
    Ok(())
}

#[test]
fn every_pass_has_the_fixed_headings_in_order_and_its_options() {
    for pass in onnx_pass::passes(&[]) {
        let (name, doc) = (pass.name(), docs::of_source(pass.source()));
        let headings: Vec<&str> = doc.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, docs::HEADINGS, "the headings of {name}");
        let first = docs::first_line(pass.source());
        assert!(first.ends_with('.') && first.len() < 120, "{name} begins with a sentence: {first:?}");
        let options = doc.split("## Options").nth(1).and_then(|rest| rest.split("## Refuses").next());
        let options = options.unwrap_or_default();
        for option in pass.options() {
            // Alone, or with one of its values: `keep`, `present: keep`.
            let told = [format!("`{}`", option.name), format!("`{}: ", option.name)];
            assert!(told.iter().any(|told| options.contains(told)), "{name} does not tell of {}", told[0]);
        }
        if pass.options().is_empty() {
            assert_eq!(options.trim(), "None.", "the options of {name}");
        }
        let kebab = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(kebab && !doc.trim().is_empty(), "{name}");
    }
}

#[test]
fn every_dependency_is_explained() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let page = std::fs::read_to_string(root.join("docs/dependencies.md"))?;
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let lines = table.lines().skip(1).take_while(|line| !line.starts_with('['));
    let told: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    for name in lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim()) {
        let ours = name.starts_with("onnx-pass");
        let quoted = format!("`{name}`");
        assert!(ours || told.iter().any(|cell| cell.contains(&quoted)), "docs/dependencies.md: no `{name}`");
    }
    Ok(())
}
