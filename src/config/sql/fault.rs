//! An error of a text, with its position.

use std::fmt::Display;

use dataflows::expression::Mismatch;
use sqlparser::ast::{Expr, Spanned};
use sqlparser::tokenizer::Location;

/// An error and its position in the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: Location,
    pub reason: String,
    /// Whether it is an aggregate where none can be.
    pub is_aggregate: bool,
}

impl Fault {
    pub fn at(at: Location, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into(), is_aggregate: false }
    }

    pub fn of(expr: &Expr, reason: impl Into<String>) -> Self {
        Self::at(expr.span().start, reason)
    }
}

/// Supported operators, for messages.
pub(super) const OPERATORS: &str = "+ - * / %, = <> < <= > >=, AND OR NOT, IS, BETWEEN, IN, LIKE, CASE";

/// The error of an operation, at its operand.
pub(super) fn mismatch(error: Mismatch, operands: &[&Expr]) -> Fault {
    let at = operands.get(error.operand).map_or(Location { line: 0, column: 0 }, |expr| expr.span().start);
    Fault::at(at, error.reason)
}

pub(super) fn no_operator(op: impl Display) -> String {
    format!("unknown operator `{op}`; expected one of {OPERATORS}")
}
