//! Random streams, with many ties and NULLs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::batch::{Batch, BatchBuilder, NANO, Record};
use dataflows::item::{Item, Upsert};
use dataflows::origin::Origin;
use dataflows::rows::NULL;
use dataflows::schema::{FieldType, Schema};
use dataflows::views::{Mode, Settings};
use proptest::prelude::*;

pub const MINUTE: i64 = 60_000_000;
/// 2023-04-10 00:00:00.
pub const DAY: i64 = 1_681_084_800_000_000;
pub const TEXTS: [&str; 4] = ["a", "", "ab", "é"];

pub fn schema() -> Schema {
    Schema::trucks()
        .with("oil", FieldType::Number)
        .with("gear", FieldType::Integer)
        .with("ignition", FieldType::Boolean)
        .with("sent", FieldType::Timestamp)
        .with("driver", FieldType::Text)
}

pub fn settings(mode: Mode) -> Settings {
    Settings { mode, schema: schema(), ..Settings::default() }
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

pub fn record() -> impl Strategy<Value = Record> {
    let numbers = [number(), number(), number(), number()];
    let ignition = prop::sample::select(vec![NULL, 0, 1, 1]);
    let sent = prop_oneof![3 => time(), 1 => Just(NULL)];
    let text = prop_oneof![1 => Just(None), 4 => prop::sample::select(&TEXTS[..]).prop_map(Some)];
    (0..3usize, time(), numbers, integer(), ignition, sent, text).prop_map(
        |(truck, time, numbers, gear, ignition, sent, driver)| Record {
            entity: ["a", "b", ""][truck].into(),
            time,
            units: [&numbers[..], &[gear, ignition, sent]].concat(),
            texts: vec![driver.map(Arc::from)],
        },
    )
}

/// A message: its key, which only upserts use, and its reading; none deletes it.
pub type Message = (u8, Option<Record>);

/// Messages of a stream. The first one has a reading, so that there is a group of everything.
pub fn messages(upserts: bool) -> impl Strategy<Value = Vec<Message>> {
    let message = (any::<u8>(), record(), prop::bool::weighted(if upserts { 0.25 } else { 0.0 }));
    let rest = prop::collection::vec(message, 0..36);
    (1u8..12, record(), rest).prop_map(|(keys, first, rest)| {
        let message =
            |(key, record, is_deletion): (u8, Record, bool)| (key % keys, (!is_deletion).then_some(record));
        [vec![(0, Some(first))], rest.into_iter().map(message).collect()].concat()
    })
}

/// Splits messages into epochs of items: 0 begins an epoch, 1 an item. The first epoch has only the first message.
pub fn epochs(messages: &[Message], cuts: &[u8], upserts: bool) -> Vec<Vec<Item>> {
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
        if upserts { upserted(messages, from) } else { batch(messages, from) }
    };
    epochs.into_iter().map(|items| items.into_iter().map(&mut item).collect()).collect()
}

/// A batch of readings with consecutive offsets, each with its offset as its bytes.
pub fn batch(messages: Vec<Message>, from: i64) -> Item {
    let (mut builder, mut origin) = (BatchBuilder::new(&schema()), Origin::new("topic".into()));
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
