//! What is kept of groups of rows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use super::total::Big;
use super::value::{Value, read_time};

/// An end of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Least,
    Greatest,
}

/// A value, and its event time where the order depends on it (otherwise 0).
pub(super) type Timed = (i64, Value);

/// A multiset.
pub(super) type Values = BTreeMap<Timed, i64>;

/// What is kept of a group. Two of them add up, and with negative signs take each other back.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    words: Box<[i64]>,
    rest: Option<Box<Rest>>,
}

/// What does not have a fixed number of words.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rest {
    pub sums: Vec<Big>,
    pub picks: Vec<Option<Timed>>,
    pub bags: Vec<Values>,
}

/// A tally, wherever it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct TallyRef<'a> {
    /// The number of rows, then sums and extremes, whose places the layout knows.
    pub words: &'a [i64],
    /// None if the layout needs no more than words.
    pub rest: Option<&'a Rest>,
}

/// A tally that can be changed.
#[derive(Debug)]
pub(super) struct TallyMut<'a> {
    pub words: &'a mut [i64],
    pub rest: Option<&'a mut Rest>,
}

impl Tally {
    pub fn new(words: &[i64], rest: Option<Rest>) -> Self {
        Self { words: words.into(), rest: rest.map(Box::new) }
    }

    pub fn get(&self) -> TallyRef<'_> {
        TallyRef { words: &self.words, rest: self.rest.as_deref() }
    }

    pub fn get_mut(&mut self) -> TallyMut<'_> {
        TallyMut { words: &mut self.words, rest: self.rest.as_deref_mut() }
    }
}

impl<'a> TallyRef<'a> {
    /// The number of rows.
    pub fn rows(self) -> i64 {
        self.words[0]
    }

    pub fn bags(self) -> &'a [Values] {
        self.rest.map_or(&[], |rest| &rest.bags)
    }

    pub fn to_owned(self) -> Tally {
        Tally::new(self.words, self.rest.cloned())
    }
}

impl TallyMut<'_> {
    /// The same tally, for a part of the time.
    pub fn reborrow(&mut self) -> TallyMut<'_> {
        TallyMut { words: self.words, rest: self.rest.as_deref_mut() }
    }

    pub fn bags(&mut self) -> &mut [Values] {
        self.rest.as_deref_mut().map_or(&mut [], |rest| &mut rest.bags)
    }
}

/// Many tallies of a layout, one after another in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tallies {
    /// The words of [`AT_ONCE`] tallies each: there may be millions, which are never moved.
    chunks: Vec<Vec<i64>>,
    /// Those of all, if the layout needs them.
    rests: Vec<Rest>,
    /// The number of words of each.
    width: usize,
    len: usize,
}

/// The words of a cache line.
const WORDS_OF_A_LINE: usize = 8;
/// The number of tallies that memory is allocated for.
const AT_ONCE: usize = 1 << 10;

impl Tallies {
    /// Appends a tally; returns its place.
    pub fn push(&mut self, tally: TallyRef<'_>) -> usize {
        self.width = tally.words.len();
        if self.len.is_multiple_of(AT_ONCE) {
            // The first ones may be all.
            let capacity = if self.len == 0 { 0 } else { AT_ONCE * self.width };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.extend_from_slice(tally.words);
        }
        self.rests.extend(tally.rest.cloned());
        self.len += 1;
        self.len - 1
    }

    pub fn get(&self, place: usize) -> TallyRef<'_> {
        TallyRef { words: self.words(place), rest: self.rests.get(place) }
    }

    pub fn get_mut(&mut self, place: usize) -> TallyMut<'_> {
        let (chunk, words) = self.range(place);
        TallyMut { words: &mut self.chunks[chunk][words], rest: self.rests.get_mut(place) }
    }

    /// Reads a word of each cache line of a tally. Who does so with many of them before the first one is changed does not wait
    /// for the memory of each.
    #[inline]
    pub fn touch(&self, place: usize) -> i64 {
        let words = self.words(place);
        words.iter().step_by(WORDS_OF_A_LINE).chain(words.last()).fold(0, |all, word| all ^ word)
    }

    fn words(&self, place: usize) -> &[i64] {
        let (chunk, words) = self.range(place);
        &self.chunks[chunk][words]
    }

    /// The chunk of a tally, and its words there.
    #[inline]
    fn range(&self, place: usize) -> (usize, std::ops::Range<usize>) {
        let width = self.width;
        let start = place % AT_ONCE * width;
        (place / AT_ONCE, start..start + width)
    }
}

/// Adds to the number of a value; without any it is removed. Returns the number before.
pub(super) fn count<T: Ord>(values: &mut BTreeMap<T, i64>, value: T, times: i64) -> i64 {
    match values.entry(value) {
        Entry::Vacant(entry) => {
            if times != 0 {
                entry.insert(times);
            }
            0
        }
        Entry::Occupied(mut entry) => {
            let before = *entry.get();
            *entry.get_mut() += times;
            if *entry.get() == 0 {
                entry.remove();
            }
            before
        }
    }
}

pub(super) fn write_timed((time, value): &Timed, out: &mut Vec<u8>) {
    out.extend_from_slice(&time.to_le_bytes());
    value.write(out);
}

pub(super) fn read_timed(bytes: &mut &[u8]) -> Option<Timed> {
    Some((read_time(bytes)?, Value::read(bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_keep_their_places() {
        let mut tallies = Tallies::default();
        let words = |number: usize| [number as i64, -1];
        for number in 0..3 * AT_ONCE {
            assert_eq!(tallies.push(TallyRef { words: &words(number), rest: None }), number);
        }
        tallies.get_mut(AT_ONCE).words.copy_from_slice(&[0, 7]);
        tallies.get_mut(AT_ONCE - 1).words[1] = 8;
        for number in 0..3 * AT_ONCE {
            let expected = match number {
                AT_ONCE => [0, 7],
                _ if number == AT_ONCE - 1 => [number as i64, 8],
                _ => words(number),
            };
            assert_eq!(tallies.get(number).words, expected);
        }
    }
}
