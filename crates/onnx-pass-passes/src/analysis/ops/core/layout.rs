//! Operators that keep the elements and change how they are laid out.

use onnx_pass_ir::sym::Expr;
use smallvec::SmallVec;

use super::super::super::strided::{Strided, sizes};
use super::super::super::{Fact, NodeCx, SymItems};
use super::shape::product;

pub(super) fn identity(cx: &mut NodeCx<'_>) {
    if let Some(f) = cx.input(0) {
        cx.set_fact(0, f.clone());
    }
}

/// The same elements in the same order under another shape: contents go along.
pub(super) fn relabel(cx: &mut NodeCx<'_>, shape: Option<Vec<Expr>>) {
    let Some(f) = cx.input(0) else { return };
    let mut out = match (&f.shape, shape) {
        (Some(from), Some(to)) if from[..] == to[..] => {
            Fact { shape: f.shape.clone(), dtype: f.dtype, ..Fact::default() }
        }
        (_, shape) => Fact::tensor(f.dtype, shape),
    };
    if let Some(items) = &f.items
        && out.count() == Some(items.len())
    {
        out.items = Some(items.clone());
    }
    if let Some(t) = &f.tensor
        && let Some(dims) = out.const_shape()
        && t.len().ok() == out.count()
    {
        out.tensor = Some(t.reshaped(&dims).shared());
    }
    cx.set_fact(0, out);
}

pub(super) fn reshape(cx: &mut NodeCx<'_>) {
    let target: Option<SymItems> = match cx.int_list("shape") {
        Some(v) if cx.opset() < 5 => Some(v.iter().map(|x| Some(Expr::constant(*x))).collect()),
        _ => cx.items(1).or_else(|| {
            let n = usize::try_from(cx.shape(1)?.first()?.as_const()?).ok().filter(|n| *n <= 64)?;
            Some(vec![None; n].into())
        }),
    };
    let Some(target) = target else { return relabel(cx, None) };
    let from = cx.shape(0);
    let copies = cx.int_or("allowzero", 0) == 0;
    let (mut open, mut doubtful) = (SmallVec::<[usize; 4]>::new(), SmallVec::<[usize; 4]>::new());
    let mut out = Vec::with_capacity(target.len());
    for (axis, e) in target.iter().enumerate() {
        let d = match e {
            Some(e) if e.is_zero() && copies => from.and_then(|f| f.get(axis).cloned()),
            Some(e) if e.as_const() == Some(-1) => None,
            Some(e) => {
                if copies && !is_length(cx, from, axis, e) {
                    doubtful.push(axis);
                }
                Some(e.clone())
            }
            None => None,
        };
        if d.is_none() {
            open.push(axis);
        }
        out.push(d.unwrap_or(Expr::ZERO));
    }
    if let (true, [axis]) = (open.is_empty() && from.is_some(), &doubtful[..])
        && others(&out, *axis).all(|d| is_positive(cx, d))
    {
        // It is what the others leave, whatever was written there.
        (open, doubtful) = (SmallVec::from_slice(&[*axis]), SmallVec::new());
    }
    // One that has nothing to do with the data may be another length in a run without elements.
    if let (true, false, Some(from)) = (open.is_empty(), doubtful.is_empty(), from) {
        let known = product(from).symbols();
        for axis in &doubtful {
            if out[*axis].symbols().is_disjoint(&known) {
                out[*axis] = cx.fresh(0, *axis);
            }
        }
    }
    // One open length, a −1 or one that is not known, is what the others leave of the whole. (A length that
    // is not known may turn out to be a 0 that copies: then, too, the whole is the product.)
    if let ([axis], Some(from)) = (&open[..], from) {
        let part: Vec<Expr> = others(&out, *axis).cloned().collect();
        out[*axis] = rest_of(cx, from, &part).unwrap_or_else(|| cx.fresh(0, *axis));
        return relabel(cx, Some(out));
    }
    open.iter().for_each(|axis| out[*axis] = cx.fresh(0, *axis));
    if let (true, true, Some(from)) = (open.is_empty(), doubtful.is_empty(), from) {
        same_count(cx, from, &out);
    }
    relabel(cx, Some(out));
}

/// Notes that two shapes have the same number of elements. Mostly that is seen without multiplying symbols: what is
/// left when the lengths of both are struck out is the same.
fn same_count(cx: &mut NodeCx<'_>, from: &[Expr], to: &[Expr]) {
    let mut left: SmallVec<[&Expr; 6]> = from.iter().collect();
    let mut right: SmallVec<[&Expr; 6]> = SmallVec::new();
    for d in to {
        match left.iter().position(|x| *x == d) {
            Some(k) => drop(left.swap_remove(k)),
            None => right.push(d),
        }
    }
    let number = |dims: &[&Expr]| dims.iter().try_fold(1i64, |n, d| n.checked_mul(d.as_const()?));
    if number(&left).is_none_or(|n| number(&right) != Some(n)) {
        cx.must_equal(&product(from), &product(to));
    }
}

fn others(dims: &[Expr], axis: usize) -> impl Iterator<Item = &Expr> {
    dims.iter().enumerate().filter(move |(i, _)| *i != axis).map(|(_, d)| d)
}

fn is_positive(cx: &NodeCx<'_>, e: &Expr) -> bool {
    cx.symbols.least(e).is_some_and(|least| least > 0)
}

/// Whether an element of a target is the length that comes out in every run: it is no 0 that copies another length.
fn is_length(cx: &NodeCx<'_>, from: Option<&[Expr]>, axis: usize, e: &Expr) -> bool {
    if e.is_const() || is_positive(cx, e) {
        return true;
    }
    match from.map(|f| f.get(axis)) {
        // Where there is nothing to copy, a 0 fails.
        Some(None) => true,
        // With the length itself, or a divisor of it, what a 0 copies is 0.
        Some(Some(d)) => cx.same(d, e) || d.exact_div(e).is_some(),
        None => false,
    }
}

/// The product of `all` divided by that of `part`, which divides it whenever the model runs.
fn rest_of(cx: &NodeCx<'_>, all: &[Expr], part: &[Expr]) -> Option<Expr> {
    let mut all = all.to_vec();
    let mut left = Vec::new();
    for p in part {
        let at = all.iter().position(|d| d == p).or_else(|| all.iter().position(|d| cx.same(d, p)));
        match at {
            Some(i) => drop(all.swap_remove(i)),
            None => left.push(p.clone()),
        }
    }
    if part.iter().any(Expr::is_zero) {
        return None;
    }
    let n = product(&all);
    if left.is_empty() {
        return Some(n);
    }
    let d = product(&left);
    if d.is_zero() {
        return None;
    }
    Some(n.exact_div(&d).unwrap_or_else(|| n.floor_div(&d)))
}

pub(super) fn flatten(cx: &mut NodeCx<'_>) {
    let shape = cx.shape(0).and_then(|dims| {
        let axis = cx.int_or("axis", 1);
        let at = if axis < 0 { axis + dims.len() as i64 } else { axis };
        let at = usize::try_from(at).ok().filter(|a| *a <= dims.len())?;
        Some(vec![product(&dims[..at]), product(&dims[at..])])
    });
    let shape = shape.unwrap_or_else(|| cx.fresh_shape(0, 2));
    relabel(cx, Some(shape));
}

/// Axes from the attribute (before opset 13) or from an input; `Err` when given but not known.
pub(super) fn axes(cx: &NodeCx<'_>, slot: usize) -> Result<Option<Vec<i64>>, ()> {
    if let Some(v) = cx.int_list("axes") {
        return Ok(Some(v.to_vec()));
    }
    match cx.input(slot) {
        None => Ok(None),
        Some(f) => f.const_items().map(Some).ok_or(()),
    }
}

pub(super) fn squeeze(cx: &mut NodeCx<'_>) {
    let Some(dims) = cx.shape(0) else { return relabel(cx, None) };
    let gone: Vec<usize> = match axes(cx, 1) {
        Err(()) => return relabel(cx, None),
        Ok(Some(axes)) => match axes.iter().map(|a| NodeCx::axis(*a, dims.len())).collect() {
            Some(v) => v,
            None => return relabel(cx, None),
        },
        Ok(None) => {
            let is_one = |d: &Expr| cx.symbols.equal(d, &Expr::ONE);
            if dims.iter().any(|d| is_one(d).is_none()) {
                return relabel(cx, None);
            }
            dims.iter().enumerate().filter(|(_, d)| is_one(d) == Some(true)).map(|(i, _)| i).collect()
        }
    };
    let kept = dims.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, d)| d.clone()).collect();
    relabel(cx, Some(kept));
}

pub(super) fn unsqueeze(cx: &mut NodeCx<'_>) {
    let (Some(dims), Ok(Some(axes))) = (cx.shape(0), axes(cx, 1)) else { return relabel(cx, None) };
    let rank = dims.len() + axes.len();
    let new: Option<Vec<usize>> = axes.iter().map(|a| NodeCx::axis(*a, rank)).collect();
    let Some(new) = new else { return relabel(cx, None) };
    let mut rest = dims.iter();
    let mut out = Vec::with_capacity(rank);
    for i in 0..rank {
        let d = if new.contains(&i) { Some(&Expr::ONE) } else { rest.next() };
        let Some(d) = d else { return relabel(cx, None) };
        out.push(d.clone());
    }
    relabel(cx, Some(out));
}

/// The order of a Transpose's axes, checked.
pub(crate) fn permutation(perm: Option<&[i64]>, rank: usize) -> Option<SmallVec<[usize; 8]>> {
    let Some(perm) = perm else { return Some((0..rank).rev().collect()) };
    let out: SmallVec<[usize; 8]> = perm.iter().map(|p| usize::try_from(*p).ok()).collect::<Option<_>>()?;
    let whole = out.len() == rank && (0..rank).all(|i| out.contains(&i));
    whole.then_some(out)
}

pub(super) fn transpose(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let perm = cx.rank(0).and_then(|r| permutation(cx.int_list("perm"), r));
    let (Some(dims), Some(perm)) = (cx.shape(0), perm) else { return cx.set(0, dtype, None) };
    cx.set_shared(0, dtype, Some(perm.iter().map(|p| dims[*p].clone()).collect()));
    let (Some(items), Some(from)) = (cx.items(0), cx.input(0).and_then(Fact::const_shape)) else { return };
    let Some(from) = sizes(&from) else { return };
    let view = Strided::dense(&from).permuted(&perm);
    cx.add_items(0, view.places().into_iter().map(|i| items.get(i).cloned().flatten()).collect());
}
