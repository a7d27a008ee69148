//! What is wrong with bytes that are read.

use crate::Error;

/// Steps of a place that are told in full beside the five at its ends.
const MOST_STEPS: usize = 4;

/// What is wrong and where, the place growing outwards as the error passes up. One pointer, as results are passed all
/// the time and next to none is an error.
#[derive(Debug)]
pub(crate) struct Bad(Box<Told>);

#[derive(Debug)]
struct Told {
    /// Innermost first.
    steps: Vec<String>,
    reason: String,
}

impl Bad {
    /// What is wrong, without the place.
    pub fn into_reason(self) -> String {
        self.0.reason
    }
}

impl From<String> for Bad {
    #[cold]
    fn from(reason: String) -> Self {
        Bad(Box::new(Told { steps: Vec::new(), reason }))
    }
}

impl From<&str> for Bad {
    #[cold]
    fn from(reason: &str) -> Self {
        reason.to_string().into()
    }
}

impl From<Bad> for Error {
    fn from(b: Bad) -> Self {
        let outer_first: Vec<&str> = b.0.steps.iter().rev().map(String::as_str).collect();
        let place = match outer_first.as_slice() {
            [] => "model".to_string(),
            // Graphs in graphs in graphs: who looks for it needs the ends.
            [first, second, third, middle @ .., last_but_one, last] if middle.len() > MOST_STEPS => {
                format!("{first}.{second}.{third}. … {} more … .{last_but_one}.{last}", middle.len())
            }
            all => all.join("."),
        };
        Error::malformed(place, b.into_reason())
    }
}

pub(crate) type Outcome<T> = Result<T, Bad>;

pub(crate) trait At<T> {
    /// Prepends a step to the place.
    fn at(self, step: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Bad>> At<T> for Result<T, E> {
    #[inline]
    fn at(self, step: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|e| {
            let mut b: Bad = e.into();
            b.0.steps.push(step());
            b
        })
    }
}
