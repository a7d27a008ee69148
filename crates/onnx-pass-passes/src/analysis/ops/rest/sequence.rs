//! Sequences and optionals.
//!
//! The shape in a sequence's fact holds for every element. A length that differs from element to element is a
//! symbol that starts with `?*`: it stands for no one number, and no tensor's shape may have it.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{DataType, Dim, Type, TypeKind};

use super::super::super::{Fact, OtherFact};
use super::{AttrValue, NodeCx, Rule, c, scalar};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "SequenceEmpty" => empty,
        "SequenceConstruct" => construct,
        "SequenceInsert" => insert,
        "SequenceErase" => erase,
        "SequenceAt" => at,
        "SequenceLength" => length,
        "SplitToSequence" => split,
        "ConcatFromSequence" => concat,
        "Optional" => optional,
        "OptionalGetElement" => get_element,
        "OptionalHasElement" => has_element,
        _ => return None,
    })
}

/// The shape of every element: axes that are not the same in all are `None`.
type Dims = Vec<Option<Expr>>;

/// What is known of the elements of a sequence.
#[derive(Clone, Debug, Default)]
struct Elements {
    dtype: Option<DataType>,
    dims: Option<Dims>,
}

impl Elements {
    fn of_tensor(fact: &Fact) -> Self {
        let dims = fact.shape.as_ref().map(|s| s.iter().cloned().map(Some).collect());
        Elements { dtype: fact.dtype, dims }
    }

    fn of_sequence(fact: &Fact) -> Option<Self> {
        let element = &fact.other.as_ref()?.element;
        let same = |d: &Expr| (!d.symbols().iter().any(|s| s.starts_with("?*"))).then(|| d.clone());
        let dims = element.shape.as_ref().map(|s| s.iter().map(same).collect());
        Some(Elements { dtype: element.dtype, dims })
    }

    /// What holds for the elements of both.
    fn join(self, other: Elements) -> Elements {
        let dims = match (self.dims, other.dims) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.into_iter().zip(b).map(|(a, b)| a.filter(|a| Some(a) == b.as_ref())).collect())
            }
            _ => None,
        };
        Elements { dtype: self.dtype.or(other.dtype), dims }
    }

    /// Output 0 is a sequence of such elements.
    fn into_sequence(self, cx: &mut NodeCx<'_>, len: Option<Expr>) {
        let (id, scope) = (cx.id, cx.scope);
        let own = |axis: usize| Expr::symbol(ecow::eco_format!("?*{id:?}{scope}:0.{axis}"));
        let shape = self.dims.map(|dims| {
            dims.into_iter().enumerate().map(|(axis, d)| d.unwrap_or_else(|| own(axis))).collect()
        });
        let ty = Type::tensor(self.dtype.unwrap_or_default(), None);
        let kind = TypeKind::Sequence(Some(Box::new(ty)));
        cx.set_fact(0, other(kind, Fact::tensor(self.dtype, shape), len));
    }
}

fn other(kind: TypeKind, element: Fact, len: Option<Expr>) -> Fact {
    let ty = Type { kind, ..Type::tensor(DataType::UNDEFINED, None) };
    Fact { other: Some(Box::new(OtherFact { ty, element, len })), ..Fact::default() }
}

fn len_of(cx: &NodeCx<'_>, input: usize) -> Option<Expr> {
    cx.input(input)?.other.as_ref()?.len.clone()
}

fn elements(cx: &NodeCx<'_>, input: usize) -> Elements {
    cx.input(input).and_then(Elements::of_sequence).unwrap_or_default()
}

fn tensor(cx: &NodeCx<'_>, input: usize) -> Elements {
    cx.input(input).map(Elements::of_tensor).unwrap_or_default()
}

fn empty(cx: &mut NodeCx<'_>) {
    let dtype = super::dtype_attr(cx, "dtype").or(Some(DataType::FLOAT));
    Elements { dtype, dims: None }.into_sequence(cx, Some(c(0)));
}

fn construct(cx: &mut NodeCx<'_>) {
    let count = cx.node.inputs().len();
    let joined = (0..count).map(|k| tensor(cx, k)).reduce(Elements::join).unwrap_or_default();
    joined.into_sequence(cx, Some(c(count as i64)));
}

fn insert(cx: &mut NodeCx<'_>) {
    let len = len_of(cx, 0);
    let added = tensor(cx, 1);
    let joined = match &len {
        Some(n) if n.is_zero() => added,
        _ => elements(cx, 0).join(added),
    };
    joined.into_sequence(cx, len.map(|n| n + 1));
}

fn erase(cx: &mut NodeCx<'_>) {
    let len = len_of(cx, 0).map(|n| n - 1);
    elements(cx, 0).into_sequence(cx, len);
}

/// Sets a tensor output; axes that are not known get symbols of the output.
fn set_tensor(cx: &mut NodeCx<'_>, found: Elements) {
    let shape = found
        .dims
        .map(|dims| dims.into_iter().enumerate().map(|(a, d)| d.unwrap_or_else(|| cx.fresh(0, a))).collect());
    cx.set(0, found.dtype, shape);
}

fn at(cx: &mut NodeCx<'_>) {
    let found = elements(cx, 0);
    set_tensor(cx, found);
}

fn length(cx: &mut NodeCx<'_>) {
    let len = len_of(cx, 0);
    cx.set_items(0, DataType::INT64, &[], vec![len]);
}

/// What `SplitToSequence` makes of the axis: the length of every piece where they agree, and their number.
fn pieces(cx: &NodeCx<'_>, length: &Expr) -> (Option<Expr>, Option<Expr>) {
    if !cx.has_input(1) {
        return (Some(c(1)), Some(length.clone()));
    }
    match cx.rank(1) {
        Some(0) => match scalar(cx, 1).and_then(|n| n.as_const()).filter(|n| *n > 0) {
            Some(size) => {
                let even = length.modulo(&c(size)).is_zero();
                (even.then(|| c(size)), Some(length.ceil_div(&c(size))))
            }
            None => (None, None),
        },
        Some(1) => {
            let number = super::dim(cx, 1, 0);
            let sizes = cx.exprs(1).unwrap_or_default();
            let (first, rest) = match sizes.split_first() {
                Some((first, rest)) => (Some(first.clone()), rest),
                None => (None, Default::default()),
            };
            let even = first.filter(|f| rest.iter().all(|s| cx.same(s, f)));
            (even, number)
        }
        _ => (None, None),
    }
}

fn split(cx: &mut NodeCx<'_>) {
    let mut found = tensor(cx, 0);
    let axis = found.dims.as_ref().and_then(|d| NodeCx::axis(cx.int_or("axis", 0), d.len()));
    let Some(axis) = axis else {
        found.dims = None;
        return found.into_sequence(cx, None);
    };
    let length = super::dim(cx, 0, axis);
    let (piece, number) = length.map_or((None, None), |length| pieces(cx, &length));
    if let Some(dims) = &mut found.dims {
        let squeezed = !cx.has_input(1) && cx.int_or("keepdims", 1) == 0;
        if squeezed {
            dims.remove(axis);
        } else if let Some(d) = dims.get_mut(axis) {
            *d = piece;
        }
    }
    found.into_sequence(cx, number);
}

fn concat(cx: &mut NodeCx<'_>) {
    let mut found = elements(cx, 0);
    let len = len_of(cx, 0);
    let stacked = cx.int_or("new_axis", 0) != 0;
    found.dims = found.dims.zip(cx.int("axis")).and_then(|(mut dims, axis)| {
        let axis = NodeCx::axis(axis, dims.len() + usize::from(stacked))?;
        if stacked {
            dims.insert(axis, len);
        } else {
            let all = dims.get(axis)?.clone().zip(len).map(|(d, n)| d * n);
            *dims.get_mut(axis)? = all;
        }
        Some(dims)
    });
    set_tensor(cx, found);
}

fn optional(cx: &mut NodeCx<'_>) {
    let element = cx.input(0).cloned().unwrap_or_default();
    let inner = match (cx.attr("type"), &element.other) {
        (Some(AttrValue::Type(ty)), _) => Some(ty.clone()),
        (_, Some(other)) => Some(Box::new(other.ty.clone())),
        _ => element.dtype.map(|dtype| {
            let dims = element.shape.as_ref().map(|s| s.iter().map(Dim::from_expr).collect());
            Box::new(Type::tensor(dtype, dims))
        }),
    };
    let given = c(i64::from(cx.has_input(0)));
    cx.set_fact(0, other(TypeKind::Optional(inner), element, Some(given)));
}

/// The fact of an optional and its declared type, if the input is one.
fn as_optional<'a>(cx: &NodeCx<'a>) -> Option<&'a OtherFact> {
    let other = cx.input(0)?.other.as_deref()?;
    matches!(other.ty.kind, TypeKind::Optional(_)).then_some(other)
}

fn get_element(cx: &mut NodeCx<'_>) {
    let fact = match as_optional(cx) {
        Some(optional) => Some(optional.element.clone()),
        None => cx.input(0).cloned(),
    };
    cx.set_fact(0, fact.unwrap_or_default());
}

fn has_element(cx: &mut NodeCx<'_>) {
    let known = cx.input(0).map(|fact| (fact.other.is_some(), fact.dtype.is_some()));
    let has = match (known, as_optional(cx)) {
        (None, _) => Some(c(0)),
        (_, Some(optional)) => optional.len.clone(),
        // Neither sequences nor tensors are ever missing; of what nothing is known, nothing is.
        (Some((sequence, dtype)), None) => (sequence || dtype).then(|| c(1)),
    };
    cx.set_items(0, DataType::BOOL, &[], vec![has]);
}

#[cfg(test)]
mod tests {
    use onnx_pass_ir::Tensor;

    use super::super::testing::{Case, In};

    /// The elements' shape and the length of the sequence that comes out.
    fn found(case: Case) -> (String, String) {
        let facts = case.facts();
        let other = facts[0].other.as_deref().expect("a sequence");
        let text =
            |e: &super::Expr| if e.mentions_open() { "?".into() } else { e.to_string().replace(' ', "") };
        let shape = other.element.shape.as_ref();
        let shape = shape.map_or("unknown rank".into(), |s| s.iter().map(text).collect::<Vec<_>>().join(" "));
        (shape, other.len.as_ref().map_or("?".into(), text))
    }

    trait Open {
        /// True for a length that differs from element to element.
        fn mentions_open(&self) -> bool;
    }

    impl Open for super::Expr {
        fn mentions_open(&self) -> bool {
            self.symbols().iter().any(|s| s.starts_with("?*"))
        }
    }

    #[test]
    fn only_what_all_elements_share_is_known() {
        let case = Case::new("SequenceConstruct", 11).inputs(&[In::Shape("a 3"), In::Shape("b 3")]);
        assert_eq!(found(case), ("? 3".into(), "2".into()));
        let case = Case::new("SequenceConstruct", 11).inputs(&[In::Shape("a 3"), In::Shape("b")]);
        assert_eq!(found(case), ("unknown rank".into(), "2".into()));
    }

    #[test]
    fn splits() {
        let case = |inputs: &[In]| found(Case::new("SplitToSequence", 24).inputs(inputs).int("axis", -1));
        assert_eq!(case(&[In::Shape("a n")]), ("a 1".into(), "n".into()));
        let size = |n| In::Is(Tensor::int64(&[], &[n]));
        assert_eq!(case(&[In::Shape("a 6"), size(2)]), ("a 2".into(), "3".into()));
        assert_eq!(case(&[In::Shape("a 7"), size(2)]), ("a ?".into(), "4".into()));
        assert_eq!(case(&[In::Shape("a n"), size(2)]), ("a ?".into(), "(n+1)//2".into()));
        let each = In::Is(Tensor::int64_vec(&[3, 4]));
        assert_eq!(case(&[In::Shape("a 7"), each]), ("a ?".into(), "2".into()));
        let squeezed = Case::new("SplitToSequence", 24).inputs(&[In::Shape("a n")]).int("keepdims", 0);
        assert_eq!(found(squeezed), ("n".into(), "a".into()));
    }

    #[test]
    fn an_optional_holds_what_it_was_given() {
        let case = Case::new("Optional", 18).inputs(&[In::Shape("a 3")]);
        assert_eq!(found(case), ("a 3".into(), "1".into()));
        let has = Case::new("OptionalHasElement", 18).inputs(&[In::Shape("a 3")]).facts();
        assert_eq!(has[0].const_items(), Some(vec![1]));
        let has = Case::new("OptionalHasElement", 18).inputs(&[In::Absent]).facts();
        assert_eq!(has[0].const_items(), Some(vec![0]));
    }
}
