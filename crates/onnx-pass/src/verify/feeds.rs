//! The inputs of both models.

use std::collections::HashMap;

use half::{bf16, f16};
use indexmap::IndexMap;
use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{DataType, Dim, Model, Tensor, Use, ValueId};
use onnx_pass_passes::analysis::Analysis;
use onnx_pass_passes::kv::discover::{self, Form};

use super::{VerifyError, VerifySettings, required_inputs};

/// Made inputs are at most this large.
const MAX_ELEMENTS: i64 = 1 << 28;

/// What one input was given.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Feed {
    /// Its name in the rewritten model, or in the original when it is there alone.
    pub name: String,
    /// How the contents came to be: "given", "random", "an empty cache", …
    pub how: String,
    /// The contents.
    pub tensor: Tensor,
    pub(super) original_name: String,
    /// In the type that each model wants, if it has the input.
    pub(super) original: Option<Tensor>,
    pub(super) rewritten: Option<Tensor>,
}

/// Makes them. Lengths come from `set` and from given inputs, and flow from shared inputs to those that the
/// original has alone.
pub fn make(
    original: &Model,
    rewritten: &Model,
    settings: &VerifySettings,
) -> Result<Vec<Feed>, VerifyError> {
    let mut lengths = Lengths(settings.set.iter().map(|(k, v)| (k.clone(), *v)).collect());
    let originals: IndexMap<String, ValueId> =
        required_inputs(original).into_iter().map(|v| (original.name(v).to_owned(), v)).collect();
    let inputs = required_inputs(rewritten);
    for v in &inputs {
        let name = rewritten.name(*v);
        let old = settings.rename.get(name).map_or(name, String::as_str);
        if let Some(given) = settings.inputs.get(name).or_else(|| settings.inputs.get(old)) {
            lengths.learn(rewritten, *v, &given.dims);
        }
    }
    let mut random = Random(settings.seed ^ 0x5851_f42d_4c95_7f2d);
    let mut feeds = Vec::new();
    for v in inputs {
        let name = rewritten.name(v).to_owned();
        let old_name = settings.rename.get(&name).cloned().unwrap_or_else(|| name.clone());
        let (tensor, how) = match settings.inputs.get(&name).or_else(|| settings.inputs.get(&old_name)) {
            Some(given) => (given.clone(), "given".to_owned()),
            None => {
                let dims = lengths.shape(rewritten, v).map_err(|missing| unknown(&name, &missing))?;
                made(rewritten, v, &dims, &mut random)?
            }
        };
        let old = originals.get(&old_name).copied();
        if let Some(old) = old {
            lengths.learn(original, old, &tensor.dims);
        }
        // The coarser float type, so that both models get the same numbers.
        let types = (elem(rewritten, v), old.map_or(elem(rewritten, v), |old| elem(original, old)));
        let tensor = cast(&cast(&tensor, types.1)?, types.0)?;
        feeds.push(Feed {
            original: old.map(|_| cast(&tensor, types.1)).transpose()?,
            rewritten: Some(tensor.clone()),
            name,
            how,
            tensor,
            original_name: old_name,
        });
    }
    let forms = cache_forms(original)?;
    for (name, v) in originals {
        if feeds.iter().any(|feed| feed.original_name == name) {
            continue;
        }
        let (tensor, how) = match settings.inputs.get(&name) {
            Some(given) => (given.clone(), "given".to_owned()),
            None => empty(original, v, forms.get(&v), &lengths)?,
        };
        let original_tensor = Some(cast(&tensor, elem(original, v))?);
        let original_name = name.clone();
        feeds.push(Feed { name, how, tensor, original_name, original: original_tensor, rewritten: None });
    }
    Ok(feeds)
}

fn unknown(input: &str, symbol: &str) -> VerifyError {
    VerifyError::Inputs(format!(
        "input `{input}`: the length `{symbol}` is not known; give it with `--set {symbol}=…`"
    ))
}

fn elem(model: &Model, v: ValueId) -> DataType {
    model.declared_type(v).and_then(onnx_pass_ir::Type::elem).unwrap_or(DataType::FLOAT)
}

/// What is known of symbols.
struct Lengths(HashMap<String, i64>);

impl Lengths {
    /// The length of a dim, or what is missing.
    fn of(&self, dim: &Dim) -> Result<i64, String> {
        let expr = dim.to_expr().ok_or("?")?;
        let value = |symbol: &str| self.0.get(symbol).copied();
        match expr.eval(&value) {
            Some(length) if length >= 0 => Ok(length),
            Some(length) => Err(format!("{expr} (which would be {length})")),
            // A dim that is written as an expression may be given a value as a whole too.
            None => match self.0.get(&expr.to_string()) {
                Some(length) => Ok(*length),
                None => Err(expr
                    .symbols()
                    .into_iter()
                    .find(|symbol| value(symbol).is_none())
                    .map_or_else(|| expr.to_string(), |symbol| symbol.to_string())),
            },
        }
    }

    fn shape(&self, model: &Model, v: ValueId) -> Result<Vec<i64>, String> {
        let dims = model.declared_type(v).and_then(onnx_pass_ir::Type::dims).ok_or("rank")?;
        dims.iter().map(|dim| self.of(dim)).collect()
    }

    /// Learns symbols from a tensor that is fed to an input.
    fn learn(&mut self, model: &Model, v: ValueId, dims: &[i64]) {
        let Some(declared) = model.declared_type(v).and_then(onnx_pass_ir::Type::dims) else { return };
        for (declared, length) in declared.iter().zip(dims) {
            if let Some(symbol) = declared.to_expr().as_ref().and_then(Expr::as_symbol) {
                self.0.entry(symbol.to_owned()).or_insert(*length);
            }
        }
    }
}

/// The caches of the original, found as `eliminate-kv-cache` finds them.
fn cache_forms(original: &Model) -> Result<HashMap<ValueId, Form>, VerifyError> {
    let mut model = original.clone();
    // Calls within calls come to the surface one layer at a time; a model has no deeper ones than functions.
    for _ in 0..=model.functions().count() {
        let calls: Vec<_> = model
            .live_graphs()
            .into_iter()
            .filter(|g| {
                !matches!(model.graph(model.root_of(*g)).owner(), onnx_pass_ir::GraphOwner::Function(_))
            })
            .flat_map(|g| model.node_ids(g))
            .filter(|n| model.callee(*n).is_some())
            .collect();
        if calls.is_empty() {
            break;
        }
        for call in calls {
            model.inline_call(call)?;
        }
    }
    let analysis = Analysis::of(&model, &Facts::default());
    let found = discover::discover(&model, &analysis);
    Ok(found.caches.into_iter().map(|cache| (cache.input, cache.form)).collect())
}

/// An input that the original has alone: an empty cache, or zeros.
fn empty(
    model: &Model,
    v: ValueId,
    form: Option<&Form>,
    lengths: &Lengths,
) -> Result<(Tensor, String), VerifyError> {
    let name = model.name(v);
    let dims = model.declared_type(v).and_then(onnx_pass_ir::Type::dims);
    let dims =
        dims.ok_or_else(|| VerifyError::Inputs(format!("input `{name}` of the original has no shape")))?;
    // A buffer must hold the whole chunk, so it is as long as the longest that is known.
    let buffer = lengths.0.values().copied().max().unwrap_or(1).max(1);
    let mut shape = Vec::new();
    let mut chosen = Vec::new();
    for (axis, dim) in dims.iter().enumerate() {
        let length = match (lengths.of(dim), form) {
            (_, Some(Form::Growing { axis: grows, .. })) if axis == *grows => 0,
            (Ok(length), _) => length,
            (Err(symbol), Some(Form::Growing { .. } | Form::Branch)) => {
                chosen.push(format!("{symbol} = 0"));
                0
            }
            (Err(symbol), Some(Form::Buffer { .. } | Form::State)) => {
                chosen.push(format!("{symbol} = {buffer}"));
                buffer
            }
            (Err(symbol), None) => return Err(unknown(name, &symbol)),
        };
        shape.push(length);
    }
    let what = match form {
        Some(form) => format!("an empty cache ({})", form.describe()),
        None => "zeros".to_owned(),
    };
    let how = if chosen.is_empty() { what } else { format!("{what}, {}", chosen.join(", ")) };
    Ok((zeros(name, elem(model, v), &shape)?, how))
}

fn count(name: &str, dims: &[i64]) -> Result<usize, VerifyError> {
    let count = dims.iter().try_fold(1i64, |n, dim| n.checked_mul(*dim)).filter(|n| *n <= MAX_ELEMENTS);
    let count = count.and_then(|n| usize::try_from(n).ok());
    count.ok_or_else(|| VerifyError::Inputs(format!("input `{name}` would have the shape {dims:?}")))
}

fn zeros(name: &str, dtype: DataType, dims: &[i64]) -> Result<Tensor, VerifyError> {
    let bytes = dtype.byte_len(count(name, dims)?).ok_or_else(|| no_such(name, dtype))?;
    Ok(Tensor::from_raw(dtype, dims, vec![0; bytes])?)
}

fn no_such(name: &str, dtype: DataType) -> VerifyError {
    VerifyError::Inputs(format!(
        "input `{name}`: no {dtype} can be made up; give it with `--inputs FILE.npz`"
    ))
}

/// Contents that exercise the model: floats are random. Integers mean something, and which is seen from what
/// reads them: rows of a table are random rows of it. What is left is told by name, as a position or a mask looks
/// like any other number: positions count, masks show everything, all else is zero.
fn made(
    model: &Model,
    v: ValueId,
    dims: &[i64],
    random: &mut Random,
) -> Result<(Tensor, String), VerifyError> {
    let name = model.name(v);
    let dtype = elem(model, v);
    let n = count(name, dims)?;
    let is_mask = name.contains("mask");
    let is_float =
        [DataType::FLOAT, DataType::DOUBLE, DataType::FLOAT16, DataType::BFLOAT16].contains(&dtype);
    if is_float {
        let values: Vec<f64> =
            (0..n).map(|_| if is_mask { 1.0 } else { random.unit() * 2.0 - 1.0 }).collect();
        let how = if is_mask { "ones" } else { "random in -1..1" };
        return Ok((floats(dtype, dims, &values)?, how.to_owned()));
    }
    let last = usize::try_from(dims.last().copied().unwrap_or(1)).unwrap_or(1).max(1);
    let integer =
        dtype.is_signed_integer() || [DataType::UINT8, DataType::UINT32, DataType::UINT64].contains(&dtype);
    let (values, how): (Vec<i64>, String) = if dtype == DataType::BOOL || (integer && is_mask) {
        (vec![i64::from(is_mask); n], if is_mask { "ones" } else { "zeros" }.to_owned())
    } else if !integer {
        return Ok((zeros(name, dtype, dims)?, "zeros".to_owned()));
    } else if let Some(rows) = table_rows(model, v) {
        ((0..n).map(|_| random.below(rows)).collect(), format!("random below {rows}"))
    } else if name.contains("position") {
        ((0..n).map(|i| (i % last) as i64).collect(), "counting from 0".to_owned())
    } else {
        (vec![0; n], "zeros".to_owned())
    };
    Ok((Tensor::integers(dtype, dims, &values)?, how))
}

/// The rows of the smallest constant table that the input picks rows of.
fn table_rows(model: &Model, input: ValueId) -> Option<i64> {
    let (mut work, mut seen, mut rows) = (vec![input], vec![input], None::<i64>);
    while let Some(v) = work.pop() {
        for reader in model.value(v).uses() {
            let Use::Node { node, slot } = *reader else { continue };
            let n = model.node(node);
            if n.is("Gather") && slot == 1 {
                let table = n.input(0).and_then(|table| model.constant(table));
                let axis = n.int("axis").unwrap_or(0);
                let length = table.and_then(|table| table.dims.get(usize::try_from(axis).ok()?).copied());
                rows = [rows, length].into_iter().flatten().min();
            }
            let moves = ["Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose"];
            if slot == 0 && moves.iter().any(|op| n.is(op)) {
                let new = n.output(0).filter(|out| !seen.contains(out));
                seen.extend(new);
                work.extend(new);
            }
        }
    }
    rows.filter(|rows| *rows > 0)
}

fn floats(dtype: DataType, dims: &[i64], values: &[f64]) -> Result<Tensor, VerifyError> {
    let bytes: Vec<u8> = match dtype {
        DataType::DOUBLE => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DataType::FLOAT16 => values.iter().flat_map(|x| f16::from_f64(*x).to_le_bytes()).collect(),
        DataType::BFLOAT16 => values.iter().flat_map(|x| bf16::from_f64(*x).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
    };
    let dtype = if bytes.len() == values.len() * 4 { DataType::FLOAT } else { dtype };
    Ok(Tensor::from_raw(dtype, dims, bytes)?)
}

/// The same numbers in another type, rounded where they must be.
fn cast(tensor: &Tensor, dtype: DataType) -> Result<Tensor, VerifyError> {
    if tensor.dtype == dtype {
        return Ok(tensor.clone());
    }
    let is_float =
        |d: DataType| [DataType::FLOAT, DataType::DOUBLE, DataType::FLOAT16, DataType::BFLOAT16].contains(&d);
    match (is_float(tensor.dtype), is_float(dtype)) {
        (true, true) => floats(dtype, &tensor.dims, &tensor.to_f64s()?),
        (false, false) => Ok(Tensor::integers(dtype, &tensor.dims, &tensor.to_i64s()?)?),
        _ => Err(VerifyError::Inputs(format!(
            "an input is {dtype} in one model and {} in the other",
            tensor.dtype
        ))),
    }
}

/// Numbers that are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0..1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.next() % bound.unsigned_abs().max(1)).unwrap_or(0)
    }
}
