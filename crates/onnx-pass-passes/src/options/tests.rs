use serde_json::json;

use super::*;

const ENTRY: &[OptionSpec] = &[
    OptionSpec::optional("name", OptionKind::String, "chosen from the symbols", "The name of the graph."),
    OptionSpec::required(
        "symbols",
        OptionKind::Map(&OptionKind::Late(&OptionKind::AnyOf(&[
            OptionKind::IntAtLeast(1),
            OptionKind::List(&OptionKind::Late(&OptionKind::IntAtLeast(1))),
        ]))),
        "The value of each symbol.",
    ),
];

const SPECS: &[OptionSpec] = &[
    OptionSpec::optional("keep", OptionKind::StringList, "none", "The axes to keep."),
    OptionSpec::optional("bind", OptionKind::Map(&OptionKind::Int), "none", "The axes to bind."),
    OptionSpec::optional("drop-unused-inputs", OptionKind::Bool, "`false`", "Whether unused inputs go."),
    OptionSpec::optional("threshold", OptionKind::Float, "0.5", "A bound."),
    OptionSpec::required("target", OptionKind::OneOf(&["cloud-ai", "onnxruntime"]), "What to write for."),
    OptionSpec::optional(
        "entries",
        OptionKind::List(&OptionKind::Object(ENTRY)),
        "one entry",
        "The specializations.",
    ),
    OptionSpec::optional("extra", OptionKind::Any, "nothing", "Whatever."),
];

const PASSES: &[PassSpec] = &[
    PassSpec { name: "specialize", summary: "Writes specializations.", options: SPECS },
    PassSpec { name: "eliminate-dead-code", summary: "Removes what nothing reads.", options: &[] },
];

#[test]
fn what_fits_passes() {
    let options = json!({
        "keep": ["seq_len"], "bind": {"batch": 1}, "drop-unused-inputs": true, "threshold": 1,
        "target": "cloud-ai", "extra": [null, {}],
        "entries": [{"symbols": {"seq_len": [1, 128], "total": "${seq_len * 2}"}}, {"name": "x", "symbols": {}}],
    });
    assert_eq!(check(&options, SPECS), Ok(()));
    assert_eq!(check(&Value::Null, &[]), Ok(()));
}

#[test]
fn every_misfit_says_where_and_what() {
    let with = |extra: Value| {
        let mut options = json!({"target": "cloud-ai"});
        if let (Some(options), Some(extra)) = (options.as_object_mut(), extra.as_object()) {
            options.extend(extra.clone());
        }
        options
    };
    let cases = [
        json!(3),
        json!({}),
        with(json!({"kep": []})),
        with(json!({"keep": "seq_len"})),
        with(json!({"keep": ["a", 3]})),
        with(json!({"bind": {"batch": "1"}})),
        with(json!({"bind": {"batch": 1.5}})),
        with(json!({"bind": ["batch"]})),
        with(json!({"drop-unused-inputs": "yes"})),
        with(json!({"threshold": null})),
        with(json!({"target": "cloud_ai"})),
        with(json!({"target": 3})),
        with(json!({"entries": [{"name": "Prefill"}]})),
        with(json!({"entries": [{"symbols": {"seq_len": 0}}]})),
        with(json!({"entries": [{"symbols": {"seq_len": [1, -2]}}]})),
        with(json!({"entries": [{"symbols": {"seq_len": "many"}}]})),
        with(json!({"entries": [{"nam": 1, "symbols": {}}]})),
    ];
    let errors: Vec<String> = cases
        .iter()
        .map(|case| match check(case, SPECS) {
            Ok(()) => format!("{case}\n  fits"),
            Err(error) => format!("{case}\n  {:?}: {error}", error.place),
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn lateness_is_found_by_path() {
    let late = |path: &[&str]| is_late(SPECS, &path.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    assert!(late(&["entries", "0", "symbols", "total"]));
    assert!(late(&["entries", "0", "symbols", "seq_len", "1"]));
    assert!(!late(&["entries", "0", "name"]));
    assert!(!late(&["bind", "batch"]));
    assert!(!late(&[]));
}

#[test]
fn the_schema_of_a_pipeline() {
    insta::assert_snapshot!(format!("{:#}", json_schema(PASSES)));
}
