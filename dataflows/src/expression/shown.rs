//! Expressions as text, for people.

use super::tree::{Constant, Expression, Node};
use super::types::{Arithmetic, Kind, Rounding, Test};
use super::values::TRUE;
use crate::schema::Place;
use crate::wide::Wide;

/// What fields and columns are called.
pub(crate) trait Names {
    /// A field of readings.
    fn field(&self, place: Place) -> String;
    /// A column of another relation.
    fn column(&self, place: usize) -> String;
}

impl Expression {
    /// The expression in SQL, as far as it is known: conversions between decimals of different scales are left out.
    pub(crate) fn shown(&self, names: &dyn Names) -> String {
        let of = |of: &Self| of.shown(names);
        let list = |all: &[Self]| all.iter().map(of).collect::<Vec<_>>().join(", ");
        // Operands that are operations themselves are in parentheses.
        let operand = |one: &Self| match one.node {
            Node::Exact(..)
            | Node::Real(..)
            | Node::Elapsed(..)
            | Node::Compare(..)
            | Node::And(_)
            | Node::Or(_) => {
                format!("({})", of(one))
            }
            _ => of(one),
        };
        let joined = |all: &[Self], by: &str| all.iter().map(operand).collect::<Vec<_>>().join(by);
        let infix = |a: &Self, by: &str, b: &Self| format!("{} {by} {}", operand(a), operand(b));
        match &self.node {
            Node::Field(place, _) => names.field(*place),
            Node::Column(place, _) => names.column(*place),
            Node::Constant(constant) => self.of_constant(constant),
            Node::Scaled(_, one) => of(one),
            Node::Rounded(_, one) => format!("CAST({} AS DOUBLE)", of(one)),
            Node::Negated(one) => format!("-{}", operand(one)),
            Node::Absolute(one) => format!("ABS({})", of(one)),
            Node::Exact(op, (_, a), (_, b)) | Node::Real(op, a, b) => infix(a, symbol(*op), b),
            Node::Elapsed(a, b) => infix(a, "-", b),
            Node::Shifted(by, one) => {
                let (sign, by) = if *by < 0 { ("-", by.unsigned_abs()) } else { ("+", by.unsigned_abs()) };
                format!("{} {sign} INTERVAL '{by} microseconds'", operand(one))
            }
            Node::Compare(op, _, a, b) => infix(a, op.symbol(), b),
            Node::And(all) => joined(all, " AND "),
            Node::Or(all) => joined(all, " OR "),
            Node::Not(one) => match &one.node {
                Node::Is(Test::Null, inner) => format!("{} IS NOT NULL", operand(inner)),
                _ => format!("NOT {}", operand(one)),
            },
            Node::Is(test, one) => {
                let test = match test {
                    Test::Null => "NULL",
                    Test::True => "TRUE",
                    Test::False => "FALSE",
                };
                format!("{} IS {test}", operand(one))
            }
            Node::Between(one, (_, low), (_, high)) => {
                format!("{} BETWEEN {} AND {}", operand(one), operand(low), operand(high))
            }
            Node::In(one, all) => {
                let all: Vec<String> = all.iter().map(|(_, one)| of(one)).collect();
                format!("{} IN ({})", operand(one), all.join(", "))
            }
            Node::Like(one, pattern) => format!("{} LIKE '{pattern}'", operand(one)),
            Node::Case(branches, last) => {
                let branches =
                    branches.iter().map(|(when, then)| format!(" WHEN {} THEN {}", of(when), of(then)));
                format!("CASE{} ELSE {} END", branches.collect::<String>(), of(last))
            }
            Node::Switch(one, branches, last) => {
                let branches =
                    branches.iter().map(|(_, when, then)| format!(" WHEN {} THEN {}", of(when), of(then)));
                format!("CASE {}{} ELSE {} END", of(one), branches.collect::<String>(), of(last))
            }
            Node::Coalesce(all) => format!("COALESCE({})", list(all)),
            Node::NullIf(a, _, b) => format!("NULLIF({}, {})", of(a), of(b)),
            Node::Extreme(op, _, all) => {
                let name = if op.holds(std::cmp::Ordering::Greater) { "GREATEST" } else { "LEAST" };
                format!("{name}({})", list(all))
            }
            Node::Round(rounding, places, one) => match rounding {
                Rounding::Nearest => format!("ROUND({}, {places})", of(one)),
                Rounding::Floor => format!("FLOOR({})", of(one)),
                Rounding::Ceiling => format!("CEIL({})", of(one)),
            },
        }
    }

    fn of_constant(&self, constant: &Constant) -> String {
        match constant {
            Constant::Null => "NULL".into(),
            Constant::Number(units) => match self.kind {
                Kind::Number(decimal) => Wide::from(*units).decimal(decimal.scale),
                _ => units.to_string(),
            },
            Constant::Real(value) => value.to_string(),
            Constant::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Constant::Timestamp(micros) => {
                format!("TIMESTAMP '1970-01-01' + INTERVAL '{micros} microseconds'")
            }
            Constant::Truth(truth) => if *truth == TRUE { "TRUE" } else { "FALSE" }.into(),
        }
    }
}

fn symbol(op: Arithmetic) -> &'static str {
    match op {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Remainder => "%",
    }
}
