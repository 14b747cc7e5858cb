//! Recovers views from a reading whose time was years in the future.
//!
//! Such a reading advances the time of its truck and of the topic beyond all later readings: those of the truck are
//! late, and windows of other trucks count as closed. Sources reject such readings; this handles state from earlier
//! versions, or of jobs that allow them. At a start every stored time beyond a limit is reset. Windows before the new
//! time stay closed.

use super::watermark::TopicTimes;
use crate::batch::Entity;
use crate::relation::entry::group_of_times;
use crate::state::{entries, push_entry};

/// Which stored times are too far in the future, and their replacement.
///
/// ```
/// use dataflows::views::Recovery;
///
/// let hour = 3_600_000_000;
/// let recovery = Recovery::at(10 * hour + 1, 24 * hour, hour);
/// assert_eq!((recovery.limit, recovery.to), (34 * hour + 1, 11 * hour));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The wall clock, in microseconds since 1970.
    pub now: i64,
    /// Times beyond this are too far in the future.
    pub limit: i64,
    /// Their replacement: the end of the window that contains the wall clock.
    pub to: i64,
}

/// A stored time that was set back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetBack {
    /// The truck; none if it is the topic's.
    pub truck: Option<Entity>,
    /// The latest of its times, in microseconds since 1970.
    pub from: i64,
}

impl Recovery {
    /// For a start at `now`, where readings may be `max_ahead` ahead and windows have length `window`, all in
    /// microseconds.
    pub fn at(now: i64, max_ahead: i64, window: i64) -> Self {
        let to = now.div_euclid(window).saturating_mul(window).saturating_add(window);
        // The replacement itself must not be beyond the limit.
        Self { now, limit: now.saturating_add(max_ahead).max(to), to }
    }

    /// Resets times in the parts of a view's state. Returns the state change, and the times that were reset.
    pub fn apply(&self, parts: &mut [Vec<u8>]) -> (Vec<u8>, Vec<SetBack>) {
        let mut found: Vec<SetBack> = parts.iter().flat_map(|part| self.found_in(part)).collect();
        let mut changes = Vec::new();
        if found.is_empty() {
            return (changes, found);
        }
        for part in parts {
            let mut rewritten = Vec::with_capacity(part.len());
            for (key, value) in entries(part).flatten() {
                let new = self.entry(key, value);
                push_entry(&mut rewritten, key, |out| out.extend_from_slice(new.as_deref().unwrap_or(value)));
                if let Some(new) = new {
                    push_entry(&mut changes, key, |out| out.extend_from_slice(&new));
                }
            }
            *part = rewritten;
        }
        found.sort();
        (changes, found)
    }

    fn found_in(&self, part: &[u8]) -> Vec<SetBack> {
        let latest = |value: &[u8]| times(value).filter(|time| self.is_ahead(*time)).max();
        let found = entries(part).flatten().filter_map(|(key, value)| {
            let truck = match TopicTimes::of_entry(key, value) {
                Some(_) => None,
                None => Some(group_of_times(key)?),
            };
            Some(SetBack { truck, from: latest(value)? })
        });
        found.collect()
    }

    /// The new value of an entry, if it changes. The topic's entry records when times were reset.
    fn entry(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        if let Some(times) = TopicTimes::of_entry(key, value) {
            let [latest, arrived, slowest] =
                [times.latest, times.arrived, times.slowest].map(|time| self.set_back(time));
            let mut entry = Vec::new();
            TopicTimes { latest, arrived, slowest, set_back: self.now }.push(key, &mut entry);
            let (_, value) = entries(&entry).flatten().next()?;
            return Some(value.to_vec());
        }
        group_of_times(key)?;
        times(value)
            .any(|time| self.is_ahead(time))
            .then(|| times(value).flat_map(|time| self.set_back(time).to_le_bytes()).collect())
    }

    /// `i64::MAX` means no time.
    fn is_ahead(&self, time: i64) -> bool {
        time > self.limit && time < i64::MAX
    }

    fn set_back(&self, time: i64) -> i64 {
        if self.is_ahead(time) { self.to } else { time }
    }
}

/// The numbers in an entry of times.
fn times(value: &[u8]) -> impl Iterator<Item = i64> {
    value.as_chunks::<8>().0.iter().map(|time| i64::from_le_bytes(*time))
}

#[cfg(test)]
mod tests {
    use super::super::watermark::TOPIC;
    use super::*;
    use crate::relation::entry::{Entry, key};
    use crate::relation::value::Value;

    const HOUR: i64 = 3_600_000_000;

    /// The key of the times of a truck.
    fn truck_key(truck: &str) -> Vec<u8> {
        key(Entry::Times, 0, |out| Value::Text(truck.into()).write(out))
    }

    fn entry(key: &[u8], times: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_entry(&mut bytes, key, |out| times.iter().for_each(|time| out.extend(time.to_le_bytes())));
        bytes
    }

    #[test]
    fn only_times_beyond_the_limit_are_reset_and_the_topic_records_when() {
        let recovery = Recovery::at(10 * HOUR + 5, HOUR, HOUR);
        let to = 11 * HOUR;
        let (a, b, window) = (truck_key("a"), truck_key("b"), b"w\0\0\0\0\0\0\0\x7fa".to_vec());
        let far = 99 * HOUR;
        let own = entry(&a, &[far, far - HOUR, i64::MIN]);
        let other = entry(&b, &[11 * HOUR + 5, far - 1, 0]);
        let sums = entry(&window, &[far, far]);
        let topic = entry(TOPIC, &[far, 10 * HOUR, i64::MAX, i64::MIN]);
        let mut parts = vec![[&own[..], &sums].concat(), [&other[..], &topic].concat()];
        let (changes, set_back) = recovery.apply(&mut parts);
        let own = entry(&a, &[to, to, i64::MIN]);
        let other = entry(&b, &[11 * HOUR + 5, to, 0]);
        let topic = entry(TOPIC, &[to, 10 * HOUR, i64::MAX, 10 * HOUR + 5]);
        assert_eq!(parts, [[&own[..], &sums].concat(), [&other[..], &topic].concat()]);
        assert_eq!(changes, [own, other, topic].concat());
        let said = |truck: Option<&str>, from| SetBack { truck: truck.map(Into::into), from };
        assert_eq!(set_back, [said(None, far), said(Some("a"), far), said(Some("b"), far - 1)]);
        assert_eq!(recovery.apply(&mut parts), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_time_that_was_reset_is_not_beyond_the_limit() {
        let recovery = Recovery::at(0, 0, HOUR);
        let mut parts = vec![entry(&truck_key("a"), &[2 * HOUR, 0])];
        assert_eq!(recovery.apply(&mut parts).1.len(), 1);
        assert!(recovery.apply(&mut parts).1.is_empty());
    }
}
