//! Integers of 256 bits: the units of decimals that sums and products need.

use std::cmp::Ordering;

use ethnum::I256;
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::real::{decimal, nearest};

/// The units of a decimal, in 256 bits.
///
/// ```
/// use dataflows::wide::Wide;
///
/// let units = Wide::from(-1_250_i128);
/// assert_eq!(units.decimal(3), "-1.25");
/// assert_eq!(units.to_real(3), -1.25);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wide(pub I256);

impl From<i128> for Wide {
    fn from(units: i128) -> Self {
        Self(I256::from(units))
    }
}

impl From<i64> for Wide {
    fn from(units: i64) -> Self {
        Self(I256::from(units))
    }
}

impl Wide {
    /// `units / 10^scale` without trailing zeros.
    pub fn decimal(self, scale: u8) -> String {
        let digits = self.0.unsigned_abs().to_string();
        let places = usize::from(scale);
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.0.cmp(&I256::ZERO) == Ordering::Less { "-" } else { "" };
        match fraction.trim_end_matches('0') {
            "" => format!("{sign}{whole}"),
            fraction => format!("{sign}{whole}.{fraction}"),
        }
    }

    /// The double nearest to `units / 10^scale`.
    pub fn to_real(self, scale: u8) -> f64 {
        match self.narrow() {
            Some(narrow) if scale <= 38 => decimal(narrow, scale),
            _ => nearest(&self.to_big(), &BigInt::from(10).pow(scale.into())),
        }
    }

    /// The units in 128 bits, if they fit.
    pub fn narrow(self) -> Option<i128> {
        let (high, low) = self.0.into_words();
        (high == low >> 127).then_some(low)
    }

    /// The same integer.
    pub fn to_big(self) -> BigInt {
        match self.narrow() {
            Some(narrow) => BigInt::from(narrow),
            None => BigInt::from_signed_bytes_le(&self.0.to_le_bytes()),
        }
    }

    /// The integer, if it fits.
    pub fn of_big(big: &BigInt) -> Option<Self> {
        if let Some(narrow) = big.to_i128() {
            return Some(narrow.into());
        }
        let bytes = big.to_signed_bytes_le();
        let mut all = [if big.is_negative() { 0xff } else { 0 }; 32];
        all.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(Self(I256::from_le_bytes(all)))
    }
}

// As its two halves: ethnum's own format is text.
impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.into_words().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (high, low) = <(i128, i128)>::deserialize(deserializer)?;
        Ok(Self(I256::from_words(high, low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_have_no_trailing_zeros() {
        for (units, scale, text) in [
            (0, 9, "0"),
            (10, 1, "1"),
            (-5, 3, "-0.005"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(Wide::from(units).decimal(scale), text);
        }
    }

    proptest! {
        #[test]
        fn a_wide_integer_is_the_same_big_one(high in any::<i128>(), low in any::<i128>(), shift in 0u32..256) {
            let wide = Wide(I256::from_words(high, low) >> shift);
            prop_assert_eq!(Wide::of_big(&wide.to_big()), Some(wide));
            prop_assert_eq!(wide.to_big().to_string(), wide.0.to_string());
            prop_assert_eq!(wide.narrow().map(Wide::from).unwrap_or(wide), wide);
        }
    }
}
