//! What is known becomes a constant, what does nothing goes, what is there twice is there once.
//!
//! Every rule holds for every run of the model: it rests on the facts of [`crate::analysis`] and on what the
//! operators mean. Rules run over the nodes in order until none applies.

mod constants;
mod eval;
mod numbering;
mod rules;
mod targets;

pub(crate) use eval::evaluate;

use onnx_pass_ir::{GraphId, Model, NodeId};

use crate::analysis::Analysis;
use crate::pass::{PassContext, PassError};
use crate::passes::eliminate_dead_code;

/// Rounds of analysis and rules. Each settles what the one before made possible; real models need three.
const MAX_ROUNDS: usize = 12;

/// Which rules run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Known results become constants.
    pub constants: bool,
    /// Nodes that hand their operand on go; sequences of them are shortened; known branches are inlined.
    pub identities: bool,
    /// What is computed twice is computed once.
    pub common: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Rules = Rules { constants: true, identities: true, common: true };
}

/// Applies every rule, and removes dead code, until nothing changes. Gives whether anything did.
///
/// # Errors
/// None that a sound model causes.
pub fn simplify(m: &mut Model, cx: &mut PassContext) -> Result<bool, PassError> {
    run(m, cx, Rules::ALL)
}

/// As [`simplify`], with some rules only.
///
/// # Errors
/// As [`simplify`].
pub fn run(m: &mut Model, cx: &mut PassContext, rules: Rules) -> Result<bool, PassError> {
    let before = m.revision();
    eliminate_dead_code::sweep(m, cx)?;
    for _ in 0..MAX_ROUNDS {
        let start = m.revision();
        let analysis = cx.take_analysis(m);
        let mut f = Folder { analysis, cx };
        for g in m.live_graphs() {
            f.graph(m, g, rules)?;
        }
        if m.revision() == start {
            let analysis = f.analysis;
            cx.keep_analysis(m, analysis);
            break;
        }
        eliminate_dead_code::sweep(m, cx)?;
    }
    Ok(m.revision() != before)
}

/// One round over the model.
struct Folder<'c> {
    analysis: Analysis,
    cx: &'c mut PassContext,
}

impl Folder<'_> {
    fn graph(&mut self, m: &mut Model, g: GraphId, rules: Rules) -> Result<(), PassError> {
        for n in m.node_ids(g) {
            if m.is_live_node(n) {
                self.node(m, n, rules)?;
            }
        }
        if rules.common {
            let merged = numbering::merge(m, &self.analysis, g)?;
            self.cx.count("computed once instead of twice", merged);
        }
        Ok(())
    }

    fn node(&mut self, m: &mut Model, n: NodeId, rules: Rules) -> Result<(), PassError> {
        if rules.constants && constants::fold(m, &self.analysis, n)? {
            self.cx.count("results folded to constants", 1);
            return Ok(());
        }
        if !rules.identities || !m.is_live_node(n) {
            return Ok(());
        }
        let start = m.revision();
        rules::apply(m, &self.analysis, n)?;
        if m.revision() == start && m.is_live_node(n) && rules.constants {
            targets::shorten(m, &self.analysis, n)?;
        }
        if m.revision() != start {
            self.cx.count("nodes simplified", 1);
        }
        Ok(())
    }
}
