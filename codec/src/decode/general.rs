//! Parses any payload: the fields of its object, checked in a fixed order.

use std::borrow::Cow;

use dataflows::batch::{self, FieldSpec, FieldType, Measure};
use dataflows::dead_letter::Reason;

use super::message::Rejection;
use super::object::{self, Value};
use super::reading::Reading;
use crate::text::number;
use crate::text::time::read as timestamp;

pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const TRUCK: &str = "truck_id";

/// The reading in `payload`, or the error of its first invalid field.
pub(super) fn read(payload: &[u8]) -> Result<Reading<'_>, Rejection> {
    let [distance, speed, fuel] = Measure::ALL.map(Measure::name);
    let Some([time, distance, speed, fuel, truck]) =
        object::fields(payload, [TIMESTAMP, distance, speed, fuel, TRUCK])
    else {
        return Err(Rejection { reason: Reason::NotAnObject, field: "" });
    };
    let (time, time_rounded) = event_time(&time)?;
    let (distance, distance_rounded) = measure(&distance, Measure::DistanceCovered)?;
    let (speed, speed_rounded) = measure(&speed, Measure::EngineSpeed)?;
    let (fuel, fuel_rounded) = measure(&fuel, Measure::FuelConsumed)?;
    Ok(Reading {
        truck: name(truck)?,
        time,
        measures: [distance, speed, fuel],
        rounded: [distance_rounded, speed_rounded, fuel_rounded, time_rounded],
    })
}

/// The event time in `payload`, if it is valid.
pub(super) fn time(payload: &[u8]) -> Option<i64> {
    let [time] = object::fields(payload, [TIMESTAMP])?;
    event_time(&time).ok().map(|(time, _)| time)
}

/// The values of the declared fields and whether each was rounded, or the error and the index of the first invalid
/// one. A field that is absent or null is NULL. The payload is known to be one object.
pub(super) fn declared(
    payload: &[u8],
    fields: &[FieldSpec],
) -> Result<Vec<(batch::Value, bool)>, (Reason, usize)> {
    let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    let values = object::values(payload, &names).unwrap_or_default();
    let read = |(place, (field, value)): (usize, (&FieldSpec, &Value<'_>))| match (field.field_type, value) {
        (_, Value::Null) => Ok((batch::Value::Null, false)),
        (FieldType::Number, value) => match number(value) {
            Ok((value, rounded)) => Ok((batch::Value::Number(value), rounded)),
            Err(reason) => Err((reason, place)),
        },
        (FieldType::Text, Value::Text(text)) => Ok((batch::Value::Text((**text).into()), false)),
        (FieldType::Text, _) => Err((Reason::WrongType, place)),
    };
    fields.iter().zip(&values).enumerate().map(read).collect()
}

fn event_time(value: &Value<'_>) -> Result<(i64, bool), Rejection> {
    let reason = match value {
        Value::Text(text) => match timestamp::micros(text.as_bytes()) {
            Some(time) => return Ok(time),
            None => Reason::BadTimestamp,
        },
        Value::Null => Reason::MissingField,
        _ => Reason::WrongType,
    };
    Err(Rejection { reason, field: TIMESTAMP })
}

fn measure(value: &Value<'_>, measure: Measure) -> Result<(i64, bool), Rejection> {
    number(value).map_err(|reason| Rejection { reason, field: measure.name() })
}

/// A decimal in nano-units, and whether it was rounded.
fn number(value: &Value<'_>) -> Result<(i64, bool), Reason> {
    match value {
        Value::Number(text) => number::nano(text.as_bytes()).ok_or(Reason::OutOfRange),
        Value::NotFinite(_) => Err(Reason::NotFinite),
        Value::Null => Err(Reason::MissingField),
        Value::Text(_) | Value::Bool | Value::Nested => Err(Reason::WrongType),
    }
}

fn name(value: Value<'_>) -> Result<Option<Cow<'_, str>>, Rejection> {
    match value {
        Value::Text(text) => Ok(Some(text)),
        Value::Number(text) | Value::NotFinite(text) => Ok(Some(Cow::Borrowed(text))),
        Value::Null => Ok(None),
        Value::Bool | Value::Nested => Err(Rejection { reason: Reason::WrongType, field: TRUCK }),
    }
}
