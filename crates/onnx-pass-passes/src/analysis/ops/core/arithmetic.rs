//! Elementwise operators that shape arithmetic uses: shapes by broadcasting, contents element by element.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::super::super::strided::{Strided, broadcast_sizes, sizes};
use super::super::super::{Fact, MAX_ITEMS, NodeCx};

type Item = Option<Expr>;

/// Adds, multiplies, …: any number of inputs of one type.
pub(super) fn computing(cx: &mut NodeCx<'_>) {
    broadcasting(cx, common_dtype(cx));
}

/// Compares, or computes with truth.
pub(super) fn telling(cx: &mut NodeCx<'_>) {
    broadcasting(cx, Some(DataType::BOOL));
}

/// A power has the base's type.
pub(super) fn raising(cx: &mut NodeCx<'_>) {
    broadcasting(cx, cx.dtype(0));
}

/// The slope is broadcast to the data.
pub(super) fn sloping(cx: &mut NodeCx<'_>) {
    let shape = cx.shared_shape(0);
    cx.set_shared(0, common_dtype(cx), shape);
    combine_items(cx);
}

/// Inputs that are broadcast to each other.
fn broadcasting(cx: &mut NodeCx<'_>, dtype: Option<DataType>) {
    let count = cx.node.inputs().len();
    let mut shape = cx.shared_shape(0);
    for k in 1..count {
        if let (Some(a), Some(b)) = (&shape, cx.shape(k))
            && NodeCx::covers(a, b)
        {
            continue;
        }
        // Before opset 7 the others are broadcast to the first.
        if cx.opset() < 7 {
            break;
        }
        shape = match (shape, cx.shared_shape(k)) {
            (Some(a), Some(b)) => Some(cx.broadcast_shared(a, b)),
            _ => None,
        };
    }
    cx.set_shared(0, dtype, shape);
    combine_items(cx);
}

/// The contents of the answer, where those of the operands are followed.
fn combine_items(cx: &mut NodeCx<'_>) {
    let count = cx.node.inputs().len();
    if count == 2
        && let Some(items) = binary_items(cx)
    {
        put_items(cx, items);
    } else if count == 1
        && matches!(cx.node.op_type(), "Max" | "Min" | "Sum")
        && let Some(items) = cx.items(0)
    {
        put_items(cx, items.to_vec());
    }
}

fn common_dtype(cx: &NodeCx<'_>) -> Option<DataType> {
    (0..cx.node.inputs().len()).find_map(|k| cx.dtype(k))
}

/// Adds contents to the answer where its shape is all numbers and fits them.
fn put_items(cx: &mut NodeCx<'_>, items: Vec<Item>) {
    let Some(out) = cx.outputs.first_mut() else { return };
    let whole = out.dtype.is_some_and(|t| t.is_integer() || t == DataType::BOOL);
    if whole && out.count() == Some(items.len()) && (items.is_empty() || items.iter().any(Option::is_some)) {
        out.items = Some(items.into());
    }
}

/// The contents of an input broadcast to a shape; all unknown when nothing is known of them.
fn broadcast_items(f: &Fact, dims: &[usize]) -> Option<Vec<Item>> {
    let count: usize = dims.iter().product();
    let Some(items) = &f.items else { return Some(vec![None; count]) };
    let own = sizes(&f.const_shape()?)?;
    let view = Strided::dense(&own).broadcast(dims)?;
    Some(view.places().into_iter().map(|i| items.get(i).cloned().flatten()).collect())
}

fn binary_items(cx: &NodeCx<'_>) -> Option<Vec<Item>> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    if a.items.is_none() && b.items.is_none() {
        return None;
    }
    let dims = broadcast_sizes(&sizes(&a.const_shape()?)?, &sizes(&b.const_shape()?)?)?;
    if dims.iter().product::<usize>() > MAX_ITEMS {
        return None;
    }
    let (op, dtype) = (cx.node.op_type(), cx.outputs.first()?.dtype?);
    let (x, y) = (broadcast_items(a, &dims)?, broadcast_items(b, &dims)?);
    Some(x.into_iter().zip(y).map(|(x, y)| binary(cx, op, dtype, x, y)).collect())
}

fn truth(b: bool) -> Item {
    Some(Expr::constant(i64::from(b)))
}

/// A bool's value, if known.
fn known(x: &Item) -> Option<bool> {
    x.as_ref()?.as_const().map(|v| v != 0)
}

fn binary(cx: &NodeCx<'_>, op: &str, dtype: DataType, x: Item, y: Item) -> Item {
    match op {
        "And" => match (known(&x), known(&y)) {
            (Some(false), _) | (_, Some(false)) => return truth(false),
            (Some(true), _) => return y,
            (_, Some(true)) => return x,
            _ => return None,
        },
        "Or" => match (known(&x), known(&y)) {
            (Some(true), _) | (_, Some(true)) => return truth(true),
            (Some(false), _) => return y,
            (_, Some(false)) => return x,
            _ => return None,
        },
        "Xor" => return truth(known(&x)? != known(&y)?),
        "Mul" if [&x, &y].into_iter().any(|e| e.as_ref().is_some_and(Expr::is_zero)) => {
            return Some(Expr::ZERO);
        }
        _ => {}
    }
    let (x, y) = (x?, y?);
    let s = &*cx.symbols;
    let out = match op {
        "Equal" => return s.equal(&x, &y).and_then(truth),
        "Less" => return s.lt(&x, &y).and_then(truth),
        "Greater" => return s.lt(&y, &x).and_then(truth),
        "LessOrEqual" => return s.le(&x, &y).and_then(truth),
        "GreaterOrEqual" => return s.le(&y, &x).and_then(truth),
        "Add" | "Sum" => x.add(&y),
        "Sub" => x.sub(&y),
        "Mul" => x.mul(&y),
        "Div" => quotient(cx, &x, &y)?,
        "Mod" => remainder(cx, &x, &y)?,
        "Max" => cx.max(&x, &y),
        "Min" => cx.min(&x, &y),
        "Pow" => power(&x, &y)?,
        "BitShift" => shift(cx, &x, &y)?,
        "BitwiseAnd" => Expr::constant(x.as_const()? & y.as_const()?),
        "BitwiseOr" => Expr::constant(x.as_const()? | y.as_const()?),
        "BitwiseXor" => Expr::constant(x.as_const()? ^ y.as_const()?),
        _ => return None,
    };
    fitting(dtype, out)
}

/// An element as its type holds it: lengths are taken to fit 32 and 64 bits, anything narrower must be a
/// number that fits.
fn fitting(dtype: DataType, e: Expr) -> Item {
    let (low, high) = match dtype {
        DataType::INT64 => return Some(e),
        DataType::INT32 if !e.is_const() => return Some(e),
        DataType::INT32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::INT16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::INT8 => (-128, 127),
        DataType::UINT8 => (0, 255),
        DataType::UINT16 => (0, 65535),
        DataType::UINT32 => (0, i64::from(u32::MAX)),
        DataType::UINT64 => (0, i64::MAX),
        DataType::BOOL => (0, 1),
        _ => return None,
    };
    e.as_const().filter(|v| (low..=high).contains(v)).map(Expr::constant)
}

/// Integer division rounds towards zero.
fn quotient(cx: &NodeCx<'_>, x: &Expr, y: &Expr) -> Item {
    if let (Some(a), Some(b)) = (x.as_const(), y.as_const()) {
        return a.checked_div(b).map(Expr::constant);
    }
    if let Some(q) = x.exact_div(y) {
        return Some(q);
    }
    // A divisor of zero fails at run time.
    (cx.nonneg(x) && cx.nonneg(y)).then(|| x.floor_div(y))
}

/// The remainder has the divisor's sign, or with `fmod` the dividend's.
fn remainder(cx: &NodeCx<'_>, x: &Expr, y: &Expr) -> Item {
    if y.is_zero() {
        return None;
    }
    let same_sign = cx.nonneg(x) && cx.nonneg(y);
    if cx.int_or("fmod", 0) != 0 && !same_sign {
        let (a, b) = (x.as_const()?, y.as_const()?);
        return a.checked_rem(b).map(Expr::constant);
    }
    Some(x.modulo(y))
}

fn power(x: &Expr, y: &Expr) -> Item {
    let n = u32::try_from(y.as_const()?).ok().filter(|n| *n <= 8)?;
    Some(x.pow(n))
}

fn shift(cx: &NodeCx<'_>, x: &Expr, y: &Expr) -> Item {
    let n = u32::try_from(y.as_const()?).ok().filter(|n| *n < 62)?;
    match cx.str("direction")? {
        "LEFT" => Some(x.mul(&Expr::constant(1 << n))),
        "RIGHT" if cx.nonneg(x) => Some(x.floor_div(&Expr::constant(1 << n))),
        _ => None,
    }
}

/// One input, its type and shape kept.
pub(super) fn unary(cx: &mut NodeCx<'_>) {
    super::elementwise::same(cx);
    let Some(items) = cx.items(0) else { return };
    let op = cx.node.op_type();
    let bounds = (clip_bound(cx, 1), clip_bound(cx, 2));
    let dtype = cx.dtype(0);
    let one = |x: &Item| -> Item {
        let x = x.as_ref()?;
        let out = match op {
            "Neg" => x.neg(),
            "Abs" if cx.nonneg(x) => x.clone(),
            "Abs" => x.max(&x.neg()),
            "Sign" if x.is_zero() => Expr::ZERO,
            "Sign" if cx.positive(x) => Expr::ONE,
            "Sign" if cx.positive(&x.neg()) => Expr::constant(-1),
            "Not" => return truth(x.as_const()? == 0),
            "Relu" => cx.max(x, &Expr::ZERO),
            "Floor" | "Ceil" | "Round" => x.clone(),
            "Clip" => {
                let low = bounds.0.clone()?.map_or(x.clone(), |lo| cx.max(x, &lo));
                bounds.1.clone()?.map_or(low.clone(), |hi| cx.min(&low, &hi))
            }
            _ => return None,
        };
        fitting(dtype?, out)
    };
    let out = items.iter().map(one).collect();
    put_items(cx, out);
}

/// `None`: a bound that is not known; `Some(None)`: no bound.
fn clip_bound(cx: &NodeCx<'_>, k: usize) -> Option<Option<Expr>> {
    if !cx.has_input(k) {
        return Some(None);
    }
    Some(Some(cx.exprs(k)?.first()?.clone()))
}

pub(super) fn select(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(1).or(cx.dtype(2));
    let shape = match (cx.shared_shape(0), cx.shared_shape(1), cx.shared_shape(2)) {
        (Some(a), Some(b), Some(c)) => {
            let ab = cx.broadcast_shared(a, b);
            Some(cx.broadcast_shared(ab, c))
        }
        _ => None,
    };
    cx.set_shared(0, dtype, shape);
    let few = cx.outputs.first().filter(|f| f.count().is_some_and(|n| n <= MAX_ITEMS));
    let Some(dims) = few.and_then(Fact::const_shape).and_then(|d| sizes(&d)) else { return };
    let (Some(c), Some(a), Some(b)) = (cx.input(0), cx.input(1), cx.input(2)) else { return };
    let all = (broadcast_items(c, &dims), broadcast_items(a, &dims), broadcast_items(b, &dims));
    let (Some(c), Some(a), Some(b)) = all else { return };
    let one = |((c, a), b): ((Item, Item), Item)| match known(&c) {
        Some(true) => a,
        Some(false) => b,
        None if a == b => a,
        None => None,
    };
    put_items(cx, c.into_iter().zip(a).zip(b).map(one).collect());
}

pub(super) fn cast(cx: &mut NodeCx<'_>) {
    let to = cx.int("to").and_then(|t| i32::try_from(t).ok()).map(DataType);
    cast_to(cx, to);
}

pub(super) fn cast_like(cx: &mut NodeCx<'_>) {
    cast_to(cx, cx.dtype(1));
}

fn cast_to(cx: &mut NodeCx<'_>, to: Option<DataType>) {
    let shape = cx.shared_shape(0);
    cx.set_shared(0, to, shape);
    let (Some(items), Some(to)) = (cx.items(0), to) else { return };
    let one = |x: &Item| -> Item {
        let x = x.as_ref()?;
        if to != DataType::BOOL {
            return fitting(to, x.clone());
        }
        match cx.symbols.equal(x, &Expr::ZERO) {
            Some(zero) => truth(!zero),
            None if cx.positive(x) => truth(true),
            None => None,
        }
    };
    put_items(cx, items.iter().map(one).collect());
}
