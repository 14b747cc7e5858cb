//! Groups of rows: their keys, and calls of aggregate functions.

use std::cell::RefCell;

use dataflows::expression::{Expression, Kind};
use dataflows::relation::{Call, Fraction, Function as Aggregate};
use dataflows::rows::Type;
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, OrderByExpr,
    OrderBySort, SelectItem, Value,
};

use super::compiler::{Compiler, Groups, WindowColumn};
use super::fault::{Fault, mismatch};
use crate::text::printable::quantity;

/// The names of aggregate functions, for messages.
pub(super) fn aggregates() -> String {
    Aggregate::ALL.map(|function| function.to_string()).join(", ")
}

/// Whether a function, in capitals, is an aggregate, or one under another name elsewhere.
pub(super) fn is_aggregate(name: &str) -> bool {
    Aggregate::named(name).is_some()
        || ["STD", "STDDEV", "VARIANCE", "GROUP_CONCAT", "ANY_VALUE"].contains(&name)
}

/// The groups that a query makes of rows.
pub(super) struct Grouping<'a> {
    /// The columns of SELECT.
    pub columns: &'a [SelectItem],
    /// Compiles what is said of single rows.
    pub rows: Compiler<'a>,
    /// The values that rows of a group have in common.
    pub keys: Vec<Expression>,
    /// Whether rows have an event time.
    pub has_time: bool,
    /// The calls so far.
    pub calls: RefCell<Vec<Call>>,
}

impl Groups for Grouping<'_> {
    fn rows(&self) -> &Compiler<'_> {
        &self.rows
    }

    fn expression(&self, expr: &Expr) -> Result<Option<Expression>, Fault> {
        if let Some(column) = self.rows.window_column(expr) {
            let place = self.keys.len() + usize::from(column == WindowColumn::End);
            return Ok(Some(Expression::of_column(place, Kind::Timestamp, Type::Timestamp)));
        }
        match expr {
            Expr::Function(function) if is_aggregate(&function.name.to_string().to_uppercase()) => {
                return self.call(expr, function).map(Some);
            }
            Expr::Value(_) | Expr::TypedString(_) | Expr::Interval(_) | Expr::Nested(_) => return Ok(None),
            _ => {}
        }
        let of_row = self.rows.expression(expr, 0);
        if let Ok(of_row) = &of_row
            && let Some(place) = self.keys.iter().position(|key| key == of_row)
        {
            return Ok(Some(Expression::of_column(place, of_row.kind(), of_row.column_type())));
        }
        match (expr, of_row) {
            (Expr::Identifier(_) | Expr::CompoundIdentifier(_), Ok(_)) => {
                let reason = format!(
                    "`{expr}` differs within a group; add it to GROUP BY, or aggregate it, as in MAX({expr})"
                );
                Err(Fault::of(expr, reason))
            }
            (Expr::Identifier(_) | Expr::CompoundIdentifier(_), Err(fault)) => {
                match aliased(expr, self.columns) {
                    Some(named) => {
                        let reason = format!(
                            "`{expr}` is a name that SELECT gives; write what it stands for: `{named}`"
                        );
                        Err(Fault::of(expr, reason))
                    }
                    None => Err(fault),
                }
            }
            _ => Ok(None),
        }
    }
}

impl Grouping<'_> {
    /// The value of a call.
    fn call(&self, expr: &Expr, function: &Function) -> Result<Expression, Fault> {
        let call = self.called(expr, function)?;
        let mut calls = self.calls.borrow_mut();
        let place = calls.iter().position(|other| *other == call).unwrap_or_else(|| {
            calls.push(call);
            calls.len() - 1
        });
        let (kind, column_type) = calls[place].column();
        let before = self.keys.len() + if self.rows.has_windows { 2 } else { 0 };
        Ok(Expression::of_column(before + place, kind, column_type))
    }

    fn called(&self, expr: &Expr, function: &Function) -> Result<Call, Fault> {
        let name = function.name.to_string().to_uppercase();
        let refused = |reason: String| Err(Fault::of(expr, reason));
        if function.over.is_some() {
            return refused(format!("{name} with OVER is not supported; use GROUP BY, or a window in FROM"));
        }
        let FunctionArguments::List(list) = &function.args else {
            return refused(format!("{name} takes expressions in parentheses"));
        };
        if !list.clauses.is_empty() || function.null_treatment.is_some() {
            return refused(format!("{name} takes expressions, DISTINCT and FILTER, and nothing else"));
        }
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let mut arguments: Vec<&Expr> = Vec::new();
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => arguments.push(argument),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                    if name == "COUNT" && list.args.len() == 1 => {}
                other => return refused(format!("{name} does not take `{other}`; give an expression")),
            }
        }
        let is_percentile = name.starts_with("PERCENTILE_");
        let mut fraction = Fraction::HALF;
        if is_percentile {
            let [OrderByExpr { expr: ordered, options, .. }] = &function.within_group[..] else {
                return refused(format!("{name} is written {name}(0.9) WITHIN GROUP (ORDER BY x)"));
            };
            if !matches!(options.sort, None | Some(OrderBySort::Asc)) || options.nulls_first.is_some() {
                return refused(format!(
                    "{name} orders upwards; leave out what follows the expression of ORDER BY"
                ));
            }
            fraction = match arguments[..] {
                [part] => of_fraction(part).ok_or_else(|| {
                    Fault::of(
                        part,
                        format!("{name} takes a number from 0 to 1, with at most 15 decimal places"),
                    )
                })?,
                _ => return refused(format!("{name} takes one number from 0 to 1")),
            };
            arguments = vec![ordered];
        } else if !function.within_group.is_empty() {
            return refused(format!("{name} does not take WITHIN GROUP; leave it out"));
        }
        let called = match Aggregate::named(&name) {
            Some(Aggregate::PercentileCont(_)) => Aggregate::PercentileCont(fraction),
            Some(Aggregate::PercentileDisc(_)) => Aggregate::PercentileDisc(fraction),
            Some(called) => called,
            None => {
                return refused(format!("{name} is not supported; expected one of {}", aggregates()));
            }
        };
        let wanted = match called {
            Aggregate::Count => arguments.len().min(1),
            Aggregate::Covar(_) | Aggregate::Corr | Aggregate::Regr(_) => 2,
            _ => 1,
        };
        let is_star = called == Aggregate::Count && list.args.len() == 1;
        if arguments.len() != wanted || (arguments.is_empty() && !is_star) {
            let found = quantity(arguments.len(), "argument");
            let wanted = if wanted == 2 { "two expressions" } else { "one expression" };
            return refused(format!("{name} takes {wanted}, not {found}"));
        }
        let is_single = matches!(
            called,
            Aggregate::Count
                | Aggregate::Sum
                | Aggregate::Avg
                | Aggregate::Min
                | Aggregate::Max
                | Aggregate::Var(_)
                | Aggregate::Stddev(_)
        );
        if distinct && (!is_single || arguments.is_empty()) {
            return refused(format!("{name} does not take DISTINCT; leave it out"));
        }
        if (called == Aggregate::Median || is_percentile) && !self.rows.has_windows {
            return refused(format!(
                "{name} keeps all values of a group, so it needs a window, as in FROM TUMBLE(…)"
            ));
        }
        if matches!(called, Aggregate::First | Aggregate::Last) && !self.has_time {
            let reason = format!(
                "{name} goes by event time, which these rows do not have: a join has two, an aggregate none, and a view or subquery only if it shows it"
            );
            return refused(reason);
        }
        let operands = arguments.iter().map(|argument| self.rows.expression(argument, 0));
        let operands: Vec<Expression> = operands.collect::<Result<_, _>>()?;
        let filter = function.filter.as_deref().map(|filter| self.rows.condition(filter)).transpose()?;
        Call::new(called, operands, distinct, filter).map_err(|error| mismatch(error, &arguments))
    }
}

/// A number from 0 to 1.
fn of_fraction(expr: &Expr) -> Option<Fraction> {
    let Expr::Value(value) = expr else { return None };
    let Value::Number(digits, _) = &value.value else { return None };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    if places.len() > 15 {
        return None;
    }
    let scale = places.len() as u8;
    let units: i64 = format!("{whole}{places}").parse().ok()?;
    (0..=10i64.pow(scale.into())).contains(&units).then_some(Fraction { units, scale })
}

/// The expression of SELECT that has a name.
pub(super) fn aliased<'a>(name: &Expr, columns: &'a [SelectItem]) -> Option<&'a Expr> {
    let Expr::Identifier(name) = name else { return None };
    columns.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if alias.value.eq_ignore_ascii_case(&name.value) => {
            Some(expr)
        }
        _ => None,
    })
}
