//! `specializations.json` and `custom_io.yaml` as the Cloud AI compiler reads them.

use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value, json};

use super::quote::yaml_scalar;
use super::{ArtifactError, IoEntry, Precision, Specialization, positive};

/// The two spellings of `specializations.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    /// Each entry is `{"name": …, "symbols": {…}}`: current compilers.
    #[default]
    Named,
    /// Each entry is its symbols alone: older compilers.
    Flat,
}

/// The name of each entry: the user's, else the one that its symbols suggest; a name that occurs more than once
/// is numbered (`Prefill_0`, `Prefill_1`), so that all are different.
pub fn entry_names(entries: &[Specialization]) -> Vec<String> {
    let wanted: Vec<String> =
        entries.iter().enumerate().map(|(index, entry)| wanted_name(index, entry)).collect();
    let mut count: IndexMap<&str, usize> = IndexMap::new();
    for name in &wanted {
        *count.entry(name).or_default() += 1;
    }
    // What occurs once keeps its name, so those names are taken before any number is given out.
    let mut taken: IndexSet<String> =
        count.iter().filter(|(_, n)| **n == 1).map(|(name, _)| (*name).to_owned()).collect();
    let mut next: IndexMap<&str, usize> = IndexMap::new();
    let mut names = Vec::with_capacity(wanted.len());
    for name in &wanted {
        if count.get(name.as_str()) == Some(&1) {
            names.push(name.clone());
            continue;
        }
        let number = next.entry(name).or_default();
        loop {
            let numbered = format!("{name}_{number}");
            *number += 1;
            if taken.insert(numbered.clone()) {
                names.push(numbered);
                break;
            }
        }
    }
    names
}

fn wanted_name(index: usize, entry: &Specialization) -> String {
    if let Some(name) = &entry.name {
        return name.clone();
    }
    match entry.symbols.get("seq_len") {
        Some(1) => "Decode".to_owned(),
        Some(_) => "Prefill".to_owned(),
        None if entry.symbols.contains_key("encoder_ctx_len") => "Encoder".to_owned(),
        None if entry.symbols.contains_key("sequence_length") => "Embedding".to_owned(),
        None => format!("Graph_{index}"),
    }
}

/// The text of `specializations.json`. Every value is a string there.
///
/// # Errors
/// A value is below 1.
pub fn specializations_json(entries: &[Specialization], spelling: Spelling) -> Result<String, ArtifactError> {
    let mut out = Vec::with_capacity(entries.len());
    for (entry, name) in entries.iter().zip(entry_names(entries)) {
        let mut symbols = Map::new();
        for (symbol, value) in &entry.symbols {
            symbols.insert(symbol.clone(), Value::String(positive(symbol, *value)?.to_string()));
        }
        out.push(match spelling {
            Spelling::Named => json!({"name": name, "symbols": symbols}),
            Spelling::Flat => Value::Object(symbols),
        });
    }
    Ok(format!("{:#}\n", json!({"specializations": out})))
}

/// The text of `custom_io.yaml`.
///
/// # Errors
/// An entry says nothing or only half of what the compiler needs, or a name occurs twice.
pub fn custom_io_yaml(entries: &[IoEntry]) -> Result<String, ArtifactError> {
    let mut seen: IndexSet<&str> = IndexSet::new();
    let mut blocks = Vec::with_capacity(entries.len());
    for entry in entries {
        check(entry)?;
        if !seen.insert(&entry.name) {
            return Err(ArtifactError::Twice { name: entry.name.clone() });
        }
        let mut block = format!(" - IOName: {}\n", yaml_scalar(&entry.name));
        let lines = [
            entry.precision.map(|precision| format!("   Precision: {precision}\n")),
            entry.layout.map(|layout| format!("   Layout: {layout}\n")),
            entry.scale.map(|scale| format!("   Scale: {}\n", plain_float(scale))),
            entry.offset.map(|offset| format!("   Offset: {offset}\n")),
        ];
        block.extend(lines.into_iter().flatten());
        blocks.push(block);
    }
    Ok(if blocks.is_empty() { "[]\n".to_owned() } else { blocks.join("\n") })
}

/// A float with a point or an exponent, as every reader of YAML knows it: `1.0e-7`, where `1e-7` is text to some.
fn plain_float(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => with_sign(&format!("{digits}.0"), exponent),
        Some((digits, exponent)) => with_sign(digits, exponent),
        None => text,
    }
}

fn with_sign(digits: &str, exponent: &str) -> String {
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{digits}e{sign}{exponent}")
}

fn check(entry: &IoEntry) -> Result<(), ArtifactError> {
    let refuse = |reason| Err(ArtifactError::Entry { name: entry.name.clone(), reason });
    let quantized = entry.precision == Some(Precision::Int8);
    if entry.name.is_empty() {
        return Err(ArtifactError::EmptyName { format: "custom_io.yaml" });
    }
    match (entry.scale, entry.offset) {
        _ if entry.precision.is_none() && entry.layout.is_none() => {
            refuse("says neither a precision nor a layout")
        }
        (Some(scale), _) if !(scale.is_finite() && scale > 0.0) => {
            refuse("has a scale that is not above zero")
        }
        (_, Some(offset)) if i8::try_from(offset).is_err() => refuse("has an offset that is no int8"),
        (Some(_), Some(_)) if quantized => Ok(()),
        (None, None) if !quantized => Ok(()),
        _ if quantized => refuse("is int8, which needs both a scale and an offset"),
        _ => refuse("has a scale or an offset, which only int8 takes"),
    }
}
