//! Values of user-defined expressions, one at a time: decimals as big rationals, NULL as in SQL.

use std::cmp::Ordering;
use std::sync::Arc;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::nearest;
use crate::batch::NANO;
use crate::expression::{Arithmetic, Rounding};

/// A value of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// NULL, or unknown.
    Null,
    /// A decimal.
    Exact(BigRational),
    /// A double.
    Real(f64),
    /// A text.
    Text(Arc<str>),
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// True or false.
    Truth(bool),
}

impl Datum {
    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// True, false or unknown.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Truth(holds) => Some(*holds),
            Self::Null => None,
            other => panic!("{other:?} is not a condition"),
        }
    }

    pub(crate) fn rational(&self) -> BigRational {
        match self {
            Self::Exact(exact) => exact.clone(),
            Self::Real(real) => BigRational::from_float(*real).expect("infinities and NaN are NULL"),
            other => panic!("{other:?} is not a number"),
        }
    }

    /// A number as a double, rounded once.
    pub fn real(&self) -> f64 {
        match self {
            Self::Exact(exact) => nearest(exact),
            Self::Real(real) => *real,
            other => panic!("{other:?} is not a number"),
        }
    }
}

/// A number in nano-units.
pub fn nano(units: i64) -> Datum {
    Datum::Exact(fraction(units.into(), NANO.into()))
}

/// A quotient as it is, by a divisor that is not 0. Values are compared by value, and reducing each of them would take
/// longer than all else.
pub fn fraction(dividend: BigInt, divisor: BigInt) -> BigRational {
    match divisor.is_negative() {
        true => BigRational::new_raw(-dividend, -divisor),
        false => BigRational::new_raw(dividend, divisor),
    }
}

/// Compares fractions, reduced or not.
fn compared(a: &BigRational, b: &BigRational) -> Ordering {
    match a.denom() == b.denom() {
        true => a.numer().cmp(b.numer()),
        false => (a.numer() * b.denom()).cmp(&(b.numer() * a.denom())),
    }
}

/// The sum of fractions, or their difference, by `op` of integers.
fn added(a: &BigRational, b: &BigRational, op: impl Fn(&BigInt, &BigInt) -> BigInt) -> BigRational {
    match a.denom() == b.denom() {
        true => fraction(op(a.numer(), b.numer()), a.denom().clone()),
        false => {
            let (a_numer, b_numer) = (a.numer() * b.denom(), b.numer() * a.denom());
            fraction(op(&a_numer, &b_numer), a.denom() * b.denom())
        }
    }
}

/// A number rounded to some decimal places.
pub(crate) fn rounded(exact: &BigRational, rounding: Rounding, places: u8) -> BigRational {
    let by = BigRational::from(BigInt::from(10).pow(places.into()));
    let units = exact * &by;
    let units = match rounding {
        Rounding::Nearest => units.round(), // rounds half away from zero
        Rounding::Floor => units.floor(),
        Rounding::Ceiling => units.ceil(),
    };
    units / by
}

/// The result of an operation: exact for decimals if it `fits`, otherwise a double. NULL if undefined.
pub(crate) fn arithmetic(op: Arithmetic, a: Datum, b: Datum, fits: bool) -> Datum {
    if a.is_null() || b.is_null() {
        return Datum::Null;
    }
    if let (Datum::Exact(x), Datum::Exact(y), true) = (&a, &b, fits) {
        return match op {
            Arithmetic::Add => Datum::Exact(added(x, y, |x, y| x + y)),
            Arithmetic::Subtract => Datum::Exact(added(x, y, |x, y| x - y)),
            Arithmetic::Multiply => Datum::Exact(fraction(x.numer() * y.numer(), x.denom() * y.denom())),
            _ if y.is_zero() => Datum::Null,
            Arithmetic::Divide => {
                let quotient = fraction(x.numer() * y.denom(), x.denom() * y.numer());
                Datum::Real(nearest(&quotient))
            }
            Arithmetic::Remainder => Datum::Exact(x - (x / y).trunc() * y),
        };
    }
    let (x, y) = (a.real(), b.real());
    let result = match op {
        Arithmetic::Add => x + y,
        Arithmetic::Subtract => x - y,
        Arithmetic::Multiply => x * y,
        Arithmetic::Divide => x / y,
        Arithmetic::Remainder => x % y,
    };
    if result.is_finite() { Datum::Real(result) } else { Datum::Null }
}

/// Compares two values; unknown with NULL.
pub(crate) fn order(a: &Datum, b: &Datum) -> Option<Ordering> {
    match (a, b) {
        (Datum::Null, _) | (_, Datum::Null) => None,
        (Datum::Text(a), Datum::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Datum::Time(a), Datum::Time(b)) => Some(a.cmp(b)),
        (Datum::Truth(a), Datum::Truth(b)) => Some(a.cmp(b)),
        (Datum::Real(a), Datum::Real(b)) => a.partial_cmp(b),
        (Datum::Exact(a), Datum::Exact(b)) => Some(compared(a, b)),
        (a, b) => Some(compared(&a.rational(), &b.rational())),
    }
}

/// AND (`decides` false) or OR (`decides` true).
pub(crate) fn all_of(truths: impl Iterator<Item = Option<bool>>, decides: bool) -> Datum {
    let truths: Vec<_> = truths.collect();
    if truths.contains(&Some(decides)) {
        Datum::Truth(decides)
    } else if truths.contains(&None) {
        Datum::Null
    } else {
        Datum::Truth(!decides)
    }
}

/// The greatest (`Greater`) or least (`Less`); NULL if any value is.
pub(crate) fn extreme(values: Vec<Datum>, wanted: Ordering) -> Datum {
    if values.iter().any(Datum::is_null) {
        return Datum::Null;
    }
    let better = |a: Datum, b: Datum| if order(&b, &a) == Some(wanted) { b } else { a };
    values.into_iter().reduce(better).unwrap_or(Datum::Null)
}
