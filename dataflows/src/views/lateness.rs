//! Late records: records that are too old for the state that a view still keeps.
//!
//! ```text
//! records -> numbered batches -.-> the view's parts --(key)--> its state: late for this key?
//!                              |                                     |
//!                              `-> kept until the epoch is complete <-' (back to the batch's worker)
//!                                            `-> dead letters with the records' own bytes
//! ```
//!
//! A view discards a truck's state up to a horizon that follows the truck's latest event, or for an idle truck the
//! latest event of the topic. A record before the horizon *at the end of the previous epoch* is late, so that the
//! order of arrival within an epoch does not matter. While a source catches up, partitions are read unevenly; the
//! slowest one that is behind its end then holds back all horizons.
//!
//! A truck without input is not visited, so its horizon is recomputed when input arrives. For this the time of the
//! topic is part of a view's state: after a restart the same records are late.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::watermark::Watermark;
use crate::Epoch;
use crate::batch::{Batch, Entity};
use crate::dead_letter::{DeadLetter, Reason};
use crate::effect::Effect;

/// Identifies a batch: the worker that read it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BatchId {
    worker: u64,
    number: u64,
}

/// Assigns an id to each batch.
pub(crate) fn numbered<'scope>(
    records: StreamVec<'scope, Epoch, Batch>,
) -> StreamVec<'scope, Epoch, (BatchId, Batch)> {
    let worker = records.scope().index() as u64;
    let mut number = 0;
    records.map(move |batch| {
        number += 1;
        (BatchId { worker, number }, batch)
    })
}

/// A record that a view drops, by its place in its batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub batch: BatchId,
    pub reason: Reason,
    pub place: u32,
}

/// Turns dropped records into dead letters. A record becomes one letter, even if it is dropped several times.
pub(crate) fn write_dead_letters<'scope>(
    batches: StreamVec<'scope, Epoch, (BatchId, Batch)>,
    dropped: StreamVec<'scope, Epoch, Dropped>,
    view: Arc<str>,
) -> StreamVec<'scope, Epoch, Effect> {
    let home = Exchange::new(|dropped: &Dropped| dropped.batch.worker);
    letters_of_epochs(batches, dropped, home, move |batches, dropped| letters(dropped, batches, &view))
}

/// Keeps the batches of each epoch until it is complete, and then writes the `letters` of what was dropped in it.
pub(crate) fn letters_of_epochs<'scope, B: Clone + 'static, D: ExchangeData>(
    batches: StreamVec<'scope, Epoch, B>,
    dropped: StreamVec<'scope, Epoch, D>,
    pact: impl ParallelizationContract<Epoch, Vec<D>>,
    letters: impl Fn(&[B], Vec<D>) -> Vec<DeadLetter> + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    batches.binary_frontier::<_, CapacityContainerBuilder<_>, _, _, _, _>(
        dropped,
        Pipeline,
        pact,
        "WriteDeadLetters",
        move |capability, _| {
            drop(capability);
            let mut kept: BTreeMap<Epoch, Vec<B>> = BTreeMap::new();
            let mut open: BTreeMap<Epoch, _> = BTreeMap::new();
            move |(batches, batches_frontier), (dropped, frontier), output| {
                batches.for_each_stamp(|cap, containers| {
                    let Some(&epoch) = cap.least() else { return };
                    let batches = containers.flat_map(|container| container.drain(..));
                    kept.entry(epoch).or_default().extend(batches);
                });
                dropped.for_each_stamp(|cap, containers| {
                    let Some(&epoch) = cap.least() else { return };
                    let (_, all) = open.entry(epoch).or_insert_with(|| (cap.delayed(&epoch, 0), Vec::new()));
                    all.extend(containers.flat_map(|container| container.drain(..)));
                });
                let complete =
                    |epoch: &Epoch| !frontier.less_equal(epoch) && !batches_frontier.less_equal(epoch);
                while let Some(entry) = open.first_entry().filter(|entry| complete(entry.key())) {
                    let (epoch, (capability, all)) = entry.remove_entry();
                    let letters = letters(kept.get(&epoch).map_or(&[], |batches| batches), all);
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

fn letters(dropped: Vec<Dropped>, batches: &[(BatchId, Batch)], view: &str) -> Vec<DeadLetter> {
    let batches: HashMap<u64, &Batch> = batches.iter().map(|(id, batch)| (id.number, batch)).collect();
    let found = dropped.into_iter().map(|Dropped { batch, reason, place }| (batch.number, place, reason));
    let found: BTreeSet<(u64, u32, Reason)> = found.collect();
    let letter = |(number, place, reason): (u64, u32, Reason)| {
        let batch = batches.get(&number).expect("a batch is kept until its epoch is complete");
        Some(batch.origin.as_ref()?.dead_letter(place as usize, reason, view))
    };
    found.into_iter().filter_map(letter).collect()
}

/// The trucks that have to be visited when time reaches a point, without a scan of all trucks.
#[derive(Debug)]
struct Agenda<K> {
    by_time: BTreeSet<(i64, K)>,
    of_truck: HashMap<K, i64>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), of_truck: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Agenda<K> {
    /// Schedules a truck for `time`, replacing its earlier entry; none removes it.
    fn set(&mut self, truck: &K, time: Option<i64>) {
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

    /// Removes and returns the trucks that are due at `time`.
    fn due(&mut self, time: i64) -> Vec<K> {
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

/// The trucks whose time can pass a point without input: when the topic advances, or when the slowest partition no
/// longer holds them back.
#[derive(Debug)]
pub(crate) struct Waiting<K = Entity> {
    for_topic: Agenda<K>,
    for_slowest: Agenda<K>,
}

impl<K> Default for Waiting<K> {
    fn default() -> Self {
        Self { for_topic: Agenda::default(), for_slowest: Agenda::default() }
    }
}

impl<K: Clone + Ord + Hash> Waiting<K> {
    /// Lets a truck whose latest event is `latest` wait until its time ([`Watermark::of_truck`]) reaches the first of
    /// `points`. This replaces its earlier points.
    pub fn set(&mut self, truck: &K, latest: i64, points: impl Iterator<Item = i64> + Clone) {
        self.for_topic.set(truck, points.clone().filter(|point| *point > latest).min());
        self.for_slowest.set(truck, points.filter(|point| *point <= latest).min());
    }

    /// Removes and returns the trucks whose wait is over.
    pub fn due(&mut self, watermark: &Watermark) -> Vec<K> {
        let mut due = self.for_topic.due(watermark.of_idle());
        due.extend(self.for_slowest.due(watermark.slowest()));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::watermark::WatermarkUpdate;
    use super::*;

    #[test]
    fn a_truck_waits_for_one_point_of_each_kind() {
        let (a, b): (Entity, Entity) = ("a".into(), "b".into());
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
