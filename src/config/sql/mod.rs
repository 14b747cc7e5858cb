//! Compiles the text of a user-defined view to the typed expressions that `dataflows` evaluates.
//!
//! The text is SQL in the dialect of MySQL (names in backquotes, strings in single or double quotes), because the
//! views are also written to MySQL tables.
//!
//! | file | contents |
//! |---|---|
//! | `mod` | the view of a definition |
//! | `parse` | the tree of a text, by `sqlparser` |
//! | `compiler` | the expression of a tree |
//! | `functions` | calls of functions |
//! | `literal` | values of literals |
//! | `fault` | errors with the position in the text |

mod compiler;
mod fault;
mod functions;
mod literal;
mod parse;
#[cfg(test)]
mod tests;

use std::panic::resume_unwind;
use std::thread;

use dataflows::expression::{Expression, Query};
use dataflows::schema::Schema;
use dataflows::views::{Settings, UserView};
use sqlparser::tokenizer::Location;

use self::compiler::Compiler;
use self::fault::Fault;
use crate::config::defined::ViewDefinition;
use crate::config::error::{ConfigError, wrong};
use crate::store::OTHER_ID;

/// Columns of a view: MySQL does not support many more in a table.
const MAX_COLUMNS: usize = 1_000;
/// Enough for a text within these limits, also without optimization, where the parser needs large stack frames.
const STACK: usize = 32 << 20;

/// The view that a definition says.
pub fn compile(own: &ViewDefinition, settings: &Settings) -> Result<UserView, ConfigError> {
    with_stack(|| compile_here(own, settings))
}

/// The expression of a computed field; `place` is where it is in the configuration.
pub fn of_field(place: &str, text: &str, schema: &Schema) -> Result<Expression, ConfigError> {
    with_stack(|| Compiler { schema }.unnamed(text).map_err(|fault| located(&format!("{place} sql"), fault)))
}

/// A condition on the fields of a record.
pub fn condition(place: &str, text: &str, schema: &Schema) -> Result<Expression, ConfigError> {
    with_stack(|| Compiler { schema }.filter(text).map_err(|fault| located(place, fault)))
}

/// Runs the parser on a stack that is large enough.
fn with_stack<T: Send>(run: impl Fn() -> T + Sync) -> T {
    let compiled = thread::scope(|scope| {
        let compiling = thread::Builder::new().name("sql".into()).stack_size(STACK);
        Some(compiling.spawn_scoped(scope, &run).ok()?.join())
    });
    match compiled {
        Some(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
        None => run(),
    }
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

fn compile_here(own: &ViewDefinition, settings: &Settings) -> Result<UserView, ConfigError> {
    let view = format!("views.{}", own.name);
    let fault = |key: &str, fault: Fault| located(&format!("{view} {key}"), fault);
    let compiler = Compiler { schema: &settings.schema };
    let filter = match &own.filter {
        None => None,
        Some(text) => Some(compiler.filter(text).map_err(|error| fault("where", error))?),
    };
    if !(1..=MAX_COLUMNS).contains(&own.columns.len()) {
        return Err(wrong(format!("{view} columns"), format!("give 1 to {MAX_COLUMNS} columns")));
    }
    let mut columns: Vec<(String, Expression)> = Vec::with_capacity(own.columns.len());
    for (place, text) in own.columns.iter().enumerate() {
        let key = format!("columns[{place}]");
        let (name, expression, at) = compiler.column(text).map_err(|error| fault(&key, error))?;
        if columns.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            let reason = format!("another column has the name `{name}`; rename one of them with AS");
            return Err(fault(&key, Fault::at(at, reason)));
        }
        columns.push((name, expression));
    }
    let has = |name: &str| columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    if has("id") && has(OTHER_ID) {
        let reason = format!(
            "a table with a column `id` has a column `{OTHER_ID}` of its own; rename one of yours with AS"
        );
        return Err(wrong(format!("{view} columns"), reason));
    }
    let query = Query::new(filter, columns).map_err(|error| wrong(&*view, error.reason))?;
    let condition = own.filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    Ok(UserView {
        name: own.name.clone().into(),
        table: own.table().into(),
        definition: format!("SELECT {}{condition}", own.columns.join(", ")),
        query,
    })
}
