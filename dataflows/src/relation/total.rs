//! Exact sums of any size.

use ethnum::I256;
use num_bigint::{BigInt, Sign};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Real, Value, read_bytes, read_number, take, write_bytes, write_number};
use crate::real::parts;
use crate::wide::Wide;

/// A sum: of integers in 256 bits, or of doubles, which are multiples of the least one, in as many as it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Total {
    Wide(Wide),
    Big(BigInt),
}

/// Doubles are multiples of 2 to the power of minus this.
pub(super) const REAL_BITS: u32 = 1074;

impl Total {
    pub fn zero(is_big: bool) -> Self {
        if is_big { Self::Big(BigInt::ZERO) } else { Self::Wide(Wide::default()) }
    }

    /// Adds a sum of the same kind.
    pub fn add(&mut self, other: &Self) {
        match (self, other) {
            // Wraps, so that a retraction always cancels its insertion.
            (Self::Wide(sum), Self::Wide(other)) => sum.0 = sum.0.wrapping_add(other.0),
            (Self::Big(sum), other) => *sum += other.big(),
            (sum, other) => *sum = Self::Big(sum.big() + other.big()),
        }
    }

    /// Adds an integer of 128 bits.
    #[inline]
    pub fn add_narrow(&mut self, narrow: i128) {
        match self {
            Self::Wide(sum) => sum.0 = sum.0.wrapping_add(narrow.into()),
            Self::Big(sum) => *sum += narrow,
        }
    }

    /// Adds an integer of 256 bits.
    #[inline]
    pub fn add_wide(&mut self, wide: I256) {
        match self {
            Self::Wide(sum) => sum.0 = sum.0.wrapping_add(wide),
            Self::Big(sum) => *sum += Wide(wide).to_big(),
        }
    }

    /// The integer, if it has 256 bits.
    pub fn wide(&self) -> Option<I256> {
        match self {
            Self::Wide(sum) => Some(sum.0),
            Self::Big(_) => None,
        }
    }

    pub fn big(&self) -> BigInt {
        match self {
            Self::Wide(sum) => sum.to_big(),
            Self::Big(sum) => sum.clone(),
        }
    }

    pub fn narrow(&self) -> Option<i128> {
        match self {
            Self::Wide(sum) => sum.narrow(),
            Self::Big(_) => None,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Wide(sum) => {
                out.push(0);
                write_number(*sum, out);
            }
            Self::Big(sum) => {
                out.push(1);
                write_bytes(&sum.to_signed_bytes_le(), out);
            }
        }
    }

    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        match take(bytes, 1)? {
            [0] => Some(Self::Wide(read_number(bytes)?)),
            [1] => Some(Self::Big(BigInt::from_signed_bytes_le(read_bytes(bytes)?))),
            _ => None,
        }
    }
}

// As its bytes in state.
impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Total {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Self::read(&mut &bytes[..]).ok_or_else(|| serde::de::Error::custom("not a sum"))
    }
}

/// A number as an integer: units, microseconds, or the multiple of the least double.
pub(super) fn integer(value: &Value) -> Option<BigInt> {
    match value {
        Value::Number(units) => Some(units.to_big()),
        Value::Time(micros) => Some((*micros).into()),
        Value::Real(Real(real)) => {
            let (mantissa, exponent) = parts(*real);
            Some(BigInt::from(mantissa) << (exponent + REAL_BITS as i32))
        }
        _ => None,
    }
}

/// The units or microseconds of a value.
pub(super) fn units(value: &Value) -> Option<Wide> {
    match value {
        Value::Number(units) => Some(*units),
        Value::Time(micros) => Some((*micros).into()),
        _ => None,
    }
}

/// Whether an integer is below zero.
pub(super) fn is_negative(of: &BigInt) -> bool {
    of.sign() == Sign::Minus
}
