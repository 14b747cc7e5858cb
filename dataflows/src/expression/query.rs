//! A condition and columns, evaluated to the rows of a batch.

use super::evaluate::Readings;
use super::tree::Expression;
use super::types::{Kind, Mismatch};
use crate::batch::Batch;
use crate::rows::{Changes, ColumnSpec, Rows};

/// The query of a user-defined view.
///
/// ```
/// use dataflows::batch::{BatchBuilder, NANO};
/// use dataflows::expression::{Arithmetic, Comparison, Expression, Query};
/// use dataflows::rows::Column;
/// use dataflows::schema::Schema;
///
/// // SELECT distance_covered / engine_speed AS ratio WHERE engine_speed > 80
/// let schema = Schema::trucks();
/// let field = |name| Expression::field(schema.field(name).unwrap());
/// let speed = field("engine_speed");
/// let limit = Expression::number(80, 0).unwrap();
/// let fast = Expression::compare(Comparison::Greater, speed.clone(), limit).unwrap();
/// let ratio = Expression::arithmetic(Arithmetic::Divide, field("distance_covered"), speed).unwrap();
/// let query = Query::new(Some(fast), [("ratio".to_owned(), ratio)]).unwrap();
///
/// let mut batch = BatchBuilder::default();
/// batch.push("a", 0, &[20 * NANO, 80 * NANO, 0]);
/// batch.push("a", 1, &[41 * NANO, 82 * NANO, 0]);
/// let Column::Real(ratios) = &query.rows(&batch.take()).columns[0] else { unreachable!() };
/// assert_eq!(**ratios, [0.5]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(crate) filter: Option<Expression>,
    pub(crate) columns: Vec<(ColumnSpec, Expression)>,
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
            return Err(Mismatch::new(0, format!("{} is not a condition", filter.kind())));
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

    /// The rows of a batch.
    pub fn rows(&self, batch: &Batch) -> Rows {
        let kept = match &self.filter {
            Some(filter) => filter.selected(batch, None),
            None => (0..batch.len() as u32).collect(),
        };
        // If all are selected, columns are shared.
        let readings =
            if kept.len() == batch.len() { Readings::all(batch) } else { Readings::at(batch, &kept) };
        let columns = self.columns.iter().map(|(_, expression)| expression.column(&readings)).collect();
        Rows { columns, changes: Changes::of(batch, &kept, b"") }
    }
}
