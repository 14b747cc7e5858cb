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

use super::{Effect, Inputs};
use crate::Epoch;
use crate::batch::{Batch, Truck};
use crate::dead_letter::{DeadLetter, Reason};
use crate::epochs::{as_travelled, when_complete};
use crate::state::{entries, push_entry};

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
    /// The time of the topic.
    Tide(Tide),
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
    let tides = tides(inputs, name).map(|(worker, tide)| (worker, Told::Tide(tide)));
    let output = when_complete(
        parts.concat(kept).concat(tides),
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

/// What the time of the whole topic is made of. Every worker is told everything.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Tide {
    /// An event time.
    Event(i64),
    /// How far a worker's partitions are behind: see [`Item::Behind`](crate::item::Item::Behind).
    Behind(u64, i64),
    /// The latest event time, and how far the slowest partition was, at the last commit.
    Committed(i64, i64),
}

/// Tells every worker of the latest event times, of what is behind, and of what was committed of the view
/// `name`.
fn tides<'scope>(inputs: &Inputs<'scope>, name: &'static str) -> StreamVec<'scope, Epoch, (u64, Tide)> {
    let scope = inputs.records.scope();
    let (worker, peers) = (scope.index() as u64, scope.peers() as u64);
    let latest = inputs.records.clone().flat_map(|batch| latest(&batch)).map(Tide::Event);
    let behind = inputs.behind.clone().map(move |time| Tide::Behind(worker, time));
    let committed = inputs.restored.clone().flat_map(move |restored| {
        let is_ours = &*restored.view == name;
        let entries = entries(&restored.bytes).filter(|_| is_ours).flatten();
        entries
            .filter(|(key, _)| *key == TOPIC)
            .filter_map(|(_, value)| Watermark::read(value))
            .collect::<Vec<_>>()
    });
    let tides = latest.concat(behind).concat(committed);
    tides.flat_map(move |tide| (0..peers).map(move |peer| (peer, tide)))
}

/// The key of a watermark among the entries of a view's state.
const TOPIC: &[u8] = b"T";

/// Whether an entry of a view's state is a watermark.
pub(super) fn keeps(key: &[u8], value: &[u8]) -> bool {
    key == TOPIC && Watermark::read(value).is_some()
}

/// The latest event time of a batch.
fn latest(batch: &Batch) -> Option<i64> {
    (0..batch.len()).filter(|&place| batch.sign(place) > 0).map(|place| batch.time[place]).max()
}

/// The time of the whole topic, and of trucks against it. All times in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Watermark {
    latest: i64,
    behind: HashMap<u64, i64>,
    /// How far the slowest partition was at the last commit, until the workers say how far it is now.
    committed: i64,
    idle: i64,
    /// What was kept of it last.
    kept: Option<(i64, i64)>,
}

impl Watermark {
    /// Nothing was read yet; a truck that is `idle` behind the topic follows the topic's time.
    pub fn new(idle: i64) -> Self {
        Self { latest: i64::MIN, behind: HashMap::new(), committed: i64::MAX, idle, kept: None }
    }

    pub fn rise(&mut self, tide: Tide) {
        match tide {
            Tide::Event(time) => self.latest = self.latest.max(time),
            Tide::Behind(worker, time) => {
                self.behind.insert(worker, time);
            }
            Tide::Committed(latest, slowest) => {
                (self.latest, self.committed) = (latest, slowest);
                self.kept = Some((latest, slowest));
            }
        }
    }

    fn slowest(&self) -> i64 {
        self.behind.values().copied().min().unwrap_or(self.committed)
    }

    /// The time that idle trucks follow.
    pub fn of_idle(&self) -> i64 {
        self.latest.min(self.slowest()).saturating_sub(self.idle)
    }

    /// The time up to which a truck's readings are expected to be there.
    pub fn of_truck(&self, latest: i64) -> i64 {
        latest.min(self.slowest()).max(self.of_idle())
    }

    /// Adds itself to a view's changes of state, if it has changed; how many entries are new.
    pub fn keep(&mut self, state: &mut Vec<u8>) -> i64 {
        let now = (self.latest, self.slowest());
        if self.kept == Some(now) {
            return 0;
        }
        push_entry(state, TOPIC, |out| {
            out.extend_from_slice(&now.0.to_le_bytes());
            out.extend_from_slice(&now.1.to_le_bytes());
        });
        i64::from(self.kept.replace(now).is_none())
    }

    fn read(value: &[u8]) -> Option<Tide> {
        let ([latest, slowest], []) = value.as_chunks::<8>() else { return None };
        Some(Tide::Committed(i64::from_le_bytes(*latest), i64::from_le_bytes(*slowest)))
    }
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
    fn an_idle_truck_follows_the_topic_and_others_themselves() {
        let mut watermark = Watermark::new(10);
        assert_eq!(watermark.of_idle(), i64::MIN);
        watermark.rise(Tide::Event(100));
        watermark.rise(Tide::Event(50));
        assert_eq!((watermark.of_truck(95), watermark.of_truck(20)), (95, 90));
    }

    #[test]
    fn the_slowest_partition_that_is_behind_holds_all_back() {
        let mut watermark = Watermark::new(10);
        watermark.rise(Tide::Event(100));
        watermark.rise(Tide::Behind(0, 60));
        watermark.rise(Tide::Behind(1, i64::MAX));
        assert_eq!((watermark.of_truck(95), watermark.of_truck(20)), (60, 50));
        watermark.rise(Tide::Behind(1, i64::MIN));
        assert_eq!(watermark.of_truck(95), i64::MIN);
        watermark.rise(Tide::Behind(0, i64::MAX));
        watermark.rise(Tide::Behind(1, i64::MAX));
        assert_eq!(watermark.of_truck(95), 95);
    }

    #[test]
    fn a_watermark_goes_on_from_where_it_was_committed() {
        let mut watermark = Watermark::new(10);
        watermark.rise(Tide::Event(100));
        watermark.rise(Tide::Behind(3, 60));
        let mut state = Vec::new();
        assert_eq!((watermark.keep(&mut state), watermark.keep(&mut Vec::new())), (1, 0));
        let value = entries(&state).next().unwrap().unwrap().1.to_vec();
        let mut restored = Watermark::new(10);
        restored.rise(Watermark::read(&value).unwrap());
        assert_eq!((restored.of_truck(95), restored.of_truck(20)), (60, 50));
        restored.rise(Tide::Behind(0, 70));
        assert_eq!(restored.of_truck(95), 70);
        assert_eq!(restored.keep(&mut state), 0);
    }

    #[test]
    fn a_truck_waits_for_one_thing_of_a_kind() {
        let (a, b): (Truck, Truck) = ("a".into(), "b".into());
        let mut watermark = Watermark::new(10);
        let mut waiting = Waiting::default();
        waiting.set(&a, 0, [50].into_iter());
        waiting.set(&b, 0, [10].into_iter());
        waiting.set(&a, 0, [70, 30].into_iter());
        waiting.set(&b, 0, [].into_iter());
        watermark.rise(Tide::Event(39));
        assert!(waiting.due(&watermark).is_empty());
        watermark.rise(Tide::Event(40));
        assert_eq!(waiting.due(&watermark), std::slice::from_ref(&a));
        watermark.rise(Tide::Behind(0, 20));
        waiting.set(&a, 60, [50, 55].into_iter());
        assert!(waiting.due(&watermark).is_empty());
        watermark.rise(Tide::Behind(0, 50));
        assert_eq!(waiting.due(&watermark), [a]);
    }
}
