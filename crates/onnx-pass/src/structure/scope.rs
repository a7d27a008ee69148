//! The scope that an exporter gave a node: the module of the original program that it belongs to.

use onnx_pass_ir::{Model, NodeId};

/// The scope of a node, outermost first (`model`, `layers.0`, `self_attn`); empty when nothing tells.
pub(crate) fn of(m: &Model, node: NodeId) -> Vec<String> {
    let n = m.node(node);
    let entry = |key: &str| n.metadata().iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    if let Some(list) = entry("pkg.torch.onnx.name_scopes") {
        // `['', 'model', 'model.layers.0', 'add_3']`: the last but one is the module.
        let names: Vec<&str> = list.split('\'').skip(1).step_by(2).collect();
        if let [.., module, _] = names.as_slice() {
            return dotted(module);
        }
    }
    if let Some(path) = entry("namespace") {
        // `: Wrap/model: Model/model.layers.0: Layer/add_3: aten.add.Tensor`
        let names: Vec<&str> = path.split('/').map(|p| p.split(':').next().unwrap_or("").trim()).collect();
        if let [.., module, _] = names.as_slice() {
            return dotted(module);
        }
    }
    let output = n.outputs().iter().flatten().next().map(|v| m.name(*v)).unwrap_or("");
    let name = if n.name().contains('/') { n.name() } else { output };
    let mut parts: Vec<String> = name.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect();
    parts.pop();
    parts
}

/// `model.layers.0.mlp` as `model`, `layers.0`, `mlp`.
fn dotted(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('.').filter(|p| !p.is_empty()) {
        match parts.last_mut() {
            Some(last) if part.bytes().all(|b| b.is_ascii_digit()) => {
                last.push('.');
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}

/// A name with its first number taken out: what stands before and after it.
pub(crate) fn numbered(name: &str) -> Option<(&str, u64, &str)> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let rest = &name[start..];
    let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((&name[..start], rest[..len].parse().ok()?, &rest[len..]))
}

/// Numbers as people write them: `0…2, 5`.
pub(crate) fn ranges(numbers: &[u64]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for n in sorted {
        match runs.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(n) => *end = n,
            _ => runs.push((n, n)),
        }
    }
    let shown = runs.iter().map(|(a, b)| match b - a {
        0 => a.to_string(),
        1 => format!("{a}, {b}"),
        _ => format!("{a}…{b}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_three_exporters() {
        let m = onnx_pass_ir::text::parse(
            r#"<opset_import: ["" : 17]> g (float x) => (float y) {
                ["/model/layers.0/mlp/Add"] "/model/layers.0/mlp/Add_output_0" = Add (x, x)
                #@ metadata "pkg.torch.onnx.name_scopes" "['', 'm', 'm.layers.12', 'm.layers.12.mlp', 'add_3']"
                [node_add_3] add_3 = Add (x, x)
                #@ metadata "namespace" ": Wrap/m.layers.1: Layer/add: aten.add"
                z = Neg (x)
                y = Abs (x)
            }"#,
        )
        .expect("parses");
        let scopes: Vec<String> = m.node_ids(m.main()).into_iter().map(|n| of(&m, n).join("|")).collect();
        assert_eq!(scopes, ["model|layers.0|mlp", "m|layers.12|mlp", "m|layers.1", ""]);
    }

    #[test]
    fn runs_of_numbers_are_ranges() {
        assert_eq!(ranges(&[3, 0, 1, 2, 5, 7, 8]), "0…3, 5, 7, 8");
        assert_eq!(numbered("layers.12.mlp"), Some(("layers.", 12, ".mlp")));
        assert_eq!(numbered("layers"), None);
    }
}
