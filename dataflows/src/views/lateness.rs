//! When a record comes too late for a view that forgets, and what becomes of it.
//!
//! ```text
//! records -> numbered batches -.-> the view's parts --(truck)--> its state: late for this truck?
//!                              |                                      |
//!                              `-> kept until the epoch is decided <--' (back to the batch's worker)
//!                                            `-> dead letters with the records' own bytes
//! ```
//!
//! A view forgets a truck's state up to a horizon that follows the truck's latest event, and for a
//! truck that is idle the topic's. A record before the horizon *at the end of the epoch before* is late:
//! within an epoch the order of arrival decides nothing. While a source catches up, partitions are
//! read unevenly; the slowest that is behind its end then holds every horizon back.
//!
//! A truck that nothing comes of is not looked at, so its horizon is found anew when something does. The
//! time of the topic is part of a view's state for that: after a restart the same records are late.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use differential_dataflow::hashable::Hashable;
use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::inputs::Inputs;
use super::watermark::{TOPIC, Watermark, WatermarkUpdate, updates};
use crate::Epoch;
use crate::batch::{Batch, Truck};
use crate::dead_letter::{DeadLetter, Reason};
use crate::effect::Effect;
use crate::epochs::{as_travelled, when_complete};
use crate::state::entries;

/// Names a batch: the worker that read it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct BatchId {
    worker: u64,
    number: u64,
}

/// The worker that keeps a truck's state.
fn worker_of(truck: &Truck) -> u64 {
    truck.hashed()
}

/// What a view that keeps state by truck is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Told<P, K> {
    /// What a batch has of a truck.
    Part(BatchId, Truck, P),
    /// What moves the time of the topic on.
    Watermark(WatermarkUpdate),
    /// What was committed of a truck.
    Kept(Truck, K),
}

/// Brings what each batch has of a truck (`parts`) and what was committed of it (which `read` reads from
/// an entry of the view's state) to the worker that keeps the truck, and the time of the topic to all.
/// There `pass` is given what a complete epoch brought. Gives the batches by their names, too.
pub(super) fn by_truck<'scope, P: ExchangeData, K: ExchangeData, O: Clone + 'static>(
    inputs: &Inputs<'scope>,
    name: &'static str,
    parts: impl Fn(&Batch) -> Vec<(Truck, P)> + 'static,
    read: impl Fn(&[u8], &[u8]) -> Option<(Truck, K)> + 'static,
    mut pass: impl FnMut(Epoch, Vec<Told<P, K>>) -> Vec<O> + 'static,
) -> (StreamVec<'scope, Epoch, (BatchId, Batch)>, StreamVec<'scope, Epoch, O>) {
    let batches = number(inputs.records.clone());
    let parts = batches.clone().flat_map(move |(batch, records)| {
        let told = |(truck, part): (Truck, P)| (worker_of(&truck), Told::Part(batch, truck, part));
        parts(&records).into_iter().map(told).collect::<Vec<_>>()
    });
    let kept = inputs.restored.clone().flat_map(move |restored| {
        let is_ours = &*restored.view == name;
        entries(&restored.bytes)
            .filter(|_| is_ours)
            // It was looked through when it was loaded: what does not parse is a bug of ours.
            .map(|entry| entry.expect("state that was looked through parses"))
            .filter(|(key, _)| *key != TOPIC)
            .map(|(key, value)| read(key, value).expect("state that was looked through parses"))
            .map(|(truck, kept)| (worker_of(&truck), Told::Kept(truck, kept)))
            .collect::<Vec<_>>()
    });
    let updates = updates(inputs, name).map(|(worker, update)| (worker, Told::Watermark(update)));
    let output = when_complete(
        parts.concat(kept).concat(updates),
        Exchange::new(|(worker, _): &(u64, Told<P, K>)| *worker),
        name,
        as_travelled,
        move |epoch, told| pass(epoch, told.into_iter().map(|(_, told)| told).collect()),
    );
    (batches, output)
}

/// Gives each batch a name.
fn number<'scope>(records: StreamVec<'scope, Epoch, Batch>) -> StreamVec<'scope, Epoch, (BatchId, Batch)> {
    let worker = records.scope().index() as u64;
    let mut number = 0;
    records.map(move |batch| {
        number += 1;
        (BatchId { worker, number }, batch)
    })
}

/// Records of a batch that a view gives up, named as the view names them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GivenUp<P> {
    pub batch: BatchId,
    pub reason: Reason,
    pub part: P,
}

/// Turns what a view gives up into dead letters: `places` finds the records of a part in their batch.
/// A record is a letter once, whatever number of parts it is in.
pub(super) fn bury<'scope, P: ExchangeData>(
    batches: StreamVec<'scope, Epoch, (BatchId, Batch)>,
    given_up: StreamVec<'scope, Epoch, GivenUp<P>>,
    view: &'static str,
    places: impl Fn(&Batch, &P) -> Vec<u32> + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    let home = Exchange::new(|given_up: &GivenUp<P>| given_up.batch.worker);
    batches.binary_frontier::<_, CapacityContainerBuilder<_>, _, _, _, _>(
        given_up,
        Pipeline,
        home,
        "Bury",
        move |capability, _| {
            drop(capability);
            let mut kept: BTreeMap<Epoch, HashMap<u64, Batch>> = BTreeMap::new();
            let mut open: BTreeMap<Epoch, _> = BTreeMap::new();
            move |(batches, batches_frontier), (given_up, frontier), output| {
                batches.for_each_stamp(|cap, containers| {
                    let Some(&epoch) = cap.least() else { return };
                    let named = containers.flat_map(|container| container.drain(..));
                    kept.entry(epoch).or_default().extend(named.map(|(id, batch)| (id.number, batch)));
                });
                given_up.for_each_stamp(|cap, containers| {
                    let Some(&epoch) = cap.least() else { return };
                    let (_, parts) =
                        open.entry(epoch).or_insert_with(|| (cap.delayed(&epoch, 0), Vec::new()));
                    parts.extend(containers.flat_map(|container| container.drain(..)));
                });
                let complete =
                    |epoch: &Epoch| !frontier.less_equal(epoch) && !batches_frontier.less_equal(epoch);
                while let Some(entry) = open.first_entry().filter(|entry| complete(entry.key())) {
                    let (epoch, (capability, parts)) = entry.remove_entry();
                    let letters = letters(&parts, kept.get(&epoch), view, &places);
                    if !letters.is_empty() {
                        output.session(&capability).give(Effect::DeadLetters(letters));
                    }
                }
                while let Some(entry) = kept.first_entry().filter(|entry| complete(entry.key())) {
                    entry.remove();
                }
            }
        },
    )
}

fn letters<P>(
    parts: &[GivenUp<P>],
    batches: Option<&HashMap<u64, Batch>>,
    view: &str,
    places: &impl Fn(&Batch, &P) -> Vec<u32>,
) -> Vec<DeadLetter> {
    let mut found = BTreeSet::new();
    for part in parts {
        let batch = batches.and_then(|batches| batches.get(&part.batch.number));
        let batch = batch.expect("a batch is kept until its epoch is decided");
        found.extend(
            places(batch, &part.part).into_iter().map(|place| (part.batch.number, place, part.reason)),
        );
    }
    let letter = |(number, place, reason): (u64, u32, Reason)| {
        let origin = batches?.get(&number)?.origin.as_ref()?;
        Some(origin.dead_letter(place as usize, reason, view))
    };
    found.into_iter().filter_map(letter).collect()
}

/// What the keys of trucks' times begin with in a view's state. Their values are times.
const TIMES: u8 = b't';

/// The key of a truck's times.
pub(super) fn truck_key(truck: &str) -> Vec<u8> {
    [&[TIMES], truck.as_bytes()].concat()
}

/// The truck whose times have this key, if it is the key of times.
pub(super) fn truck_of_times(key: &[u8]) -> Option<Truck> {
    Some(std::str::from_utf8(key.strip_prefix(&[TIMES])?).ok()?.into())
}

/// The trucks that have to be looked at when time reaches a point, without looking at all others.
#[derive(Debug, Default)]
struct Agenda {
    by_time: BTreeSet<(i64, Truck)>,
    of_truck: HashMap<Truck, i64>,
}

impl Agenda {
    /// Puts a truck on the agenda for `time`, instead of what it was there for; none takes it off.
    fn set(&mut self, truck: &Truck, time: Option<i64>) {
        let old = match time {
            Some(time) => self.of_truck.insert(truck.clone(), time),
            None => self.of_truck.remove(truck),
        };
        if old != time {
            if let Some(old) = old {
                self.by_time.remove(&(old, truck.clone()));
            }
            if let Some(time) = time {
                self.by_time.insert((time, truck.clone()));
            }
        }
    }

    /// Takes the trucks off that are due at `time`.
    fn due(&mut self, time: i64) -> Vec<Truck> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.by_time.first()
            && *at <= time
            && let Some((_, truck)) = self.by_time.pop_first()
        {
            self.of_truck.remove(&truck);
            due.push(truck);
        }
        due
    }
}

/// The trucks whose time passes a point although nothing of them comes: when the topic moves on, or
/// when the slowest partition no longer holds them back.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    for_topic: Agenda,
    for_slowest: Agenda,
}

impl Waiting {
    /// A truck whose latest event is `latest` waits until its time ([`Watermark::of_truck`]) reaches the
    /// first of `points`; this replaces what it waited for.
    pub fn set(&mut self, truck: &Truck, latest: i64, points: impl Iterator<Item = i64> + Clone) {
        self.for_topic.set(truck, points.clone().filter(|point| *point > latest).min());
        self.for_slowest.set(truck, points.filter(|point| *point <= latest).min());
    }

    /// Takes the trucks that need not wait any longer.
    pub fn due(&mut self, watermark: &Watermark) -> Vec<Truck> {
        let mut due = self.for_topic.due(watermark.of_idle());
        due.extend(self.for_slowest.due(watermark.slowest()));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truck_waits_for_one_thing_of_a_kind() {
        let (a, b): (Truck, Truck) = ("a".into(), "b".into());
        let mut watermark = Watermark::new(10);
        watermark.update(WatermarkUpdate::Arrived(i64::MAX));
        let mut waiting = Waiting::default();
        waiting.set(&a, 0, [50].into_iter());
        waiting.set(&b, 0, [10].into_iter());
        waiting.set(&a, 0, [70, 30].into_iter());
        waiting.set(&b, 0, [].into_iter());
        watermark.update(WatermarkUpdate::Event(39));
        assert!(waiting.due(&watermark).is_empty());
        watermark.update(WatermarkUpdate::Event(40));
        assert_eq!(waiting.due(&watermark), std::slice::from_ref(&a));
        watermark.update(WatermarkUpdate::Behind(0, 20));
        waiting.set(&a, 60, [50, 55].into_iter());
        assert!(waiting.due(&watermark).is_empty());
        watermark.update(WatermarkUpdate::Behind(0, 50));
        assert_eq!(waiting.due(&watermark), [a]);
    }
}
