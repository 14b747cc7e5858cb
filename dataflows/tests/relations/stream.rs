//! Random streams, with many ties and NULLs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::batch::{Batch, BatchBuilder, NANO, Record};
use dataflows::item::{Item, Upsert};
use dataflows::origin::Origin;
use dataflows::rows::NULL;
use dataflows::schema::{FieldType, Place, Schema};
use dataflows::views::{Mode, Settings};
use proptest::prelude::*;

pub const MINUTE: i64 = 60_000_000;
/// 2023-04-10 00:00:00.
pub const DAY: i64 = 1_681_084_800_000_000;
pub const TEXTS: [&str; 5] = ["a", "", "ab", "é", "a'%_"];

/// Fields of all types, the preset's or others.
pub fn schema() -> impl Strategy<Value = Schema> {
    let types =
        [FieldType::Number, FieldType::Integer, FieldType::Boolean, FieldType::Timestamp, FieldType::Text];
    let names = ["oil", "gear", "Ignition", "sent", "driver", "select"];
    let others = prop::collection::vec(prop::sample::select(types.to_vec()), 0..=names.len());
    (0..4u8, others).prop_map(move |(base, others)| {
        let base = match base {
            0 => Schema::new("at").with_entity("who"),
            1 => Schema::new("at").with("x", FieldType::Number),
            _ => Schema::trucks(),
        };
        names.into_iter().zip(others).fold(base, |schema, (name, field_type)| schema.with(name, field_type))
    })
}

pub fn settings(schema: &Schema, mode: Mode) -> Settings {
    Settings { mode, schema: schema.clone(), ..Settings::default() }
}

/// A number: mostly one of few.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => prop::sample::select(vec![0, NANO, 2 * NANO, NANO / 2, -NANO, 82 * NANO, 80 * NANO + 1]),
        2 => Just(NULL),
        1 => prop::sample::select(vec![9_200_000_000_000_000_000i64, -9_200_000_000_000_000_000, 1]),
        1 => -200 * NANO..200 * NANO,
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0i64..4, 2 => Just(NULL), 1 => prop::sample::select(vec![i64::MAX, -i64::MAX])]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (0i64..20).prop_map(|minute| DAY + minute * MINUTE),
        4 => (0i64..20 * 60).prop_map(|second| DAY + second * 1_000_000),
        1 => (0i64..20).prop_map(|minute| DAY + minute * MINUTE - 1),
        1 => (-5i64..3).prop_map(|minute| minute * MINUTE - 1),
    ]
}

/// Values of fields, by the place of the field among those of its type; they begin again if there are more.
fn record(schema: Schema) -> impl Strategy<Value = Record> {
    let numbers = [number(), number(), number(), number()];
    let truth = || prop::sample::select(vec![NULL, 0, 1, 1]);
    let sent = || prop_oneof![3 => time(), 1 => Just(NULL)];
    let text = || prop_oneof![1 => Just(None), 4 => prop::sample::select(&TEXTS[..]).prop_map(Some)];
    let others = ([integer(), integer()], [truth(), truth()], [sent(), sent()], [text(), text()]);
    (0..3usize, time(), numbers, others).prop_map(
        move |(truck, time, numbers, (integers, truths, times, texts))| {
            let (mut units, mut found) = (vec![NULL; schema.units()], vec![None; schema.texts()]);
            for (turn, field) in schema.fields().iter().enumerate() {
                match (field.place, field.field_type) {
                    (Place::Units(column), FieldType::Number) => units[column] = numbers[turn % 4],
                    (Place::Units(column), FieldType::Integer) => units[column] = integers[turn % 2],
                    (Place::Units(column), FieldType::Boolean) => units[column] = truths[turn % 2],
                    (Place::Units(column), _) => units[column] = times[turn % 2],
                    (Place::Texts(column), _) => found[column] = texts[turn % 2].map(Arc::from),
                    (Place::Time | Place::Entity, _) => {}
                }
            }
            let has_entity = schema.fields().iter().any(|field| field.place == Place::Entity);
            let entity = if has_entity { ["a", "b", ""][truck] } else { "" };
            Record { entity: entity.into(), time, units, texts: found }
        },
    )
}

/// A message: its key, which only upserts use, and its reading; none deletes it.
pub type Message = (u8, Option<Record>);

/// Messages of a stream. The first one has a reading, so that there is a group of everything.
fn messages(schema: Schema, upserts: bool) -> impl Strategy<Value = Vec<Message>> {
    let record = || record(schema.clone());
    let message = (any::<u8>(), record(), prop::bool::weighted(if upserts { 0.25 } else { 0.0 }));
    let rest = prop::collection::vec(message, 0..36);
    (1u8..12, record(), rest).prop_map(|(keys, first, rest)| {
        let message =
            |(key, record, is_deletion): (u8, Record, bool)| (key % keys, (!is_deletion).then_some(record));
        [vec![(0, Some(first))], rest.into_iter().map(message).collect()].concat()
    })
}

/// Splits messages into epochs of items: 0 begins an epoch, 1 an item. The first epoch has only the first message.
pub fn epochs(schema: &Schema, messages: &[Message], cuts: &[u8], upserts: bool) -> Vec<Vec<Item>> {
    let mut epochs = vec![vec![messages[..1].to_vec()]];
    for (place, message) in messages.iter().enumerate().skip(1) {
        let cut = cuts.get(place - 1).copied().unwrap_or(2);
        if cut == 0 || place == 1 {
            epochs.push(vec![Vec::new()]);
        }
        let epoch = epochs.last_mut().expect("it has one");
        if cut == 1 {
            epoch.push(Vec::new());
        }
        epoch.last_mut().expect("it has one").push(message.clone());
    }
    let mut offset = 0;
    let mut item = |messages: Vec<Message>| {
        let from = offset;
        offset += messages.len() as i64;
        if upserts { upserted(messages, from) } else { batch(schema, messages, from) }
    };
    epochs.into_iter().map(|items| items.into_iter().map(&mut item).collect()).collect()
}

/// A batch of readings with consecutive offsets, each with its offset as its bytes.
pub fn batch(schema: &Schema, messages: Vec<Message>, from: i64) -> Item {
    let (mut builder, mut origin) = (BatchBuilder::new(schema), Origin::new("topic".into()));
    for (offset, (_, record)) in (from..).zip(messages) {
        builder.push_record(record.expect("only upserts delete"));
        origin.push(0, offset, None, None, None, offset.to_string().as_bytes());
    }
    Item::Records(Batch { origin: Some(Arc::new(origin)), ..builder.take() })
}

fn upserted(messages: Vec<Message>, from: i64) -> Item {
    let upsert = |(offset, (key, record)): (i64, Message)| Upsert {
        key: Arc::from([key]),
        partition: 0,
        offset,
        record,
    };
    Item::Upserts((from..).zip(messages).map(upsert).collect())
}

/// The readings after these messages.
pub fn current(messages: &[Message], upserts: bool) -> Vec<Record> {
    if !upserts {
        return messages.iter().filter_map(|(_, record)| record.clone()).collect();
    }
    let last: BTreeMap<u8, Option<Record>> = messages.iter().cloned().collect();
    last.into_values().flatten().collect()
}

/// A schema, and messages of it.
pub fn stream(upserts: bool) -> impl Strategy<Value = (Schema, Vec<Message>)> {
    schema().prop_flat_map(move |schema| (Just(schema.clone()), messages(schema, upserts)))
}

/// Short grace and idle times.
pub fn patience() -> impl Strategy<Value = (i64, i64)> {
    (prop::sample::select(vec![0, MINUTE, 4 * MINUTE]), prop::sample::select(vec![0, 5 * MINUTE]))
}

/// Bytes of views.
pub fn plans() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..240), 1..4)
}

/// Where epochs and items begin.
pub fn cuts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..5, 0..36)
}

/// The number of cases is that of the environment variable `RELATION_CASES`.
pub fn cases() -> ProptestConfig {
    let cases = std::env::var("RELATION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
