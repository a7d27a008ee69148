//! Rules of all other operators: neural networks, quantization, sequences, other domains.
//!
//! Invariant: where the standard and ONNX Runtime give an output different sizes, the size is a made-up
//! symbol: neither answer holds for every run.

mod attention;
mod conv;
mod einsum;
mod layout;
mod loss;
mod microsoft;
mod ml;
mod norm;
mod pool;
mod quant;
mod random;
mod resample;
mod rnn;
mod select;
mod sequence;
mod signal;
mod text;
mod window;

#[cfg(test)]
mod testing;

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{AttrValue, DataType};

use super::{NodeCx, Rule};

/// The rule of an operator.
pub(super) fn rule(domain: &str, op_type: &str) -> Option<Rule> {
    match domain {
        "" => standard(op_type),
        "ai.onnx.ml" => ml::rule(op_type),
        "ai.onnx.preview" => attention::preview(op_type),
        "ai.onnx.preview.training" => loss::training(op_type),
        "com.microsoft" => microsoft::rule(op_type),
        _ => None,
    }
}

/// The rule of an operator of the standard domain, wherever it is kept.
fn standard(op_type: &str) -> Option<Rule> {
    const FAMILIES: [fn(&str) -> Option<Rule>; 16] = [
        conv::rule,
        pool::rule,
        resample::rule,
        layout::rule,
        select::rule,
        einsum::rule,
        rnn::rule,
        norm::rule,
        loss::rule,
        quant::rule,
        attention::rule,
        random::rule,
        signal::rule,
        text::rule,
        sequence::rule,
        elementwise,
    ];
    FAMILIES.iter().find_map(|family| family(op_type))
}

/// Operators whose output has type and shape of the first input.
fn elementwise(op_type: &str) -> Option<Rule> {
    match op_type {
        "SwiGLU" | "TensorScatter" => Some(same_as_first),
        "BitCast" => Some(bit_cast),
        "Det" => Some(det),
        _ => None,
    }
}

/// The output has the type and shape of the first input.
fn same_as_first(cx: &mut NodeCx<'_>) {
    same_as(cx, 0, 0);
}

/// Output `k` has the type and shape of input `i`.
fn same_as(cx: &mut NodeCx<'_>, k: usize, i: usize) {
    let shape = cx.shape(i).map(<[Expr]>::to_vec);
    cx.set(k, cx.dtype(i), shape);
}

/// The output has the shape of the first input and this type.
fn same_shape(cx: &mut NodeCx<'_>, k: usize, dtype: Option<DataType>) {
    let shape = cx.shape(0).map(<[Expr]>::to_vec);
    cx.set(k, dtype, shape);
}

/// The output has the broadcast shape of these inputs; unknown when one of theirs is.
fn broadcast_of(cx: &mut NodeCx<'_>, inputs: &[usize]) -> Option<Vec<Expr>> {
    let mut shape = Vec::new();
    for i in inputs {
        let other = cx.shape(*i)?.to_vec();
        shape = cx.broadcast(&shape, &other);
    }
    Some(shape)
}

/// `Cast` of the bits: same shape, the type of `to`.
fn bit_cast(cx: &mut NodeCx<'_>) {
    let to = dtype_attr(cx, "to");
    same_shape(cx, 0, to);
}

/// Shapes that the contents or the length of an input tell have at most this rank.
const MAX_RANK: usize = 64;

/// One number for every matrix.
fn det(cx: &mut NodeCx<'_>) {
    let shape = cx.shape(0).and_then(|x| Some(x.get(..x.len().checked_sub(2)?)?.to_vec()));
    cx.set(0, cx.dtype(0), shape);
}

/// A length.
fn c(n: i64) -> Expr {
    Expr::constant(n)
}

/// An element type that an attribute gives by its number.
fn dtype_attr(cx: &NodeCx<'_>, name: &str) -> Option<DataType> {
    let number = cx.int(name)?;
    i32::try_from(number).ok().filter(|n| *n > 0).map(DataType)
}

/// The length of an axis of an input, counted from the front.
fn dim(cx: &NodeCx<'_>, input: usize, axis: usize) -> Option<Expr> {
    cx.shape(input)?.get(axis).cloned()
}

/// The length of an axis of an input, or a made-up symbol for the one of an output that it would be.
fn dim_or_fresh(cx: &NodeCx<'_>, (input, axis): (usize, usize), (output, out_axis): (usize, usize)) -> Expr {
    dim(cx, input, axis).unwrap_or_else(|| cx.fresh(output, out_axis))
}

/// The value of a tensor of one element; floats are cut to integers.
fn scalar(cx: &NodeCx<'_>, input: usize) -> Option<Expr> {
    if let Some(items) = cx.items(input) {
        return match &*items {
            [one] => one.clone(),
            _ => None,
        };
    }
    let tensor = cx.tensor(input)?;
    if tensor.len().ok()? != 1 {
        return None;
    }
    let value = match tensor.to_i64s() {
        Ok(v) => *v.first()?,
        Err(_) => whole(*tensor.to_f64s().ok()?.first()?)?,
    };
    Some(c(value))
}

/// A float as an integer, cut; `None` when it is out of range.
fn whole(x: f64) -> Option<i64> {
    (x.is_finite() && x.abs() < 9.0e15).then_some(x.trunc() as i64)
}

/// The product of lengths.
fn product(dims: &[Expr]) -> Expr {
    dims.iter().fold(Expr::ONE, |n, d| n.mul(d))
}

/// `n / d` of lengths where the operator demands that nothing is left over; `None` for a divisor below 1.
fn share(n: &Expr, d: i64) -> Option<Expr> {
    (d >= 1).then(|| n.exact_div(&c(d)).unwrap_or_else(|| n.floor_div(&c(d))))
}

#[cfg(test)]
mod tests {
    /// What the driver walks into, and what has no shape of its own.
    const WITHOUT: [&str; 7] = ["Gradient", "If", "Loop", "Scan", "SequenceMap", "ZipMap", "DictVectorizer"];

    #[test]
    fn every_operator_of_the_standard_has_a_rule() {
        let list = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/check/operators.txt");
        let list = std::fs::read_to_string(list).expect("the list of operators");
        let missing: Vec<&str> = list
            .lines()
            .filter(|line| {
                let mut words = line.split_whitespace();
                let (domain, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let domain = if domain == "ai.onnx" { "" } else { domain };
                super::super::rule(domain, name).is_none() && !WITHOUT.contains(&name)
            })
            .collect();
        assert!(list.lines().count() > 200);
        assert_eq!(missing, [""; 0]);
    }
}
