//! Pools.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::window::{AutoPad, Windows, kernel};
use super::{NodeCx, Rule, c, dim, dim_or_fresh};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "AveragePool" | "LpPool" => |cx| {
            let shape = pooled(cx, 0, false);
            cx.set(0, cx.dtype(0), shape);
        },
        "MaxPool" => |cx| {
            let shape = pooled(cx, 0, false);
            cx.set(0, cx.dtype(0), shape.clone());
            cx.set(1, Some(DataType::INT64), shape);
        },
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => |cx| global(cx, false),
        "MaxRoiPool" => max_roi_pool,
        "MaxUnpool" => max_unpool,
        _ => return None,
    })
}

/// The shape of a pooled input.
pub(super) fn pooled(cx: &NodeCx<'_>, x: usize, channels_last: bool) -> Option<Vec<Expr>> {
    let from_kernel = || cx.int_list("kernel_shape").map(|k| k.len() + 2);
    let rank = cx.rank(x).or_else(from_kernel).filter(|r| *r >= 2)?;
    let first = if channels_last { 1 } else { 2 };
    let channel = if channels_last { rank - 1 } else { 1 };
    let windows = Windows::of(cx, rank - 2);
    let kernel = kernel(cx, rank - 2, None);
    let mut shape: Vec<Expr> = (0..rank).map(|a| dim_or_fresh(cx, (x, a), (0, a))).collect();
    for (i, k) in kernel.iter().enumerate().filter(|(i, _)| first + i != channel) {
        let known = match (&windows, dim(cx, x, first + i), k) {
            (Some(windows), Some(input), Some(k)) => length(windows, i, &input, k),
            _ => None,
        };
        if let Some(out) = shape.get_mut(first + i) {
            *out = known.unwrap_or_else(|| cx.fresh(0, first + i));
        }
    }
    Some(shape)
}

/// The length of one pooled axis.
fn length(windows: &Windows, axis: usize, input: &Expr, kernel: &Expr) -> Option<Expr> {
    if windows.auto_pad == AutoPad::Same && windows.dilations[axis] > 1 {
        // The standard pads for the dilated kernel, ONNX Runtime for the plain one.
        return None;
    }
    let within = windows.extent(axis, kernel).as_const()? >= windows.after[axis];
    (within || !windows.ceil).then(|| windows.count(axis, input, kernel))
}

/// One element a channel.
pub(super) fn global(cx: &mut NodeCx<'_>, channels_last: bool) {
    let shape = cx.shape(0).map(|x| {
        let channel = if channels_last { x.len().saturating_sub(1) } else { 1 };
        let kept = |a: usize| a == 0 || a == channel;
        x.iter().enumerate().map(|(a, d)| if kept(a) { d.clone() } else { c(1) }).collect()
    });
    cx.set(0, cx.dtype(0), shape);
}

fn max_roi_pool(cx: &mut NodeCx<'_>) {
    let mut shape = vec![dim_or_fresh(cx, (1, 0), (0, 0)), dim_or_fresh(cx, (0, 1), (0, 1))];
    for i in 0..2 {
        let known = cx.int_list("pooled_shape").and_then(|s| s.get(i)).map(|n| c(*n));
        shape.push(known.unwrap_or_else(|| cx.fresh(0, i + 2)));
    }
    cx.set(0, cx.dtype(0), Some(shape));
}

fn max_unpool(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let from_kernel = cx.int_list("kernel_shape").map(|k| k.len() + 2);
    let Some(rank) = cx.rank(0).or(from_kernel).filter(|r| *r >= 2) else {
        return cx.set(0, dtype, None);
    };
    let given = cx.items(2);
    let windows = Windows::of(cx, rank - 2);
    let kernel = kernel(cx, rank - 2, None);
    let unpooled = |i: usize| -> Option<Expr> {
        let (w, k) = (windows.as_ref()?, kernel.get(i)?.clone()?);
        let spread = (dim(cx, 0, i + 2)? - 1) * *w.strides.get(i)?;
        Some(spread + k - *w.before.get(i)? - *w.after.get(i)?)
    };
    let shape = (0..rank)
        .map(|a| {
            let known = match (&given, a) {
                _ if a < 2 => dim(cx, 0, a),
                (Some(items), _) => items.get(a).cloned().flatten(),
                _ if cx.has_input(2) => None,
                _ => unpooled(a - 2),
            };
            known.unwrap_or_else(|| cx.fresh(0, a))
        })
        .collect();
    cx.set(0, dtype, Some(shape));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, In};

    fn pool(shape: &'static str, kernel: i64) -> Case {
        Case::new("MaxPool", 12).inputs(&[In::Shape(shape)]).ints("kernel_shape", &[kernel])
    }

    /// How many windows there are, counted one by one.
    fn counted(n: i64, [k, s, d]: [i64; 3], [before, after]: [i64; 2], ceil: bool) -> i64 {
        let extent = (k - 1) * d + 1;
        let end = n + before + after;
        let whole = (0..).take_while(|t| t * s + extent <= end).count() as i64;
        // One that hangs over the end counts, if it starts on the data.
        let hangs = (whole - 1) * s + extent < end && whole * s < n + before;
        whole + i64::from(ceil && hangs)
    }

    #[test]
    fn the_windows_are_those_that_can_be_counted() {
        for (n, k, s, d) in itertools(12, 4, 4, 2) {
            for (before, after, ceil) in [(0, 0, false), (0, 0, true), (k - 1, 0, true), (0, k - 1, true)] {
                if n + before + after < (k - 1) * d + 1 {
                    continue;
                }
                let expected = counted(n, [k, s, d], [before, after], ceil);
                let windows = super::Windows {
                    strides: vec![s],
                    dilations: vec![d],
                    before: vec![before],
                    after: vec![after],
                    auto_pad: super::AutoPad::NotSet,
                    ceil,
                };
                let kernel = super::c(k);
                assert_eq!(super::length(&windows, 0, &super::c(n), &kernel), Some(super::c(expected)));
                let symbolic =
                    super::length(&windows, 0, &super::Expr::symbol("n"), &kernel).expect("a length");
                let value = symbolic.eval(&|_| Some(n));
                assert_eq!(value, Some(expected), "{symbolic} at {n}: {windows:?}");
            }
        }
    }

    fn itertools(n: i64, k: i64, s: i64, d: i64) -> impl Iterator<Item = (i64, i64, i64, i64)> {
        (1..=n).flat_map(move |n| {
            (1..=k).flat_map(move |k| (1..=s).flat_map(move |s| (1..=d).map(move |d| (n, k, s, d))))
        })
    }

    #[test]
    fn a_window_in_the_end_padding_is_dropped() {
        let case = || pool("1 1 5", 2).ints("strides", &[3]).ints("pads", &[0, 1]).int("ceil_mode", 1);
        assert_eq!(case().shape(), "1 1 2");
        assert_eq!(pool("1 1 5", 2).ints("strides", &[3]).int("ceil_mode", 1).shape(), "1 1 2");
    }

    #[test]
    fn same_padding_rounds_up() {
        let case = pool("b 3 n", 3).ints("strides", &[2]).string("auto_pad", "SAME_LOWER");
        assert_eq!(case.shape(), "b 3 (n+1)//2");
    }

    #[test]
    fn dilated_and_same_is_in_dispute() {
        let case = pool("b 3 n", 3).ints("dilations", &[2]).string("auto_pad", "SAME_UPPER");
        assert_eq!(case.shape(), "b 3 ?");
    }

    #[test]
    fn indices_have_the_shape_too() {
        assert_eq!(pool("b c 8", 2).ints("strides", &[2]).outputs(2).shapes(), ["b c 4", "b c 4"]);
    }

    #[test]
    fn wrong_attributes_leave_the_length_open() {
        assert_eq!(pool("b c 8", 2).ints("strides", &[0]).shape(), "b c ?");
        assert_eq!(pool("b c 8 8", 2).shape(), "b c ? ?");
    }

    #[test]
    fn unpooling_undoes_pooling_or_takes_the_given_shape() {
        let case = |inputs: &[In]| {
            Case::new("MaxUnpool", 11).inputs(inputs).ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2])
        };
        assert_eq!(case(&[In::Shape("1 c h 3"), In::Shape("1 c h 3")]).shape(), "1 c 2*h 6");
        let given = case(&[In::Shape("1 c h 3"), In::Shape("1 c h 3"), In::Lengths("1 c h2 7")]);
        assert_eq!(given.shape(), "1 c h2 7");
    }
}
