//! The values of literals.

use dataflows::expression::{Expression, MOST_PLACES};
use sqlparser::ast::{Expr, Value};

use super::fault::Fault;
use crate::text::time;

/// The text of a string.
pub(super) fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// The text, if the expression is a string literal.
pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => text_of(&value.value),
        Expr::Nested(expr) => literal_text(expr),
        _ => None,
    }
}

/// The constant of a literal.
pub(super) fn literal(expr: &Expr, value: &Value) -> Result<Expression, Fault> {
    match value {
        Value::Null => Ok(Expression::null()),
        Value::Boolean(holds) => Ok(Expression::truth(*holds)),
        Value::Number(digits, _) => number(digits).ok_or_else(|| {
            let rule = format!("give at most {MOST_PLACES} digits and no more decimal places");
            Fault::of(expr, format!("{digits} is out of range; {rule}"))
        }),
        other => match text_of(other) {
            Some(text) => Ok(Expression::text(text)),
            None => Err(Fault::of(
                expr,
                format!("unsupported literal `{other}`; give a number or a string in quotes"),
            )),
        },
    }
}

/// The exact value of a decimal literal, possibly with an exponent.
fn number(text: &str) -> Option<Expression> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Expression::number(0, 0);
    }
    let places = places - (all.len() - all.trim_end_matches('0').len()) as i64;
    let units: i128 = digits.parse().ok()?;
    match u8::try_from(places) {
        Ok(places) => Expression::number(units, places),
        Err(_) if places < 0 => {
            let power = 10i128.checked_pow(u32::try_from(-places).ok()?)?;
            Expression::number(units.checked_mul(power)?, 0)
        }
        Err(_) => None,
    }
}

/// A time in the format of the field `timestamp`, or a date, which is its midnight.
pub(super) fn time(expr: &Expr, text: &str) -> Result<Expression, Fault> {
    time::parse(text)
        .or_else(|| time::parse(&format!("{text} 00:00:00")))
        .map(Expression::timestamp)
        .ok_or_else(|| {
            Fault::of(
                expr,
                format!("'{text}' is not a time; give 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS[.ffffff]'"),
            )
        })
}
