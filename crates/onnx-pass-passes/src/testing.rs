//! What the passes' tests share: small models from text, a pass run under the manager, and the result as text.

use onnx_pass_ir::{Attribute, DataType, Dim, Model, NewNode, OpsetImport, Place, Tensor, Type, ValueId};
use serde_json::Value;

use crate::artifacts;
use crate::manager::{self, RunOptions, Step};
use crate::pass::PassContext;
use crate::{options, registry};

/// A model from the plain part of ONNX text: one graph, tensors, initializers and inner types in `<…>`, and
/// attributes that are integers or lists of them.
pub fn model(text: &str) -> Model {
    let mut m = Model::empty();
    m.header_mut().ir_version = Some(10);
    m.header_mut().opset_imports.push(OpsetImport { domain: Some("".into()), version: Some(21) });
    let (head, body) = text.split_once('{').map(|(h, b)| (h, b.to_owned())).expect("a body");
    let (head, body) = match head.split_once('<') {
        // Initializers hold braces of their own.
        Some((head, _)) => {
            let (_, rest) = text.split_once('<').expect("inner");
            let (inner, body) = rest.split_once('>').expect("the end of the inner part");
            (format!("{head}<{inner}"), body.trim().trim_start_matches('{').to_owned())
        }
        None => (head.to_owned(), body),
    };
    let (head, inner) = head.split_once('<').unwrap_or((&head, ""));
    let (inputs, outputs) = head.split_once("=>").expect("=>");
    let main = m.main();
    let mut values: Vec<(String, ValueId)> = Vec::new();
    let inside = |s: &str| s.split_once('(').expect("(").1.rsplit_once(')').expect(")").0.to_owned();
    for (ty, name) in declarations(&inside(inputs)) {
        let v = m.add_input(main, &name, Some(ty));
        values.push((name, v));
    }
    let mut inner_types = Vec::new();
    for item in split(inner, ',') {
        match item.split_once('=') {
            Some((decl, data)) => {
                let (ty, name) = declarations(decl).remove(0);
                let data = data.trim().trim_matches(['{', '}']);
                let dims: Vec<i64> = ty.dims().unwrap_or_default().iter().filter_map(Dim::known).collect();
                let numbers: Vec<f32> = data.split(',').filter_map(|x| x.trim().parse().ok()).collect();
                let t = match ty.elem() {
                    Some(DataType::FLOAT) => Tensor::float(&dims, &numbers),
                    dtype => {
                        let ints: Vec<i64> = numbers.iter().map(|n| *n as i64).collect();
                        Tensor::integers(dtype.expect("a type"), &dims, &ints).expect("a tensor")
                    }
                };
                values.push((name.clone(), m.add_initializer(main, &name, t.shared())));
            }
            None => inner_types.extend(declarations(&item)),
        }
    }
    for line in body.lines().map(str::trim).filter(|l| l.contains('=')) {
        node(&mut m, line, &mut values);
    }
    let find = |name: &str| values.iter().find(|(n, _)| n == name).expect("a value").1;
    for (ty, name) in declarations(&inside(outputs)) {
        m.add_output(main, find(&name), Some(ty));
    }
    for (ty, name) in inner_types {
        m.set_type(find(&name), ty);
    }
    m
}

fn node(m: &mut Model, line: &str, values: &mut Vec<(String, ValueId)>) {
    let (outputs, call) = line.split_once('=').expect("=");
    let (op, attributes, args) = match call.split_once('<') {
        Some((op, rest)) => {
            let (attributes, args) = rest.rsplit_once('>').expect(">");
            (op, attributes, args)
        }
        None => {
            let (op, args) = call.split_once('(').expect("(");
            (op, "", args)
        }
    };
    let args = args.trim().trim_start_matches('(').trim_end_matches(')');
    let find = |name: &str| values.iter().find(|(n, _)| n == name).expect("an operand").1;
    let inputs: Vec<ValueId> = args.split(',').map(str::trim).filter(|a| !a.is_empty()).map(find).collect();
    let names: Vec<&str> = outputs.split(',').map(str::trim).collect();
    let mut new = NewNode::new(op.trim(), &inputs, "");
    new.outputs = names.iter().map(|n| (*n).into()).collect();
    for a in split(attributes, ',') {
        let (name, value) = a.split_once('=').expect("=");
        let ints: Vec<i64> =
            value.trim().trim_matches(['[', ']']).split(',').filter_map(|x| x.trim().parse().ok()).collect();
        let list = value.contains('[');
        new = new.attr(if list {
            Attribute::ints(name.trim(), &ints)
        } else {
            Attribute::int(name.trim(), ints[0])
        });
    }
    let n = m.add_node(Place::End(m.main()), new);
    for (k, name) in names.iter().enumerate() {
        values.push(((*name).into(), m.node(n).output(k).expect("an output")));
    }
}

/// Splits where the separator is in no bracket.
fn split(text: &str, by: char) -> Vec<String> {
    let (mut out, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        depth += i32::from("[{(".contains(c)) - i32::from("]})".contains(c));
        match out.last_mut() {
            Some(_) if c == by && depth == 0 => out.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    out.into_iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

fn declarations(text: &str) -> Vec<(Type, String)> {
    let one = |item: String| {
        let (ty, name) = item.rsplit_once(' ').expect("a type and a name");
        let (elem, dims) = ty.split_once('[').unwrap_or((ty, "]"));
        let dim = |d: String| match d.parse() {
            Ok(n) => Dim::Known(n),
            Err(_) if d == "?" => Dim::Unknown,
            Err(_) => Dim::Symbol(d.as_str().into()),
        };
        let dims = split(dims.trim_end_matches(']'), ',').into_iter().map(dim).collect();
        let elem = DataType::from_name(elem.trim()).expect("an element type");
        (Type::tensor(elem, Some(dims)), name.to_owned())
    };
    split(text, ',').into_iter().map(one).collect()
}

fn declared(m: &Model, v: ValueId, ty: Option<&Type>) -> String {
    let dims: Vec<String> = (ty.and_then(Type::dims).unwrap_or_default().iter())
        .map(|d| match d {
            Dim::Known(n) => n.to_string(),
            Dim::Symbol(s) => s.to_string(),
            Dim::Unknown => "?".into(),
        })
        .collect();
    let elem = ty.and_then(Type::elem).map(|e| e.to_string()).unwrap_or_default();
    let dims = if dims.is_empty() { String::new() } else { format!("[{}]", dims.join(", ")) };
    format!("{elem}{dims} {}", m.name(v))
}

/// The main graph as text.
pub fn show(m: &Model) -> String {
    let g = m.graph(m.main());
    let own = |v: &ValueId| declared(m, *v, m.declared_type(*v));
    let inputs: Vec<String> = g.inputs().iter().map(own).collect();
    let outputs: Vec<String> = g.outputs().iter().map(|o| declared(m, o.value(), o.info.ty())).collect();
    let mut inner: Vec<String> = Vec::new();
    for v in g.initializers() {
        let t = m.value(*v).initializer().expect("an initializer");
        inner.push(format!("{}{:?} {} = {}", t.dtype, t.dims, m.name(*v), t.preview()));
    }
    inner.extend(g.value_info().iter().map(own));
    let mut out = format!("agraph ({}) => ({})", inputs.join(", "), outputs.join(", "));
    if !inner.is_empty() {
        out += &format!("\n<{}>", inner.join(", "));
    }
    out += " {\n";
    for (_, n) in m.nodes(m.main()) {
        let names = |vs: &[Option<ValueId>]| {
            vs.iter().map(|v| v.map(|v| m.name(v)).unwrap_or_default()).collect::<Vec<_>>().join(", ")
        };
        let attributes: Vec<String> = (n.attributes().iter())
            .map(|a| match (a.as_int(), a.as_ints(), a.as_tensor()) {
                (Some(i), ..) => format!("{} = {i}", a.name),
                (_, Some(v), _) => format!("{} = {v:?}", a.name),
                (.., Some(t)) => format!("{} = {}{:?} {}", a.name, t.dtype, t.dims, t.preview()),
                _ => format!("{} = …", a.name),
            })
            .collect();
        let attributes =
            if attributes.is_empty() { String::new() } else { format!(" <{}>", attributes.join(", ")) };
        out += &format!("  {} = {}{attributes} ({})\n", names(n.outputs()), n.op_type(), names(n.inputs()));
    }
    out + "}\n"
}

/// Runs one pass as the manager does, with everything checked. The context is what a run has.
pub fn run_in(m: &mut Model, cx: &mut PassContext, pass: &str, options: Value) -> Result<bool, String> {
    let pass = registry::find(pass).expect("a pass");
    options::check(&options, pass.options()).map_err(|e| e.to_string())?;
    let steps = [Step { pass, options }];
    let reports = manager::run(m, &steps, cx, RunOptions { verify_each: true }, &mut |_, _, _| true);
    reports.map(|r| r[0].changed).map_err(|e| e.to_string())
}

/// The model after a pass, which was run twice: the second time nothing may happen. What was noticed follows.
pub fn after(text: &str, pass: &str, options: Value) -> String {
    let mut m = model(text);
    let mut cx = PassContext::new();
    if let Err(e) = run_in(&mut m, &mut cx, pass, options.clone()) {
        return format!("error: {e}\n");
    }
    let mut out = show(&m);
    for d in &cx.diagnostics {
        out += &format!("{d}\n");
    }
    for a in &cx.artifacts {
        out += &format!("--- {}\n{}", a.name, a.text);
    }
    let files = cx.artifacts.clone();
    let again = run_in(&mut m, &mut cx, pass, options).expect("a second run");
    assert!(!again, "{pass} changes the model when run twice:\n{}", show(&m));
    assert_eq!(cx.artifacts, files, "{pass} writes other files when run twice");
    out
}

/// The error of a pass that must refuse.
pub fn refusal(text: &str, pass: &str, options: Value) -> String {
    match run_in(&mut model(text), &mut PassContext::new(), pass, options) {
        Ok(_) => "NOT REFUSED".into(),
        Err(e) => e,
    }
}

/// A model of `testdata/`.
pub fn export(name: &str) -> Model {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name).join("model.onnx");
    Model::read(path).expect("a model of testdata")
}

/// The names of a specialization's file as arguments, so that a test of the whole can see them.
pub fn compile_args(m: &Model, cx: &mut PassContext) -> String {
    crate::deploy::finish(m, cx, "model.onnx").expect("files");
    let file = cx.artifacts.iter().find(|a| a.name == "compile.args");
    let none = artifacts::render_arguments(&[]);
    file.map_or(none, |f| f.text.clone())
}
