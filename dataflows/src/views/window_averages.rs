//! Averages and correlations in tumbling windows of event time, per truck.
//!
//! ```text
//! records -> sums per truck and window of a batch --(truck)--> windows -> live rows for the table
//! latest event times, restored windows ----------------^          |----> rows of closed windows for the file
//!                                                                 `----> state; late parts (see `lateness`)
//! ```
//!
//! A window is open until the truck's time, or for an idle truck the topic's, has passed its end. It accepts readings
//! until the horizon has passed it; then its state is discarded, and its row stays.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use differential_dataflow::difference::{Abelian, Semigroup};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::by_key::KeyChange;
use super::inputs::Inputs;
use super::lateness::{
    Dropped, TruckInput, Waiting, by_truck, truck_key, truck_of_times, write_dead_letters,
};
use super::settings::Settings;
use super::view::View;
use super::watermark::TopicTimes;
use super::watermark::{Watermark, WatermarkUpdate};
use crate::Epoch;
use crate::accumulation::{Accumulation, Narrow};
use crate::batch::{Batch, Measure, NANO, Truck};
use crate::dead_letter::Reason;
use crate::effect::Effect;
use crate::real::ratio;
use crate::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use crate::state::{push_end, push_entry};

const NAME: &str = "window_averages";

const COLUMNS: &[ColumnSpec] = &[
    column("truck_id", Type::Text),
    column("window_start", Type::Timestamp),
    column("window_end", Type::Timestamp),
    column("samples", Type::Integer),
    column("average_distance_covered", Type::Real),
    column("average_engine_speed", Type::Real),
    column("average_fuel_consumed", Type::Real),
    column("distance_correlation", Type::Real),
    column("engine_speed_correlation", Type::Real),
];

pub(super) fn view(settings: &Settings) -> View {
    let settings = settings.clone();
    View {
        name: NAME.into(),
        table: "TRUCK_WINDOW_AVERAGES".into(),
        columns: COLUMNS.into(),
        keyed: true,
        of_readings: true,
        keeps_times: true,
        drops_readings: !settings.upserts(),
        definition: format!("windows of {} us", settings.window),
        keeps: Arc::new(|key, value| {
            TopicTimes::of_entry(key, value).is_some() || read(key, value).is_some()
        }),
        build: Arc::new(move |inputs| build(inputs, &settings)),
    }
}

/// The sums of a truck's readings in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Sums {
    /// Event time with distance covered.
    distance: Accumulation,
    /// Event time with engine speed.
    speed: Accumulation,
    fuel: i128,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.distance.plus_equals(&other.distance);
        self.speed.plus_equals(&other.speed);
        self.fuel = self.fuel.wrapping_add(other.fuel);
    }

    fn negate(&mut self) {
        self.distance.negate();
        self.speed.negate();
        self.fuel = self.fuel.wrapping_neg();
    }

    fn samples(&self) -> i64 {
        self.distance.samples()
    }

    /// The average in units of a sum in nano-units.
    fn average(&self, sum: i128) -> f64 {
        ratio(sum, i128::from(self.samples()) * i128::from(NANO)).unwrap_or(f64::NAN)
    }
}

/// A window: the truck's name and the window's start.
type Window = (Truck, i64);

/// The part of a batch for a window of a truck: the window's start, the sums to add, and the latest event time in it.
type Part = (i64, Sums, i64);

/// The stored state of a truck.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kept {
    /// A window, by its start.
    Window(i64, Box<Sums>),
    /// Its times.
    Times(Times),
}

/// The times of a truck, in microseconds. All only increase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    /// The latest event.
    latest: i64,
    /// Windows that end up to here are closed.
    closed: i64,
    /// Windows that end up to here are discarded.
    horizon: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { latest: i64::MIN, closed: i64::MIN, horizon: i64::MIN }
    }
}

#[derive(Clone)]
enum Output {
    Effect(Effect),
    Dropped(Dropped<Window>),
}

fn build<'scope>(inputs: &Inputs<'scope>, settings: &Settings) -> StreamVec<'scope, Epoch, Effect> {
    let length = settings.window;
    let mut windows = Windows::new(settings, inputs.start, inputs.records.scope().index() == 0);
    let (batches, output) = by_truck(
        inputs,
        NAME,
        move |batch| parts(batch, length).collect(),
        read,
        move |epoch, inputs| windows.pass(epoch, inputs),
    );
    let effects = output.clone().flat_map(|output| match output {
        Output::Effect(effect) => Some(effect),
        Output::Dropped(_) => None,
    });
    if settings.upserts() {
        return effects;
    }
    let late = output.flat_map(|output| match output {
        Output::Dropped(window) => Some(window),
        Output::Effect(_) => None,
    });
    let places = move |batch: &Batch, (truck, start): &Window| {
        let is_in = |&place: &u32| {
            let place = place as usize;
            batch.trucks[batch.truck[place] as usize] == *truck
                && start_of(batch.time[place], length) == *start
        };
        (0..batch.len() as u32).filter(is_in).collect()
    };
    effects.concat(write_dead_letters(batches, late, NAME, places))
}

/// The start of the window that contains an event.
fn start_of(time: i64, length: i64) -> i64 {
    time.div_euclid(length).saturating_mul(length)
}

/// Aggregates a batch per truck and window, separately for insertions and retractions.
fn parts(batch: &Batch, length: i64) -> impl Iterator<Item = (Truck, Part)> {
    struct Open {
        distance: Narrow,
        speed: Narrow,
        fuel: i128,
        latest: i64,
    }
    let [distance, speed, fuel] = Measure::ALL.map(|measure| batch.measure(measure));
    let mut open: HashMap<(u32, i64, bool), usize> = HashMap::new();
    let mut sums: Vec<((u32, i64, bool), Open)> = Vec::new();
    for (place, &time) in batch.time.iter().enumerate() {
        let key = (batch.truck[place], start_of(time, length), batch.sign(place) < 0);
        let (distance, speed, fuel) = (distance[place], speed[place], fuel[place]);
        // Neighbouring records are mostly of the same truck and window.
        let found = match sums.last() {
            Some((last, _)) if *last == key => Some(sums.len() - 1),
            _ => open.get(&key).copied(),
        };
        match found {
            Some(at) => {
                let sums = &mut sums[at].1;
                sums.distance.push(time, distance);
                sums.speed.push(time, speed);
                sums.fuel += i128::from(fuel);
                sums.latest = sums.latest.max(time);
            }
            None => {
                open.insert(key, sums.len());
                let (distance, speed) = (Narrow::start(time, distance), Narrow::start(time, speed));
                sums.push((key, Open { distance, speed, fuel: fuel.into(), latest: time }));
            }
        }
    }
    let trucks = batch.trucks.clone();
    sums.into_iter().map(move |((truck, start, taken), open)| {
        let mut sums = Sums { distance: open.distance.finish(), speed: open.speed.finish(), fuel: open.fuel };
        if taken {
            sums.negate();
        }
        // A retracted reading does not advance time.
        let latest = if taken { i64::MIN } else { open.latest };
        (trucks[truck as usize].clone(), (start, sums, latest))
    })
}

/// The windows of the trucks that this worker keeps.
struct Windows {
    length: i64,
    retention: Retention,
    upserts: bool,
    start: Epoch,
    /// Whether this worker keeps the time of the topic.
    leads: bool,
    watermark: Watermark,
    trucks: HashMap<Truck, (Times, BTreeMap<i64, Sums>)>,
    waiting: Waiting,
}

/// The changes of an epoch.
#[derive(Default)]
struct Done {
    table: Vec<KeyChange<Window, Sums>>,
    file: Vec<KeyChange<Window, Sums>>,
    state: Vec<u8>,
    added: i64,
}

/// Decides when windows are discarded.
#[derive(Clone, Copy)]
struct Retention {
    length: i64,
    /// None if readings can be retracted: nothing is discarded then.
    retention: Option<i64>,
}

impl Retention {
    /// A truck's horizon at a time of the topic; it never decreases. The last window stays: readings after the
    /// truck's latest event are never late.
    fn horizon(self, times: &Times, watermark: &Watermark) -> i64 {
        let Some(retention) = self.retention else { return times.horizon };
        let bound = watermark.of_truck(times.latest).saturating_sub(retention);
        let last = start_of(times.latest, self.length);
        times.horizon.max(start_of(bound, self.length).min(last))
    }
}

impl Windows {
    fn new(settings: &Settings, start: Epoch, leads: bool) -> Self {
        let retention = (!settings.upserts()).then_some(settings.window_retention);
        Self {
            length: settings.window,
            retention: Retention { length: settings.window, retention },
            upserts: settings.upserts(),
            start,
            leads,
            watermark: Watermark::new(settings.window_idle),
            trucks: HashMap::new(),
            waiting: Waiting::default(),
        }
    }

    fn end_of(&self, start: i64) -> i64 {
        start.saturating_add(self.length)
    }

    /// Processes the input of an epoch.
    fn pass(&mut self, epoch: Epoch, inputs: Vec<TruckInput<Part, Kept>>) -> Vec<Output> {
        let mut output = Vec::new();
        // The sums before the epoch of each window that it changes.
        let mut before: BTreeMap<Window, Option<Sums>> = BTreeMap::new();
        let mut times_before: BTreeMap<Truck, Option<Times>> = BTreeMap::new();
        let (mut parts, mut updates) = (Vec::new(), Vec::new());
        // At a start an upsert job is fed its readings again. Their times are already in the state, where they may
        // have been reset.
        let is_again = epoch <= self.start;
        for input in inputs {
            match input {
                TruckInput::Kept(truck, Kept::Window(start, sums)) => {
                    self.trucks.entry(truck.clone()).or_default().1.insert(start, *sums);
                    times_before.entry(truck).or_default();
                }
                TruckInput::Kept(truck, Kept::Times(times)) => {
                    self.trucks.entry(truck.clone()).or_default().0 = times;
                    times_before.insert(truck, Some(times));
                }
                TruckInput::Watermark(WatermarkUpdate::Event(_)) if is_again => {}
                TruckInput::Watermark(update) => updates.push(update),
                TruckInput::Part(batch, truck, (start, sums, latest)) => {
                    parts.push(((truck, start), sums, latest, batch));
                }
            }
        }
        for (window, sums, latest, batch) in parts {
            let end = self.end_of(window.1);
            let known = self.trucks.get(&window.0).map(|(times, _)| *times);
            let (times, windows) = self.trucks.entry(window.0.clone()).or_default();
            if let Entry::Vacant(before) = times_before.entry(window.0.clone()) {
                before.insert(known);
                times.horizon = self.retention.horizon(times, &self.watermark);
            }
            if end <= times.horizon {
                output.push(Output::Dropped(Dropped { batch, reason: Reason::Late, part: window }));
                continue;
            }
            if !is_again {
                times.latest = times.latest.max(latest);
            }
            let start = window.1;
            before.entry(window).or_insert_with(|| windows.get(&start).copied());
            windows.entry(start).or_default().add(&sums);
            if windows[&start].samples() == 0 {
                windows.remove(&start);
            }
        }
        updates.into_iter().for_each(|update| self.watermark.update(update));
        for truck in self.waiting.due(&self.watermark) {
            let times = self.trucks.get(&truck).map(|(times, _)| *times);
            times_before.entry(truck).or_insert(times);
        }

        let mut done = Done::default();
        for (window, old) in before {
            let new = self.trucks.get(&window.0).and_then(|(_, windows)| windows.get(&window.1)).copied();
            if new != old {
                done.table.push(KeyChange { key: window, old, new });
            }
        }
        if epoch > self.start {
            self.write_windows(&mut done);
            self.note_corrections(&times_before, &mut done);
            for (truck, before) in &times_before {
                self.advance_truck(truck, *before, &mut done);
            }
            if self.leads {
                done.added += self.watermark.keep(&mut done.state);
            }
            output.extend(self.effects(done).into_iter().map(Output::Effect));
        }
        for truck in times_before.keys() {
            self.wait(truck);
        }
        output
    }

    /// Writes the changed windows to the state.
    fn write_windows(&self, done: &mut Done) {
        if self.upserts {
            return;
        }
        for change in &done.table {
            if let Some(sums) = &change.new {
                push_entry(&mut done.state, &window_key(&change.key), |out| write_sums(sums, out));
                done.added += i64::from(change.old.is_none());
            }
        }
    }

    /// Changes of windows that were already closed are written to the file again.
    fn note_corrections(&self, times_before: &BTreeMap<Truck, Option<Times>>, done: &mut Done) {
        let was_closed = |(truck, start): &Window| {
            let times = times_before.get(truck).copied().flatten().unwrap_or_default();
            self.end_of(*start) <= times.closed
        };
        done.file = done.table.iter().filter(|change| was_closed(&change.key)).cloned().collect();
    }

    /// Closes and discards the windows of a truck after its time, or that of the topic, has advanced.
    fn advance_truck(&mut self, truck: &Truck, before: Option<Times>, done: &mut Done) {
        let length = self.length;
        let Some((times, windows)) = self.trucks.get_mut(truck) else { return };
        let bound = self.watermark.of_truck(times.latest);
        let passed = start_of(bound, length);
        let closed = times.closed;
        times.closed = closed.max(passed);
        for (&start, sums) in windows.range(closed.saturating_sub(length)..) {
            let end = start.saturating_add(length);
            if end > times.closed {
                break;
            }
            if end > closed {
                let key = (truck.clone(), start);
                done.file.push(KeyChange { key, old: None, new: Some(*sums) });
            }
        }
        times.horizon = self.retention.horizon(times, &self.watermark);
        while let Some(entry) = windows.first_entry()
            && entry.key().saturating_add(length) <= times.horizon
        {
            let (start, _) = entry.remove_entry();
            push_end(&mut done.state, &window_key(&(truck.clone(), start)));
            done.added -= 1;
        }
        if before != Some(*times) {
            push_entry(&mut done.state, &truck_key(truck), |out| {
                for time in [times.latest, times.closed, times.horizon] {
                    out.extend_from_slice(&time.to_le_bytes());
                }
            });
            done.added += i64::from(before.is_none());
        }
    }

    /// Schedules when a truck has to be visited again if it has no input.
    fn wait(&mut self, truck: &Truck) {
        let Some((times, windows)) = self.trucks.get(truck) else { return };
        let end_of = |start: &i64| start.saturating_add(self.length);
        let mut ends =
            windows.range(times.closed.saturating_sub(self.length)..).map(|(start, _)| end_of(start));
        let next_to_close = ends.find(|end| *end > times.closed);
        let last = start_of(times.latest, self.length);
        let oldest = windows.first_key_value().filter(|(start, _)| **start < last);
        let next_to_forget = oldest.and_then(|(start, _)| {
            self.retention.retention.map(|retention| end_of(start).saturating_add(retention))
        });
        let points = next_to_close.into_iter().chain(next_to_forget);
        self.waiting.set(truck, times.latest, points);
    }

    fn effects(&self, done: Done) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !done.table.is_empty() {
            effects.push(Effect::TableRows(rows(&done.table, false, self.length)));
        }
        if !done.file.is_empty() {
            effects.push(Effect::FileRows(rows(&done.file, self.upserts, self.length)));
        }
        if !done.state.is_empty() {
            effects.push(Effect::State { bytes: done.state, added: done.added });
        }
        effects
    }
}

/// The rows of changed windows; with `all`, replaced values have a row, too.
fn rows(changes: &[KeyChange<Window, Sums>], all: bool, length: i64) -> Rows {
    let kept: Vec<(&Window, &Sums, Change)> = changes
        .iter()
        .flat_map(|change| change.rows(all).map(|(sums, kind)| (&change.key, sums, kind)))
        .collect();
    fn column<T>(kept: &[(&Window, &Sums, Change)], value: impl Fn(i64, &Sums) -> T) -> Arc<Vec<T>> {
        Arc::new(kept.iter().map(|((_, start), sums, _)| value(*start, sums)).collect())
    }
    let columns = vec![
        Column::Name {
            names: Arc::new(kept.iter().map(|((truck, _), _, _)| truck.clone()).collect()),
            index: Arc::new((0u32..).take(kept.len()).collect()),
        },
        Column::Timestamp(column(&kept, |start, _| start)),
        Column::Timestamp(column(&kept, |start, _| start.saturating_add(length))),
        Column::Integer(column(&kept, |_, sums| sums.samples())),
        Column::Real(column(&kept, |_, sums| sums.average(sums.distance.sum_y()))),
        Column::Real(column(&kept, |_, sums| sums.average(sums.speed.sum_y()))),
        Column::Real(column(&kept, |_, sums| sums.average(sums.fuel))),
        Column::Real(column(&kept, |_, sums| sums.distance.r().unwrap_or(f64::NAN))),
        Column::Real(column(&kept, |_, sums| sums.speed.r().unwrap_or(f64::NAN))),
    ];
    let changes = Changes {
        kinds: Arc::new(kept.iter().map(|(_, _, kind)| *kind).collect()),
        keys: Arc::new(kept.iter().map(|(window, _, _)| window_key(window).into()).collect()),
    };
    Rows { columns, changes: Some(changes) }
}

const WINDOW: u8 = b'w';

fn window_key((truck, start): &Window) -> Vec<u8> {
    [&[WINDOW][..], &start.to_be_bytes(), truck.as_bytes()].concat()
}

fn write_sums(sums: &Sums, out: &mut Vec<u8>) {
    sums.distance.write(out);
    sums.speed.write(out);
    out.extend_from_slice(&sums.fuel.to_le_bytes());
}

/// Parses an entry of the state.
fn read(key: &[u8], mut value: &[u8]) -> Option<(Truck, Kept)> {
    if let Some(truck) = truck_of_times(key) {
        let (times, []) = value.as_chunks::<8>() else { return None };
        let [latest, closed, horizon] = *times else { return None };
        let [latest, closed, horizon] = [latest, closed, horizon].map(i64::from_le_bytes);
        return Some((truck, Kept::Times(Times { latest, closed, horizon })));
    }
    let (start, truck) = key.strip_prefix(&[WINDOW])?.split_first_chunk::<8>()?;
    let (distance, speed) = (Accumulation::read(&mut value)?, Accumulation::read(&mut value)?);
    let fuel = i128::from_le_bytes(value.try_into().ok()?);
    let window = Kept::Window(i64::from_be_bytes(*start), Box::new(Sums { distance, speed, fuel }));
    Some((std::str::from_utf8(truck).ok()?.into(), window))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_times_are_read_back() {
        let sums =
            Sums { distance: Accumulation::of(5, -7), speed: Accumulation::of(5, i64::MAX), fuel: -1 << 100 };
        let window: Window = ("näher".into(), -300);
        let mut value = Vec::new();
        write_sums(&sums, &mut value);
        let Some((truck, Kept::Window(start, read_sums))) = read(&window_key(&window), &value) else {
            panic!("a window")
        };
        assert_eq!(((truck, start), *read_sums), (window, sums));
        assert!(read(b"w", &value).is_none() && read(b"t", &[0; 23]).is_none());
    }

    #[test]
    fn a_window_includes_its_start_and_excludes_its_end() {
        for (time, start) in [(0, 0), (299, 0), (300, 300), (-1, -300), (-300, -300), (-301, -600)] {
            assert_eq!(start_of(time, 300), start);
        }
    }
}
