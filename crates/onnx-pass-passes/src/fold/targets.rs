//! Shape operands in their shortest form: a `Reshape` or `Expand` whose target is known but for lengths that the
//! data has anyway gets a constant target.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, NodeId, Tensor, ValueId};

use super::constants::place;
use crate::analysis::{Analysis, Fact};
use crate::pass::PassError;

/// Whether a node has a shape operand to shorten.
pub fn concern(m: &Model, node: NodeId) -> bool {
    matches!(m.node(node).op_type(), "Reshape" | "Expand")
}

/// Shortens the shape operand of a node, if it has one.
pub fn shorten(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<(), PassError> {
    if !concern(m, node) {
        return Ok(());
    }
    let n = m.node(node);
    let (Some(data), Some(target)) = (n.input(0), n.input(1)) else { return Ok(()) };
    if m.constant(target).is_some() {
        return Ok(());
    }
    let wanted = match n.op_type() {
        "Reshape" if n.domain().is_empty() && n.int("allowzero").unwrap_or(0) == 0 => {
            n.output(0).and_then(|o| reshape(a, a.shape(data)?, a.shape(o)?, &inferred(a, target)))
        }
        "Expand" if n.domain().is_empty() => n.output(0).and_then(|o| expand(a, a.shape(data)?, a.shape(o)?)),
        _ => None,
    };
    if let Some(t) = wanted {
        let name = format!("{}_target", m.name(target));
        let t = Tensor::int64_vec(&t).shared();
        let v = place(m, node, &name, t.clone());
        a.set(v, Fact::of_tensor(&t));
        m.set_input(node, 1, Some(v));
    }
    Ok(())
}

fn same(a: &Analysis, x: &Expr, y: &Expr) -> bool {
    x == y || a.symbols.equal(x, y) == Some(true)
}

/// The places of a target where there is a −1.
fn inferred(a: &Analysis, target: ValueId) -> Vec<usize> {
    let items = a.fact(target).items.iter().flat_map(|i| i.iter().enumerate());
    items.filter(|(_, e)| e.as_ref().and_then(Expr::as_const) == Some(-1)).map(|(i, _)| i).collect()
}

/// A target of numbers, 0 (the data's length there) and at most one −1; `open` is where there is one already.
fn reshape(a: &Analysis, data: &[Expr], out: &[Expr], open: &[usize]) -> Option<Vec<i64>> {
    let mut target = Vec::with_capacity(out.len());
    let mut inferred = None;
    for (i, d) in out.iter().enumerate() {
        let here = match d.as_const() {
            // A plain 0 would mean the data's length.
            Some(0) if data.get(i).is_none_or(|x| !x.is_zero()) => return None,
            Some(n) => n,
            None if data.get(i).is_some_and(|x| same(a, x, d)) => 0,
            None if inferred.is_none() => {
                inferred = Some(i);
                -1
            }
            None => return None,
        };
        target.push(here);
    }
    // Beside a length of 0 a −1 fails: it stands where one has stood, or where no other length is ever 0.
    if let Some(at) = inferred {
        let others = || out.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, d)| d);
        let positive = |d: &Expr| a.symbols.least(d).is_some_and(|least| least > 0);
        if others().any(Expr::is_zero) || !open.contains(&at) && !others().all(positive) {
            return None;
        }
    }
    Some(target)
}

/// A target of numbers, 1 where the data's length stays.
fn expand(a: &Analysis, data: &[Expr], out: &[Expr]) -> Option<Vec<i64>> {
    let skip = out.len().checked_sub(data.len())?;
    out.iter()
        .enumerate()
        .map(|(i, d)| {
            let own = i.checked_sub(skip).and_then(|k| data.get(k));
            match own {
                Some(x) if same(a, x, d) => Some(1),
                _ => d.as_const(),
            }
        })
        .collect()
}
