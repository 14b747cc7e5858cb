//! Values of result rows, and how found ones are judged.

use std::cmp::Ordering;

use crate::oracle::nearest;
use crate::oracle::root::Root;
use crate::oracle::value::{Datum, order};

/// A value of a result row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A value that has to be found as it is. A decimal may be found as its nearest double.
    Datum(Datum),
    /// A standard deviation or a correlation. The found double may be up to two units in the last place away.
    Root(Root),
}

impl Cell {
    /// Its value in other expressions: a root is its nearest double.
    pub fn datum(&self) -> Datum {
        match self {
            Self::Datum(datum) => datum.clone(),
            Self::Root(root) => Datum::Real(root.nearest()),
        }
    }

    /// Whether a found value is right.
    ///
    /// ```
    /// use dataflows::oracle::relation::Cell;
    /// use dataflows::oracle::root::Root;
    /// use dataflows::oracle::value::{Datum, nano};
    ///
    /// let two = 2.into();
    /// let root = Cell::Root(Root { square: num_rational::BigRational::from_integer(two), negative: false });
    /// assert!(root.agrees(&Datum::Real(2f64.sqrt().next_up())));
    /// assert!(!root.agrees(&Datum::Real(1.4142)));
    /// assert!(Cell::Datum(nano(100_000_000)).agrees(&Datum::Real(0.1)));
    /// ```
    pub fn agrees(&self, found: &Datum) -> bool {
        match (self, found) {
            (Self::Root(root), Datum::Real(found)) => root.is_within_ulps(*found, 2, 1),
            (Self::Root(_), _) => false,
            (Self::Datum(Datum::Exact(exact)), Datum::Real(found)) => nearest(exact) == *found,
            (Self::Datum(expected), found) => expected == found,
        }
    }
}

/// Whether found rows are the expected ones, in any order.
///
/// Both are sorted and then compared. Columns with roots are the last to decide the order, so that a root that is
/// slightly off moves its row only among those that are equal elsewhere.
pub fn agree(expected: &[Vec<Cell>], found: &[Vec<Datum>]) -> bool {
    let width = expected.first().map_or(0, Vec::len);
    if expected.len() != found.len() || found.iter().any(|row| row.len() != width) {
        return false;
    }
    let has_root = |column: &usize| expected.iter().any(|row| matches!(row[*column], Cell::Root(_)));
    let (last, mut columns): (Vec<usize>, Vec<usize>) = (0..width).partition(has_root);
    columns.extend(last);
    // Decimals that are found as doubles have the order of those.
    let is_rounded = |column: usize| found.iter().any(|row| matches!(row[column], Datum::Real(_)));
    let rounded: Vec<bool> = (0..width).map(is_rounded).collect();
    let value = |column: usize, datum: Datum| match datum {
        Datum::Exact(exact) if rounded[column] => Ordered(Datum::Real(nearest(&exact))),
        other => Ordered(other),
    };
    let of_cells = |row: &&Vec<Cell>| -> Vec<Ordered> {
        columns.iter().map(|&column| value(column, row[column].datum())).collect()
    };
    let of_values = |row: &&Vec<Datum>| -> Vec<Ordered> {
        columns.iter().map(|&column| value(column, row[column].clone())).collect()
    };
    let (mut expected, mut found) = (Vec::from_iter(expected), Vec::from_iter(found));
    expected.sort_by_cached_key(of_cells);
    found.sort_by_cached_key(of_values);
    let mut rows = expected.into_iter().zip(found);
    rows.all(|(cells, values)| cells.iter().zip(values).all(|(cell, value)| cell.agrees(value)))
}

/// A value in the order of its column: NULL first, numbers by value.
#[derive(Clone, Debug)]
pub(super) struct Ordered(pub Datum);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        let is_known = |one: &Self| !one.0.is_null();
        order(&self.0, &other.0).unwrap_or_else(|| is_known(self).cmp(&is_known(other)))
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}
