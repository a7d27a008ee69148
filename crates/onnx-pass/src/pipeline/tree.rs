//! YAML text as a tree of plain values, and the way back from a place in the tree to a place in the text.
//!
//! There is one parser. Serde's interface gives no positions for what is right, but the parser's errors know
//! theirs: to locate a place, the text is read once more, walking along the path, and an error is raised at its
//! end. A pipeline is small, and this happens once, on the way to an error message.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use onnx_pass_passes::options::Place;

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Why a text is no tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreeError {
    pub(super) position: Option<Position>,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

/// Values in one text, those that aliases repeat included.
const MAX_VALUES: usize = 100_000;

/// The tree of a text. Keys are strings as they are written, so that a tensor may be called `0`.
///
/// # Errors
/// The text is not YAML, holds more than one document, repeats a key, or has a value that JSON does not know.
pub(super) fn parse(text: &str) -> Result<Value, TreeError> {
    let reader = Context { left: Cell::new(MAX_VALUES), fault: RefCell::new(None) };
    let result = Read(&reader).deserialize(serde_yaml::Deserializer::from_str(text));
    result.map_err(|error| {
        let position = position_of(&error);
        match reader.fault.take() {
            Some((message, suggestion)) => TreeError { position, message, suggestion },
            None => syntax_error(text, &error, position),
        }
    })
}

/// Where the value, or its key, is that `path` leads to; where nothing is, the nearest place above it.
pub(super) fn locate(text: &str, path: &[String], place: Place) -> Option<Position> {
    let mut place = place;
    let mut length = path.len();
    loop {
        let path = path.get(..length)?;
        let found = Cell::new(false);
        let walk = Walk { path, place, found: &found };
        if let Err(error) = walk.deserialize(serde_yaml::Deserializer::from_str(text))
            && found.get()
        {
            return position_of(&error);
        }
        length = length.checked_sub(1)?;
        place = Place::Value;
    }
}

fn position_of(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|location| Position { line: location.line(), column: location.column() })
}

fn syntax_error(text: &str, error: &serde_yaml::Error, position: Option<Position>) -> TreeError {
    let mut message = error.to_string();
    if let Some(Position { line, column }) = position {
        // The place stands before the message already.
        message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
    }
    let known = |message: &str, suggestion: Option<&str>, position| TreeError {
        position,
        message: message.to_owned(),
        suggestion: suggestion.map(str::to_owned),
    };
    if message.contains("more than one document") {
        return known("a second document begins", Some("remove the `---`"), second_document(text));
    }
    if message.contains(KEY_EXPECTED) {
        return known("a key must be a string", None, position);
    }
    if message.contains("recursion limit") {
        return known("the values are nested too deeply", None, position);
    }
    let line = position.and_then(|position| text.lines().nth(position.line.saturating_sub(1)));
    let suggestion = match line {
        Some(line) if line.trim_start_matches(' ').starts_with('\t') => {
            Some("indent with blanks, not with tabs")
        }
        Some(line) if has_bare_expression(line) => Some("put a `${…}` in quotes"),
        _ => None,
    };
    known(&format!("not YAML: {message}"), suggestion, position)
}

/// The first `---` after something that is neither a comment nor a directive.
fn second_document(text: &str) -> Option<Position> {
    let content =
        |line: &&str| !line.trim().is_empty() && !line.starts_with(['#', '%']) && !line.starts_with("---");
    let before = text.lines().take_while(|line| !content(line)).count();
    let line = text.lines().skip(before).position(|line| line.starts_with("---"))?;
    Some(Position { line: before + line + 1, column: 1 })
}

fn has_bare_expression(line: &str) -> bool {
    line.match_indices("${")
        .any(|(at, _)| line.get(..at).is_some_and(|before| before.matches(['"', '\'']).count() % 2 == 0))
}

struct Context {
    left: Cell<usize>,
    /// What is wrong, beside the parser's error, which adds words of its own.
    fault: RefCell<Option<(String, Option<String>)>>,
}

impl Context {
    fn refuse<E: de::Error>(&self, message: String, suggestion: Option<&str>) -> E {
        *self.fault.borrow_mut() = Some((message, suggestion.map(str::to_owned)));
        E::custom("refused")
    }

    fn count<E: de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.refuse(format!("more than {MAX_VALUES} values"), None)),
        }
    }
}

/// Reads a value.
#[derive(Clone, Copy)]
struct Read<'a>(&'a Context);

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.0.count().map(|()| Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.count().map(|()| Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.count().map(|()| Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.visit_u128(value.into())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(self.0.refuse(format!("the integer {value} does not fit 64 bits"), None)),
        }
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(self.0.refuse(format!("the integer {value} does not fit 64 bits"), None)),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.count()?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| {
            self.0.refuse("a number must be finite".to_owned(), Some("quote it if it is text"))
        })
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.count().map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.count()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.count()?;
        let mut out = Map::new();
        while let Some(key) = entries.next_key_seed(ReadKey { context: self.0, seen: &out })? {
            let value = entries.next_value_seed(self)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(self.0.refuse("a tag (`!…`) has no meaning here".to_owned(), Some("quote it if it is text")))
    }
}

/// How the parser's own error for a key that is no scalar is known again.
const KEY_EXPECTED: &str = "a key which is a string";

/// Reads a key that is not among those seen.
struct ReadKey<'a> {
    context: &'a Context,
    seen: &'a Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for ReadKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for ReadKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEY_EXPECTED)
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        if self.seen.contains_key(key) {
            return Err(self.context.refuse(format!("the key `{key}` stands twice in this mapping"), None));
        }
        if key == "<<" {
            let message = "merge keys (`<<`) are not supported".to_owned();
            return Err(self.context.refuse(message, Some("write the keys out")));
        }
        Ok(key.to_owned())
    }
}

/// Walks along a path and raises an error at its end.
#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [String],
    place: Place,
    found: &'a Cell<bool>,
}

impl Walk<'_> {
    fn arrive<E: de::Error>(self) -> E {
        self.found.set(true);
        E::custom("here")
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.path.split_first() else { return Err(self.arrive()) };
        let mut index = 0_usize;
        loop {
            if *step == index.to_string() {
                return items.next_element_seed(Walk { path: rest, ..self }).map(|_| ());
            }
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.path.split_first() else { return Err(self.arrive()) };
        let stop = rest.is_empty() && self.place == Place::Key;
        while let Some(matches) = entries.next_key_seed(WalkKey { walk: self, step, stop })? {
            if matches {
                return entries.next_value_seed(Walk { path: rest, ..self });
            }
            entries.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        if self.path.is_empty() { Err(self.arrive()) } else { Ok(()) }
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.visit_unit()
    }
}

struct WalkKey<'a> {
    walk: Walk<'a>,
    step: &'a str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for WalkKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for WalkKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.step {
            true if self.stop => Err(self.walk.arrive()),
            matches => Ok(matches),
        }
    }
}
