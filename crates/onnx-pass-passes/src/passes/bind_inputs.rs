//! Turns inputs into constants.
//!
//! ## What it does
//! An input gets the value that the pipeline says, with the input's own type and shape, and is no input any
//! more. Passes that fold constants then simplify what read it: a merged decoder whose `use_cache_branch` is
//! `false` is left with one branch.
//!
//! ## Before → after
//! With
//! ```yaml
//! values: {flag: false}
//! ```
//! ```diff
//!   agraph (
//! -   float[N] x,
//! -   bool flag
//! +   float[N] x
//!   ) => (
//!     float[N] y
//! - ) {
//! + ) <
//! +   bool flag = {0},
//! +   bool flag
//! + > {
//!     n = Neg (x)
//!     y = Where (flag, x, n)
//!   }
//! ```
//!
//! ## Requires
//! The input's element type is declared.
//!
//! ## Guarantees
//! The model computes what it computed when it was given these values.
//!
//! ## Options
//! | option | value | meaning |
//! |---|---|---|
//! | `values` | map of inputs to numbers, booleans, texts, or nested lists of them | what each input is |
//!
//! A single value fills an input whose lengths are all known. An axis that only this input has may be of any
//! length; then the list says it.
//!
//! ## Refuses
//! A name that is no input; a value that the input's type cannot hold (`0.5` for an integer, `2` for a bool); a
//! list of another shape; an axis whose length is also another input's (`prune-dynamic-axes` binds that); a
//! value other than the one that was bound before.

use indexmap::IndexMap;
use onnx_pass_ir::{Attribute, DataType, Dim, Model, NewNode, Place, Tensor, TensorData, Type, ValueId};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::Value;

use crate::names;
use crate::options::{self, OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError};

/// A single value fills at most this many elements.
const MAX_FILLED: i64 = 1 << 24;

/// The pass.
pub struct BindInputs;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    values: IndexMap<String, Value>,
}

const OPTIONS: &[OptionSpec] = &[OptionSpec::required(
    "values",
    OptionKind::Map(&OptionKind::AnyOf(&[
        OptionKind::Bool,
        OptionKind::Float,
        OptionKind::String,
        OptionKind::List(&OptionKind::Any),
    ])),
    "What each input is.",
)];

impl Pass for BindInputs {
    fn name(&self) -> &'static str {
        "bind-inputs"
    }

    fn source(&self) -> &'static str {
        include_str!("bind_inputs.rs")
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
        bind(model, cx, &options.values)?;
        Ok(Outcome::changed_if(model.revision() != before))
    }
}

fn error(name: &str, reason: impl Into<String>) -> PassError {
    PassError::option(format!("values.{name}"), reason)
}

fn bind(m: &mut Model, cx: &mut PassContext, values: &IndexMap<String, Value>) -> Result<(), PassError> {
    let inputs = m.graph(m.main()).inputs();
    let inputs: FxHashMap<&str, ValueId> = inputs.iter().map(|v| (m.name(*v), *v)).collect();
    let inputs: Vec<Option<ValueId>> = values.keys().map(|k| inputs.get(k.as_str()).copied()).collect();
    let mut contents: Vec<(ValueId, Tensor)> = Vec::new();
    for ((name, value), v) in values.iter().zip(inputs) {
        let Some(v) = v else {
            bound_before(m, name, value)?;
            continue;
        };
        let ty = m.declared_type(v).cloned();
        let tensor = tensor(m, v, name, ty.as_ref(), value)?;
        if m.value(v).initializer().is_some() {
            cx.note(format!("`{name}`"), "its default gives way to the value of the pipeline");
        }
        if let Some(Type { kind, denotation }) = ty {
            let declared = Type { kind, denotation };
            let known = tensor.dims.iter().map(|d| Dim::Known(*d)).collect();
            if declared.dims().is_none_or(|dims| dims.iter().any(|d| d.known().is_none())) {
                m.set_type(
                    v,
                    Type { denotation: declared.denotation, ..Type::tensor(tensor.dtype, Some(known)) },
                );
            }
        }
        let shape = format!("{} {:?}", tensor.dtype, tensor.dims);
        cx.rows.push(vec![name.into(), shape, tensor.preview().into_owned()]);
        contents.push((v, tensor));
    }
    cx.count("inputs bound", contents.len() as u64);
    if m.header().ir_version.is_some_and(|ir| ir < 4) {
        bind_by_nodes(m, contents)
    } else {
        Ok(m.bind_inputs(contents.into_iter().map(|(v, tensor)| (v, tensor.shared())))?)
    }
}

/// Before IR 4 every initializer must be an input, so there the constants are nodes.
fn bind_by_nodes(m: &mut Model, contents: Vec<(ValueId, Tensor)>) -> Result<(), PassError> {
    let main = m.main();
    let mut bound = Vec::new();
    for (v, tensor) in contents {
        let name = m.name(v).to_string();
        let new = NewNode::new("Constant", &[], &name).attr(Attribute::tensor("value", tensor));
        let node = m.add_node(Place::Start(main), new);
        let Some(constant) = m.node(node).output(0) else { continue };
        m.replace_all_uses(v, constant);
        bound.push((v, constant, name));
    }
    m.remove_inputs(&bound.iter().map(|(v, ..)| *v).collect::<Vec<_>>())?;
    for (_, constant, name) in bound {
        m.rename_value(constant, &name)?;
    }
    Ok(())
}

/// A second run finds the input bound already; to the same value, it must be.
fn bound_before(m: &Model, name: &str, value: &Value) -> Result<(), PassError> {
    let main = m.graph(m.main());
    let known: Vec<&str> = main.inputs().iter().map(|v| m.name(*v)).collect();
    let unknown = || error(name, names::unknown(name, "input", "inputs", &known));
    let v = m.find_value(m.main(), name).ok_or_else(unknown)?;
    let now = m.constant(v).ok_or_else(unknown)?;
    let dims: Vec<Dim> = now.dims.iter().map(|d| Dim::Known(*d)).collect();
    let wanted = tensor(m, v, name, Some(&Type::tensor(now.dtype, Some(dims))), value)?;
    if wanted.same_contents(&now)? {
        return Ok(());
    }
    Err(error(name, format!("it is no input, but a constant {}", now.preview())))
}

fn tensor(m: &Model, v: ValueId, name: &str, ty: Option<&Type>, value: &Value) -> Result<Tensor, PassError> {
    let Some(dtype) = ty.and_then(Type::elem) else {
        return Err(error(name, "the input is declared without an element type, or is no tensor"));
    };
    let mut leaves = Vec::new();
    let mut dims = Vec::new();
    flatten(value, 0, &mut dims, &mut leaves).map_err(|reason| error(name, reason))?;
    let Some(declared) = ty.and_then(Type::dims) else {
        return contents(dtype, &dims, &leaves).map_err(|reason| error(name, reason));
    };
    if dims.is_empty() && !declared.is_empty() {
        let Some(known) = declared.iter().map(Dim::known).collect::<Option<Vec<i64>>>() else {
            let shape = shown(declared);
            return Err(error(
                name,
                format!("its shape is {shape}, so one value does not say how many there are; give a list"),
            ));
        };
        let count =
            known.iter().try_fold(1i64, |n, d| n.checked_mul(*d)).filter(|n| (0..=MAX_FILLED).contains(n));
        let Some(count) = count.and_then(|n| usize::try_from(n).ok()) else {
            return Err(error(
                name,
                format!("its shape {} is too large to fill with one value", shown(declared)),
            ));
        };
        let all: Vec<&Value> = leaves.iter().copied().cycle().take(count).collect();
        return contents(dtype, &known, &all).map_err(|reason| error(name, reason));
    }
    let fits = dims.len() == declared.len()
        && dims.iter().zip(declared).all(|(n, d)| d.known().is_none_or(|d| d == *n));
    if !fits {
        return Err(error(
            name,
            format!("a list of shape {dims:?} for an input of shape {}", shown(declared)),
        ));
    }
    only_axes_of(m, v, name, declared, &dims)?;
    contents(dtype, &dims, &leaves).map_err(|reason| error(name, reason))
}

/// A symbol that becomes a number here must be this input's alone: others would have to follow.
fn only_axes_of(m: &Model, v: ValueId, name: &str, declared: &[Dim], dims: &[i64]) -> Result<(), PassError> {
    for (dim, n) in declared.iter().zip(dims) {
        for symbol in dim.symbol().and_then(|_| dim.to_expr()).map(|e| e.symbols()).unwrap_or_default() {
            let others = m.graph(m.main()).inputs().iter().filter(|other| **other != v);
            let shared = others.copied().find(|o| {
                let dims = m.declared_type(*o).and_then(Type::dims).unwrap_or_default();
                dims.iter().filter_map(Dim::to_expr).any(|e| e.mentions(&symbol))
            });
            if let Some(other) = shared {
                let reason = format!(
                    "its axis `{symbol}` would be {n}, and it is an axis of `{}` too; bind `{symbol}` in prune-dynamic-axes first",
                    m.name(other)
                );
                return Err(error(name, reason));
            }
        }
    }
    Ok(())
}

fn shown(dims: &[Dim]) -> String {
    let dims: Vec<String> = (dims.iter())
        .map(|d| match d {
            Dim::Known(n) => n.to_string(),
            Dim::Symbol(s) => s.to_string(),
            Dim::Unknown => "?".into(),
        })
        .collect();
    format!("[{}]", dims.join(", "))
}

/// The shape of a nested list, and what is in it. The depth of lists is bounded by the parser of the pipeline.
fn flatten<'v>(
    value: &'v Value,
    depth: usize,
    dims: &mut Vec<i64>,
    leaves: &mut Vec<&'v Value>,
) -> Result<(), String> {
    const RAGGED: &str = "the lists in it are of different lengths";
    let Value::Array(items) = value else {
        if depth < dims.len() {
            return Err(RAGGED.into());
        }
        leaves.push(value);
        return Ok(());
    };
    let len = items.len() as i64;
    match dims.get(depth) {
        None if leaves.is_empty() => dims.push(len),
        Some(d) if *d == len => {}
        _ => return Err(RAGGED.into()),
    }
    items.iter().try_for_each(|item| flatten(item, depth + 1, dims, leaves))
}

/// A tensor of these elements, each of which the type can hold.
fn contents(dtype: DataType, dims: &[i64], leaves: &[&Value]) -> Result<Tensor, String> {
    let wrong = |v: &Value| format!("{} is no {dtype}", options::found(v));
    let built = match dtype {
        DataType::STRING => {
            let texts = leaves
                .iter()
                .map(|v| v.as_str().map(|s| s.as_bytes().to_vec().into()).ok_or_else(|| wrong(v)));
            Ok(Tensor::with_data(dtype, dims, TensorData::Strings(texts.collect::<Result<_, _>>()?)))
        }
        DataType::BOOL => {
            let bools = leaves
                .iter()
                .map(|v| v.as_bool().map(i64::from).or(v.as_i64().filter(|n| (0..2).contains(n))));
            let bools: Vec<i64> =
                bools.zip(leaves).map(|(b, v)| b.ok_or_else(|| wrong(v))).collect::<Result<_, _>>()?;
            Tensor::integers(dtype, dims, &bools)
        }
        DataType::FLOAT | DataType::DOUBLE | DataType::FLOAT16 | DataType::BFLOAT16 => {
            let mut raw = Vec::new();
            for v in leaves {
                let x = v.as_f64().ok_or_else(|| wrong(v))?;
                put_float(dtype, x, &mut raw).ok_or_else(|| format!("{x} is beyond what {dtype} holds"))?;
            }
            Tensor::from_raw(dtype, dims, raw)
        }
        _ => {
            let ints: Vec<i64> =
                leaves.iter().map(|v| v.as_i64().ok_or_else(|| wrong(v))).collect::<Result<_, _>>()?;
            Tensor::integers(dtype, dims, &ints)
        }
    };
    built.map_err(|e| e.to_string())
}

fn put_float(dtype: DataType, x: f64, out: &mut Vec<u8>) -> Option<()> {
    let near = match dtype {
        DataType::FLOAT => {
            out.extend((x as f32).to_le_bytes());
            f64::from(x as f32)
        }
        DataType::FLOAT16 => {
            out.extend(half::f16::from_f64(x).to_le_bytes());
            half::f16::from_f64(x).to_f64()
        }
        DataType::BFLOAT16 => {
            out.extend(half::bf16::from_f64(x).to_le_bytes());
            half::bf16::from_f64(x).to_f64()
        }
        _ => {
            out.extend(x.to_le_bytes());
            x
        }
    };
    near.is_finite().then_some(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use onnx_pass_ir::Model;
    use serde_json::json;

    use crate::pass::PassContext;
    use crate::testing::{after, model, refusal, run_in, show};

    const TEXT: &str = "agraph (float[N] x, bool[1] flag, int64[2, K] ids, float16 s) => (float[N] y) {
          y = Where (flag, x, x)
          z = Mul (ids, ids)
          u = Abs (s)
        }";

    #[test]
    fn values_get_the_input_s_type_and_shape() {
        let options = json!({"values": {"flag": false, "ids": [[1, 2, 3], [4, 5, 6]], "s": 0.5}});
        assert_snapshot!(after(TEXT, "bind-inputs", options));
    }

    #[test]
    fn before_ir_4_the_constant_is_a_node() {
        let mut m: Model = model(TEXT);
        m.header_mut().ir_version = Some(3);
        let mut cx = PassContext::new();
        let options = json!({"values": {"flag": true}});
        assert_eq!(run_in(&mut m, &mut cx, "bind-inputs", options.clone()), Ok(true));
        assert_snapshot!(show(&m));
        assert_eq!(run_in(&mut m, &mut cx, "bind-inputs", options), Ok(false));
    }

    #[test]
    fn refusals() {
        let values = [
            json!({"flg": true}),
            json!({"flag": 2}),
            json!({"flag": [[true]]}),
            json!({"ids": 1}),
            json!({"ids": [[1], [2, 3]]}),
            json!({"ids": [[1], [0.5]]}),
            json!({"ids": [[1], "a"]}),
            json!({"s": 1e9}),
        ];
        let all = values.map(|v| refusal(TEXT, "bind-inputs", json!({"values": v})));
        assert_snapshot!(all.join("\n"));
        let shared = "agraph (float[N] x, float[N] w) => (float[N] y) {\n y = Mul (x, w)\n}";
        assert_snapshot!(refusal(shared, "bind-inputs", json!({"values": {"w": [1, 2]}})));
        let mut m = model(TEXT);
        let mut cx = PassContext::new();
        run_in(&mut m, &mut cx, "bind-inputs", json!({"values": {"flag": true}})).expect("a first bind");
        let other = run_in(&mut m, &mut cx, "bind-inputs", json!({"values": {"flag": false}}));
        assert_snapshot!(other.expect_err("another value"));
    }
}
