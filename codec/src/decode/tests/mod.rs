//! The rules by which a message becomes a record or a dead letter, one test each.
//!
//! | file | rules about |
//! |---|---|
//! | `syntax` | payloads that are objects, and those that are not |
//! | `extract` | where values are, found in three ways |
//! | `avro` | data of Avro that fill the row directly |
//! | `lines` | lines that fill the row directly |
//! | `fields` | missing fields and values of another type or range |
//! | `truck` | the truck's name |
//! | `rounding` | rounded values |
//! | `future` | readings in the future |
//! | `messages` | tombstones, large messages, dead letters |
//! | `explain` | how a message is read, in words |
//! | `envelope` | a part in its envelope |

mod avro;
mod envelope;
mod explain;
mod extract;
mod fields;
mod future;
mod lines;
mod messages;
mod rounding;
mod syntax;
mod truck;

use dataflows::batch::Record;
use dataflows::dead_letter::Reason;

use std::sync::Arc;

use super::{Counted, Decode, Decoder, Mapping, Message};

/// 2023-04-10 01:02:27 UTC.
const TIME: i64 = 1_681_088_547_000_000;
const TIMESTAMP: &str = "'timestamp': '2023-04-10 01:02:27'";

fn message(payload: &[u8]) -> Message<'_> {
    Message {
        partition: 3,
        offset: 42,
        timestamp: Some(1_700_000_000_000),
        payload: Some(payload),
        ..Message::default()
    }
}

/// A decoder of readings of trucks.
fn decoder() -> Decoder {
    Decoder::new("topic".into(), Arc::new(Mapping::trucks()))
}

/// Fields and how many of their values were rounded.
type Rounded = Vec<(String, u64)>;

fn take_rounded(decoder: &mut Decoder) -> Rounded {
    let mut rounded = Vec::new();
    decoder.take_counts(&mut |counted, count| match counted {
        Counted::Rounded(field) => rounded.push((field.to_owned(), count)),
        other => panic!("{other:?}"),
    });
    rounded
}

/// The one record or the one rejection of a message, and the rounded values.
fn decode(message: &Message<'_>) -> (Result<Record, (Reason, String)>, Rounded) {
    let mut decoder = decoder();
    decoder.decode(message);
    let records = decoder.records();
    let (batch, mut dead) = (decoder.take_batch(), decoder.take_dead_letters());
    assert_eq!((batch.len(), records + dead.len()), (records, 1));
    let outcome = match dead.pop() {
        Some(dead) => Err((dead.reason, dead.field)),
        None => Ok(batch.record(0)),
    };
    (outcome, take_rounded(&mut decoder))
}

#[track_caller]
fn accepted(payload: impl AsRef<[u8]>) -> Record {
    decode(&message(payload.as_ref())).0.unwrap()
}

#[track_caller]
fn rejected(payload: impl AsRef<[u8]>) -> (Reason, String) {
    let payload = payload.as_ref();
    let (outcome, rounded) = decode(&message(payload));
    assert_eq!(rounded, [], "only records count as rounded");
    outcome.expect_err(&payload.escape_ascii().to_string())
}

fn because(reason: Reason, field: &str) -> (Reason, String) {
    (reason, field.to_owned())
}

/// A valid payload with `extra` fields at its end: `, 'name': value`.
fn with(extra: &str) -> String {
    format!("{{{TIMESTAMP}, 'distance_covered': 0.01, 'engine_speed': 79.2, 'fuel_consumed': 0{extra}}}")
}

/// A payload with `value` as engine speed.
fn speed(value: &str) -> String {
    with("").replace("79.2", value)
}

fn record(truck: &str) -> Record {
    Record { entity: truck.into(), time: TIME, units: vec![10_000_000, 79_200_000_000, 0], texts: vec![] }
}
