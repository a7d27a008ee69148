//! Operators that pad, crop and rearrange.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, c, dim, dtype_attr, scalar, share};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Pad" => |cx| if cx.opset() < 11 { pad_by_attribute(cx) } else { pad(cx) },
        "DepthToSpace" => depth_to_space,
        "SpaceToDepth" => space_to_depth,
        "CenterCropPad" => center_crop_pad,
        "OneHot" => one_hot,
        "EyeLike" => eye_like,
        _ => return None,
    })
}

fn pad_by_attribute(cx: &mut NodeCx<'_>) {
    let name = if cx.opset() < 2 { "paddings" } else { "pads" };
    let pads = cx.int_list(name).map(|p| p.iter().map(|n| Some(c(*n))).collect::<Vec<_>>());
    let Some(rank) = cx.rank(0).or(pads.as_ref().map(|p| p.len() / 2)) else {
        return cx.set(0, cx.dtype(0), None);
    };
    let axes: Vec<usize> = (0..rank).collect();
    padded(cx, rank, &axes, pads.as_deref());
}

/// `Pad` whose pads are an input.
pub(super) fn pad(cx: &mut NodeCx<'_>) {
    let pads = cx.items(1);
    let Some(rank) = cx.rank(0).or_else(|| pads_rank(cx)) else {
        return cx.set(0, cx.dtype(0), None);
    };
    let axes: Option<Vec<usize>> = if cx.has_input(3) {
        cx.ints(3).and_then(|axes| axes.iter().map(|a| NodeCx::axis(*a, rank)).collect())
    } else {
        Some((0..rank).collect())
    };
    match axes {
        Some(axes) => padded(cx, rank, &axes, pads.as_deref()),
        None => cx.set(0, cx.dtype(0), Some(cx.fresh_shape(0, rank))),
    }
}

/// The rank that the number of pads tells.
fn pads_rank(cx: &NodeCx<'_>) -> Option<usize> {
    if cx.has_input(3) {
        return None;
    }
    let pads = usize::try_from(dim(cx, 1, 0)?.as_const()?).ok()?;
    (pads % 2 == 0 && pads <= 2 * super::MAX_RANK).then_some(pads / 2)
}

fn padded(cx: &mut NodeCx<'_>, rank: usize, axes: &[usize], pads: Option<&[Option<Expr>]>) {
    let pads = pads.filter(|p| p.len() == 2 * axes.len());
    let shape = (0..rank)
        .map(|a| {
            let mut length = dim(cx, 0, a);
            for (i, _) in axes.iter().enumerate().filter(|(_, axis)| **axis == a) {
                let pad = |k: usize| pads?.get(k)?.as_ref();
                length = match (length, pad(i), pad(i + axes.len())) {
                    (Some(d), Some(before), Some(after)) => Some(d + before + after),
                    _ => None,
                };
            }
            length.unwrap_or_else(|| cx.fresh(0, a))
        })
        .collect();
    cx.set(0, cx.dtype(0), Some(shape));
}

fn depth_to_space(cx: &mut NodeCx<'_>) {
    let block = cx.int("blocksize").filter(|b| (1..1 << 16).contains(b));
    let at = |a: usize| block.zip(dim(cx, 0, a));
    let dims = [
        dim(cx, 0, 0),
        at(1).and_then(|(b, d)| share(&d, b * b)),
        at(2).map(|(b, d)| d * b),
        at(3).map(|(b, d)| d * b),
    ];
    four_dims(cx, dims);
}

fn space_to_depth(cx: &mut NodeCx<'_>) {
    let block = cx.int("blocksize").filter(|b| (1..1 << 16).contains(b));
    let at = |a: usize| block.zip(dim(cx, 0, a));
    let dims = [
        dim(cx, 0, 0),
        at(1).map(|(b, d)| d * (b * b)),
        at(2).and_then(|(b, d)| share(&d, b)),
        at(3).and_then(|(b, d)| share(&d, b)),
    ];
    four_dims(cx, dims);
}

fn four_dims(cx: &mut NodeCx<'_>, dims: [Option<Expr>; 4]) {
    let shape = dims.into_iter().enumerate().map(|(a, d)| d.unwrap_or_else(|| cx.fresh(0, a))).collect();
    cx.set(0, cx.dtype(0), Some(shape));
}

fn center_crop_pad(cx: &mut NodeCx<'_>) {
    let Some(rank) = cx.rank(0) else { return cx.set(0, cx.dtype(0), None) };
    let axes: Option<Vec<usize>> = match cx.int_list("axes") {
        Some(axes) => axes.iter().map(|a| NodeCx::axis(*a, rank)).collect(),
        None => Some((0..rank).collect()),
    };
    let Some(axes) = axes else { return cx.set(0, cx.dtype(0), None) };
    let items = cx.items(1).filter(|items| items.len() == axes.len());
    let shape = (0..rank)
        .map(|a| {
            let known = match axes.iter().rposition(|axis| *axis == a) {
                Some(i) => items.as_ref().and_then(|items| items.get(i).cloned().flatten()),
                None => dim(cx, 0, a),
            };
            known.unwrap_or_else(|| cx.fresh(0, a))
        })
        .collect();
    cx.set(0, cx.dtype(0), Some(shape));
}

fn one_hot(cx: &mut NodeCx<'_>) {
    let shape = cx.shape(0).map(<[Expr]>::to_vec).and_then(|mut shape| {
        let axis = NodeCx::axis(cx.int_or("axis", -1), shape.len() + 1)?;
        shape.insert(axis, scalar(cx, 1).unwrap_or_else(|| cx.fresh(0, axis)));
        Some(shape)
    });
    cx.set(0, cx.dtype(2), shape);
}

fn eye_like(cx: &mut NodeCx<'_>) {
    let dtype = if cx.int("dtype").is_some() { dtype_attr(cx, "dtype") } else { cx.dtype(0) };
    super::same_shape(cx, 0, dtype);
}

/// The element type of shapes and indices.
pub(super) const INDEX: Option<DataType> = Some(DataType::INT64);

#[cfg(test)]
mod tests {
    use onnx_pass_ir::Tensor;

    use super::super::testing::{Case, In};

    fn ints(v: &[i64]) -> In {
        In::Is(Tensor::int64_vec(v))
    }

    #[test]
    fn pads() {
        let old = Case::new("Pad", 2).inputs(&[In::Shape("b n")]).ints("pads", &[0, 1, 0, 2]);
        assert_eq!(old.shape(), "b n+3");
        let new = Case::new("Pad", 18).inputs(&[In::Shape("b n 4"), ints(&[1, -2]), In::Absent, ints(&[-2])]);
        assert_eq!(new.shape(), "b n-1 4");
        let unknown = Case::new("Pad", 13).inputs(&[In::Shape("?"), In::Shape("6")]);
        assert_eq!(unknown.shape(), "? ? ?");
    }

    #[test]
    fn blocks() {
        let case = |op, x| Case::new(op, 13).inputs(&[In::Shape(x)]).int("blocksize", 2).shape();
        assert_eq!(case("DepthToSpace", "b 4*c h 3"), "b c 2*h 6");
        assert_eq!(case("SpaceToDepth", "b c h 6"), "b 4*c h//2 3");
        assert_eq!(Case::new("DepthToSpace", 13).inputs(&[In::Shape("b 8 h w")]).shape(), "b ? ? ?");
    }

    #[test]
    fn cropped_axes() {
        let case = Case::new("CenterCropPad", 18).inputs(&[In::Shape("h w 3"), In::Lengths("p 5")]);
        assert_eq!(case.ints("axes", &[-2, 0]).shape(), "5 p 3");
    }

    #[test]
    fn one_hot_inserts_the_depth() {
        let values = In::Shape("2");
        let case = |depth: In| Case::new("OneHot", 11).inputs(&[In::Shape("b s"), depth, values.clone()]);
        assert_eq!(case(In::Is(Tensor::float(&[], &[12.0]))).int("axis", 1).shape(), "b 12 s");
        assert_eq!(case(In::Lengths("n")).shape(), "b s n");
        assert_eq!(case(In::Shape("")).shape(), "b s ?");
    }
}
