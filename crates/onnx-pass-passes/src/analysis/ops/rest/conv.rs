//! Convolutions.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::window::{AutoPad, Windows, kernel};
use super::{NodeCx, Rule, c, dim, dim_or_fresh, share};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Conv" | "DeformConv" => conv,
        "ConvInteger" => |cx| conv_of(cx, [0, 1], None, Some(DataType::INT32)),
        "QLinearConv" => |cx| {
            let dtype = cx.dtype(7);
            conv_of(cx, [0, 3], Some(8), dtype);
        },
        "ConvTranspose" => conv_transpose,
        "Col2Im" => col2im,
        _ => return None,
    })
}

/// `Conv`, and what has its inputs and attributes.
pub(super) fn conv(cx: &mut NodeCx<'_>) {
    let bias = (cx.node.op_type() != "DeformConv").then_some(2);
    let dtype = cx.dtype(0).or(cx.dtype(1));
    conv_of(cx, [0, 1], bias, dtype);
}

/// A convolution of these inputs: data, weight and bias.
pub(super) fn conv_of(cx: &mut NodeCx<'_>, [x, w]: [usize; 2], bias: Option<usize>, dtype: Option<DataType>) {
    let Some(rank) = cx.rank(x).or(cx.rank(w)).filter(|r| *r >= 2) else {
        return cx.set(0, dtype, None);
    };
    if let (Some(channels), Some(each)) = (dim(cx, x, 1), dim(cx, w, 1)) {
        cx.must_equal(&channels, &(each * cx.int_or("group", 1)));
    }
    let maps = dim(cx, w, 0).or_else(|| dim(cx, bias?, 0)).unwrap_or_else(|| cx.fresh(0, 1));
    let mut shape = vec![dim_or_fresh(cx, (x, 0), (0, 0)), maps];
    let kernel = kernel(cx, rank - 2, Some((w, 2)));
    let windows = Windows::of(cx, rank - 2);
    for (i, k) in kernel.iter().enumerate() {
        let known = match (&windows, dim(cx, x, i + 2), k) {
            (Some(windows), Some(input), Some(k)) => Some(windows.count(i, &input, k)),
            (Some(w), Some(input), None) if w.auto_pad == AutoPad::Same => {
                Some(input.ceil_div(&c(w.strides[i])))
            }
            _ => None,
        };
        shape.push(known.unwrap_or_else(|| cx.fresh(0, i + 2)));
    }
    cx.set(0, dtype, Some(shape));
}

fn conv_transpose(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0).or(cx.dtype(1));
    let Some(rank) = cx.rank(0).or(cx.rank(1)).filter(|r| *r >= 2) else {
        return cx.set(0, dtype, None);
    };
    if let (Some(a), Some(b)) = (dim(cx, 0, 1), dim(cx, 1, 0)) {
        cx.must_equal(&a, &b);
    }
    let maps = dim(cx, 1, 1).map(|m| m * cx.int_or("group", 1)).or_else(|| dim(cx, 2, 0));
    let mut shape = vec![dim_or_fresh(cx, (0, 0), (0, 0)), maps.unwrap_or_else(|| cx.fresh(0, 1))];
    for axis in 0..rank - 2 {
        let known = transposed_length(cx, axis, rank - 2);
        shape.push(known.unwrap_or_else(|| cx.fresh(0, axis + 2)));
    }
    cx.set(0, dtype, Some(shape));
}

/// The length that `ConvTranspose` gives one spatial axis.
fn transposed_length(cx: &NodeCx<'_>, axis: usize, axes: usize) -> Option<Expr> {
    if let Some(explicit) = cx.int_list("output_shape").filter(|s| !s.is_empty()) {
        // Some exporters write batch and channels as well.
        let skip = explicit.len().checked_sub(axes)?;
        return Some(c(*explicit.get(skip + axis)?));
    }
    let windows = Windows::of(cx, axes)?;
    let kernel = kernel(cx, axes, Some((1, 2))).into_iter().nth(axis)??;
    let input = dim(cx, 0, axis + 2)?;
    let extra = match cx.int_list("output_padding") {
        Some(p) if !p.is_empty() => *p.get(axis)?,
        _ => 0,
    };
    let stride = windows.strides[axis];
    let beyond = windows.extent(axis, &kernel) + extra;
    let full = (&input - 1) * stride + &beyond;
    match windows.auto_pad {
        AutoPad::Same => {
            // The standard says `input * stride`; ONNX Runtime does not pad outwards to get there.
            cx.nonneg(&(beyond - stride)).then(|| input * stride)
        }
        _ => Some(full - windows.before[axis] - windows.after[axis]),
    }
}

fn col2im(cx: &mut NodeCx<'_>) {
    let dtype = cx.dtype(0);
    let image = cx.items(1);
    let axes = image.as_ref().map(|i| i.len()).or_else(|| length(cx, 1)).or_else(|| length(cx, 2));
    let Some(axes) = axes else { return cx.set(0, dtype, None) };
    let block: Option<i64> = cx.ints(2).and_then(|b| b.iter().try_fold(1i64, |n, d| n.checked_mul(*d)));
    let channels = dim(cx, 0, 1).zip(block).and_then(|(n, block)| share(&n, block));
    let mut shape = vec![dim_or_fresh(cx, (0, 0), (0, 0)), channels.unwrap_or_else(|| cx.fresh(0, 1))];
    for i in 0..axes {
        let known = image.as_ref().and_then(|items| items.get(i).cloned().flatten());
        shape.push(known.unwrap_or_else(|| cx.fresh(0, i + 2)));
    }
    cx.set(0, dtype, Some(shape));
}

/// The number of elements of a one-dimensional input.
fn length(cx: &NodeCx<'_>, input: usize) -> Option<usize> {
    let n = dim(cx, input, 0)?.as_const()?;
    usize::try_from(n).ok().filter(|n| *n <= super::MAX_RANK)
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::Tensor;

    use super::super::testing::{Case, In};

    fn conv(x: &'static str, w: &'static str) -> Case {
        Case::new("Conv", 11).inputs(&[In::Shape(x), In::Shape(w)])
    }

    fn transpose(x: &'static str, w: &'static str) -> Case {
        Case::new("ConvTranspose", 11).inputs(&[In::Shape(x), In::Shape(w)])
    }

    #[test]
    fn lengths_follow_kernel_stride_and_pads() {
        let case = conv("b 3 h w", "8 3 3 3").ints("strides", &[2, 1]).ints("pads", &[1, 1, 1, 1]);
        assert_eq!(case.shape(), "b 8 (h+1)//2 w");
    }

    #[test]
    fn the_kernel_is_the_weight_s_without_an_attribute() {
        assert_eq!(conv("b 3 h", "8 3 k").shape(), "b 8 h-k+1");
        assert_eq!(conv("b 3 10", "8 3 k").ints("kernel_shape", &[4]).shape(), "b 8 7");
    }

    #[test]
    fn the_rank_of_either_will_do() {
        assert_eq!(conv("?", "8 3 1 1").shape(), "? 8 ? ?");
        assert_eq!(conv("b 3 h w", "?").shape(), "b ? ? ?");
    }

    #[test]
    fn transposed_lengths() {
        let case = || transpose("b 4 h", "4 2 3").ints("strides", &[2]).int("group", 3);
        assert_eq!(case().shape(), "b 6 2*h+1");
        assert_eq!(case().ints("output_padding", &[1]).ints("pads", &[1, 1]).shape(), "b 6 2*h");
        assert_eq!(case().ints("output_shape", &[10]).shape(), "b 6 10");
        assert_eq!(case().ints("output_shape", &[1, 6, 10]).shape(), "b 6 10");
    }

    #[test]
    fn transposed_with_same_padding() {
        let case = |kernel: &'static str| {
            transpose("b 4 h", kernel).ints("strides", &[2]).string("auto_pad", "SAME_UPPER")
        };
        assert_eq!(case("4 2 3").shape(), "b 2 2*h");
        // A kernel shorter than the stride does not reach: the standard and ONNX Runtime differ.
        assert_eq!(case("4 2 1").shape(), "b 2 ?");
    }

    #[test]
    fn columns_to_image() {
        let ints = |v: &[i64]| In::Is(Tensor::int64_vec(v));
        let case = |image: In| Case::new("Col2Im", 18).inputs(&[In::Shape("b 12 l"), image, ints(&[2, 3])]);
        assert_eq!(case(ints(&[5, 7])).shape(), "b 2 5 7");
        assert_eq!(case(In::Lengths("h w")).shape(), "b 2 h w");
    }

    #[test]
    fn quantized_types() {
        use onnx_pass_ir::DataType;
        let scalar = In::Shape("");
        let zero = In::Typed(DataType::INT8, "");
        let x = In::Typed(DataType::UINT8, "1 3 8");
        let w = In::Typed(DataType::INT8, "4 3 2");
        let inputs = [x, scalar.clone(), scalar.clone(), w, scalar.clone(), scalar.clone(), scalar, zero];
        let facts = Case::new("QLinearConv", 10).inputs(&inputs).facts();
        assert_eq!(facts[0].const_shape(), Some(vec![1, 4, 7]));
        assert_eq!(facts[0].dtype, Some(DataType::INT8));
    }
}
