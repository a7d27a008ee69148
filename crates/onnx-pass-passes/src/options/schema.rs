//! The JSON Schema of pipeline files.

use serde_json::{Map, Value, json};

use super::{OptionKind, OptionSpec, PassSpec};

/// The JSON Schema (draft 2020-12) of a pipeline over these passes.
///
/// A value that is no text may also be a text with a `${…}`, which is how a variable gets into it.
pub fn json_schema(passes: &[PassSpec]) -> Value {
    let names: Vec<&str> = passes.iter().map(|pass| pass.name).collect();
    let definitions: Map<String, Value> =
        passes.iter().map(|pass| (pass.name.to_owned(), options_schema(pass))).collect();
    let branches: Vec<Value> = passes.iter().map(branch).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "onnx-pass pipeline",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "steps"],
        "properties": {
            "version": {"const": 1, "description": "The version of the pipeline format."},
            "name": {"type": "string", "description": "A name for reports; the file's name when left out."},
            "vars": {
                "type": ["object", "null"],
                "description": "Variables for `${…}`. One without a value must be given with `--set NAME=VALUE`.",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": {
                    "anyOf": [
                        {"type": ["null", "boolean", "number", "string"]},
                        {"type": "array", "items": {"type": ["boolean", "number", "string"]}}
                    ]
                }
            },
            "steps": {
                "type": "array",
                "description": "The passes, in the order in which they run.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["pass"],
                    "properties": {
                        "pass": {"enum": names, "description": "The name of the pass."},
                        "with": {"description": "The options of the pass."}
                    },
                    "allOf": branches
                }
            }
        },
        "$defs": definitions
    })
}

fn branch(pass: &PassSpec) -> Value {
    let mut then = json!({"properties": {"with": {"$ref": format!("#/$defs/{}", pass.name)}}});
    if pass.options.iter().any(|option| option.required)
        && let Some(then) = then.as_object_mut()
    {
        then.insert("required".to_owned(), json!(["with"]));
    }
    json!({"if": {"properties": {"pass": {"const": pass.name}}, "required": ["pass"]}, "then": then})
}

fn options_schema(pass: &PassSpec) -> Value {
    let mut schema = object(pass.options);
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), json!(pass.summary));
        if !pass.options.iter().any(|option| option.required) {
            fields.insert("type".to_owned(), json!(["object", "null"]));
        }
    }
    schema
}

fn object(specs: &[OptionSpec]) -> Value {
    let properties: Map<String, Value> =
        specs.iter().map(|spec| (spec.name.to_owned(), property(spec))).collect();
    let required: Vec<&str> = specs.iter().filter(|spec| spec.required).map(|spec| spec.name).collect();
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty()
        && let Some(fields) = schema.as_object_mut()
    {
        fields.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(spec: &OptionSpec) -> Value {
    let default =
        if spec.default.is_empty() { String::new() } else { format!(" Default: {}.", spec.default) };
    let mut schema = kind_schema(&spec.kind);
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), json!(format!("{}{default}", spec.doc)));
    }
    schema
}

fn kind_schema(kind: &OptionKind) -> Value {
    match kind {
        OptionKind::Any => json!({}),
        OptionKind::String => json!({"type": "string"}),
        OptionKind::Bool => or_template(json!({"type": "boolean"})),
        OptionKind::Int => or_template(json!({"type": "integer"})),
        OptionKind::IntAtLeast(least) => or_template(json!({"type": "integer", "minimum": least})),
        OptionKind::Float => or_template(json!({"type": "number"})),
        OptionKind::OneOf(words) => or_template(json!({"enum": words})),
        OptionKind::StringList => or_template(json!({"type": "array", "items": {"type": "string"}})),
        OptionKind::List(item) => or_template(json!({"type": "array", "items": kind_schema(item)})),
        OptionKind::Map(item) => json!({"type": "object", "additionalProperties": kind_schema(item)}),
        OptionKind::Object(specs) => object(specs),
        OptionKind::AnyOf(kinds) => {
            let mut branches = Vec::new();
            for kind in *kinds {
                match kind_schema(kind) {
                    Value::Object(mut schema) if schema.len() == 1 && schema.contains_key("anyOf") => {
                        if let Some(Value::Array(inner)) = schema.remove("anyOf") {
                            branches.extend(inner);
                        }
                    }
                    schema => branches.push(schema),
                }
            }
            let mut unique: Vec<Value> = Vec::new();
            for branch in branches {
                if !unique.contains(&branch) {
                    unique.push(branch);
                }
            }
            json!({"anyOf": unique})
        }
        OptionKind::Late(kind) => kind_schema(kind),
    }
}

fn or_template(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{"}]})
}
