//! Reads any payload: the fields of its object, each checked, in the order in which they are blamed.

use std::borrow::Cow;

use dataflows::batch::Measure;
use dataflows::dead_letter::Reason;

use super::object::{self, Value};
use super::{Reading, Rejection, number, timestamp};

const TIMESTAMP: &str = "timestamp";
pub(super) const TRUCK: &str = "truck_id";

/// The reading that `payload` holds, or what is wrong with its first bad field.
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
    let reason = match value {
        Value::Number(text) => match number::nano(text.as_bytes()) {
            Some(value) => return Ok(value),
            None => Reason::OutOfRange,
        },
        Value::NotFinite(_) => Reason::NotFinite,
        Value::Null => Reason::MissingField,
        Value::Text(_) | Value::Bool | Value::Nested => Reason::WrongType,
    };
    Err(Rejection { reason, field: measure.name() })
}

fn name(value: Value<'_>) -> Result<Option<Cow<'_, str>>, Rejection> {
    match value {
        Value::Text(text) => Ok(Some(text)),
        Value::Number(text) | Value::NotFinite(text) => Ok(Some(Cow::Borrowed(text))),
        Value::Null => Ok(None),
        Value::Bool | Value::Nested => Err(Rejection { reason: Reason::WrongType, field: TRUCK }),
    }
}
