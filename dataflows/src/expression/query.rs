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
        self.rows_at(batch, &self.places(batch), b"")
    }

    /// The places of the readings that it selects.
    fn places(&self, batch: &Batch) -> Vec<u32> {
        match &self.filter {
            Some(filter) => filter.selected(batch, None),
            None => (0..batch.len() as u32).collect(),
        }
    }

    fn rows_at(&self, batch: &Batch, kept: &[u32], part: &[u8]) -> Rows {
        // If all are selected, columns are shared.
        let readings =
            if kept.len() == batch.len() { Readings::all(batch) } else { Readings::at(batch, kept) };
        let columns = self.columns.iter().map(|(_, expression)| expression.column(&readings)).collect();
        Rows { columns, changes: Changes::of(batch, kept, part) }
    }

    /// The rows of several queries, at most 256, in the order of the readings. Those of a reading have its key and the
    /// number of their query. If columns are of different kinds, the rows of each query are on their own.
    pub(crate) fn rows_of_all(queries: &[Self], batch: &Batch) -> Vec<Rows> {
        if let [query] = queries {
            return vec![query.rows(batch)];
        }
        let places: Vec<Vec<u32>> = queries.iter().map(|query| query.places(batch)).collect();
        let rows = queries.iter().zip(&places).enumerate();
        let rows: Vec<Rows> =
            rows.map(|(number, (query, places))| query.rows_at(batch, places, &[number as u8])).collect();
        let is_all = places.iter().all(|places| places.len() == batch.len());
        let turns = (!is_all).then(|| turns(&places, batch.len()));
        match Rows::interleaved(&rows, turns.as_deref()) {
            Some(rows) => vec![rows],
            None => rows,
        }
    }
}

/// Whose row is next, if several have rows of some of so many readings.
fn turns(places: &[Vec<u32>], readings: usize) -> Vec<u8> {
    let mut next: Vec<_> = places.iter().map(|places| places.iter().peekable()).collect();
    let mut turns = Vec::with_capacity(places.iter().map(Vec::len).sum());
    for place in 0..readings as u32 {
        for (number, next) in (0..).zip(&mut next) {
            if next.next_if(|of| **of == place).is_some() {
                turns.push(number);
            }
        }
    }
    turns
}
