//! Expressions of user-defined views: a typed tree, built once and evaluated over whole batches.
//!
//! | file | contents |
//! |---|---|
//! | `types` | the types, and the names of operations |
//! | `tree` | the tree, and its leaves |
//! | `operations` | constructors of the other nodes, which determine the types |
//! | `compare` | comparison of values |
//! | `pattern` | `LIKE` |
//! | `rounding` | rounding of decimals and doubles |
//! | `values`, `evaluate` | columns of values, and evaluation over a batch |
//! | `evaluated` | values for aggregates |
//! | `column` | values as a column of a table |
//! | `select` | the readings for which a condition is true |
//! | `query` | a condition and columns, evaluated to rows |
//! | `of_row` | evaluation of a row that is not a reading, in 256 bits |
//! | `shown` | expressions as text |
//! | `by_row` | an independent evaluation, one row at a time with big rationals |
//! | `tests` | random expressions, evaluated in all ways and compared |
//!
//! Numbers are decimals of a fixed scale in at most 128 bits; 256 if they are computed from aggregates. A constructor
//! knows a bound of every operand, so it knows whether `+`, `-`, `*` and `%` can exceed them, and uses doubles if so. Thus nothing overflows at
//! runtime. `/` is the exact quotient rounded once to a double. Comparisons are exact, including those of a decimal
//! with a double.
//!
//! NULL behaves as in SQL. Undefined results are NULL: a division by zero, a double out of range.

pub(crate) mod by_row;
mod column;
mod compare;
mod computed;
mod evaluate;
mod evaluated;
mod of_row;
mod operations;
mod pattern;
mod query;
mod rounding;
pub(crate) mod select;
mod shown;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod values;

pub(crate) use self::evaluated::{Evaluated, Selected, value_of};
pub(crate) use self::shown::Names;

pub use self::compare::Comparison;
pub use self::computed::Computed;
pub use self::query::Query;
pub use self::tree::Expression;
pub use self::types::{
    Arithmetic, Decimal, Kind, MOST_PLACES, MOST_PRODUCT_PLACES, MOST_ROUNDED_PLACES, Mismatch, Rounding,
    Test,
};
