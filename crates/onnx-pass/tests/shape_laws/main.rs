//! What is inferred of random shape arithmetic, evaluated at random sizes, is what ONNX Runtime computes.
//!
//! `PROPTEST_CASES` says how many graphs.

mod graph;

use std::collections::BTreeMap;

use onnx_pass::verify::{Prepared, VerifyError};
use onnx_pass_ir::sym::{Expr, Facts};
use onnx_pass_ir::{Model, Tensor, text};
use onnx_pass_passes::analysis::{Analysis, Told};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

/// Graphs, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 300;
/// Sizes that each graph runs at.
const SIZES: usize = 5;
/// Tensors with more elements are compared in shape alone.
const FEW: usize = 16;

/// The inputs of one run.
#[derive(Clone, Debug)]
struct Sizes {
    symbols: BTreeMap<&'static str, i64>,
    flags: Vec<bool>,
    numbers: Vec<i64>,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let length = || prop::sample::select(vec![2i64, 1, 0, 3, 5, 8]);
    let lengths = (length(), length(), length());
    let flags = prop::collection::vec(any::<bool>(), graph::FLAGS.len());
    (lengths, flags, prop::collection::vec(0..=8i64, 2)).prop_map(|((a, b, c), flags, numbers)| Sizes {
        symbols: BTreeMap::from([("a", a), ("b", b), ("c", c)]),
        flags,
        numbers,
    })
}

impl Sizes {
    fn feeds(&self) -> Vec<(String, Tensor)> {
        let mut out = Vec::new();
        for (name, dims) in graph::INPUTS {
            let dims: Vec<i64> =
                dims.iter().filter_map(|d| d.parse().ok().or_else(|| self.length(d))).collect();
            let count = dims.iter().product::<i64>() as usize;
            out.push(((*name).to_owned(), Tensor::float(&dims, &vec![1.0; count])));
        }
        for ((name, rank), flag) in graph::FLAGS.iter().zip(&self.flags) {
            out.push(((*name).to_owned(), Tensor::bool(&vec![1; *rank], &[*flag])));
        }
        out.push((graph::NUMBERS.to_owned(), Tensor::int64_vec(&self.numbers)));
        out
    }

    fn length(&self, symbol: &str) -> Option<i64> {
        self.symbols.get(symbol).copied()
    }

    /// The value that was told; `None` when it was not.
    fn value(&self, model: &Model, told: &Told) -> Option<i64> {
        match told {
            Told::Always(e) => e.eval(&|s| self.length(s)),
            Told::If { input, then, other } => {
                let flag = graph::FLAGS.iter().position(|(name, _)| *name == model.name(*input))?;
                self.value(model, if self.flags[flag] { then } else { other })
            }
        }
    }
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Dims and elements.
    all: u64,
    known: u64,
    /// Of these, what an input decides.
    decided: u64,
    runs: u64,
    refused: u64,
}

struct Law {
    model: Model,
    analysis: Analysis,
    outputs: Vec<String>,
    source: String,
}

impl Law {
    fn of(steps: &[graph::Step]) -> Result<Self, TestCaseError> {
        let (source, outputs) = graph::model(steps);
        let model = text::parse(&source).map_err(|e| TestCaseError::fail(format!("{e}\n{source}")))?;
        let analysis = Analysis::of(&model, &Facts::new());
        Ok(Law { model, analysis, outputs, source })
    }

    /// Runs the model at each size and compares.
    fn hold(&self, all: &[Sizes], count: &mut Count) -> Result<(), TestCaseError> {
        let names: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
        let mut prepared = match Prepared::of(&self.model) {
            Ok(prepared) => prepared,
            // What a graph computes from constants can be wrong at every size.
            Err(VerifyError::Refused { .. }) => {
                count.refused += all.len() as u64;
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        for sizes in all {
            let Ok(computed) = prepared.run(&sizes.feeds(), &names) else {
                count.refused += 1;
                continue;
            };
            count.runs += 1;
            for (name, tensor) in names.iter().zip(&computed) {
                self.compare(name, tensor, sizes, count).map_err(|why| {
                    TestCaseError::fail(format!("{name} {why}\nat {sizes:?} of\n{}", self.source))
                })?;
            }
        }
        Ok(())
    }

    fn compare(&self, name: &str, computed: &Tensor, sizes: &Sizes, count: &mut Count) -> Result<(), String> {
        let value = self.model.find_value(self.model.main(), name).ok_or("is not in the model")?;
        let fact = self.analysis.fact(value);
        if fact.dtype != Some(computed.dtype) {
            return Err(format!("is told to be {:?} and is {}", fact.dtype, computed.dtype));
        }
        count.all += computed.dims.len() as u64;
        let Some(shape) = &fact.shape else { return Ok(()) };
        if shape.len() != computed.dims.len() {
            return Err(format!("is told to have rank {} and is {:?}", shape.len(), computed.dims));
        }
        for (axis, (dim, length)) in shape.iter().zip(computed.dims.iter()).enumerate() {
            self.check(dim, *length, sizes, count)
                .map_err(|told| format!("[{axis}] is told to be {told} and is {length}"))?;
        }
        let few = computed.len().is_ok_and(|n| n <= FEW) && computed.dtype != onnx_pass_ir::DataType::FLOAT;
        let Some(numbers) = computed.to_i64s().ok().filter(|_| few) else { return Ok(()) };
        count.all += numbers.len() as u64;
        let Some(items) = &fact.items else { return Ok(()) };
        if items.len() != numbers.len() {
            return Err(format!("is told to hold {} numbers and holds {numbers:?}", items.len()));
        }
        for (at, (item, number)) in items.iter().zip(numbers).enumerate() {
            let Some(item) = item else { continue };
            self.check(item, number, sizes, count)
                .map_err(|told| format!("holds {number} at {at} and is told to hold {told}"))?;
        }
        Ok(())
    }

    /// What was told when it is wrong.
    fn check(&self, e: &Expr, computed: i64, sizes: &Sizes, count: &mut Count) -> Result<(), String> {
        let told = self.analysis.told(&self.model, e);
        let Some(value) = sizes.value(&self.model, &told) else { return Ok(()) };
        count.known += 1;
        count.decided += u64::from(matches!(told, Told::If { .. }));
        if value == computed { Ok(()) } else { Err(format!("{value} = {}", told.text(&self.model))) }
    }
}

#[test]
fn what_is_told_of_shape_arithmetic_is_computed() {
    let smallest = Law::of(&[]).map_err(|e| e.to_string());
    if let Err(error) = smallest.and_then(|law| Prepared::of(&law.model).map_err(|e| e.to_string())) {
        panic!("{error}");
    }
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.failure_persistence = None;
    let total = std::cell::Cell::new(Count::default());
    let cases = (graph::steps(), prop::collection::vec(sizes(), SIZES));
    let done = TestRunner::new(config).run(&cases, |(steps, sizes)| {
        let mut count = total.get();
        let law = Law::of(&steps)?;
        law.hold(&sizes, &mut count)?;
        total.set(count);
        Ok(())
    });
    let total = total.get();
    if let Err(error) = done {
        panic!("{error}\nafter {total:?}");
    }
    // It is a check of answers, not of silence.
    assert!(total.runs >= 2 * total.refused, "too much was refused: {total:?}");
    assert!(10 * total.known >= 7 * total.all, "too little was known: {total:?}");
    assert!(total.decided > 0, "no length was decided by an input: {total:?}");
}
