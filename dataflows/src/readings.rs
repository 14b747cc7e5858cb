//! The readings of an upsert job: the current reading of each message key.
//!
//! ```text
//! upserts --(key)--> per epoch: the last message of each key -> batch: -1 the old reading, +1 the new
//! restored readings ---^                                     `-> state
//! ```
//!
//! Views see corrections as retracted and inserted records, and need not know about keys. The order of a key's
//! messages is that of their partition, so messages of a key from a second partition are rejected; the state records
//! each key's partition. At a start all readings are fed again, in the epoch of the last commit: the state of views
//! is rebuilt from them, and nothing else has to be stored.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use differential_dataflow::hashable::Hashable;

use crate::Epoch;
use crate::batch::{Batch, BatchBuilder, FieldSpec, FieldType, Record, Value};
use crate::effect::{Effect, Restored};
use crate::epochs::{stream_epoch, when_complete};
use crate::item::Upsert;
use crate::state::{entries, push_end, push_entry};

/// The name of the readings in the store.
pub const NAME: &str = "readings";

/// The size of a batch of corrections, in records.
const BATCH: usize = 8192;

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Event {
    Upsert(Upsert),
    Restored(Arc<[u8]>, i32, Record),
}

impl Event {
    fn key(&self) -> &Arc<[u8]> {
        match self {
            Self::Upsert(upsert) => &upsert.key,
            Self::Restored(key, ..) => key,
        }
    }
}

#[derive(Clone)]
enum Output {
    Batch(Batch),
    State(Effect),
}

/// Turns upserts into batches of corrections and state changes.
pub(crate) fn build<'scope>(
    upserts: StreamVec<'scope, Epoch, Upsert>,
    restored: StreamVec<'scope, Epoch, Restored>,
    start: Epoch,
    fields: Arc<[FieldSpec]>,
    one_after_another: bool,
) -> (StreamVec<'scope, Epoch, Batch>, StreamVec<'scope, Epoch, Effect>) {
    let declared = fields.clone();
    let restored = restored
        .flat_map(move |restored| match &*restored.view == NAME {
            true => restore(&restored.bytes, &declared),
            false => Vec::new(),
        })
        .map(|(key, partition, record)| Event::Restored(key, partition, record));
    let mut current: HashMap<Arc<[u8]>, Kept> = HashMap::new();
    let mut builder = BatchBuilder::new(&fields);
    let by_key = Exchange::new(|event: &Event| event.key().hashed());
    let output = when_complete(
        upserts.map(Event::Upsert).concat(restored),
        by_key,
        "Readings",
        stream_epoch,
        move |epoch, events| {
            let mut output = Vec::new();
            let mut bytes = Vec::new();
            let before = current.len() as i64;
            for Last { key, partitions, record } in last_of_each_key(events) {
                let known = current.get(&key).map(|kept| kept.partition);
                let (first, partition) = (known.unwrap_or(partitions.0), partitions.1);
                if !one_after_another && (first, first) != partitions {
                    let other = if partition == first { partitions.0 } else { partition };
                    output.push(Output::State(Effect::KeyMoved { key, partitions: (first, other) }));
                    continue;
                }
                let old = match &record {
                    Some(record) => current.insert(key.clone(), Kept { partition, record: record.clone() }),
                    None => current.remove(&key),
                };
                let old = old.map(|kept| kept.record);
                if old == record && known.is_none_or(|known| known == partition) {
                    continue;
                }
                match &record {
                    Some(record) => {
                        push_entry(&mut bytes, &key, |out| write(partition, record, &fields, out));
                    }
                    None => push_end(&mut bytes, &key),
                }
                if old == record {
                    continue;
                }
                // A replaced reading directly precedes its replacement, in the same batch.
                for (record, sign) in [(old, -1), (record, 1)] {
                    if let Some(record) = record {
                        builder.push_correction(record, sign, key.clone());
                    }
                }
                if builder.len() >= BATCH {
                    output.push(Output::Batch(builder.take()));
                }
            }
            if !builder.is_empty() {
                output.push(Output::Batch(builder.take()));
            }
            if !bytes.is_empty() && epoch > start {
                let added = current.len() as i64 - before;
                output.push(Output::State(Effect::State { bytes, added }));
            }
            output
        },
    );
    let batches = output.clone().flat_map(|output| match output {
        Output::Batch(batch) => Some(batch),
        Output::State(_) => None,
    });
    let states = output.flat_map(|output| match output {
        Output::State(effect) => Some(effect),
        Output::Batch(_) => None,
    });
    (batches, states)
}

/// The state of a key.
struct Kept {
    /// The partition of its messages.
    partition: i32,
    record: Record,
}

/// The result of an epoch's events for a key.
#[derive(Debug, PartialEq)]
struct Last {
    key: Arc<[u8]>,
    /// The partitions of its first and its last message.
    partitions: (i32, i32),
    /// The current reading; none if it was deleted.
    record: Option<Record>,
}

fn last_of_each_key(events: Vec<Event>) -> impl Iterator<Item = Last> {
    let mut events: Vec<_> = events
        .into_iter()
        .map(|event| match event {
            // A restored reading is older than every message.
            Event::Restored(key, partition, record) => (key, (partition, i64::MIN), Some(record)),
            Event::Upsert(upsert) => (upsert.key, (upsert.partition, upsert.offset), upsert.record),
        })
        .collect();
    events.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut last: Vec<Last> = Vec::new();
    for (key, (partition, _), record) in events {
        match last.last_mut().filter(|last| last.key == key) {
            Some(last) => (last.partitions.1, last.record) = (partition, record),
            None => last.push(Last { key, partitions: (partition, partition), record }),
        }
    }
    last.into_iter()
}

fn write(partition: i32, record: &Record, fields: &[FieldSpec], out: &mut Vec<u8>) {
    out.extend_from_slice(&partition.to_le_bytes());
    for number in [record.time].into_iter().chain(record.measures) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    write_text(&record.truck, out);
    // Fields are stored by name, as a job may declare other fields after a restart.
    for (field, value) in fields.iter().zip(&record.extras) {
        match value {
            Value::Null => continue,
            Value::Number(number) => {
                out.push(NUMBER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Value::Text(text) => {
                out.push(TEXT);
                write_text(text, out);
            }
        }
        write_text(&field.name, out);
    }
}

const NUMBER: u8 = 1;
const TEXT: u8 = 2;

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Parses the partition and the reading from a state value.
pub(crate) fn read(bytes: &[u8], fields: &[FieldSpec]) -> Option<(i32, Record)> {
    fn number(bytes: &mut &[u8]) -> Option<i64> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        Some(i64::from_le_bytes(*number))
    }
    fn text(bytes: &mut &[u8]) -> Option<Arc<str>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *bytes = rest;
        Some(std::str::from_utf8(text).ok()?.into())
    }
    let (partition, mut bytes) = bytes.split_first_chunk::<4>()?;
    let time = number(&mut bytes)?;
    let measures = [number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?];
    let truck = text(&mut bytes)?;
    let mut extras = vec![Value::Null; fields.len()];
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        let (value, field_type) = match kind {
            NUMBER => (Value::Number(number(&mut bytes)?), FieldType::Number),
            TEXT => (Value::Text(text(&mut bytes)?), FieldType::Text),
            _ => return None,
        };
        let name = text(&mut bytes)?;
        let is_it = |field: &FieldSpec| field.name == name && field.field_type == field_type;
        if let Some(place) = fields.iter().position(is_it) {
            extras[place] = value;
        }
    }
    Some((i32::from_le_bytes(*partition), Record { truck, time, measures, extras }))
}

/// The readings of a committed state change. It was validated when it was loaded, so a parse error is a bug.
fn restore(bytes: &[u8], fields: &[FieldSpec]) -> Vec<(Arc<[u8]>, i32, Record)> {
    entries(bytes)
        .map(|entry| {
            let (key, value) = entry.expect("validated state parses");
            let (partition, record) = read(value, fields).expect("validated state parses");
            (key.into(), partition, record)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: i64) -> Record {
        let extras = vec![Value::Null, Value::Number(-5), Value::Text("näher".into())];
        Record { truck: "truck".into(), time, measures: [1, -2, 3], extras }
    }

    fn fields() -> Vec<FieldSpec> {
        let field = |name: &str, field_type| FieldSpec { name: name.into(), field_type };
        vec![field("a", FieldType::Number), field("b", FieldType::Number), field("c", FieldType::Text)]
    }

    #[test]
    fn a_reading_is_read_back() {
        let (mut bytes, fields) = (Vec::new(), fields());
        write(5, &record(-7), &fields, &mut bytes);
        assert_eq!(read(&bytes, &fields), Some((5, record(-7))));
        for cut in 0..bytes.len() {
            assert_ne!(read(&bytes[..cut], &fields), Some((5, record(-7))), "{cut}");
        }
    }

    #[test]
    fn a_reading_keeps_its_fields_when_others_are_declared() {
        let (mut bytes, mut fields) = (Vec::new(), fields());
        write(0, &record(0), &fields, &mut bytes);
        fields.swap_remove(0);
        fields.push(FieldSpec { name: "new".into(), field_type: FieldType::Number });
        let (_, Record { extras, .. }) = read(&bytes, &fields).expect("a reading");
        assert_eq!(extras, [Value::Text("näher".into()), Value::Number(-5), Value::Null]);
    }

    #[test]
    fn the_last_message_of_a_key_wins_in_any_order_of_arrival() {
        let upsert = |offset, record| {
            Event::Upsert(Upsert { key: Arc::from(&b"k"[..]), partition: 0, offset, record })
        };
        let events = vec![
            upsert(2, None),
            Event::Restored(Arc::from(&b"k"[..]), 0, record(0)),
            upsert(3, Some(record(3))),
            upsert(1, Some(record(1))),
        ];
        let last: Vec<_> = last_of_each_key(events).collect();
        let key = Arc::from(&b"k"[..]);
        assert_eq!(last, [Last { key, partitions: (0, 0), record: Some(record(3)) }]);
    }
}
