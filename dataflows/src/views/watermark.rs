//! The time of the whole topic, which holds trucks back or advances them.
//!
//! A truck's time is its latest event; an idle truck follows the topic's latest event instead. That never exceeds the
//! arrival of the latest message, so that readings with times in the future do not close the windows of other trucks.
//! While a source catches up, its slowest partition holds all trucks back.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::inputs::Inputs;
use crate::Epoch;
use crate::batch::Batch;
use crate::state::{entries, push_entry};

/// The key of the topic's times among the entries of a view's state. A view with several operators that keep them has
/// their numbers behind it.
pub(crate) const TOPIC: &[u8] = b"T";

/// An update of the topic's time. Every worker gets every update.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum WatermarkUpdate {
    /// An event time.
    Event(i64),
    /// When the latest message arrived: see [`Item::Arrived`](crate::item::Item::Arrived).
    Arrived(i64),
    /// How far a worker's partitions are behind: see [`Item::Behind`](crate::item::Item::Behind).
    Behind(u64, i64),
    /// The committed times.
    Committed(TopicTimes),
}

/// The times of the topic in a view's state, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicTimes {
    /// The latest event time; `i64::MIN` before the first.
    pub latest: i64,
    /// When the latest message arrived: see [`Item::Arrived`](crate::item::Item::Arrived). The topic's time never
    /// exceeds it.
    pub arrived: i64,
    /// The time of the slowest partition that is behind; `i64::MAX` if none is behind.
    pub slowest: i64,
    /// When times of the view were last set back (see [`Recovery`](super::Recovery)); `i64::MIN` if never.
    pub set_back: i64,
}

impl TopicTimes {
    /// Parses the entry of the topic in a view's state.
    pub fn of_entry(key: &[u8], value: &[u8]) -> Option<Self> {
        let (numbers, []) = value.as_chunks::<8>() else { return None };
        let [latest, arrived, slowest, set_back] = *numbers else { return None };
        let [latest, arrived, slowest, set_back] =
            [latest, arrived, slowest, set_back].map(i64::from_le_bytes);
        (key.starts_with(TOPIC) && key.len() <= 2).then_some(Self { latest, arrived, slowest, set_back })
    }

    /// Appends the entry of these times, under `key`, to a state change.
    pub(super) fn push(&self, key: &[u8], state: &mut Vec<u8>) {
        push_entry(state, key, |out| {
            for time in [self.latest, self.arrived, self.slowest, self.set_back] {
                out.extend_from_slice(&time.to_le_bytes());
            }
        });
    }
}

/// Sends every worker the latest event times, arrivals, how far partitions are behind, and the times of the view `name`
/// that were committed under `key`.
pub(crate) fn updates<'scope>(
    inputs: &Inputs<'scope>,
    name: &str,
    key: Vec<u8>,
) -> StreamVec<'scope, Epoch, (u64, WatermarkUpdate)> {
    let scope = inputs.records.scope();
    let (worker, peers) = (scope.index() as u64, scope.peers() as u64);
    let latest = inputs.records.clone().flat_map(|batch| latest(&batch)).map(WatermarkUpdate::Event);
    let arrived = inputs.arrived.clone().map(WatermarkUpdate::Arrived);
    let behind = inputs.behind.clone().map(move |time| WatermarkUpdate::Behind(worker, time));
    let name = name.to_owned();
    let committed = inputs.restored.clone().flat_map(move |restored| {
        let is_ours = *restored.view == *name;
        let entries = entries(&restored.bytes).filter(|_| is_ours).flatten();
        let times = entries.filter(|(found, _)| *found == key);
        let times = times.filter_map(|(key, value)| TopicTimes::of_entry(key, value));
        times.map(WatermarkUpdate::Committed).collect::<Vec<_>>()
    });
    let updates = latest.concat(arrived).concat(behind).concat(committed);
    updates.flat_map(move |update| (0..peers).map(move |peer| (peer, update)))
}

/// The latest event time of a batch.
fn latest(batch: &Batch) -> Option<i64> {
    match batch.corrections {
        None => batch.time.iter().copied().max(),
        Some(_) => {
            (0..batch.len()).filter(|&place| batch.sign(place) > 0).map(|place| batch.time[place]).max()
        }
    }
}

/// The time of the whole topic and of trucks relative to it. All times in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Watermark {
    latest: i64,
    arrived: i64,
    behind: HashMap<u64, i64>,
    /// The time of the slowest partition at the last commit, used until the workers report.
    committed: i64,
    set_back: i64,
    idle: i64,
    /// The times last written to state.
    kept: Option<TopicTimes>,
}

impl Watermark {
    /// The watermark before any input; a truck that is `idle` behind the topic follows the topic's time.
    pub fn new(idle: i64) -> Self {
        Self {
            latest: i64::MIN,
            arrived: i64::MIN,
            behind: HashMap::new(),
            committed: i64::MAX,
            set_back: i64::MIN,
            idle,
            kept: None,
        }
    }

    pub fn update(&mut self, update: WatermarkUpdate) {
        match update {
            WatermarkUpdate::Event(time) => self.latest = self.latest.max(time),
            WatermarkUpdate::Arrived(time) => self.arrived = self.arrived.max(time),
            WatermarkUpdate::Behind(worker, time) => {
                self.behind.insert(worker, time);
            }
            WatermarkUpdate::Committed(times) => {
                (self.latest, self.arrived) = (times.latest, times.arrived);
                (self.committed, self.set_back) = (times.slowest, times.set_back);
                self.kept = Some(times);
            }
        }
    }

    /// The time of the slowest partition that is behind.
    pub fn slowest(&self) -> i64 {
        self.behind.values().copied().min().unwrap_or(self.committed)
    }

    /// The time that idle trucks follow.
    pub fn of_idle(&self) -> i64 {
        self.latest.min(self.arrived).min(self.slowest()).saturating_sub(self.idle)
    }

    /// The time up to which a truck's readings are expected to have arrived.
    pub fn of_truck(&self, latest: i64) -> i64 {
        latest.min(self.slowest()).max(self.of_idle())
    }

    /// Up to where the state of a truck is discarded, which never decreases: `wait` behind its time. Readings after its
    /// latest event are never late.
    pub fn horizon(&self, before: i64, latest: i64, wait: i64) -> i64 {
        before.max(self.of_truck(latest).saturating_sub(wait).min(latest))
    }

    /// Appends the times, under `key`, to a state change, if they have changed. Returns the number of new entries.
    pub fn keep(&mut self, key: &[u8], state: &mut Vec<u8>) -> i64 {
        let now = TopicTimes {
            latest: self.latest,
            arrived: self.arrived,
            slowest: self.slowest(),
            set_back: self.set_back,
        };
        if self.kept == Some(now) {
            return 0;
        }
        now.push(key, state);
        i64::from(self.kept.replace(now).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::WatermarkUpdate::{Arrived, Behind, Committed, Event};
    use super::*;

    /// The watermark of a topic whose messages arrive immediately after their events.
    fn watermark() -> Watermark {
        let mut watermark = Watermark::new(10);
        watermark.update(Arrived(1000));
        watermark
    }

    #[test]
    fn an_idle_truck_follows_the_topic_and_others_their_own_events() {
        let mut watermark = watermark();
        assert_eq!(watermark.of_idle(), i64::MIN);
        watermark.update(Event(100));
        watermark.update(Event(50));
        assert_eq!((watermark.of_truck(95), watermark.of_truck(20)), (95, 90));
    }

    #[test]
    fn the_time_of_the_topic_never_exceeds_the_latest_arrival() {
        let mut watermark = Watermark::new(10);
        watermark.update(Event(5000));
        assert_eq!(watermark.of_truck(20), 20, "no arrival is known");
        watermark.update(Arrived(100));
        watermark.update(Arrived(50));
        assert_eq!((watermark.of_truck(5000), watermark.of_truck(20)), (5000, 90));
    }

    #[test]
    fn the_slowest_partition_that_is_behind_holds_back_all_trucks() {
        let mut watermark = watermark();
        watermark.update(Event(100));
        watermark.update(Behind(0, 60));
        watermark.update(Behind(1, i64::MAX));
        assert_eq!((watermark.of_truck(95), watermark.of_truck(20)), (60, 50));
        watermark.update(Behind(1, i64::MIN));
        assert_eq!(watermark.of_truck(95), i64::MIN);
        watermark.update(Behind(0, i64::MAX));
        watermark.update(Behind(1, i64::MAX));
        assert_eq!(watermark.of_truck(95), 95);
    }

    #[test]
    fn a_watermark_resumes_from_its_committed_times() {
        let mut watermark = watermark();
        watermark.update(Event(100));
        watermark.update(Behind(3, 60));
        let mut state = Vec::new();
        assert_eq!((watermark.keep(TOPIC, &mut state), watermark.keep(TOPIC, &mut Vec::new())), (1, 0));
        let (key, value) = entries(&state).next().unwrap().unwrap();
        let mut restored = Watermark::new(10);
        restored.update(Committed(TopicTimes::of_entry(key, value).unwrap()));
        assert_eq!((restored.of_truck(95), restored.of_truck(20)), (60, 50));
        restored.update(Behind(0, 70));
        assert_eq!(restored.of_truck(95), 70);
        assert_eq!(restored.keep(TOPIC, &mut Vec::new()), 0);
    }
}
