//! `INTERVAL '1 hour'`: spans of time.

use sqlparser::ast::{Expr, Interval, Value};

use super::fault::Fault;
use super::literal::literal_text;

/// The units of intervals, in microseconds.
const UNITS: [(&str, i64); 7] = [
    ("microsecond", 1),
    ("millisecond", 1_000),
    ("second", 1_000_000),
    ("minute", 60_000_000),
    ("hour", 3_600_000_000),
    ("day", 86_400_000_000),
    ("week", 604_800_000_000),
];

/// The microseconds of an INTERVAL; none if the expression is none.
pub(super) fn interval(expr: &Expr) -> Result<Option<i64>, Fault> {
    match expr {
        Expr::Nested(expr) => interval(expr),
        Expr::Interval(written) => match micros(written) {
            Some(micros) => Ok(Some(micros)),
            None => {
                let units: Vec<&str> = UNITS.iter().map(|(unit, _)| *unit).collect();
                // The parser sets a position for the value only.
                let reason = format!(
                    "`{expr}` is not supported; give a number and one of {}, such as INTERVAL '90 seconds'",
                    units.join(", ")
                );
                Err(Fault::of(&written.value, reason))
            }
        },
        _ => Ok(None),
    }
}

fn micros(written: &Interval) -> Option<i64> {
    if written.last_field.is_some()
        || written.leading_precision.is_some()
        || written.fractional_seconds_precision.is_some()
    {
        return None;
    }
    let text = match (literal_text(&written.value), &*written.value) {
        (Some(text), _) => text.to_owned(),
        (None, Expr::Value(value)) => match &value.value {
            Value::Number(digits, _) => digits.clone(),
            _ => return None,
        },
        _ => return None,
    };
    let text = match &written.leading_field {
        Some(field) => format!("{text} {field}"),
        None => text,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let (pairs, []) = words.as_chunks::<2>() else { return None };
    let of = |[number, unit]: &[&str; 2]| {
        let unit = unit.to_lowercase();
        let (_, micros) = UNITS.iter().find(|(name, _)| unit.strip_suffix('s').unwrap_or(&unit) == *name)?;
        let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
        number.checked_mul(*micros)
    };
    (!pairs.is_empty()).then_some(())?;
    pairs.iter().try_fold(0i64, |sum, pair| sum.checked_add(of(pair)?))
}
