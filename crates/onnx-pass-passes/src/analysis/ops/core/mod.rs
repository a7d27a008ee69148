//! Rules of the operators that shape arithmetic and transformers are made of.

mod arithmetic;
mod elementwise;
mod index;
mod join;
mod layout;
mod reduce;
mod shape;
mod slice;

pub(crate) use layout::permutation;

use super::Rule;

pub(super) use reduce::product_shape;

/// The rule of an operator.
pub(super) fn rule(domain: &str, op_type: &str) -> Option<Rule> {
    if !domain.is_empty() {
        return None;
    }
    Some(match op_type {
        "Shape" => shape::shape,
        "Size" => shape::size,
        "Constant" => shape::constant,
        "ConstantOfShape" => shape::constant_of_shape,
        "Range" => shape::range,
        "Expand" => shape::expand,
        "Tile" => shape::tile,
        "Reshape" => layout::reshape,
        "Flatten" => layout::flatten,
        "Squeeze" => layout::squeeze,
        "Unsqueeze" => layout::unsqueeze,
        "Transpose" => layout::transpose,
        "Identity" => layout::identity,
        "Slice" => slice::slice,
        "Split" => slice::split,
        "Concat" => join::concat,
        "Gather" => index::gather,
        "GatherElements" => index::gather_elements,
        "GatherND" => index::gather_nd,
        "ScatterND" => index::scatter_nd,
        "Scatter" | "ScatterElements" => index::scatter_elements,
        "TopK" => index::top_k,
        "NonZero" => index::non_zero,
        "Cast" => arithmetic::cast,
        "CastLike" => arithmetic::cast_like,
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Max" | "Min" | "Sum" | "Mean" | "BitShift"
        | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => arithmetic::computing,
        "And" | "Or" | "Xor" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
            arithmetic::telling
        }
        "Pow" => arithmetic::raising,
        "PRelu" => arithmetic::sloping,
        "Where" => arithmetic::select,
        "Neg" | "Abs" | "Sign" | "Not" | "Relu" | "Floor" | "Ceil" | "Round" | "Clip" => arithmetic::unary,
        "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" | "ReduceMean" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => reduce::reduce,
        "ArgMax" | "ArgMin" => reduce::arg_extremum,
        "CumSum" => reduce::cum_sum,
        "MatMul" => reduce::mat_mul,
        "MatMulInteger" => reduce::mat_mul_integer,
        "Gemm" => reduce::gemm,
        "LayerNormalization" => reduce::layer_norm,
        "Dropout" => elementwise::dropout,
        "IsNaN" | "IsInf" => elementwise::to_bool,
        _ if elementwise::SAME_AS_FIRST.binary_search(&op_type).is_ok() => elementwise::same,
        _ => return None,
    })
}
