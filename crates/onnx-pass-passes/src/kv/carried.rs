//! States that a graph computes anew from what they were: recurrences, spelt out in operators that say nothing of it.
//! Any residual stream looks like one, so names tell them: an input and an output are one state at two times.

use onnx_pass_ir::sym::Expr;
use onnx_pass_ir::{Model, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::analysis::{Analysis, is_made_up};
use crate::deploy;

/// Words that say when, as exporters put them before or after what a state is called.
const WHEN: &[&str] = &[
    "past", "present", "prev", "previous", "last", "old", "new", "next", "updated", "current", "cur", "in",
    "out", "input", "output", "final", "initial", "init",
];

/// Words for what is kept from step to step. What has none of them may go out as it came (`vision_embeds` and
/// `vision_embeds_RetainedState`).
const KEPT: &[&str] = &[
    "state",
    "states",
    "cache",
    "caches",
    "conv",
    "ssm",
    "recurrent",
    "kv",
    "mem",
    "mems",
    "memory",
    "hidden",
];

/// Parts of names that hint at a past; as words they would miss `pastkv0`.
const HINTS: &[&str] = &["past", "cache", "state", "kv", "mem"];

/// Words of `KEPT` that are left out where names are compared: `conv_state.0` comes back as `present_conv.0`.
const PLAIN: &[&str] = &["state", "states", "cache", "caches"];

/// The output that hands an input on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The output of the main graph.
    pub output: ValueId,
    /// Whether the names leave no doubt that it is a state: they say past and present.
    pub sure: bool,
    /// Whether the shape is numbers but for the batch, the first axis. Only then is it known what zeros are.
    pub fixed: bool,
}

/// A name, taken apart.
struct Name {
    /// What is left without the words for when and for what is kept.
    key: String,
    past: bool,
    present: bool,
    when: bool,
    kept: bool,
}

/// The words of a name in lower case.
fn words(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty())
}

impl Name {
    fn new(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let mut words: Vec<&str> = words(&lower).collect();
        let has = |list: &[&str]| words.iter().any(|w| list.contains(w));
        let (past, present, when, kept) = (has(&["past"]), has(&["present"]), has(WHEN), has(KEPT));
        if let Some(k) = words.windows(3).position(|w| matches!(w, ["past" | "present", "key", "values"])) {
            words.drain(k..k + 3);
        }
        words.retain(|w| !WHEN.contains(w) && !PLAIN.contains(w));
        Name { key: words.join(" "), past, present, when, kept }
    }
}

/// Whether a name says that what it names is kept from an earlier run.
pub fn names_a_past(name: &str) -> bool {
    words(&name.to_ascii_lowercase()).any(|w| matches!(w, "past" | "cache" | "caches"))
}

/// Whether a name may mean something that is kept from an earlier run.
pub fn hints_at_a_past(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    HINTS.iter().any(|w| lower.contains(w))
}

/// The pairs of inputs and outputs of which the one is, by name, type and shape, what the other was. The batch, the first
/// axis, may differ.
pub fn pairs(m: &Model, a: &Analysis) -> FxHashMap<ValueId, Next> {
    let main = m.graph(m.main());
    let mut out = FxHashMap::default();
    for pair in deploy::state_pairs(m) {
        let name = Name::new(m.name(pair.input));
        let fixed = alike(a, pair.input, pair.output).filter(|_| pair.agree && (name.past || name.kept));
        if let Some(fixed) = fixed {
            out.insert(pair.input, Next { output: pair.output, sure: true, fixed });
        }
    }
    let known: FxHashSet<ValueId> = main.inputs().iter().copied().collect();
    // A name that two have is neither's.
    let mut outputs: FxHashMap<String, Option<(ValueId, Name)>> = FxHashMap::default();
    let mut seen = FxHashSet::default();
    for v in main.outputs().iter().map(|o| o.value()).filter(|v| !known.contains(v) && seen.insert(*v)) {
        let name = Name::new(m.name(v));
        let key = name.key.clone();
        outputs.entry(key).and_modify(|o| *o = None).or_insert(Some((v, name)));
    }
    let mut inputs: FxHashMap<String, Option<(ValueId, Name)>> = FxHashMap::default();
    for &v in main.inputs() {
        let name = Name::new(m.name(v));
        let key = name.key.clone();
        inputs.entry(key).and_modify(|i| *i = None).or_insert(Some((v, name)));
    }
    for (key, input) in inputs {
        let (Some((v, before)), Some(Some((output, after)))) = (input, outputs.get(&key)) else { continue };
        let kept = before.kept || after.kept;
        let sure = before.past && (after.present || kept) || before.kept && after.present;
        let likely = before.kept && (before.when || after.when);
        let fixed = alike(a, v, *output).filter(|_| (sure || likely) && !out.contains_key(&v));
        if let Some(fixed) = fixed {
            out.insert(v, Next { output: *output, sure, fixed });
        }
    }
    out
}

/// Whether two are of one shape, as far as it is known and the batch aside, and of one type; then, whether the shape is
/// fixed.
fn alike(a: &Analysis, input: ValueId, output: ValueId) -> Option<bool> {
    let (_, own) = a.shape(input)?.split_first()?;
    let unknown = |e: &Expr| e.symbols().iter().any(|s| is_made_up(s));
    let same = a.shape(output).is_none_or(|other| {
        other.len() == own.len() + 1 && other[1..].iter().zip(own).all(|(x, y)| x == y || unknown(x))
    });
    let float = a.dtype(input).is_some_and(|t| t.is_float());
    let fixed = own.iter().all(|d| d.is_const() && !d.is_zero());
    (!own.is_empty() && same && float && a.dtype(output) == a.dtype(input)).then_some(fixed)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use onnx_pass_ir::sym::Facts;
    use onnx_pass_ir::text;

    use crate::analysis::Analysis;

    /// What the names of an input and of an output tell, where the one is computed from the other in the same shape.
    fn told(input: &str, output: &str) -> String {
        let source = format!(
            "<ir_version: 10, opset_import: [\"\" : 21]>
            agraph (float[B,4,8] \"{input}\", float[B,4,8] x) => (float[B,4,8] \"{output}\", float[B,4,8] y) {{
                d = Mul (\"{input}\", x)
                \"{output}\" = Add (d, x)
                y = Neg (\"{output}\")
            }}"
        );
        let m = text::parse(&source).expect("a model");
        let pairs = super::pairs(&m, &Analysis::of(&m, &Facts::default()));
        let all: Vec<_> = pairs.values().collect();
        let word = match all.as_slice() {
            [] => "no state",
            [next] if next.sure => "a state",
            [_] => "a state where the user says so",
            _ => "several",
        };
        format!("{input} -> {output}: {word}\n")
    }

    #[test]
    fn what_names_tell() {
        let names = [
            ("past_ssm.0", "present_ssm.0"),
            ("past.0.recurrent", "present.0.recurrent"),
            ("past_key_values.3.conv", "present.3.conv"),
            ("conv_state.0", "present_conv.0"),
            ("recurrent_state.1", "recurrent_state.1_RetainedState"),
            ("past_conv_1", "conv_1_out"),
            ("state", "new_state"),
            ("hidden_in", "hidden_out"),
            ("mem_0", "mem_0_next"),
            ("hidden_states", "last_hidden_state"),
            ("past_ssm.0", "present_ssm.1"),
            ("past_frames", "frames"),
            ("sample", "prev_sample"),
            ("hidden_states", "hidden_features"),
            ("vision_embeds", "vision_embeds_RetainedState"),
        ];
        let all: String = names.iter().map(|(input, output)| told(input, output)).collect();
        assert_snapshot!(all, @r"
        past_ssm.0 -> present_ssm.0: a state
        past.0.recurrent -> present.0.recurrent: a state
        past_key_values.3.conv -> present.3.conv: a state
        conv_state.0 -> present_conv.0: a state
        recurrent_state.1 -> recurrent_state.1_RetainedState: a state
        past_conv_1 -> conv_1_out: a state
        state -> new_state: a state where the user says so
        hidden_in -> hidden_out: a state where the user says so
        mem_0 -> mem_0_next: a state where the user says so
        hidden_states -> last_hidden_state: a state where the user says so
        past_ssm.0 -> present_ssm.1: no state
        past_frames -> frames: no state
        sample -> prev_sample: no state
        hidden_states -> hidden_features: no state
        vision_embeds -> vision_embeds_RetainedState: no state
        ");
    }
}
