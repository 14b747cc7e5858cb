//! Turns a value of a message into the value of a field.

use std::sync::Arc;

use dataflows::batch::NANO;
use dataflows::dead_letter::Reason;
use dataflows::rows::NULL;
use dataflows::schema::FieldType;

use super::mapping::FieldMapping;
use super::texts::Texts;
use super::tree::Scalar;
use crate::text::number::{self, NoInteger, Written};
use crate::text::time::TimeWriter;

/// The value of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Value {
    /// Absent or null.
    #[default]
    Null,
    /// A number in nano-units, an integer, a boolean as 1 or 0, microseconds since 1970.
    Units(i64),
    /// A text.
    Text(Arc<str>),
}

/// The value of a field, and whether it was rounded.
pub(super) type Converted = Result<(Value, bool), Reason>;

fn units(units: i64) -> Converted {
    Ok((Value::Units(units), false))
}

impl FieldMapping {
    /// Whether a value of a message is one of this field, and not NULL.
    ///
    /// # Errors
    /// Why it is bad.
    pub fn has_value(&self, scalar: &Scalar<'_>) -> Result<bool, Reason> {
        self.convert(scalar, &mut Texts::default()).map(|(value, _)| value != Value::Null)
    }

    /// The value of this field that a message has.
    #[inline]
    pub(super) fn convert(&self, scalar: &Scalar<'_>, texts: &mut Texts) -> Converted {
        match scalar {
            Scalar::Null => return Ok((Value::Null, false)),
            Scalar::Text(text) if self.nulls.iter().any(|null| **null == **text) => {
                return Ok((Value::Null, false));
            }
            _ => {}
        }
        match self.field_type {
            FieldType::Number => decimal(scalar),
            FieldType::Integer => integer(scalar).and_then(units),
            FieldType::Boolean => boolean(scalar).and_then(|value| units(value.into())),
            FieldType::Text => text(scalar, texts).map(|text| (Value::Text(text), false)),
            FieldType::Timestamp => self.timestamp(scalar),
        }
    }

    fn timestamp(&self, scalar: &Scalar<'_>) -> Converted {
        let time = match (self.time.unit_of(), scalar) {
            (_, Scalar::Time { nanos, local, .. }) => self.time.nanos(*nanos, *local),
            (Some(unit), Scalar::Number(text)) => unit.of_number(text),
            (Some(unit), Scalar::Integer(value)) => unit.of_integer(*value),
            (Some(unit), Scalar::Double(_) | Scalar::Float(_)) => {
                shortest(scalar, |text| Ok(unit.of_number(text)))?
            }
            (Some(_), Scalar::NotFinite(_)) => return Err(Reason::NotFinite),
            (Some(unit), Scalar::Text(text)) => match number::written(text) {
                Written::Number(text) => unit.of_number(text),
                Written::NotFinite => return Err(Reason::NotFinite),
                Written::Other => None,
            },
            (None, Scalar::Text(text)) => self.time.read(text),
            _ => return Err(Reason::WrongType),
        };
        let (time, rounded) = time.ok_or(Reason::BadTimestamp)?;
        Ok((Value::Units(time), rounded))
    }
}

/// Calls `read` with the shortest decimal of a float.
fn shortest<T>(scalar: &Scalar<'_>, read: impl FnOnce(&str) -> Result<T, Reason>) -> Result<T, Reason> {
    let mut buffer = ryu::Buffer::new();
    match scalar {
        Scalar::Double(value) if value.is_finite() => read(buffer.format_finite(*value)),
        Scalar::Float(value) if value.is_finite() => read(buffer.format_finite(*value)),
        _ => Err(Reason::NotFinite),
    }
}

/// A decimal in nano-units.
fn decimal(scalar: &Scalar<'_>) -> Converted {
    let nano = |text: &str| number::nano(text.as_bytes()).ok_or(Reason::OutOfRange);
    let (value, rounded) = match scalar {
        Scalar::Number(text) => nano(text)?,
        Scalar::Integer(value) => {
            let value = value.checked_mul(NANO.into()).and_then(|value| i64::try_from(value).ok());
            (value.filter(|value| number::is_measure(*value)).ok_or(Reason::OutOfRange)?, false)
        }
        Scalar::Double(_) | Scalar::Float(_) => shortest(scalar, nano)?,
        Scalar::NotFinite(_) => return Err(Reason::NotFinite),
        Scalar::Text(text) => match number::written(text) {
            Written::Number(text) => nano(text)?,
            Written::NotFinite => return Err(Reason::NotFinite),
            Written::Other => return Err(Reason::WrongType),
        },
        _ => return Err(Reason::WrongType),
    };
    Ok((Value::Units(value), rounded))
}

fn integer(scalar: &Scalar<'_>) -> Result<i64, Reason> {
    let read = |text: &str| match number::integer(text.as_bytes()) {
        Ok(NULL) | Err(NoInteger::OutOfRange) => Err(Reason::OutOfRange),
        Ok(value) => Ok(value),
        Err(NoInteger::Fraction) => Err(Reason::WrongType),
    };
    let fits =
        |value: i128| i64::try_from(value).ok().filter(|value| *value != NULL).ok_or(Reason::OutOfRange);
    match scalar {
        Scalar::Number(text) => read(text),
        Scalar::Integer(value) => fits(*value),
        Scalar::Double(_) | Scalar::Float(_) => shortest(scalar, read),
        Scalar::NotFinite(_) => Err(Reason::NotFinite),
        Scalar::Text(text) => match number::written(text) {
            Written::Number(text) => read(text),
            Written::NotFinite => Err(Reason::NotFinite),
            Written::Other => Err(Reason::WrongType),
        },
        Scalar::Time { nanos, unit, .. } => fits(nanos.div_euclid(unit.nanos())),
        _ => Err(Reason::WrongType),
    }
}

fn boolean(scalar: &Scalar<'_>) -> Result<bool, Reason> {
    match scalar {
        Scalar::Boolean(value) | Scalar::PythonBoolean(value) => Ok(*value),
        Scalar::Text(text) => match &**text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Reason::WrongType),
        },
        Scalar::Number(_) | Scalar::Integer(_) | Scalar::Double(_) | Scalar::Float(_) => {
            match integer(scalar) {
                Ok(0) => Ok(false),
                Ok(1) => Ok(true),
                _ => Err(Reason::WrongType),
            }
        }
        _ => Err(Reason::WrongType),
    }
}

fn text(scalar: &Scalar<'_>, texts: &mut Texts) -> Result<Arc<str>, Reason> {
    let mut shared = |text: &str| texts.share(text);
    Ok(match scalar {
        Scalar::Text(text) | Scalar::Number(text) => shared(text),
        Scalar::NotFinite(text) => shared(text),
        Scalar::Integer(value) => shared(&value.to_string()),
        Scalar::Boolean(value) => shared(if *value { "true" } else { "false" }),
        Scalar::PythonBoolean(value) => shared(if *value { "True" } else { "False" }),
        Scalar::Double(value) => shared(&value.to_string()),
        Scalar::Float(value) => shared(&value.to_string()),
        _ => return Err(Reason::WrongType),
    })
}

/// The text of a value.
pub(super) fn text_of(field_type: FieldType, units: i64, times: &mut TimeWriter) -> String {
    match field_type {
        FieldType::Number => number::decimal_text(units),
        FieldType::Timestamp => {
            let mut text = Vec::new();
            times.write(units, &mut text);
            String::from_utf8(text).unwrap_or_default()
        }
        FieldType::Integer | FieldType::Boolean | FieldType::Text => units.to_string(),
    }
}
