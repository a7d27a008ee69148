//! Says which inputs and outputs have another type at the device's border than in the graph.
//!
//! ## What it does
//! Records a precision, a layout, and for `int8` a scale and an offset, for inputs and outputs by name or
//! pattern, and writes them for the compiler: `custom_io.yaml` for Cloud AI, or types in `qnn_config.yaml`. A
//! retained state has two ends, the input `X` and the output `X_RetainedState`: naming one means both.
//!
//! With `apply: true` the change is made in the graph itself, so that any runtime takes it: the input is declared
//! with the new type, and a `Cast` behind it gives the graph the type that it had; an output gets a `Cast` before
//! it. No entry is written then, as the border is what the graph says.
//!
//! ## Before → after
//! With
//! ```yaml
//! precision: {x: float16}
//! apply: true
//! ```
//! ```diff
//!   agraph (
//! -   float[N] x
//! +   float16[N] x
//!   ) => (
//!     float[N] y
//! - ) {
//! -   y = Abs (x)
//! + ) <
//! +   float[N] x_float
//! + > {
//! +   x_float = Cast <to = 1> (x)
//! +   y = Abs (x_float)
//!   }
//! ```
//!
//! ## Requires
//! The element types of what is named are declared.
//!
//! ## Guarantees
//! Names and order of inputs and outputs stay. Without `apply` the model stays as it is; with it, the graph
//! computes what it computed on what its `Cast`s give it, each of which rounds as ONNX says.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `precision` | map of names or patterns (`*`, `?`) to `float`, `float16`, `bfloat16`, `int8`, `mxint8` | element types |
//! | `layout` | likewise to `NCHW`, `NHWC` | order of the axes of a tensor of rank 4 |
//! | `quantization` | likewise to `{scale, offset}` | what an `int8` stands for |
//! | `spellings` | list of `cloud-ai`, `qnn` | the files to write; `cloud-ai` when left out |
//! | `apply` | `true` or `false` | whether to change the graph; `false` when left out |
//!
//! ## Refuses
//! A name that is neither an input nor an output; two words for one; a precision for what is no floating-point
//! tensor; a layout for a rank other than 4; `int8` without a scale and an offset. With `apply`: what a `Cast`
//! cannot do (`int8`, `mxint8`, a layout), and an input that is itself an output.

use indexmap::{IndexMap, IndexSet};
use onnx_pass_ir::{Attribute, DataType, Def, Dim, Model, NewNode, Place, Type, TypeKind, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use crate::artifacts::{IoEntry, Layout, Precision};
use crate::deploy::{self, IoSpelling};
use crate::names;
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError, named};

/// The pass.
pub struct CustomIo;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    precision: IndexMap<String, String>,
    #[serde(default)]
    layout: IndexMap<String, String>,
    #[serde(default)]
    quantization: IndexMap<String, Quantization>,
    #[serde(default = "cloud_ai")]
    spellings: Vec<IoSpelling>,
    #[serde(default)]
    apply: bool,
}

fn cloud_ai() -> Vec<IoSpelling> {
    vec![IoSpelling::CloudAi]
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantization {
    scale: f64,
    offset: i64,
}

const QUANTIZATION: &[OptionSpec] = &[
    OptionSpec::required("scale", OptionKind::Float, "What one step is worth."),
    OptionSpec::required("offset", OptionKind::Int, "The `int8` that stands for zero."),
];

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "precision",
        OptionKind::Map(&OptionKind::OneOf(&["float", "float16", "bfloat16", "int8", "mxint8"])),
        "none",
        "Element types at the border, by name or pattern.",
    ),
    OptionSpec::optional(
        "layout",
        OptionKind::Map(&OptionKind::OneOf(&["NCHW", "NHWC"])),
        "none",
        "Orders of axes at the border, by name or pattern.",
    ),
    OptionSpec::optional(
        "quantization",
        OptionKind::Map(&OptionKind::Object(QUANTIZATION)),
        "none",
        "What an `int8` stands for, by name or pattern.",
    ),
    OptionSpec::optional(
        "spellings",
        OptionKind::List(&OptionKind::OneOf(IoSpelling::WORDS)),
        "`[cloud-ai]`",
        "The files to write.",
    ),
    OptionSpec::optional(
        "apply",
        OptionKind::Bool,
        "`false`",
        "Whether to make the change in the graph itself.",
    ),
];

impl Pass for CustomIo {
    fn name(&self) -> &'static str {
        "custom-io"
    }

    fn source(&self) -> &'static str {
        include_str!("custom_io.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn changes_interface(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let before = model.revision();
        let entries = entries(model, &options)?;
        for entry in entries.values() {
            let words = [entry.precision.map(|p| p.to_string()), entry.layout.map(|l| l.to_string())];
            cx.rows.push(vec![entry.name.clone(), words.into_iter().flatten().collect::<Vec<_>>().join(" ")]);
        }
        if options.apply {
            apply(model, cx, &entries)?;
        } else {
            record(model, cx, &options, entries)?;
        }
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

/// What each input and output is told, in the order of the model.
fn entries(m: &Model, options: &Options) -> Result<IndexMap<String, IoEntry>, PassError> {
    let mut entries: IndexMap<String, IoEntry> = IndexMap::new();
    let precision = spread(m, "precision", &options.precision)?;
    let layout = spread(m, "layout", &options.layout)?;
    let quantization = spread(m, "quantization", &options.quantization)?;
    for name in deploy::interface_names(m) {
        let (p, l, q) = (precision.get(name), layout.get(name), quantization.get(name));
        if p.is_none() && l.is_none() && q.is_none() {
            continue;
        }
        let word = |e: crate::artifacts::UnknownWord| PassError::option("precision", e.to_string());
        let entry = IoEntry {
            name: name.into(),
            precision: p.map(|p| p.parse::<Precision>()).transpose().map_err(word)?,
            layout: l.map(|l| l.parse::<Layout>()).transpose().map_err(word)?,
            scale: q.map(|q| q.scale),
            offset: q.map(|q| q.offset),
        };
        entries.insert(name.into(), entry);
    }
    let main = m.graph(m.main());
    let values = main.inputs().iter().copied().chain(main.outputs().iter().map(|o| o.value()));
    for v in values {
        if let Some(entry) = entries.get(m.name(v)) {
            check(m, v, entry)?;
        }
    }
    Ok(entries)
}

/// The word for each name: by the key of that very name, else by a pattern; both ends of a state alike.
fn spread<T: Clone + PartialEq>(
    m: &Model,
    option: &str,
    map: &IndexMap<String, T>,
) -> Result<IndexMap<String, T>, PassError> {
    if map.is_empty() {
        return Ok(IndexMap::new());
    }
    let names = deploy::interface_names(m);
    let known: FxHashSet<&str> = names.iter().copied().collect();
    // Of each end of a state, the others.
    let mut mates: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
    for pair in deploy::state_pairs(m).into_iter().filter(|pair| pair.agree) {
        let (input, output) = (m.name(pair.input), m.name(pair.output));
        mates.entry(input).or_default().push(output);
        mates.entry(output).or_default().push(input);
    }
    let mut out: IndexMap<String, (T, &str)> = IndexMap::new();
    for (key, word) in map {
        let mut found: IndexSet<&str> = match known.get(key.as_str()) {
            Some(name) => IndexSet::from([*name]),
            None => names::select(key, &names).into_iter().map(|k| names[k]).collect(),
        };
        if found.is_empty() {
            let reason = names::unknown(key, "input or output", "inputs and outputs", &names);
            return Err(PassError::option(format!("{option}.{key}"), reason));
        }
        let ends_with = |name: &str| mates.get(name).into_iter().flatten().copied();
        let mut at = 0;
        while let Some(name) = found.get_index(at).copied() {
            found.extend(ends_with(name));
            at += 1;
        }
        for name in found {
            // A key that is the name itself goes before a pattern that fits it too.
            let by_pattern = name != key;
            if by_pattern && map.contains_key(name) && !ends_with(key).any(|end| end == name) {
                continue;
            }
            if let Some((other, by)) = out.insert(name.into(), (word.clone(), key))
                && other != *word
            {
                let reason = format!("`{name}` would get one word by `{by}` and another by `{key}`");
                return Err(PassError::option(format!("{option}.{key}"), reason));
            }
        }
    }
    Ok(out.into_iter().map(|(name, (word, _))| (name, word)).collect())
}

fn check(m: &Model, v: ValueId, entry: &IoEntry) -> Result<(), PassError> {
    let refuse = |reason: String| Err(PassError::refused(named(m, v), reason));
    let ty = m.declared_type(v);
    let elem = ty.and_then(Type::elem);
    if let (Some(precision), Some(elem)) = (entry.precision, elem)
        && !elem.is_float()
    {
        return refuse(format!(
            "it is {elem}, and only a floating-point tensor can be {precision} at the border"
        ));
    }
    if entry.precision.is_some() && elem.is_none() {
        return refuse("it is declared without an element type, or is no tensor".into());
    }
    let rank = ty.and_then(Type::dims).map(<[Dim]>::len);
    if let (Some(layout), Some(rank)) = (entry.layout, rank.filter(|rank| *rank != 4)) {
        return refuse(format!("it has {rank} axes, and {layout} is an order of 4"));
    }
    let quantized = entry.precision == Some(Precision::Int8);
    if quantized != (entry.scale.is_some() && entry.offset.is_some()) {
        return refuse("`int8` and a scale and an offset under `quantization` go together".into());
    }
    Ok(())
}

fn record(
    m: &Model,
    cx: &mut PassContext,
    options: &Options,
    entries: IndexMap<String, IoEntry>,
) -> Result<(), PassError> {
    cx.count("custom inputs and outputs", entries.len() as u64);
    for (name, entry) in entries {
        let old = cx.deployment.io.insert(name.clone(), entry.clone());
        if old.is_some_and(|old| old != entry) {
            cx.warn(format!("`{name}`"), "what an earlier step said of it gives way to this");
        }
    }
    for spelling in &options.spellings {
        if !cx.deployment.spellings.contains(spelling) {
            cx.deployment.spellings.push(*spelling);
        }
    }
    deploy::update(m, cx)
}

fn apply(m: &mut Model, cx: &mut PassContext, entries: &IndexMap<String, IoEntry>) -> Result<(), PassError> {
    let main = m.main();
    let inputs = m.graph(main).inputs().to_vec();
    for v in inputs {
        if let Some(entry) = entries.get(m.name(v)) {
            let to = applicable(m, v, entry)?;
            apply_to_input(m, cx, v, to)?;
        }
    }
    for at in 0..m.graph(main).outputs().len() {
        let v = m.graph(main).outputs()[at].value();
        if let Some(entry) = entries.get(m.name(v)) {
            let to = applicable(m, v, entry)?;
            apply_to_output(m, cx, at, to)?;
        }
    }
    Ok(())
}

/// The type to cast to or from.
fn applicable(m: &Model, v: ValueId, entry: &IoEntry) -> Result<DataType, PassError> {
    let way_out = "leave `apply` out, and the compiler is told";
    let refuse = |what: String| Err(PassError::refused_with(named(m, v), what, way_out));
    let opset = m.opset(m.main(), "").unwrap_or(0);
    let least = if entry.precision == Some(Precision::BFloat16) { 13 } else { 6 };
    if opset < least {
        return refuse(format!("the model is of opset {opset}, and the cast needs opset {least}"));
    }
    match entry.precision {
        _ if entry.layout.is_some() => refuse("a layout cannot be applied by a cast".into()),
        Some(Precision::Float) => Ok(DataType::FLOAT),
        Some(Precision::Float16) => Ok(DataType::FLOAT16),
        Some(Precision::BFloat16) => Ok(DataType::BFLOAT16),
        Some(p) => refuse(format!("{p} cannot be applied by a cast")),
        None => refuse("there is nothing to apply".into()),
    }
}

/// The declared type with another element type.
fn with_elem(m: &Model, v: ValueId, elem: DataType) -> Result<(Type, DataType), PassError> {
    let mut ty = m.declared_type(v).cloned();
    match ty.as_mut().map(|t| &mut t.kind) {
        Some(TypeKind::Tensor(t)) => {
            let old = std::mem::replace(&mut t.elem, elem);
            ty.map(|ty| (ty, old)).ok_or_else(|| PassError::refused(named(m, v), "it has no type"))
        }
        _ => Err(PassError::refused(named(m, v), "it is no dense tensor")),
    }
}

fn cast(v: ValueId, to: DataType, output: &str) -> NewNode {
    NewNode::new("Cast", &[v], output).attr(Attribute::int("to", i64::from(to.0)))
}

fn apply_to_input(m: &mut Model, cx: &mut PassContext, v: ValueId, to: DataType) -> Result<(), PassError> {
    let (ty, old) = with_elem(m, v, to)?;
    if old == to {
        return Ok(());
    }
    if m.value(v).initializer().is_some() {
        return Err(PassError::refused(named(m, v), "it has a default, which is of the graph's type"));
    }
    if m.value(v).is_graph_output() {
        return Err(PassError::refused(
            named(m, v),
            "it is an input and an output in one, so its type cannot change alone",
        ));
    }
    let name = format!("{}_{old}", m.name(v));
    let node = m.add_node(Place::Start(m.main()), cast(v, old, &name));
    let Some(inner) = m.node(node).output(0) else { return Ok(()) };
    m.replace_uses(v, inner);
    m.set_input(node, 0, Some(v));
    if let Some(declared) = m.declared_type(v).cloned() {
        m.set_type(inner, declared);
    }
    m.set_type(v, ty);
    cx.count("casts added", 1);
    Ok(())
}

fn apply_to_output(m: &mut Model, cx: &mut PassContext, at: usize, to: DataType) -> Result<(), PassError> {
    let main = m.main();
    let v = m.graph(main).outputs()[at].value();
    let (ty, old) = with_elem(m, v, to)?;
    if old == to {
        return Ok(());
    }
    if m.value(v).def() == Def::Input {
        return Err(PassError::refused(
            named(m, v),
            "it is an input and an output in one, so its type cannot change alone",
        ));
    }
    let name = m.name(v).to_string();
    let declared = m.declared_type(v).cloned();
    let inner = m.fresh_name(&format!("{name}_{old}"));
    m.rename_value(v, &inner)?;
    let node = m.add_node(Place::End(main), cast(v, to, &name));
    let Some(outer) = m.node(node).output(0) else { return Ok(()) };
    m.replace_outputs(main, v, outer);
    m.rename_value(outer, &name)?;
    if let Some(declared) = declared {
        m.set_type(v, declared);
    }
    m.set_type(outer, ty);
    cx.count("casts added", 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use crate::testing::{after, refusal};

    const TEXT: &str = "agraph (float[N, 4] pixels, float[B, 8] past, int64[N] ids)
          => (float[N, 4] y, float[b, 8] past_RetainedState, float[d, 64] pixels_RetainedState) {
          y = Abs (pixels)
          past_RetainedState = Neg (past)
          pixels_RetainedState = Gather (pixels, ids)
        }";

    #[test]
    fn a_state_has_two_ends_and_a_mere_name_has_not() {
        let options = json!({"precision": {"pix*s": "float16", "past": "int8"},
                             "quantization": {"past_RetainedState": {"scale": 0.5, "offset": -3}}});
        assert_snapshot!(after(TEXT, "custom-io", options));
    }

    #[test]
    fn applied_in_the_graph() {
        let options =
            json!({"precision": {"pixels": "float16", "y": "bfloat16", "past": "float"}, "apply": true});
        assert_snapshot!(after(TEXT, "custom-io", options));
    }

    #[test]
    fn the_qnn_spelling_waits_for_shapes() {
        let options = json!({"precision": {"pixels": "float16"}, "spellings": ["qnn"]});
        assert_snapshot!(after(TEXT, "custom-io", options.clone()));
        let fixed = "agraph (float[1, 4] pixels) => (float[1, 4] y) {\n y = Abs (pixels)\n}";
        assert_snapshot!(after(fixed, "custom-io", options));
    }

    #[test]
    fn refusals() {
        let all = [
            json!({"precision": {"pixel": "float16"}}),
            json!({"precision": {"q_*": "float16"}}),
            json!({"precision": {"ids": "float16"}}),
            json!({"precision": {"past": "float16", "past_RetainedState": "float"}}),
            json!({"precision": {"p*": "float16", "*s": "float"}}),
            json!({"precision": {"past": "int8"}}),
            json!({"quantization": {"past": {"scale": 0.5, "offset": 0}}}),
            json!({"layout": {"pixels": "NHWC"}}),
            json!({"precision": {"past": "mxint8"}, "apply": true}),
        ];
        let all = all.map(|options| refusal(TEXT, "custom-io", options));
        assert_snapshot!(all.join("\n"));
        let through = "agraph (float[1] x) => (float[1] x) {\n y = Abs (x)\n}";
        let options = json!({"precision": {"x": "float16"}, "apply": true});
        assert_snapshot!(refusal(through, "custom-io", options));
    }
}
