//! The values of rows that are not readings, and their bytes in state and keys.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ethnum::I256;
use serde::{Deserialize, Serialize};

use crate::state::{push_length, take_length};
use crate::wide::Wide;

/// A finite double, never a negative zero, so that equal values have equal bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Real(pub(crate) f64);

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A value. Those of a column are NULL or of one kind, and a number has the column's scale.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// NULL.
    #[default]
    Null,
    /// The units of a decimal.
    Number(Wide),
    /// A double.
    Real(Real),
    /// A text.
    Text(Arc<str>),
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// True or false.
    Truth(bool),
}

/// A row that is not a reading.
pub type Row = Vec<Value>;

impl Value {
    /// A double; NULL if it is not finite.
    pub fn real(value: f64) -> Self {
        if value.is_finite() { Self::Real(Real(value + 0.0)) } else { Self::Null }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The microseconds of a time.
    pub fn time(&self) -> Option<i64> {
        match self {
            Self::Time(micros) => Some(*micros),
            _ => None,
        }
    }

    /// Appends its bytes. Equal values have equal bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Number(units) => {
                out.push(1);
                write_number(*units, out);
            }
            Self::Real(Real(value)) => {
                out.push(2);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Text(text) => write_text(text, out),
            Self::Time(time) => {
                out.push(4);
                out.extend_from_slice(&time.to_le_bytes());
            }
            Self::Truth(holds) => out.push(5 + u8::from(*holds)),
        }
    }

    /// Reads a value that [`write`](Self::write) appended, and advances `bytes` past it.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take(bytes, 1)? {
            [0] => Self::Null,
            [1] => Self::Number(read_number(bytes)?),
            [2] => {
                let value = f64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
                Self::Real(Real(value))
            }
            [3] => Self::Text(std::str::from_utf8(read_bytes(bytes)?).ok()?.into()),
            [4] => Self::Time(read_time(bytes)?),
            [5] => Self::Truth(false),
            [6] => Self::Truth(true),
            _ => return None,
        })
    }
}

/// The bytes of values.
pub fn written(values: &[Value]) -> Arc<[u8]> {
    let mut out = Vec::new();
    values.iter().for_each(|value| value.write(&mut out));
    out.into()
}

/// The values of bytes.
pub fn read_all(mut bytes: &[u8]) -> Option<Row> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(Value::read(&mut bytes)?);
    }
    Some(values)
}

/// The values of bytes that were written here or are validated.
pub(super) fn values_in(mut bytes: &[u8]) -> impl Iterator<Item = Value> {
    std::iter::from_fn(move || (!bytes.is_empty()).then(|| Value::read(&mut bytes))?)
}

/// Appends the bytes of the value that a text is.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(3);
    write_bytes(text.as_bytes(), out);
}

/// Appends an integer: its length and its significant bytes, little-endian.
pub(super) fn write_number(number: Wide, out: &mut Vec<u8>) {
    let bytes = number.0.to_le_bytes();
    // The last byte that is kept has the sign bit.
    let magnitude = if number.0 < I256::ZERO { !number.0 } else { number.0 };
    let bits = I256::BITS - magnitude.leading_zeros();
    let length = bits as usize / 8 + 1;
    out.push(length as u8);
    out.extend_from_slice(&bytes[..length]);
}

pub(super) fn read_number(bytes: &mut &[u8]) -> Option<Wide> {
    let length = take(bytes, 1)?[0].into();
    let kept = take(bytes, length)?;
    let mut all = [if *kept.last()? < 0x80 { 0 } else { 0xff }; 32];
    all.get_mut(..length)?.copy_from_slice(kept);
    Some(Wide(I256::from_le_bytes(all)))
}

/// Appends bytes and their number.
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(super) fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    take(bytes, length)
}

pub(super) fn read_time(bytes: &mut &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

/// Takes so many bytes from the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            (any::<i128>(), 0u32..128).prop_map(|(units, shift)| Value::Number((units >> shift).into())),
            (any::<i128>(), any::<i128>())
                .prop_map(|(high, low)| Value::Number(Wide(I256::from_words(high, low)))),
            any::<f64>().prop_map(Value::real),
            ".{0,5}".prop_map(|text| Value::Text(text.into())),
            any::<i64>().prop_map(Value::Time),
            any::<bool>().prop_map(Value::Truth),
        ]
    }

    proptest! {
        #[test]
        fn values_are_read_back(values in prop::collection::vec(value(), 0..8)) {
            prop_assert_eq!(read_all(&written(&values)), Some(values));
        }
    }
}
