//! Operators whose output is as long as the data says.

use onnx_pass_ir::sym::Expr;

use super::layout::INDEX;
use super::{NodeCx, Rule, c, dim, product};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Compress" => compress,
        "Unique" => unique,
        "NonMaxSuppression" => non_max_suppression,
        _ => return None,
    })
}

fn compress(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let Some(axis) = cx.int("axis") else {
        let all = cx.shape(0).map(product);
        let chosen = all.and_then(|all| chosen(cx, &all)).unwrap_or_else(|| cx.fresh(0, 0));
        return cx.set(0, dtype, Some(vec![chosen]));
    };
    let shape = cx.shape(0).map(<[Expr]>::to_vec).and_then(|mut shape| {
        let axis = NodeCx::axis(axis, shape.len())?;
        let of = shape.get_mut(axis)?;
        *of = chosen(cx, of).unwrap_or_else(|| cx.fresh(0, axis));
        Some(shape)
    });
    cx.set(0, dtype, shape);
}

/// As many as the condition holds of so many: bools are 0 and 1, so they add up to that. Entries beyond the
/// end are not looked at.
fn chosen(cx: &NodeCx<'_>, of: &Expr) -> Option<Expr> {
    let condition = cx.exprs(1)?;
    let looked_at = match of.as_const() {
        Some(n) => condition.get(..usize::try_from(n).ok()?.min(condition.len()))?,
        None if cx.nonneg(&(of - condition.len() as i64)) => condition.as_slice(),
        None => return None,
    };
    Some(looked_at.iter().fold(Expr::ZERO, |n, item| n.add(item)))
}

fn unique(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let shape = cx.shape(0).map(<[Expr]>::to_vec);
    let (found, length) = match cx.int("axis") {
        None => {
            let found = cx.fresh(0, 0);
            cx.set(0, dtype, Some(vec![found.clone()]));
            (Some(found), shape.as_deref().map(product))
        }
        Some(axis) => {
            let axis = shape.as_ref().and_then(|s| NodeCx::axis(axis, s.len()));
            let out = shape.zip(axis).and_then(|(mut s, a)| {
                *s.get_mut(a)? = cx.fresh(0, a);
                Some(s)
            });
            cx.set(0, dtype, out);
            (axis.map(|a| cx.fresh(0, a)), axis.and_then(|a| dim(cx, 0, a)))
        }
    };
    // The number of unique ones is one unknown number in three places.
    let found = found.unwrap_or_else(|| cx.fresh(1, 0));
    let length = length.unwrap_or_else(|| cx.fresh(2, 0));
    cx.set(1, INDEX, Some(vec![found.clone()]));
    cx.set(2, INDEX, Some(vec![length]));
    cx.set(3, INDEX, Some(vec![found]));
}

fn non_max_suppression(cx: &mut NodeCx<'_>) {
    let found = cx.fresh(0, 0);
    cx.set(0, INDEX, Some(vec![found, c(3)]));
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::Tensor;

    use super::super::testing::{Case, In};

    fn compress(data: &'static str, condition: &[bool]) -> Case {
        let condition = In::Is(Tensor::bool(&[condition.len() as i64], condition));
        Case::new("Compress", 11).inputs(&[In::Shape(data), condition])
    }

    #[test]
    fn entries_beyond_the_end_do_not_count() {
        assert_eq!(compress("2 n", &[true, false, true]).int("axis", 0).shape(), "1 n");
        assert_eq!(compress("n+3 2", &[true, false, true]).int("axis", -2).shape(), "2 2");
        assert_eq!(compress("n 2", &[true, false, true]).int("axis", 0).shape(), "? 2");
        assert_eq!(compress("2 3", &[true, false, true, true]).shape(), "3");
    }

    #[test]
    fn one_number_of_unique_elements() {
        let facts = Case::new("Unique", 11).inputs(&[In::Shape("n 4")]).outputs(4).facts();
        assert_eq!(facts[0].shape, facts[1].shape);
        assert_eq!(facts[0].shape, facts[3].shape);
        assert_eq!(facts[2].shape.as_deref(), Some(&super::super::testing::exprs("4*n")[..]));
    }
}
