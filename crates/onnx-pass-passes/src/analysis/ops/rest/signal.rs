//! Signals: Fourier transforms and windows.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::{NodeCx, Rule, c, dim, dim_or_fresh, dtype_attr, scalar};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "DFT" => dft,
        "STFT" => stft,
        "BlackmanWindow" | "HammingWindow" | "HannWindow" => window,
        "MelWeightMatrix" => mel_weights,
        _ => return None,
    })
}

/// How many bins of a transform of this length are not mirrored.
fn bins(length: &Expr) -> Expr {
    length.floor_div(&c(2)) + 1
}

fn dft(cx: &mut NodeCx<'_>) {
    let Some(mut shape) = cx.shape(0).map(<[Expr]>::to_vec).filter(|s| s.len() >= 2) else {
        return cx.set(0, cx.dtype(0), None);
    };
    let rank = shape.len();
    let axis = match cx.opset() {
        ..20 => Some(cx.int_or("axis", 1)),
        _ if cx.has_input(2) => scalar(cx, 2).and_then(|a| a.as_const()),
        _ => Some(-2),
    };
    let one_sided = cx.int_or("onesided", 0) != 0;
    let inverse = cx.int_or("inverse", 0) != 0;
    let given = cx.has_input(1);
    let Some(axis) = axis.and_then(|a| NodeCx::axis(a, rank)).filter(|a| *a < rank - 1) else {
        // Whichever axis it is, it may keep its length.
        if given || one_sided {
            shape = cx.fresh_shape(0, rank);
        }
        shape[rank - 1] = c(if one_sided && inverse { 1 } else { 2 });
        return cx.set(0, cx.dtype(0), Some(shape));
    };
    let length = if given { scalar(cx, 1) } else { dim(cx, 0, axis) };
    let length = match (one_sided, inverse) {
        (false, _) => length,
        (true, false) => length.as_ref().map(bins),
        (true, true) if given => length,
        // The half that is there does not tell whether the whole was even: it is taken to have been.
        (true, true) => length.map(|half| (half - 1) * 2),
    };
    shape[axis] = length.unwrap_or_else(|| cx.fresh(0, axis));
    // What comes back of half a transform is real.
    shape[rank - 1] = c(if one_sided && inverse { 1 } else { 2 });
    cx.set(0, cx.dtype(0), Some(shape));
}

fn stft(cx: &mut NodeCx<'_>) {
    let signal = dim(cx, 0, 1);
    let frame = if cx.has_input(3) {
        scalar(cx, 3)
    } else if cx.has_input(2) {
        dim(cx, 2, 0)
    } else {
        signal.clone()
    };
    let step = scalar(cx, 1).filter(|s| s.as_const().is_some_and(|n| n > 0));
    let frames = match (&signal, &frame, step) {
        (Some(signal), Some(frame), Some(step)) => Some((signal - frame).floor_div(&step) + 1),
        _ => None,
    };
    let one_sided = cx.int_or("onesided", 1) != 0;
    let values = if one_sided { frame.as_ref().map(bins) } else { frame };
    let shape = vec![
        dim_or_fresh(cx, (0, 0), (0, 0)),
        frames.unwrap_or_else(|| cx.fresh(0, 1)),
        values.unwrap_or_else(|| cx.fresh(0, 2)),
        c(2),
    ];
    cx.set(0, cx.dtype(0), Some(shape));
}

/// `output_datatype`, which is `float` where it is not there.
fn output_dtype(cx: &NodeCx<'_>) -> Option<DataType> {
    let given = cx.int("output_datatype").is_some();
    if given { dtype_attr(cx, "output_datatype") } else { Some(DataType::FLOAT) }
}

fn window(cx: &mut NodeCx<'_>) {
    let size = scalar(cx, 0).unwrap_or_else(|| cx.fresh(0, 0));
    cx.set(0, output_dtype(cx), Some(vec![size]));
}

fn mel_weights(cx: &mut NodeCx<'_>) {
    let spectrum = scalar(cx, 1).map(|n| bins(&n)).unwrap_or_else(|| cx.fresh(0, 0));
    let mels = scalar(cx, 0).unwrap_or_else(|| cx.fresh(0, 1));
    cx.set(0, output_dtype(cx), Some(vec![spectrum, mels]));
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::Tensor;

    use super::super::testing::{Case, In};

    fn scalar(n: i64) -> In {
        In::Is(Tensor::int64(&[], &[n]))
    }

    #[test]
    fn half_transforms_and_back() {
        let dft = |x| Case::new("DFT", 20).inputs(&[In::Shape(x), In::Absent, scalar(1)]);
        assert_eq!(dft("b n 1").shape(), "b n 2");
        assert_eq!(dft("b n 1").int("onesided", 1).shape(), "b n//2+1 2");
        assert_eq!(dft("b 6 2").int("onesided", 1).int("inverse", 1).shape(), "b 10 1");
        let open = Case::new("DFT", 20).inputs(&[In::Shape("b n 1"), In::Absent, In::Shape("")]);
        assert_eq!(open.shape(), "b n 2");
    }

    #[test]
    fn frames() {
        let stft = Case::new("STFT", 17).inputs(&[In::Shape("b n 1"), scalar(4), In::Shape("16")]);
        assert_eq!(stft.shape(), "b n//4-3 9 2");
    }
}
