//! Aggregate functions, by their definitions: from the deviations of all values.

use std::collections::BTreeSet;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::cell::{Cell, Ordered};
use super::input::Input;
use crate::expression::{Expression, Kind};
use crate::oracle::nearest;
use crate::oracle::root::Root;
use crate::oracle::value::{Datum, fraction};
use crate::relation::call::{Call, Fraction, Function, Population, Regression};

const NULL: Cell = Cell::Datum(Datum::Null);

/// The value of a call for the rows of a group; `time` is event time.
pub(super) fn value(call: &Call, time: Option<&Expression>, rows: &[&Input<'_>]) -> Cell {
    let passing: Vec<&Input<'_>> =
        rows.iter().copied().filter(|row| row.satisfies(call.filter.as_ref())).collect();
    let values = || values(call, &passing);
    let numbers = || Numbers::of(values().iter().map(measure).collect());
    let datum = |datum: Option<Datum>| Cell::Datum(datum.unwrap_or(Datum::Null));
    match call.function {
        Function::Count if call.arguments.is_empty() => integer(passing.len()),
        Function::Count => integer(values().len()),
        Function::Sum => {
            let sum = numbers().sum();
            match call.arguments[0].kind() {
                Kind::Number(_) => datum(sum.map(Datum::Exact)),
                _ => real(sum),
            }
        }
        Function::Avg => real(numbers().mean()),
        Function::Min => datum(values().into_iter().map(Ordered).min().map(|Ordered(value)| value)),
        Function::Max => datum(values().into_iter().map(Ordered).max().map(|Ordered(value)| value)),
        Function::Var(population) => {
            let x = numbers().deviations();
            real(covariance(&x, &x, population))
        }
        Function::Stddev(population) => {
            let x = numbers().deviations();
            root(covariance(&x, &x, population), false)
        }
        Function::Covar(population) => {
            let (x, y) = pairs(call, &passing);
            real(covariance(&x.deviations(), &y.deviations(), population))
        }
        Function::Corr => {
            let (x, y) = pairs(call, &passing);
            let (x, y) = (x.deviations(), y.deviations());
            let (xx, yy, xy) = (products(&x, &x), products(&y, &y), products(&x, &y));
            root(quotient(&xy * &xy, xx * yy), xy.is_negative())
        }
        Function::Regr(regression) => {
            let (y, x) = pairs(call, &passing);
            regressed(regression, &y, &x)
        }
        Function::First | Function::Last => {
            // The least or the greatest time with its least or greatest value.
            let of_row = |row: &&Input<'_>| {
                let time = row.time(time.expect("FIRST_VALUE and LAST_VALUE have a time"))?;
                let value = row.value(&call.arguments[0]);
                (!value.is_null()).then_some((time, Ordered(value)))
            };
            let timed = passing.iter().filter_map(of_row);
            let found = if call.function == Function::First { timed.min() } else { timed.max() };
            datum(found.map(|(_, Ordered(value))| value))
        }
        Function::Median => real(interpolated(Fraction { units: 5, scale: 1 }, sorted(values()))),
        Function::PercentileCont(fraction) => real(interpolated(fraction, sorted(values()))),
        Function::PercentileDisc(fraction) => datum(discrete(fraction, sorted(values()))),
    }
}

/// The values of the argument that are not NULL; each once with DISTINCT.
fn values(call: &Call, rows: &[&Input<'_>]) -> Vec<Datum> {
    let values = rows.iter().map(|row| row.value(&call.arguments[0]));
    let values = values.filter(|value| !value.is_null());
    if call.distinct {
        let each: BTreeSet<Ordered> = values.map(Ordered).collect();
        return each.into_iter().map(|Ordered(value)| value).collect();
    }
    values.collect()
}

fn sorted(values: Vec<Datum>) -> Vec<Datum> {
    let mut values: Vec<Ordered> = values.into_iter().map(Ordered).collect();
    values.sort();
    values.into_iter().map(|Ordered(value)| value).collect()
}

/// The values of both arguments, of the rows that have both.
fn pairs(call: &Call, rows: &[&Input<'_>]) -> (Numbers, Numbers) {
    let of_row = |row: &&Input<'_>| {
        let pair = [0, 1].map(|place| row.value(&call.arguments[place]));
        let is_whole = pair.iter().all(|value| !value.is_null());
        is_whole.then(|| (measure(&pair[0]), measure(&pair[1])))
    };
    let (x, y): (Vec<_>, Vec<_>) = rows.iter().filter_map(of_row).unzip();
    (Numbers::of(x), Numbers::of(y))
}

/// A number, or a timestamp as seconds since 1970.
fn measure(value: &Datum) -> BigRational {
    match value {
        Datum::Time(micros) => fraction((*micros).into(), 1_000_000.into()),
        number => number.rational(),
    }
}

fn count(n: usize) -> BigRational {
    BigRational::from_integer(n.into())
}

/// Numbers as integers over one denominator, so that a fraction is reduced once per result.
struct Numbers {
    numerators: Vec<BigInt>,
    denominator: BigInt,
}

impl Numbers {
    fn of(values: Vec<BigRational>) -> Self {
        let mut denominator = BigInt::one();
        for value in &values {
            if *value.denom() != denominator && !(&denominator % value.denom()).is_zero() {
                // The part of it that is not in the others.
                let more = BigRational::new(value.denom().clone(), denominator.clone());
                denominator *= more.numer();
            }
        }
        let numerator = |value: BigRational| match value.into_raw() {
            (numerator, of) if of == denominator => numerator,
            (numerator, of) => numerator * (&denominator / of),
        };
        Self { numerators: values.into_iter().map(numerator).collect(), denominator }
    }

    fn len(&self) -> usize {
        self.numerators.len()
    }

    /// None of no numbers.
    fn sum(&self) -> Option<BigRational> {
        let sum = || BigRational::new(self.numerators.iter().sum(), self.denominator.clone());
        (self.len() > 0).then(sum)
    }

    fn mean(&self) -> Option<BigRational> {
        self.sum().map(|sum| sum / count(self.len()))
    }

    /// The deviations of each from the mean.
    fn deviations(&self) -> Self {
        let n = BigInt::from(self.len());
        let sum: BigInt = self.numerators.iter().sum();
        let numerators = self.numerators.iter().map(|value| value * &n - &sum).collect();
        Self { numerators, denominator: &self.denominator * n }
    }
}

/// A quotient; none if the divisor is 0.
fn quotient(dividend: BigRational, divisor: BigRational) -> Option<BigRational> {
    (!divisor.is_zero()).then(|| dividend / divisor)
}

/// The sum of the products of two lists of deviations.
fn products(x: &Numbers, y: &Numbers) -> BigRational {
    if x.len() == 0 {
        return BigRational::zero();
    }
    let sum = x.numerators.iter().zip(&y.numerators).map(|(x, y)| x * y).sum();
    BigRational::new(sum, &x.denominator * &y.denominator)
}

fn covariance(x: &Numbers, y: &Numbers, population: Population) -> Option<BigRational> {
    let n = match population {
        Population::Whole => x.len(),
        Population::Sample => x.len().saturating_sub(1),
    };
    quotient(products(x, y), count(n))
}

fn regressed(regression: Regression, y: &Numbers, x: &Numbers) -> Cell {
    let some = |value: BigRational| (x.len() > 0).then_some(value);
    let (of_x, of_y) = (x.deviations(), y.deviations());
    let (xx, yy, xy) = (products(&of_x, &of_x), products(&of_y, &of_y), products(&of_x, &of_y));
    real(match regression {
        Regression::Count => return integer(x.len()),
        Regression::Slope => quotient(xy, xx),
        // The line passes through both means.
        Regression::Intercept => quotient(xy, xx).and_then(|slope| Some(y.mean()? - slope * x.mean()?)),
        Regression::R2 if !xx.is_zero() && yy.is_zero() => Some(BigRational::one()),
        Regression::R2 => quotient(&xy * &xy, xx * yy),
        Regression::AvgX => x.mean(),
        Regression::AvgY => y.mean(),
        Regression::Sxx => some(xx),
        Regression::Syy => some(yy),
        Regression::Sxy => some(xy),
    })
}

fn rational(fraction: Fraction) -> BigRational {
    BigRational::new(fraction.units.into(), BigInt::from(10).pow(fraction.scale.into()))
}

/// The value at a fraction of the way from the first to the last of sorted ones.
fn interpolated(fraction: Fraction, sorted: Vec<Datum>) -> Option<BigRational> {
    let way = rational(fraction) * count(sorted.len().checked_sub(1)?);
    let place = usize::try_from(way.to_integer()).ok()?;
    let (low, high) = (measure(&sorted[place]), measure(&sorted[(place + 1).min(sorted.len() - 1)]));
    Some(&low + way.fract() * (high - &low))
}

/// The first of sorted values up to which there are at least this fraction of them.
fn discrete(fraction: Fraction, sorted: Vec<Datum>) -> Option<Datum> {
    let (fraction, n) = (rational(fraction), count(sorted.len()));
    let share = |place: usize| count(place + 1) / &n;
    sorted.into_iter().enumerate().find(|(place, _)| share(*place) >= fraction).map(|(_, value)| value)
}

fn integer(n: usize) -> Cell {
    Cell::Datum(Datum::Exact(count(n)))
}

/// The nearest double; NULL if there is no value, or none of a double's size.
fn real(value: Option<BigRational>) -> Cell {
    let fitting = value.filter(|value| value.abs() < least_beyond());
    Cell::Datum(fitting.map_or(Datum::Null, |value| Datum::Real(nearest(&value))))
}

/// A square root; NULL if there is no value, or none of a double's size.
fn root(square: Option<BigRational>, negative: bool) -> Cell {
    let beyond = least_beyond();
    let fitting = square.filter(|square| *square < &beyond * &beyond);
    fitting.map_or(NULL, |square| Cell::Root(Root { square, negative }))
}

/// The least number that is rounded to infinity: halfway from the greatest double to the next power of two.
fn least_beyond() -> BigRational {
    BigRational::from_integer((BigInt::one() << 1024) - (BigInt::one() << 970))
}
