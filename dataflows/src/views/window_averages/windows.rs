//! The windows of a worker's trucks: when they are closed and when discarded, and which changes an epoch makes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::rows::rows;
use super::stored::{Kept, Times, window_key, write_sums};
use super::sums::{Part, Sums, Window, start_of};
use crate::Epoch;
use crate::batch::Entity;
use crate::dead_letter::Reason;
use crate::effect::Effect;
use crate::state::{push_end, push_entry};
use crate::views::by_key::KeyChange;
use crate::views::lateness::{Dropped, TruckInput, Waiting, truck_key};
use crate::views::settings::Settings;
use crate::views::watermark::{TOPIC, Watermark, WatermarkUpdate};

/// The output of an epoch.
#[derive(Clone)]
pub(super) enum Output {
    Effect(Effect),
    Dropped(Dropped<Window>),
}

/// The windows of the trucks that this worker keeps.
pub(super) struct Windows {
    length: i64,
    retention: Retention,
    upserts: bool,
    start: Epoch,
    /// Whether this worker keeps the time of the topic.
    leads: bool,
    watermark: Watermark,
    trucks: HashMap<Entity, (Times, BTreeMap<i64, Sums>)>,
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
    pub fn new(settings: &Settings, start: Epoch, leads: bool) -> Self {
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
    pub fn pass(&mut self, epoch: Epoch, inputs: Vec<TruckInput<Part, Kept>>) -> Vec<Output> {
        let mut output = Vec::new();
        // The sums before the epoch of each window that it changes.
        let mut before: BTreeMap<Window, Option<Sums>> = BTreeMap::new();
        let mut times_before: BTreeMap<Entity, Option<Times>> = BTreeMap::new();
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
            if windows[&start].samples == 0 {
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
                done.added += self.watermark.keep(TOPIC, &mut done.state);
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
    fn note_corrections(&self, times_before: &BTreeMap<Entity, Option<Times>>, done: &mut Done) {
        let was_closed = |(truck, start): &Window| {
            let times = times_before.get(truck).copied().flatten().unwrap_or_default();
            self.end_of(*start) <= times.closed
        };
        done.file = done.table.iter().filter(|change| was_closed(&change.key)).cloned().collect();
    }

    /// Closes and discards the windows of a truck after its time, or that of the topic, has advanced.
    fn advance_truck(&mut self, truck: &Entity, before: Option<Times>, done: &mut Done) {
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
    fn wait(&mut self, truck: &Entity) {
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
