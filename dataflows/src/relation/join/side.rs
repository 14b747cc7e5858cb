//! The sides of a join: keys and times of their rows, and the columns of pairs that somebody reads.

use serde::{Deserialize, Serialize};

use super::super::delta::{Deltas, Key};
use super::super::plan::Join;
use super::super::value::{Value, written};

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    pub fn other(self) -> Self {
        if self == Self::Left { Self::Right } else { Self::Left }
    }
}

/// The columns of pairs that somebody reads.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The columns that are kept of the rows of each side.
    pub kept: [Vec<usize>; 2],
    /// For each column of a pair its side, and its place among those that are kept; none: nobody reads it, and it is NULL.
    pub pairs: Vec<Option<(Side, usize)>>,
}

impl Shown {
    /// From the places in pairs of the columns that are passed on, in their order.
    pub fn new(join: &Join, columns: impl IntoIterator<Item = Option<usize>>) -> Self {
        let left = join.left.columns().len();
        let mut kept: [Vec<usize>; 2] = Default::default();
        let mut place = |column: usize| {
            let (side, column) =
                if column < left { (Side::Left, column) } else { (Side::Right, column - left) };
            let kept = &mut kept[side as usize];
            let place = kept.iter().position(|other| *other == column).unwrap_or_else(|| {
                kept.push(column);
                kept.len() - 1
            });
            (side, place)
        };
        let pairs = columns.into_iter().map(|column| column.map(&mut place)).collect();
        Self { kept, pairs }
    }

    /// Appends the pair of two rows, of which `value` gives the kept values.
    #[inline]
    pub fn push(&self, deltas: &mut Deltas, sign: i64, value: impl Fn(Side, usize) -> Value) {
        let values = self.pairs.iter().map(|of| of.map_or(Value::Null, |(side, place)| value(side, place)));
        deltas.push_row(values, sign);
    }
}

impl Join {
    /// The key of a row, and its time; none if it matches nothing.
    pub(super) fn key_of(&self, side: Side, row: &[Value]) -> Option<(Key, i64)> {
        let (keys, time) = self.of_side(side as usize);
        let keys: Vec<Value> = keys.into_iter().map(|key| key.of_row(row)).collect();
        if keys.iter().any(Value::is_null) {
            return None;
        }
        let time = time.map_or(Some(0), |time| time.of_row(row).time())?;
        Some((written(&keys), time))
    }

    /// By how much right rows are later than the left ones that they match.
    pub(super) fn distance(&self) -> (i64, i64) {
        self.bound.as_ref().map_or((0, 0), |bound| (bound.from, bound.to))
    }
}
