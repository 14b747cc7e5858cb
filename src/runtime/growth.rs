//! Epochs that grow while a job catches up.
//!
//! The cost of a commit may depend on the number of keys that an epoch changes instead of the number of its records: twice the
//! records need not mean twice the rows and entries of state. So epochs grow by a factor of two as long as this clearly
//! lowers the cost of a record, and what they commit fits into the bytes in flight. An epoch still ends when it is as old as
//! the commit interval.

use std::collections::VecDeque;

use dataflows::Epoch;

/// How many records or bytes an epoch may have: at first, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// At first.
    pub first: u64,
    /// At most.
    pub most: u64,
}

impl Ceiling {
    /// One that does not grow.
    pub const fn fixed(limit: u64) -> Self {
        Self { first: limit, most: limit }
    }

    /// After growth by so many times.
    pub fn after(self, times: u64) -> u64 {
        self.first.saturating_mul(times).min(self.most)
    }
}

/// A larger epoch is kept if a record takes no more than this part of what it took.
const WORTH_IT: f64 = 0.85;
/// The most times that epochs grow.
pub const MOST: u64 = 16;

/// How large epochs are, and what they take.
#[derive(Debug)]
pub(super) struct Growth {
    times: u64,
    /// The bytes of a record in epochs of half the size; none before the first growth.
    took: Option<f64>,
    /// Whether larger ones were tried, and not worth it.
    is_settled: bool,
    /// Epochs that ended and are not committed: their records, and whether they were full.
    ended: VecDeque<(Epoch, u64, bool)>,
}

impl Default for Growth {
    fn default() -> Self {
        Self { times: 1, took: None, is_settled: false, ended: VecDeque::new() }
    }
}

impl Growth {
    /// An epoch ends.
    pub fn ends(&mut self, epoch: Epoch, records: u64, is_full: bool) {
        if !self.is_settled && self.times < MOST {
            self.ended.push_back((epoch, records, is_full));
        }
    }

    /// All up to an epoch are committed, with so many bytes of rows and state, of which there may be `most` for epochs to grow.
    /// Returns how many times as large as the first ones epochs now are.
    pub fn committed(&mut self, epoch: Epoch, bytes: u64, most: u64) -> u64 {
        let (mut records, mut are_full) = (0, true);
        while let Some((_, of_epoch, is_full)) = self.ended.pop_front_if(|(ended, ..)| *ended <= epoch) {
            records += of_epoch;
            are_full &= is_full;
        }
        if records == 0 || !are_full || self.is_settled {
            return self.times;
        }
        let takes = bytes as f64 / records as f64;
        if self.took.is_some_and(|took| takes > took * WORTH_IT) {
            self.is_settled = true;
            self.times /= 2;
        } else if self.times < MOST && bytes <= most {
            self.took = Some(takes);
            self.times *= 2;
            // Those that have ended are smaller.
            self.ended.clear();
        }
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the size if records of full epochs take so many bytes.
    fn times(takes: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut growth = Growth::default();
        let times = (1..).zip(takes).map(|(epoch, takes)| {
            growth.ends(epoch, 100, true);
            growth.committed(epoch, takes * 100, 10_000)
        });
        times.collect()
    }

    #[test]
    fn epochs_grow_while_that_is_worth_it() {
        assert_eq!(times([100, 60, 40, 39, 20]), [2, 4, 8, 4, 4]);
        assert_eq!(times([100, 100, 1]), [2, 1, 1]);
        assert_eq!(times([64, 32, 16, 8, 4, 2]), [2, 4, 8, 16, 16, 16]);
        assert_eq!(times([101, 101, 100, 60]), [1, 1, 2, 4], "they do not fit");
    }

    #[test]
    fn epochs_that_are_not_full_say_nothing() {
        let mut growth = Growth::default();
        growth.ends(1, 100, true);
        growth.ends(2, 10, false);
        assert_eq!(growth.committed(2, 1, 1), 1);
        growth.ends(3, 100, true);
        growth.ends(4, 100, true);
        assert_eq!(growth.committed(3, 100, 100), 2);
        assert_eq!(growth.committed(4, 1, 1), 2, "it ended before epochs grew");
    }

    #[test]
    fn a_ceiling_is_never_passed() {
        let ceiling = Ceiling { first: 100, most: 350 };
        assert_eq!([1, 2, 4, 1 << 62].map(|times| ceiling.after(times)), [100, 200, 350, 350]);
    }
}
