//! Declares the type and shape of every value.
//!
//! ## What it does
//! Infers the element type and the symbolic shape of every value, through branches, loops and functions, and
//! writes them into `value_info`. Lengths are numbers or expressions over the symbols that the inputs declare;
//! a length that is not known before the model runs is left open. The inputs' declarations stay as they are.
//! Declarations of outputs and of inner values that the graph contradicts are put right, each with a warning
//! that names both.
//!
//! ## Before → after
//! ```diff
//!   agraph (
//!     float[N] x
//!   ) => (
//!     float y
//! - ) {
//! + ) <
//! +   float["2*N"] t
//! + > {
//!     t = Concat <axis = 0> (x, x)
//!     y = ReduceSum <keepdims = 0> (t)
//!   }
//! ```
//!
//! ## Requires
//! Nothing. Operators that are not known are named in a note, and what they give is left as declared.
//!
//! ## Guarantees
//! Nodes and contents stay as they are. Names and number of inputs and outputs stay.
//!
//! ## Options
//! `declare`: `all` values or only the `outputs` (all).
//!
//! ## Refuses
//! Nothing.

use serde::Deserialize;

use onnx_pass_ir::{DataType, Def, Dim, GraphOwner, Model, Type, ValueId};

use crate::analysis::{Analysis, Fact, is_made_up};
use crate::options::{OptionKind, OptionSpec};
use crate::pass::{Outcome, Pass, PassContext, PassError, named};

/// The pass.
pub struct InferShapes;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    #[serde(default)]
    declare: Declare,
}

#[derive(Deserialize, Default, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Declare {
    #[default]
    All,
    Outputs,
}

static OPTIONS: &[OptionSpec] = &[OptionSpec::optional(
    "declare",
    OptionKind::OneOf(&["all", "outputs"]),
    "all",
    "Whether every value is declared in `value_info` or the outputs alone.",
)];

impl Pass for InferShapes {
    fn name(&self) -> &'static str {
        "infer-shapes"
    }

    fn source(&self) -> &'static str {
        include_str!("infer_shapes.rs")
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn run(&self, model: &mut Model, cx: &mut PassContext) -> Result<Outcome, PassError> {
        let options: Options = cx.parse()?;
        let start = model.revision();
        let analysis = cx.take_analysis(model);
        report(model, cx, &analysis);
        for g in model.live_graphs() {
            // A function's body declares nothing: its shapes are each call's.
            if matches!(model.graph(model.root_of(g)).owner(), GraphOwner::Function(_)) {
                continue;
            }
            let mut values: Vec<ValueId> = model.graph(g).outputs().iter().map(|o| o.value()).collect();
            if options.declare == Declare::All {
                values.extend(model.nodes(g).flat_map(|(_, n)| n.outputs().iter().flatten().copied()));
            }
            for v in values {
                if matches!(model.value(v).def(), Def::Node { .. }) {
                    declare(model, cx, analysis.fact(v), v);
                }
            }
        }
        cx.keep_analysis(model, analysis);
        Ok(Outcome::changed_if(model.revision() != start))
    }
}

fn report(model: &Model, cx: &mut PassContext, a: &Analysis) {
    for c in &a.contradictions {
        let axis = c.axis.map_or(String::new(), |x| format!(" on axis {x}"));
        let text = format!("declared {}{axis}, the graph gives {}", c.declared, c.computed);
        cx.warn(named(model, c.value), text);
    }
    for i in &a.impossible {
        cx.warn(model.describe(i.node), format!("needs {} and {} to be equal", i.left, i.right));
    }
    for (domain, op) in &a.without_rule {
        let name = if domain.is_empty() { op.clone() } else { format!("{domain}::{op}") };
        cx.note("", format!("no shape rule for {name}: what it gives is taken as declared"));
    }
}

/// Writes what is known of a value; what is not known leaves the declaration that is there.
fn declare(model: &mut Model, cx: &mut PassContext, fact: &Fact, v: ValueId) {
    let Some(dtype) = fact.dtype.filter(|t| *t != DataType::UNDEFINED) else { return };
    let declared = model.declared_type(v);
    let old = declared.and_then(Type::as_tensor).and_then(|t| t.shape.clone());
    let Some(shape) = &fact.shape else {
        if declared.is_none() {
            model.set_type(v, Type::tensor(dtype, None));
        }
        return;
    };
    let same_rank = old.as_ref().filter(|s| s.dims.len() == shape.len());
    let dim = |(axis, e): (usize, &onnx_pass_ir::sym::Expr)| {
        if !e.symbols().iter().any(|s| is_made_up(s)) {
            return Dim::from_expr(e);
        }
        // A name that the file gives to a length that nothing else tells is kept.
        same_rank
            .and_then(|s| s.dims.get(axis))
            .filter(|d| d.symbol().is_some())
            .cloned()
            .unwrap_or(Dim::Unknown)
    };
    let dims: Vec<Dim> = shape.iter().enumerate().map(dim).collect();
    let same = declared.is_some_and(|t| t.elem() == Some(dtype) && t.dims() == Some(&dims[..]));
    if same {
        return;
    }
    let mut ty = Type::tensor(dtype, Some(dims));
    ty.denotation = declared.and_then(|t| t.denotation.clone());
    cx.count("values declared", 1);
    model.set_type(v, ty);
}
