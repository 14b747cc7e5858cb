//! Adds columns of a batch to the tallies of groups, one sum, extreme or multiset after another.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::hint::black_box;

use super::kept::{End, TallyMut, count};
use super::part::Parts;
use super::tally::{Kernel, Layout, OneSum, PairOfSums, Pick};
use super::value::Value;
use crate::accumulation::Narrow;
use crate::expression::Evaluated;
use crate::rows::NULL;

/// The place of the part of a group without rows.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The parts that the rows of a batch are in.
pub(super) struct Groups<'a> {
    /// The places of the parts, or [`NOWHERE`].
    pub touched: Vec<u32>,
    /// For each row the index of its part among them.
    pub of_row: Cow<'a, [u32]>,
}

impl Groups<'_> {
    /// A value for each group.
    fn values<T: Clone>(&self, of: T) -> Vec<T> {
        vec![of; self.touched.len()]
    }

    /// Whether most have a row or two: then sums of the batch cost more than they save.
    fn are_many(&self) -> bool {
        self.touched.len() > self.of_row.len() / 2
    }

    /// Passes each part with its value.
    fn each<T>(&self, parts: &mut Parts, values: Vec<T>, mut pass: impl FnMut(TallyMut<'_>, T)) {
        for (&part, value) in self.touched.iter().zip(values).filter(|(part, _)| **part != NOWHERE) {
            pass(parts.tallies.get_mut(part as usize), value);
        }
    }
}

/// The rows of a batch, as the aggregate sees them.
pub(super) struct Columns<'a> {
    pub groups: &'a Groups<'a>,
    pub arguments: &'a [Evaluated<'a>],
    pub filters: &'a [Vec<bool>],
    /// 1 adds a row, -1 takes it back; none: all are added.
    pub signs: Option<&'a [i8]>,
    /// Event times.
    pub event_times: &'a [i64],
    /// The times of windows.
    pub times: Option<&'a [i64]>,
    /// Whether the values of each argument are there and near each other; found when it is asked for.
    pub near: Vec<OnceCell<bool>>,
}

impl Columns<'_> {
    /// Adds all rows to the parts of an open epoch.
    pub fn add(&self, layout: &Layout, parts: &mut Parts) {
        if self.groups.are_many() {
            let touched = self.groups.touched.iter().filter(|part| **part != NOWHERE);
            black_box(touched.fold(0, |all, &part| all ^ parts.tallies.touch(part as usize)));
        }
        self.rows(parts);
        for kernel in &layout.kernels {
            match kernel {
                Kernel::Pair(pair) => self.pair(pair, layout, parts),
                Kernel::Sum(sum) => self.sum(sum, layout, parts),
                Kernel::Term(place) => self.term(*place, layout, parts),
            }
        }
        self.picks(layout, parts);
        self.bags(layout, parts);
    }

    fn sign(&self, row: usize) -> i64 {
        self.signs.map_or(1, |signs| signs[row].into())
    }

    /// Whether a row counts.
    fn passes(&self, filter: Option<usize>) -> impl Fn(usize) -> bool {
        let filter = filter.map(|filter| &self.filters[filter][..]);
        move |row| filter.is_none_or(|filter| filter[row])
    }

    fn units(&self, argument: usize) -> Option<&[i64]> {
        match &self.arguments[argument] {
            Evaluated::Units(values, _) => Some(values),
            Evaluated::Values(_) => None,
        }
    }

    /// Whether the values of an argument are near each other. NULL is far from all.
    fn is_near(&self, argument: usize, values: &[i64]) -> bool {
        *self.near[argument].get_or_init(|| Narrow::are_near(values))
    }

    /// The numbers of rows, and the latest times.
    fn rows(&self, parts: &mut Parts) {
        let of_row = &*self.groups.of_row;
        let mut numbers = self.groups.values(0i64);
        match self.signs {
            None => of_row.iter().for_each(|&group| numbers[group as usize] += 1),
            Some(signs) => {
                let signed = of_row.iter().zip(signs);
                signed.for_each(|(&group, &sign)| numbers[group as usize] += i64::from(sign));
            }
        }
        self.groups.each(parts, numbers, |tally, rows| tally.words[0] += rows);
        let Some(times) = self.times else { return };
        let mut latest = self.groups.values(i64::MIN);
        let mut put = |group: u32, time: i64| {
            let latest = &mut latest[group as usize];
            *latest = time.max(*latest);
        };
        let rows = of_row.iter().zip(times);
        match self.signs {
            None => rows.for_each(|(&group, &time)| put(group, time)),
            Some(signs) => {
                let added = rows.zip(signs).filter(|(_, sign)| **sign > 0);
                added.for_each(|((&group, &time), _)| put(group, time));
            }
        }
        for (&part, time) in self.groups.touched.iter().zip(latest).filter(|(part, _)| **part != NOWHERE) {
            let latest = &mut parts.heads[part as usize].latest;
            *latest = time.max(*latest);
        }
    }

    /// Six sums of a pair in one pass.
    fn pair(&self, pair: &PairOfSums, layout: &Layout, parts: &mut Parts) {
        let (Some(x), Some(y)) = (self.units(pair.x), self.units(pair.y)) else {
            pair.sums.iter().for_each(|&place| self.term(place, layout, parts));
            return;
        };
        match (self.signs, pair.filter) {
            (None, None) => self.narrow((pair, layout), (x, y), 1, |_| true, parts),
            (None, filter) => self.narrow((pair, layout), (x, y), 1, self.passes(filter), parts),
            (Some(signs), filter) => {
                let passes = self.passes(filter);
                for sign in [1, -1] {
                    let counts = |row: usize| signs[row] == sign && passes(row);
                    self.narrow((pair, layout), (x, y), sign, counts, parts);
                }
            }
        }
    }

    fn narrow(
        &self,
        (pair, layout): (&PairOfSums, &Layout),
        (x, y): (&[i64], &[i64]),
        sign: i8,
        counts: impl Fn(usize) -> bool,
        parts: &mut Parts,
    ) {
        if self.groups.are_many() {
            return self.each_pair((pair, layout), (x, y), sign, counts, parts);
        }
        let mut open: Vec<Option<Narrow>> = self.groups.values(None);
        let rows = self.groups.of_row.iter().zip(x).zip(y).enumerate().filter(|(row, _)| counts(*row));
        match self.is_near(pair.x, x) && self.is_near(pair.y, y) {
            true => {
                for (_, ((&group, &x), &y)) in rows {
                    match &mut open[group as usize] {
                        Some(sums) => sums.push_near(x, y),
                        first => *first = Some(Narrow::start(x, y)),
                    }
                }
            }
            false => {
                for (_, ((&group, &x), &y)) in rows.filter(|(_, ((_, x), y))| **x != NULL && **y != NULL) {
                    match &mut open[group as usize] {
                        Some(sums) => sums.push(x, y),
                        first => *first = Some(Narrow::start(x, y)),
                    }
                }
            }
        }
        self.groups.each(parts, open, |mut tally, sums| {
            let Some(sums) = sums else { return };
            for (&place, number) in pair.sums.iter().zip(sums.finish().numbers()) {
                let number = if sign < 0 { number.wrapping_neg() } else { number };
                layout.places.add_wide(tally.reborrow(), place, number);
            }
        });
    }

    /// Adds each pair to the part of its group.
    fn each_pair(
        &self,
        (pair, layout): (&PairOfSums, &Layout),
        (x, y): (&[i64], &[i64]),
        sign: i8,
        counts: impl Fn(usize) -> bool,
        parts: &mut Parts,
    ) {
        let rows = self.groups.of_row.iter().zip(x).zip(y).enumerate();
        for (row, ((&group, &x), &y)) in rows {
            if x == NULL || y == NULL || !counts(row) {
                continue;
            }
            let mut tally = parts.tallies.get_mut(self.groups.touched[group as usize] as usize);
            let sign = i128::from(sign);
            let (x, y) = (i128::from(x), i128::from(y));
            for (&place, number) in pair.sums.iter().zip([1, x, y, x * x, x * y, y * y]) {
                layout.places.add_narrow(tally.reborrow(), place, number * sign);
            }
        }
    }

    /// The number of values and their sum in one pass.
    fn sum(&self, sum: &OneSum, layout: &Layout, parts: &mut Parts) {
        match (self.units(sum.x), self.signs, sum.filter) {
            (Some(x), None, None) => self.added((sum, layout), x, |_| 1, parts),
            (Some(x), None, filter) => {
                let passes = self.passes(filter);
                self.added((sum, layout), x, |row| i64::from(passes(row)), parts);
            }
            (Some(x), Some(signs), filter) => {
                let passes = self.passes(filter);
                self.added((sum, layout), x, |row| if passes(row) { signs[row].into() } else { 0 }, parts);
            }
            (None, ..) => sum.sums.iter().for_each(|&place| self.term(place, layout, parts)),
        }
    }

    /// Adds each value so many times.
    fn added(
        &self,
        (sum, layout): (&OneSum, &Layout),
        x: &[i64],
        times: impl Fn(usize) -> i64,
        parts: &mut Parts,
    ) {
        let mut open = self.groups.values((0i64, 0i128));
        for (row, (&group, &x)) in self.groups.of_row.iter().zip(x).enumerate() {
            if x != NULL {
                let (number, sum) = &mut open[group as usize];
                let times = times(row);
                *number += times;
                // A batch has far fewer than 2^63 rows, so that sums of 64 bits fit 128.
                *sum += i128::from(x) * i128::from(times);
            }
        }
        self.groups.each(parts, open, |mut tally, (number, total)| {
            layout.places.add_wide(tally.reborrow(), sum.sums[0], number.into());
            layout.places.add_wide(tally, sum.sums[1], total.into());
        });
    }

    /// One sum.
    fn term(&self, place: usize, layout: &Layout, parts: &mut Parts) {
        let term = &layout.terms[place];
        let units = |arguments: &[usize]| -> Option<Vec<&[i64]>> {
            arguments.iter().map(|&argument| self.units(argument)).collect()
        };
        let (Some(present), Some(factors), false) =
            (units(&term.present), units(&term.factors), term.is_big())
        else {
            self.term_of_values(place, layout, parts);
            return;
        };
        let passes = self.passes(term.filter);
        let counts = |row: usize| passes(row) && present.iter().all(|values| values[row] != NULL);
        let mut sums = self.groups.values(0i128);
        let mut flush = |sums: &mut Vec<i128>| {
            let sums = std::mem::replace(sums, self.groups.values(0));
            self.groups.each(parts, sums, |tally, sum| layout.places.add_wide(tally, place, sum.into()));
        };
        let rows = self.groups.of_row.iter().enumerate().filter(|(row, _)| counts(*row));
        match factors[..] {
            [] => rows.for_each(|(row, &group)| sums[group as usize] += i128::from(self.sign(row))),
            // A batch has far fewer than 2^63 rows, so that sums of 64 bits fit 128.
            [x] => rows.for_each(|(row, &group)| {
                sums[group as usize] += i128::from(x[row]) * i128::from(self.sign(row));
            }),
            _ => {
                let (x, y) = (factors[0], factors[1]);
                for (row, &group) in rows {
                    let product = i128::from(x[row]) * i128::from(y[row]) * i128::from(self.sign(row));
                    let sum = &mut sums[group as usize];
                    match sum.checked_add(product) {
                        Some(more) => *sum = more,
                        None => {
                            flush(&mut sums);
                            sums[group as usize] = product;
                        }
                    }
                }
            }
        }
        flush(&mut sums);
    }

    fn term_of_values(&self, place: usize, layout: &Layout, parts: &mut Parts) {
        let term = &layout.terms[place];
        let passes = self.passes(term.filter);
        for (row, &group) in self.groups.of_row.iter().enumerate().filter(|(row, _)| passes(*row)) {
            let values: Vec<(usize, Value)> =
                term.arguments().map(|argument| (argument, self.arguments[argument].value(row))).collect();
            if values.iter().all(|(_, value)| !value.is_null()) {
                let of = |argument: usize| {
                    let found = values.iter().find(|(other, _)| *other == argument);
                    found.map_or(&Value::Null, |(_, value)| value)
                };
                let part = self.groups.touched[group as usize];
                layout.places.add(parts.tallies.get_mut(part as usize), place, &term.of(of, self.sign(row)));
            }
        }
    }

    /// The least and greatest values. Rows are never taken back where there are some.
    fn picks(&self, layout: &Layout, parts: &mut Parts) {
        for (place, pick) in layout.picks.iter().enumerate() {
            match self.units(pick.argument) {
                Some(values) => self.pick_units((place, pick), values, layout, parts),
                None => self.pick_values((place, pick), layout, parts),
            }
        }
    }

    fn pick_units(&self, (place, pick): (usize, &Pick), values: &[i64], layout: &Layout, parts: &mut Parts) {
        let best = match pick.filter {
            None => self.best(pick, values, |_| true),
            filter => self.best(pick, values, self.passes(filter)),
        };
        self.groups.each(parts, best, |tally, best| {
            if best.1 != NULL {
                layout.places.pick_units(tally, place, best);
            }
        });
    }

    /// The best value of each group, with its time if the order is that of time; NULL where there is none.
    fn best(&self, pick: &Pick, values: &[i64], counts: impl Fn(usize) -> bool) -> Vec<(i64, i64)> {
        let rows = self.groups.of_row.iter().zip(values).enumerate();
        let mut best = self.groups.values((0, NULL));
        match (pick.by_time, pick.end) {
            (true, end) => {
                for ((row, (&group, &value)), &time) in rows.zip(self.event_times) {
                    let best = &mut best[group as usize];
                    let is_better = match end {
                        End::Least => (time, value) < *best,
                        End::Greatest => (time, value) > *best,
                    };
                    if (is_better || best.1 == NULL) && value != NULL && counts(row) {
                        *best = (time, value);
                    }
                }
            }
            // NULL is the least integer, and as the one before the greatest of all.
            (false, End::Greatest) => {
                for (row, (&group, &value)) in rows {
                    let best = &mut best[group as usize].1;
                    *best = if counts(row) { value.max(*best) } else { *best };
                }
            }
            (false, End::Least) => {
                for (row, (&group, &value)) in rows {
                    let best = &mut best[group as usize].1;
                    let less = value.wrapping_sub(1).min(best.wrapping_sub(1)).wrapping_add(1);
                    *best = if counts(row) { less } else { *best };
                }
            }
        }
        best
    }

    fn pick_values(&self, (place, pick): (usize, &Pick), layout: &Layout, parts: &mut Parts) {
        let passes = self.passes(pick.filter);
        for (row, &group) in self.groups.of_row.iter().enumerate().filter(|(row, _)| passes(*row)) {
            let value = self.arguments[pick.argument].value(row);
            if !value.is_null() {
                let time = if pick.by_time { self.event_times[row] } else { 0 };
                let part = self.groups.touched[group as usize];
                layout.places.pick(parts.tallies.get_mut(part as usize), place, (time, value));
            }
        }
    }

    /// The multisets.
    fn bags(&self, layout: &Layout, parts: &mut Parts) {
        for (place, bag) in layout.bags.iter().enumerate() {
            let passes = self.passes(bag.filter);
            for (row, &group) in self.groups.of_row.iter().enumerate().filter(|(row, _)| passes(*row)) {
                let value = self.arguments[bag.argument].value(row);
                if !value.is_null() {
                    let time = if bag.by_time { self.event_times[row] } else { 0 };
                    let part = self.groups.touched[group as usize];
                    let mut tally = parts.tallies.get_mut(part as usize);
                    count(&mut tally.bags()[place], (time, value), self.sign(row));
                }
            }
        }
    }
}
