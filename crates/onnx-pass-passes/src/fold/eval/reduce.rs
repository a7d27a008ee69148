//! Reductions and sums along an axis, of integers; the extrema of floats too.

use std::sync::Arc;

use onnx_pass_ir::{DataType, Tensor};

use super::arith::better;
use super::dims_of;
use super::num::{Num, load, store};
use crate::analysis::NodeCx;
use crate::analysis::strided::Strided;

type Inputs<'a> = &'a [Option<Arc<Tensor>>];

pub(super) fn evaluate(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    match cx.node.op_type() {
        "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" => reduce(cx, inputs),
        "CumSum" => cum_sum(cx, inputs),
        "NonZero" => non_zero(inputs.first()?.as_deref()?),
        _ => None,
    }
}

fn reduce(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let x = inputs.first()?.as_deref()?;
    let dims = dims_of(x)?;
    let axes = match (cx.int_list("axes"), inputs.get(1)) {
        (Some(a), _) => a.to_vec(),
        (None, Some(Some(t))) => t.to_i64s().ok()?,
        _ => Vec::new(),
    };
    let noop = axes.is_empty() && cx.int_or("noop_with_empty_axes", 0) != 0;
    let gone: Vec<usize> = if axes.is_empty() && !noop {
        (0..dims.len()).collect()
    } else {
        axes.iter().map(|a| NodeCx::axis(*a, dims.len())).collect::<Option<_>>()?
    };
    // Kept axes first, reduced ones last: then each result is a run of elements.
    let kept: Vec<usize> = (0..dims.len()).filter(|i| !gone.contains(i)).collect();
    let order: Vec<usize> = kept.iter().chain(&gone).copied().collect();
    let places = Strided::dense(&dims).permuted(&order).places();
    let run: usize = gone.iter().map(|i| dims[*i]).product();
    if run == 0 {
        return None;
    }
    let out = cx.outputs.first()?.const_shape()?;
    let op = cx.node.op_type();
    let n = match load(x)? {
        Num::Int(v) if x.dtype != DataType::BOOL => {
            Num::Int(places.chunks(run).map(|run| integers(op, run, &v)).collect::<Option<_>>()?)
        }
        Num::F32(v) => Num::F32(places.chunks(run).map(|run| floats(op, run, &v)).collect::<Option<_>>()?),
        _ => return None,
    };
    store(x.dtype, &out, &n)
}

fn integers(op: &str, run: &[usize], v: &[i128]) -> Option<i128> {
    let values = run.iter().map(|i| v[*i]);
    match op {
        "ReduceSum" => Some(values.fold(0, i128::wrapping_add)),
        "ReduceProd" => Some(values.fold(1, i128::wrapping_mul)),
        "ReduceMax" => values.max(),
        _ => values.min(),
    }
}

fn floats(op: &str, run: &[usize], v: &[f32]) -> Option<f32> {
    let least = match op {
        "ReduceMax" => false,
        "ReduceMin" => true,
        _ => return None,
    };
    let mut values = run.iter().map(|i| v[*i]).peekable();
    // Of two zeros of different signs either may come out.
    let signed_zero = run.iter().any(|i| v[*i].to_bits() == (-0.0f32).to_bits());
    let first = values.next().filter(|x| !signed_zero && !x.is_nan())?;
    values.try_fold(first, |best, x| better(least, best, x))
}

fn cum_sum(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let (x, axis) = (inputs.first()?.as_deref()?, inputs.get(1)?.as_deref()?);
    let dims = dims_of(x)?;
    let axis = NodeCx::axis(*axis.to_i64s().ok()?.first()?, dims.len())?;
    let Num::Int(v) = load(x)? else { return None };
    let (exclusive, reverse) = (cx.int_or("exclusive", 0) != 0, cx.int_or("reverse", 0) != 0);
    let mut order: Vec<usize> = (0..dims.len()).filter(|i| *i != axis).collect();
    order.push(axis);
    let places = Strided::dense(&dims).permuted(&order).places();
    let mut out = v.clone();
    let len = dims[axis];
    if len == 0 {
        return Some(x.clone());
    }
    for run in places.chunks(len) {
        let mut sum = 0i128;
        let mut step = |i: usize| {
            out[i] = if exclusive { sum } else { sum.wrapping_add(v[i]) };
            sum = sum.wrapping_add(v[i]);
        };
        if reverse { run.iter().rev().for_each(|i| step(*i)) } else { run.iter().for_each(|i| step(*i)) }
    }
    store(x.dtype, &x.dims, &Num::Int(out))
}

fn non_zero(x: &Tensor) -> Option<Tensor> {
    let dims = dims_of(x)?;
    let nonzero: Vec<bool> = match load(x)? {
        Num::F32(v) => v.iter().map(|x| *x != 0.0).collect(),
        Num::F64(v) => v.iter().map(|x| *x != 0.0).collect(),
        Num::Int(v) => v.iter().map(|x| *x != 0).collect(),
    };
    // Runtimes differ on what a scalar gives.
    if dims.is_empty() {
        return None;
    }
    let at: Vec<usize> = nonzero.iter().enumerate().filter(|(_, n)| **n).map(|(i, _)| i).collect();
    let strides = Strided::dense(&dims).strides;
    let mut out = Vec::with_capacity(dims.len() * at.len());
    for (axis, d) in dims.iter().enumerate() {
        out.extend(at.iter().map(|i| ((i / strides[axis] as usize) % d) as i64));
    }
    Some(Tensor::int64(&[dims.len() as i64, at.len() as i64], &out))
}
