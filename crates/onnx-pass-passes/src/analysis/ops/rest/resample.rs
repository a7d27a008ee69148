//! Operators that sample an image anew.

use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, c, dim, dim_or_fresh, whole};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Resize" => resize,
        "Upsample" => upsample,
        "GridSample" => grid_sample,
        "AffineGrid" => affine_grid,
        "RoiAlign" => roi_align,
        _ => return None,
    })
}

/// Factors of an axis above this are not multiplied with an unknown length: the product, which runtimes make
/// in `float`, might be rounded.
const MAX_EXACT_SCALE: i64 = 256;

/// The greatest power of two that a scale is taken apart by.
const MAX_EXACT_SHIFT: u32 = 8;

fn upsample(cx: &mut NodeCx<'_>) {
    let scales = match cx.attr("scales") {
        Some(onnx_pass_ir::AttrValue::Floats(v)) => Some(v.iter().map(|s| f64::from(*s)).collect()),
        _ => floats(cx, 1),
    };
    let rank = cx.rank(0).or(scales.as_ref().map(Vec::len)).or(elements(cx, 1));
    let Some(rank) = rank else { return cx.set(0, cx.dtype(0), None) };
    let axes: Vec<usize> = (0..rank).collect();
    scaled(cx, rank, &axes, scales.as_deref());
}

fn resize(cx: &mut NodeCx<'_>) {
    let (scales, sizes) = if cx.opset() < 11 { (1, None) } else { (2, Some(3)) };
    let sizes = sizes.filter(|k| cx.has_input(*k));
    let by_sizes = sizes.is_some() && (!cx.has_input(scales) || elements(cx, scales) == Some(0));
    let told = if by_sizes { elements(cx, 3) } else { elements(cx, scales).filter(|n| *n > 0) };
    let axes = cx.int_list("axes").filter(|a| !a.is_empty());
    let Some(rank) = cx.rank(0).or(told.filter(|_| axes.is_none())) else {
        return cx.set(0, cx.dtype(0), None);
    };
    let axes: Option<Vec<usize>> = match axes {
        Some(axes) => axes.iter().map(|a| NodeCx::axis(*a, rank)).collect(),
        None => Some((0..rank).collect()),
    };
    let Some(axes) = axes else { return cx.set(0, cx.dtype(0), None) };
    if by_sizes {
        return resize_to(cx, rank, &axes);
    }
    // Nothing tells scales from sizes when the scales may be empty; and a crop changes the factor.
    let cropped = cx.str("coordinate_transformation_mode") == Some("tf_crop_and_resize");
    let unsure = sizes.is_some() || cropped;
    let factors = if unsure { None } else { floats(cx, scales) };
    scaled(cx, rank, &axes, factors.as_deref());
}

/// Output sizes from `sizes`.
fn resize_to(cx: &mut NodeCx<'_>, rank: usize, axes: &[usize]) {
    let mut shape: Vec<Expr> = (0..rank).map(|a| dim_or_fresh(cx, (0, a), (0, a))).collect();
    let items = cx.items(3).filter(|items| items.len() == axes.len());
    let policy = cx.str("keep_aspect_ratio_policy").unwrap_or("stretch");
    // With a policy, ONNX Runtime leaves axes alone that are counted from the end.
    let from_end = cx.int_list("axes").is_some_and(|axes| axes.iter().any(|a| *a < 0));
    let kept = if policy == "stretch" {
        axes.iter()
            .enumerate()
            .map(|(i, _)| items.as_ref().and_then(|it| it.get(i).cloned().flatten()))
            .collect()
    } else {
        let kept = if from_end { None } else { keep_aspect(cx, axes, policy == "not_larger") };
        kept.unwrap_or_else(|| vec![None; axes.len()])
    };
    for (a, size) in axes.iter().zip(kept) {
        let size = size.unwrap_or_else(|| cx.fresh(0, *a));
        if let Some(out) = shape.get_mut(*a) {
            *out = size;
        }
    }
    cx.set(0, cx.dtype(0), Some(shape));
}

/// The sizes that keep the aspect ratio. Runtimes count in `float`; where exact arithmetic says otherwise,
/// there is no answer.
fn keep_aspect(cx: &NodeCx<'_>, axes: &[usize], not_larger: bool) -> Option<Vec<Option<Expr>>> {
    let sizes = cx.ints(3)?;
    let from: Vec<i64> = axes.iter().map(|a| dim(cx, 0, *a)?.as_const()).collect::<Option<_>>()?;
    if sizes.len() != from.len() || sizes.iter().chain(&from).any(|n| *n < 1 || *n > 1 << 24) {
        return None;
    }
    let better = |a: (i64, i64), b: (i64, i64)| (a.0 * b.1 < b.0 * a.1) == not_larger;
    let best =
        sizes.iter().copied().zip(from.iter().copied()).reduce(|a, b| if better(a, b) { a } else { b })?;
    let scale = best.0 as f32 / best.1 as f32;
    let rounded = |n: i64| {
        let in_float = (scale * n as f32).round() as i64;
        let exact = (2 * best.0 * n + best.1).div_euclid(2 * best.1);
        (in_float == exact).then(|| c(exact))
    };
    Some(from.into_iter().map(rounded).collect())
}

/// Output sizes from factors.
fn scaled(cx: &mut NodeCx<'_>, rank: usize, axes: &[usize], scales: Option<&[f64]>) {
    let mut shape: Vec<Expr> = (0..rank).map(|a| dim_or_fresh(cx, (0, a), (0, a))).collect();
    let scales = scales.filter(|s| s.len() == axes.len());
    for (i, a) in axes.iter().enumerate() {
        let scale = scales.and_then(|s| s.get(i)).copied();
        let known = scale.zip(dim(cx, 0, *a)).and_then(|(s, d)| times(&d, s));
        let known = known.unwrap_or_else(|| cx.fresh(0, *a));
        if let Some(out) = shape.get_mut(*a) {
            *out = known;
        }
    }
    cx.set(0, cx.dtype(0), Some(shape));
}

/// `floor(length * scale)`, as runtimes make it: in `float`.
pub(super) fn times(length: &Expr, scale: f64) -> Option<Expr> {
    let single = scale as f32;
    if !(single.is_finite() && single > 0.0) {
        return None;
    }
    if let Some(n) = length.as_const() {
        return (n as f32 as i64 == n).then(|| whole(f64::from(n as f32 * single)).map(c))?;
    }
    let shift = (0..=MAX_EXACT_SHIFT).find(|k| (single * 2f32.powi(*k as i32)).fract() == 0.0)?;
    let factor = whole(f64::from(single) * f64::from(1u32 << shift))?;
    (1..=MAX_EXACT_SCALE).contains(&factor).then(|| (length * factor).floor_div(&c(1 << shift)))
}

/// The floats of an input, if they are the same in every run.
fn floats(cx: &NodeCx<'_>, input: usize) -> Option<Vec<f64>> {
    let tensor = cx.tensor(input)?;
    (tensor.len().ok()? <= super::MAX_RANK).then(|| tensor.to_f64s().ok())?
}

/// The number of elements of a one-dimensional input.
fn elements(cx: &NodeCx<'_>, input: usize) -> Option<usize> {
    let n = dim(cx, input, 0)?.as_const()?;
    usize::try_from(n).ok().filter(|n| *n <= super::MAX_RANK)
}

/// `GridSample`: batch and channels of the input, the rest of the grid.
pub(super) fn grid_sample(cx: &mut NodeCx<'_>) {
    let Some(rank) = cx.rank(0).or(cx.rank(1)).filter(|r| *r >= 2) else {
        return cx.set(0, cx.dtype(0), None);
    };
    if let (Some(a), Some(b)) = (dim(cx, 0, 0), dim(cx, 1, 0)) {
        cx.must_equal(&a, &b);
    }
    let shape = (0..rank)
        .map(|a| match a {
            0 => dim(cx, 0, 0).or(dim(cx, 1, 0)).unwrap_or_else(|| cx.fresh(0, 0)),
            1 => dim_or_fresh(cx, (0, 1), (0, 1)),
            _ => dim_or_fresh(cx, (1, a - 1), (0, a)),
        })
        .collect();
    cx.set(0, cx.dtype(0), Some(shape));
}

fn affine_grid(cx: &mut NodeCx<'_>) {
    let from_theta = || usize::try_from(dim(cx, 0, 1)?.as_const()?).ok().map(|r| r + 2);
    let Some(rank) = elements(cx, 1).or_else(from_theta).filter(|r| matches!(r, 4 | 5)) else {
        return cx.set(0, cx.dtype(0), None);
    };
    let items = cx.items(1);
    let item = |k: usize| items.as_ref()?.get(k).cloned().flatten();
    let batch = item(0).or(dim(cx, 0, 0)).unwrap_or_else(|| cx.fresh(0, 0));
    let mut shape = vec![batch];
    for a in 2..rank {
        shape.push(item(a).unwrap_or_else(|| cx.fresh(0, a - 1)));
    }
    shape.push(c(rank as i64 - 2));
    cx.set(0, cx.dtype(0), Some(shape));
}

fn roi_align(cx: &mut NodeCx<'_>) {
    let rois = dim(cx, 1, 0).or(dim(cx, 2, 0)).unwrap_or_else(|| cx.fresh(0, 0));
    let channels = dim_or_fresh(cx, (0, 1), (0, 1));
    let size = |name| c(cx.int_or(name, 1));
    let shape = vec![rois, channels, size("output_height"), size("output_width")];
    cx.set(0, cx.dtype(0), Some(shape));
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::Tensor;
    use onnx_pass_ir::sym::Expr;

    use super::super::testing::{Case, In};

    fn scales(s: &[f32]) -> In {
        In::Is(Tensor::float(&[s.len() as i64], s))
    }

    fn sizes(s: &[i64]) -> In {
        In::Is(Tensor::int64_vec(s))
    }

    fn resize(x: &'static str, by: In) -> Case {
        Case::new("Resize", 19).inputs(&match by {
            In::Is(t) if t.dtype == onnx_pass_ir::DataType::FLOAT => {
                vec![In::Shape(x), In::Absent, In::Is(t)]
            }
            by => vec![In::Shape(x), In::Absent, In::Absent, by],
        })
    }

    #[test]
    fn factors_that_are_exact_meet_symbols() {
        assert_eq!(resize("b 3 h w", scales(&[1.0, 1.0, 2.0, 1.5])).shape(), "b 3 2*h w+w//2");
        assert_eq!(resize("b 3 10 w", scales(&[1.0, 1.0, 0.6, 0.3])).shape(), "b 3 6 ?");
    }

    #[test]
    fn numbers_are_multiplied_as_runtimes_do() {
        // In double precision 0.1f32 * 10 is above 1 and 0.7f32 * 10 below 7; floats round both.
        for (scale, n, expected) in [(0.1f32, 10, 1), (0.7, 10, 7), (0.8, 5, 4), (1.0 / 3.0, 9, 3)] {
            let found = super::times(&Expr::constant(n), f64::from(scale));
            assert_eq!(found, Some(Expr::constant(expected)), "{n} * {scale}");
        }
        assert_eq!(super::times(&Expr::symbol("n"), f64::NAN), None);
        assert_eq!(super::times(&Expr::symbol("n"), -1.0), None);
    }

    #[test]
    fn sizes_are_taken_as_they_are() {
        assert_eq!(resize("b 3 h w", In::Lengths("b 3 p q")).shape(), "b 3 p q");
        assert_eq!(resize("b 3 h w", sizes(&[7, 5])).ints("axes", &[3, -2]).shape(), "b 3 5 7");
        // Whoever gives an empty list of scales means the sizes.
        let both = [In::Shape("b 3 h w"), scales(&[]), scales(&[]), sizes(&[1, 3, 4, 5])];
        assert_eq!(Case::new("Resize", 11).inputs(&both).shape(), "1 3 4 5");
    }

    #[test]
    fn keeping_the_aspect_ratio() {
        let case = |x, s: &[i64], policy| {
            resize(x, sizes(s)).ints("axes", &[2, 3]).string("keep_aspect_ratio_policy", policy).shape()
        };
        assert_eq!(case("1 1 2 4", &[7, 8], "not_larger"), "1 1 4 8");
        assert_eq!(case("1 1 2 4", &[7, 8], "not_smaller"), "1 1 7 14");
        assert_eq!(case("1 1 h 4", &[7, 8], "not_smaller"), "1 1 ? ?");
    }

    #[test]
    fn crops_change_the_factor() {
        let case = resize("1 1 4 4", scales(&[1.0, 1.0, 2.0, 2.0]));
        assert_eq!(case.string("coordinate_transformation_mode", "tf_crop_and_resize").shape(), "? ? ? ?");
    }

    #[test]
    fn upsample_in_all_its_versions() {
        let floats = onnx_pass_ir::AttrValue::Floats(vec![1.0, 1.0, 2.0, 3.0]);
        let old = Case::new("Upsample", 7).inputs(&[In::Shape("b c h 5")]);
        assert_eq!(old.attr(onnx_pass_ir::Attribute::new("scales", floats)).shape(), "b c 2*h 15");
        let new = Case::new("Upsample", 9).inputs(&[In::Shape("b c h 5"), scales(&[1.0, 1.0, 2.0, 3.0])]);
        assert_eq!(new.shape(), "b c 2*h 15");
    }

    #[test]
    fn grids() {
        let grid = Case::new("GridSample", 20).inputs(&[In::Shape("b c d h w"), In::Shape("b i j k 3")]);
        assert_eq!(grid.shape(), "b c i j k");
        let affine = Case::new("AffineGrid", 20).inputs(&[In::Shape("b 2 3"), In::Lengths("b c h w")]);
        assert_eq!(affine.shape(), "b h w 2");
    }
}
