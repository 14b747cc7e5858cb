//! Queries: the relation that each selects from others.

use std::cell::RefCell;

use dataflows::expression::Expression;
use dataflows::relation::{Aggregate, From, Relation};
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, Spanned, Value, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Location;

use super::compiler::{Compiler, Named, WindowColumn};
use super::fault::Fault;
use super::from::{From as Rows, from};
use super::group::{Grouping, aliased};
use super::script::name_of;
use super::selected::{Context, Selected};

/// Columns of a view: MySQL does not support many more in a table.
const MAX_COLUMNS: usize = 1_000;

/// Operations, fields and constants of a column or condition, with those of the views that it reads: a column that is
/// used twice in each of many views would grow without bound.
const MAX_NODES: usize = 10_000;
/// The same of levels: they are evaluated by recursion.
const MAX_LEVELS: usize = 300;

/// The same of all columns and conditions of a view.
const MAX_OF_VIEW: usize = 100_000;

/// Bytes of a view's text, with those of the views that it reads.
const MAX_DEFINITION: usize = 64 << 10;

/// The rows of a query.
pub(super) fn query(query: &Query, context: &Context<'_>) -> Result<Selected, Fault> {
    let at = query.span().start;
    let refused =
        |at, what: &str, instead: &str| Err(Fault::at(at, format!("{what} is not supported; {instead}")));
    if let Some(with) = &query.with {
        let instead = "give each of its queries a CREATE VIEW of its own";
        return refused(with.span().start, "WITH", instead);
    }
    if let Some(order) = &query.order_by {
        return refused(order.span().start, "ORDER BY", "leave it out, as a view has no order");
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        let of = query.limit_clause.as_ref().map(|limit| limit.span().start);
        return refused(of.filter(|at| at.line > 0).unwrap_or(at), "LIMIT", "leave it out");
    }
    let selected = set(&query.body, context, at)?;
    if query.to_string() != query.body.to_string() {
        let what = "a part of this query";
        return refused(at, what, &format!("what is supported of it is `{}`", query.body));
    }
    if selected.definition.len() > MAX_DEFINITION {
        let reason =
            format!("with the views that it reads it has more than {MAX_DEFINITION} bytes; make it shorter");
        return Err(Fault::at(at, reason));
    }
    Ok(selected)
}

/// The rows of a SELECT, or of a UNION of them.
fn set(body: &SetExpr, context: &Context<'_>, at: Location) -> Result<Selected, Fault> {
    match body {
        SetExpr::Select(select) => selected(select, context),
        SetExpr::Query(inner) => query(inner, context),
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } => {
            let mut members = vec![set(&named(right), context, at)?];
            let mut rest = left;
            // A long chain is one union.
            while let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: other, left, right } =
                &**rest
                && other == set_quantifier
            {
                members.push(set(&named(right), context, at)?);
                rest = left;
            }
            members.push(set(rest, context, at)?);
            members.reverse();
            let all = union(members, body.span().start)?;
            match set_quantifier {
                SetQuantifier::All => Ok(all),
                SetQuantifier::None | SetQuantifier::Distinct => distinct(&all),
                other => Err(Fault::at(at, format!("UNION {other} is not supported; use UNION ALL"))),
            }
        }
        SetExpr::SetOperation { op, .. } => {
            Err(Fault::at(at, format!("{op} is not supported; use UNION ALL, or a JOIN")))
        }
        _ => Err(Fault::at(at, "this statement is not supported; give a SELECT")),
    }
}

/// A query of a UNION behind the first, with a name for each of its columns: nobody sees them, so that it may leave them
/// out, or give one twice.
fn named(body: &SetExpr) -> SetExpr {
    let mut body = body.clone();
    let SetExpr::Select(select) = &mut body else { return body };
    let mut names: Vec<String> = Vec::new();
    for (number, item) in (1..).zip(&mut select.projection) {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                (Expr::Identifier(name.clone()), Some(name.value.to_lowercase()))
            }
            SelectItem::UnnamedExpr(expr) => (expr.clone(), None),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), Some(alias.value.to_lowercase())),
            _ => continue,
        };
        match name.filter(|name| !names.contains(name)) {
            Some(name) => names.push(name),
            None => {
                let alias = Ident::new(format!("_{number}"));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
    }
    body
}

/// All rows of several queries.
fn union(mut members: Vec<Selected>, at: Location) -> Result<Selected, Fault> {
    let width = members[0].columns.len();
    for member in &members {
        if member.columns.len() != width {
            let reason = format!(
                "the queries of a UNION have {width} and {} columns; give each as many",
                member.columns.len()
            );
            return Err(Fault::at(at, reason));
        }
    }
    for column in 0..width {
        let name = members[0].columns[column].0.clone();
        let all = members.iter().map(|member| member.columns[column].1.clone()).collect();
        let alike = Expression::alike(all)
            .map_err(|error| Fault::at(at, format!("column `{name}` of the UNION: {}", error.reason)))?;
        for (member, expression) in members.iter_mut().zip(alike) {
            member.columns[column].1 = expression;
        }
    }
    let time = members[0].place_of_time();
    let time = time.filter(|_| members.iter().all(|member| member.place_of_time() == time));
    let mut like = members[0].clone();
    like.nodes = members.iter().map(|member| member.nodes).sum();
    let definitions: Vec<&str> = members.iter().map(|member| &*member.definition).collect();
    like.definition = definitions.join(" UNION ALL ");
    let relations = members.iter().map(Selected::relation).collect::<Result<_, _>>()?;
    let names = like.names();
    Ok(Selected::of(Relation::Union(relations), names, time, &like))
}

/// Each row once.
fn distinct(of: &Selected) -> Result<Selected, Fault> {
    let relation = Relation::Distinct(Box::new(of.relation()?));
    let mut distinct = Selected::of(relation, of.names(), of.place_of_time(), of);
    distinct.definition.insert_str(0, "DISTINCT ");
    Ok(distinct)
}

fn selected(select: &Select, context: &Context<'_>) -> Result<Selected, Fault> {
    let at = select.span().start;
    let refused = |what: &str| Err(Fault::at(at, format!("{what} is not supported; leave it out")));
    if !select.named_window.is_empty() || select.qualify.is_some() {
        return refused("WINDOW or QUALIFY");
    }
    let keys: &[Expr] = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => keys,
        _ => return refused("GROUP BY ALL or WITH ROLLUP"),
    };
    let is_distinct = match &select.distinct {
        None | Some(Distinct::All) => false,
        Some(Distinct::Distinct) => true,
        Some(Distinct::On(_)) => return refused("DISTINCT ON"),
    };
    let mut rows = from(select, context)?;
    if let Some(filter) = &select.selection {
        if rows.is_session() {
            let reason =
                "WHERE behind SESSION is not supported; filter in a view or subquery that SESSION reads";
            return Err(Fault::of(filter, reason));
        }
        let condition = rows.compiler.condition(filter)?;
        bounded(&condition, filter.span().start)?;
        rows.selected.filters.push(condition);
    }
    let expected = text_of(select);
    if select.to_string() != expected {
        let reason =
            format!("a part of this query is not supported; what is supported of it is `{expected}`");
        return Err(Fault::at(at, reason));
    }
    let definition = defined(&expected, select, &rows);
    let mut result = if keys.is_empty() && select.having.is_none() {
        match projected(select, &rows.compiler) {
            Err(fault) if fault.is_aggregate => grouped(select, keys, &rows)?,
            Ok(_) if rows.window.is_some() => {
                let reason = "a window in FROM needs GROUP BY with window_start or window_end";
                return Err(Fault::at(at, reason));
            }
            projected => {
                let columns = projected?;
                let event_time = rows.selected.event_time.clone();
                let event_time = event_time.filter(|time| columns.iter().any(|(_, column)| column == time));
                Selected { columns, event_time, ..rows.selected.clone() }
            }
        }
    } else {
        grouped(select, keys, &rows)?
    };
    let filters = result.filters.iter().map(|filter| filter.size().0);
    let columns = result.columns.iter().map(|(_, column)| column.size().0);
    let nodes: usize = filters.chain(columns).sum();
    if nodes > MAX_OF_VIEW {
        let reason =
            format!("the view has {nodes} operations up to here; at most {MAX_OF_VIEW} are supported");
        return Err(Fault::at(at, reason));
    }
    result.nodes = nodes;
    result.definition = definition;
    if is_distinct { distinct(&result) } else { Ok(result) }
}

/// Groups of rows.
fn grouped(select: &Select, written: &[Expr], rows: &Rows) -> Result<Selected, Fault> {
    let at = select.span().start;
    let mut keys: Vec<Expression> = Vec::new();
    let mut is_by_window = false;
    for key in written {
        if rows.compiler.window_column(key).is_some() {
            is_by_window = true;
            continue;
        }
        if let Expr::Value(value) = key
            && let Value::Number(..) = value.value
        {
            return Err(Fault::of(key, format!("`{key}` is a number; GROUP BY takes expressions and names")));
        }
        // The name of a column of SELECT, if it is none of FROM.
        let named = match rows.compiler.column_of(key) {
            Ok(None) => aliased(key, &select.projection),
            _ => None,
        };
        if named.is_some_and(|named| rows.compiler.window_column(named).is_some()) {
            is_by_window = true;
            continue;
        }
        let compiled = rows.compiler.expression(named.unwrap_or(key), 0)?;
        bounded(&compiled, key.span().start)?;
        if !keys.contains(&compiled) {
            keys.push(compiled);
        }
    }
    if rows.window.is_some() && !is_by_window {
        let (start, end) = (WindowColumn::Start.name(), WindowColumn::End.name());
        return Err(Fault::at(at, format!("a window in FROM needs GROUP BY with {start} and {end}")));
    }
    let grouping = Grouping {
        columns: &select.projection,
        rows: rows.compiler.clone(),
        keys,
        has_time: rows.selected.event_time.is_some(),
        calls: RefCell::default(),
    };
    let compiler =
        Compiler { grouping: Some(&grouping), has_windows: rows.window.is_some(), ..Compiler::default() };
    let columns = projected(select, &compiler)?;
    let mut filters = Vec::new();
    if let Some(having) = &select.having {
        let condition = compiler.condition(having)?;
        bounded(&condition, having.span().start)?;
        filters.push(condition);
    }
    drop(compiler);
    let aggregate = Aggregate {
        source: rows.selected.source()?,
        is_whole: grouping.keys.is_empty() && rows.window.is_none(),
        keys: grouping.keys,
        window: rows.window.clone(),
        calls: grouping.calls.into_inner(),
        time: rows.selected.event_time.clone(),
    };
    Ok(Selected {
        from: From::Relation(Box::new(Relation::Aggregate(Box::new(aggregate)))),
        filters,
        columns,
        event_time: None,
        definition: String::new(),
        nodes: rows.selected.nodes,
    })
}

/// The columns of SELECT.
fn projected(select: &Select, compiler: &Compiler<'_>) -> Result<Vec<(String, Expression)>, Fault> {
    let mut columns: Vec<(String, Expression)> = Vec::new();
    for item in &select.projection {
        for (column, at) in items(item, compiler)? {
            if columns.iter().any(|(other, _)| other.eq_ignore_ascii_case(&column.0)) {
                let reason =
                    format!("another column has the name `{}`; rename one of them with AS", column.0);
                return Err(Fault::at(at, reason));
            }
            bounded(&column.1, at)?;
            columns.push(column);
        }
    }
    if columns.len() > MAX_COLUMNS {
        let reason = format!("{} columns are too many; give at most {MAX_COLUMNS}", columns.len());
        return Err(Fault::at(select.span().start, reason));
    }
    Ok(columns)
}

/// The text of a SELECT, as far as it is supported.
fn text_of(select: &Select) -> String {
    let list = |items: Vec<String>| items.join(", ");
    let projection = list(select.projection.iter().map(ToString::to_string).collect());
    let from = list(select.from.iter().map(ToString::to_string).collect());
    let distinct = select.distinct.as_ref().map(|distinct| format!("{distinct} ")).unwrap_or_default();
    let filter = select.selection.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    let groups = match &select.group_by {
        GroupByExpr::Expressions(keys, _) if !keys.is_empty() => {
            format!(" GROUP BY {}", list(keys.iter().map(ToString::to_string).collect()))
        }
        _ => String::new(),
    };
    let having = select.having.as_ref().map(|having| format!(" HAVING {having}")).unwrap_or_default();
    format!("SELECT {distinct}{projection} FROM {from}{filter}{groups}{having}")
}

/// The text of a SELECT, with those of what it reads.
fn defined(text: &str, select: &Select, rows: &Rows) -> String {
    let read = rows.definitions.iter().filter(|(_, text)| !text.is_empty());
    let read: Vec<String> = read.map(|(name, text)| format!("; {name} = {text}")).collect();
    let is_star =
        |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    // With another record, or another view, `*` is something else.
    let columns = match select.projection.iter().any(is_star) {
        true => {
            let names: Vec<&str> = rows.compiler.columns.iter().map(|column| &*column.name).collect();
            format!("; * = {}", names.join(", "))
        }
        false => String::new(),
    };
    format!("{text}{}{columns}", read.concat())
}

/// Refuses an expression that is too large with what it reads.
fn bounded(expression: &Expression, at: Location) -> Result<(), Fault> {
    let (nodes, levels) = expression.size();
    if nodes <= MAX_NODES && levels <= MAX_LEVELS {
        return Ok(());
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
    let all = |options: &WildcardAdditionalOptions, of: Option<&str>| {
        if compiler.grouping.is_some() {
            return Err(Fault::at(
                at,
                format!("`{item}` differs within a group; name what groups have in common"),
            ));
        }
        let is_of = |column: &&Named| {
            of.is_none_or(|of| column.relation.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(of)))
        };
        let columns = compiler.columns.iter().filter(is_of);
        match options.to_string().is_empty() {
            true => {
                Ok(columns.map(|column| ((column.name.clone(), column.expression.clone()), at)).collect())
            }
            false => Err(Fault::at(at, format!("`{item}` is not supported; name the columns"))),
        }
    };
    match item {
        SelectItem::UnnamedExpr(expr) => Ok(vec![compiler.column(expr, None)?]),
        SelectItem::ExprWithAlias { expr, alias } => Ok(vec![compiler.column(expr, Some(alias))?]),
        SelectItem::Wildcard(options) => all(options, None),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
            match name_of(name) {
                Ok(name) if compiler.is_of(name) => all(options, Some(name)),
                _ => Err(Fault::at(at, compiler.no_relation(name))),
            }
        }
        other => Err(Fault::at(at, format!("`{other}` is not supported; give an expression, AS and a name"))),
    }
}
