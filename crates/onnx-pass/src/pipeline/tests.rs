use onnx_pass_passes::options::{OptionKind, OptionSpec};
use proptest::prelude::*;
use serde_json::json;

use onnx_pass_passes::options::PassSpec;

use super::*;

const ENTRY: &[OptionSpec] = &[
    OptionSpec::optional("name", OptionKind::String, "chosen", "The name."),
    OptionSpec::required(
        "symbols",
        OptionKind::Map(&OptionKind::Late(&OptionKind::AnyOf(&[
            OptionKind::IntAtLeast(1),
            OptionKind::List(&OptionKind::Late(&OptionKind::IntAtLeast(1))),
        ]))),
        "The symbols.",
    ),
];

const PRUNE: &[OptionSpec] = &[
    OptionSpec::optional("keep", OptionKind::StringList, "none", "Axes that stay."),
    OptionSpec::optional("bind", OptionKind::Map(&OptionKind::Int), "none", "Axes with their lengths."),
    OptionSpec::optional("drop-unused-inputs", OptionKind::Bool, "false", "Whether unused inputs go."),
];

const PASSES: &[PassSpec] = &[
    PassSpec { name: "prune-dynamic-axes", summary: "", options: PRUNE },
    PassSpec {
        name: "generate-specializations",
        summary: "",
        options: &[OptionSpec::required(
            "entries",
            OptionKind::List(&OptionKind::Object(ENTRY)),
            "The entries.",
        )],
    },
    PassSpec { name: "eliminate-dead-code", summary: "", options: &[] },
];

fn resolve(text: &str, sets: &[&str]) -> Result<Resolved, PipelineError> {
    let overrides = sets.iter().map(|set| Override::parse(set)).collect::<Result<Vec<_>, _>>()?;
    Pipeline::parse("p.yaml", text)?.resolve(&overrides, PASSES)
}

fn options(text: &str, sets: &[&str]) -> Vec<Value> {
    match resolve(text, sets) {
        Ok(resolved) => resolved.steps.into_iter().map(|step| step.options).collect(),
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// The error, with a mark under its place in the text.
fn refused(text: &str, sets: &[&str]) -> String {
    let error = match resolve(text, sets) {
        Ok(resolved) => panic!("{text}\ngave {resolved:?}"),
        Err(error) => error,
    };
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    let line =
        error.position.and_then(|position| Some((text.lines().nth(position.line - 1)?, position.column)));
    let shown = line.map(|(line, column)| format!("  {line}\n  {}^\n", " ".repeat(column - 1)));
    format!("{}{error}\n", shown.unwrap_or_default())
}

const RERANKER: &str = r#"version: 1
name: reranker
vars: {batch_size: 1, seq_len: 128, time: 1, height: 354, width: 536, patch: 16}
steps:
  - pass: prune-dynamic-axes
    with:
      keep: [seq_len]
      bind:
        batch_size: "${batch_size}"
        time: "${time}"
        grid_h: "${round(height / (2 * patch)) * 2}"       # 22
        grid_w: "${round(width / (2 * patch)) * 2}"        # 34
        grid_height: "${grid_h * grid_w * time * batch_size}"
        grid_width: "${patch * patch * 2 * 3}"
      drop-unused-inputs: true
  - pass: eliminate-dead-code
  - pass: generate-specializations
    with:
      entries: [{name: Prefill, symbols: {seq_len: "${seq_len}"}}]
"#;

#[test]
fn the_reranker_pipeline() {
    let grid = |sets: &[&str]| options(RERANKER, sets).first().and_then(|with| with.get("bind")).cloned();
    assert_eq!(
        grid(&[]),
        Some(json!({
            "batch_size": 1, "time": 1, "grid_h": 22, "grid_w": 34, "grid_height": 748, "grid_width": 1536
        }))
    );
    assert_eq!(
        grid(&["height=320", "width=640", "batch_size=2"]),
        Some(json!({
            "batch_size": 2, "time": 1, "grid_h": 20, "grid_w": 40, "grid_height": 1600, "grid_width": 1536
        }))
    );
    let rest = options(RERANKER, &["seq_len=256"]);
    assert_eq!(
        rest.get(1..),
        Some(&[json!({}), json!({"entries": [{"name": "Prefill", "symbols": {"seq_len": 256}}]})][..])
    );
}

#[test]
fn positions_and_names_are_kept() -> Result<(), PipelineError> {
    let pipeline = Pipeline::parse("dir/p.yaml", RERANKER)?;
    let positions: Vec<_> = (0..3).map(|step| pipeline.step_position(step)).collect();
    let at = |line, column| Some(Position { line, column });
    assert_eq!(positions, [at(5, 11), at(16, 11), at(17, 11)]);
    assert_eq!(pipeline.name, "reranker");
    assert_eq!(Pipeline::parse("dir/clean-up.yaml", "version: 1\nsteps: []")?.name, "clean-up");
    Ok(())
}

#[test]
fn keys_before_win_over_variables_and_keys_after_do_not_exist() {
    let text = |bind: &str| {
        format!(
            "version: 1\nvars: {{a: 7}}\nsteps:\n  - pass: prune-dynamic-axes\n    with: {{bind: {bind}}}"
        )
    };
    let bind = |bind: &str| options(&text(bind), &[]).first().and_then(|with| with.get("bind")).cloned();
    assert_eq!(bind(r#"{b: "${a}", a: 1, c: "${a}"}"#), Some(json!({"b": 7, "a": 1, "c": 1})));
    assert_eq!(bind(r#"{a: "${a + 1}"}"#), Some(json!({"a": 8})));
}

#[test]
fn what_a_pass_computes_itself_stays_with_the_variables_in_it() {
    let text = r#"version: 1
vars: {batch: 2, seq_len: 9}
steps:
  - pass: generate-specializations
    with:
      entries:
        - symbols: {seq_len: [1, "${batch * 64}"], ctx_len: 256, a: "${seq_len * batch}", b: "${ctx_len + batch}"}
"#;
    let symbols = json!({"seq_len": [1, 128], "ctx_len": 256, "a": "${seq_len * (2)}", "b": 258});
    assert_eq!(options(text, &[]), [json!({"entries": [{"symbols": symbols}]})]);
}

#[test]
fn variables_may_use_earlier_ones_and_be_set() {
    let text = r#"version: 1
vars: {seq_len: null, twice: "${seq_len * 2}", axis: batch, axes: [a, "${axis}"]}
steps:
  - {pass: prune-dynamic-axes, with: {keep: "${axes}", bind: {x: "${twice}"}}}
"#;
    let with = |sets: &[&str]| options(text, sets).first().cloned();
    assert_eq!(with(&["seq_len=4"]), Some(json!({"keep": ["a", "batch"], "bind": {"x": 8}})));
    assert_eq!(
        with(&["seq_len=4", "seq_len=5", "axes=[b]"]),
        Some(json!({"keep": ["b"], "bind": {"x": 10}}))
    );
}

#[test]
fn an_override_is_a_yaml_value() {
    let value = |text: &str| Override::parse(text).map(|set| set.value).map_err(|error| error.to_string());
    assert_eq!(value("a=1"), Ok(json!(1)));
    assert_eq!(value("a=1.5"), Ok(json!(1.5)));
    assert_eq!(value("a=true"), Ok(json!(true)));
    assert_eq!(value("a=float16"), Ok(json!("float16")));
    assert_eq!(value("a='1'"), Ok(json!("1")));
    assert_eq!(value("a=[1, 128]"), Ok(json!([1, 128])));
    assert_eq!(value("a=x=y"), Ok(json!("x=y")));
    let errors = ["a", "=1", "a=", "a={b: 1}", "a=[[1]]", "a=~", "a-b=1", "a=[1", "a=.nan", "a=@x"];
    let errors =
        errors.map(|text| value(text).map_or_else(|error| error, |value| format!("{text} gave {value}")));
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn an_override_without_a_variable_is_refused() {
    let text = "version: 1\nvars: {seq_len: 1}\nsteps: []";
    let errors =
        [refused(text, &["seqlen=2"]), refused(text, &["x=2"]), refused("version: 1\nsteps: []", &["x=2"])];
    insta::assert_snapshot!(errors.concat());
}

/// The head of a pipeline, one step with `with` as its options.
fn with(options: &str) -> String {
    format!(
        "version: 1\nvars: {{height: 354, dtype: float16}}\nsteps:\n  - pass: prune-dynamic-axes\n    with: {options}\n"
    )
}

#[test]
fn every_wrong_document_says_where() {
    let texts = [
        "",
        "# nothing\n",
        "just text",
        "[1, 2]",
        "steps: []",
        "version: 1",
        "version: 2\nsteps: []\nmatrix: {}",
        "version: \"1\"\nsteps: []",
        "version: 1.0\nsteps: []",
        "version: 1\nstep: []",
        "version: 1\nsteps: []\nmatrix: 3",
        "version: 1\nname: 3\nsteps: []",
        "version: 1\nsteps:\n  pass: x",
        "version: 1\nsteps:\n  - eliminate-dead-code",
        "version: 1\nsteps:\n  - 3",
        "version: 1\nsteps:\n  - with: {}",
        "version: 1\nsteps:\n  - pass: eliminate-dead-code\n    wiht: {}",
        "version: 1\nsteps:\n  - pass: prune-dynamic-axes\n    keep: [a]",
        "version: 1\nsteps:\n  - pass: [a]",
        "version: 1\nsteps:\n  - pass: eliminate-dead-code\n    with: [a]",
        "version: 1\nsteps:\n  - pass: eliminate-dead-cod",
        "version: 1\nsteps:\n  - pass: quantize",
        "version: 1\nvars: [a]\nsteps: []",
        "version: 1\nvars: {seq-len: 1}\nsteps: []",
        "version: 1\nvars: {2d: 1}\nsteps: []",
        "version: 1\nvars:\n  a: {b: 1}\nsteps: []",
        "version: 1\nvars:\n  a: [[1]]\nsteps: []",
        "version: 1\nvars:\n  seq_len:\nsteps: []",
        "version: 1\nvars: {a: \"${b}\", b: 1}\nsteps: []",
        "version: 1\nversion: 1\nsteps: []",
        "version: 1\nsteps:\n  - pass: x\n    pass: y",
        "version: 1\nsteps: [",
        "version: 1\nsteps:\n  - pass: x\n   with: y",
        "version: 1\nsteps:\n\t- pass: x",
        "version: 1\n---\nversion: 1",
        "# one\n---\nversion: 1\n--- # two",
        "version: 1\nname: \"${a}\" b\nsteps: []",
        "version: 1\nsteps: !list []",
        "version: 1\nname: *who\nsteps: []",
        "version: 1\n? [a]\n: b\nsteps: []",
        "version: 1\nvars: {a: 99999999999999999999}\nsteps: []",
        "version: 1\nvars: {a: .inf}\nsteps: []",
        "version: 1\nvars: &v {a: 1}\nsteps:\n  - <<: *v",
    ];
    insta::assert_snapshot!(texts.map(|text| refused(text, &[])).join("\n"));
}

#[test]
fn every_wrong_option_says_where() {
    let texts = [
        "{kep: [a]}",
        "{keep: a}",
        "{keep: [a, 3]}",
        "{bind: {a: b}}",
        "{bind: {a: 1.5}}",
        "{drop-unused-inputs: 'yes'}",
        "{bind: {a: \"${heigth}\"}}",
        "{bind: {a: \"${seq_len}\"}}",
        "{bind: {a: '${1 + + }'}}",
        "{bind: {a: \"${height * dtype}\"}}",
        "{bind: {a: \"${height / 0}\"}}",
        "{bind: {a: \"${height / 4}\"}}",
        "{bind: {a: \"${b}\", b: 1}}",
        "{keep: [b], bind: {keep: \"${keep}\"}}",
        "{bind: {é: 1, a: \"${1 + é}\"}}",
        "{bind: {a: ${height}}}",
        "\n      keep: >-\n        ${height\n        + x}",
    ];
    let missing = "version: 1\nsteps:\n  - pass: generate-specializations\n";
    let nested = "version: 1\nsteps:\n  - pass: generate-specializations\n    with:\n      entries:\n        - name: a\n        - {symbols: {b: 0}}\n";
    let inner = nested.replace("- name: a", "- symbols: {}");
    let mut errors = texts.map(|text| refused(&with(text), &[])).to_vec();
    errors.extend([missing, nested, &inner].map(|text| refused(text, &[])));
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn an_error_of_a_running_pass_finds_its_place() -> Result<(), PipelineError> {
    let text = with("\n      bind:\n        a: 1\n        b: 2");
    let pipeline = Pipeline::parse("p.yaml", &text)?;
    let error = |path: &[&str]| {
        pipeline.option_error(0, &OptionError::new(path.iter().copied(), "no such axis")).to_string()
    };
    assert_eq!(error(&["bind", "b"]), "p.yaml:8:12: `bind.b`: no such axis");
    assert_eq!(error(&["bind", "gone"]), "p.yaml:7:9: `bind.gone`: no such axis");
    assert_eq!(error(&[]), "p.yaml:6:7: no such axis");
    let at_key = OptionError::new(["bind", "b"], "no\nsuch\u{1b}axis").at_key().suggest("use `a`");
    assert_eq!(pipeline.option_error(0, &at_key).to_string(), "p.yaml:8:9: no\\nsuch\\u{1b}axis; use `a`");
    Ok(())
}

#[test]
fn a_dot_in_a_name_is_told_from_one_between_names() -> Result<(), PipelineError> {
    let text = with("\n      keep: [a, b]\n      bind:\n        past: 1\n        past.0: 2");
    let pipeline = Pipeline::parse("p.yaml", &text)?;
    let error = |option: &str| pipeline.dotted_option_error(0, option, "no").to_string();
    assert_eq!(error("bind.past.0"), "p.yaml:9:17: `bind.past.0`: no");
    assert_eq!(error("bind.past"), "p.yaml:8:15: `bind.past`: no");
    assert_eq!(error("bind.past.1"), "p.yaml:8:15: `bind.past.1`: no");
    assert_eq!(error("keep.1"), "p.yaml:6:17: `keep.1`: no");
    assert_eq!(error("keep.9"), "p.yaml:6:13: `keep.9`: no");
    assert_eq!(error("gone"), "p.yaml:6:7: `gone`: no");
    Ok(())
}

#[test]
fn files_that_are_no_pipeline() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let error = |path: &Path| match Pipeline::read(path) {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), "DIR"),
    };
    let path = folder.path().join("a.yaml");
    assert_eq!(error(&path), "DIR/a.yaml: cannot read the pipeline: No such file or directory (os error 2)");
    std::fs::write(&path, b"version: 1\nname: \xff")?;
    assert_eq!(error(&path), "DIR/a.yaml:2:7: not UTF-8");
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1])?;
    assert_eq!(error(&path), "DIR/a.yaml: a pipeline has at most 1048576 bytes");
    std::fs::write(&path, RERANKER)?;
    assert_eq!(error(&path), "read");
    assert!(error(folder.path()).starts_with("DIR: cannot read the pipeline: "));
    Ok(())
}

#[test]
fn aliases_work_and_cannot_explode() {
    let shared = "version: 1\nvars: {a: &n 3, b: *n}\nsteps:\n  - {pass: prune-dynamic-axes, with: {bind: {x: \"${b}\"}}}";
    assert_eq!(options(shared, &[]), [json!({"bind": {"x": 3}})]);
    let mut bomb = String::from("version: 1\nsteps: []\nvars:\n  a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("  a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(refused(&bomb, &[]).contains("p.yaml"));
    let deep = format!("version: 1\nsteps: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(refused(&deep, &[]).contains("nested too deeply"));
}

#[test]
fn names_of_tensors_may_look_like_numbers() {
    let text = with("{bind: {0: 1, null: 2, true: 3, 1.50: 4}}");
    assert_eq!(options(&text, &[]), [json!({"bind": {"0": 1, "null": 2, "true": 3, "1.50": 4}})]);
}

/// Text that is often YAML, and often nearly a pipeline.
fn documents() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "version: 1\n",
        "steps:\n",
        "steps: []\n",
        "vars:\n",
        "name: x\n",
        "  - pass: ",
        "prune-dynamic-axes\n",
        "    with:\n",
        "      bind: {",
        "a: 1",
        "}\n",
        "\"${",
        "a",
        "}\"",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&x ",
        "*x",
        "!t ",
        "? ",
        ": ",
        "- ",
        "| \n",
        "> \n",
        "'",
        "\"",
        "\n",
        "  ",
        "\t",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "<<: ",
        "é",
        "\u{feff}",
        "0x1f",
        "1e5",
        "~",
        "@",
        "`",
        "\u{0}",
        "\\",
    ]);
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

fn survives(text: &str) {
    let pipeline = match Pipeline::parse("p.yaml", text) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            return;
        }
    };
    if let Err(error) = pipeline.resolve(&[], PASSES) {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_a_pipeline_or_an_error(text in "(?s).{0,60}") {
        survives(&text);
    }

    #[test]
    fn nearly_any_pipeline_is_one_or_an_error(text in documents()) {
        survives(&text);
    }

    #[test]
    fn a_broken_pipeline_is_an_error_with_a_place(at in 0..RERANKER.len(), by in documents()) {
        let mut text = RERANKER.to_owned();
        text.insert_str(at, &by);
        survives(&text);
        survives(RERANKER.get(..at).unwrap_or_default());
    }

    #[test]
    fn any_override_is_a_value_or_an_error(text in "(?s).{0,20}", name in "[a-z=]{0,4}") {
        let _ = Override::parse(&text);
        let _ = Override::parse(&format!("{name}={text}"));
    }
}
