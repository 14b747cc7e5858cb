//! Compiles SQL: views, and expressions over the fields of a record, to what `dataflows` evaluates.
//!
//! | file | contents |
//! |---|---|
//! | `script` | the statements of a file of views |
//! | `builtin` | the built-in views, whose text is `builtin.sql` |
//! | `view` | the views of its statements |
//! | `query` | the relation of a query: WHERE, SELECT, GROUP BY, UNION |
//! | `selected` | what a query selects |
//! | `from` | FROM: relations, windows, joins |
//! | `group` | groups of rows, and aggregate functions |
//! | `parameters` | values of the configuration in the text |
//! | `parse` | the tree of a text, by `sqlparser`; the dialect |
//! | `compiler` | the expression of a tree |
//! | `functions` | calls of functions |
//! | `literal`, `interval` | values of literals, and spans of time |
//! | `fault` | errors with the position in the text |
//! | `stack` | a stack that is large enough for the parser |

pub mod builtin;
mod compiler;
mod fault;
mod from;
mod functions;
mod group;
mod interval;
mod literal;
pub mod parameters;
mod parse;
mod query;
pub mod script;
mod selected;
mod stack;
#[cfg(test)]
mod tests;
mod view;

use dataflows::expression::Expression;
use dataflows::schema::Schema;
use sqlparser::tokenizer::Location;

use self::compiler::Compiler;
use self::fault::Fault;
use self::stack::with_stack;
use crate::config::error::{ConfigError, wrong};

pub use self::builtin::compile;
pub use self::selected::Reads;

/// The expression of a computed field; `place` is where it is in the configuration.
pub fn of_field(place: &str, text: &str, schema: &Schema) -> Result<Expression, ConfigError> {
    with_stack(|| {
        Compiler::of_record(schema).unnamed(text).map_err(|fault| located(&format!("{place} sql"), fault))
    })
}

/// A condition on the fields of a record.
pub fn condition(place: &str, text: &str, schema: &Schema) -> Result<Expression, ConfigError> {
    with_stack(|| Compiler::of_record(schema).filter(text).map_err(|fault| located(place, fault)))
}

/// An error with its position in the text.
fn located(place: &str, fault: Fault) -> ConfigError {
    let at = match fault.at {
        Location { line: 0, .. } => String::new(),
        Location { line: 1, column } => format!(", column {column}"),
        Location { line, column } => format!(", line {line}, column {column}"),
    };
    wrong(format!("{place}{at}"), fault.reason)
}
