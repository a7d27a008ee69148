//! Nodes that hand an operand on, or that a shorter form does for.

use onnx_pass_ir::{DataType, Def, Model, NodeId, TensorData, ValueId};

use super::layout;
use crate::analysis::Analysis;
use crate::pass::PassError;

/// Whether one of these rules is for such a node.
pub fn concern(m: &Model, a: &Analysis, node: NodeId) -> bool {
    let n = m.node(node);
    let is_for = match n.op_type() {
        // Of floats no sum is known to be its operand.
        "Add" => n.input(0).and_then(|v| a.dtype(v)).is_some_and(DataType::is_integer),
        "And" | "Cast" | "Concat" | "Div" | "Dropout" | "Expand" | "Flatten" | "Identity" | "Max"
        | "Mean" | "Min" | "Mul" | "Or" | "Pad" | "Reshape" | "Slice" | "Split" | "Squeeze" | "Sub"
        | "Sum" | "Tile" | "Transpose" | "Unsqueeze" | "Where" => true,
        _ => false,
    };
    is_for && n.domain().is_empty()
}

/// Applies the first rule that fits a node that one [`concern`]s. Gives the operand that its readers read now, where it handed one on.
pub fn apply(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<Option<ValueId>, PassError> {
    if m.node(node).is("Concat") {
        drop_empty(m, a, node)?;
    }
    if let Some(v) = handed_on(m, a, node) {
        hand_on(m, node, v)?;
        return Ok(Some(v));
    }
    match m.node(node).op_type() {
        "Transpose" => layout::transposes(m, a, node)?,
        "Cast" => casts(m, a, node)?,
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => layout::reshapes(m, a, node)?,
        _ => {}
    }
    Ok(None)
}

/// Operands of a `Concat` without a row along its axis go.
fn drop_empty(m: &mut Model, a: &Analysis, node: NodeId) -> Result<(), PassError> {
    // Where the lengths beside the axis cannot agree the node fails, and has to.
    if a.impossible.iter().any(|i| i.node == node) {
        return Ok(());
    }
    let n = m.node(node);
    let axis = n.int("axis").unwrap_or(1);
    let empty = |v: ValueId| {
        let shape = a.shape(v)?;
        let axis = crate::analysis::NodeCx::axis(axis, shape.len())?;
        Some(shape[axis].is_zero())
    };
    let inputs: Vec<Option<ValueId>> = n.inputs().to_vec();
    let mut kept: Vec<Option<ValueId>> =
        inputs.iter().copied().filter(|v| v.is_none_or(|v| empty(v) != Some(true))).collect();
    if kept.is_empty() {
        kept.extend(inputs.first().copied());
    }
    if kept.len() < inputs.len() {
        m.set_inputs(node, &kept);
    }
    Ok(())
}

/// Makes everything read `v` in place of the node's first result.
pub(super) fn hand_on(m: &mut Model, node: NodeId, v: ValueId) -> Result<(), PassError> {
    let Some(old) = m.node(node).output(0) else { return Ok(()) };
    if m.value(old).is_graph_output() {
        // An output of the graph needs a node of its own where `v` cannot take its name.
        let free = matches!(m.value(v).def(), Def::Node { .. })
            && m.value(v).graph() == m.value(old).graph()
            && !m.value(v).is_graph_output();
        if !free {
            let already = m.node(node).is("Identity");
            m.replace_uses(old, v);
            if !already && m.node(node).outputs().len() == 1 {
                become_identity(m, node, v);
            }
            return Ok(());
        }
    }
    m.replace_value(old, v)?;
    if m.is_live_node(node) && m.node(node).outputs().iter().flatten().all(|o| m.is_unused(*o)) {
        m.remove_node(node)?;
    }
    Ok(())
}

fn become_identity(m: &mut Model, node: NodeId, v: ValueId) {
    let names: Vec<_> = m.node(node).attributes().iter().map(|a| a.name.clone()).collect();
    names.iter().for_each(|n| {
        m.remove_attribute(node, n);
    });
    m.set_inputs(node, &[Some(v)]);
    m.set_op(node, "", "Identity");
}

pub(super) fn same_shape(a: &Analysis, x: ValueId, y: ValueId) -> bool {
    let (Some(x), Some(y)) = (a.shape(x), a.shape(y)) else { return false };
    x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x == y || a.symbols.equal(x, y) == Some(true))
}

pub(super) fn ints(m: &Model, a: &Analysis, v: ValueId) -> Option<Vec<i64>> {
    a.fact(v).const_items().or_else(|| m.constant(v)?.to_i64s().ok())
}

/// The operand that a node's first result is equal to in every run.
fn handed_on(m: &Model, a: &Analysis, node: NodeId) -> Option<ValueId> {
    let n = m.node(node);
    let out = n.output(0)?;
    let x = n.input(0)?;
    let alone = n.outputs().iter().skip(1).flatten().all(|v| m.is_unused(*v));
    if !alone {
        return None;
    }
    match n.op_type() {
        "Identity" => Some(x),
        "Concat" | "Sum" | "Max" | "Min" | "Mean" if n.inputs().len() == 1 => Some(x),
        "Cast" => {
            let to = DataType(i32::try_from(n.int("to")?).ok()?);
            (a.dtype(x)? == to).then_some(x)
        }
        "Reshape" | "Expand" | "Squeeze" | "Unsqueeze" | "Flatten" | "Split" => {
            same_shape(a, x, out).then_some(x)
        }
        "Slice" => {
            let forward = match n.input(4) {
                Some(s) => ints(m, a, s)?.iter().all(|s| *s > 0),
                None => true,
            };
            (forward && same_shape(a, x, out)).then_some(x)
        }
        "Transpose" => {
            let perm = n.ints("perm")?;
            perm.iter().enumerate().all(|(i, p)| *p == i as i64).then_some(x)
        }
        "Tile" => {
            let repeats = ints(m, a, n.input(1)?)?;
            repeats.iter().all(|r| *r == 1).then_some(x)
        }
        "Pad" => {
            let pads = match n.ints("pads") {
                Some(p) => p.to_vec(),
                None => ints(m, a, n.input(1)?)?,
            };
            pads.iter().all(|p| *p == 0).then_some(x)
        }
        "Dropout" => inference(m, a, node).then_some(x),
        "Where" => chosen(m, a, node, out),
        "And" | "Or" => {
            let neutral = i64::from(n.is("And"));
            neutral_operand(m, a, node, out, &|v| {
                ints(m, a, v).is_some_and(|i| i.iter().all(|x| (*x != 0) == (neutral != 0)))
            })
        }
        "Mul" => neutral_operand(m, a, node, out, &|v| is_all(m, v, 1.0)),
        "Div" => {
            let one = is_all(m, n.input(1)?, 1.0);
            (one && same_shape(a, x, out)).then_some(x)
        }
        "Add" if a.dtype(x)?.is_integer() => neutral_operand(m, a, node, out, &|v| is_all(m, v, 0.0)),
        // x − (+0) is x for every float, −0 included.
        "Sub" => {
            let zero = is_all(m, n.input(1)?, 0.0);
            (zero && same_shape(a, x, out)).then_some(x)
        }
        _ => None,
    }
}

fn inference(m: &Model, a: &Analysis, node: NodeId) -> bool {
    let n = m.node(node);
    let opset = m.opset(n.graph(), "").unwrap_or(1);
    if opset < 7 {
        return n.int("is_test").unwrap_or(0) != 0;
    }
    match n.input(2) {
        None => true,
        Some(v) => ints(m, a, v).is_some_and(|i| i.iter().all(|x| *x == 0)),
    }
}

/// The operand that a `Where` takes everywhere.
fn chosen(m: &Model, a: &Analysis, node: NodeId, out: ValueId) -> Option<ValueId> {
    let n = m.node(node);
    let condition = ints(m, a, n.input(0)?)?;
    let (then, otherwise) = (n.input(1)?, n.input(2)?);
    let taken = if condition.iter().all(|c| *c != 0) {
        then
    } else if condition.iter().all(|c| *c == 0) {
        otherwise
    } else {
        return None;
    };
    same_shape(a, taken, out).then_some(taken)
}

/// Of two operands the one beside a neutral one.
fn neutral_operand(
    m: &Model,
    a: &Analysis,
    node: NodeId,
    out: ValueId,
    neutral: &dyn Fn(ValueId) -> bool,
) -> Option<ValueId> {
    let n = m.node(node);
    let (x, y) = (n.input(0)?, n.input(1)?);
    if neutral(y) && same_shape(a, x, out) {
        return Some(x);
    }
    (neutral(x) && same_shape(a, y, out)).then_some(y)
}

/// Whether a constant holds this number alone (+0 for zero).
fn is_all(m: &Model, v: ValueId, wanted: f64) -> bool {
    let Some(t) = m.constant(v) else { return false };
    // Most are told by their first number.
    if let (DataType::FLOAT, TensorData::Raw(raw)) = (t.dtype, &t.data)
        && raw.first_chunk().is_some_and(|c| f64::from(f32::from_le_bytes(*c)).to_bits() != wanted.to_bits())
    {
        return false;
    }
    if t.byte_len().is_none_or(|n| n > 4096) || t.is_empty() {
        return false;
    }
    if let Ok(f) = t.to_f64s() {
        return f.iter().all(|x| x.to_bits() == wanted.to_bits());
    }
    t.to_i64s().is_ok_and(|i| i.iter().all(|x| *x as f64 == wanted))
}

/// A cast of a cast that lost nothing is one cast.
fn casts(m: &mut Model, a: &Analysis, node: NodeId) -> Result<(), PassError> {
    let n = m.node(node);
    let Some(inner) = n.input(0).and_then(|v| m.value(v).producer()) else { return Ok(()) };
    let first = m.node(inner);
    let Some(x) = first.input(0).filter(|_| first.is("Cast")) else { return Ok(()) };
    let (Some(from), Some(middle)) = (a.dtype(x), first.int("to").and_then(|t| i32::try_from(t).ok())) else {
        return Ok(());
    };
    if loses_nothing(from, DataType(middle)) && n.attribute("saturate").is_none() {
        m.set_input(node, 0, Some(x));
    }
    Ok(())
}

/// Whether every value of one type is a value of the other.
fn loses_nothing(from: DataType, to: DataType) -> bool {
    use DataType as T;
    if from == to {
        return true;
    }
    match from {
        T::BOOL => {
            to.is_integer() && to.bits().is_some_and(|b| b >= 8)
                || matches!(to, T::FLOAT | T::DOUBLE | T::FLOAT16)
        }
        T::FLOAT16 | T::BFLOAT16 => matches!(to, T::FLOAT | T::DOUBLE),
        T::FLOAT => to == T::DOUBLE,
        T::INT32 => matches!(to, T::INT64 | T::DOUBLE),
        T::INT16 => matches!(to, T::INT32 | T::INT64 | T::FLOAT | T::DOUBLE),
        T::INT8 => matches!(to, T::INT16 | T::INT32 | T::INT64 | T::FLOAT | T::DOUBLE),
        T::UINT8 => matches!(
            to,
            T::INT16 | T::UINT16 | T::INT32 | T::UINT32 | T::INT64 | T::UINT64 | T::FLOAT | T::DOUBLE
        ),
        T::UINT16 => matches!(to, T::INT32 | T::UINT32 | T::INT64 | T::UINT64 | T::FLOAT | T::DOUBLE),
        T::UINT32 => matches!(to, T::INT64 | T::UINT64 | T::DOUBLE),
        _ => false,
    }
}
