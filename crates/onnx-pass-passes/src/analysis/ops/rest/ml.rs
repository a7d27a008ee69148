//! `ai.onnx.ml`.

use onnx_pass_ir::DataType;
use onnx_pass_ir::sym::Expr;

use super::{AttrValue, NodeCx, Rule, c, dim, product, same_as_first, same_shape};

pub(super) fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "ArrayFeatureExtractor" => array_features,
        "Binarizer" | "Imputer" => same_as_first,
        "Normalizer" | "Scaler" => |cx| same_shape(cx, 0, FLOAT),
        "CastMap" => cast_map,
        "CategoryMapper" => category_mapper,
        "DictVectorizer" => |cx| cx.set(0, None, None),
        "FeatureVectorizer" => feature_vectorizer,
        "LabelEncoder" => label_encoder,
        "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" => classifier,
        "LinearRegressor" => |cx| regressor(cx, cx.int_or("targets", 1), FLOAT),
        "SVMRegressor" => |cx| regressor(cx, 1, FLOAT),
        "TreeEnsembleRegressor" => |cx| regressor(cx, cx.int_or("n_targets", 1), FLOAT),
        "TreeEnsemble" => |cx| regressor(cx, cx.int_or("n_targets", 1), cx.dtype(0)),
        "OneHotEncoder" => one_hot,
        _ => return None,
    })
}

const FLOAT: Option<DataType> = Some(DataType::FLOAT);

/// The number of entries of a list attribute, 0 where it is not there.
fn entries(cx: &NodeCx<'_>, name: &str) -> usize {
    match cx.attr(name) {
        Some(AttrValue::Ints(v)) => v.len(),
        Some(AttrValue::Floats(v)) => v.len(),
        Some(AttrValue::Strings(v)) => v.len(),
        _ => 0,
    }
}

fn array_features(cx: &mut NodeCx<'_>) {
    let picked = cx.shape(1).map(product);
    let shape = cx.shape(0).map(<[Expr]>::to_vec).and_then(|mut shape| {
        shape.pop()?;
        if shape.is_empty() {
            shape.push(c(1));
        }
        let last = picked.unwrap_or_else(|| cx.fresh(0, shape.len()));
        shape.push(last);
        Some(shape)
    });
    cx.set(0, cx.dtype(0), shape);
}

fn cast_map(cx: &mut NodeCx<'_>) {
    let dtype = match cx.str("cast_to").unwrap_or("TO_FLOAT") {
        "TO_FLOAT" => FLOAT,
        "TO_STRING" => Some(DataType::STRING),
        "TO_INT64" => Some(DataType::INT64),
        _ => None,
    };
    cx.set(0, dtype, None);
}

fn category_mapper(cx: &mut NodeCx<'_>) {
    let dtype = match cx.dtype(0) {
        Some(DataType::STRING) => Some(DataType::INT64),
        Some(DataType::INT64) => Some(DataType::STRING),
        _ => None,
    };
    same_shape(cx, 0, dtype);
}

fn feature_vectorizer(cx: &mut NodeCx<'_>) {
    let widths = cx.int_list("inputdimensions").filter(|w| w.len() == cx.node.inputs().len());
    let total = widths.and_then(|w| w.iter().try_fold(0i64, |n, w| n.checked_add(*w)));
    let matrix = (0..cx.node.inputs().len()).find(|k| cx.rank(*k) == Some(2));
    let rows = matrix.and_then(|k| dim(cx, k, 0)).unwrap_or_else(|| cx.fresh(0, 0));
    let columns = total.map_or_else(|| cx.fresh(0, 1), c);
    cx.set(0, FLOAT, Some(vec![rows, columns]));
}

fn label_encoder(cx: &mut NodeCx<'_>) {
    let dtype = match cx.attr("values_tensor") {
        Some(AttrValue::Tensor(values)) => Some(values.dtype),
        _ if entries(cx, "values_strings") > 0 => Some(DataType::STRING),
        _ if entries(cx, "values_int64s") > 0 => Some(DataType::INT64),
        _ if entries(cx, "values_floats") > 0 => FLOAT,
        // The first version mapped between the classes and their numbers.
        _ => match cx.dtype(0) {
            Some(DataType::STRING) => Some(DataType::INT64),
            Some(DataType::INT64) if cx.opset() < 2 => Some(DataType::STRING),
            _ => None,
        },
    };
    same_shape(cx, 0, dtype);
}

/// The number of rows: one for a lone vector of features.
fn rows(cx: &NodeCx<'_>, k: usize) -> Expr {
    match cx.rank(0) {
        Some(1) => c(1),
        _ => dim(cx, 0, 0).unwrap_or_else(|| cx.fresh(k, 0)),
    }
}

fn classifier(cx: &mut NodeCx<'_>) {
    let strings = entries(cx, "classlabels_strings");
    let numbers = entries(cx, "classlabels_ints") + entries(cx, "classlabels_int64s");
    let label = if strings > 0 { DataType::STRING } else { DataType::INT64 };
    let labels = rows(cx, 0);
    cx.set(0, Some(label), Some(vec![labels]));
    // With two classes a runtime answers one score or two, by rules of its own; and a support vector machine
    // without probabilities answers one for every pair.
    let classes = strings.max(numbers);
    let plain = cx.node.op_type() != "SVMClassifier" && classes > 2;
    let scores = if plain { c(classes as i64) } else { cx.fresh(1, 1) };
    let each = rows(cx, 1);
    cx.set(1, FLOAT, Some(vec![each, scores]));
}

fn regressor(cx: &mut NodeCx<'_>, targets: i64, dtype: Option<DataType>) {
    let rows = rows(cx, 0);
    cx.set(0, dtype, Some(vec![rows, c(targets)]));
}

fn one_hot(cx: &mut NodeCx<'_>) {
    let categories = entries(cx, "cats_int64s").max(entries(cx, "cats_strings"));
    let shape = cx.shape(0).map(<[Expr]>::to_vec).map(|mut shape| {
        shape.push(if categories > 0 { c(categories as i64) } else { cx.fresh(0, shape.len()) });
        shape
    });
    cx.set(0, FLOAT, shape);
}
