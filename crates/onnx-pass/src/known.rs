//! What is known of a model before anything is changed: the shapes of its values, its KV caches.

use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{Model, NodeId, Result, ValueId, verify};
use onnx_pass_passes::analysis::Analysis;
use onnx_pass_passes::kv::discover::{self, Cache, Form};

use crate::terminal::{Align, Table, escape};

/// Contents of more elements are not shown.
const SHOWN_ITEMS: usize = 8;

/// Every value with its element type, its symbolic shape and, where they are small and known, its contents: a graph
/// after the other, in the order of the file. Lengths that the graph does not tell before it runs are symbols that
/// begin with `?`, and the node that makes them is named. What an `If` gives is `if(INPUT, THEN, OTHER)` where the one
/// element of that input of the model decides.
pub fn shapes(model: &Model) -> String {
    let analysis = Analysis::of(model, &Facts::default());
    let (mut out, mut values, mut open) = (String::new(), 0, 0);
    for graph in model.live_graphs() {
        let mut table = Table::new([
            ("value", Align::Left),
            ("type", Align::Left),
            ("contents", Align::Left),
            ("why it is open", Align::Left),
        ]);
        let inputs = model.graph(graph).inputs().iter().copied();
        let results = model.nodes(graph).flat_map(|(_, node)| node.outputs().iter().flatten().copied());
        for v in inputs.chain(results.collect::<Vec<_>>()) {
            let why = why_open(model, &analysis, v);
            values += 1;
            open += usize::from(!why.is_empty());
            table.row([model.name(v), &shape(model, &analysis, v), &contents(model, &analysis, v), &why]);
        }
        if !table.is_empty() {
            out.push_str(&format!("{}:\n{}\n", escape(&verify::graph_name(model, graph)), table.render()));
        }
    }
    for (domain, op) in &analysis.without_rule {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        out.push_str(&escape(&format!("note: there is no shape rule for {domain}::{op}")));
        out.push('\n');
    }
    for c in &analysis.contradictions {
        let axis = c.axis.map(|axis| format!("[{axis}]")).unwrap_or_default();
        let name = model.name(c.value);
        let line =
            format!("note: `{name}{axis}` is declared as {} and computed as {}", c.declared, c.computed);
        out.push_str(&escape(&line));
        out.push('\n');
    }
    out.push_str(&format!(
        "{values} values, {} with a known shape, {open} with an open one\n",
        values - open
    ));
    out
}

fn shape(model: &Model, a: &Analysis, v: ValueId) -> String {
    let elem = a.dtype(v).map_or_else(|| "?".to_owned(), |dtype| dtype.to_string());
    match a.shape(v) {
        Some(dims) => {
            let dims: Vec<String> = dims.iter().map(|e| a.told(model, e).text(model)).collect();
            format!("{elem}[{}]", dims.join(", "))
        }
        None if a.fact(v).other.is_some() => "no tensor".to_owned(),
        None => format!("{elem} of any rank"),
    }
}

fn contents(model: &Model, a: &Analysis, v: ValueId) -> String {
    let Some(items) = a.fact(v).items.as_ref().filter(|items| items.len() <= SHOWN_ITEMS) else {
        return String::new();
    };
    let text = |e: &Expr| a.told(model, e).text(model);
    let items = items.iter().map(|item| item.as_ref().map_or_else(|| "?".to_owned(), text));
    format!("{{{}}}", items.collect::<Vec<_>>().join(", "))
}

/// Where an unknown rank or a made-up length comes from; empty when everything is known.
fn why_open(model: &Model, a: &Analysis, v: ValueId) -> String {
    if a.fact(v).other.is_some() {
        return String::new();
    }
    let Some(dims) = a.shape(v) else {
        let maker = model.value(v).producer();
        return match maker {
            None => "it is declared without a rank".to_owned(),
            Some(node) => rank_reason(model, a, node),
        };
    };
    let Some(first) = dims.iter().find_map(|dim| a.told(model, dim).made_up()) else { return String::new() };
    // The symbol carries the name of the value that it was made for.
    let origin = first.trim_start_matches('?').rsplit_once('.').map_or("", |(name, _)| name);
    if origin == model.name(v) {
        return match model.value(v).producer() {
            Some(node) => format!("{} tells it only when it runs", model.describe(node)),
            None => "it is declared without this length".to_owned(),
        };
    }
    format!("from `{origin}`")
}

fn rank_reason(model: &Model, a: &Analysis, node: NodeId) -> String {
    let n = model.node(node);
    let domain = onnx_pass_ir::canonical_domain(n.domain());
    if a.without_rule.iter().any(|(d, op)| onnx_pass_ir::canonical_domain(d) == domain && op == n.op_type()) {
        return format!("there is no rule for {}", model.describe(node));
    }
    let unknown = n.inputs().iter().flatten().find(|v| a.shape(**v).is_none() && a.fact(**v).other.is_none());
    match unknown {
        Some(v) => format!("{} reads `{}`", model.describe(node), model.name(*v)),
        None => format!("{} tells its rank only when it runs", model.describe(node)),
    }
}

/// The KV caches as `eliminate-kv-cache` finds them: pairs, form, layer, axis, length, and who reads the length.
///
/// # Errors
/// A function cannot be inlined, which the search needs.
pub fn caches(model: &Model) -> Result<String> {
    let mut model = model.clone();
    discover::inline_layers(&mut model)?;
    let analysis = Analysis::of(&model, &Facts::default());
    let found = discover::discover(&model, &analysis);
    let mut table = Table::new([
        ("input", Align::Left),
        ("output", Align::Left),
        ("form", Align::Left),
        ("layer", Align::Right),
        ("axis", Align::Left),
        ("length", Align::Left),
        ("who reads the length", Align::Left),
    ]);
    for cache in &found.caches {
        table.row(row(&model, &analysis, cache));
    }
    let mut out = if table.is_empty() { String::new() } else { table.render() };
    let mut note = |input: ValueId, says: String| {
        out.push_str(&escape(&format!("note: `{}`{says}", model.name(input))));
        out.push('\n');
    };
    for cache in found.in_doubt() {
        note(cache.input, format!(": {}, and nothing else tells that it is one", cache.likeness(&model)));
    }
    for (input, reason) in &found.rejected {
        note(*input, format!(" is no cache that could go: {reason}"));
    }
    for (input, reason) in &found.unknown {
        note(*input, format!(" stays: {reason}"));
    }
    let count = found.caches.len();
    out.push_str(&format!("{count} cache{}\n", if count == 1 { "" } else { "s" }));
    Ok(out)
}

fn row(model: &Model, a: &Analysis, cache: &Cache) -> [String; 7] {
    let name = model.name(cache.input);
    let outputs: Vec<&str> = cache.outputs.iter().map(|v| model.name(*v)).collect();
    let (axis, length) = match &cache.form {
        Form::Growing { axis, length } => (axis.to_string(), length.to_string()),
        _ => (String::new(), a.shape(cache.input).map(symbolic).unwrap_or_default()),
    };
    let readers = length_readers(model, a, cache);
    // The exporter counts its layers in the names; the first number is the layer's.
    let digits = name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit);
    [
        name.to_owned(),
        outputs.join(", "),
        cache.form.describe().to_owned(),
        digits.collect(),
        axis,
        length,
        readers.join(", "),
    ]
}

fn symbolic(dims: &[Expr]) -> String {
    let open: Vec<String> = dims.iter().filter(|d| !d.is_const()).map(Expr::to_string).collect();
    open.join(", ")
}

/// The `Shape` and `Size` nodes that read the cache or what extends it; of a cache that grows also those of any value
/// that has its length, a mask for example.
fn length_readers(model: &Model, a: &Analysis, cache: &Cache) -> Vec<String> {
    let extended =
        cache.updates.iter().flat_map(|node| model.node(*node).outputs().iter().flatten().copied());
    let own: Vec<ValueId> = std::iter::once(cache.input).chain(extended).collect();
    let symbols = match &cache.form {
        Form::Growing { length, .. } => length.symbols(),
        _ => Default::default(),
    };
    let has_length = |v: ValueId| {
        a.shape(v).is_some_and(|dims| dims.iter().any(|d| symbols.iter().any(|s| d.mentions(s))))
    };
    let reads = |node: NodeId| {
        let operand = model.node(node).input(0);
        operand.is_some_and(|v| own.contains(&v) || has_length(v))
    };
    let nodes = model.live_graphs().into_iter().flat_map(|graph| model.node_ids(graph));
    let asks = |node: &NodeId| model.node(*node).is("Shape") || model.node(*node).is("Size");
    nodes.filter(|node| asks(node) && reads(*node)).map(|node| model.describe(node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_pass_ir::text;

    #[test]
    fn an_open_length_names_its_origin() -> Result<()> {
        let model = text::parse(
            r#"<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
            agraph (float[B, 4] x) => (float y, float z) {
                n = NonZero (x)
                t = Transpose (n)
                s = Shape (x)
                y = Cast <to = 1> (t)
                c = my.Own (x)
                z = Relu (c)
            }"#,
        )?;
        insta::assert_snapshot!(shapes(&model));
        Ok(())
    }

    #[test]
    fn what_a_branch_gives_is_told_by_its_condition() -> Result<()> {
        let model = text::parse(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            agraph (float[P, 4] past, float[S, 4] x, bool use_cache) => (present, count) {
                present = If (use_cache) <
                    then_branch = t () => (a) { a = Concat <axis = 0> (past, x) },
                    else_branch = e () => (b) { b = Identity (x) }
                >
                rows = Shape <end = 1> (present)
                zero = Constant <value_int = 0> ()
                one = Constant <value_int = 1> ()
                total = Squeeze (rows)
                count = Range (zero, total, one)
                other = If (use_cache) <
                    then_branch = t2 () => (a2) { i = NonZero (x) a2 = Transpose (i) },
                    else_branch = e2 () => (b2) { b2 = Identity (x) }
                >
            }"#,
        )?;
        insta::assert_snapshot!(shapes(&model));
        Ok(())
    }

    #[test]
    fn caches_are_told_with_who_reads_their_length() -> Result<()> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata");
        let read = |name: &str| Model::read(format!("{folder}/{name}/model.onnx"));
        insta::assert_snapshot!("growing", caches(&read("gpt_neox_torchscript")?)?);
        insta::assert_snapshot!("buffers", caches(&read("fixed_plain")?)?);
        assert_eq!(
            caches(&text::parse(
                "<ir_version: 8, opset_import: [\"\" : 17]> g (float[N] x) => (float[N] y) { y = Relu (x) }"
            )?)?,
            "0 caches\n"
        );
        let filled_elsewhere = text::parse(
            "<ir_version: 8, opset_import: [\"\" : 17]>
            g (float[N, 8] past_features, float[N, 8] x) => (float[N, 8] y) { y = Add (x, past_features) }",
        )?;
        insta::assert_snapshot!(caches(&filled_elsewhere)?, @r"
        note: `past_features` stays: no output is seen to carry it on, so what fills it is not in this model
        0 caches
        ");
        Ok(())
    }
}
