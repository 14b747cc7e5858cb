//! Exact sums of any size.

use ethnum::I256;
use num_bigint::{BigInt, Sign};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Real, Value, read_bytes, write_bytes};
use crate::real::parts;
use crate::wide::Wide;

/// What a row adds to a sum: an integer of 256 bits, or of as many as it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Total {
    Wide(I256),
    Big(BigInt),
}

/// A sum of doubles, which are multiples of the least one, or of integers that may exceed 256 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Big(pub BigInt);

/// Doubles are multiples of 2 to the power of minus this.
pub(super) const REAL_BITS: u32 = 1074;

impl Big {
    pub fn add(&mut self, total: &Total) {
        match total {
            Total::Wide(sum) => self.0 += Wide(*sum).to_big(),
            Total::Big(sum) => self.0 += sum,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        write_bytes(&self.0.to_signed_bytes_le(), out);
    }

    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self(BigInt::from_signed_bytes_le(read_bytes(bytes)?)))
    }
}

// As its bytes in state.
impl Serialize for Big {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Big {
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
