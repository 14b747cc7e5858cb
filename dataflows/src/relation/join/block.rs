//! Rows of one key, as columns in the order of their times: the unit of joins whose rows stay.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::super::column::{Column, read_units, write_units};
use crate::state::{push_length, take_length};

/// Rows, each with its time: that of the join's bound, in microseconds; 0 without a bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

impl Block {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The first time.
    pub fn first(&self) -> i64 {
        self.times.first().copied().unwrap_or(i64::MAX)
    }

    /// The last time.
    pub fn last(&self) -> i64 {
        self.times.last().copied().unwrap_or(i64::MIN)
    }

    /// How many rows are before a time.
    pub fn before(&self, time: i64) -> usize {
        self.times.partition_point(|other| *other < time)
    }

    /// How many rows have a time.
    pub fn count(&self, time: i64) -> usize {
        let from = self.before(time);
        self.times[from..].iter().take_while(|other| **other == time).count()
    }

    /// The rows at these indices, in this order.
    pub fn at(&self, rows: &[u32]) -> Self {
        Self {
            times: rows.iter().map(|&row| self.times[row as usize]).collect(),
            columns: self.columns.iter().map(|column| column.at(rows)).collect(),
        }
    }

    /// Appends the rows of another one, which may be out of order.
    pub fn append(&mut self, other: Self) {
        if self.times.is_empty() {
            *self = other;
            return;
        }
        let (len, more) = (self.len(), other.len());
        let pairs = self.columns.iter_mut().zip(other.columns);
        pairs.for_each(|(column, other)| column.append(len, other, more));
        self.times.extend(other.times);
    }

    /// The indices of the rows in the order of their times. Mostly they are in order, or some runs are: the sort finds
    /// them.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        if !self.times.is_sorted() {
            order.sort_by_key(|&row| self.times[row as usize]);
        }
        order
    }

    /// Its rows and those of another one, in order.
    pub fn merged(mut self, other: Self) -> Self {
        self.append(other);
        match self.times.is_sorted() {
            true => self,
            false => self.at(&self.order()),
        }
    }

    /// Compares two rows by their times, then by their values.
    pub fn compare(&self, one: u32, other: u32) -> Ordering {
        let (one, other) = (one as usize, other as usize);
        let by_time = self.times[one].cmp(&self.times[other]);
        self.columns.iter().fold(by_time, |found, column| found.then_with(|| column.compare(one, other)))
    }

    /// Calls `pair` for each row and each of `other` that is later by `from` to `to`, with their indices.
    pub fn each_pair(&self, other: &Self, (from, to): (i64, i64), mut pair: impl FnMut(usize, usize)) {
        let mut first = other.before(self.first().saturating_add(from));
        for (row, time) in self.times.iter().enumerate() {
            let (from, to) = (time.saturating_add(from), time.saturating_add(to));
            first += other.times[first..].iter().take_while(|time| **time < from).count();
            if first == other.len() {
                return;
            }
            let near = other.times[first..].iter().take_while(|time| **time <= to).count();
            (first..first + near).for_each(|other| pair(row, other));
        }
    }

    /// Appends its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() * 8 * (self.columns.len() + 1));
        push_length(out, self.len());
        write_units(&self.times, out);
        self.columns.iter().for_each(|column| column.write(out));
    }

    /// Parses what [`write`](Self::write) wrote.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let rows = take_length(&mut bytes)?;
        let times = read_units(&mut bytes, rows)?;
        let mut columns = Vec::new();
        while !bytes.is_empty() {
            columns.push(Column::read(&mut bytes, rows)?);
        }
        (times.is_sorted() && rows > 0).then_some(Self { times, columns })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::value::Value;
    use super::*;

    fn block() -> impl Strategy<Value = Block> {
        prop::collection::vec((0i64..12, 0i64..3, prop::option::of("[ab]")), 1..20).prop_map(|mut rows| {
            rows.sort();
            let text =
                |text: &Option<String>| text.as_deref().map_or(Value::Null, |text| Value::Text(text.into()));
            Block {
                times: rows.iter().map(|row| row.0).collect(),
                columns: vec![
                    Column::Same(Value::Truth(true)),
                    Column::Numbers(rows.iter().map(|row| row.1).collect()),
                    Column::Times(rows.iter().map(|row| row.0 - row.1).collect()),
                    Column::Values(rows.iter().map(|row| text(&row.2)).collect()),
                ],
            }
        })
    }

    fn rows(block: &Block) -> Vec<(i64, Vec<Value>)> {
        let row = |row| block.columns.iter().map(|column| column.value(row)).collect();
        block.times.iter().enumerate().map(|(at, time)| (*time, row(at))).collect()
    }

    proptest! {
        #[test]
        fn pairs_are_those_within_the_bound(a in block(), b in block(), from in -4i64..4, more in 0i64..4) {
            let mut pairs = Vec::new();
            a.each_pair(&b, (from, from + more), |row, other| pairs.push((row, other)));
            let mut expected = Vec::new();
            for (row, time) in a.times.iter().enumerate() {
                let near = |other: &usize| (from..=from + more).contains(&(b.times[*other] - time));
                expected.extend((0..b.len()).filter(near).map(|other| (row, other)));
            }
            prop_assert_eq!(pairs, expected);
        }

        #[test]
        fn blocks_merge_in_order(a in block(), b in block()) {
            let mut expected = [rows(&a), rows(&b)].concat();
            expected.sort();
            let merged = a.merged(b);
            prop_assert!(merged.times.is_sorted());
            let mut found = rows(&merged);
            found.sort();
            prop_assert_eq!(found, expected);
            for time in 0..12 {
                prop_assert_eq!(merged.count(time), merged.times.iter().filter(|one| **one == time).count());
            }
        }

        #[test]
        fn a_block_is_read_back(block in block()) {
            let mut bytes = Vec::new();
            block.write(&mut bytes);
            prop_assert_eq!(Block::read(&bytes), Some(block));
            prop_assert_eq!(Block::read(&bytes[..bytes.len() - 1]), None);
        }
    }
}
