//! Reshapes around operators that treat every element alike: laid out anew and back, with nothing between that looks
//! at the layout, the elements may as well stay as they are.

use onnx_pass_ir::{Model, NodeId, Type, Use, ValueId};

use super::rules::{hand_on, same_shape};
use crate::analysis::Analysis;
use crate::pass::PassError;

/// More operators than this are not looked through.
const MAX_NODES: usize = 32;

/// A layout that undoes an earlier one across operators of single elements goes, and they read what stood before both.
pub fn elementwise(m: &mut Model, a: &mut Analysis, node: NodeId) -> Result<bool, PassError> {
    let (Some(last), Some(out)) = (m.node(node).input(0), m.node(node).output(0)) else { return Ok(false) };
    let mut region = Region { start: None, nodes: Vec::new(), budget: MAX_NODES };
    if region.enter(m, a, last).is_none() || region.nodes.is_empty() {
        return Ok(false);
    }
    let Some((turned, x)) = region.start else { return Ok(false) };
    if !same_shape(a, x, out) || !region.is_closed(m, node) || !region.operands_fit(m, a, turned, x) {
        return Ok(false);
    }
    for n in &region.nodes {
        for slot in 0..m.node(*n).inputs().len() {
            if m.node(*n).input(slot) == Some(turned) {
                m.set_input(*n, slot, Some(x));
            }
        }
        a.update(m, *n);
        for v in m.node(*n).outputs().iter().flatten().copied().collect::<Vec<_>>() {
            // What is declared of it told of the other layout.
            if let Some(elem) = m.declared_type(v).and_then(Type::elem) {
                m.set_type(v, Type::tensor(elem, None));
            }
        }
    }
    hand_on(m, node, last)?;
    Ok(true)
}

/// Whether an operator computes each element from the elements at its place.
fn is_elementwise(op: &str) -> bool {
    matches!(
        op,
        "Abs"
            | "Add"
            | "And"
            | "Cast"
            | "Ceil"
            | "Clip"
            | "Cos"
            | "Div"
            | "Elu"
            | "Equal"
            | "Erf"
            | "Exp"
            | "Floor"
            | "Gelu"
            | "Greater"
            | "HardSigmoid"
            | "HardSwish"
            | "Identity"
            | "LeakyRelu"
            | "Less"
            | "Log"
            | "Mish"
            | "Mul"
            | "Neg"
            | "Not"
            | "Or"
            | "Pow"
            | "Reciprocal"
            | "Relu"
            | "Round"
            | "Selu"
            | "Sigmoid"
            | "Sign"
            | "Sin"
            | "Softplus"
            | "Softsign"
            | "Sqrt"
            | "Sub"
            | "Tanh"
            | "Where"
            | "Xor"
    )
}

/// Operators between two layouts, each after those that it reads.
struct Region {
    /// The result of the first layout, and what it was made of.
    start: Option<(ValueId, ValueId)>,
    nodes: Vec<NodeId>,
    /// How many more may be looked at.
    budget: usize,
}

impl Region {
    /// Adds what makes a value; `None` when it is made of anything but one layout and single numbers.
    fn enter(&mut self, m: &Model, a: &Analysis, v: ValueId) -> Option<()> {
        if self.start.is_some_and(|(turned, _)| turned == v) || is_number(a, v) {
            return Some(());
        }
        let producer = m.value(v).producer()?;
        if self.nodes.contains(&producer) {
            return Some(());
        }
        self.budget = self.budget.checked_sub(1)?;
        let n = m.node(producer);
        if !n.domain().is_empty() || m.callee(producer).is_some() {
            return None;
        }
        if matches!(n.op_type(), "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten") {
            self.start.is_none().then_some(())?;
            self.start = Some((v, n.input(0)?));
            return Some(());
        }
        (is_elementwise(n.op_type()) && n.outputs().len() == 1).then_some(())?;
        n.inputs().iter().flatten().try_for_each(|v| self.enter(m, a, *v))?;
        self.nodes.push(producer);
        Some(())
    }

    /// Whether nothing but `reader` looks at what the region makes.
    fn is_closed(&self, m: &Model, reader: NodeId) -> bool {
        let inside =
            |u: &Use| matches!(u, Use::Node { node, .. } if *node == reader || self.nodes.contains(node));
        let graph = m.node(reader).graph();
        self.nodes.iter().all(|n| {
            m.node(*n).graph() == graph
                && m.node(*n).outputs().iter().flatten().all(|v| m.value(*v).uses().iter().all(inside))
        })
    }

    /// Whether every other operand is a number whose rank neither layout is below, so that it stretches to both.
    fn operands_fit(&self, m: &Model, a: &Analysis, turned: ValueId, x: ValueId) -> bool {
        let rank = |v: ValueId| a.shape(v).map(<[_]>::len);
        let Some(low) = rank(turned).zip(rank(x)).map(|(p, q)| p.min(q)) else { return false };
        let mut operands = self.nodes.iter().flat_map(|n| m.node(*n).inputs().iter().flatten());
        operands.all(|v| !is_number(a, *v) || rank(*v).is_some_and(|r| r <= low))
    }
}

/// Whether a value is the same one number in every run.
fn is_number(a: &Analysis, v: ValueId) -> bool {
    a.fact(v).const_shape().is_some_and(|s| s.iter().product::<i64>() == 1) && a.fact(v).constant().is_some()
}
