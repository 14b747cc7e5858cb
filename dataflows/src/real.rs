//! Exact quotients and products as doubles, rounded once.

use num_bigint::{BigInt, BigUint};
use num_traits::{Signed, ToPrimitive, Zero};

/// Integers up to this one are exact doubles, so that a division of two rounds once.
const EXACT: u128 = 1 << 53;
/// Powers of ten up to this exponent are exact doubles.
const EXACT_POWER: u32 = 22;

/// `numerator / denominator`, rounded once, half to even; none if the denominator is 0.
///
/// ```
/// assert_eq!(dataflows::real::ratio(1, 3), Some(1.0 / 3.0));
/// assert_eq!(dataflows::real::ratio(1, 0), None);
/// ```
#[inline(always)]
pub fn ratio(numerator: i128, denominator: i128) -> Option<f64> {
    let (n, d) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    if d == 0 {
        return None;
    }
    if n <= EXACT && d <= EXACT {
        // Both fit 64 bits, whose conversion is one instruction. + 0.0: no negative zero
        return Some(numerator as i64 as f64 / denominator as i64 as f64 + 0.0);
    }
    let magnitude = divide(n, d);
    Some(if (numerator < 0) != (denominator < 0) && n != 0 { -magnitude } else { magnitude })
}

/// The quotient of any two integers, rounded once: it has at least 55 bits, whose last one is set if there is a
/// remainder, so that the conversion to 53 bits rounds correctly.
fn divide(n: u128, d: u128) -> f64 {
    // One division has enough bits, unless the denominator is long.
    let shift = n.leading_zeros();
    if n != 0 && d.leading_zeros() >= 56 {
        let (quotient, rest) = ((n << shift) / d, (n << shift) % d);
        return (quotient | u128::from(rest != 0)) as f64 * power_of_two(-(shift as i32));
    }
    divide_by_bits(n, d)
}

/// The same by binary long division.
fn divide_by_bits(n: u128, d: u128) -> f64 {
    let mut quotient = n / d;
    let mut rest = n % d;
    let mut exponent = 0i32;
    while quotient < 1 << 55 && rest != 0 {
        // The rest is below d, so if doubling it overflows, subtracting d brings it back into range.
        let overflow = rest >> 127 != 0;
        let doubled = rest << 1;
        let bit = overflow || doubled >= d;
        rest = if bit { doubled.wrapping_sub(d) } else { doubled };
        quotient = quotient << 1 | u128::from(bit);
        exponent -= 1;
    }
    quotient |= u128::from(rest != 0);
    // 2^exponent is exact and normal: at most 128 + 55 doublings.
    quotient as f64 * power_of_two(exponent)
}

/// 2^exponent, for exponents of normal doubles.
pub(crate) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + i64::from(exponent)) as u64) << 52)
}

/// `units / 10^places` as a double, rounded once. At most 38 places.
///
/// ```
/// assert_eq!(dataflows::real::decimal(125, 2), 1.25);
/// ```
#[inline(always)]
pub fn decimal(units: i128, places: u8) -> f64 {
    let power = u32::from(places);
    if units.unsigned_abs() <= EXACT && power <= EXACT_POWER {
        return units as i64 as f64 / POWERS[power as usize];
    }
    ratio(units, 10i128.pow(power)).unwrap_or(0.0)
}

/// The double nearest to `numerator / denominator`, half to even. The denominator is positive; beyond the range of
/// doubles the result is infinite.
///
/// ```
/// use dataflows::real::nearest;
///
/// assert_eq!(nearest(&1.into(), &3.into()), 1.0 / 3.0);
/// ```
pub fn nearest(numerator: &BigInt, denominator: &BigInt) -> f64 {
    if let (Some(n), Some(d)) = (numerator.to_i128(), denominator.to_i128()) {
        return ratio(n, d).unwrap_or(f64::NAN);
    }
    let (quotient, is_cut, shift) = quotient(numerator, denominator);
    let magnitude = rounded(&quotient, is_cut, -shift);
    if numerator.is_negative() { -magnitude } else { magnitude }
}

/// The double nearest to the square root of `numerator / denominator`, neither negative, half to even.
pub fn root(numerator: &BigInt, denominator: &BigInt) -> f64 {
    let (quotient, is_cut, shift) = quotient(numerator, denominator);
    let root = quotient.sqrt();
    let is_cut = is_cut || &root * &root != quotient;
    rounded(&root, is_cut, -shift / 2)
}

/// The quotient of the magnitudes times `2^shift`, of which at least 130 bits are before the point; whether a part
/// behind it was cut off; and the shift, which is even.
fn quotient(numerator: &BigInt, denominator: &BigInt) -> (BigUint, bool, i64) {
    let (numerator, denominator) = (numerator.magnitude(), denominator.magnitude());
    let shift = (131 + denominator.bits() as i64 - numerator.bits() as i64 + 1) & !1;
    let (n, d) = match shift {
        0.. => (numerator << shift as u64, denominator.clone()),
        _ => (numerator.clone(), denominator << shift.unsigned_abs()),
    };
    let rest = !(&n % &d).is_zero();
    (n / d, rest, shift)
}

/// `value · 2^exponent` as the nearest double, half to even; `is_cut` says that the exact value is a little larger.
fn rounded(value: &BigUint, is_cut: bool, exponent: i64) -> f64 {
    if value.is_zero() {
        return 0.0;
    }
    let top = value.bits() as i64 + exponent; // the value is below 2^top
    if top > 1024 {
        return f64::INFINITY;
    }
    // The least bit that the double keeps: 53 bits, or fewer of a subnormal.
    let least = (top - 53).max(-1074);
    let drop = least - exponent;
    let (mut kept, half, below) = match drop {
        1.. => {
            let kept = value >> drop as u64;
            let half = value.bit(drop as u64 - 1);
            let below = is_cut || value.trailing_zeros().is_some_and(|zeros| (zeros as i64) < drop - 1);
            (kept, half, below)
        }
        _ => (value << drop.unsigned_abs(), false, is_cut),
    };
    if half && (below || kept.bit(0)) {
        kept += 1u32;
    }
    let mantissa = kept.to_u64().unwrap_or(0) as f64; // at most 2^53
    // In two steps, as 2^least alone may be no normal double; only the last one could round, and is exact.
    let power = |exponent: i64| f64::from_bits(((1023 + exponent) as u64) << 52);
    match least {
        -1022..=971 => mantissa * power(least),
        ..-1022 => mantissa * power(least + 100) * power(-100),
        _ => f64::INFINITY,
    }
}

/// A finite double as `mantissa · 2^exponent`.
///
/// ```
/// assert_eq!(dataflows::real::parts(-0.375), (-3, -3));
/// ```
pub fn parts(real: f64) -> (i64, i32) {
    let bits = real.to_bits();
    let biased = (bits >> 52 & 0x7ff) as i32;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let magnitude = if biased == 0 { fraction } else { fraction | 1 << 52 };
    if magnitude == 0 {
        return (0, 0);
    }
    let zeros = magnitude.trailing_zeros();
    let odd = magnitude >> zeros;
    (if real < 0.0 { -odd } else { odd }, biased.max(1) - 1075 + zeros as i32)
}

/// The powers of ten that are exact.
const POWERS: [f64; EXACT_POWER as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use num_rational::BigRational;
    use proptest::prelude::*;

    /// Whether no double is nearer to n/d, with ties to even.
    fn is_nearest(got: f64, n: i128, d: i128) -> bool {
        let exact = BigRational::new(n.into(), d.into());
        let of = |x: f64| BigRational::from_float(x).expect("finite");
        let distance = |x: f64| {
            let off = of(x) - &exact;
            if off < BigRational::from(BigInt::from(0)) { -off } else { off }
        };
        [got.next_up(), got.next_down()].into_iter().filter(|other| other.is_finite()).all(|other| {
            let (mine, theirs) = (distance(got), distance(other));
            mine < theirs || (mine == theirs && got.to_bits().is_multiple_of(2))
        })
    }

    fn integer() -> impl Strategy<Value = i128> {
        prop_oneof![
            any::<i128>(),
            any::<i64>().prop_map(i128::from),
            -1000i128..1000,
            (0u32..127).prop_map(|p| 1 << p)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn a_ratio_is_the_nearest_double(n in integer(), d in integer()) {
            prop_assume!(d != 0);
            let got = ratio(n, d).unwrap();
            prop_assert!(is_nearest(got, n, d), "{n}/{d} = {got}");
        }

        #[test]
        fn a_decimal_is_the_nearest_double(units in integer(), places in 0u8..=38) {
            prop_assert!(is_nearest(decimal(units, places), units, 10i128.pow(places.into())));
        }
    }

    fn big() -> impl Strategy<Value = BigInt> {
        (prop::collection::vec(any::<u8>(), 0..60), 0u32..300)
            .prop_map(|(bytes, shift)| BigInt::from_signed_bytes_le(&bytes) << shift)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn a_quotient_of_big_integers_is_the_nearest_double(n in big(), d in big()) {
            let d = d.abs() + 1;
            prop_assert_eq!(nearest(&n, &d), crate::oracle::nearest(&BigRational::new(n.clone(), d.clone())));
        }

        #[test]
        fn a_root_is_the_nearest_double(n in big(), d in big()) {
            let (n, d) = (n.abs(), d.abs() + 1);
            let got = root(&n, &d);
            let exact = BigRational::new(n, d);
            // Between the midpoints to both neighbours: compared by squares.
            let of = |x: f64| BigRational::from_float(x).unwrap();
            let half = BigRational::new(1.into(), 2.into());
            let above = (of(got) + of(got.next_up())) * &half;
            prop_assert!(&above * &above >= exact);
            if got > 0.0 {
                let below = (of(got) + of(got.next_down())) * &half;
                prop_assert!(&below * &below <= exact);
            }
        }
    }

    #[test]
    fn doubles_at_the_ends_of_their_range() {
        let one = BigInt::from(1);
        assert_eq!(nearest(&one, &(BigInt::from(1) << 1074)), f64::from_bits(1));
        assert_eq!(nearest(&one, &(BigInt::from(1) << 1075)), 0.0);
        assert_eq!(nearest(&3.into(), &(BigInt::from(1) << 1075)), f64::from_bits(2));
        assert_eq!(nearest(&(BigInt::from(1) << 1024), &one), f64::INFINITY);
        assert_eq!(nearest(&((BigInt::from(1) << 1024) - (BigInt::from(1) << 970)), &one), f64::INFINITY);
        assert_eq!(nearest(&((BigInt::from(1) << 1024) - (BigInt::from(1) << 970) - 1), &one), f64::MAX);
        assert_eq!(root(&(BigInt::from(1) << 600), &one), 2f64.powi(300));
    }
}
