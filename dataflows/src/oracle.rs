//! An independent computation of the same results: from scratch with big rationals, without timely, differential
//! dataflow, [`crate::accumulation`] or [`crate::real`].
//!
//! Tests compare the views with it, and `truckflow verify` the output of a job. [`mod@value`] does the same for
//! user-defined expressions, one row at a time, and [`relation`] for views of any shape.

pub mod relation;
pub mod root;
pub mod value;

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use self::root::Root;

/// The exact value of a correlation: the root of r².
///
/// ```
/// use dataflows::accumulation::Accumulation;
/// use dataflows::oracle::Correlation;
///
/// let pairs = [(1, 2), (2, 4), (3, 5)];
/// let mut sums = Accumulation::default();
/// pairs.iter().for_each(|&(x, y)| sums.add(&Accumulation::of(x, y)));
/// let exact = Correlation::of(pairs).unwrap();
/// assert_eq!(sums.r(), Some(exact.nearest()));
/// assert!(exact.is_within_ulps(sums.r().unwrap(), 1, 2));
/// ```
pub type Correlation = Root;

impl Correlation {
    /// Pearson's r of pairs, from their deviations from the mean (a different formula than that of the sums); none
    /// for fewer than two pairs or if one variable is constant.
    pub fn of(pairs: impl IntoIterator<Item = (i64, i64)>) -> Option<Self> {
        let pairs: Vec<(i64, i64)> = pairs.into_iter().collect();
        let n = pairs.len() as i128;
        let sums = pairs
            .iter()
            .fold((0i128, 0i128), |sums, pair| (sums.0 + i128::from(pair.0), sums.1 + i128::from(pair.1)));
        // n times each deviation, so that all are integers: far below 127 bits for fewer than 2^60 pairs.
        let (mut xx, mut xy, mut yy) = (BigInt::zero(), BigInt::zero(), BigInt::zero());
        for &(x, y) in &pairs {
            let (u, v) = (BigInt::from(n * i128::from(x) - sums.0), BigInt::from(n * i128::from(y) - sums.1));
            xx += &u * &u;
            xy += &u * &v;
            yy += &v * &v;
        }
        if pairs.len() < 2 || xx.is_zero() || yy.is_zero() {
            return None;
        }
        let negative = xy.is_negative();
        Some(Self { square: BigRational::new(&xy * &xy, xx * yy), negative })
    }
}

/// The double nearest to a rational; of two equally near, the even one. A guess moves while the midpoint between it
/// and its neighbour is on the wrong side of the value.
pub fn nearest(value: &BigRational) -> f64 {
    let magnitude = value.abs();
    let mut near = magnitude.to_f64().unwrap_or(0.0).clamp(0.0, f64::MAX);
    // Whether the value is nearer to `above` than to the double below it.
    let is_nearer_to = |above: f64| match between(&magnitude, above) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => above.to_bits().is_multiple_of(2),
    };
    while near > 0.0 && !is_nearer_to(near) {
        near = near.next_down();
    }
    while near < f64::MAX && is_nearer_to(near.next_up()) {
        near = near.next_up();
    }
    if value.is_negative() && near > 0.0 { -near } else { near }
}

/// Compares a value with the midpoint between a positive double and the one below it.
fn between(value: &BigRational, above: f64) -> Ordering {
    // A double is a 53-bit integer times a power of two, and the midpoint is half of the sum of two.
    let parts = |x: f64| {
        let (exponent, fraction) = ((x.to_bits() >> 52) as i32, x.to_bits() & ((1 << 52) - 1));
        match exponent {
            0 => (fraction, -1074),
            _ => (fraction | 1 << 52, exponent - 1075),
        }
    };
    let ((high, power), (low, other)) = (parts(above), parts(above.next_down()));
    let least = power.min(other);
    let sum =
        (BigInt::from(high) << (power - least) as usize) + (BigInt::from(low) << (other - least) as usize);
    match least - 1 {
        shift @ 0.. => value.numer().cmp(&((sum << shift as usize) * value.denom())),
        shift => (value.numer() << shift.unsigned_abs() as usize).cmp(&(sum * value.denom())),
    }
}

/// The exact value of a decimal such as `-1.25`; none if the text is not one.
///
/// ```
/// use dataflows::oracle::{decimal, nearest};
///
/// assert_eq!(nearest(&decimal("-1.25").unwrap()), -1.25);
/// assert_eq!(decimal("a quarter"), None);
/// ```
pub fn decimal(text: &str) -> Option<BigRational> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().ok()?;
    Some(BigRational::new(digits, BigInt::from(10).pow(fraction.len() as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::ratio;

    #[test]
    fn a_correlation_computed_by_hand() {
        // x: 1 2 3, y: 2 4 5: r² = 27/28.
        let correlation = Correlation::of([(1, 2), (2, 4), (3, 5)]).unwrap();
        assert_eq!(correlation.square, BigRational::new(27.into(), 28.into()));
        let r = correlation.nearest();
        assert_eq!(r, (27f64 / 28.0).sqrt());
        assert!(correlation.is_within_ulps(r, 1, 2));
        assert!(!correlation.is_within_ulps(r.next_up().next_up(), 1, 1));
        assert!(!correlation.is_within_ulps(-r, 2, 1));
    }

    #[test]
    fn the_nearest_double_is_the_result_of_division() {
        for (n, d) in
            [(1i64, 3i64), (-2, 3), (0, 5), (9_200_000_000_000_000_001, 1_000_000_000), (1, 1 << 60)]
        {
            assert_eq!(nearest(&BigRational::new(n.into(), d.into())), ratio(n.into(), d.into()).unwrap());
        }
    }

    #[test]
    fn neighbouring_doubles_of_any_magnitude_are_distinguished() {
        for x in
            [1.0, 1.5, f64::MIN_POSITIVE, 5e-324, 4.0, 0.1, 1e300, f64::MAX, 2f64.powi(-1022).next_down()]
        {
            let (below, exact) = (x.next_down(), |x| BigRational::from_float(x).unwrap());
            assert_eq!(nearest(&exact(x)), x);
            assert_eq!(nearest(&-exact(x)), -x);
            let half = (exact(x) + exact(below)) / BigRational::from(BigInt::from(2));
            let hair = (exact(x) - exact(below)) / BigRational::from(BigInt::from(1000));
            assert_eq!(nearest(&(&half + &hair)), x);
            assert_eq!(nearest(&(&half - &hair)), below);
            let even = if x.to_bits().is_multiple_of(2) { x } else { below };
            assert_eq!(nearest(&half), even);
        }
        assert_eq!(nearest(&BigRational::zero()).to_bits(), 0);
    }
}
