//! The values of a column of rows that are not readings.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::value::{Value, take};

/// The values of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Column {
    /// The same of all rows.
    Same(Value),
    /// Numbers of 64 bits, none of them NULL.
    Numbers(Vec<i64>),
    /// Times, none of them NULL.
    Times(Vec<i64>),
    /// Others.
    Values(Vec<Value>),
    /// Some values, and for each row the index of its own.
    Named(Vec<Value>, Vec<u32>),
}

impl Column {
    /// The value of a row.
    #[inline]
    pub fn value(&self, row: usize) -> Value {
        match self {
            Self::Same(value) => value.clone(),
            Self::Numbers(units) => Value::Number(units[row].into()),
            Self::Times(times) => Value::Time(times[row]),
            Self::Values(values) => values[row].clone(),
            Self::Named(values, index) => values[index[row] as usize].clone(),
        }
    }

    /// Compares the values of two rows.
    pub fn compare(&self, one: usize, other: usize) -> Ordering {
        match self {
            Self::Same(_) => Ordering::Equal,
            Self::Numbers(units) | Self::Times(units) => units[one].cmp(&units[other]),
            Self::Values(_) | Self::Named(..) => self.value(one).cmp(&self.value(other)),
        }
    }

    /// Those of some rows.
    pub fn at(&self, rows: &[u32]) -> Self {
        let of = |units: &[i64]| rows.iter().map(|&row| units[row as usize]).collect();
        match self {
            Self::Same(value) => Self::Same(value.clone()),
            Self::Numbers(units) => Self::Numbers(of(units)),
            Self::Times(units) => Self::Times(of(units)),
            Self::Values(values) => {
                Self::Values(rows.iter().map(|&row| values[row as usize].clone()).collect())
            }
            Self::Named(values, index) => {
                Self::Named(values.clone(), rows.iter().map(|&row| index[row as usize]).collect())
            }
        }
    }

    /// Appends the values of some rows of another one, of which `len` is how many rows this one has.
    pub fn extend(&mut self, len: usize, from: &Self, rows: &[u32]) {
        let of = |units: &[i64]| rows.iter().map(|&row| units[row as usize]).collect::<Vec<_>>();
        match (&mut *self, from) {
            (Self::Numbers(units), Self::Numbers(others)) | (Self::Times(units), Self::Times(others)) => {
                units.extend(of(others));
            }
            (Self::Named(values, index), Self::Same(value)) => {
                if values.last() != Some(value) {
                    values.push(value.clone());
                }
                index.resize(len + rows.len(), values.len() as u32 - 1);
            }
            (Self::Values(values), from) => values.extend(rows.iter().map(|&row| from.value(row as usize))),
            (own, Self::Same(_)) if len == 0 => {
                *own = Self::Named(Vec::new(), Vec::new());
                own.extend(len, from, rows);
            }
            (own, from) if len == 0 => *own = from.at(rows),
            (own, from) => {
                *own = Self::Values((0..len).map(|row| own.value(row)).collect());
                own.extend(len, from, rows);
            }
        }
    }

    /// Appends another one; `len` and `more` are how many rows both have.
    pub fn append(&mut self, len: usize, other: Self, more: usize) {
        match (&mut *self, other) {
            (Self::Numbers(units), Self::Numbers(others)) | (Self::Times(units), Self::Times(others)) => {
                units.extend(others);
            }
            (Self::Same(value), Self::Same(other)) if *value == other => {}
            (_, other) => {
                let mut values: Vec<Value> = (0..len).map(|row| self.value(row)).collect();
                values.extend((0..more).map(|row| other.value(row)));
                *self = Self::Values(values);
            }
        }
    }

    /// Appends its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut units = |kind: u8, units: &[i64]| {
            out.push(kind);
            write_units(units, out);
        };
        match self {
            Self::Numbers(numbers) => units(0, numbers),
            Self::Times(times) => units(1, times),
            Self::Same(value) => {
                out.push(2);
                value.write(out);
            }
            Self::Values(values) => {
                out.push(3);
                values.iter().for_each(|value| value.write(out));
            }
            Self::Named(values, index) => {
                out.push(3);
                index.iter().for_each(|&at| values[at as usize].write(out));
            }
        }
    }

    /// Reads what [`write`](Self::write) appended for so many rows, and advances `bytes` past it.
    pub fn read(bytes: &mut &[u8], rows: usize) -> Option<Self> {
        Some(match take(bytes, 1)? {
            [0] => Self::Numbers(read_units(bytes, rows)?),
            [1] => Self::Times(read_units(bytes, rows)?),
            [2] => Self::Same(Value::read(bytes)?),
            [3] => Self::Values((0..rows).map(|_| Value::read(bytes)).collect::<Option<_>>()?),
            _ => return None,
        })
    }
}

/// Appends units of 64 bits.
pub(super) fn write_units(units: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + units.len() * 8, 0);
    let (places, _) = out[start..].as_chunks_mut::<8>();
    places.iter_mut().zip(units).for_each(|(place, units)| *place = units.to_le_bytes());
}

pub(super) fn read_units(bytes: &mut &[u8], rows: usize) -> Option<Vec<i64>> {
    let (units, []) = take(bytes, rows.checked_mul(8)?)?.as_chunks::<8>() else { return None };
    Some(units.iter().map(|units| i64::from_le_bytes(*units)).collect())
}
