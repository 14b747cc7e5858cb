//! Aggregate functions, by their definitions: from the deviations of all values.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::cell::{Cell, Ordered};
use super::input::Input;
use crate::expression::{Expression, Kind};
use crate::oracle::nearest;
use crate::oracle::root::Root;
use crate::oracle::value::Datum;
use crate::relation::call::{Call, Fraction, Function, Population, Regression};

const NULL: Cell = Cell::Datum(Datum::Null);

/// The value of a call for the rows of a group; `time` is event time.
pub(super) fn value(call: &Call, time: Option<&Expression>, rows: &[&Input<'_>]) -> Cell {
    let passing: Vec<&Input<'_>> =
        rows.iter().copied().filter(|row| row.satisfies(call.filter.as_ref())).collect();
    let values = || values(call, &passing);
    let numbers = || values().iter().map(measure).collect::<Vec<_>>();
    let datum = |datum: Option<Datum>| Cell::Datum(datum.unwrap_or(Datum::Null));
    match call.function {
        Function::Count if call.arguments.is_empty() => integer(passing.len()),
        Function::Count => integer(values().len()),
        Function::Sum => {
            let numbers = numbers();
            let sum = (!numbers.is_empty()).then(|| sum(&numbers));
            match call.arguments[0].kind() {
                Kind::Number(_) => datum(sum.map(Datum::Exact)),
                _ => real(sum),
            }
        }
        Function::Avg => real(mean(&numbers())),
        Function::Min => datum(values().into_iter().next()),
        Function::Max => datum(values().into_iter().next_back()),
        Function::Var(population) => {
            let numbers = numbers();
            real(covariance(&numbers, &numbers, population))
        }
        Function::Stddev(population) => {
            let numbers = numbers();
            root(covariance(&numbers, &numbers, population), false)
        }
        Function::Covar(population) => {
            let (x, y) = pairs(call, &passing);
            real(covariance(&x, &y, population))
        }
        Function::Corr => {
            let (x, y) = pairs(call, &passing);
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
        Function::Median => real(interpolated(Fraction { units: 5, scale: 1 }, &numbers())),
        Function::PercentileCont(fraction) => real(interpolated(fraction, &numbers())),
        Function::PercentileDisc(fraction) => datum(discrete(fraction, values())),
    }
}

/// The values of the argument that are not NULL, in their order.
fn values(call: &Call, rows: &[&Input<'_>]) -> Vec<Datum> {
    let values = rows.iter().map(|row| row.value(&call.arguments[0]));
    let mut values: Vec<Ordered> = values.filter(|value| !value.is_null()).map(Ordered).collect();
    values.sort();
    if call.distinct {
        values.dedup();
    }
    values.into_iter().map(|Ordered(value)| value).collect()
}

/// The values of both arguments, of the rows that have both.
fn pairs(call: &Call, rows: &[&Input<'_>]) -> (Vec<BigRational>, Vec<BigRational>) {
    let of_row = |row: &&Input<'_>| {
        let pair = [0, 1].map(|place| row.value(&call.arguments[place]));
        let is_whole = pair.iter().all(|value| !value.is_null());
        is_whole.then(|| (measure(&pair[0]), measure(&pair[1])))
    };
    rows.iter().filter_map(of_row).unzip()
}

/// A number, or a timestamp as seconds since 1970.
fn measure(value: &Datum) -> BigRational {
    match value {
        Datum::Time(micros) => BigRational::new((*micros).into(), 1_000_000.into()),
        number => number.rational(),
    }
}

fn count(n: usize) -> BigRational {
    BigRational::from_integer(n.into())
}

/// Numbers as integers over one denominator: sums of integers need not be reduced at each step.
fn scaled(values: &[BigRational]) -> (Vec<BigInt>, BigInt) {
    let common = values.iter().fold(BigInt::one(), |common, value| {
        // The part of the denominator that is not in the others.
        let more = BigRational::new(value.denom().clone(), common.clone());
        common * more.numer()
    });
    (values.iter().map(|value| value.numer() * (&common / value.denom())).collect(), common)
}

fn sum(values: &[BigRational]) -> BigRational {
    let (values, denominator) = scaled(values);
    BigRational::new(values.iter().sum(), denominator)
}

/// A quotient; none if the divisor is 0.
fn quotient(dividend: BigRational, divisor: BigRational) -> Option<BigRational> {
    (!divisor.is_zero()).then(|| dividend / divisor)
}

fn mean(values: &[BigRational]) -> Option<BigRational> {
    quotient(sum(values), count(values.len()))
}

/// The sum of the products of deviations from the mean.
fn products(x: &[BigRational], y: &[BigRational]) -> BigRational {
    if x.is_empty() {
        return BigRational::zero();
    }
    let n = BigInt::from(x.len());
    // n times each deviation.
    let deviations = |values: &[BigRational]| -> (Vec<BigInt>, BigInt) {
        let (values, denominator) = scaled(values);
        let sum: BigInt = values.iter().sum();
        (values.iter().map(|value| value * &n - &sum).collect(), denominator * &n)
    };
    let ((x, by), (y, other)) = (deviations(x), deviations(y));
    BigRational::new(x.iter().zip(&y).map(|(x, y)| x * y).sum(), by * other)
}

fn covariance(x: &[BigRational], y: &[BigRational], population: Population) -> Option<BigRational> {
    let n = match population {
        Population::Whole => x.len(),
        Population::Sample => x.len().saturating_sub(1),
    };
    quotient(products(x, y), count(n))
}

fn regressed(regression: Regression, y: &[BigRational], x: &[BigRational]) -> Cell {
    let some = |value: BigRational| (!x.is_empty()).then_some(value);
    let (xx, yy, xy) = (products(x, x), products(y, y), products(x, y));
    real(match regression {
        Regression::Count => return integer(x.len()),
        Regression::Slope => quotient(xy, xx),
        // The line passes through both means.
        Regression::Intercept => quotient(xy, xx).and_then(|slope| Some(mean(y)? - slope * mean(x)?)),
        Regression::R2 if !xx.is_zero() && yy.is_zero() => Some(BigRational::one()),
        Regression::R2 => quotient(&xy * &xy, xx * yy),
        Regression::AvgX => mean(x),
        Regression::AvgY => mean(y),
        Regression::Sxx => some(xx),
        Regression::Syy => some(yy),
        Regression::Sxy => some(xy),
    })
}

fn rational(fraction: Fraction) -> BigRational {
    BigRational::new(fraction.units.into(), BigInt::from(10).pow(fraction.scale.into()))
}

/// The value at a fraction of the way from the first to the last of sorted ones.
fn interpolated(fraction: Fraction, sorted: &[BigRational]) -> Option<BigRational> {
    let way = rational(fraction) * count(sorted.len().checked_sub(1)?);
    let place = usize::try_from(way.to_integer()).ok()?;
    let (low, high) = (&sorted[place], &sorted[(place + 1).min(sorted.len() - 1)]);
    Some(low + way.fract() * (high - low))
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
