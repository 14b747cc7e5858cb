//! A worker's share of all sources of a job, each with its decoder, polled in turn.
//!
//! All sources share the epochs of the job. Each one reads the clock before it takes messages, so the guarantee about
//! its offsets and epochs does not depend on other sources.

use dataflows::item::{Arrival, Item, NextOffset};

use super::{Polled, Reader, SourceError};
use crate::decode::{Counted, Decode};
use crate::runtime::clock::Clock;

/// A reader together with its decoder.
pub trait Input {
    /// Reads available messages, like [`Reader::poll`].
    fn poll(&mut self, clock: &Clock) -> Result<Polled, SourceError>;

    /// Appends the offsets of the last polls, like [`Reader::positions`].
    fn positions(&mut self, offsets: &mut Vec<NextOffset>, arrivals: &mut Vec<Arrival>);

    /// Appends what the last polls decoded, like [`Decode::take`].
    fn take(&mut self, items: &mut Vec<Item>);

    /// Reports what was counted, like [`Decode::take_counts`].
    fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64));

    /// How far it is behind, like [`Reader::behind`].
    fn behind(&self) -> i64;
}

/// Any reader with any decoder.
#[derive(Debug)]
pub struct Decoded<R, D> {
    /// The reader.
    pub reader: R,
    /// The decoder of its messages.
    pub decoder: D,
}

impl<R: Reader, D: Decode> Input for Decoded<R, D> {
    fn poll(&mut self, clock: &Clock) -> Result<Polled, SourceError> {
        self.reader.poll(clock, &mut self.decoder)
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, arrivals: &mut Vec<Arrival>) {
        self.reader.positions(offsets, arrivals);
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        self.decoder.take(items);
    }

    fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64)) {
        self.decoder.take_counts(count);
    }

    fn behind(&self) -> i64 {
        self.reader.behind()
    }
}

/// All inputs of one worker as one input.
#[derive(Default)]
pub struct InputSet {
    /// The inputs that have not ended.
    inputs: Vec<Box<dyn Input + Send>>,
    /// Those that have. Closing the client of an input takes up to 100 ms, and nothing waits for that here.
    ended: Vec<Box<dyn Input + Send>>,
    /// The index of the input that is polled next.
    next: usize,
    /// The index of the input that was polled last.
    last: usize,
}

impl InputSet {
    /// Adds an input.
    pub fn push(&mut self, input: impl Input + Send + 'static) {
        self.inputs.push(Box::new(input));
    }

    fn last(&mut self) -> Option<&mut Box<dyn Input + Send>> {
        self.inputs.get_mut(self.last)
    }
}

/// A poll tries one input after another, starting after the one that was polled last, until one has read something;
/// the other methods then apply to that one. It is idle if no input has messages now, and ends when all have ended.
impl Input for InputSet {
    fn poll(&mut self, clock: &Clock) -> Result<Polled, SourceError> {
        for _ in 0..self.inputs.len() {
            // An input that ended was removed, and the next one has its index.
            self.last = self.next % self.inputs.len();
            self.next = self.last + 1;
            match self.inputs[self.last].poll(clock)? {
                Polled::End => {
                    self.ended.push(self.inputs.remove(self.last));
                    self.next = self.last;
                }
                Polled::Idle => {}
                read @ Polled::Read(_) => return Ok(read),
            }
        }
        Ok(if self.inputs.is_empty() { Polled::End } else { Polled::Idle })
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, arrivals: &mut Vec<Arrival>) {
        if let Some(input) = self.last() {
            input.positions(offsets, arrivals);
        }
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        if let Some(input) = self.last() {
            input.take(items);
        }
    }

    fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64)) {
        if let Some(input) = self.last() {
            input.take_counts(count);
        }
    }

    fn behind(&self) -> i64 {
        self.inputs.iter().map(|input| input.behind()).min().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::runtime::clock::Limits;
    use crate::runtime::growth::Ceiling;

    /// Returns scripted results.
    struct Scripted(&'static str, VecDeque<Polled>);

    impl Input for Scripted {
        fn poll(&mut self, _clock: &Clock) -> Result<Polled, SourceError> {
            Ok(self.1.pop_front().expect("an input that ended is not polled again"))
        }

        fn positions(&mut self, offsets: &mut Vec<NextOffset>, _arrivals: &mut Vec<Arrival>) {
            offsets.push(NextOffset { topic: self.0.into(), partition: 0, offset: 1, mark: None });
        }

        fn take(&mut self, _items: &mut Vec<Item>) {}

        fn take_counts(&mut self, _count: &mut dyn FnMut(Counted<'_>, u64)) {}

        fn behind(&self) -> i64 {
            i64::MAX
        }
    }

    #[test]
    fn inputs_are_read_in_turn_until_all_have_ended() {
        use Polled::{End, Idle, Read};
        let clock = Clock::new(
            Limits {
                interval: Duration::from_secs(1),
                epoch_records: Ceiling::fixed(1),
                epoch_bytes: Ceiling::fixed(1),
                epochs_in_flight: 2,
                bytes_in_flight: 1,
            },
            0,
        );
        let mut inputs = InputSet::default();
        inputs.push(Scripted("a", [Read(1), Read(1), Read(2), Idle, Idle, Read(3), End].into()));
        inputs.push(Scripted("b", [Read(1), End].into()));
        inputs.push(Scripted("c", [Idle, Read(2), Idle, Idle, End].into()));
        let mut read = Vec::new();
        loop {
            match inputs.poll(&clock).unwrap() {
                Read(epoch) => {
                    let mut offsets = Vec::new();
                    inputs.positions(&mut offsets, &mut Vec::new());
                    read.push(format!("{}{epoch}", offsets[0].topic));
                }
                Idle => read.push("-".into()),
                End => break,
            }
        }
        assert_eq!(read, ["a1", "b1", "a1", "c2", "a2", "-", "-", "a3"]);
        assert_eq!(inputs.poll(&clock).unwrap(), End);
        // Dropping them, which may take a while, is left to the worker.
        assert_eq!(inputs.ended.len(), 3);
    }
}
