//! Taking the caches out.

mod buffers;
mod declared;
mod stand_in;

use std::collections::BTreeSet;

use ecow::EcoString;
use indexmap::IndexMap;
use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{DataType, Dim, Model, NodeId, Tensor, TensorData, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::discover::{self, Cache, Form, Found, Inputs};
use super::fixed::Writer;
use super::{checks, readers, stateful};
use crate::analysis::Analysis;
use crate::fold;
use crate::pass::{PassContext, PassError};
use crate::passes::eliminate_kv_cache::row;

/// What the user says beside which caches are meant.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Promises about the inputs.
    pub assume: FxHashSet<String>,
    /// The lengths of rolling buffers, by their symbols.
    pub windows: IndexMap<String, i64>,
    /// Whether the outputs that carry the caches on stay.
    pub keep_present: bool,
}

/// One run of the pass.
pub struct Elimination {
    caches: Vec<Cache>,
    wishes: Wishes,
    writers: Vec<Writer>,
    /// Symbols that the caches' declarations had before.
    symbols: BTreeSet<EcoString>,
    /// What was done with each cache, by input.
    done: FxHashMap<ValueId, String>,
    /// Types and shapes of the caches' inputs, as the model came.
    shapes: FxHashMap<ValueId, (DataType, Vec<Expr>)>,
    /// What was known before anything was taken out.
    before: Analysis,
}

impl Elimination {
    /// A run over these caches.
    pub fn new(found: Found, wishes: Wishes) -> Self {
        Elimination {
            caches: found.caches,
            wishes,
            writers: Vec::new(),
            symbols: BTreeSet::new(),
            done: FxHashMap::default(),
            shapes: FxHashMap::default(),
            before: Analysis::default(),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// A refusal, naming the cache and the node.
    pub fn run(mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        self.symbols = cache_symbols(m, &self.caches);
        // Inlining and dropping outputs changes names; the report has those that the user knows.
        let named = m.graph(m.main()).outputs().iter().map(|o| (o.value(), m.name(o.value()).to_owned()));
        let named: FxHashMap<ValueId, String> = named.collect();
        self.declared_presents(m, cx);
        self.bind_selector(m, cx)?;
        let rows_before = self.caches.clone();
        self.plan_buffers(m, cx)?;
        let facts = cx.facts.clone();
        checks::updates_fix_nothing(m, cx.analysis(m), &facts, &self.caches)?;
        self.remember_shapes(m, cx);
        self.drop_presents(m);
        self.leave_out_operands(m)?;
        self.replace_writers(m)?;
        self.set_lengths(m, cx)?;
        readers::rewrite(m, cx, &self.writers, &self.inputs())?;
        fold::simplify(m, cx)?;
        self.replace_inputs(m, cx)?;
        fold::simplify(m, cx)?;
        self.check_lengths(m, cx)?;
        self.redeclare(m, cx)?;
        for c in &rows_before {
            let done = self.done.get(&c.input).cloned().unwrap_or_else(|| match &c.form {
                Form::Growing { length, .. } => format!("empty: `{length}` is 0"),
                _ => "nothing read it".into(),
            });
            cx.rows.push(row(m, c, &named, &done));
        }
        cx.count("caches", rows_before.len() as u64);
        Ok(())
    }

    fn inputs(&self) -> Inputs {
        self.caches.iter().map(|c| c.input).collect()
    }

    /// Chooses the branch without a past.
    fn bind_selector(&mut self, m: &mut Model, cx: &mut PassContext) -> Result<(), PassError> {
        let inputs = self.inputs();
        let Some(chosen) = discover::selector(m, &inputs) else { return Ok(()) };
        let more = discover::only_in_branch(m, cx.analysis(m), &chosen, &self.caches);
        for c in &more {
            if let Some(node) = discover::read_around(m, &chosen, c.input) {
                return Err(PassError::refused_with(
                    format!("cache `{}`", m.name(c.input)),
                    format!(
                        "{} reads it in either case, and the branch without a past does not",
                        m.describe(node)
                    ),
                    "choose the branch with `bind-inputs` first, which keeps this input",
                ));
            }
        }
        self.caches.extend(more);
        self.symbols.extend(cache_symbols(m, &self.caches));
        let (selector, value) = (chosen.input, chosen.value);
        let name = m.name(selector).to_string();
        let fact = cx.analysis(m).fact(selector).clone();
        let dims = fact.const_shape().ok_or_else(|| {
            PassError::refused(format!("input `{name}`"), "chooses the branch, and its shape is not known")
        })?;
        let Some(dtype) = fact.dtype else {
            return Err(PassError::refused(format!("input `{name}`"), "chooses the branch, and has no type"));
        };
        let count = usize::try_from(dims.iter().product::<i64>()).unwrap_or(0);
        let tensor = Tensor::integers(dtype, &dims, &vec![i64::from(value); count])?;
        m.bind_input(selector, tensor.shared())?;
        self.drop_presents(m);
        fold::simplify(m, cx)?;
        cx.note("", format!("`{name}` was bound to {value}: the branch without a past"));
        for c in &self.caches {
            if m.is_unused(c.input) {
                self.done.insert(c.input, format!("branch without a past taken (`{name}` = {value})"));
            }
        }
        // What is still read is looked at again, as it stands now.
        let still: Vec<ValueId> = self.inputs().into_iter().filter(|v| !m.is_unused(*v)).collect();
        if !still.is_empty() {
            return Err(PassError::refused_with(
                format!("cache `{}`", m.name(still[0])),
                format!("it is still read after `{name}` was bound to {value}"),
                "keep it, or choose the branch with `bind-inputs` first",
            ));
        }
        Ok(())
    }

    fn remember_shapes(&mut self, m: &Model, cx: &mut PassContext) {
        let inputs = self.inputs();
        let a = cx.analysis(m);
        let known = inputs.iter().filter_map(|v| Some((*v, (a.dtype(*v)?, a.shape(*v)?.to_vec()))));
        self.shapes = known.collect();
        self.before = a.clone();
    }

    fn drop_presents(&self, m: &mut Model) {
        if self.wishes.keep_present {
            return;
        }
        let outputs: FxHashSet<ValueId> =
            self.caches.iter().flat_map(|c| c.outputs.iter().copied()).collect();
        let main = m.main();
        let all = m.graph(main).outputs().iter().enumerate();
        let dropped: Vec<usize> = all.filter(|(_, o)| outputs.contains(&o.value())).map(|(k, _)| k).collect();
        m.remove_outputs(main, &dropped);
    }

    /// Leaves the past operands of attention and state operators out.
    fn leave_out_operands(&mut self, m: &mut Model) -> Result<(), PassError> {
        let inputs = self.inputs();
        let nodes: BTreeSet<NodeId> = self.caches.iter().flat_map(|c| c.updates.iter().copied()).collect();
        for node in nodes {
            if !m.is_live_node(node) {
                continue;
            }
            let states = stateful::states(m.node(node));
            let windowed = stateful::windowed(m.node(node));
            let given: Vec<_> = states.iter().filter(|s| m.node(node).input(s.past).is_some()).collect();
            let ours = |v: ValueId| inputs.contains(&checks::root(m, v));
            let all = given.iter().all(|s| m.node(node).input(s.past).is_some_and(ours));
            if given.is_empty() {
                continue;
            }
            if !all {
                return Err(PassError::refused(
                    m.describe(node),
                    "takes one past that is among the caches and one that is not",
                ));
            }
            if windowed && self.wishes.keep_present {
                return Err(PassError::refused_with(
                    m.describe(node),
                    "its present is a buffer that is as long as its past, and the past goes",
                    "leave `present: keep` out, or keep this cache",
                ));
            }
            for s in given {
                if let Some(v) = m.node(node).input(s.past) {
                    self.done.insert(
                        checks::root(m, v),
                        format!("past operand of {} left out", m.node(node).op_type()),
                    );
                }
                m.set_input(node, s.past, None);
            }
            trim_inputs(m, node);
            if windowed {
                // It tells where rows are kept, and none are.
                m.remove_attribute(node, stateful::WINDOWED);
            }
            if self.wishes.keep_present {
                continue;
            }
            // Key and value go together or not at all: the operators have both or neither.
            let read = |s: &stateful::State| m.node(node).output(s.present).is_some_and(|v| !m.is_unused(v));
            if states.iter().any(read) || !stateful::present_is_optional(m.node(node)) {
                continue;
            }
            for s in states.iter().filter(|s| m.node(node).output(s.present).is_some()).collect::<Vec<_>>() {
                m.drop_result(node, s.present)?;
            }
        }
        Ok(())
    }
}

fn trim_inputs(m: &mut Model, node: NodeId) {
    let keep = m.node(node).inputs().iter().rposition(Option::is_some).map_or(0, |k| k + 1);
    m.truncate_inputs(node, keep);
}

/// Every symbol in the declarations of the caches' inputs and outputs.
fn cache_symbols(m: &Model, caches: &[Cache]) -> BTreeSet<EcoString> {
    let values = caches.iter().flat_map(|c| c.outputs.iter().copied().chain([c.input]));
    let dims = values.filter_map(|v| m.declared_type(v)?.dims());
    dims.flatten().filter_map(Dim::to_expr).flat_map(|e| e.symbols()).collect()
}

/// A scalar of zero.
pub(crate) fn zero(dtype: onnx_pass_ir::DataType) -> Option<Tensor> {
    let bytes = dtype.byte_len(1)?;
    Some(Tensor::with_data(dtype, &[], TensorData::Raw(vec![0u8; bytes].into())))
}
