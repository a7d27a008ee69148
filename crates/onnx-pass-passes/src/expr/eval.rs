//! A Pratt parser that computes as it reads: no tree is built, so a long sum needs no deep stack.

use std::ops::Range;

use serde_json::Value;

use super::arith::{self, Arity, FUNCTIONS, Operand};
use super::lex::{self, Spanned, Token};
use super::{ExprError, ExprErrorKind, Scope};
use crate::suggest;

/// Parentheses, signs and powers that may nest.
const MAX_DEPTH: usize = 64;

/// Above `*` and `/`, below `**`.
const UNARY: u8 = 30;
const COMPARISON: u8 = 5;

pub(super) fn evaluate(source: &str, scope: &dyn Scope) -> Result<Value, ExprError> {
    let tokens = lex::tokens(source)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: source.len(), scope };
    let value = parser.expression(0, 0)?;
    match parser.peek() {
        Some(extra) => Err(ExprError::syntax(
            extra.span.clone(),
            format!("{} follows a whole expression", parser.shown(Some(extra))),
        )),
        None => value.into_json().map_err(|message| ExprError::value(0..source.len(), message)),
    }
}

struct Parser<'a> {
    tokens: &'a [Spanned<'a>],
    at: usize,
    end: usize,
    scope: &'a dyn Scope,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Spanned<'a>> {
        self.tokens.get(self.at)
    }

    fn shown(&self, token: Option<&Spanned<'_>>) -> String {
        match token.map(|t| t.token) {
            None => "the end".to_owned(),
            Some(Token::Int(value)) => format!("`{value}`"),
            Some(Token::Float(value)) => format!("`{value}`"),
            Some(Token::Name(name)) => format!("`{name}`"),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
        }
    }

    fn span(&self) -> Range<usize> {
        self.peek().map_or(self.end..self.end, |token| token.span.clone())
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Spanned { token: Token::Sign(s), .. }) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn close(&mut self) -> Result<(), ExprError> {
        if self.takes(")") {
            return Ok(());
        }
        Err(ExprError::syntax(self.span(), format!("expected `)`, found {}", self.shown(self.peek()))))
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: u8, depth: usize) -> Result<Operand, ExprError> {
        if depth > MAX_DEPTH {
            return Err(ExprError::syntax(self.span(), "the expression is nested too deeply"));
        }
        let start = self.span().start;
        let mut left = self.operand(depth)?;
        while let Some(Spanned { token: Token::Sign(sign), span }) = self.peek() {
            let Some((power, right_power)) = binding(sign).filter(|(power, _)| *power >= least) else {
                break;
            };
            self.at += 1;
            let right = self.expression(right_power, depth + 1)?;
            let end = self.tokens.get(self.at.wrapping_sub(1)).map_or(self.end, |token| token.span.end);
            left = arith::binary(sign, &left, &right).map_err(|m| ExprError::value(start..end, m))?;
            if power == COMPARISON
                && let Some(Spanned { token: Token::Sign(next), span: again }) = self.peek()
                && binding(next).is_some_and(|(power, _)| power == COMPARISON)
            {
                let whole = span.start..again.end;
                return Err(ExprError::syntax(whole, "comparisons do not chain"));
            }
        }
        Ok(left)
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, ExprError> {
        let Some(Spanned { token, span }) = self.peek() else {
            return Err(ExprError::syntax(self.span(), "expected a value, found the end"));
        };
        self.at += 1;
        match token {
            Token::Int(value) => Ok(Operand::Int(*value)),
            Token::Float(value) => Ok(Operand::Float(*value)),
            Token::Name("true") => Ok(Operand::Bool(true)),
            Token::Name("false") => Ok(Operand::Bool(false)),
            Token::Name(name) if self.takes("(") => self.call(name, span.clone(), depth),
            Token::Name(name) => self.variable(name, span.clone()),
            Token::Sign("(") => {
                let value = self.expression(0, depth + 1)?;
                self.close()?;
                Ok(value)
            }
            Token::Sign(sign @ ("-" | "+")) => {
                let value = self.expression(UNARY, depth + 1)?;
                arith::signed(sign, value).map_err(|message| ExprError::value(span.clone(), message))
            }
            Token::Sign(sign) => {
                Err(ExprError::syntax(span.clone(), format!("expected a value, found `{sign}`")))
            }
        }
    }

    fn variable(&self, name: &str, span: Range<usize>) -> Result<Operand, ExprError> {
        let Some(value) = self.scope.get(name) else {
            let nearest = suggest::nearest(name, self.scope.names()).map(str::to_owned);
            let kind = ExprErrorKind::UnknownName { name: name.to_owned(), nearest };
            return Err(ExprError { span, kind });
        };
        Operand::from_json(value).map_err(|reason| ExprError::value(span, format!("`{name}` {reason}")))
    }

    fn call(&mut self, name: &str, span: Range<usize>, depth: usize) -> Result<Operand, ExprError> {
        let Some((_, arity)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(known, _)| *known).collect();
            let hint = suggest::hint(name, "functions", &known);
            return Err(ExprError::syntax(span, format!("unknown function `{name}`; {hint}")));
        };
        let mut args = Vec::new();
        loop {
            args.push(self.expression(0, depth + 1)?);
            if !self.takes(",") {
                break;
            }
        }
        self.close()?;
        if *arity == Arity::One && args.len() != 1 {
            return Err(ExprError::syntax(span, format!("`{name}` takes one argument, not {}", args.len())));
        }
        arith::call(name, &args).map_err(|message| ExprError::value(span, message))
    }
}

/// How tightly an operator binds, and how tightly its right side must: one more when it groups to the left.
fn binding(sign: &str) -> Option<(u8, u8)> {
    Some(match sign {
        "==" | "!=" | "<" | "<=" | ">" | ">=" => (COMPARISON, COMPARISON + 1),
        "+" | "-" => (10, 11),
        "*" | "/" | "//" | "%" => (20, 21),
        // To the right, and looser than a sign before its right side: `2 ** -1`.
        "**" => (40, UNARY),
        _ => return None,
    })
}
