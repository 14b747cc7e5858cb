//! What is kept of a group of rows: sums, extremes and multisets, which are shared by the calls of an aggregate.

use ethnum::I256;

use super::call::{Call, Function, MOST_ROWS, Regression};
use super::kept::{End, TallyMut, TallyRef, count};
use super::places::Places;
use super::result::Final;
use super::total::{Total, integer, units};
use super::value::Value;
use crate::expression::{Expression, Kind};

/// Which sums, extremes and multisets the calls of an aggregate need. Each is kept once.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The expressions that calls are made with.
    pub arguments: Vec<Expression>,
    /// The conditions of calls.
    pub filters: Vec<Expression>,
    pub terms: Vec<Term>,
    pub picks: Vec<Pick>,
    pub bags: Vec<Bag>,
    /// How columns of readings are added to the sums.
    pub kernels: Vec<Kernel>,
    /// How the value of each call is computed.
    pub finals: Vec<Final>,
    /// Whether a call is the number of rows.
    pub shows_rows: bool,
    /// Where all of them are.
    pub places: Places,
}

/// A sum over the rows that pass a filter, and where some arguments are not NULL.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub filter: Option<usize>,
    pub present: Vec<usize>,
    /// What is summed: 1, an argument, or the product of two.
    pub factors: Vec<usize>,
    /// The greatest absolute value, if it has 256 bits.
    bound: Option<I256>,
}

/// How columns are added to sums: chosen once, not for each row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kernel {
    /// To six sums at once.
    Pair(PairOfSums),
    /// To two.
    Sum(OneSum),
    /// To one.
    Term(usize),
}

/// The sums of a pair of arguments, all over the same rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairOfSums {
    pub filter: Option<usize>,
    pub x: usize,
    pub y: usize,
    /// The places of n, Σx, Σy, Σxx, Σxy and Σyy.
    pub sums: [usize; 6],
}

/// The number of an argument's values, and their sum.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OneSum {
    pub filter: Option<usize>,
    pub x: usize,
    /// The places of n and Σx.
    pub sums: [usize; 2],
}

/// The least or greatest value, where rows are never taken back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pick {
    pub filter: Option<usize>,
    pub argument: usize,
    pub end: End,
    /// Whether the order is that of event time first.
    pub by_time: bool,
}

/// All values, each with its number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bag {
    pub filter: Option<usize>,
    pub argument: usize,
    /// Whether values are kept with their event times.
    pub by_time: bool,
}

impl Layout {
    /// For the calls of an aggregate; `retracts` says whether rows can be taken back.
    pub fn new(calls: &[Call], retracts: bool) -> Self {
        let mut layout = Self::default();
        let mut kernels = Vec::new();
        for call in calls {
            let of = layout.of_call(call, retracts, &mut kernels);
            layout.finals.push(of);
        }
        // Those of pairs first: sums of one argument may be among theirs.
        kernels.sort_by_key(|kernel| !matches!(kernel, Kernel::Pair(_)));
        let mut is_covered = vec![false; layout.terms.len()];
        for kernel in kernels {
            let sums: &[usize] = match &kernel {
                Kernel::Pair(pair) if pair.x != pair.y => &pair.sums,
                Kernel::Sum(sum) => &sum.sums,
                _ => continue,
            };
            if sums.iter().all(|&place| !is_covered[place] && !layout.terms[place].is_big()) {
                sums.iter().for_each(|&place| is_covered[place] = true);
                layout.kernels.push(kernel);
            }
        }
        let others = (0..layout.terms.len()).filter(|&place| !is_covered[place]);
        layout.kernels.extend(others.map(Kernel::Term));
        layout.shows_rows = layout.finals.iter().any(|of| matches!(of, Final::Rows));
        let bounds = layout.terms.iter().map(|term| term.bound);
        let kind = |pick: &Pick| layout.arguments[pick.argument].kind();
        let picks = layout.picks.iter().map(|pick| (pick.end, kind(pick), pick.by_time));
        layout.places = Places::new(bounds, picks, layout.bags.len());
        layout
    }

    fn of_call(&mut self, call: &Call, retracts: bool, kernels: &mut Vec<Kernel>) -> Final {
        let filter = call.filter.as_ref().map(|filter| place(&mut self.filters, filter.clone()));
        let arguments: Vec<usize> =
            call.arguments.iter().map(|argument| place(&mut self.arguments, argument.clone())).collect();
        let function = call.function;
        if call.distinct {
            let bag = self.bag(filter, arguments[0], false);
            return Final::distinct(function, bag, &call.arguments[0]);
        }
        match function {
            Function::Count | Function::Regr(Regression::Count) => {
                match filter.is_none() && self.can_be_null(&arguments).is_empty() {
                    true => Final::Rows,
                    false => Final::Count(self.term(filter, &arguments, &[])),
                }
            }
            Function::Min | Function::Max | Function::First | Function::Last => {
                let by_time = matches!(function, Function::First | Function::Last);
                let end = match function {
                    Function::Min | Function::First => End::Least,
                    _ => End::Greatest,
                };
                let argument = arguments[0];
                match retracts {
                    true => Final::End(self.bag(filter, argument, by_time), end),
                    false => Final::Pick(place(&mut self.picks, Pick { filter, argument, end, by_time })),
                }
            }
            Function::Median | Function::PercentileCont(_) | Function::PercentileDisc(_) => {
                Final::percentile(function, self.bag(filter, arguments[0], false), &call.arguments[0])
            }
            _ => {
                // Functions of one argument are those of x.
                let (x, y) = match arguments[..] {
                    [y, x] => (x, Some(y)),
                    [x] => (x, None),
                    _ => unreachable!("the planner counts arguments"),
                };
                let mut term = |factors: &[usize]| self.term(filter, &arguments, factors);
                let (n, sum_x) = (term(&[]), term(&[x]));
                let is_linear = matches!(function, Function::Sum | Function::Avg);
                let sum_xx = if is_linear { n } else { term(&[x, x]) };
                let pair = y.map(|y| [term(&[y]), term(&[x, y]), term(&[y, y])]);
                kernels.push(match (y, pair) {
                    (Some(y), Some([sum_y, sum_xy, sum_yy])) => {
                        let sums = [n, sum_x, sum_y, sum_xx, sum_xy, sum_yy];
                        Kernel::Pair(PairOfSums { filter, x, y, sums })
                    }
                    _ => Kernel::Sum(OneSum { filter, x, sums: [n, sum_x] }),
                });
                Final::moments(function, n, sum_x, sum_xx, pair, &call.arguments)
            }
        }
    }

    /// Those of some arguments that a row may lack.
    fn can_be_null(&self, arguments: &[usize]) -> Vec<usize> {
        let mut nullable = arguments.to_vec();
        nullable.retain(|&place| !self.arguments[place].is_always_there());
        nullable.sort_unstable();
        nullable.dedup();
        nullable
    }

    fn term(&mut self, filter: Option<usize>, arguments: &[usize], factors: &[usize]) -> usize {
        let present = self.can_be_null(arguments);
        let mut factors = factors.to_vec();
        factors.sort_unstable();
        let bound = bound(&factors.iter().map(|&place| self.arguments[place].kind()).collect::<Vec<_>>());
        place(&mut self.terms, Term { filter, present, factors, bound })
    }

    fn bag(&mut self, filter: Option<usize>, argument: usize, by_time: bool) -> usize {
        place(&mut self.bags, Bag { filter, argument, by_time })
    }

    /// Adds a row (`sign` 1), or takes it back (-1).
    pub fn push(&self, mut tally: TallyMut<'_>, arguments: &[Value], passes: &[bool], time: i64, sign: i64) {
        tally.words[0] += sign;
        let counts = |filter: Option<usize>| filter.is_none_or(|filter| passes[filter]);
        for (place, term) in self.terms.iter().enumerate() {
            if counts(term.filter) && term.present.iter().all(|&place| !arguments[place].is_null()) {
                self.places.add(tally.reborrow(), place, &term.of(|place| &arguments[place], sign));
            }
        }
        for (place, pick) in self.picks.iter().enumerate() {
            let value = &arguments[pick.argument];
            if counts(pick.filter) && !value.is_null() {
                let time = if pick.by_time { time } else { 0 };
                self.places.pick(tally.reborrow(), place, (time, value.clone()));
            }
        }
        for (values, bag) in tally.bags().iter_mut().zip(&self.bags) {
            let value = &arguments[bag.argument];
            if counts(bag.filter) && !value.is_null() {
                count(values, (if bag.by_time { time } else { 0 }, value.clone()), sign);
            }
        }
    }

    /// The values of the calls.
    pub fn results(&self, tally: TallyRef<'_>) -> impl Iterator<Item = Value> {
        self.finals.iter().map(move |of| of.value(&self.places, tally))
    }
}

/// The greatest absolute value of a sum of products of these, if it has 256 bits.
fn bound(factors: &[Kind]) -> Option<I256> {
    factors.iter().try_fold(MOST_ROWS, |bound, kind| match kind {
        Kind::Number(decimal) => bound.checked_mul(decimal.bound),
        Kind::Timestamp => bound.checked_mul(i64::MAX.into()),
        _ => None,
    })
}

/// The place of an item in a list, to whose end it is added if it is new.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Term {
    /// Whether it may exceed 256 bits.
    pub fn is_big(&self) -> bool {
        self.bound.is_none()
    }

    /// All arguments that it needs.
    pub fn arguments(&self) -> impl Iterator<Item = usize> {
        let others = self.factors.iter().filter(|factor| !self.present.contains(factor));
        self.present.iter().chain(others).copied()
    }

    /// What a row adds, of which the arguments are not NULL.
    pub fn of<'a>(&self, argument: impl Fn(usize) -> &'a Value, sign: i64) -> Total {
        if self.is_big() {
            let product = self.factors.iter().filter_map(|&place| integer(argument(place)));
            return Total::Big(product.fold(sign.into(), |product, factor| product * factor));
        }
        let factors = self.factors.iter().filter_map(|&place| units(argument(place)));
        let product = factors.fold(I256::from(sign), |product, factor| product.wrapping_mul(factor.0));
        Total::Wide(product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        layout.places.write(tally, &mut bytes);
        (bytes, layout.results(tally).collect())
    }

    proptest! {
        #[test]
        fn tallies_merge_and_are_read_back(rows in prop::collection::vec((row(), 0usize..3), 0..20), retracts in any::<bool>()) {
            let layout = layout(retracts);
            let mut whole = layout.places.empty().to_owned();
            let mut parts = vec![layout.places.empty().to_owned(); 3];
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
            let mut merged = layout.places.empty().to_owned();
            parts.iter().for_each(|part| layout.places.merge(merged.get_mut(), part.get()));
            prop_assert_eq!(seen(&layout, merged.get()), seen(&layout, whole.get()));
            let (bytes, values) = seen(&layout, whole.get());
            let mut read = layout.places.empty().to_owned();
            read.get_mut().bags().clone_from_slice(whole.get().bags());
            prop_assert!(layout.places.read(&bytes, read.get_mut()).is_some());
            prop_assert_eq!(seen(&layout, read.get()), (bytes.clone(), values));
            prop_assert!(layout.places.read(&bytes[..bytes.len() - 1], read.get_mut()).is_none());
        }
    }
}
