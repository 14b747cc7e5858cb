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
use crate::batch::{Batch, BatchBuilder, Record};
use crate::effect::{Effect, Restored};
use crate::epochs::{stream_epoch, when_complete};
use crate::item::Upsert;
use crate::rows::NULL;
use crate::schema::{FieldType, Place, Schema};
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
    schema: Schema,
    one_after_another: bool,
) -> (StreamVec<'scope, Epoch, Batch>, StreamVec<'scope, Epoch, Effect>) {
    let stored = schema.clone();
    let restored = restored
        .flat_map(move |restored| match &*restored.view == NAME {
            true => restore(&restored.bytes, &stored),
            false => Vec::new(),
        })
        .map(|(key, partition, record)| Event::Restored(key, partition, record));
    let mut current: HashMap<Arc<[u8]>, Kept> = HashMap::new();
    let mut builder = BatchBuilder::new(&schema);
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
                        push_entry(&mut bytes, &key, |out| write(partition, record, &schema, out));
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

fn write(partition: i32, record: &Record, schema: &Schema, out: &mut Vec<u8>) {
    out.extend_from_slice(&partition.to_le_bytes());
    out.extend_from_slice(&record.time.to_le_bytes());
    write_text(&record.entity, out);
    // Fields are stored by name, as a job may declare other fields after a restart.
    for field in schema.fields() {
        match field.place {
            Place::Time | Place::Entity => {}
            Place::Units(column) if record.units[column] == NULL => {}
            Place::Units(column) => {
                out.push(tag(field.field_type));
                write_text(&field.name, out);
                out.extend_from_slice(&record.units[column].to_le_bytes());
            }
            Place::Texts(column) => {
                let Some(text) = &record.texts[column] else { continue };
                out.push(tag(FieldType::Text));
                write_text(&field.name, out);
                write_text(text, out);
            }
        }
    }
}

const TYPES: [FieldType; 5] =
    [FieldType::Number, FieldType::Integer, FieldType::Boolean, FieldType::Text, FieldType::Timestamp];

/// The byte that stands for a type.
fn tag(field_type: FieldType) -> u8 {
    match field_type {
        FieldType::Number => 0,
        FieldType::Integer => 1,
        FieldType::Boolean => 2,
        FieldType::Text => 3,
        FieldType::Timestamp => 4,
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Parses the partition and the reading from a state value.
pub(crate) fn read(bytes: &[u8], schema: &Schema) -> Option<(i32, Record)> {
    fn number(bytes: &mut &[u8]) -> Option<i64> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        Some(i64::from_le_bytes(*number))
    }
    fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *bytes = rest;
        std::str::from_utf8(text).ok()
    }
    let (partition, mut bytes) = bytes.split_first_chunk::<4>()?;
    let time = number(&mut bytes)?;
    let entity = text(&mut bytes)?.into();
    let (units, texts) = (vec![NULL; schema.units()], vec![None; schema.texts()]);
    let mut record = Record { entity, time, units, texts };
    while let Some((&tag, rest)) = bytes.split_first() {
        bytes = rest;
        let field_type = *TYPES.get(usize::from(tag))?;
        let name = text(&mut bytes)?;
        let place =
            schema.field(name).filter(|field| field.field_type == field_type).map(|field| field.place);
        if field_type == FieldType::Text {
            let value = text(&mut bytes)?;
            if let Some(Place::Texts(column)) = place {
                record.texts[column] = Some(value.into());
            }
        } else {
            let value = number(&mut bytes)?;
            if let Some(Place::Units(column)) = place {
                record.units[column] = value;
            }
        }
    }
    Some((i32::from_le_bytes(*partition), record))
}

/// The readings of a committed state change. It was validated when it was loaded, so a parse error is a bug.
fn restore(bytes: &[u8], schema: &Schema) -> Vec<(Arc<[u8]>, i32, Record)> {
    entries(bytes)
        .map(|entry| {
            let (key, value) = entry.expect("validated state parses");
            let (partition, record) = read(value, schema).expect("validated state parses");
            (key.into(), partition, record)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: i64) -> Record {
        let texts = vec![Some("näher".into())];
        Record { entity: "truck".into(), time, units: vec![NULL, -5, 1], texts }
    }

    fn schema() -> Schema {
        Schema::new("t")
            .with("a", FieldType::Number)
            .with("b", FieldType::Integer)
            .with("c", FieldType::Text)
            .with("d", FieldType::Boolean)
    }

    #[test]
    fn a_reading_is_read_back() {
        let (mut bytes, schema) = (Vec::new(), schema());
        write(5, &record(-7), &schema, &mut bytes);
        assert_eq!(read(&bytes, &schema), Some((5, record(-7))));
        for cut in 0..bytes.len() {
            assert_ne!(read(&bytes[..cut], &schema), Some((5, record(-7))), "{cut}");
        }
    }

    #[test]
    fn a_reading_keeps_its_fields_when_others_are_declared() {
        let mut bytes = Vec::new();
        write(0, &record(0), &schema(), &mut bytes);
        let other = Schema::new("t")
            .with("new", FieldType::Number)
            .with("c", FieldType::Text)
            .with("b", FieldType::Integer)
            .with("d", FieldType::Number);
        let (_, Record { units, texts, .. }) = read(&bytes, &other).expect("a reading");
        assert_eq!((units, texts), (vec![NULL, -5, NULL], vec![Some("näher".into())]));
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
