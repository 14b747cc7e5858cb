//! Rounding of decimals and doubles.

use std::cmp::Ordering;

use super::types::{Rounding, power};
use crate::real::decimal;

/// `units / by`, rounded.
#[inline]
pub(super) fn round(units: i128, by: i128, rounding: Rounding) -> i128 {
    let (whole, rest) = (units.div_euclid(by), units.rem_euclid(by));
    let up = match rounding {
        Rounding::Floor => false,
        Rounding::Ceiling => rest > 0,
        // Half away from zero: up unless negative.
        Rounding::Nearest => match rest.cmp(&(by - rest)) {
            Ordering::Less => false,
            Ordering::Equal => units >= 0,
            Ordering::Greater => true,
        },
    };
    whole + i128::from(up)
}

/// The exact value of a double, rounded to decimal places, as the nearest double.
pub(super) fn round_real(value: f64, rounding: Rounding, places: u8) -> f64 {
    match rounding {
        Rounding::Floor => value.floor(),
        Rounding::Ceiling => value.ceil(),
        // NaN, and whole numbers.
        Rounding::Nearest if value.fract() == 0.0 || value.is_nan() => value,
        Rounding::Nearest => {
            // value = mantissa / 2^shift and below 2^52, as it is not a whole number.
            let bits = value.abs().to_bits();
            let biased = (bits >> 52) as u32;
            let fraction = u128::from(bits & ((1 << 52) - 1));
            let mantissa = if biased == 0 { fraction } else { fraction | 1 << 52 };
            let shift = 1075 - biased.max(1);
            // Below 2^(53 + 74).
            let scaled = mantissa * power(places).unsigned_abs();
            let rounded = match shift {
                1..=127 => (scaled + (1 << (shift - 1))) >> shift,
                _ => 0, // less than a half
            };
            decimal(rounded as i128, places).copysign(value)
        }
    }
}
