//! The value of a call, computed exactly of what is kept of its group, and rounded once.

use std::collections::BTreeMap;

use num_bigint::BigInt;

use super::call::{Fraction, Function, Population, Regression};
use super::kept::{End, TallyRef, Timed};
use super::places::Places;
use super::total::{REAL_BITS, integer, is_negative};
use super::value::Value;
use crate::accumulation::Accumulation;
use crate::expression::{Expression, Kind};
use crate::real::{nearest, ratio, root};
use crate::wide::Wide;

/// How the value of a call is computed.
#[derive(Clone, Debug)]
pub(super) enum Final {
    /// The number of rows.
    Rows,
    /// A sum of ones.
    Count(usize),
    /// The least or greatest value so far.
    Pick(usize),
    /// The least or greatest value of a multiset.
    End(usize, End),
    /// A function of sums.
    Moments(Box<Moments>),
    /// A function of the distinct values of a multiset.
    Distinct { function: Function, bag: usize, unit: Unit },
    /// A percentile of a multiset.
    Percentile { fraction: Fraction, is_continuous: bool, bag: usize, unit: Unit },
}

/// The denominator of an argument's integers.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    denominator: BigInt,
    /// The denominator, if it is a power of ten.
    narrow: Option<i128>,
    /// Whether sums stay decimals.
    is_decimal: bool,
    /// Whether integers fit 64 bits.
    is_narrow: bool,
}

/// The places of the sums of a function.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    function: Function,
    n: usize,
    x: usize,
    xx: usize,
    /// Σy, Σxy and Σyy.
    pair: Option<[usize; 3]>,
    unit: Unit,
    unit_of_y: Unit,
}

/// The sums of a function.
struct Sums {
    n: BigInt,
    x: BigInt,
    xx: BigInt,
    y: BigInt,
    xy: BigInt,
    yy: BigInt,
}

impl Unit {
    fn of(expression: &Expression) -> Self {
        match expression.kind() {
            Kind::Number(decimal) => Self {
                denominator: BigInt::from(10).pow(decimal.scale.into()),
                narrow: Some(10i128.pow(decimal.scale.into())),
                is_decimal: true,
                is_narrow: decimal.bound <= ethnum::I256::from(i64::MAX),
            },
            Kind::Timestamp => Self {
                denominator: 1_000_000.into(),
                narrow: Some(1_000_000),
                is_decimal: false,
                is_narrow: true,
            },
            _ => Self {
                denominator: BigInt::from(1) << REAL_BITS,
                narrow: None,
                is_decimal: false,
                is_narrow: false,
            },
        }
    }
}

impl Final {
    pub fn distinct(function: Function, bag: usize, argument: &Expression) -> Self {
        Self::Distinct { function, bag, unit: Unit::of(argument) }
    }

    pub fn percentile(function: Function, bag: usize, argument: &Expression) -> Self {
        let (fraction, is_continuous) = match function {
            Function::PercentileCont(fraction) => (fraction, true),
            Function::PercentileDisc(fraction) => (fraction, false),
            _ => (Fraction::HALF, true),
        };
        Self::Percentile { fraction, is_continuous, bag, unit: Unit::of(argument) }
    }

    pub fn moments(
        function: Function,
        n: usize,
        x: usize,
        xx: usize,
        pair: Option<[usize; 3]>,
        arguments: &[Expression],
    ) -> Self {
        // The last one is x.
        let (unit_of_y, unit) = (Unit::of(&arguments[0]), Unit::of(&arguments[arguments.len() - 1]));
        Self::Moments(Box::new(Moments { function, n, x, xx, pair, unit, unit_of_y }))
    }

    /// The value for a group.
    pub fn value(&self, places: &Places, tally: TallyRef<'_>) -> Value {
        match self {
            Self::Rows => Value::Number(tally.rows().into()),
            Self::Count(term) => match places.wide(tally, *term) {
                Some(number) => Value::Number(Wide(number)),
                None => number(places.big(tally, *term)),
            },
            Self::Pick(pick) => places.extreme(tally, *pick).map_or(Value::Null, |(_, value)| value),
            Self::End(bag, End::Least) => value_of(tally.bags()[*bag].keys().next()),
            Self::End(bag, End::Greatest) => value_of(tally.bags()[*bag].keys().next_back()),
            Self::Moments(moments) => moments.value(places, tally),
            Self::Distinct { function: Function::Count, bag, .. } => {
                Value::Number((tally.bags()[*bag].len() as i64).into())
            }
            Self::Distinct { function, bag, unit } => of_distinct(*function, &tally.bags()[*bag], unit),
            Self::Percentile { fraction, is_continuous: true, bag, unit } => {
                interpolated(&tally.bags()[*bag], *fraction, unit)
            }
            Self::Percentile { fraction, bag, .. } => discrete(&tally.bags()[*bag], *fraction),
        }
    }
}

fn value_of(timed: Option<&Timed>) -> Value {
    timed.map_or(Value::Null, |(_, value)| value.clone())
}

fn number(big: BigInt) -> Value {
    Wide::of_big(&big).map_or(Value::Null, Value::Number)
}

fn of_distinct(function: Function, values: &BTreeMap<Timed, i64>, unit: &Unit) -> Value {
    let mut sums = Sums::zero();
    for (_, value) in values.keys() {
        if let Some(x) = integer(value) {
            sums.n += 1;
            sums.xx += &x * &x;
            sums.x += x;
        }
    }
    sums.value(function, unit, unit)
}

impl Moments {
    fn value(&self, places: &Places, tally: TallyRef<'_>) -> Value {
        let narrow = |place: usize| places.wide(tally, place).and_then(|sum| Wide(sum).narrow());
        // What most calls are, without big integers.
        if let (Some(n), Some(x), Some(denominator)) = (narrow(self.n), narrow(self.x), self.unit.narrow) {
            match self.function {
                _ if n == 0 => return Value::Null,
                Function::Sum if self.unit.is_decimal => return Value::Number(x.into()),
                Function::Avg => {
                    if let Some(denominator) = denominator.checked_mul(n) {
                        return ratio(x, denominator).map_or(Value::Null, Value::real);
                    }
                }
                Function::Corr if self.unit.is_narrow && self.unit_of_y.is_narrow => {
                    if let Some(sums) = self.pair.and_then(|pair| self.of_narrow(places, tally, pair)) {
                        return sums.r().map_or(Value::Null, Value::real);
                    }
                }
                _ => {}
            }
        }
        let big = |place: usize| places.big(tally, place);
        let [y, xy, yy] = self.pair.map_or_else(Default::default, |pair| pair.map(big));
        let sums = Sums { n: big(self.n), x: big(self.x), xx: big(self.xx), y, xy, yy };
        sums.value(self.function, &self.unit, &self.unit_of_y)
    }
}

impl Moments {
    /// The sums of a pair of integers of 64 bits.
    fn of_narrow(
        &self,
        places: &Places,
        tally: TallyRef<'_>,
        [y, xy, yy]: [usize; 3],
    ) -> Option<Accumulation> {
        let sum = |place: usize| places.wide(tally, place);
        let [n, x, xx] = [sum(self.n)?, sum(self.x)?, sum(self.xx)?];
        Accumulation::from_numbers([n, x, sum(y)?, xx, sum(xy)?, sum(yy)?])
    }
}

impl Sums {
    fn zero() -> Self {
        let [n, x, xx, y, xy, yy] = <[BigInt; 6]>::default();
        Self { n, x, xx, y, xy, yy }
    }

    /// The value of a function of these sums, whose integers have these denominators.
    fn value(&self, function: Function, unit: &Unit, unit_of_y: &Unit) -> Value {
        let Self { n, x, xx, y, xy, yy } = self;
        let zero = BigInt::ZERO;
        if *n <= zero {
            return Value::Null;
        }
        let (dx, dy) = (&unit.denominator, &unit_of_y.denominator);
        // n² times the variances and the covariance.
        let var_x = || n * xx - x * x;
        let var_y = || n * yy - y * y;
        let covar = || n * xy - x * y;
        let of_population = |population: Population| match population {
            Population::Whole => n * n,
            Population::Sample => n * (n - 1),
        };
        let quotient = |numerator: BigInt, denominator: BigInt| match denominator > zero {
            true => Value::real(nearest(&numerator, &denominator)),
            false => Value::Null,
        };
        match function {
            Function::Sum if unit.is_decimal => number(x.clone()),
            Function::Sum => quotient(x.clone(), dx.clone()),
            Function::Avg => quotient(x.clone(), n * dx),
            Function::Var(population) => quotient(var_x(), of_population(population) * dx * dx),
            Function::Stddev(population) => {
                let denominator = of_population(population) * dx * dx;
                if denominator > zero { Value::real(root(&var_x(), &denominator)) } else { Value::Null }
            }
            Function::Covar(population) => quotient(covar(), of_population(population) * dx * dy),
            Function::Corr => {
                let (covar, variances) = (covar(), var_x() * var_y());
                if variances <= zero {
                    return Value::Null;
                }
                let r = root(&(&covar * &covar), &variances);
                Value::real(if is_negative(&covar) { -r } else { r })
            }
            Function::Regr(regression) => match regression {
                Regression::Slope => quotient(covar() * dx, var_x() * dy),
                Regression::Intercept => {
                    let var_x = var_x();
                    quotient(y * &var_x - covar() * x, n * dy * var_x)
                }
                Regression::R2 => match (var_x(), var_y()) {
                    (var_x, _) if var_x <= zero => Value::Null,
                    (_, var_y) if var_y <= zero => Value::real(1.0),
                    (var_x, var_y) => {
                        let covar = covar();
                        quotient(&covar * &covar, var_x * var_y)
                    }
                },
                Regression::AvgX => quotient(x.clone(), n * dx),
                Regression::AvgY => quotient(y.clone(), n * dy),
                Regression::Sxx => quotient(var_x(), n * dx * dx),
                Regression::Syy => quotient(var_y(), n * dy * dy),
                Regression::Sxy => quotient(covar(), n * dx * dy),
                Regression::Count => number(n.clone()),
            },
            Function::Count => number(n.clone()),
            // Of the others none is computed of sums.
            _ => Value::Null,
        }
    }
}

/// The value at a place, counted from 0, of the ordered values.
fn at(values: &BTreeMap<Timed, i64>, place: i64) -> Option<&Value> {
    let mut before = 0;
    values.iter().find_map(|((_, value), times)| {
        before += times;
        (before > place).then_some(value)
    })
}

fn number_of(values: &BTreeMap<Timed, i64>) -> i64 {
    values.values().sum()
}

/// `PERCENTILE_CONT`: the value at `fraction · (n − 1)`, interpolated between its neighbours.
fn interpolated(values: &BTreeMap<Timed, i64>, fraction: Fraction, unit: &Unit) -> Value {
    let n = number_of(values);
    if n <= 0 {
        return Value::Null;
    }
    let power = 10i128.pow(fraction.scale.into());
    let place = i128::from(fraction.units) * i128::from(n - 1);
    let (whole, rest) = (place.div_euclid(power) as i64, place.rem_euclid(power));
    let of = |place: i64| at(values, place).and_then(integer);
    let Some(low) = of(whole) else { return Value::Null };
    let high = if rest == 0 { low.clone() } else { of(whole + 1).unwrap_or_else(|| low.clone()) };
    let numerator = &low * power + (high - &low) * rest;
    Value::real(nearest(&numerator, &(&unit.denominator * power)))
}

/// `PERCENTILE_DISC`: the first value up to which there are at least this part of all.
fn discrete(values: &BTreeMap<Timed, i64>, fraction: Fraction) -> Value {
    let power = 10i128.pow(fraction.scale.into());
    let part = i128::from(fraction.units) * i128::from(number_of(values));
    let place = (part + power - 1).div_euclid(power).max(1) - 1;
    at(values, place as i64).cloned().unwrap_or(Value::Null)
}
