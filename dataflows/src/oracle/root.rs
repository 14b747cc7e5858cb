//! Square roots of rationals, and how near a double is to one.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

/// A square root: its square, which is rational, and its sign.
///
/// ```
/// use dataflows::oracle::root::Root;
/// use num_rational::BigRational;
///
/// let root = Root { square: BigRational::from_integer(2.into()), negative: true };
/// assert_eq!(root.nearest(), -2f64.sqrt());
/// assert!(root.is_within_ulps(-2f64.sqrt(), 1, 2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its square.
    pub square: BigRational,
    /// Whether it is below 0.
    pub negative: bool,
}

impl Root {
    /// Whether `found` is within `ulps / per` units in its last place of the true value. All comparisons are exact:
    /// doubles are rationals, and roots are compared by their squares.
    pub fn is_within_ulps(&self, found: f64, ulps: i64, per: i64) -> bool {
        if self.square.is_zero() {
            return found == 0.0;
        }
        if found != 0.0 && (found < 0.0) != self.negative {
            return false;
        }
        let magnitude = found.abs();
        let unit = if magnitude == 0.0 { f64::from_bits(1) } else { magnitude - magnitude.next_down() };
        let (Some(value), Some(unit)) = (BigRational::from_float(magnitude), BigRational::from_float(unit))
        else {
            return false;
        };
        let slack = unit * BigRational::new(ulps.into(), per.into());
        let (low, high) = (&value - &slack, &value + &slack);
        let low_fits = low.is_negative() || &low * &low <= self.square;
        low_fits && self.square <= &high * &high
    }

    /// The double nearest to it, found by bisection; the greatest double if it is beyond that.
    pub fn nearest(&self) -> f64 {
        if self.square.is_zero() {
            return 0.0;
        }
        // The square is between these powers of two, exclusive, and its root between their roots.
        let exponent = self.square.numer().bits() as i64 - self.square.denom().bits() as i64;
        let (from, to) = ((exponent - 1).div_euclid(2), (exponent + 2).div_euclid(2));
        let at_least = if from < -1022 { 0.0 } else { 2f64.powi(from.min(1023) as i32) };
        let at_most = if to > 1023 { f64::MAX } else { 2f64.powi(to.max(-1022) as i32) };
        // Positive doubles have the order of their bits.
        let (mut low, mut high) = (at_least.to_bits(), at_most.to_bits());
        let exact = |x: f64| BigRational::from_float(x).unwrap_or_else(BigRational::zero);
        let compared = |x: &BigRational| (x * x).cmp(&self.square);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if compared(&exact(f64::from_bits(middle))).is_le() { low = middle } else { high = middle }
        }
        let (below, above) = (f64::from_bits(low), f64::from_bits(high));
        // Compare with the midpoint to find the nearer one.
        let between = (exact(below) + exact(above)) / BigRational::from(BigInt::from(2));
        let magnitude = match compared(&between) {
            Ordering::Less => above,
            Ordering::Greater => below,
            Ordering::Equal if low % 2 == 0 => below,
            Ordering::Equal => above,
        };
        if self.negative && magnitude > 0.0 { -magnitude } else { magnitude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root_of(square: &BigRational, negative: bool) -> Root {
        Root { square: square.clone(), negative }
    }

    #[test]
    fn roots_of_any_magnitude_are_rounded_once() {
        for x in [1.0, 1.5, 2.0, 5e-324, f64::MIN_POSITIVE, 1e-300, 0.1, 3e10, 1e300, f64::MAX] {
            let exact = BigRational::from_float(x).unwrap();
            let root = root_of(&(&exact * &exact), true);
            assert_eq!(root.nearest(), -x);
            assert!(root.is_within_ulps(-x, 0, 1));
            assert!(!root.is_within_ulps(x, 2, 1) && !root.is_within_ulps(f64::NAN, 2, 1));
        }
        let zero = root_of(&BigRational::zero(), false);
        assert_eq!(zero.nearest(), 0.0);
        assert!(zero.is_within_ulps(0.0, 0, 1) && !zero.is_within_ulps(5e-324, 2, 1));
    }

    #[test]
    fn a_root_below_all_doubles_is_near_zero() {
        let least = BigRational::from_float(5e-324).unwrap();
        let root = root_of(&(&least * &least / BigRational::from(BigInt::from(9))), true);
        assert_eq!(root.nearest().to_bits(), 0);
        assert!(root.is_within_ulps(0.0, 1, 2) && root.is_within_ulps(-5e-324, 1, 1));
    }

    proptest! {
        #[test]
        fn the_nearest_double_is_the_processors_root(square in prop_oneof![0.0f64..1e9, 0.0f64..f64::MAX]) {
            let root = root_of(&BigRational::from_float(square).unwrap(), false);
            prop_assert_eq!(root.nearest(), square.sqrt());
            prop_assert!(root.is_within_ulps(square.sqrt(), 1, 2));
            let far = square.sqrt().next_up().next_up().next_up();
            prop_assert!(square == 0.0 || !root.is_within_ulps(far, 2, 1));
        }
    }
}
