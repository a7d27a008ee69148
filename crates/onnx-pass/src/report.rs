//! What a run did: as text for people, as JSON for programs.
//!
//! The same run gives the same report, so it can be kept and compared; times are in it only when asked for. The
//! JSON is what the fields here say; `docs/report.md` describes it, and `onnx-pass schema report` prints its
//! schema.

use std::fmt::Write;

use indexmap::IndexMap;
use onnx_pass_ir::{Dim, Model, TypeKind, ValueId};
use onnx_pass_passes::manager::StepReport;
use onnx_pass_passes::pass::{Diagnostic, PassContext, Promise};
use serde::Serialize;

use crate::pipeline::Resolved;
use crate::terminal::{Align, Table, escape};

/// What a run did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The pipeline's name.
    pub pipeline: String,
    /// The value of each of its variables.
    pub vars: IndexMap<String, serde_json::Value>,
    /// What each step did.
    pub steps: Vec<StepReport>,
    /// Whether the run was ended before the pipeline's last step.
    pub stopped: bool,
    /// What the user promised and the rewrite rests on.
    pub promises: Vec<Promise>,
    /// What the passes noticed.
    pub diagnostics: Vec<Diagnostic>,
    /// The inputs that the model has now.
    pub inputs: Vec<Border>,
    /// The outputs that it has now.
    pub outputs: Vec<Border>,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Border {
    /// Its name.
    pub name: String,
    /// Its type: `float32[batch, 4]`.
    #[serde(rename = "type")]
    pub ty: String,
}

impl Report {
    pub(crate) fn of(
        resolved: &Resolved,
        model: &Model,
        steps: Vec<StepReport>,
        cx: PassContext,
        stopped: bool,
    ) -> Self {
        let main = model.graph(model.main());
        let given = |v: &ValueId| model.value(*v).initializer().is_none();
        Self {
            pipeline: resolved.name.clone(),
            vars: resolved.vars.clone(),
            stopped: stopped && steps.len() < resolved.steps.len(),
            steps,
            promises: cx.promises,
            diagnostics: cx.diagnostics,
            inputs: main.inputs().iter().copied().filter(given).map(|v| border(model, v)).collect(),
            outputs: main.outputs().iter().map(|o| border(model, o.value())).collect(),
        }
    }

    /// The report as text: a line for each step, then what stands behind it.
    pub fn to_text(&self, style: Style) -> String {
        let mut out = self.told_steps(style);
        borders(&mut out, "input", &self.inputs);
        borders(&mut out, "output", &self.outputs);
        out
    }

    /// The report without the inputs and outputs that are left.
    pub(crate) fn told_steps(&self, style: Style) -> String {
        let mut out = self.step_table(style);
        self.pass_tables(&mut out);
        let promises = self.promises.iter().map(|p| format!("promise: {}: {}", p.name, p.meaning));
        let noticed = self.diagnostics.iter().map(ToString::to_string);
        let stopped = self.stopped.then(|| "note: stopped before the end of the pipeline".to_owned());
        for line in promises.chain(noticed).chain(stopped) {
            out.push_str(&escape(&line));
            out.push('\n');
        }
        out
    }

    fn step_table(&self, style: Style) -> String {
        let mut columns = vec![
            ("step", Align::Left),
            ("changed", Align::Left),
            ("nodes", Align::Right),
            ("inputs", Align::Right),
            ("outputs", Align::Right),
        ];
        if style.timings {
            columns.push(("time", Align::Right));
        }
        columns.push(("what", Align::Left));
        let mut table = Table::new(columns);
        for step in &self.steps {
            let mut cells = vec![
                step.pass.clone(),
                if step.changed { "yes" } else { "no" }.to_owned(),
                change(step.nodes),
                change(step.inputs),
                change(step.outputs),
            ];
            if style.timings {
                cells.push(format!("{:.1} ms", step.time.as_secs_f64() * 1e3));
            }
            let counts: Vec<String> = step.counters.iter().map(|(what, n)| format!("{n} {what}")).collect();
            cells.push(counts.join(", "));
            table.row(cells);
        }
        if self.steps.is_empty() { "no steps\n".to_owned() } else { table.render() }
    }

    fn pass_tables(&self, out: &mut String) {
        for step in self.steps.iter().filter(|step| !step.rows.is_empty()) {
            let width = step.rows.iter().map(Vec::len).max().unwrap_or_default();
            let mut table = Table::new(std::iter::repeat_n(("", Align::Left), width));
            for row in &step.rows {
                table.row(row);
            }
            let _ = writeln!(out, "\n{}:", escape(&step.pass));
            out.extend(table.render().lines().map(|line| format!("  {line}\n")));
        }
        if self.steps.iter().any(|step| !step.rows.is_empty()) {
            out.push('\n');
        }
    }
}

/// How a report is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// With the time that each step took, which is another each time.
    pub timings: bool,
}

fn change((before, after): (usize, usize)) -> String {
    if before == after { after.to_string() } else { format!("{before} → {after}") }
}

fn borders(out: &mut String, title: &str, borders: &[Border]) {
    let plural = if borders.len() == 1 { "" } else { "s" };
    let _ = writeln!(out, "{} {title}{plural}", borders.len());
    let mut table = Table::new([("", Align::Left), ("", Align::Left)]);
    for border in borders {
        table.row([&border.name, &border.ty]);
    }
    out.extend(table.render().lines().map(|line| format!("  {line}\n")));
}

pub(crate) fn border(model: &Model, value: ValueId) -> Border {
    let ty = model.declared_type(value);
    let elem = ty.and_then(onnx_pass_ir::Type::elem).map(|elem| elem.to_string());
    let dims = ty.and_then(onnx_pass_ir::Type::dims);
    let text = match (elem, dims, ty.map(|ty| &ty.kind)) {
        (Some(elem), Some(dims), _) => {
            format!("{elem}[{}]", dims.iter().map(dim).collect::<Vec<_>>().join(", "))
        }
        (Some(elem), None, _) => format!("{elem} of any rank"),
        (None, _, Some(TypeKind::Sequence(_))) => "a sequence".to_owned(),
        (None, _, Some(TypeKind::Optional(_))) => "an optional".to_owned(),
        (None, _, Some(TypeKind::Map { .. })) => "a map".to_owned(),
        _ => "not declared".to_owned(),
    };
    Border { name: model.name(value).to_owned(), ty: text }
}

pub(crate) fn dim(dim: &Dim) -> String {
    match dim {
        Dim::Known(n) => n.to_string(),
        Dim::Symbol(symbol) => symbol.to_string(),
        Dim::Unknown => "?".to_owned(),
    }
}

/// The version of the JSON form. It grows when a field is renamed, removed, or changes what it means.
pub const FORMAT_VERSION: u32 = 1;

impl Report {
    /// The report as JSON.
    pub fn to_json(&self, style: Style) -> serde_json::Value {
        let mut report = serde_json::json!(self);
        if style.timings
            && let Some(steps) = report.get_mut("steps").and_then(serde_json::Value::as_array_mut)
        {
            for (step, of) in steps.iter_mut().zip(&self.steps) {
                step["seconds"] = serde_json::json!(of.time.as_secs_f64());
            }
        }
        report
    }
}

/// The JSON Schema (draft 2020-12) of what `onnx-pass run --report json` prints.
pub fn json_schema() -> serde_json::Value {
    // Written by hand; a test holds it to a report.
    serde_json::from_str(include_str!("report.schema.json")).unwrap_or_default()
}
