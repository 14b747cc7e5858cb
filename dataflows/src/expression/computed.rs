//! The value of an expression for one reading, without rounding.

use std::sync::Arc;

use super::evaluate::Readings;
use super::tree::Expression;
use super::types::Kind;
use super::values::{TRUE, UNKNOWN, Values};
use crate::batch::Batch;
use crate::rows::NULL;

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Computed {
    /// NULL.
    Null,
    /// `units / 10^scale`.
    Decimal {
        /// The units.
        units: i128,
        /// Decimal places.
        scale: u8,
    },
    /// A finite double.
    Real(f64),
    /// A text.
    Text(Arc<str>),
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// True or false.
    Truth(bool),
}

impl Expression {
    /// The value for the first reading of a batch.
    ///
    /// ```
    /// use dataflows::batch::{BatchBuilder, NANO};
    /// use dataflows::expression::{Arithmetic, Computed, Expression};
    /// use dataflows::schema::Schema;
    ///
    /// let schema = Schema::trucks();
    /// let speed = Expression::field(schema.field("engine_speed").unwrap());
    /// let miles = Expression::number(1_609_344, 6).unwrap();
    /// let product = Expression::arithmetic(Arithmetic::Multiply, speed, miles).unwrap();
    /// let mut batch = BatchBuilder::new(&schema);
    /// batch.push("a", 0, &[0, 2 * NANO, 0]);
    /// let computed = product.first(&batch.take());
    /// assert_eq!(computed, Computed::Decimal { units: 3_218_688_000_000_000, scale: 15 });
    /// ```
    pub fn first(&self, batch: &Batch) -> Computed {
        let of_some = |value: Option<Computed>| value.unwrap_or(Computed::Null);
        match (self.values(&Readings::at(batch, &[0])), self.kind()) {
            (Values::Units(values), Kind::Timestamp) => match values.get(0) {
                NULL => Computed::Null,
                time => Computed::Time(time),
            },
            (values @ (Values::Units(_) | Values::Wide(_)), Kind::Number(decimal)) => {
                let scale = decimal.scale;
                of_some(values.wide_at(0).map(|units| Computed::Decimal { units, scale }))
            }
            (Values::Real(values), _) => {
                of_some(Some(values.get(0)).filter(|x| !x.is_nan()).map(Computed::Real))
            }
            (Values::Text(texts), _) => of_some(texts.get(0).cloned().map(Computed::Text)),
            (Values::Truth(values), Kind::Truth) => match values.get(0) {
                UNKNOWN => Computed::Null,
                truth => Computed::Truth(truth == TRUE),
            },
            // Only NULL has another kind.
            _ => Computed::Null,
        }
    }

    /// Whether a condition is true for the first reading of a batch.
    pub fn is_true(&self, batch: &Batch) -> bool {
        self.first(batch) == Computed::Truth(true)
    }
}
