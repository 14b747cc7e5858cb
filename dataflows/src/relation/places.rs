//! Where a layout keeps sums, extremes and multisets in a tally, and how they are added, written and read.

use ethnum::I256;
use num_bigint::BigInt;

use super::kept::{End, Rest, Tally, TallyMut, TallyRef, Timed, count, read_timed, write_timed};
use super::tally::Layout;
use super::total::{Big, Total, read_wide, units, write_wide};
use super::value::{Value, read_time, take};
use super::words;
use crate::expression::{Kind, value_of};
use crate::rows::NULL;
use crate::wide::Wide;

/// Where something is kept in a tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// So many words from this one on: an integer, or microseconds. Before an extreme that depends on the event time is
    /// this; of no rows it is [`NULL`].
    Words { at: usize, width: usize },
    /// In the rest.
    Rest(usize),
}

impl Layout {
    /// Finds a place for everything that is kept.
    pub(super) fn find_places(&mut self) {
        let mut words = vec![0];
        let mut rest = Rest::default();
        for term in &self.terms {
            let place = match term.bound {
                Some(bound) => Place::Words { at: words.len(), width: words::width_of(bound) },
                None => Place::Rest(rest.sums.len()),
            };
            match place {
                Place::Words { width, .. } => words.resize(words.len() + width, 0),
                Place::Rest(_) => rest.sums.push(Big::default()),
            }
            self.sums.push(place);
        }
        for pick in &self.picks {
            let width = if pick.by_time { 2 } else { 1 };
            self.extremes.push(match self.arguments[pick.argument].kind().is_of_64_bits() {
                true => {
                    words.resize(words.len() + width, NULL);
                    Place::Words { at: words.len() - width, width }
                }
                false => {
                    rest.picks.push(None);
                    Place::Rest(rest.picks.len() - 1)
                }
            });
        }
        rest.bags.resize_with(self.bags.len(), Default::default);
        let needs_rest = !(rest.sums.is_empty() && rest.picks.is_empty() && rest.bags.is_empty());
        self.empty = Some(Tally::new(&words, needs_rest.then_some(rest)));
    }

    /// Of no rows.
    pub fn empty(&self) -> TallyRef<'_> {
        self.empty.as_ref().map_or(TallyRef { words: &[0], rest: None }, Tally::get)
    }

    /// The bytes of all but the multisets, whose entries are kept one by one.
    pub fn write(&self, tally: TallyRef<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&tally.rows().to_le_bytes());
        for place in &self.sums {
            match *place {
                Place::Words { at, width } => write_wide(words::wide(&tally.words[at..at + width]), out),
                Place::Rest(place) => tally.rest.into_iter().for_each(|rest| rest.sums[place].write(out)),
            }
        }
        for pick in 0..self.picks.len() {
            match self.extreme(tally, pick) {
                None => out.push(0),
                Some(value) => {
                    out.push(1);
                    write_timed(&value, out);
                }
            }
        }
    }

    /// Reads what [`write`](Self::write) appended, and replaces all but the multisets by it.
    pub fn read(&self, mut bytes: &[u8], tally: TallyMut<'_>) -> Option<()> {
        let TallyMut { words, mut rest } = tally;
        words[0] = read_time(&mut bytes)?;
        for place in &self.sums {
            match *place {
                Place::Words { at, width } => {
                    let sum = read_wide(&mut bytes)?;
                    let words = &mut words[at..at + width];
                    words.fill(0);
                    words::add_wide(words, sum);
                    if words::wide(words) != sum {
                        return None;
                    }
                }
                Place::Rest(place) => rest.as_mut()?.sums[place] = Big::read(&mut bytes)?,
            }
        }
        for (pick, place) in self.picks.iter().zip(&self.extremes) {
            let value = match take(&mut bytes, 1)? {
                [0] => None,
                _ => Some(read_timed(&mut bytes)?),
            };
            match (*place, value) {
                (Place::Words { at, width }, None) => words[at..at + width].fill(NULL),
                (Place::Words { at, width }, Some((time, value))) => {
                    let is_time = self.arguments[pick.argument].kind() == Kind::Timestamp;
                    words[at] = time;
                    words[at + width - 1] = narrow(&value).filter(|_| is_time == value.time().is_some())?;
                }
                (Place::Rest(place), value) => rest.as_mut()?.picks[place] = value,
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
        match self.extremes[pick] {
            Place::Words { at, width } => {
                let (time, units) = (tally.words[at], tally.words[at + width - 1]);
                let time = if width == 2 { time } else { 0 };
                let value = value_of(units, self.arguments[self.picks[pick].argument].kind());
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
        let Place::Words { at, width } = self.extremes[pick] else {
            let kind = self.arguments[self.picks[pick].argument].kind();
            return self.pick(tally, pick, (time, value_of(units, kind)));
        };
        let words = &mut tally.words[at..at + width];
        let (new, old) = match *words {
            [old] => ((0, units), (0, old)),
            _ => ((time, units), (words[0], words[width - 1])),
        };
        let is_better = match self.picks[pick].end {
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
        match (self.extremes[pick], tally.rest) {
            (Place::Rest(place), Some(rest)) => {
                let old = &mut rest.picks[place];
                let is_better = |old: &Timed| match self.picks[pick].end {
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

    /// Adds a row (`sign` 1), or takes it back (-1).
    pub fn push(&self, mut tally: TallyMut<'_>, arguments: &[Value], passes: &[bool], time: i64, sign: i64) {
        tally.words[0] += sign;
        let counts = |filter: Option<usize>| filter.is_none_or(|filter| passes[filter]);
        for (place, term) in self.terms.iter().enumerate() {
            if counts(term.filter) && term.present.iter().all(|&place| !arguments[place].is_null()) {
                self.add(tally.reborrow(), place, &term.of(|place| &arguments[place], sign));
            }
        }
        for (place, pick) in self.picks.iter().enumerate() {
            let value = &arguments[pick.argument];
            if counts(pick.filter) && !value.is_null() {
                let time = if pick.by_time { time } else { 0 };
                self.pick(tally.reborrow(), place, (time, value.clone()));
            }
        }
        for (values, bag) in tally.bags().iter_mut().zip(&self.bags) {
            let value = &arguments[bag.argument];
            if counts(bag.filter) && !value.is_null() {
                count(values, (if bag.by_time { time } else { 0 }, value.clone()), sign);
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
        for (pick, place) in self.extremes.iter().enumerate() {
            if let Place::Words { at, width } = *place
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
        for (pick, place) in self.extremes.iter().enumerate() {
            if let Place::Rest(place) = *place
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

#[cfg(test)]
mod tests {
    use super::super::call::{Call, Function};
    use super::*;
    use crate::expression::Expression;
    use crate::schema::Schema;
    use proptest::prelude::*;

    /// Sums and extremes of a number and a time, of doubles, and a multiset.
    fn layout(retracts: bool) -> Layout {
        let schema = Schema::trucks();
        let field = |name| Expression::field(schema.field(name).expect("a field"));
        let (speed, time) = (field("engine_speed"), field("timestamp"));
        let real = speed.clone().to_real().expect("a number");
        let call = |function, of: Vec<Expression>| Call::new(function, of, false, None).expect("a call");
        let calls = [
            call(Function::Count, Vec::new()),
            call(Function::Corr, vec![speed.clone(), time.clone()]),
            call(Function::Sum, vec![real.clone()]),
            call(Function::Last, vec![speed.clone()]),
            call(Function::Min, vec![time]),
            call(Function::Max, vec![real]),
            call(Function::Median, vec![speed]),
        ];
        Layout::new(&calls, retracts)
    }

    fn row() -> impl Strategy<Value = (Option<i64>, i64, i64)> {
        (prop::option::of(-i64::MAX..=i64::MAX), -4_000i64..4_000, -5i64..5)
    }

    /// The bytes and values of a tally.
    fn seen(layout: &Layout, tally: TallyRef<'_>) -> (Vec<u8>, Vec<Value>) {
        let mut bytes = Vec::new();
        layout.write(tally, &mut bytes);
        (bytes, layout.results(tally).collect())
    }

    proptest! {
        #[test]
        fn tallies_merge_and_are_read_back(rows in prop::collection::vec((row(), 0usize..3), 0..20), retracts in any::<bool>()) {
            let layout = layout(retracts);
            let mut whole = layout.empty().to_owned();
            let mut parts = vec![layout.empty().to_owned(); 3];
            for ((units, time, at), part) in rows {
                let number = |units: i64| Value::Number(units.into());
                let of = |argument: &Expression| match (argument.kind(), units) {
                    (Kind::Timestamp, _) => Value::Time(time),
                    (_, None) => Value::Null,
                    (Kind::Real, Some(units)) => Value::real(units as f64 / 1e9),
                    (_, Some(units)) => number(units),
                };
                let values: Vec<Value> = layout.arguments.iter().map(of).collect();
                layout.push(whole.get_mut(), &values, &[], at, 1);
                layout.push(parts[part].get_mut(), &values, &[], at, 1);
            }
            let mut merged = layout.empty().to_owned();
            parts.iter().for_each(|part| layout.merge(merged.get_mut(), part.get()));
            prop_assert_eq!(seen(&layout, merged.get()), seen(&layout, whole.get()));
            let (bytes, values) = seen(&layout, whole.get());
            let mut read = layout.empty().to_owned();
            read.get_mut().bags().clone_from_slice(whole.get().bags());
            prop_assert!(layout.read(&bytes, read.get_mut()).is_some());
            prop_assert_eq!(seen(&layout, read.get()), (bytes.clone(), values));
            prop_assert!(layout.read(&bytes[..bytes.len() - 1], read.get_mut()).is_none());
        }
    }
}
