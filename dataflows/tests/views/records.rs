//! Random records, and jobs of them.

use std::sync::Arc;

use dataflows::batch::{Batch, Entity, Record};
use dataflows::item::{Item, Upsert};
use dataflows::origin::Origin;
use dataflows::rows::NULL;
use dataflows::schema::{FieldType, Schema};
use dataflows::views::{Mode, Settings};
use proptest::prelude::*;

use crate::job::Job;

pub const MINUTE: i64 = 60_000_000;

pub fn settings(mode: Mode) -> Settings {
    let schema = Schema::trucks().with("oil_pressure", FieldType::Number).with("driver", FieldType::Text);
    Settings { mode, schema, ..Settings::default() }
}

/// A batch of records, with consecutive offsets starting at `from`.
pub fn batch(records: &[Record], from: usize) -> Item {
    let mut builder = dataflows::batch::BatchBuilder::new(&settings(Mode::Append).schema);
    let mut origin = Origin::new("topic".into());
    for (place, record) in records.iter().enumerate() {
        builder.push_record(record.clone());
        origin.push(0, (from + place) as i64, None, None, None, b"");
    }
    Item::Records(Batch { origin: Some(Arc::new(origin)), ..builder.take() })
}

pub fn measure() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => -9_200_000_000_000_000_000i64..9_200_000_000_000_000_000,
        4 => 0i64..200_000_000_000,
        1 => Just(0),
    ]
}

/// Records that are never late, as their times are within the shortest retention. Many are equal.
pub fn record() -> impl Strategy<Value = Record> {
    let time = prop_oneof![
        1_681_088_547_000_000i64..1_681_088_548_000_000,
        1_681_088_100_000_000i64..1_681_088_600_000_000,
        prop::sample::select(vec![1_681_088_400_000_000i64, 1_681_088_399_999_999, 1_681_088_547_000_000]),
    ];
    let optional = || prop_oneof![1 => Just(NULL), 3 => measure()];
    let units = [optional(), optional(), optional(), optional()];
    (0u8..4, time, units).prop_map(|(truck, time, units)| {
        let entity: Entity = ["", "a", "b", "truck-3"][usize::from(truck)].into();
        Record { entity, time, units: units.into(), texts: vec![Some("x".into())] }
    })
}

/// Records, split into epochs of batches.
pub fn epochs() -> impl Strategy<Value = Vec<Vec<Vec<Record>>>> {
    let batch = prop::collection::vec(record(), 1..12);
    prop::collection::vec(prop::collection::vec(batch, 0..4), 1..5)
}

pub fn append_job(epochs: &[Vec<Vec<Record>>], latest: bool) -> Job {
    let mut from = 0;
    let mut item = |records: &Vec<Record>| {
        from += records.len();
        batch(records, from - records.len())
    };
    let epochs = epochs.iter().map(|batches| batches.iter().map(&mut item).collect()).collect();
    Job { settings: settings(Mode::Append), epochs, arrived: i64::MAX, latest, join_limit: None }
}

/// Messages of an upsert job: a key and its new reading.
pub type Messages = Vec<(u8, Option<Record>)>;

/// Messages of a few keys: readings that replace others, and tombstones.
pub fn upserts() -> impl Strategy<Value = Vec<Vec<Messages>>> {
    let message = (0u8..8, prop::option::weighted(0.75, record()));
    let batch = prop::collection::vec(message, 1..10);
    prop::collection::vec(prop::collection::vec(batch, 0..4), 1..6)
}

pub fn upsert_job(epochs: &[Vec<Messages>], latest: bool) -> Job {
    let mut offset = 0;
    let mut upsert = |(key, record): &(u8, Option<Record>)| {
        offset += 1;
        Upsert { key: Arc::from([*key]), partition: 0, offset, record: record.clone() }
    };
    let mut item = |messages: &Messages| Item::Upserts(messages.iter().map(&mut upsert).collect());
    let epochs = epochs.iter().map(|batches| batches.iter().map(&mut item).collect()).collect();
    Job { settings: settings(Mode::Upsert), epochs, arrived: i64::MAX, latest, join_limit: None }
}

/// Epochs of records that span three days.
pub fn wide_epochs() -> impl Strategy<Value = Vec<Vec<Vec<Record>>>> {
    let start = prop_oneof![Just(0i64), 0i64..3 * 24 * 60];
    let spread = (record(), prop_oneof![0i64..15, 0i64..24 * 60]);
    let epoch = (start, prop::collection::vec(prop::collection::vec(spread, 1..8), 0..3));
    let epoch = epoch.prop_map(|(start, batches)| {
        let moved = |(mut record, minutes): (Record, i64)| {
            record.time += (start + minutes) * MINUTE;
            record
        };
        batches.into_iter().map(|records| records.into_iter().map(moved).collect()).collect()
    });
    prop::collection::vec(epoch, 1..7)
}
