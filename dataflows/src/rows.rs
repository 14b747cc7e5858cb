//! What a view gives a sink: rows as typed columns.
//!
//! Every sink renders the same few column types, so a new view needs no code in any sink.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::Truck;

/// The type of a column, from which sinks derive a table's column types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Type {
    /// Microseconds since 1970, UTC.
    Timestamp,
    /// A number with a fixed number of decimal places.
    Decimal,
    /// A double.
    Real,
    /// A 64-bit integer.
    Integer,
    /// A short text: names, topics, reasons.
    Text,
    /// Bytes, exactly as they came.
    Bytes,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// Microseconds since 1970, UTC. `i64::MIN` is NULL.
    Timestamp(Arc<Vec<i64>>),
    /// `value / 10^scale`. Never NULL.
    Decimal {
        /// Decimal places, at most 18.
        scale: u8,
        /// The values times `10^scale`.
        values: Arc<Vec<i64>>,
    },
    /// Doubles. NaN is NULL: no view computes one.
    Real(Arc<Vec<f64>>),
    /// Integers. Never NULL.
    Integer(Arc<Vec<i64>>),
    /// Names from a dictionary. Never NULL.
    Truck {
        /// The distinct names.
        names: Arc<Vec<Truck>>,
        /// For each row, its place in `names`.
        index: Arc<Vec<u32>>,
    },
    /// Short texts. Never NULL.
    Text(Arc<Vec<Arc<str>>>),
    /// Bytes, exactly as they came.
    Bytes(Arc<Vec<Option<Vec<u8>>>>),
}

/// The value of [`Column::Timestamp`] that stands for NULL.
pub const NULL_TIMESTAMP: i64 = i64::MIN;

impl Column {
    /// The column's type.
    pub fn column_type(&self) -> Type {
        match self {
            Self::Timestamp(_) => Type::Timestamp,
            Self::Decimal { .. } => Type::Decimal,
            Self::Real(_) => Type::Real,
            Self::Integer(_) => Type::Integer,
            Self::Truck { .. } | Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Timestamp(values) | Self::Decimal { values, .. } | Self::Integer(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Truck { index, .. } => index.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `index`-th value alone.
    fn value(&self, index: usize) -> Self {
        fn one<T: Clone>(values: &[T], index: usize) -> Arc<Vec<T>> {
            Arc::new(vec![values[index].clone()])
        }
        match self {
            Self::Timestamp(values) => Self::Timestamp(one(values, index)),
            Self::Decimal { scale, values } => Self::Decimal { scale: *scale, values: one(values, index) },
            Self::Real(values) => Self::Real(one(values, index)),
            Self::Integer(values) => Self::Integer(one(values, index)),
            Self::Truck { names, index: at } => Self::Truck { names: names.clone(), index: one(at, index) },
            Self::Text(values) => Self::Text(one(values, index)),
            Self::Bytes(values) => Self::Bytes(one(values, index)),
        }
    }
}

/// Rows of one view in one epoch, as columns of equal length in the order of the view's
/// [`ColumnSpec`]s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Rows {
    /// The `index`-th row alone. Panics if there is none.
    pub fn row(&self, index: usize) -> Self {
        Self { columns: self.columns.iter().map(|column| column.value(index)).collect() }
    }
}

/// A column of a view: its name in table and CSV, and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnSpec {
    /// The name in table and CSV header.
    pub name: &'static str,
    /// The type.
    pub column_type: Type,
}

/// Shorthand for a [`ColumnSpec`].
pub const fn column(name: &'static str, column_type: Type) -> ColumnSpec {
    ColumnSpec { name, column_type }
}
