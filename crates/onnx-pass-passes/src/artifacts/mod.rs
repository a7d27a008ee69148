//! The files that compilers and runtimes read beside the model.
//!
//! Pure functions from plain data to text; which data, is for the passes to say. Names come from a model, so
//! each format quotes them by its own rules, and a name that a format cannot spell is an error, never a file
//! that says something else.

mod cloud_ai;
mod compile_args;
mod profiles;
mod qnn;
mod quote;

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use thiserror::Error;

pub use cloud_ai::{Spelling, custom_io_yaml, entry_names, specializations_json};
pub use compile_args::CompileArgs;
pub use profiles::{
    onnxruntime_arguments, onnxruntime_json, openvino_argument, openvino_json, tensorrt_arguments,
};
pub use qnn::qnn_yaml;
pub use quote::render_arguments;

/// One set of values for the symbols of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specialization {
    /// The name that the user chose.
    pub name: Option<String>,
    /// The value of each symbol, in the order in which they are written.
    pub symbols: IndexMap<String, i64>,
}

/// The element type of an input or output at the device's border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit float.
    Float,
    /// 16-bit float.
    Float16,
    /// 16-bit float with the exponent of a 32-bit one.
    BFloat16,
    /// 8-bit integer, with a scale and an offset.
    Int8,
    /// 8-bit integers that share a scale in blocks.
    MxInt8,
}

impl Precision {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Float, Self::Float16, Self::BFloat16, Self::Int8, Self::MxInt8];

    /// The word in the Cloud AI spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
            Self::MxInt8 => "mxint8",
        }
    }
}

/// The order of the axes of a four-dimensional tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

impl Layout {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Nchw, Self::Nhwc];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nchw => "NCHW",
            Self::Nhwc => "NHWC",
        }
    }
}

/// A word that names no precision or layout.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown {what} `{word}`; {hint}")]
pub struct UnknownWord {
    what: &'static str,
    word: String,
    hint: String,
}

impl UnknownWord {
    fn new(what: &'static str, plural: &str, word: &str, known: &[&str]) -> Self {
        Self { what, word: word.to_owned(), hint: crate::suggest::hint(word, plural, known) }
    }
}

impl FromStr for Precision {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
            UnknownWord::new("precision", "precisions", word, &known)
        })
    }
}

impl FromStr for Layout {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
            UnknownWord::new("layout", "layouts", word, &known)
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What differs at the device's border from what the graph says of one input or output.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IoEntry {
    /// The input or output.
    pub name: String,
    /// Its element type.
    pub precision: Option<Precision>,
    /// The order of its axes.
    pub layout: Option<Layout>,
    /// What one step of an `int8` is worth.
    pub scale: Option<f64>,
    /// The `int8` that stands for zero.
    pub offset: Option<i64>,
}

/// An input or output with the shapes that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoTensor {
    /// The input or output.
    pub name: String,
    /// The element type as numpy spells it: `int64`, `float32`.
    pub dtype: String,
    /// The whole shape, one for each specialization.
    pub shapes: Vec<Vec<i64>>,
}

/// Data that an artifact cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArtifactError {
    /// A name has a character that the format gives a meaning of its own.
    #[error("the name `{}` cannot be written for {format}, which reads `{}` in it as its own", .name.escape_debug(), .character.escape_debug())]
    Name {
        /// The name.
        name: String,
        /// What the name would have been written for.
        format: &'static str,
        /// The character in the way.
        character: char,
    },
    /// A name is empty.
    #[error("an empty name cannot be written for {format}")]
    EmptyName {
        /// What the name would have been written for.
        format: &'static str,
    },
    /// A tensor does not have one shape for each specialization.
    #[error("`{}` has {shapes} shapes for {specializations} specializations", .name.escape_debug())]
    ShapeCount {
        /// The tensor.
        name: String,
        /// The shapes that it has.
        shapes: usize,
        /// The specializations that there are.
        specializations: usize,
    },
    /// A length that is no length.
    #[error("`{}` would be {value}; it must be at least 1", .name.escape_debug())]
    NotPositive {
        /// The symbol or tensor.
        name: String,
        /// Its value.
        value: i64,
    },
    /// An entry that says nothing, or says only half.
    #[error("the entry for `{}` {reason}", .name.escape_debug())]
    Entry {
        /// The input or output.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The same input or output twice.
    #[error("there are two entries for `{}`", .name.escape_debug())]
    Twice {
        /// The input or output.
        name: String,
    },
}

fn positive(name: &str, value: i64) -> Result<i64, ArtifactError> {
    if value >= 1 { Ok(value) } else { Err(ArtifactError::NotPositive { name: name.to_owned(), value }) }
}

/// `name`, unless the format would read one of `reserved`, a blank or a control character in it as its own.
fn spelled<'a>(name: &'a str, format: &'static str, reserved: &[char]) -> Result<&'a str, ArtifactError> {
    if name.is_empty() {
        return Err(ArtifactError::EmptyName { format });
    }
    match name.chars().find(|c| c.is_control() || c.is_whitespace() || reserved.contains(c)) {
        Some(character) => Err(ArtifactError::Name { name: name.to_owned(), format, character }),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests;
