//! The arguments of `qaic-compile`.

use indexmap::IndexMap;

use super::{ArtifactError, positive, spelled};

/// What `qaic-compile` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompileArgs {
    /// The model file.
    pub model: String,
    /// The file of specializations.
    pub specializations: Option<String>,
    /// Values for symbols, where there is no file of specializations.
    pub symbols: IndexMap<String, i64>,
    /// The file of custom inputs and outputs.
    pub custom_io: Option<String>,
    /// Whether outputs `X_RetainedState` stay on the device for the input `X`. False for a model without state.
    pub retained_state: bool,
    /// Whether the model holds functions that stay functions.
    pub sub_functions: bool,
    /// Whether float32 is computed in float16.
    pub convert_to_fp16: bool,
    /// Further arguments, as the user wrote them.
    pub extra: Vec<String>,
}

impl CompileArgs {
    /// The arguments, in a fixed order.
    ///
    /// # Errors
    /// A value for a symbol that cannot be given: its name holds what the compiler reads as its own, the value is
    /// below 1, or there is a file of specializations as well.
    pub fn arguments(&self) -> Result<Vec<String>, ArtifactError> {
        let mut arguments = vec![format!("-m={}", argument(&self.model)?)];
        if let Some(file) = &self.specializations {
            arguments.push(format!("-network-specialization-config={}", argument(file)?));
        }
        for (symbol, value) in &self.symbols {
            if self.specializations.is_some() {
                let reason = "gives a value that the file of specializations gives as well";
                return Err(ArtifactError::Entry { name: symbol.clone(), reason });
            }
            let symbol = spelled(symbol, "qaic-compile", &[','])?;
            arguments.push(format!("-onnx-define-symbol={symbol},{}", positive(symbol, *value)?));
        }
        if let Some(file) = &self.custom_io {
            arguments.push(format!("-custom-IO-list-file={}", argument(file)?));
        }
        let switches = [
            (self.retained_state, "-retained-state"),
            (self.sub_functions, "-sub-functions"),
            (self.convert_to_fp16, "-convert-to-fp16"),
        ];
        arguments.extend(switches.iter().filter(|(on, _)| *on).map(|(_, switch)| (*switch).to_owned()));
        for extra in &self.extra {
            arguments.push(argument(extra)?.to_owned());
        }
        Ok(arguments)
    }
}

/// An argument can hold anything but what a file of one argument a line cannot.
fn argument(text: &str) -> Result<&str, ArtifactError> {
    let format = "a file of arguments";
    match text.chars().find(|c| matches!(c, '\n' | '\r' | '\0')) {
        Some(character) => Err(ArtifactError::Name { name: text.to_owned(), format, character }),
        None if text.is_empty() => Err(ArtifactError::EmptyName { format }),
        None => Ok(text),
    }
}
