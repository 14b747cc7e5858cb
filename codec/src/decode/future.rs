//! Rejects readings whose event time is too far in the future.
//!
//! Such a reading would make later readings of its truck late until the clocks catch up. Whether a reading is in the
//! future depends on when it is read, so it is decided once: the rejected messages are committed, and later passes
//! over the input use the committed decision.

use std::collections::HashSet;
use std::sync::Arc;

use dataflows::item::{Item, ReadingId};

use super::message::Message;

/// Which readings are in the future.
#[derive(Clone, Debug, Default)]
pub enum Future {
    /// None.
    #[default]
    Never,
    /// Those that are ahead of both their message's Kafka timestamp and the epoch's wall clock by more than a span.
    After {
        /// The span, in microseconds.
        max_ahead: i64,
        /// The topic, or the full path of the file, that the decision is committed under.
        topic: Arc<str>,
    },
    /// Those for which it was decided before: partitions, offsets and places.
    Decided(Arc<HashSet<(i32, i64, u32)>>),
}

impl Future {
    /// Those further ahead than `max_ahead`, in microseconds; without it, none.
    pub fn new(max_ahead: Option<i64>, topic: Arc<str>) -> Self {
        max_ahead.map_or(Self::Never, |max_ahead| Self::After { max_ahead, topic })
    }

    /// The earlier decisions for a topic, or for the file with this full path.
    pub fn decided(readings: &[ReadingId], topic: &str) -> Self {
        let of_topic = readings.iter().filter(|reading| *reading.topic == *topic);
        Self::Decided(Arc::new(of_topic.map(|id| (id.partition, id.offset, id.place)).collect()))
    }
}

/// Checks the messages of one decoder, and tracks when messages arrived.
#[derive(Debug)]
pub(super) struct FutureCheck {
    future: Future,
    /// Event times up to this are never in the future: a fast check without the message.
    limit: i64,
    /// The epoch's wall clock in milliseconds, the unit of Kafka's timestamps.
    wall: i64,
    /// The latest Kafka timestamp, or wall clock for messages without one.
    arrived: i64,
    /// The last value of `arrived` that was sent.
    given: i64,
    found: Vec<ReadingId>,
}

impl FutureCheck {
    pub(super) fn new(future: Future) -> Self {
        let limit = match &future {
            Future::Decided(messages) if !messages.is_empty() => i64::MIN,
            _ => i64::MAX,
        };
        Self { future, limit, wall: i64::MIN, arrived: i64::MIN, given: i64::MIN, found: Vec::new() }
    }

    /// Sets the epoch's wall clock, in microseconds, for the following messages.
    pub(super) fn set_wall_clock(&mut self, wall: i64) {
        self.wall = wall.div_euclid(1000);
        if let Future::After { max_ahead, .. } = self.future {
            self.limit = wall.saturating_add(max_ahead);
        }
    }

    /// Records the arrival of a message.
    #[inline]
    pub(super) fn arrive(&mut self, message: &Message<'_>) {
        self.arrived = self.arrived.max(message.timestamp.unwrap_or(self.wall));
    }

    /// Whether a reading with this event time, in microseconds, is in the future. `place` is its place among the
    /// readings of its message. Must be called once per reading.
    #[inline]
    pub(super) fn is_ahead(&mut self, time: i64, message: &Message<'_>, place: u32) -> bool {
        time > self.limit && self.decide(time, message, place)
    }

    /// Whether a reading with this event time may be in the future.
    #[inline]
    pub(super) fn may_be_ahead(&self, time: i64) -> bool {
        time > self.limit
    }

    #[cold]
    fn decide(&mut self, time: i64, message: &Message<'_>, place: u32) -> bool {
        let (partition, offset) = (message.partition, message.offset);
        match &self.future {
            Future::Never => false,
            Future::Decided(readings) => readings.contains(&(partition, offset, place)),
            Future::After { max_ahead, topic } => {
                let limit = |ms: i64| ms.saturating_mul(1000).saturating_add(*max_ahead);
                let is_ahead = message.timestamp.is_none_or(|ms| time > limit(ms));
                if is_ahead {
                    self.found.push(ReadingId { topic: topic.clone(), partition, offset, place });
                }
                is_ahead
            }
        }
    }

    /// Appends the readings found since the last call to `items`, and when the latest message arrived.
    pub(super) fn take(&mut self, items: &mut Vec<Item>) {
        if !self.found.is_empty() {
            items.push(Item::InTheFuture(std::mem::take(&mut self.found)));
        }
        if self.arrived > self.given {
            self.given = self.arrived;
            items.push(Item::Arrived(self.arrived.saturating_mul(1000)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn message(offset: i64, timestamp: Option<i64>) -> Message<'static> {
        Message { partition: 3, offset, timestamp, payload: Some(b""), ..Message::default() }
    }

    #[test]
    fn a_reading_in_the_future_is_ahead_of_both_clocks() {
        let future = Future::After { max_ahead: HOUR, topic: "/full/path".into() };
        let mut check = FutureCheck::new(future);
        check.set_wall_clock(10 * HOUR);
        let ms = |time: i64| Some(time / 1000);
        for (time, timestamp, is_ahead) in [
            (11 * HOUR, None, false),
            (11 * HOUR + 1, None, true),
            (11 * HOUR + 1, ms(10 * HOUR), true),
            // A message from a broker whose clock is ahead of ours.
            (11 * HOUR + 1, ms(11 * HOUR), false),
            // A replay of old data.
            (9 * HOUR, ms(2 * HOUR), false),
            (i64::MAX, Some(0), true),
            (i64::MIN, None, false),
        ] {
            let refused = check.is_ahead(time, &message(time, timestamp), 5);
            assert_eq!(refused, is_ahead, "{time} {timestamp:?}");
        }
        let mut items = Vec::new();
        check.take(&mut items);
        let [Item::InTheFuture(found)] = items.as_slice() else { panic!("{items:?}") };
        assert!(found.iter().all(|id| &*id.topic == "/full/path" && id.partition == 3 && id.place == 5));
        assert_eq!(
            found.iter().map(|id| id.offset).collect::<Vec<_>>(),
            [11 * HOUR + 1, 11 * HOUR + 1, i64::MAX]
        );
        // The wall clock advances with the epochs.
        check.set_wall_clock(10 * HOUR + 1);
        assert!(!check.is_ahead(11 * HOUR + 1, &message(0, None), 0));
    }

    #[test]
    fn earlier_decisions_are_final() {
        let mut check = FutureCheck::new(Future::Decided(Arc::new([(3, 7, 2)].into())));
        check.set_wall_clock(0);
        let refused =
            |check: &mut FutureCheck, offset, place| check.is_ahead(-5, &message(offset, Some(9)), place);
        assert!(refused(&mut check, 7, 2) && !refused(&mut check, 7, 1) && !refused(&mut check, 8, 2));
        assert!(!check.is_ahead(i64::MAX, &message(8, None), 2));
        let mut items = Vec::new();
        check.take(&mut items);
        assert!(items.is_empty());
    }

    #[test]
    fn a_message_arrives_at_its_timestamp_or_at_the_wall_clock() {
        let mut check = FutureCheck::new(Future::Never);
        let taken = |check: &mut FutureCheck| {
            let mut items = Vec::new();
            check.take(&mut items);
            items
                .into_iter()
                .map(|item| if let Item::Arrived(at) = item { at } else { 0 })
                .collect::<Vec<_>>()
        };
        check.set_wall_clock(5_999);
        check.arrive(&message(0, Some(3)));
        assert_eq!(taken(&mut check), [3_000]);
        check.arrive(&message(1, Some(2)));
        assert!(taken(&mut check).is_empty());
        check.arrive(&message(2, None));
        assert_eq!(taken(&mut check), [5_000]);
        assert!(!check.is_ahead(i64::MAX, &message(3, None), 0));
    }
}
