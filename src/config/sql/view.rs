//! The views of a file.

use std::cell::RefCell;

use dataflows::relation::{Emit, From, Keep, PlannedView, Relation};
use dataflows::views::Settings;

use super::compiler::Compiler;
use super::fault::Fault;
use super::query::query;
use super::script::{DEFAULT_PATIENCE, READINGS, Script, ViewStatement};
use super::selected::{Context, Reads, Selected};
use crate::config::error::ConfigError;
use crate::store::OTHER_ID;

/// Operators of a view that keep state.
const MAX_OPERATORS: usize = 100;

/// The relations that a view can read, by name.
pub(super) type Known = Vec<(String, Selected)>;

/// A compiled statement.
pub(super) struct Compiled {
    /// The view, if it has sinks.
    pub view: Option<PlannedView>,
    /// Its rows.
    pub selected: Selected,
    /// The relations that it names.
    pub reads: Reads,
}

/// Compiles a statement.
pub(super) fn one(
    script: &Script,
    statement: &ViewStatement,
    known: &Known,
) -> Result<Compiled, ConfigError> {
    let compiled = match has_own_options(statement) {
        true => as_read_by(statement, script, known).and_then(|known| compiled(statement, statement, &known)),
        false => compiled(statement, statement, known),
    };
    let (selected, reads) = compiled.map_err(|fault| script.located(fault))?;
    let view = statement.is_materialized.then(|| view(script, statement, &selected)).transpose()?;
    Ok(Compiled { view, selected, reads })
}

/// Whether a view's windows and joins wait for late rows, or are limited, otherwise than by default.
fn has_own_options(statement: &ViewStatement) -> bool {
    statement.patience != DEFAULT_PATIENCE || statement.join_limit.is_some()
}

/// The rows of a view as another one reads it, whose options hold, and the relations that it names.
fn compiled(
    statement: &ViewStatement,
    options: &ViewStatement,
    known: &[(String, Selected)],
) -> Result<(Selected, Reads), Fault> {
    let (patience, join_limit) = (options.patience, options.join_limit);
    let context = Context { subquery: query, known, reads: RefCell::default(), patience, join_limit };
    let selected = query(&statement.query, &context)?;
    Ok((selected, context.reads.into_inner()))
}

/// The relations that a view reads: steps, which have no options of their own, are compiled with its options.
fn as_read_by(reader: &ViewStatement, script: &Script, known: &Known) -> Result<Known, Fault> {
    let mut read = Known::new();
    for (name, selected) in known {
        let step = script.statements.iter().find(|step| step.name == *name && !step.is_materialized);
        let selected = match step {
            Some(step) => compiled(step, reader, &read)?.0,
            None => selected.clone(),
        };
        read.push((name.clone(), selected));
    }
    Ok(read)
}

/// The relation of all readings.
pub(super) fn readings(settings: &Settings) -> Selected {
    let columns = Compiler::of_record(&settings.schema).columns;
    let columns: Vec<_> = columns.into_iter().map(|column| (column.name, column.expression)).collect();
    Selected {
        from: From::Readings,
        filters: Vec::new(),
        event_time: columns.iter().map(|(_, column)| column).find(|column| column.is_event_time()).cloned(),
        columns,
        definition: READINGS.into(),
        nodes: 0,
    }
}

fn view(script: &Script, statement: &ViewStatement, selected: &Selected) -> Result<PlannedView, ConfigError> {
    let wrong = |reason: String| Err(script.wrong(statement, reason));
    let has = |name: &str| selected.columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    if has("id") && has(OTHER_ID) {
        return wrong(format!(
            "a table with a column `id` has a column `{OTHER_ID}` of its own; rename one of yours with AS"
        ));
    }
    if let Some(missing) = statement.index.iter().find(|column| !has(column)) {
        let names: Vec<&str> = selected.columns.iter().map(|(name, _)| &**name).collect();
        return wrong(format!(
            "`index` names `{missing}`; expected columns of the view: {}",
            names.join(", ")
        ));
    }
    let relation = selected.relation().map_err(|fault| script.located(fault))?;
    if statement.keep == Some(Keep::History) && !relation.is_of_groups() {
        return wrong("`keep = 'history'` is for aggregates; leave it out".into());
    }
    if statement.emit == Some(Emit::Close) && !relation.is_windowed() {
        return wrong("`emit = 'close'` is for windows; leave it out".into());
    }
    if operators(&relation) > MAX_OPERATORS {
        return wrong(format!(
            "with the views that it reads it has more than {MAX_OPERATORS} aggregates and joins; make it simpler"
        ));
    }
    let table = statement.table.clone().unwrap_or_else(|| statement.name.to_uppercase());
    let mut view = PlannedView::new(&statement.name, &table, selected.names(), relation);
    // Of a view with state, another table would lack the rows that do not change.
    let in_table = match &statement.table {
        Some(table) if !view.relation.is_stateless() => format!("; table {table}"),
        _ => String::new(),
    };
    view.definition = format!("{}{}{in_table}", selected.definition, statement.state_options());
    view.keep = statement.keep.unwrap_or_default();
    view.emit = statement.emit;
    view.doubles = statement.doubles;
    view.index.clone_from(&statement.index);
    Ok(view)
}

/// How many operators of a relation keep state.
fn operators(relation: &Relation) -> usize {
    let own = !matches!(relation, Relation::Select { .. } | Relation::Union(_));
    usize::from(own) + relation.inputs().into_iter().map(operators).sum::<usize>()
}
