//! The text of an expression.
//!
//! Division is rational until an integer is needed, so that `floor(h/2 - 1/2) + 1` is read as
//! what it says. Grammar, loosest first: sums, products (`* / // %`, from the left), signs,
//! powers (`**`), and at last names, numbers, calls and parentheses.

use ecow::EcoString;
use std::sync::Arc;

use super::error::{ParseExprError, ParseExprErrorKind as Kind};
use super::expr::Expr;
use super::poly::{Atom, Op, Opaque};

/// The longest text that is read.
const MAX_LENGTH: usize = 16 * 1024;
/// The deepest nesting that is read.
const MAX_NESTING: u32 = 64;
/// The highest exponent that is read.
const MAX_EXPONENT: i64 = 16;
/// What the name of an opaque part starts with, before its fingerprint.
pub(super) const OPAQUE_PREFIX: &str = "opaque_";

type Parsed<T> = Result<T, ParseExprError>;

/// Whether the text is a name as it is.
pub(super) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(is_name_byte)
}

/// Whether the text is names joined by hyphens without spaces: a name, not a difference.
pub(super) fn is_hyphenated(text: &str) -> bool {
    text.contains('-') && text.split('-').all(is_identifier)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

pub(super) fn parse(text: &str) -> Parsed<Expr> {
    let mut parser = Parser { text, at: 0, nesting: 0 };
    if text.len() > MAX_LENGTH {
        return Err(parser.error(Kind::TooLong));
    }
    let value = parser.sum()?;
    if parser.peek().is_some() {
        return Err(parser.unexpected("an operator or the end"));
    }
    parser.integer(value, 0)
}

/// A quotient of expressions, its denominator being nonzero.
#[derive(Clone)]
struct Ratio {
    num: Expr,
    den: Expr,
}

impl Ratio {
    fn whole(num: Expr) -> Ratio {
        Ratio { num, den: Expr::ONE }
    }

    /// In lowest terms, as far as that is one exact division.
    fn new(num: Expr, den: Expr) -> Ratio {
        match num.exact_div(&den) {
            Some(q) => Ratio::whole(q),
            None => Ratio { num, den },
        }
    }

    fn add(&self, other: &Ratio, sign: i64) -> Ratio {
        let signed = &other.num * sign;
        if self.den == other.den {
            return Ratio::new(&self.num + signed, self.den.clone());
        }
        Ratio::new(&self.num * &other.den + signed * &self.den, &self.den * &other.den)
    }

    fn mul(&self, other: &Ratio) -> Ratio {
        Ratio::new(&self.num * &other.num, &self.den * &other.den)
    }

    fn div(&self, other: &Ratio) -> Ratio {
        Ratio::new(&self.num * &other.den, &self.den * &other.num)
    }

    fn floor(&self) -> Expr {
        self.num.floor_div(&self.den)
    }

    fn ceil(&self) -> Expr {
        self.num.ceil_div(&self.den)
    }

    fn modulo(&self, other: &Ratio) -> Ratio {
        self.add(&other.mul(&Ratio::whole(self.div(other).floor())), -1)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: u32,
}

impl<'a> Parser<'a> {
    fn error(&self, kind: Kind) -> ParseExprError {
        ParseExprError { kind, offset: self.at }
    }

    fn unexpected(&self, expected: &'static str) -> ParseExprError {
        let kind = match self.rest().chars().next() {
            Some(c) if !(c.is_ascii_alphanumeric() || "+-*/%(),_`.".contains(c)) => {
                Kind::UnexpectedCharacter(c)
            }
            Some(c) => Kind::Unexpected { expected, found: format!("{c:?}") },
            None => Kind::Unexpected { expected, found: "the end".to_owned() },
        };
        self.error(kind)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed.bytes().next()
    }

    /// Takes this punctuation, if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let taken = self.rest().starts_with(token);
        if taken {
            self.at += token.len();
        }
        taken
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return Err(self.error(Kind::TooDeep));
        }
        self.nesting += 1;
        let out = inner(self);
        self.nesting -= 1;
        out
    }

    fn sum(&mut self) -> Parsed<Ratio> {
        let mut total = self.product()?;
        loop {
            let sign = match self.peek() {
                Some(b'+') => 1,
                Some(b'-') => -1,
                _ => return Ok(total),
            };
            self.at += 1;
            total = total.add(&self.product()?, sign);
        }
    }

    fn product(&mut self) -> Parsed<Ratio> {
        let mut total = self.signed()?;
        loop {
            if self.take("//") {
                // By zero it has no value, but it is an expression, which we print and read back.
                total = Ratio::whole(total.div(&self.signed()?).floor());
            } else if self.take("/") {
                total = total.div(&self.divisor()?);
            } else if self.take("%") {
                total = total.modulo(&self.divisor()?);
            } else if self.take("*") {
                total = total.mul(&self.signed()?);
            } else {
                return Ok(total);
            }
        }
    }

    fn divisor(&mut self) -> Parsed<Ratio> {
        let divisor = self.signed()?;
        self.nonzero(divisor)
    }

    fn nonzero(&self, divisor: Ratio) -> Parsed<Ratio> {
        if divisor.num.is_zero() { Err(self.error(Kind::DivisionByZero)) } else { Ok(divisor) }
    }

    fn signed(&mut self) -> Parsed<Ratio> {
        if self.take("+") {
            return self.nested(Self::signed);
        }
        if !self.take("-") {
            return self.power();
        }
        // The least number is not the negative of a number.
        const LEAST: &str = "9223372036854775808";
        if let Some(after) = self.rest().strip_prefix(LEAST) {
            let more = after.bytes().next().is_some_and(is_name_byte);
            if !more && !after.trim_start().starts_with("**") {
                self.at += LEAST.len();
                return Ok(Ratio::whole(Expr::constant(i64::MIN)));
            }
        }
        let operand = self.nested(Self::signed)?;
        Ok(Ratio { num: -operand.num, den: operand.den })
    }

    fn power(&mut self) -> Parsed<Ratio> {
        let base = self.primary()?;
        if !self.take("**") {
            return Ok(base);
        }
        let exponent = self.nested(Self::signed)?;
        let exponent = Some(&exponent)
            .filter(|e| e.den.is_one())
            .and_then(|e| e.num.as_const())
            .filter(|e| (0..=MAX_EXPONENT).contains(e))
            .and_then(|e| u32::try_from(e).ok())
            .ok_or_else(|| self.error(Kind::Exponent))?;
        Ok(Ratio::new(base.num.pow(exponent), base.den.pow(exponent)))
    }

    fn primary(&mut self) -> Parsed<Ratio> {
        match self.peek() {
            Some(b'(') => {
                self.at += 1;
                let inner = self.nested(Self::sum)?;
                self.close()?;
                Ok(inner)
            }
            Some(b'`') => self.quoted().map(|name| Ratio::whole(Expr::symbol(name))),
            Some(b) if b.is_ascii_digit() => self.number(),
            Some(b) if b.is_ascii_alphabetic() || b == b'_' => {
                let name = self.word();
                if self.peek() == Some(b'(') {
                    self.at += 1;
                    self.nested(|p| p.call(name))
                } else {
                    Ok(Ratio::whole(Expr::symbol(name)))
                }
            }
            _ => Err(self.unexpected("a name, a number or a parenthesis")),
        }
    }

    fn close(&mut self) -> Parsed<()> {
        if self.take(")") { Ok(()) } else { Err(self.unexpected("a closing parenthesis")) }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().take_while(|b| is_name_byte(*b)).count();
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    fn quoted(&mut self) -> Parsed<EcoString> {
        let mut name = EcoString::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != '`' {
                name.push(c);
            } else if chars.next_if(|(_, c)| *c == '`').is_some() {
                name.push('`');
            } else {
                self.at += at + 1;
                return Ok(name);
            }
        }
        self.at = self.text.len();
        Err(self.unexpected("a closing backquote"))
    }

    /// An integer, or a decimal fraction that floating point holds exactly (`0.5`, not `0.1`).
    fn number(&mut self) -> Parsed<Ratio> {
        let start = self.at;
        let word = self.word();
        let bad = || ParseExprError { kind: Kind::Number(word.to_owned()), offset: start };
        let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
        if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let fraction = fraction.trim_end_matches('0');
        let digits: i64 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
        let places = u32::try_from(fraction.len()).map_err(|_| bad())?;
        // A decimal is a binary fraction if its numerator holds all the fives of its denominator.
        let fives = 5i64.checked_pow(places).ok_or_else(bad)?;
        let den = 1i64.checked_shl(places).filter(|den| *den > 0).ok_or_else(bad)?;
        if digits % fives != 0 {
            return Err(bad());
        }
        Ok(Ratio::new(Expr::constant(digits / fives), Expr::constant(den)))
    }

    /// The arguments of a call whose parenthesis is open, and its value.
    fn call(&mut self, name: &str) -> Parsed<Ratio> {
        let start = self.at;
        let mut args = Vec::new();
        if !self.take(")") {
            loop {
                args.push(self.sum()?);
                if !self.take(",") {
                    break;
                }
            }
            self.close()?;
        }
        self.apply(name, args, start)
    }

    fn apply(&mut self, name: &str, args: Vec<Ratio>, start: usize) -> Parsed<Ratio> {
        let arity = |function| ParseExprError { kind: Kind::Arity(function), offset: start };
        let one = |function| match args.as_slice() {
            [x] => Ok(x),
            _ => Err(arity(function)),
        };
        let two = |function| match args.as_slice() {
            [x, y] => Ok((x, self.nonzero(y.clone())?)),
            _ => Err(arity(function)),
        };
        match name.to_ascii_lowercase().as_str() {
            "floor" | "floortoint" => Ok(Ratio::whole(one("floor")?.floor())),
            "ceil" | "ceiling" | "ceiltoint" => Ok(Ratio::whole(one("ceil")?.ceil())),
            "identity" => one("Identity").cloned(),
            "floordiv" => two("FloorDiv").map(|(x, y)| Ratio::whole(x.div(&y).floor())),
            "ceildiv" => two("CeilDiv").map(|(x, y)| Ratio::whole(x.div(&y).ceil())),
            "cleandiv" | "inttruediv" => two("CleanDiv").map(|(x, y)| x.div(&y)),
            "mod" | "pythonmod" => two("Mod").map(|(x, y)| x.modulo(&y)),
            "min" => self.extremum(&args, start, "min", Expr::min),
            "max" => self.extremum(&args, start, "max", Expr::max),
            _ => match opaque(name, &args) {
                Some(e) => Ok(Ratio::whole(e)),
                None => Err(ParseExprError { kind: Kind::UnknownFunction(name.to_owned()), offset: start }),
            },
        }
    }

    fn extremum(
        &self,
        args: &[Ratio],
        start: usize,
        function: &'static str,
        of: fn(&Expr, &Expr) -> Expr,
    ) -> Parsed<Ratio> {
        // Over one denominator; which is the least does not change if it is positive.
        let mut den = 1i64;
        for arg in args {
            let own = arg.den.as_const().filter(|own| *own > 0);
            den =
                own.and_then(|own| den.checked_mul(own)).ok_or_else(|| self.error(Kind::InexactDivision))?;
        }
        let den = Expr::constant(den);
        let scaled = args.iter().map(|arg| arg.num.mul(&den.floor_div(&arg.den)));
        match scaled.reduce(|a, b| of(&a, &b)) {
            Some(num) => Ok(Ratio::new(num, den)),
            None => Err(ParseExprError { kind: Kind::Arity(function), offset: start }),
        }
    }

    /// The integer that a ratio is.
    ///
    /// By a number it is taken for one: what stands for a dimension is an integer, so that `n/2`
    /// says that `n` is even, and rounding changes nothing. By anything else it is refused, since
    /// a slash is as often part of a name.
    fn integer(&self, value: Ratio, offset: usize) -> Parsed<Expr> {
        if value.den.is_one() {
            return Ok(value.num);
        }
        match value.den.as_const() {
            Some(den) if den != 0 && !value.num.is_const() => Ok(value.floor()),
            _ => Err(ParseExprError { kind: Kind::InexactDivision, offset }),
        }
    }
}

/// The opaque part of this name over these symbols, if it is the name of one.
fn opaque(name: &str, args: &[Ratio]) -> Option<Expr> {
    let digits = name.strip_prefix(OPAQUE_PREFIX).filter(|digits| digits.len() == 32)?;
    let id = u128::from_str_radix(digits, 16).ok()?;
    let symbols = args.iter().map(|arg| arg.num.as_symbol().map(EcoString::from));
    let symbols = symbols.collect::<Option<Vec<_>>>()?.into();
    Some(Expr::from_atom(Atom::Op(Arc::new(Op::Opaque(Opaque { id, symbols })))))
}
