//! Drops readings that repeat an earlier one of their partition.
//!
//! ```text
//! records -> batches ------------------------------------------.
//!               |                                              v
//!               `-> parts --(partition)--> repetitions --> batches without them -> views
//!            restored ---------------------^   `-> state
//! ```
//!
//! A reading repeats another if that one was kept at a smaller offset of the same partition, or at a smaller place in
//! the same message, has equal fields, and their event times differ by at most a bound. A kept reading is forgotten
//! when the partition's latest event time, of kept or dropped readings, is more than this bound past it; readings older
//! than that are not checked. So the result depends only on the order within each partition, and the state is bounded.
//! Two NULLs are equal.
//!
//! An epoch has a contiguous range of each partition. It is decided when it is complete, in the order of offsets,
//! whichever workers have read it. Only the compared fields are exchanged; batches stay with the worker that read them,
//! and one without repetitions passes as it is.

mod kept;
mod part;
mod segments;
mod stored;

use std::collections::{BTreeMap, HashMap};

use differential_dataflow::hashable::Hashable;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use self::kept::Kept;
use self::part::{BatchId, Part, parts};
use self::segments::SegmentId;
use self::stored::{Changes, Entry, Partition};
use crate::Epoch;
use crate::batch::Batch;
use crate::effect::{Effect, Restored};
use crate::epochs::{stream_epoch, when_complete};
use crate::schema::Place;
use crate::state::entries;

/// The name of the kept readings in the store.
pub const NAME: &str = "dedupe";

/// State changes of this size are sent on, so that a large epoch does not become one huge part.
const CHANGE_BYTES: usize = 512 << 10;

/// Which readings repeat others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// The fields that are equal.
    pub fields: Vec<Place>,
    /// The largest difference of event times, in microseconds.
    pub within: i64,
    /// Both, as text. A job keeps the one with which it began.
    pub definition: String,
}

/// What the worker of a partition gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Input {
    Part(Part),
    Position(i64, i64),
    Segment(SegmentId, Vec<u8>),
}

/// Rows of a batch that repeat others.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Dropped {
    batch: BatchId,
    rows: Vec<u32>,
}

#[derive(Clone)]
enum Output {
    Dropped(Dropped),
    Effect(Effect),
}

/// Removes repetitions from `records`; also returns the state changes and the number of dropped readings. With
/// `is_file`, there is one input, whose partitions follow each other.
pub(crate) fn build<'scope>(
    records: StreamVec<'scope, Epoch, Batch>,
    restored: StreamVec<'scope, Epoch, Restored>,
    start: Epoch,
    dedupe: &Dedupe,
    is_file: bool,
) -> (StreamVec<'scope, Epoch, Batch>, StreamVec<'scope, Epoch, Effect>) {
    let worker = records.scope().index() as u64;
    let mut number = 0;
    let batches = records.map(move |batch| {
        number += 1;
        (number, batch)
    });
    let fields = dedupe.fields.clone();
    let parts = batches.clone().flat_map(move |(number, batch)| {
        let parts = parts((worker, number), &batch, &fields, is_file).into_iter();
        parts.map(|(partition, part)| (partition, Input::Part(part)))
    });
    let restored = restored.flat_map(|restored| match &*restored.view == NAME {
        true => restore(&restored.bytes),
        false => Vec::new(),
    });
    let mut partitions = Partitions { all: BTreeMap::new(), within: dedupe.within, is_file, start };
    let output = when_complete(
        parts.concat(restored),
        Exchange::new(move |(partition, _): &(Partition, Input)| worker_of(partition, is_file)),
        "Repetitions",
        stream_epoch,
        move |epoch, inputs| partitions.pass(epoch, inputs),
    );
    let dropped = output.clone().flat_map(|output| match output {
        Output::Dropped(dropped) => Some(dropped),
        Output::Effect(_) => None,
    });
    let effects = output.flat_map(|output| match output {
        Output::Effect(effect) => Some(effect),
        Output::Dropped(_) => None,
    });
    (without(batches, dropped), effects)
}

/// The worker that keeps the readings of a partition. All partitions of a file have the same one, so that it sees where
/// one ends and the next begins.
fn worker_of((topic, partition): &Partition, is_file: bool) -> u64 {
    if is_file { 0 } else { topic.hashed().wrapping_add(*partition as u64) }
}

/// The entries of committed state. It was validated when it was loaded, so a parse error is a bug.
fn restore(bytes: &[u8]) -> Vec<(Partition, Input)> {
    entries(bytes)
        .map(|entry| {
            let (key, value) = entry.expect("validated state parses");
            let (partition, entry) = stored::read(key, value).expect("validated state parses");
            let input = match entry {
                Entry::Position(latest, offset) => Input::Position(latest, offset),
                Entry::Segment(id, bytes) => Input::Segment(id, bytes.to_vec()),
            };
            (partition, input)
        })
        .collect()
}

/// Whether an entry, a key and its value, is valid in the state.
pub(crate) fn keeps(key: &[u8], value: &[u8]) -> bool {
    stored::read(key, value).is_some()
}

/// The partitions of a worker.
struct Partitions {
    all: BTreeMap<Partition, State>,
    within: i64,
    is_file: bool,
    start: Epoch,
}

struct State {
    kept: Kept,
    /// The offset of the last reading, if there was one.
    offset: Option<i64>,
}

impl Partitions {
    /// Decides a complete epoch.
    fn pass(&mut self, epoch: Epoch, inputs: Vec<(Partition, Input)>) -> Vec<Output> {
        let mut of_partitions: BTreeMap<Partition, Vec<Part>> = BTreeMap::new();
        for (partition, input) in inputs {
            match input {
                Input::Part(part) => of_partitions.entry(partition).or_default().push(part),
                Input::Position(latest, offset) => {
                    let state = self.state(&partition);
                    state.offset = Some(offset);
                    state.kept.restore_latest(latest);
                }
                Input::Segment(id, bytes) => self.state(&partition).kept.restore(id, bytes),
            }
        }
        let mut found = Found::default();
        for (partition, parts) in of_partitions {
            if self.is_file {
                // The files before it are finished.
                let later = self.all.split_off(&partition);
                for (before, state) in std::mem::replace(&mut self.all, later) {
                    state.end(&before, &mut found.changes);
                }
            }
            self.state(&partition).pass(epoch, &partition, &parts, &mut found);
        }
        found.into_outputs(epoch > self.start)
    }

    fn state(&mut self, partition: &Partition) -> &mut State {
        let fresh = || State { kept: Kept::new(self.within), offset: None };
        self.all.entry(partition.clone()).or_insert_with(fresh)
    }
}

impl State {
    /// Takes the readings of an epoch.
    fn pass(&mut self, epoch: Epoch, partition: &Partition, parts: &[Part], found: &mut Found) {
        let mut order: Vec<(i64, u32, u32, u32)> = Vec::new();
        for (index, part) in (0..).zip(parts) {
            let position = |(at, reading): (u32, &part::Reading)| (reading.offset, reading.place, index, at);
            order.extend((0..).zip(&part.readings).map(position));
        }
        // Stable, which is fast for parts that are in order.
        order.sort();
        let (Some(first), Some(last)) = (order.first(), order.last()) else { return };
        let is_new = self.offset.is_none();
        if self.offset.is_some_and(|offset| first.0 <= offset) {
            // The topic was re-created, so this is another partition.
            self.end_segments(partition, &mut found.changes);
            self.kept = Kept::new(self.kept.within());
        }
        self.offset = Some(last.0);
        self.kept.begin(epoch);
        let mut dropped: Vec<Vec<u32>> = vec![Vec::new(); parts.len()];
        for &(_, _, part, at) in &order {
            let (index, at) = (part as usize, at as usize);
            let part = &parts[index];
            let reading = &part.readings[at];
            if self.kept.repeats(part.fields(at), reading.time) {
                dropped[index].push(reading.row);
            }
        }
        for segment in self.kept.end() {
            found.put_segment(partition, segment.id, &segment.bytes);
        }
        while let Some(id) = self.kept.forget() {
            found.changes.end_segment(partition, id);
        }
        found.changes.put_position(partition, self.kept.latest(), last.0, is_new);
        let dropped = parts.iter().zip(dropped).filter(|(_, rows)| !rows.is_empty());
        found.dropped.extend(dropped.map(|(part, rows)| Dropped { batch: part.batch, rows }));
    }

    /// Ends a partition that has no more readings.
    fn end(&self, partition: &Partition, changes: &mut Changes) {
        self.end_segments(partition, changes);
        if self.offset.is_some() {
            changes.end_position(partition);
        }
    }

    fn end_segments(&self, partition: &Partition, changes: &mut Changes) {
        self.kept.ids().for_each(|id| changes.end_segment(partition, id));
    }
}

/// What was found in an epoch.
#[derive(Default)]
struct Found {
    dropped: Vec<Dropped>,
    changes: Changes,
    /// Changes before these.
    full: Vec<Effect>,
}

impl Found {
    fn put_segment(&mut self, partition: &Partition, id: SegmentId, bytes: &[u8]) {
        self.changes.put_segment(partition, id, bytes);
        if self.changes.bytes.len() >= CHANGE_BYTES {
            self.send_changes();
        }
    }

    fn send_changes(&mut self) {
        let Changes { bytes, added, .. } = std::mem::take(&mut self.changes);
        if !bytes.is_empty() {
            self.full.push(Effect::State { bytes, added });
        }
    }

    /// The output of an epoch; effects only of one that is not committed.
    fn into_outputs(mut self, is_new: bool) -> Vec<Output> {
        self.send_changes();
        let duplicates: usize = self.dropped.iter().map(|dropped| dropped.rows.len()).sum();
        let mut effects = self.full;
        if duplicates > 0 {
            effects.push(Effect::Duplicates(duplicates as u64));
        }
        let effects = effects.into_iter().filter(|_| is_new).map(Output::Effect);
        self.dropped.into_iter().map(Output::Dropped).chain(effects).collect()
    }
}

/// Batches, without the rows that were dropped. They wait until their epoch is decided.
fn without<'scope>(
    batches: StreamVec<'scope, Epoch, (u64, Batch)>,
    dropped: StreamVec<'scope, Epoch, Dropped>,
) -> StreamVec<'scope, Epoch, Batch> {
    let home = Exchange::new(|dropped: &Dropped| dropped.batch.0);
    batches.binary_frontier::<_, CapacityContainerBuilder<_>, _, _, _, _>(
        dropped,
        Pipeline,
        home,
        "WithoutRepetitions",
        move |capability, _| {
            drop(capability);
            let mut open: BTreeMap<Epoch, _> = BTreeMap::new();
            let mut dropped_of: BTreeMap<Epoch, HashMap<u64, Vec<u32>>> = BTreeMap::new();
            move |(batches, batches_frontier), (dropped, frontier), output| {
                batches.for_each_stamp(|cap, containers| {
                    let Some(&epoch) = cap.least() else { return };
                    let (_, held) = open.entry(epoch).or_insert_with(|| (cap.delayed(&epoch, 0), Vec::new()));
                    held.extend(containers.flat_map(|container| container.drain(..)));
                });
                dropped.for_each_stamp(|cap, containers| {
                    let Some(&epoch) = cap.least() else { return };
                    let of_epoch = dropped_of.entry(epoch).or_default();
                    for Dropped { batch: (_, number), rows } in containers.flat_map(|all| all.drain(..)) {
                        of_epoch.entry(number).or_default().extend(rows);
                    }
                });
                let complete =
                    |epoch: &Epoch| !frontier.less_equal(epoch) && !batches_frontier.less_equal(epoch);
                while let Some(entry) = open.first_entry().filter(|entry| complete(entry.key())) {
                    let (epoch, (capability, held)) = entry.remove_entry();
                    let mut dropped = dropped_of.remove(&epoch).unwrap_or_default();
                    let left = held.into_iter().filter_map(|(number, batch): (u64, Batch)| {
                        match dropped.remove(&number) {
                            None => Some(batch),
                            Some(rows) => left(&batch, &rows),
                        }
                    });
                    output.session(&capability).give_iterator(left);
                }
            }
        },
    )
}

/// A batch without these rows; none if no row is left.
fn left(batch: &Batch, dropped: &[u32]) -> Option<Batch> {
    let mut is_left = vec![true; batch.len()];
    dropped.iter().for_each(|row| is_left[*row as usize] = false);
    let rows: Vec<u32> = (0..batch.len() as u32).filter(|row| is_left[*row as usize]).collect();
    (!rows.is_empty()).then(|| batch.only(&rows))
}
