//! The views of a file: which readings each contains, and its columns.

use dataflows::expression::{Expression, Query as Compiled};
use dataflows::views::{Settings, UserView};
use sqlparser::ast::{
    Expr, GroupByExpr, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned,
    TableAlias, TableFactor, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Location;

use super::compiler::Compiler;
use super::fault::Fault;
use super::script::{READINGS, Script, ViewStatement, name_of};
use super::stack::with_stack;
use crate::config::error::ConfigError;
use crate::store::OTHER_ID;

/// Columns of a view: MySQL does not support many more in a table.
const MAX_COLUMNS: usize = 1_000;

/// Operations, fields and constants of a column or condition, with those of the views that it reads: a column that is
/// used twice in each of many views would grow without bound.
const MAX_NODES: usize = 10_000;
/// The same of levels: they are evaluated by recursion.
const MAX_LEVELS: usize = 300;

/// The same of all columns and conditions of a view, and of all views of a file.
const MAX_OF_VIEW: usize = 100_000;
const MAX_OF_FILE: usize = 500_000;

/// Bytes of a view's text, with those of the views that it reads.
const MAX_DEFINITION: usize = 64 << 10;

/// Readings, or those that a query selects, with columns computed from their fields.
#[derive(Clone)]
struct Relation {
    columns: Vec<(String, Expression)>,
    /// The conditions of all queries on the way.
    filters: Vec<Expression>,
    /// The text that defines it, without blanks and comments.
    definition: String,
    /// Operations, fields and constants of columns and conditions.
    nodes: usize,
}

/// The views of a file that have sinks, in its order.
pub fn compile(script: &Script, settings: &Settings) -> Result<Vec<UserView>, ConfigError> {
    with_stack(|| {
        let readings = Relation {
            columns: Compiler::of_record(&settings.schema).columns,
            filters: Vec::new(),
            definition: READINGS.into(),
            nodes: 0,
        };
        let mut known = vec![(READINGS.to_owned(), readings)];
        let (mut views, mut nodes) = (Vec::new(), 0);
        for statement in &script.statements {
            let relation = query(&statement.query, &known).map_err(|fault| script.located(fault))?;
            nodes += relation.nodes;
            if nodes > MAX_OF_FILE {
                let reason = format!(
                    "the views up to here have {nodes} operations; at most {MAX_OF_FILE} are supported"
                );
                return Err(script.wrong(statement, reason));
            }
            if statement.is_materialized {
                views.push(view(script, statement, &relation)?);
            }
            known.push((statement.name.clone(), relation));
        }
        Ok(views)
    })
}

fn view(script: &Script, statement: &ViewStatement, relation: &Relation) -> Result<UserView, ConfigError> {
    let has = |name: &str| relation.columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    if has("id") && has(OTHER_ID) {
        let reason = format!(
            "a table with a column `id` has a column `{OTHER_ID}` of its own; rename one of yours with AS"
        );
        return Err(script.wrong(statement, reason));
    }
    let filter = match &relation.filters[..] {
        [] => Ok(None),
        [filter] => Ok(Some(filter.clone())),
        filters => Expression::and(filters.to_vec()).map(Some),
    };
    let query = filter.and_then(|filter| Compiled::new(filter, relation.columns.iter().cloned()));
    let table = statement.table.clone().unwrap_or_else(|| statement.name.to_uppercase());
    Ok(UserView {
        name: statement.name.clone().into(),
        table: table.into(),
        definition: relation.definition.clone(),
        query: query.map_err(|error| script.wrong(statement, error.reason))?,
    })
}

/// The relation of a query over the known ones.
fn query(query: &Query, known: &[(String, Relation)]) -> Result<Relation, Fault> {
    let at = query.span().start;
    let refused =
        |what: &str, instead: &str| Err(Fault::at(at, format!("{what} is not supported; {instead}")));
    if let Some(with) = &query.with {
        let reason = "WITH is not supported; give each of its queries a CREATE VIEW of its own";
        return Err(Fault::at(with.span().start, reason));
    }
    if let Some(order) = &query.order_by {
        return Err(Fault::at(
            order.span().start,
            "ORDER BY is not supported, as a view has no order; leave it out",
        ));
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return refused("LIMIT", "leave it out");
    }
    let select = match &*query.body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { op, .. } => {
            return refused(&op.to_string(), "give each SELECT a view of its own");
        }
        SetExpr::Query(_) => return refused("a query in parentheses", "leave out the parentheses"),
        _ => return refused("this statement", "give a SELECT"),
    };
    let relation = selected(select, known)?;
    // Whatever else the parser knows is in the text, but not in this one.
    let projection: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
    let from: Vec<String> = select.from.iter().map(ToString::to_string).collect();
    let expected = text_of(&projection.join(", "), &from.join(", "), select);
    if query.to_string() != expected {
        return refused("a part of this query", &format!("what is supported of it is `{expected}`"));
    }
    Ok(relation)
}

fn selected(select: &Select, known: &[(String, Relation)]) -> Result<Relation, Fault> {
    let at = select.span().start;
    let of = |expr: Option<&Expr>| expr.map_or(at, |expr| expr.span().start);
    let refused = |at, what: &str| Err(Fault::at(at, format!("{what} is not supported yet; leave it out")));
    if select.distinct.is_some() {
        return refused(at, "DISTINCT");
    }
    match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty() => {}
        GroupByExpr::Expressions(keys, _) => return refused(of(keys.first()), "GROUP BY"),
        GroupByExpr::All(_) => return refused(at, "GROUP BY"),
    }
    if let Some(having) = &select.having {
        return refused(of(Some(having)), "HAVING");
    }
    if !select.named_window.is_empty() || select.qualify.is_some() {
        return refused(at, "WINDOW or QUALIFY");
    }
    let [from] = &select.from[..] else {
        return match select.from.is_empty() {
            true => Err(Fault::at(at, format!("it reads nothing; add FROM {READINGS}, or a view above"))),
            false => refused(at, "more than one relation in FROM"),
        };
    };
    if !from.joins.is_empty() {
        return refused(from.span().start, "JOIN");
    }
    let (name, source) = relation(&from.relation, known)?;
    let compiler = Compiler {
        columns: source.columns.clone(),
        relation: name.as_deref(),
        of_record: source.definition == READINGS,
    };
    let mut filters = source.filters;
    if let Some(filter) = &select.selection {
        let condition = compiler.condition(filter)?;
        bounded(&condition, filter.span().start)?;
        filters.push(condition);
    }
    let mut columns: Vec<(String, Expression)> = Vec::new();
    let mut nodes: usize = filters.iter().map(|filter| filter.size().0).sum();
    for item in &select.projection {
        for (column, at) in items(item, &compiler)? {
            if columns.iter().any(|(other, _)| other.eq_ignore_ascii_case(&column.0)) {
                let reason =
                    format!("another column has the name `{}`; rename one of them with AS", column.0);
                return Err(Fault::at(at, reason));
            }
            nodes += bounded(&column.1, at)?;
            if nodes > MAX_OF_VIEW {
                let reason = format!(
                    "the view has {nodes} operations up to here; at most {MAX_OF_VIEW} are supported"
                );
                return Err(Fault::at(at, reason));
            }
            columns.push(column);
        }
    }
    if columns.len() > MAX_COLUMNS {
        return Err(Fault::at(
            at,
            format!("{} columns are too many; give at most {MAX_COLUMNS}", columns.len()),
        ));
    }
    // With another record `*` is something else.
    let all: Vec<&str> = compiler.columns.iter().map(|(name, _)| &**name).collect();
    let projection = select.projection.iter().map(|item| match item {
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => all.join(", "),
        item => item.to_string(),
    });
    let projection: Vec<String> = projection.collect();
    let from = match source.definition {
        readings if readings == READINGS => readings,
        query => format!("({query})"),
    };
    let definition = text_of(&projection.join(", "), &from, select);
    if definition.len() > MAX_DEFINITION {
        let reason =
            format!("with the views that it reads it has more than {MAX_DEFINITION} bytes; make it shorter");
        return Err(Fault::at(at, reason));
    }
    Ok(Relation { columns, filters, definition, nodes })
}

/// The text of a SELECT with other texts for some of its parts.
fn text_of(projection: &str, from: &str, select: &Select) -> String {
    let filter = select.selection.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    format!("SELECT {projection} FROM {from}{filter}")
}

/// The operations, fields and constants of an expression. Refuses one that is too large with what it reads.
fn bounded(expression: &Expression, at: Location) -> Result<usize, Fault> {
    let (nodes, levels) = expression.size();
    if nodes <= MAX_NODES && levels <= MAX_LEVELS {
        return Ok(nodes);
    }
    let reason = format!(
        "with the views that it reads it has {nodes} operations on {levels} levels; at most {MAX_NODES} on {MAX_LEVELS} are supported"
    );
    Err(Fault::at(at, reason))
}

type Column = (String, Expression);

/// The columns of an item of SELECT, each with its position.
fn items(item: &SelectItem, compiler: &Compiler<'_>) -> Result<Vec<(Column, Location)>, Fault> {
    let at = item.span().start;
    let all = |options: &WildcardAdditionalOptions| match options.to_string().is_empty() {
        true => Ok(compiler.columns.iter().map(|column| (column.clone(), at)).collect()),
        false => Err(Fault::at(at, format!("`{item}` is not supported; name the columns"))),
    };
    match item {
        SelectItem::UnnamedExpr(expr) => Ok(vec![compiler.column(expr, None)?]),
        SelectItem::ExprWithAlias { expr, alias } => Ok(vec![compiler.column(expr, Some(alias))?]),
        SelectItem::Wildcard(options) => all(options),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
            match name_of(name) {
                Ok(name) if compiler.is_of(name) => all(options),
                _ => Err(Fault::at(at, compiler.no_relation(name))),
            }
        }
        other => Err(Fault::at(at, format!("`{other}` is not supported; give an expression, AS and a name"))),
    }
}

/// What FROM names: its name, and the relation itself.
fn relation(factor: &TableFactor, known: &[(String, Relation)]) -> Result<(Option<String>, Relation), Fault> {
    let at = factor.span().start;
    let alias_of = |alias: &Option<TableAlias>| match alias {
        Some(alias) if !alias.columns.is_empty() => {
            Err(Fault::at(at, "a list of columns behind a name is not supported; use AS in SELECT"))
        }
        alias => Ok(alias.as_ref().map(|alias| alias.name.value.clone())),
    };
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let called = name_of(name).map_err(|reason| Fault::at(at, reason))?;
            let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(called));
            let (own, relation) = found.ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|(name, _)| &**name).collect();
                let reason = format!(
                    "unknown relation `{called}`; expected one of {}: a view sees those above it",
                    names.join(", ")
                );
                Fault::at(at, reason)
            })?;
            Ok((Some(alias_of(alias)?.unwrap_or_else(|| own.clone())), relation.clone()))
        }
        TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
            Ok((alias_of(alias)?, query(subquery, known)?))
        }
        other => {
            let shown: String = other.to_string().chars().take(40).collect();
            let reason =
                format!("`{shown}` is not supported yet; read {READINGS}, a view above or a subquery");
            Err(Fault::at(at, reason))
        }
    }
}
