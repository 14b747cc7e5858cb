//! Where sums, extremes and multisets are in a tally, and how they are added, written and read.

use ethnum::I256;
use num_bigint::BigInt;

use super::kept::{End, Rest, Tally, TallyMut, TallyRef, Timed, count, read_timed, write_timed};
use super::packed;
use super::total::{Big, Total, units};
use super::value::{Value, take};
use super::words;
use crate::expression::{Kind, value_of};
use crate::rows::NULL;
use crate::wide::Wide;

/// Where something is kept in a tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many words from this one on: an integer, or microseconds. Before an extreme that depends on the event time is
    /// this; of no rows it is [`NULL`].
    Words { at: usize, width: usize },
    /// In the rest.
    Rest(usize),
}

/// An extreme.
#[derive(Clone, Copy, Debug)]
struct Extreme {
    place: Place,
    end: End,
    kind: Kind,
}

/// The places of everything that is kept of a group.
#[derive(Clone, Debug)]
pub(super) struct Places {
    sums: Vec<Place>,
    extremes: Vec<Extreme>,
    /// The tally of no rows.
    empty: Tally,
}

impl Default for Places {
    fn default() -> Self {
        Self::new([].into_iter(), [].into_iter(), 0)
    }
}

impl Places {
    /// Finds a place for everything: for sums up to these bounds, of which some have none, for extremes with their kind, and
    /// whether the order is that of event time first, and for so many multisets.
    pub fn new(
        bounds: impl Iterator<Item = Option<I256>>,
        picks: impl Iterator<Item = (End, Kind, bool)>,
        bags: usize,
    ) -> Self {
        let (mut words, mut rest) = (vec![0], Rest::default());
        let sum = |bound: Option<I256>| match bound.map(words::width_of) {
            Some(width) => {
                words.resize(words.len() + width, 0);
                Place::Words { at: words.len() - width, width }
            }
            None => {
                rest.sums.push(Big::default());
                Place::Rest(rest.sums.len() - 1)
            }
        };
        let sums = bounds.map(sum).collect();
        let extreme = |(end, kind, by_time): (End, Kind, bool)| {
            let width = if by_time { 2 } else { 1 };
            let place = match kind.is_of_64_bits() {
                true => {
                    words.resize(words.len() + width, NULL);
                    Place::Words { at: words.len() - width, width }
                }
                false => {
                    rest.picks.push(None);
                    Place::Rest(rest.picks.len() - 1)
                }
            };
            Extreme { place, end, kind }
        };
        let extremes = picks.map(extreme).collect();
        rest.bags.resize_with(bags, Default::default);
        let needs_rest = !(rest.sums.is_empty() && rest.picks.is_empty() && bags == 0);
        let empty = Tally::new(&words, needs_rest.then_some(rest));
        Self { sums, extremes, empty }
    }

    /// Of no rows.
    pub fn empty(&self) -> TallyRef<'_> {
        self.empty.get()
    }

    /// The bytes of all but the multisets, whose entries are kept one by one: first those of the words.
    pub fn write(&self, tally: TallyRef<'_>, out: &mut Vec<u8>) {
        self.pack(tally.words, out);
        self.write_rest(tally, out);
    }

    /// The bytes of words.
    pub fn pack(&self, words: &[i64], out: &mut Vec<u8>) {
        packed::push(&words[..1], out);
        for place in &self.sums {
            if let Place::Words { at, width } = *place {
                packed::push(&words[at..at + width], out);
            }
        }
        for extreme in &self.extremes {
            if let Place::Words { at, width } = extreme.place {
                let words = &words[at..at + width];
                match words.last() {
                    Some(&NULL) => packed::push_none(out),
                    _ => words.chunks(1).for_each(|word| packed::push(word, out)),
                }
            }
        }
    }

    /// Takes words that [`pack`](Self::pack) appended from the front of `bytes`.
    pub fn unpack(&self, bytes: &mut &[u8], words: &mut [i64]) -> Option<()> {
        packed::take(bytes, &mut words[..1])?.then_some(())?;
        for place in &self.sums {
            if let Place::Words { at, width } = *place {
                packed::take(bytes, &mut words[at..at + width])?.then_some(())?;
            }
        }
        for extreme in &self.extremes {
            if let Place::Words { at, width } = extreme.place {
                let words = &mut words[at..at + width];
                if !packed::take(bytes, &mut words[..1])? {
                    words.fill(NULL);
                } else if width == 2 {
                    packed::take(bytes, &mut words[1..])?.then_some(())?;
                }
            }
        }
        Some(())
    }

    /// The bytes of sums and extremes without words.
    pub fn write_rest(&self, tally: TallyRef<'_>, out: &mut Vec<u8>) {
        let Some(rest) = tally.rest else { return };
        rest.sums.iter().for_each(|sum| sum.write(out));
        for pick in &rest.picks {
            match pick {
                None => out.push(0),
                Some(value) => {
                    out.push(1);
                    write_timed(value, out);
                }
            }
        }
    }

    /// Reads what [`write`](Self::write) appended, and replaces all but the multisets by it.
    pub fn read(&self, mut bytes: &[u8], tally: TallyMut<'_>) -> Option<()> {
        let TallyMut { words, rest } = tally;
        self.unpack(&mut bytes, words)?;
        if let Some(rest) = rest {
            for sum in &mut rest.sums {
                *sum = Big::read(&mut bytes)?;
            }
            for pick in &mut rest.picks {
                *pick = match take(&mut bytes, 1)? {
                    [0] => None,
                    _ => Some(read_timed(&mut bytes)?),
                };
            }
        }
        bytes.is_empty().then_some(())
    }

    /// A sum of at most 256 bits.
    #[inline]
    pub fn wide(&self, tally: TallyRef<'_>, sum: usize) -> Option<I256> {
        match self.sums[sum] {
            Place::Words { at, width } => Some(words::wide(&tally.words[at..at + width])),
            Place::Rest(_) => None,
        }
    }

    /// Any sum.
    pub fn big(&self, tally: TallyRef<'_>, sum: usize) -> BigInt {
        match (self.sums[sum], tally.rest) {
            (Place::Rest(place), Some(rest)) => rest.sums[place].0.clone(),
            _ => self.wide(tally, sum).map_or(BigInt::ZERO, |sum| Wide(sum).to_big()),
        }
    }

    /// The least or greatest value, with its time if the order depends on it.
    pub fn extreme(&self, tally: TallyRef<'_>, pick: usize) -> Option<Timed> {
        match self.extremes[pick].place {
            Place::Words { at, width } => {
                let (time, units) = (tally.words[at], tally.words[at + width - 1]);
                let time = if width == 2 { time } else { 0 };
                let value = value_of(units, self.extremes[pick].kind);
                (!value.is_null()).then_some((time, value))
            }
            Place::Rest(place) => tally.rest.and_then(|rest| rest.picks[place].clone()),
        }
    }

    /// Adds an integer to a sum.
    #[inline]
    pub fn add_wide(&self, tally: TallyMut<'_>, sum: usize, number: I256) {
        match self.sums[sum] {
            Place::Words { at, width } => words::add_wide(&mut tally.words[at..at + width], number),
            Place::Rest(_) => self.add(tally, sum, &Total::Wide(number)),
        }
    }

    /// Adds an integer of 128 bits to a sum.
    #[inline]
    pub fn add_narrow(&self, tally: TallyMut<'_>, sum: usize, number: i128) {
        match self.sums[sum] {
            Place::Words { at, width } => words::add_narrow(&mut tally.words[at..at + width], number),
            Place::Rest(_) => self.add(tally, sum, &Total::Wide(number.into())),
        }
    }

    /// Adds to a sum.
    pub fn add(&self, tally: TallyMut<'_>, sum: usize, total: &Total) {
        match (self.sums[sum], tally.rest, total) {
            (Place::Words { at, width }, _, Total::Wide(number)) => {
                words::add_wide(&mut tally.words[at..at + width], *number);
            }
            (Place::Rest(place), Some(rest), total) => rest.sums[place].add(total),
            _ => unreachable!("the sum of terms of 256 bits has words"),
        }
    }

    /// Keeps the units of a value with its time, if it is better than the one that is kept.
    #[inline]
    pub fn pick_units(&self, tally: TallyMut<'_>, pick: usize, (time, units): (i64, i64)) {
        let Place::Words { at, width } = self.extremes[pick].place else {
            let kind = self.extremes[pick].kind;
            return self.pick(tally, pick, (time, value_of(units, kind)));
        };
        let words = &mut tally.words[at..at + width];
        let (new, old) = match *words {
            [old] => ((0, units), (0, old)),
            _ => ((time, units), (words[0], words[width - 1])),
        };
        let is_better = match self.extremes[pick].end {
            End::Least => new < old,
            End::Greatest => new > old,
        };
        if old.1 == NULL || is_better {
            words[0] = time;
            words[width - 1] = units;
        }
    }

    /// Keeps a value, which is not NULL, if it is better than the one that is kept.
    pub fn pick(&self, tally: TallyMut<'_>, pick: usize, value: Timed) {
        match (self.extremes[pick].place, tally.rest) {
            (Place::Rest(place), Some(rest)) => {
                let old = &mut rest.picks[place];
                let is_better = |old: &Timed| match self.extremes[pick].end {
                    End::Least => value < *old,
                    End::Greatest => value > *old,
                };
                if old.as_ref().is_none_or(is_better) {
                    *old = Some(value);
                }
            }
            (_, rest) => {
                let units = narrow(&value.1).expect("its kind has 64 bits");
                self.pick_units(TallyMut { words: tally.words, rest }, pick, (value.0, units));
            }
        }
    }

    /// Adds another tally.
    pub fn merge(&self, mut tally: TallyMut<'_>, other: TallyRef<'_>) {
        tally.words[0] += other.rows();
        for place in &self.sums {
            if let Place::Words { at, width } = *place {
                words::add(&mut tally.words[at..at + width], &other.words[at..at + width]);
            }
        }
        for (pick, extreme) in self.extremes.iter().enumerate() {
            if let Place::Words { at, width } = extreme.place
                && other.words[at + width - 1] != NULL
            {
                let value = (other.words[at], other.words[at + width - 1]);
                self.pick_units(tally.reborrow(), pick, value);
            }
        }
        let Some(other) = other.rest else { return };
        if let Some(rest) = &mut tally.rest {
            for (sum, other) in rest.sums.iter_mut().zip(&other.sums) {
                sum.0 += &other.0;
            }
            for (values, others) in rest.bags.iter_mut().zip(&other.bags) {
                for (value, times) in others {
                    count(values, value.clone(), *times);
                }
            }
        }
        for (pick, extreme) in self.extremes.iter().enumerate() {
            if let Place::Rest(place) = extreme.place
                && let Some(value) = &other.picks[place]
            {
                self.pick(tally.reborrow(), pick, value.clone());
            }
        }
    }
}

/// The units or microseconds of a value, if they have 64 bits.
fn narrow(value: &Value) -> Option<i64> {
    units(value).and_then(|units| i64::try_from(units.0).ok())
}
