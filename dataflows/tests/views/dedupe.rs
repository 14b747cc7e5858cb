//! Random streams with repetitions, compared with a naive model of the rule: several partitions of several topics, or
//! one file after another; any cut into epochs, any order within one, restarts with other numbers of workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::batch::{Batch, BatchBuilder, NANO, Record};
use dataflows::item::Item;
use dataflows::origin::Origin;
use dataflows::rows::NULL;
use dataflows::schema::Place;
use dataflows::state::entries;
use dataflows::views::{DEDUPE, Dedupe, Mode, Settings};
use proptest::prelude::*;

use crate::expected::{all_cells, counted, stateless_rows};
use crate::job::{Gave, Job, folded, of, run, whole};
use crate::records::settings;

/// 2023-04-10 00:00:00.
const DAY: i64 = 1_681_084_800_000_000;

/// A reading and where it is.
#[derive(Clone, Debug)]
struct At {
    topic: u8,
    partition: i32,
    offset: i64,
    place: Option<u32>,
    record: Record,
}

/// The messages of a stream, each with its readings, in the order in which they were produced.
fn messages(is_file: bool) -> impl Strategy<Value = Vec<Vec<At>>> {
    let reading = (0u8..3, 0i64..40, prop::option::of(0u8..2), prop_oneof![Just(NULL), Just(0), Just(NANO)]);
    let topics = if is_file { 1u8 } else { 2 };
    let message = (0..topics, 0i32..3, 1i64..4, prop::collection::vec(reading, 1..4));
    prop::collection::vec(message, 0..60).prop_map(move |mut all| {
        if is_file {
            all.sort_by_key(|(_, partition, ..)| *partition);
        }
        let mut next: BTreeMap<(u8, i32), i64> = BTreeMap::new();
        let mut number = 0;
        let message = |(at, (topic, partition, gap, readings)): (usize, (u8, i32, i64, Vec<_>))| {
            let next = next.entry((topic, partition)).or_default();
            let offset = *next;
            *next += gap;
            let is_one = readings.len() == 1;
            let reading = |(place, (truck, time, driver, oil)): (u32, (u8, i64, Option<u8>, i64))| {
                number += 1;
                // The first number is another one for each reading, so that rows tell which of them are left.
                let units = vec![number * NANO, 81 * NANO, NANO, oil];
                let entity = ["", "a", "b"][usize::from(truck)].into();
                let texts = vec![driver.map(|driver| ["", "x"][usize::from(driver)].into())];
                let record = Record { entity, time: DAY + at as i64 + time, units, texts };
                At { topic, partition, offset, place: (!is_one).then_some(place), record }
            };
            (0..).zip(readings).map(reading).collect()
        };
        all.into_iter().enumerate().map(message).collect()
    })
}

fn rule() -> impl Strategy<Value = Dedupe> {
    let fields = prop::sample::select(vec![
        vec![Place::Entity],
        vec![Place::Entity, Place::Time],
        vec![Place::Texts(0), Place::Units(3)],
        vec![Place::Time],
    ]);
    (fields, prop::sample::select(vec![0, 1, 7, 20, 1000, i64::MAX])).prop_map(|(fields, within)| Dedupe {
        fields,
        within,
        definition: String::new(),
    })
}

fn value(record: &Record, field: Place) -> String {
    match field {
        Place::Time => record.time.to_string(),
        Place::Entity => record.entity.to_string(),
        Place::Units(column) => record.units[column].to_string(),
        Place::Texts(column) => format!("{:?}", record.texts[column]),
    }
}

/// The readings that are kept, by the words of the rule: all readings that were ever kept are looked at.
fn kept(messages: &[Vec<At>], rule: &Dedupe) -> Vec<Record> {
    let mut partitions: BTreeMap<(u8, i32), Vec<&At>> = BTreeMap::new();
    for at in messages.iter().flatten() {
        partitions.entry((at.topic, at.partition)).or_default().push(at);
    }
    let mut left = Vec::new();
    for mut readings in partitions.into_values() {
        readings.sort_by_key(|at| (at.offset, at.place));
        let (mut latest, mut kept): (i64, Vec<&At>) = (i64::MIN, Vec::new());
        for at in readings {
            latest = latest.max(at.record.time);
            let is_old = |time: i64| latest.saturating_sub(time) > rule.within;
            let repeats = |other: &&At| {
                let difference = (at.record.time - other.record.time).abs();
                let are_equal = |field: &Place| value(&at.record, *field) == value(&other.record, *field);
                !is_old(other.record.time) && difference <= rule.within && rule.fields.iter().all(are_equal)
            };
            if is_old(at.record.time) || !kept.iter().any(repeats) {
                kept.push(at);
                left.push(at.record.clone());
            }
        }
    }
    left
}

/// Batches of one topic each, of messages in the order of `keys`.
fn batches(messages: &[Vec<At>], keys: &[u16], size: usize) -> Vec<Item> {
    let mut items = Vec::new();
    for topic in 0..2 {
        let mut of_topic: Vec<_> = messages.iter().filter(|readings| readings[0].topic == topic).collect();
        of_topic.sort_by_cached_key(|readings| {
            let At { partition, offset, .. } = readings[0];
            keys[(partition as usize * 13 + offset as usize * 7) % keys.len()]
        });
        for messages in of_topic.chunks(size) {
            let mut builder = BatchBuilder::new(&settings(Mode::Append).schema);
            let mut origin = Origin::new(["one", "two"][usize::from(topic)].into());
            for at in messages.iter().copied().flatten() {
                builder.push_record(at.record.clone());
                origin.push(at.partition, at.offset, None, None, at.place, b"");
            }
            items.push(Item::Records(Batch { origin: Some(Arc::new(origin)), ..builder.take() }));
        }
    }
    items
}

/// How a stream reaches the graph.
#[derive(Clone, Debug)]
struct Arrival {
    /// The lengths of epochs, in messages; the last one has the rest.
    epochs: Vec<usize>,
    /// The order within an epoch.
    keys: Vec<u16>,
    size: usize,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let epochs = prop::collection::vec(0usize..25, 0..5);
    (epochs, prop::collection::vec(0u16..100, 1..30), 1usize..9).prop_map(|(epochs, keys, size)| Arrival {
        epochs,
        keys,
        size,
    })
}

fn job(messages: &[Vec<At>], rule: &Dedupe, is_file: bool, arrival: &Arrival) -> Job {
    let mut left = messages;
    let mut epochs = Vec::new();
    for length in &arrival.epochs {
        let (epoch, rest) = left.split_at((*length).min(left.len()));
        epochs.push(batches(epoch, &arrival.keys, arrival.size));
        left = rest;
    }
    epochs.push(batches(left, &arrival.keys, arrival.size));
    let dedupe = Some(rule.clone());
    let settings = Settings { dedupe, one_after_another: is_file, ..settings(Mode::Append) };
    Job { settings, epochs, arrived: i64::MAX, latest: false, join_limit: None }
}

fn rows(all: &[BTreeMap<String, Gave>]) -> BTreeMap<Vec<String>, i64> {
    let tables: Vec<_> = all.iter().flat_map(|gave| of(gave, "parameter_map").table).collect();
    all_cells(&tables)
}

fn check(
    messages: &[Vec<At>],
    rule: &Dedupe,
    is_file: bool,
    arrival: &Arrival,
    workers: usize,
    restarts: &BTreeSet<usize>,
) -> Result<(), TestCaseError> {
    let expected = kept(messages, rule);
    let dropped = (messages.iter().flatten().count() - expected.len()) as u64;
    let job = job(messages, rule, is_file, arrival);

    let (mut runs, mut changes) = (Vec::new(), Vec::new());
    let mut begins: Vec<usize> = restarts.iter().copied().filter(|at| *at < job.epochs.len()).collect();
    begins.insert(0, 0);
    for (number, begin) in begins.iter().copied().enumerate() {
        let end = begins.get(number + 1).copied().unwrap_or(job.epochs.len());
        let restored = BTreeMap::from([(DEDUPE.to_owned(), folded(changes.clone(), 100))]);
        let workers = (workers + number) % 3 + 1;
        let gave = run(&job, workers, begin as u64, &restored, &job.epochs[begin..end]);
        changes.extend(of(&gave, DEDUPE).state);
        runs.push(gave);
    }
    prop_assert_eq!(rows(&runs), counted(&stateless_rows(&expected, "parameter_map")));
    prop_assert_eq!(runs.iter().map(|gave| of(gave, DEDUPE).duplicates).sum::<u64>(), dropped);

    let parts = folded(changes, 1 << 20);
    let stored: Vec<_> = parts.iter().flat_map(|part| entries(part)).map(|entry| entry.unwrap()).collect();
    prop_assert_eq!(stored.len() as i64, runs.iter().map(|gave| of(gave, DEDUPE).entries).sum::<i64>());
    let partitions: BTreeSet<_> = messages.iter().flatten().map(|at| (at.topic, at.partition)).collect();
    let positions = stored.iter().filter(|(key, _)| key[0] == b'p').count();
    prop_assert_eq!(positions, if is_file { partitions.len().min(1) } else { partitions.len() });
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn the_same_readings_are_left_however_the_stream_arrives(
        messages in messages(false), rule in rule(), arrival in arrival(), workers in 0usize..3,
        restarts in prop::collection::btree_set(1usize..6, 0..4),
    ) {
        check(&messages, &rule, false, &arrival, workers, &restarts)?;
    }

    #[test]
    fn files_that_follow_each_other_are_partitions_whose_state_ends(
        messages in messages(true), rule in rule(), arrival in arrival(), workers in 0usize..3,
        restarts in prop::collection::btree_set(1usize..6, 0..4),
    ) {
        check(&messages, &rule, true, &arrival, workers, &restarts)?;
    }
}

fn reading(offset: i64, truck: &str, time: i64) -> Vec<At> {
    let units = vec![offset * NANO, 81 * NANO, NANO, NULL];
    let record = Record { entity: truck.into(), time: DAY + time, units, texts: vec![None] };
    vec![At { topic: 0, partition: 0, offset, place: None, record }]
}

fn by_truck(within: i64) -> Dedupe {
    Dedupe { fields: vec![Place::Entity], within, definition: String::new() }
}

#[test]
fn views_and_their_state_do_not_see_repetitions() {
    let messages: Vec<_> = (0..40).map(|n| reading(n, ["a", "b"][n as usize % 2], n / 2 * 3)).collect();
    let arrival = Arrival { epochs: vec![7, 7, 7], keys: vec![3, 1, 2], size: 4 };
    let gave = whole(&job(&messages, &by_truck(5), false, &arrival), 2);
    // Of each truck every other reading.
    assert_eq!(of(&gave, "parameter_map").table.len(), 20);
    assert_eq!(of(&gave, DEDUPE).duplicates, 20);
    let last: Vec<_> = of(&gave, "distance_correlation").table.into_iter().filter(|row| row.0 == 4).collect();
    assert_eq!(last.iter().map(|(.., cells)| cells[4].clone()).collect::<Vec<_>>(), ["10", "10"]);
}

#[test]
fn a_topic_that_was_created_again_is_another_partition() {
    let epochs = |all: &[&[Vec<At>]]| all.iter().map(|all| batches(all, &[0], 9)).collect::<Vec<_>>();
    let settings = Settings { dedupe: Some(by_truck(1000)), ..settings(Mode::Append) };
    let first = [reading(0, "a", 0), reading(1, "a", 1), reading(5, "b", 5)];
    let again = [reading(0, "a", 6), reading(1, "a", 7), reading(2, "b", 8)];
    let later = [reading(6, "a", 6), reading(7, "c", 7)];
    for (next, left) in [(&again[..], 4), (&later[..], 3)] {
        let job = Job {
            settings: settings.clone(),
            epochs: epochs(&[&first, next]),
            arrived: i64::MAX,
            latest: false,
            join_limit: None,
        };
        assert_eq!(of(&whole(&job, 2), "parameter_map").table.len(), left);
        let before = run(&job, 1, 0, &BTreeMap::new(), &job.epochs[..1]);
        let restored = BTreeMap::from([(DEDUPE.to_owned(), of(&before, DEDUPE).state)]);
        let after = run(&job, 3, 1, &restored, &job.epochs[1..]);
        assert_eq!(of(&after, "parameter_map").table.len(), left - 2);
        let changes = [of(&before, DEDUPE), of(&after, DEDUPE)].map(|gave| (gave.state, gave.entries));
        let entries_added = changes[0].1 + changes[1].1;
        let parts = folded(changes.into_iter().flat_map(|(state, _)| state).collect(), 1 << 20);
        assert_eq!(parts.iter().flat_map(|part| entries(part)).count() as i64, entries_added);
    }
}
