//! What the passes record for compilers and runtimes, and the files that come of it.
//!
//! `generate-specializations` and `custom-io` put what they were told into a [`Deployment`], which lives through a
//! run in the pass context. The files are made from it and from the model as it stands, so the two passes may
//! come in any order, and a step after them that takes an input away is found out when [`finish`] makes the
//! files anew.

use indexmap::IndexMap;
use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{DataType, Dim, Model, Type, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use crate::artifacts::{self, ArtifactError, CompileArgs, IoEntry, IoTensor, Specialization, Spelling};
use crate::pass::{Artifact, PassContext, PassError};

/// Who reads a specialization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The Cloud AI compiler: `specializations.json`, each entry with a name.
    CloudAi,
    /// Older Cloud AI compilers: `specializations.json` without names.
    CloudAiFlat,
    /// The QNN converter: `qnn_config.yaml`.
    Qnn,
    /// TensorRT: `tensorrt.args`, for `trtexec`.
    Tensorrt,
    /// ONNX Runtime: `onnxruntime.json`.
    Onnxruntime,
    /// OpenVINO: `openvino.json`.
    Openvino,
}

impl Target {
    /// The words in a pipeline.
    pub const WORDS: &'static [&'static str] =
        &["cloud-ai", "cloud-ai-flat", "qnn", "tensorrt", "onnxruntime", "openvino"];

    /// The file that is written for it.
    pub const fn file(self) -> &'static str {
        match self {
            Target::CloudAi | Target::CloudAiFlat => SPECIALIZATIONS,
            Target::Qnn => QNN,
            Target::Tensorrt => "tensorrt.args",
            Target::Onnxruntime => "onnxruntime.json",
            Target::Openvino => "openvino.json",
        }
    }
}

/// How custom inputs and outputs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoSpelling {
    /// `custom_io.yaml`
    CloudAi,
    /// `qnn_config.yaml`, together with the shapes.
    Qnn,
}

impl IoSpelling {
    /// The words in a pipeline.
    pub const WORDS: &'static [&'static str] = &["cloud-ai", "qnn"];
}

const SPECIALIZATIONS: &str = "specializations.json";
const CUSTOM_IO: &str = "custom_io.yaml";
const QNN: &str = "qnn_config.yaml";
const COMPILE_ARGS: &str = "compile.args";

/// What was recorded for compilers and runtimes.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// For each file, who reads it and the specializations in it.
    pub specializations: IndexMap<&'static str, (Target, Vec<Specialization>)>,
    /// Inputs and outputs that differ at the border.
    pub io: IndexMap<String, IoEntry>,
    /// How they are written.
    pub spellings: Vec<IoSpelling>,
    /// Further arguments of the compiler.
    pub compiler_arguments: Vec<String>,
}

/// An output that holds the next value of an input, by their names: `X_RetainedState` and `X`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatePair {
    /// The input.
    pub input: ValueId,
    /// The output.
    pub output: ValueId,
    /// Whether their types are the same. A compiler can keep the state on the device only then.
    pub agree: bool,
}

/// The pairs of retained states. Between the name of the input and `_RetainedState` there may be more text.
pub fn state_pairs(model: &Model) -> Vec<StatePair> {
    let main = model.graph(model.main());
    let inputs: FxHashMap<&str, ValueId> = main.inputs().iter().map(|v| (model.name(*v), *v)).collect();
    let pair = |output: ValueId| {
        let stem = model.name(output).strip_suffix("_RetainedState")?;
        // The longest name that the stem begins with.
        let ends = std::iter::once(stem.len()).chain(stem.rmatch_indices('_').map(|(at, _)| at));
        let input = ends.filter_map(|end| inputs.get(stem.get(..end)?)).copied().next()?;
        Some(StatePair { input, output, agree: same_type(model, input, output) })
    };
    main.outputs().iter().filter_map(|o| pair(o.value())).collect()
}

/// Exporters give the axes of a state's output made-up names, so a symbol agrees with any symbol; but a length
/// that one of the two knows and the other does not is no state's.
fn same_type(model: &Model, a: ValueId, b: ValueId) -> bool {
    let (Some(a), Some(b)) = (model.declared_type(a), model.declared_type(b)) else { return true };
    let (Some(dims), Some(others)) = (a.dims(), b.dims()) else { return a.elem() == b.elem() };
    let same_rank = dims.len() == others.len();
    a.elem() == b.elem() && same_rank && dims.iter().zip(others).all(|(x, y)| x.known() == y.known())
}

/// The inputs that a caller must give: those without a default.
pub fn required_inputs(model: &Model) -> impl Iterator<Item = ValueId> + '_ {
    model.graph(model.main()).inputs().iter().copied().filter(|v| model.value(*v).initializer().is_none())
}

/// The name of an element type as numpy spells it.
fn numpy_name(dtype: DataType) -> String {
    match dtype {
        DataType::FLOAT => "float32".into(),
        DataType::DOUBLE => "float64".into(),
        other => other.to_string(),
    }
}

/// Every input with its shape in each specialization.
///
/// # Errors
/// When a specialization leaves an axis open, or a length is not at least 1: with the entry, the input and the
/// axis.
pub fn inputs(model: &Model, entries: &[Specialization]) -> Result<Vec<IoTensor>, PassError> {
    let names = artifacts::entry_names(entries);
    let mut tensors: Vec<IoTensor> = Vec::new();
    for v in required_inputs(model) {
        let name = model.name(v);
        let ty = model.declared_type(v);
        let Some((dtype, dims)) = ty.and_then(|t| Some((t.elem()?, t.dims()?))) else {
            return Err(unshaped(name, ty));
        };
        let mut shapes = Vec::with_capacity(entries.len());
        for (entry, entry_name) in entries.iter().zip(&names) {
            let place = format!("entry `{entry_name}`: input `{name}`");
            let dims = dims.iter().enumerate();
            shapes.push(
                dims.map(|(axis, dim)| axis_length(&place, axis, dim, entry)).collect::<Result<_, _>>()?,
            );
        }
        tensors.push(IoTensor { name: name.into(), dtype: numpy_name(dtype), shapes });
    }
    for o in model.graph(model.main()).outputs() {
        let dims = o.info.ty().and_then(Type::dims).unwrap_or_default();
        for (entry, entry_name) in entries.iter().zip(&names) {
            let place = format!("entry `{entry_name}`: output `{}`", model.name(o.value()));
            for (axis, dim) in dims.iter().enumerate() {
                // An output may have lengths that only a run tells.
                let open = dim.to_expr().is_none_or(|e| evaluate(&e, entry).is_err());
                if !open {
                    axis_length(&place, axis, dim, entry)?;
                }
            }
        }
    }
    Ok(tensors)
}

fn unshaped(name: &str, ty: Option<&Type>) -> PassError {
    let reason = match ty.and_then(Type::as_tensor) {
        Some(_) => "its rank or element type is not declared, so no specialization can give its shape",
        None => "it is no dense tensor, so no specialization can give its shape",
    };
    PassError::refused(format!("input `{name}`"), reason)
}

fn evaluate(e: &Expr, entry: &Specialization) -> Result<i64, String> {
    if let Some(open) = e.symbols().into_iter().find(|s| !entry.symbols.contains_key(s.as_str())) {
        return Err(format!("`{open}` has no value"));
    }
    e.eval(&|s| entry.symbols.get(s).copied()).ok_or_else(|| format!("`{e}` has no value"))
}

fn axis_length(place: &str, axis: usize, dim: &Dim, entry: &Specialization) -> Result<i64, PassError> {
    let place = format!("{place}, axis {axis}");
    let Some(e) = dim.to_expr() else {
        let help = "name it or bind it by `prune-dynamic-axes` first";
        return Err(PassError::refused_with(place, "the axis has neither a length nor a name", help));
    };
    match evaluate(&e, entry) {
        Ok(n) if n >= 1 => Ok(n),
        Ok(n) if e.is_const() => {
            Err(PassError::refused(place, format!("the length is {n}; it must be at least 1")))
        }
        Ok(n) => Err(PassError::refused(place, format!("`{e}` comes out as {n}; it must be at least 1"))),
        Err(reason) => Err(PassError::refused_with(
            place,
            reason,
            "give it one under `symbols`, or bind it by `prune-dynamic-axes` first",
        )),
    }
}

/// Refuses values of symbols that what is known of them rules out, by a promise of the user's for one.
///
/// # Errors
/// When a value is out of a symbol's bounds, or two values contradict an equation.
pub fn check_facts(facts: &Facts, symbols: &IndexMap<String, i64>) -> Result<(), (String, String)> {
    let mut given = facts.clone();
    for (symbol, n) in symbols {
        let e = Expr::symbol(symbol.as_str());
        let (low, high) = given.bounds(&e);
        if low.is_some_and(|low| *n < low) || high.is_some_and(|high| *n > high) {
            let bound = match (low, high) {
                (Some(low), _) if *n < low => format!("at least {low}"),
                (_, high) => format!("at most {}", high.unwrap_or(*n)),
            };
            return Err((symbol.clone(), format!("it is {n}, and this run knows that it is {bound}")));
        }
        given
            .assert_equal(&e, &Expr::constant(*n))
            .map_err(|c| (symbol.clone(), format!("it is {n}, which contradicts what is known: {c}")))?;
    }
    Ok(())
}

impl Deployment {
    /// The files for what was recorded, with the model as it is. Before the `end` of a run, a file that waits
    /// for specializations is left out.
    ///
    /// # Errors
    /// When the model has an open axis, has not an input or output that was named, or a file cannot say a name.
    pub fn render(&self, model: &Model, end: bool) -> Result<Vec<Artifact>, PassError> {
        let io: Vec<IoEntry> = self.io.values().cloned().collect();
        check_names(model, &io)?;
        let mut files = Vec::new();
        for (file, (target, entries)) in &self.specializations {
            let inputs = inputs(model, entries)?;
            let text = match target {
                Target::CloudAi => artifacts::specializations_json(entries, Spelling::Named),
                Target::CloudAiFlat => artifacts::specializations_json(entries, Spelling::Flat),
                Target::Qnn => {
                    artifacts::qnn_yaml(&inputs, &outputs(model), self.io_spelt(IoSpelling::Qnn, &io))
                }
                Target::Tensorrt => {
                    artifacts::tensorrt_arguments(&inputs, entries).map(|a| artifacts::render_arguments(&a))
                }
                Target::Onnxruntime => artifacts::onnxruntime_json(entries),
                Target::Openvino => artifacts::openvino_json(&inputs, entries),
            };
            files.push(Artifact { name: (*file).into(), text: text.map_err(unwritable)? });
        }
        if self.spellings.contains(&IoSpelling::CloudAi) {
            let text = artifacts::custom_io_yaml(&io).map_err(unwritable)?;
            files.push(Artifact { name: CUSTOM_IO.into(), text });
        }
        if self.spellings.contains(&IoSpelling::Qnn) && !self.specializations.contains_key(QNN) {
            // Without specializations the shapes must be whole as they are.
            match inputs(model, &[Specialization::default()]) {
                Ok(inputs) => {
                    let text = artifacts::qnn_yaml(&inputs, &outputs(model), &io).map_err(unwritable)?;
                    files.push(Artifact { name: QNN.into(), text });
                }
                Err(e) if end => return Err(e),
                Err(_) => {}
            }
        }
        Ok(files)
    }

    fn io_spelt<'a>(&self, spelling: IoSpelling, io: &'a [IoEntry]) -> &'a [IoEntry] {
        if self.spellings.contains(&spelling) { io } else { &[] }
    }

    /// The arguments of `qaic-compile` for `model_file`; nothing where nothing was recorded for that compiler.
    ///
    /// # Errors
    /// When an argument cannot be written.
    pub fn compile_args(&self, model: &Model, model_file: &str) -> Result<Option<Artifact>, PassError> {
        let specialized = self.specializations.contains_key(SPECIALIZATIONS);
        let custom = self.spellings.contains(&IoSpelling::CloudAi) && !self.io.is_empty();
        if !specialized && !custom {
            return Ok(None);
        }
        let arguments = CompileArgs {
            model: model_file.into(),
            specializations: specialized.then(|| SPECIALIZATIONS.into()),
            custom_io: custom.then(|| CUSTOM_IO.into()),
            retained_state: state_pairs(model).iter().any(|pair| pair.agree),
            sub_functions: model.functions().next().is_some(),
            extra: self.compiler_arguments.clone(),
            ..CompileArgs::default()
        };
        let text = artifacts::render_arguments(&arguments.arguments().map_err(unwritable)?);
        Ok(Some(Artifact { name: COMPILE_ARGS.into(), text }))
    }
}

fn unwritable(e: ArtifactError) -> PassError {
    PassError::refused("artifacts", e.to_string())
}

fn outputs(model: &Model) -> Vec<IoTensor> {
    let one = |o: &onnx_pass_ir::GraphOutput| IoTensor {
        name: model.name(o.value()).into(),
        dtype: numpy_name(o.info.ty().and_then(Type::elem).unwrap_or_default()),
        shapes: Vec::new(),
    };
    model.graph(model.main()).outputs().iter().map(one).collect()
}

fn check_names(model: &Model, io: &[IoEntry]) -> Result<(), PassError> {
    let names: FxHashSet<&str> = interface_names(model).into_iter().collect();
    match io.iter().find(|entry| !names.contains(entry.name.as_str())) {
        None => Ok(()),
        Some(gone) => Err(PassError::refused_with(
            format!("`{}`", gone.name),
            "custom-io names it, and it is neither an input nor an output any more",
            "put custom-io after the step that renames or removes it",
        )),
    }
}

/// The names of the inputs, then of the outputs.
pub fn interface_names(model: &Model) -> Vec<&str> {
    let main = model.graph(model.main());
    let outputs = main.outputs().iter().map(|o| o.value());
    main.inputs().iter().copied().chain(outputs).map(|v| model.name(v)).collect()
}

/// Makes the files that can be made so far, in the place of earlier ones of the same names.
///
/// # Errors
/// As [`Deployment::render`].
pub fn update(model: &Model, cx: &mut PassContext) -> Result<(), PassError> {
    let files = cx.deployment.render(model, false)?;
    files.into_iter().for_each(|file| put(cx, file));
    Ok(())
}

/// Makes all files anew for the model as it is at the end of a run, and `compile.args`. `model_file` is the
/// model's file as the compiler is to find it.
///
/// # Errors
/// As [`Deployment::render`]: a step after the one that recorded something made the model another.
pub fn finish(model: &Model, cx: &mut PassContext, model_file: &str) -> Result<(), PassError> {
    let files = cx.deployment.render(model, true)?;
    files.into_iter().for_each(|file| put(cx, file));
    if let Some(file) = cx.deployment.compile_args(model, model_file)? {
        put(cx, file);
    }
    Ok(())
}

fn put(cx: &mut PassContext, file: Artifact) {
    match cx.artifacts.iter_mut().find(|a| a.name == file.name) {
        Some(old) => *old = file,
        None => cx.artifacts.push(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_belongs_to_the_longest_input_that_its_name_begins_with() {
        let text = r#"<ir_version: 10, opset_import: ["" : 21]>
            agraph (float[N] past, float[N] past_k, float[N] pas)
                => (float[N] past_RetainedState, float[N] past_k_0_RetainedState, float[N] past_kv_RetainedState,
                    float[N] pa_RetainedState, float[2] pas_RetainedState) {
              past_RetainedState = Abs (past)
              past_k_0_RetainedState = Abs (past_k)
              past_kv_RetainedState = Abs (pas)
              pa_RetainedState = Neg (pas)
              pas_RetainedState = Sign (pas)
            }"#;
        let m = onnx_pass_ir::text::parse(text).unwrap();
        let pairs: Vec<(&str, &str, bool)> =
            (state_pairs(&m).iter()).map(|p| (m.name(p.input), m.name(p.output), p.agree)).collect();
        let expected = [
            ("past", "past_RetainedState", true),
            ("past_k", "past_k_0_RetainedState", true),
            ("past", "past_kv_RetainedState", true),
            ("pas", "pas_RetainedState", false),
        ];
        assert_eq!(pairs, expected);
    }
}
