//! Operators that move elements and do not look at them.

use std::sync::Arc;

use onnx_pass_ir::{DataType, Tensor};

use super::{dims_of, width};
use crate::analysis::NodeCx;
use crate::analysis::strided::{Strided, sizes, slice_bounds};

type Inputs<'a> = &'a [Option<Arc<Tensor>>];

fn input(inputs: Inputs<'_>, k: usize) -> Option<&Tensor> {
    inputs.get(k)?.as_deref()
}

pub(super) fn evaluate(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    match cx.node.op_type() {
        "Identity" => Some(input(inputs, 0)?.clone()),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
            Some(input(inputs, 0)?.reshaped(&cx.outputs.first()?.const_shape()?))
        }
        "Transpose" => transpose(cx, input(inputs, 0)?),
        "Slice" => slice(cx, inputs),
        "Expand" => {
            let (x, to) = (input(inputs, 0)?, target(cx)?);
            view(x, &Strided::dense(&dims_of(x)?).broadcast(&to)?)
        }
        "Tile" => tile(inputs),
        "Concat" => concat(cx, inputs),
        "Gather" => gather(cx, inputs),
        "GatherElements" => gather_elements(cx, inputs),
        "GatherND" => gather_nd(cx, inputs),
        "ScatterND" => scatter_nd(cx, inputs),
        "ConstantOfShape" => constant_of_shape(cx),
        "Where" => select(cx, inputs),
        "Trilu" => trilu(cx, inputs),
        "Pad" => pad(cx, inputs),
        _ => None,
    }
}

fn target(cx: &NodeCx<'_>) -> Option<Vec<usize>> {
    sizes(&cx.outputs.first()?.const_shape()?)
}

/// A tensor of the elements of `x` at these places, in order.
fn take(x: &Tensor, dims: &[usize], places: impl FnOnce(&mut dyn FnMut(usize))) -> Option<Tensor> {
    let w = width(x.dtype)?;
    let raw = x.bytes().ok()?;
    let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    let mut out = Vec::with_capacity(count.checked_mul(w)?);
    let mut whole = true;
    places(&mut |i| match raw.get(i * w..i * w + w) {
        Some(b) => out.extend_from_slice(b),
        None => whole = false,
    });
    let dims: Vec<i64> = dims.iter().map(|d| *d as i64).collect();
    whole.then(|| Tensor::from_raw(x.dtype, &dims, out).ok()).flatten()
}

fn view(x: &Tensor, v: &Strided) -> Option<Tensor> {
    take(x, &v.dims, |f| v.for_each(f))
}

fn transpose(cx: &NodeCx<'_>, x: &Tensor) -> Option<Tensor> {
    let dims = dims_of(x)?;
    let perm = crate::analysis::ops::permutation(cx.int_list("perm"), dims.len())?;
    view(x, &Strided::dense(&dims).permuted(&perm))
}

/// Whole numbers of an input or, in older opsets, of an attribute.
fn numbers(cx: &NodeCx<'_>, inputs: Inputs<'_>, slot: usize, attribute: &str) -> Option<Vec<i64>> {
    match input(inputs, slot) {
        Some(t) => t.to_i64s().ok(),
        None => cx.int_list(attribute).map(<[_]>::to_vec),
    }
}

fn slice(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let x = input(inputs, 0)?;
    let dims = dims_of(x)?;
    let (starts, ends) = (numbers(cx, inputs, 1, "starts")?, numbers(cx, inputs, 2, "ends")?);
    let axes = numbers(cx, inputs, 3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = match input(inputs, 4) {
        Some(t) => t.to_i64s().ok()?,
        None => vec![1; starts.len()],
    };
    let mut v = Strided::dense(&dims);
    for (i, axis) in axes.iter().enumerate() {
        let axis = NodeCx::axis(*axis, dims.len())?;
        let step = *steps.get(i)?;
        let (first, count) = slice_bounds(dims[axis] as i64, *starts.get(i)?, *ends.get(i)?, step)?;
        v = v.sliced(axis, first, step as isize, count);
    }
    view(x, &v)
}

fn tile(inputs: Inputs<'_>) -> Option<Tensor> {
    let x = input(inputs, 0)?;
    let dims = dims_of(x)?;
    let repeats = sizes(&input(inputs, 1)?.to_i64s().ok()?)?;
    if repeats.len() != dims.len() {
        return None;
    }
    // Each axis as two: how often, and the axis itself.
    let split: Vec<usize> = dims.iter().flat_map(|d| [1, *d]).collect();
    let wide: Vec<usize> = dims.iter().zip(&repeats).flat_map(|(d, r)| [*r, *d]).collect();
    let out: Vec<usize> = dims.iter().zip(&repeats).map(|(d, r)| d * r).collect();
    let v = Strided::dense(&split).broadcast(&wide)?;
    take(x, &out, |f| v.for_each(f))
}

fn concat(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let parts: Vec<&Tensor> = inputs.iter().map(Option::as_deref).collect::<Option<_>>()?;
    let first = parts.first()?;
    let w = width(first.dtype)?;
    let rank = first.dims.len();
    let axis = NodeCx::axis(cx.int("axis").or_else(|| (cx.opset() < 4).then_some(1))?, rank)?;
    let out = target(cx)?;
    let outer: usize = out.get(..axis)?.iter().product();
    let mut rows = Vec::with_capacity(parts.len());
    for p in &parts {
        let dims = dims_of(p)?;
        if p.dtype != first.dtype || dims.len() != rank {
            return None;
        }
        rows.push((p.bytes().ok()?, dims[axis..].iter().product::<usize>() * w));
    }
    let mut raw = Vec::new();
    for row in 0..outer {
        for (bytes, len) in &rows {
            raw.extend_from_slice(bytes.get(row * len..(row + 1) * len)?);
        }
    }
    let dims: Vec<i64> = out.iter().map(|d| *d as i64).collect();
    Tensor::from_raw(first.dtype, &dims, raw).ok()
}

pub(super) fn split(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Vec<Option<Arc<Tensor>>>> {
    let x = input(inputs, 0)?;
    let dims = dims_of(x)?;
    let axis = NodeCx::axis(cx.int_or("axis", 0), dims.len())?;
    let mut start = 0usize;
    let mut out = Vec::new();
    for f in cx.outputs.iter() {
        let part = sizes(&f.const_shape()?)?;
        let len = *part.get(axis)?;
        if start + len > dims[axis] {
            return None;
        }
        let t = view(x, &Strided::dense(&dims).sliced(axis, start, 1, len))?;
        out.push(Some(t.shared()));
        start += len;
    }
    (start == dims[axis]).then_some(out)
}

/// Indices counted from the front; `None` when one is out of range, which fails at run time.
fn in_range(index: &[i64], len: usize) -> Option<Vec<usize>> {
    let at = |i: &i64| usize::try_from(if *i < 0 { i + len as i64 } else { *i }).ok().filter(|i| *i < len);
    index.iter().map(at).collect()
}

fn gather(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let x = input(inputs, 0)?;
    let dims = dims_of(x)?;
    let axis = NodeCx::axis(cx.int_or("axis", 0), dims.len())?;
    let index = in_range(&input(inputs, 1)?.to_i64s().ok()?, dims[axis])?;
    let (outer, inner): (usize, usize) = (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
    let len = dims[axis];
    take(x, &target(cx)?, |f| {
        for row in 0..outer {
            for i in &index {
                let start = (row * len + i) * inner;
                (start..start + inner).for_each(&mut *f);
            }
        }
    })
}

fn gather_elements(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let (x, index) = (input(inputs, 0)?, input(inputs, 1)?);
    let (dims, shape) = (dims_of(x)?, dims_of(index)?);
    let axis = NodeCx::axis(cx.int_or("axis", 0), dims.len())?;
    let fits = shape.len() == dims.len() && (0..dims.len()).all(|i| i == axis || shape[i] <= dims[i]);
    let at = in_range(&index.to_i64s().ok()?, dims[axis]).filter(|_| fits)?;
    let stride = Strided::dense(&dims).strides[axis] as usize;
    let mut base = Strided::dense(&dims);
    base.dims = shape.as_slice().into();
    base.strides[axis] = 0;
    let base = base.places();
    take(x, &shape, |f| base.iter().zip(&at).for_each(|(b, i)| f(b + i * stride)))
}

/// The first element of each block that the last axis of an index tensor addresses, and the block's size.
fn blocks(dims: &[usize], index: &Tensor) -> Option<(Vec<usize>, usize)> {
    let depth = *dims_of(index)?.last()?;
    if depth > dims.len() {
        return None;
    }
    let block: usize = dims[depth..].iter().product();
    let strides = Strided::dense(dims).strides;
    let mut out = Vec::new();
    let index = index.to_i64s().ok()?;
    if depth == 0 {
        return None;
    }
    for tuple in index.chunks(depth) {
        let mut at = 0;
        for (axis, i) in tuple.iter().enumerate() {
            let i = in_range(&[*i], dims[axis])?;
            at += i.first()? * strides[axis] as usize;
        }
        out.push(at);
    }
    Some((out, block))
}

fn gather_nd(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    if cx.int_or("batch_dims", 0) != 0 {
        return None;
    }
    let x = input(inputs, 0)?;
    let (starts, block) = blocks(&dims_of(x)?, input(inputs, 1)?)?;
    take(x, &target(cx)?, |f| starts.iter().for_each(|s| (*s..s + block).for_each(&mut *f)))
}

fn scatter_nd(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    if cx.str("reduction").is_some_and(|r| r != "none") {
        return None;
    }
    let (x, new) = (input(inputs, 0)?, input(inputs, 2)?);
    let w = width(x.dtype)?;
    let (starts, block) = blocks(&dims_of(x)?, input(inputs, 1)?)?;
    let mut places: Vec<usize> = starts.clone();
    places.sort_unstable();
    places.dedup();
    // Which of two writes to one place wins is not fixed.
    if places.len() != starts.len() || new.dtype != x.dtype {
        return None;
    }
    let (mut raw, new) = (x.bytes().ok()?.to_vec(), new.bytes().ok()?);
    for (k, s) in starts.iter().enumerate() {
        let from = new.get(k * block * w..(k + 1) * block * w)?;
        raw.get_mut(s * w..(s + block) * w)?.copy_from_slice(from);
    }
    Tensor::from_raw(x.dtype, &x.dims, raw).ok()
}

fn constant_of_shape(cx: &NodeCx<'_>) -> Option<Tensor> {
    let to = target(cx)?;
    let count = to.iter().product::<usize>();
    let (dtype, one) = match cx.tensor_attr("value") {
        Some(t) => (t.dtype, t.bytes().ok()?.to_vec()),
        None => (DataType::FLOAT, vec![0; 4]),
    };
    (width(dtype)? == one.len()).then_some(())?;
    let dims: Vec<i64> = to.iter().map(|d| *d as i64).collect();
    Tensor::from_raw(dtype, &dims, one.repeat(count)).ok()
}

fn select(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let (c, x, y) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
    let to = target(cx)?;
    let places = |t: &Tensor| Some(Strided::dense(&dims_of(t)?).broadcast(&to)?.places());
    let (pc, px, py) = (places(c)?, places(x)?, places(y)?);
    let (c, rx, ry) = (c.to_i64s().ok()?, x.bytes().ok()?, y.bytes().ok()?);
    if x.dtype != y.dtype {
        return None;
    }
    let w = width(x.dtype)?;
    let mut raw = Vec::with_capacity(pc.len() * w);
    for ((c_at, x_at), y_at) in pc.iter().zip(&px).zip(&py) {
        let (from, at) = if *c.get(*c_at)? != 0 { (&rx, x_at) } else { (&ry, y_at) };
        raw.extend_from_slice(from.get(at * w..at * w + w)?);
    }
    let dims: Vec<i64> = to.iter().map(|d| *d as i64).collect();
    Tensor::from_raw(x.dtype, &dims, raw).ok()
}

fn trilu(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let x = input(inputs, 0)?;
    let dims = dims_of(x)?;
    let [.., rows, cols] = dims[..] else { return None };
    let k = match input(inputs, 1) {
        Some(t) => *t.to_i64s().ok()?.first()?,
        None => 0,
    };
    let upper = cx.int_or("upper", 1) != 0;
    let w = width(x.dtype)?;
    let mut raw = x.bytes().ok()?.to_vec();
    for (at, element) in raw.chunks_exact_mut(w).enumerate() {
        let (row, col) = ((at / cols.max(1)) % rows.max(1), at % cols.max(1));
        let diagonal = col as i64 - row as i64;
        let kept = if upper { diagonal >= k } else { diagonal <= k };
        if !kept {
            element.fill(0);
        }
    }
    Tensor::from_raw(x.dtype, &x.dims, raw).ok()
}

fn pad(cx: &NodeCx<'_>, inputs: Inputs<'_>) -> Option<Tensor> {
    let has_axes = inputs.get(3).is_some_and(Option::is_some);
    if cx.str("mode").is_some_and(|m| m != "constant") || cx.opset() < 11 || has_axes {
        return None;
    }
    let x = input(inputs, 0)?;
    let (dims, to, w) = (dims_of(x)?, target(cx)?, width(x.dtype)?);
    let pads = input(inputs, 1)?.to_i64s().ok()?;
    let lead: Vec<usize> = pads.iter().map(|p| usize::try_from(*p).ok()).collect::<Option<_>>()?;
    if lead.len() != 2 * dims.len() || to.len() != dims.len() {
        return None;
    }
    let fill = match input(inputs, 2) {
        Some(t) => t.bytes().ok()?.to_vec(),
        None => vec![0; w],
    };
    (fill.len() == w).then_some(())?;
    let mut raw = fill.repeat(to.iter().product());
    let mut inner = Strided::dense(&to);
    for (axis, d) in dims.iter().enumerate() {
        inner = inner.sliced(axis, lead[axis], 1, *d);
    }
    let from = x.bytes().ok()?;
    for (k, at) in inner.places().into_iter().enumerate() {
        raw.get_mut(at * w..at * w + w)?.copy_from_slice(from.get(k * w..k * w + w)?);
    }
    let dims: Vec<i64> = to.iter().map(|d| *d as i64).collect();
    Tensor::from_raw(x.dtype, &dims, raw).ok()
}
