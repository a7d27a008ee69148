//! Arithmetic on the values of expressions: exact on integers, never silent about an overflow.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// A value while an expression is computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Text or a list: it can be passed on and compared, not computed with.
    Other(Value),
}

use Operand::{Bool, Float, Int, Other};

impl Operand {
    pub(super) fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Err("has no value".to_owned()),
            Value::Bool(value) => Ok(Bool(*value)),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => Ok(Int(value)),
                (None, Some(value)) if !number.is_u64() => Ok(Float(value)),
                _ => Err("does not fit 64 bits".to_owned()),
            },
            Value::String(_) | Value::Array(_) => Ok(Other(value.clone())),
            Value::Object(_) => Err("is a mapping, which an expression cannot use".to_owned()),
        }
    }

    pub(super) fn into_json(self) -> Result<Value, String> {
        match self {
            Int(value) => Ok(Value::from(value)),
            Float(value) => Number::from_f64(value).map(Value::Number).ok_or_else(not_finite),
            Bool(value) => Ok(Value::Bool(value)),
            Other(value) => Ok(value),
        }
    }

    fn described(&self) -> &'static str {
        match self {
            Int(_) => "an integer",
            Float(_) => "a float",
            Bool(_) => "a boolean",
            Other(Value::String(_)) => "a string",
            Other(_) => "a list",
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Int(value) => Some(*value as f64),
            Float(value) => Some(*value),
            _ => None,
        }
    }
}

fn not_finite() -> String {
    "the result is not a finite number".to_owned()
}

fn finite(value: f64) -> Result<Operand, String> {
    if value.is_finite() { Ok(Float(value)) } else { Err(not_finite()) }
}

fn overflow(sign: &str, a: i64, b: i64) -> String {
    format!("{a} {sign} {b} does not fit 64 bits")
}

fn whole(value: f64) -> Result<Operand, String> {
    // The upper bound is 2^63, the first float beyond the range; the lower one is in it.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        Ok(Int(value as i64))
    } else {
        Err(format!("{value:?} does not fit 64 bits"))
    }
}

/// The sign `+` or `-` before a value.
pub(super) fn signed(sign: &str, value: Operand) -> Result<Operand, String> {
    match (sign, value) {
        ("-", Int(value)) => {
            value.checked_neg().map(Int).ok_or_else(|| format!("-({value}) does not fit 64 bits"))
        }
        ("-", Float(value)) => Ok(Float(-value)),
        (_, value @ (Int(_) | Float(_))) => Ok(value),
        (_, other) => Err(format!("`{sign}` needs a number, not {}", other.described())),
    }
}

pub(super) fn binary(sign: &'static str, a: &Operand, b: &Operand) -> Result<Operand, String> {
    match sign {
        "==" => return equal(a, b).map(Bool),
        "!=" => return equal(a, b).map(|same| Bool(!same)),
        _ => {}
    }
    if let (Int(a), Int(b)) = (a, b) {
        return integers(sign, *a, *b);
    }
    let (Some(x), Some(y)) = (a.number(), b.number()) else {
        let wrong = if a.number().is_none() { a } else { b };
        return Err(format!("`{sign}` needs numbers, not {}", wrong.described()));
    };
    match sign {
        "<" | "<=" | ">" | ">=" => Ok(Bool(ordered(sign, compare(a, b)))),
        "+" => finite(x + y),
        "-" => finite(x - y),
        "*" => finite(x * y),
        "/" | "//" | "%" if y == 0.0 => Err("division by zero".to_owned()),
        "/" => finite(x / y),
        "//" => finite((x / y).floor()),
        "%" => finite(floored_remainder(x, y)),
        _ => finite(x.powf(y)),
    }
}

fn integers(sign: &'static str, a: i64, b: i64) -> Result<Operand, String> {
    let result = match sign {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "/" | "//" | "%" if b == 0 => return Err("division by zero".to_owned()),
        "/" => match a.checked_rem(b) {
            Some(0) => a.checked_div(b),
            // `i64::MIN % -1` overflows though the quotient is whole.
            None => None,
            Some(_) => return finite(a as f64 / b as f64),
        },
        "//" => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        "%" => {
            let rest = a.wrapping_rem(b);
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        }
        "**" => return power(a, b),
        _ => return Ok(Bool(ordered(sign, Some(a.cmp(&b))))),
    };
    result.map(Int).ok_or_else(|| overflow(sign, a, b))
}

fn power(base: i64, exponent: i64) -> Result<Operand, String> {
    if exponent < 0 {
        return if base == 0 {
            Err("division by zero".to_owned())
        } else {
            finite((base as f64).powf(exponent as f64))
        };
    }
    let value = match (base, u32::try_from(exponent)) {
        (_, Ok(exponent)) => base.checked_pow(exponent),
        (0 | 1, Err(_)) => Some(base),
        (-1, Err(_)) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        _ => None,
    };
    value.map(Int).ok_or_else(|| overflow("**", base, exponent))
}

fn floored_remainder(x: f64, y: f64) -> f64 {
    let rest = x % y;
    if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest }
}

fn ordered(sign: &str, ordering: Option<Ordering>) -> bool {
    ordering.is_some_and(|ordering| match sign {
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

/// Numbers by value, without the loss of turning a large integer into a float.
fn compare(a: &Operand, b: &Operand) -> Option<Ordering> {
    match (a, b) {
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (Float(a), Float(b)) => a.partial_cmp(b),
        (Int(a), Float(b)) => compare_mixed(*a, *b),
        (Float(a), Int(b)) => compare_mixed(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn compare_mixed(a: i64, b: f64) -> Option<Ordering> {
    match whole(b.trunc()) {
        Ok(Int(floor)) => 0.0_f64.partial_cmp(&b.fract()).map(|rest| a.cmp(&floor).then(rest)),
        _ => 0.0_f64.partial_cmp(&b),
    }
}

fn equal(a: &Operand, b: &Operand) -> Result<bool, String> {
    match (a, b) {
        (Bool(a), Bool(b)) => Ok(a == b),
        (Other(a), Other(b)) if a.is_string() == b.is_string() => Ok(a == b),
        _ => compare(a, b)
            .map(Ordering::is_eq)
            .ok_or_else(|| format!("{} is never equal to {}", a.described(), b.described())),
    }
}

/// The functions, with the number of arguments that each takes.
pub(super) const FUNCTIONS: &[(&str, Arity)] = &[
    ("abs", Arity::One),
    ("ceil", Arity::One),
    ("floor", Arity::One),
    ("max", Arity::Some),
    ("min", Arity::Some),
    ("round", Arity::One),
    ("sqrt", Arity::One),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    One,
    /// At least one.
    Some,
}

pub(super) fn call(name: &str, args: &[Operand]) -> Result<Operand, String> {
    if let Some(wrong) = args.iter().find(|arg| arg.number().is_none()) {
        return Err(format!("`{name}` needs numbers, not {}", wrong.described()));
    }
    match (name, args) {
        ("min", _) => extreme(args, Ordering::Less),
        ("max", _) => extreme(args, Ordering::Greater),
        ("abs", [Int(value)]) => {
            value.checked_abs().map(Int).ok_or_else(|| format!("abs({value}) does not fit 64 bits"))
        }
        ("abs", [Float(value)]) => Ok(Float(value.abs())),
        ("round" | "floor" | "ceil", [Int(value)]) => Ok(Int(*value)),
        // `f64::round` rounds half away from zero.
        ("round", [Float(value)]) => whole(value.round()),
        ("floor", [Float(value)]) => whole(value.floor()),
        ("ceil", [Float(value)]) => whole(value.ceil()),
        ("sqrt", [value]) => square_root(value),
        _ => Err(format!("`{name}` does not take {} arguments", args.len())),
    }
}

fn square_root(value: &Operand) -> Result<Operand, String> {
    let Some(number) = value.number().filter(|number| *number >= 0.0) else {
        return Err("`sqrt` of a negative number".to_owned());
    };
    if let Int(square) = value {
        let root = square.isqrt();
        if root.checked_mul(root) == Some(*square) {
            return Ok(Int(root));
        }
    }
    finite(number.sqrt())
}

fn extreme(args: &[Operand], wanted: Ordering) -> Result<Operand, String> {
    let mut best: Option<&Operand> = None;
    for arg in args {
        if best.is_none_or(|best| compare(arg, best) == Some(wanted)) {
            best = Some(arg);
        }
    }
    best.cloned().ok_or_else(|| "nothing to choose from".to_owned())
}
