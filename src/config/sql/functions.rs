//! Calls of functions.

use dataflows::expression::{Arithmetic, Expression, MOST_ROUNDED_PLACES, Rounding};
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use super::compiler::Compiler;
use super::fault::{Fault, mismatch};
use super::group::{aggregates, is_aggregate};
use crate::text::printable::quantity;

/// Supported functions, for messages.
const FUNCTIONS: &str = "ABS, CEIL, COALESCE, FLOOR, GREATEST, IF, IFNULL, LEAST, MOD, NULLIF, ROUND";

impl Compiler<'_> {
    pub(super) fn function(
        &self,
        expr: &Expr,
        function: &Function,
        depth: usize,
    ) -> Result<Expression, Fault> {
        let name = function.name.to_string().to_uppercase();
        if function.over.is_some() {
            let reason = format!("{name} with OVER is not supported; use GROUP BY, or a window in FROM");
            return Err(Fault::of(expr, reason));
        }
        if is_aggregate(&name) {
            let reason = format!(
                "{name} aggregates rows, and has no place here; use it in SELECT or HAVING, and conditions on single rows in WHERE"
            );
            return Err(Fault { is_aggregate: true, ..Fault::of(expr, reason) });
        }
        const KNOWN: [&str; 12] = [
            "ABS", "CEIL", "CEILING", "COALESCE", "FLOOR", "GREATEST", "IF", "IFNULL", "LEAST", "MOD",
            "NULLIF", "ROUND",
        ];
        if !KNOWN.contains(&&*name) {
            let reason = format!(
                "unknown function {name}; expected one of {FUNCTIONS}, or an aggregate: {}",
                aggregates()
            );
            return Err(Fault::of(expr, reason));
        }
        let plain = || Fault::of(expr, format!("{name} takes expressions, separated by commas"));
        let FunctionArguments::List(list) = &function.args else { return Err(plain()) };
        if list.duplicate_treatment.is_some()
            || !list.clauses.is_empty()
            || function.filter.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
        {
            return Err(plain());
        }
        let operands = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(plain()),
        });
        let operands: Vec<&Expr> = operands.collect::<Result<_, _>>()?;
        let count = |wanted: &str| {
            Err(Fault::of(
                expr,
                format!("{name} takes {wanted}, not {}", quantity(operands.len(), "argument")),
            ))
        };
        let all = || self.all_alike(&operands, depth);
        let each = || operands.iter().map(|one| self.expression(one, depth));
        let two = |values: Vec<Expression>| <[Expression; 2]>::try_from(values).unwrap_or_default();
        let result = match (&*name, operands.len()) {
            ("COALESCE", 1..) => Expression::coalesce(all()?),
            ("IFNULL", 2) => Expression::coalesce(all()?),
            ("GREATEST", 1..) => Expression::greatest(all()?),
            ("LEAST", 1..) => Expression::least(all()?),
            ("NULLIF", 2) => {
                let [a, b] = two(all()?);
                a.null_if(b)
            }
            ("MOD", 2) => {
                let [a, b] = two(each().collect::<Result<_, _>>()?);
                Expression::arithmetic(Arithmetic::Remainder, a, b)
            }
            ("IF", 3) => {
                let condition = self.expression(operands[0], depth)?;
                let [then, otherwise] = two(self.all_alike(&operands[1..], depth)?);
                Expression::case(vec![(condition, then)], otherwise)
            }
            ("ABS", 1) => self.expression(operands[0], depth)?.absolute(),
            ("CEIL" | "CEILING", 1) => self.expression(operands[0], depth)?.round(Rounding::Ceiling, 0),
            ("FLOOR", 1) => self.expression(operands[0], depth)?.round(Rounding::Floor, 0),
            ("ROUND", 1 | 2) => {
                let places = match operands.get(1) {
                    None => 0,
                    Some(places) => places_of(places)?,
                };
                self.expression(operands[0], depth)?.round(Rounding::Nearest, places)
            }
            ("COALESCE" | "GREATEST" | "LEAST", _) => return count("at least one expression"),
            ("IFNULL" | "NULLIF" | "MOD", _) => return count("two expressions"),
            ("IF", _) => return count("a condition and two expressions"),
            ("ROUND", _) => return count("a number and optionally decimal places"),
            _ => return count("one number"),
        };
        result.map_err(|error| mismatch(error, &operands))
    }
}

/// The decimal places of ROUND.
fn places_of(expr: &Expr) -> Result<u8, Fault> {
    let places = match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok().filter(|places| *places <= MOST_ROUNDED_PLACES),
            _ => None,
        },
        _ => None,
    };
    places.ok_or_else(|| {
        Fault::of(expr, format!("ROUND takes 0 to {MOST_ROUNDED_PLACES} decimal places, as a number"))
    })
}
