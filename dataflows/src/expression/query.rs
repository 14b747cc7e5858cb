//! A condition and columns: the rows that a batch gives.

use super::evaluate::Readings;
use super::{Expression, Kind, Mismatch};
use crate::batch::Batch;
use crate::rows::{ColumnSpec, Rows};
use crate::views::changes;

/// What a view of the user's own shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) filter: Option<Expression>,
    pub(super) columns: Vec<(ColumnSpec, Expression)>,
}

impl Query {
    /// The named columns of the readings for which `filter` is true, or of all.
    pub fn new(
        filter: Option<Expression>,
        columns: impl IntoIterator<Item = (String, Expression)>,
    ) -> Result<Self, Mismatch> {
        if let Some(filter) = &filter
            && !matches!(filter.kind(), Kind::Truth | Kind::Null)
        {
            return Err(Mismatch::new(0, format!("{} is no condition", filter.kind())));
        }
        let columns = columns.into_iter().map(|(name, expression)| {
            (ColumnSpec { name: name.into(), column_type: expression.column_type() }, expression)
        });
        Ok(Self { filter, columns: columns.collect() })
    }

    /// Its columns.
    pub fn columns(&self) -> Vec<ColumnSpec> {
        self.columns.iter().map(|(spec, _)| spec.clone()).collect()
    }

    /// The rows that a batch gives.
    pub fn rows(&self, batch: &Batch) -> Rows {
        let kept = match &self.filter {
            Some(filter) => filter.selected(batch, None),
            None => (0..batch.len() as u32).collect(),
        };
        // Where all are kept, columns are shared.
        let readings =
            if kept.len() == batch.len() { Readings::all(batch) } else { Readings::at(batch, &kept) };
        let columns = self.columns.iter().map(|(_, expression)| expression.column(&readings)).collect();
        Rows { columns, changes: changes(batch, &kept, b"") }
    }
}
