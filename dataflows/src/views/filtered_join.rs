//! The readings above the threshold, joined to every reading of the truck with the same timestamp.
//!
//! ```text
//! records --(truck)--> gate --> all readings   (truck, timestamp) -> engine speed ------.
//!                       |   `-> those above it (truck, timestamp) -> distance covered -- join -> rows
//!                       `-> state; what is late or too much (see `lateness`)
//! ```
//!
//! The join is differential dataflow's. The gate takes a truck's readings back from it when they are
//! older than the retention, so that the join forgets them: rows that end by that are not told of. It
//! takes them back one epoch later, so that readings of one epoch meet whatever time they span.
//!
//! Where readings can be taken back they are all kept, so there is no gate, and rows end as readings do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::by_key::{KeyChange, changes_by_key};
use super::lateness::{BatchId, GivenUp, Told, Waiting, Watermark, bury, by_truck};
use super::{Effect, Inputs, Settings, View};
use crate::Epoch;
use crate::batch::{Batch, Measure, NANO_SCALE, Truck};
use crate::dead_letter::{DeadLetter, Reason};
use crate::epochs::when_complete;
use crate::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use crate::state::{push_end, push_entry};

const NAME: &str = "filtered_join";

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("truck_id", Type::Text),
];

pub(super) fn view(settings: &Settings) -> View {
    let settings = settings.clone();
    View {
        name: NAME.into(),
        table: "TRUCK_FILTERED_JOIN".into(),
        columns: COLUMNS.into(),
        keyed: settings.upserts(),
        of_readings: true,
        gives_up: !settings.upserts(),
        definition: format!("engine_speed > {} nano", settings.above_speed),
        build: Arc::new(move |inputs| match settings.upserts() {
            false => build_append(inputs, &settings),
            true => build_upsert(inputs, &settings),
        }),
    }
}

/// Readings meet when they share this.
type Meeting = (Truck, i64);

/// The distance covered and the engine speed of a reading.
type Reading = (i64, i64);

/// What a row is made of: the timestamp, the distance of the one reading, the speed of the other.
type Joined = (i64, i64, i64, Truck);

/// The readings of a truck in a batch, each with its place there and its timestamp.
type Part = Vec<(u32, i64, Reading)>;

/// What is kept of a truck.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kept {
    /// The readings of a timestamp.
    Readings(i64, Vec<Reading>),
    /// Its time.
    Times(Times),
}

/// What is known of a truck's time, in microseconds. Both only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    /// The latest event.
    latest: i64,
    /// Readings before this are forgotten.
    horizon: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { latest: i64::MIN, horizon: i64::MIN }
    }
}

impl Times {
    /// The truck's horizon at a time of the topic. What it sends behind its latest event is never late.
    fn risen(&self, watermark: &Watermark, retention: i64) -> i64 {
        let bound = watermark.of_truck(self.latest).saturating_sub(retention);
        self.horizon.max(bound.min(self.latest))
    }
}

/// A reading that the join gets, or that is taken back from it.
type Update = ((Meeting, Reading), Epoch, isize);

#[derive(Clone)]
enum Output {
    /// Shared, as several operators look for what is theirs.
    Readings(Arc<Vec<Update>>),
    Effect(Effect),
    GivenUp(GivenUp<Vec<u32>>),
}

fn build_append<'scope>(inputs: &Inputs<'scope>, settings: &Settings) -> StreamVec<'scope, Epoch, Effect> {
    let mut gate = Gate::new(settings, inputs.start, inputs.records.scope().index() == 0);
    let (batches, output) = by_truck(inputs, NAME, parts, read, move |epoch, told| gate.pass(epoch, told));
    let effects = output.clone().flat_map(|output| match output {
        Output::Effect(effect) => Some(effect),
        _ => None,
    });
    let given_up = output.clone().flat_map(|output| match output {
        Output::GivenUp(given_up) => Some(given_up),
        _ => None,
    });
    let all = updates(output.clone(), "JoinAll", |(_, speed)| Some(speed));
    let threshold = settings.above_speed;
    let above =
        updates(output, "JoinAbove", move |(distance, speed)| (speed > threshold).then_some(distance));
    let joined = above.as_collection().join_map(all.as_collection(), |(truck, time), distance, speed| {
        (*time, *distance, *speed, truck.clone())
    });
    rows_that_begin(joined, inputs.start).concat(effects).concat(bury(
        batches,
        given_up,
        NAME,
        |_, places: &Vec<u32>| places.clone(),
    ))
}

/// The readings that the join gets and loses, each as what `value` makes of it.
fn updates<'scope>(
    output: StreamVec<'scope, Epoch, Output>,
    name: &str,
    value: impl Fn(Reading) -> Option<i64> + 'static,
) -> StreamVec<'scope, Epoch, ((Meeting, i64), Epoch, isize)> {
    output.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let mut session = output.session(&cap);
                for given in containers.flat_map(|container| container.drain(..)) {
                    let Output::Readings(updates) = given else { continue };
                    session.give_iterator(updates.iter().filter_map(|((meeting, reading), epoch, diff)| {
                        Some(((meeting.clone(), value(*reading)?), *epoch, *diff))
                    }));
                }
            });
        }
    })
}

/// The readings of each truck in a batch.
fn parts(batch: &Batch) -> Vec<(Truck, Part)> {
    let (distance, speed) = (batch.measure(Measure::DistanceCovered), batch.measure(Measure::EngineSpeed));
    let mut parts: Vec<_> = batch.trucks.iter().map(|truck| (truck.clone(), Vec::new())).collect();
    for (place, &time) in batch.time.iter().enumerate() {
        let reading = (distance[place], speed[place]);
        parts[batch.truck[place] as usize].1.push((place as u32, time, reading));
    }
    parts
}

/// The rows that the join gives. What ends here is forgotten, not untrue. A pair whose readings are both
/// taken back is given in parts of either sign, so only their sum tells.
fn rows_that_begin<'scope>(
    joined: VecCollection<'scope, Epoch, Joined, isize>,
    start: Epoch,
) -> StreamVec<'scope, Epoch, Effect> {
    when_complete(
        joined.inner,
        Pipeline,
        "JoinRows",
        |(_, time, _), _| *time,
        move |epoch, updates| {
            if epoch <= start {
                return Vec::new();
            }
            let mut updates: Vec<(Joined, isize)> =
                updates.into_iter().map(|(joined, _, diff)| (joined, diff)).collect();
            if updates.iter().any(|(_, diff)| *diff < 0) {
                consolidate(&mut updates);
            }
            let begun = updates.into_iter().filter(|(_, diff)| *diff > 0);
            let joined: Vec<_> =
                begun.flat_map(|(joined, diff)| std::iter::repeat_n(joined, diff as usize)).collect();
            let effect = || Effect::Rows(columns(&joined).into());
            if joined.is_empty() { Vec::new() } else { vec![effect()] }
        },
    )
}

fn columns<'a>(joined: impl IntoIterator<Item = &'a Joined> + Clone) -> Vec<Column> {
    fn column<'a, T>(
        joined: impl IntoIterator<Item = &'a Joined>,
        value: impl Fn(&Joined) -> T,
    ) -> Arc<Vec<T>> {
        Arc::new(joined.into_iter().map(value).collect())
    }
    let decimal = |values| Column::Decimal { scale: NANO_SCALE, values };
    let names = column(joined.clone(), |(_, _, _, truck)| truck.clone());
    let index = Arc::new((0u32..).take(names.len()).collect());
    vec![
        Column::Timestamp(column(joined.clone(), |(time, _, _, _)| *time)),
        decimal(column(joined.clone(), |(_, distance, _, _)| *distance)),
        decimal(column(joined, |(_, _, speed, _)| *speed)),
        Column::Name { names, index },
    ]
}

/// The readings that may still meet others, of the trucks that this worker keeps.
struct Gate {
    retention: i64,
    limit: usize,
    start: Epoch,
    /// Whether this worker keeps the time of the topic.
    leads: bool,
    watermark: Watermark,
    trucks: HashMap<Truck, (Times, BTreeMap<i64, Vec<Reading>>)>,
    waiting: Waiting,
}

/// What an epoch did.
#[derive(Default)]
struct Done {
    updates: Vec<Update>,
    given_up: Vec<GivenUp<Vec<u32>>>,
    state: Vec<u8>,
    added: i64,
}

impl Gate {
    fn new(settings: &Settings, start: Epoch, leads: bool) -> Self {
        Self {
            retention: settings.join_retention,
            limit: settings.join_limit,
            start,
            leads,
            watermark: Watermark::new(settings.window_idle),
            trucks: HashMap::new(),
            waiting: Waiting::default(),
        }
    }

    /// Takes what an epoch brought.
    fn pass(&mut self, epoch: Epoch, told: Vec<Told<Part, Kept>>) -> Vec<Output> {
        let mut done = Done::default();
        let mut parts: BTreeMap<Truck, Vec<(i64, Reading, BatchId, u32)>> = BTreeMap::new();
        let mut times_before: BTreeMap<Truck, Option<Times>> = BTreeMap::new();
        let mut tides = Vec::new();
        for told in told {
            match told {
                Told::Kept(truck, Kept::Readings(time, readings)) => {
                    let meeting = (truck.clone(), time);
                    done.updates.extend(readings.iter().map(|&r| ((meeting.clone(), r), epoch, 1)));
                    self.trucks.entry(truck.clone()).or_default().1.insert(time, readings);
                    times_before.entry(truck).or_default();
                }
                Told::Kept(truck, Kept::Times(times)) => {
                    self.trucks.entry(truck.clone()).or_default().0 = times;
                    times_before.insert(truck, Some(times));
                }
                Told::Tide(tide) => tides.push(tide),
                Told::Part(batch, truck, readings) => {
                    let reading = |(place, time, reading)| (time, reading, batch, place);
                    parts.entry(truck).or_default().extend(readings.into_iter().map(reading));
                }
            }
        }
        for (truck, mut readings) in parts {
            // Which readings are too many at one timestamp must not depend on the order of arrival.
            readings.sort_unstable();
            let before = self.trucks.get(&truck).map(|(times, _)| *times);
            times_before.entry(truck.clone()).or_insert(before);
            if let Some((times, _)) = self.trucks.get_mut(&truck) {
                times.horizon = times.risen(&self.watermark, self.retention);
            }
            for meeting in readings.chunk_by(|a, b| a.0 == b.0) {
                self.meet(&truck, epoch, meeting, &mut done);
            }
        }
        tides.into_iter().for_each(|tide| self.watermark.rise(tide));
        for truck in self.waiting.due(&self.watermark) {
            let times = self.trucks.get(&truck).map(|(times, _)| *times);
            times_before.entry(truck).or_insert(times);
        }
        if epoch > self.start {
            for (truck, before) in &times_before {
                self.forget(truck, *before, epoch, &mut done);
            }
            if self.leads {
                done.added += self.watermark.keep(&mut done.state);
            }
        }
        for truck in times_before.keys() {
            self.wait(truck);
        }
        let mut output: Vec<Output> = done.given_up.into_iter().map(Output::GivenUp).collect();
        if !done.updates.is_empty() {
            output.push(Output::Readings(Arc::new(done.updates)));
        }
        if !done.state.is_empty() {
            output.push(Output::Effect(Effect::State { bytes: done.state, added: done.added }));
        }
        output
    }

    /// Takes a truck's readings of one timestamp.
    fn meet(
        &mut self,
        truck: &Truck,
        epoch: Epoch,
        readings: &[(i64, Reading, BatchId, u32)],
        done: &mut Done,
    ) {
        let (times, kept) = self.trucks.entry(truck.clone()).or_default();
        let time = readings[0].0;
        let is_late = time < times.horizon;
        let met = kept.get(&time).map_or(0, Vec::len);
        let room = if is_late { 0 } else { self.limit.saturating_sub(met) };
        let (taken, refused) = readings.split_at(room.min(readings.len()));
        let reason = if is_late { Reason::Late } else { Reason::TooLarge };
        done.given_up.extend(refused.iter().map(|(_, _, batch, place)| GivenUp {
            batch: *batch,
            reason,
            part: vec![*place],
        }));
        if taken.is_empty() {
            return;
        }
        times.latest = times.latest.max(time);
        let kept = kept.entry(time).or_default();
        kept.extend(taken.iter().map(|(_, reading, _, _)| *reading));
        let meeting = (truck.clone(), time);
        done.updates.extend(taken.iter().map(|(_, reading, _, _)| ((meeting.clone(), *reading), epoch, 1)));
        done.added += i64::from(met == 0);
        push_entry(&mut done.state, &meeting_key(truck, time), |out| {
            kept.iter().for_each(|reading| write_reading(reading, out));
        });
    }

    /// Takes back the readings of a truck that the horizon has passed.
    fn forget(&mut self, truck: &Truck, before: Option<Times>, epoch: Epoch, done: &mut Done) {
        let Some((times, kept)) = self.trucks.get_mut(truck) else { return };
        times.horizon = times.risen(&self.watermark, self.retention);
        while let Some(entry) = kept.first_entry().filter(|entry| *entry.key() < times.horizon) {
            let (time, readings) = entry.remove_entry();
            let back = |reading| (((truck.clone(), time), reading), epoch + 1, -1);
            done.updates.extend(readings.into_iter().map(back));
            push_end(&mut done.state, &meeting_key(truck, time));
            done.added -= 1;
        }
        if before != Some(*times) {
            push_entry(&mut done.state, &truck_key(truck), |out| {
                for time in [times.latest, times.horizon] {
                    out.extend_from_slice(&time.to_le_bytes());
                }
            });
            done.added += i64::from(before.is_none());
        }
    }

    /// Notes when a truck's readings have to be taken back, should nothing of it come.
    fn wait(&mut self, truck: &Truck) {
        let Some((times, kept)) = self.trucks.get(truck) else { return };
        // The latest readings stay: what the truck sends behind them is never late.
        let oldest = kept.first_key_value().map(|(time, _)| *time).filter(|time| *time < times.latest);
        let point = oldest.map(|time| time.saturating_add(self.retention).saturating_add(1));
        self.waiting.set(truck, times.latest, point.into_iter());
    }
}

const MEETING: u8 = b'r';
const TRUCK: u8 = b't';

fn meeting_key(truck: &Truck, time: i64) -> Vec<u8> {
    [&[MEETING][..], &time.to_be_bytes(), truck.as_bytes()].concat()
}

fn truck_key(truck: &Truck) -> Vec<u8> {
    [&[TRUCK], truck.as_bytes()].concat()
}

fn write_reading((distance, speed): &Reading, out: &mut Vec<u8>) {
    out.extend_from_slice(&distance.to_le_bytes());
    out.extend_from_slice(&speed.to_le_bytes());
}

/// What an entry of the state keeps.
fn read(key: &[u8], value: &[u8]) -> Option<(Truck, Kept)> {
    let (&kind, key) = key.split_first()?;
    let (numbers, []) = value.as_chunks::<8>() else { return None };
    let mut numbers = numbers.iter().map(|number| i64::from_le_bytes(*number));
    if kind == MEETING {
        let (time, truck) = key.split_first_chunk::<8>()?;
        let mut readings = Vec::new();
        while let Some(distance) = numbers.next() {
            readings.push((distance, numbers.next()?));
        }
        let readings = Kept::Readings(i64::from_be_bytes(*time), readings);
        return Some((std::str::from_utf8(truck).ok()?.into(), readings));
    }
    let times = Times { latest: numbers.next()?, horizon: numbers.next()? };
    let truck = std::str::from_utf8(key).ok()?.into();
    (kind == TRUCK && numbers.next().is_none()).then_some((truck, Kept::Times(times)))
}

/// The key of a reading, its distance and its speed.
type Named = (Arc<[u8]>, i64, i64);

fn build_upsert<'scope>(inputs: &Inputs<'scope>, settings: &Settings) -> StreamVec<'scope, Epoch, Effect> {
    let readings = inputs.records.clone().unary(Pipeline, "JoinReadings", |_, _| {
        |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for batch in containers.flat_map(|container| container.drain(..)) {
                    session.give_iterator(named(&batch).map(|(entry, sign)| (entry, epoch, sign)));
                }
            });
        }
    });
    // The first by their keys, so that which readings are too many does not depend on what was there.
    let limit = settings.join_limit;
    let readings = readings.as_collection().reduce(move |_, readings: &[(&Named, isize)], kept| {
        kept.extend(
            readings.iter().zip(1..).map(|((named, _), place)| (((*named).clone(), place > limit), 1isize)),
        );
    });
    let (threshold, start) = (settings.above_speed, inputs.start);
    let all = readings
        .clone()
        .flat_map(|(meeting, ((key, _, speed), surplus))| (!surplus).then_some((meeting, (key, speed))));
    let above = readings.clone().flat_map(move |(meeting, ((key, distance, speed), surplus))| {
        (!surplus && speed > threshold).then_some((meeting, (key, distance)))
    });
    let joined = above.join_map(all, |(truck, time), (key, distance), (other, speed)| {
        ((key.clone(), other.clone()), (*time, *distance, *speed, truck.clone()))
    });
    let by_pair =
        Exchange::new(|((pair, _), _, _): &(((Arc<[u8]>, Arc<[u8]>), Joined), Epoch, isize)| pair.hashed());
    let surplus = readings.inner.flat_map(move |((_, ((key, _, _), surplus)), epoch, diff)| {
        (surplus && diff > 0 && epoch > start).then(|| Effect::DeadLetters(vec![too_many(&key)]))
    });
    changes_by_key(joined, by_pair, NAME, start, |changes| vec![Effect::Rows(changed_rows(&changes))])
        .concat(surplus)
}

/// The readings of a batch of corrections.
fn named(batch: &Batch) -> impl Iterator<Item = ((Meeting, Named), isize)> {
    let corrections = batch.corrections.as_ref();
    let (distance, speed) = (batch.measure(Measure::DistanceCovered), batch.measure(Measure::EngineSpeed));
    (0..batch.len()).filter_map(move |place| {
        let corrections = corrections?;
        let meeting = (batch.trucks[batch.truck[place] as usize].clone(), batch.time[place]);
        let named = (corrections.keys[place].clone(), distance[place], speed[place]);
        Some(((meeting, named), isize::from(corrections.signs[place])))
    })
}

/// A reading that is one too many at its timestamp. Its message is the latest of its key.
fn too_many(key: &Arc<[u8]>) -> DeadLetter {
    DeadLetter {
        topic: NAME.into(),
        partition: -1,
        offset: -1,
        kafka_timestamp: None,
        key: Some(key.to_vec()),
        payload: None,
        reason: Reason::TooLarge,
        field: NAME.into(),
    }
}

fn changed_rows(changes: &[KeyChange<(Arc<[u8]>, Arc<[u8]>), Joined>]) -> Rows {
    let kept: Vec<(Arc<[u8]>, &Joined, Change)> = changes
        .iter()
        .flat_map(|change| {
            let (above, other) = &change.key;
            let key: Arc<[u8]> = [&(above.len() as u32).to_be_bytes()[..], above, other].concat().into();
            change.rows(true).map(move |(joined, kind)| (key.clone(), joined, kind))
        })
        .collect();
    let changes = Changes {
        kinds: Arc::new(kept.iter().map(|(_, _, kind)| *kind).collect()),
        keys: Arc::new(kept.iter().map(|(key, _, _)| key.clone()).collect()),
    };
    Rows { columns: columns(kept.iter().map(|(_, joined, _)| *joined)), changes: Some(changes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_and_trucks_are_read_as_they_were_written() {
        let truck: Truck = "näher".into();
        let mut value = Vec::new();
        for reading in [(1, -2), (i64::MAX, 0)] {
            write_reading(&reading, &mut value);
        }
        let Some((of, Kept::Readings(time, readings))) = read(&meeting_key(&truck, -5), &value) else {
            panic!("readings")
        };
        assert_eq!((of, time, readings), (truck, -5, vec![(1, -2), (i64::MAX, 0)]));
        assert!(read(b"r1234567", &value).is_none() && read(b"t", &value).is_none());
    }
}
