//! `INTERVAL '1 hour'`: spans of time.

use sqlparser::ast::{Expr, Interval, Value};

use super::fault::Fault;
use super::literal::literal_text;

/// The units of intervals, long and as in durations of the configuration, in microseconds.
const UNITS: [(&str, &str, i64); 7] = [
    ("microsecond", "us", 1),
    ("millisecond", "ms", 1_000),
    ("second", "s", 1_000_000),
    ("minute", "m", 60_000_000),
    ("hour", "h", 3_600_000_000),
    ("day", "d", 86_400_000_000),
    ("week", "w", 604_800_000_000),
];

/// The microseconds of an INTERVAL; none if the expression is none.
pub(super) fn interval(expr: &Expr) -> Result<Option<i64>, Fault> {
    match expr {
        Expr::Nested(expr) => interval(expr),
        Expr::Interval(written) => match micros(written) {
            Some(micros) => Ok(Some(micros)),
            None => {
                let units: Vec<&str> = UNITS.iter().map(|(unit, ..)| *unit).collect();
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
    let (mut sum, mut rest) = (0i64, text.trim());
    (!rest.is_empty()).then_some(())?;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let behind = behind.trim_start();
        let (unit, behind) =
            behind.split_at(behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len()));
        let unit = unit.to_lowercase();
        let singular = unit.strip_suffix('s').unwrap_or(&unit);
        let (.., micros) = UNITS.iter().find(|(name, short, _)| *name == singular || *short == unit)?;
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(*micros)?)?;
        rest = behind.trim_start();
    }
    Some(sum)
}
