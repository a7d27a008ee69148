//! Elementwise operators.

use std::sync::Arc;

use onnx_pass_ir::{DataType, Tensor};

use super::dims_of;
use super::num::{Num, convert, load, store};
use crate::analysis::NodeCx;
use crate::analysis::strided::{Strided, broadcast_sizes};

type Inputs<'a> = &'a [Option<Arc<Tensor>>];

pub(super) fn evaluate(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let x = inputs.first()?.as_deref()?;
    let op = cx.node.op_type();
    match op {
        "Cast" | "CastLike" => {
            let to = cx.outputs.first()?.dtype?;
            // Saturation concerns 8-bit floats only, which are not computed with.
            store(to, &x.dims, &convert(&load(x)?, to)?)
        }
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => {
            let y = inputs.get(1)?.as_deref()?;
            (x.dtype == y.dtype).then_some(())?;
            arithmetic(cx, op, x, y)
        }
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" => {
            let y = inputs.get(1)?.as_deref()?;
            (x.dtype == y.dtype).then_some(())?;
            compare(op, x, y)
        }
        "Min" | "Max" => {
            let mut best = x.clone();
            for y in &inputs[1..] {
                let y = y.as_deref().filter(|y| y.dtype == x.dtype)?;
                best = extremum(op, &best, y)?;
            }
            Some(best)
        }
        "Range" => range(inputs),
        _ if inputs.len() == 1 => unary(cx, op, x),
        _ => None,
    }
}

/// Both operands' places for every element of the result, and its shape.
fn pairs(x: &Tensor, y: &Tensor) -> Option<(Vec<usize>, Vec<usize>, Vec<i64>)> {
    let (a, b) = (dims_of(x)?, dims_of(y)?);
    let dims = broadcast_sizes(&a, &b)?;
    let places = |own: &[usize]| Some(Strided::dense(own).broadcast(&dims)?.places());
    Some((places(&a)?, places(&b)?, dims.iter().map(|d| *d as i64).collect()))
}

fn zip<T: Copy, R>(
    a: &[T],
    b: &[T],
    places: (&[usize], &[usize]),
    f: impl Fn(T, T) -> Option<R>,
) -> Option<Vec<R>> {
    places.0.iter().zip(places.1).map(|(i, j)| f(*a.get(*i)?, *b.get(*j)?)).collect()
}

fn arithmetic(cx: &NodeCx<'_>, op: &str, x: &Tensor, y: &Tensor) -> Option<Tensor> {
    let (px, py, dims) = pairs(x, y)?;
    let p = (&px[..], &py[..]);
    let out = match (load(x)?, load(y)?) {
        (Num::F32(a), Num::F32(b)) => Num::F32(zip(&a, &b, p, |a, b| float_op(op, a, b))?),
        (Num::F64(a), Num::F64(b)) => Num::F64(zip(&a, &b, p, |a, b| float_op(op, a, b))?),
        (Num::Int(a), Num::Int(b)) if x.dtype != DataType::BOOL => {
            let fmod = cx.int_or("fmod", 0) != 0;
            Num::Int(zip(&a, &b, p, |a, b| int_op(op, fmod, a, b))?)
        }
        _ => return None,
    };
    store(x.dtype, &dims, &out)
}

/// The operations that IEEE 754 rounds correctly. A result that is no number is left to the runtime: its bits
/// are not fixed.
fn float_op<T>(op: &str, a: T, b: T) -> Option<T>
where
    T: Copy
        + PartialEq
        + From<f32>
        + std::ops::Add<Output = T>
        + std::ops::Sub<Output = T>
        + std::ops::Mul<Output = T>
        + std::ops::Div<Output = T>,
{
    let r = match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Pow" if b == T::from(2.0) => a * a,
        "Pow" if b == T::from(1.0) => a,
        _ => return None,
    };
    #[allow(clippy::eq_op)] // False for NaN alone.
    (r == r).then_some(r)
}

fn int_op(op: &str, fmod: bool, a: i128, b: i128) -> Option<i128> {
    Some(match op {
        "Add" => a.wrapping_add(b),
        "Sub" => a.wrapping_sub(b),
        "Mul" => a.wrapping_mul(b),
        "Div" => a.checked_div(b)?,
        "Mod" if fmod => a.checked_rem(b)?,
        "Mod" => {
            let r = a.checked_rem(b)?;
            if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
        }
        "Pow" => {
            let r = a.checked_pow(u32::try_from(b).ok().filter(|b| *b < 64)?)?;
            // Runtimes go by way of floating point; small results are exact there.
            (r.abs() < 1 << 52).then_some(r)?
        }
        "BitwiseAnd" => a & b,
        "BitwiseOr" => a | b,
        "BitwiseXor" => a ^ b,
        _ => return None,
    })
}

fn compare(op: &str, x: &Tensor, y: &Tensor) -> Option<Tensor> {
    let (px, py, dims) = pairs(x, y)?;
    let p = (&px[..], &py[..]);
    let out = match (load(x)?, load(y)?) {
        (Num::F32(a), Num::F32(b)) => zip(&a, &b, p, |a, b| compared(op, &a, &b))?,
        (Num::F64(a), Num::F64(b)) => zip(&a, &b, p, |a, b| compared(op, &a, &b))?,
        (Num::Int(a), Num::Int(b)) => zip(&a, &b, p, |a, b| match op {
            "And" => Some(i128::from(a != 0 && b != 0)),
            "Or" => Some(i128::from(a != 0 || b != 0)),
            "Xor" => Some(i128::from((a != 0) != (b != 0))),
            _ => compared(op, &a, &b),
        })?,
        _ => return None,
    };
    store(DataType::BOOL, &dims, &Num::Int(out))
}

fn compared<T: PartialOrd>(op: &str, a: &T, b: &T) -> Option<i128> {
    Some(i128::from(match op {
        "Equal" => a == b,
        "Less" => a < b,
        "LessOrEqual" => a <= b,
        "Greater" => a > b,
        "GreaterOrEqual" => a >= b,
        _ => return None,
    }))
}

fn extremum(op: &str, x: &Tensor, y: &Tensor) -> Option<Tensor> {
    let (px, py, dims) = pairs(x, y)?;
    let p = (&px[..], &py[..]);
    let least = op == "Min";
    let out = match (load(x)?, load(y)?) {
        (Num::F32(a), Num::F32(b)) => Num::F32(zip(&a, &b, p, |a, b| {
            better(least, a, b).filter(|_| a != b || a.to_bits() == b.to_bits())
        })?),
        (Num::F64(a), Num::F64(b)) => Num::F64(zip(&a, &b, p, |a, b| {
            better(least, a, b).filter(|_| a != b || a.to_bits() == b.to_bits())
        })?),
        (Num::Int(a), Num::Int(b)) => Num::Int(zip(&a, &b, p, |a, b| better(least, a, b))?),
        _ => return None,
    };
    store(x.dtype, &dims, &out)
}

/// The lesser or greater; `None` where there is no order.
pub(super) fn better<T: PartialOrd + Copy>(least: bool, a: T, b: T) -> Option<T> {
    let less = a.partial_cmp(&b)?.is_lt();
    Some(if less == least { a } else { b })
}

fn unary(cx: &NodeCx<'_>, op: &str, x: &Tensor) -> Option<Tensor> {
    let n = load(x)?;
    let out = match &n {
        Num::F32(v) => match op {
            "IsNaN" => return flags(x, v.iter().map(|x| x.is_nan())),
            "IsInf" => return flags(x, v.iter().map(|x| infinite(cx, f64::from(*x)))),
            _ => Num::F32(v.iter().map(|x| float_unary(op, *x)).collect::<Option<_>>()?),
        },
        Num::F64(v) => match op {
            "IsNaN" => return flags(x, v.iter().map(|x| x.is_nan())),
            "IsInf" => return flags(x, v.iter().map(|x| infinite(cx, *x))),
            "Reciprocal" | "Sqrt" | "Neg" | "Abs" | "Floor" | "Ceil" | "Round" => {
                Num::F64(v.iter().map(|x| double_unary(op, *x)).collect::<Option<_>>()?)
            }
            _ => return None,
        },
        Num::Int(v) => Num::Int(v.iter().map(|a| int_unary(op, x.dtype, *a)).collect::<Option<_>>()?),
    };
    store(x.dtype, &x.dims, &out)
}

fn infinite(cx: &NodeCx<'_>, x: f64) -> bool {
    let wanted = if x > 0.0 { "detect_positive" } else { "detect_negative" };
    x.is_infinite() && cx.int_or(wanted, 1) != 0
}

fn flags(x: &Tensor, v: impl Iterator<Item = bool>) -> Option<Tensor> {
    store(DataType::BOOL, &x.dims, &Num::Int(v.map(i128::from).collect()))
}

fn float_unary(op: &str, x: f32) -> Option<f32> {
    let r = match op {
        "Neg" => -x,
        "Abs" => x.abs(),
        "Sqrt" => x.sqrt(),
        "Reciprocal" => 1.0 / x,
        "Floor" => x.floor(),
        "Ceil" => x.ceil(),
        "Round" => x.round_ties_even(),
        "Relu" if x > 0.0 || (x <= 0.0 && x.to_bits() != (-0.0f32).to_bits()) => x.max(0.0),
        "Sign" if x == 0.0 => 0.0,
        "Sign" => x.signum(),
        _ => return None,
    };
    (!r.is_nan()).then_some(r)
}

fn double_unary(op: &str, x: f64) -> Option<f64> {
    let r = match op {
        "Neg" => -x,
        "Abs" => x.abs(),
        "Sqrt" => x.sqrt(),
        "Reciprocal" => 1.0 / x,
        "Floor" => x.floor(),
        "Ceil" => x.ceil(),
        "Round" => x.round_ties_even(),
        _ => return None,
    };
    (!r.is_nan()).then_some(r)
}

fn int_unary(op: &str, dtype: DataType, x: i128) -> Option<i128> {
    if dtype == DataType::BOOL {
        return (op == "Not").then_some(i128::from(x == 0));
    }
    match op {
        "Neg" => Some(-x),
        "Abs" => Some(x.abs()),
        "Relu" => Some(x.max(0)),
        "Sign" => Some(x.signum()),
        "BitwiseNot" => Some(!x),
        _ => None,
    }
}

fn range(inputs: Inputs<'_>) -> Option<Tensor> {
    let [Some(start), Some(limit), Some(delta)] = inputs else { return None };
    let dtype = start.dtype;
    let whole = |t: &Tensor| -> Option<i128> {
        // In floating point only whole numbers are the same however they are summed up.
        match load(t)? {
            Num::Int(v) => v.first().copied(),
            Num::F32(v) => {
                v.first().filter(|x| x.fract() == 0.0 && x.abs() < 8_388_608.0).map(|x| *x as i128)
            }
            Num::F64(v) => v.first().filter(|x| x.fract() == 0.0 && x.abs() < 1e15).map(|x| *x as i128),
        }
    };
    let (s, l, d) = (whole(start)?, whole(limit)?, whole(delta)?);
    if d == 0 || matches!(dtype, DataType::FLOAT16 | DataType::BFLOAT16) {
        return None;
    }
    let span = if d > 0 { l - s } else { s - l };
    let count = if span > 0 { (span + d.abs() - 1) / d.abs() } else { 0 };
    let count = i64::try_from(count).ok().filter(|n| *n <= 1 << 24)?;
    let v: Vec<i128> = (0..i128::from(count)).map(|i| s + i * d).collect();
    store(dtype, &[count], &convert(&Num::Int(v), dtype)?)
}
