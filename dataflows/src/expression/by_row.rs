//! An independent evaluation, one reading or row at a time, with decimals as big rationals instead of scaled integers.
//! Used by `truckflow verify` and tests.

use std::cmp::Ordering;

use num_rational::BigRational;
use num_traits::Signed;

use super::compare::Comparison;
use super::query::Query;
use super::tree::{Constant, Expression, Node};
use super::types::{Kind, Rounding, Test, power};
use super::values;
use crate::batch::Record;
use crate::oracle::nearest;
use crate::oracle::value::{Datum, all_of, arithmetic, extreme, fraction, nano, order, rounded};
use crate::rows::NULL;
use crate::schema::{FieldType, Place};

fn known(truth: Option<bool>) -> Datum {
    truth.map_or(Datum::Null, Datum::Truth)
}

/// What an expression is evaluated for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operands<'a> {
    /// A reading: the expression is of its fields.
    Reading(&'a Record),
    /// A row that is not a reading: the expression is of its columns.
    Row(&'a [Datum]),
}

impl Expression {
    /// The value for one reading.
    pub fn value(&self, record: &Record) -> Datum {
        self.value_of(Operands::Reading(record))
    }

    /// The value for a row that is not a reading.
    ///
    /// ```
    /// use dataflows::expression::{Arithmetic, Expression};
    /// use dataflows::oracle::value::{Datum, nano};
    /// use dataflows::schema::Schema;
    ///
    /// let speed = Expression::field(Schema::trucks().field("engine_speed").unwrap());
    /// let column = Expression::of_column(1, speed.kind(), speed.column_type());
    /// let twice = Expression::arithmetic(Arithmetic::Add, column.clone(), column).unwrap();
    /// assert_eq!(twice.value_in(&[Datum::Null, nano(3)]), nano(6));
    /// ```
    pub fn value_in(&self, row: &[Datum]) -> Datum {
        self.value_of(Operands::Row(row))
    }

    pub(crate) fn value_of(&self, operands: Operands<'_>) -> Datum {
        let all = |list: &[Self]| -> Vec<Datum> { list.iter().map(|one| one.value_of(operands)).collect() };
        match &self.node {
            Node::Field(place, field_type) => match operands {
                Operands::Reading(record) => of_field(*place, *field_type, record),
                Operands::Row(_) => panic!("a field of a row that is not a reading"),
            },
            Node::Column(place, _) => match operands {
                Operands::Row(row) => row[*place].clone(),
                Operands::Reading(_) => panic!("a column of a reading"),
            },
            Node::Elapsed(a, b) => match (a.value_of(operands), b.value_of(operands)) {
                (Datum::Time(a), Datum::Time(b)) => {
                    let micros = num_bigint::BigInt::from(a) - b;
                    Datum::Exact(fraction(micros, 1_000_000.into()))
                }
                _ => Datum::Null,
            },
            Node::Shifted(by, of) => match of.value_of(operands) {
                Datum::Time(time) => time.checked_add(*by).map_or(Datum::Null, Datum::Time),
                other => other,
            },
            Node::Constant(constant) => self.constant_value(constant),
            Node::Scaled(_, of) => of.value_of(operands),
            Node::Rounded(_, of) => match of.value_of(operands) {
                Datum::Exact(exact) => Datum::Real(nearest(&exact)),
                other => other,
            },
            Node::Negated(of) => match of.value_of(operands) {
                Datum::Exact(exact) => Datum::Exact(-exact),
                Datum::Real(real) => Datum::Real(-real),
                other => other,
            },
            Node::Absolute(of) => match of.value_of(operands) {
                Datum::Exact(exact) => Datum::Exact(exact.abs()),
                Datum::Real(real) => Datum::Real(real.abs()),
                other => other,
            },
            Node::Exact(op, (_, a), (_, b)) => {
                arithmetic(*op, a.value_of(operands), b.value_of(operands), true)
            }
            Node::Real(op, a, b) => arithmetic(*op, a.value_of(operands), b.value_of(operands), false),
            Node::Compare(op, _, a, b) => {
                known(order(&a.value_of(operands), &b.value_of(operands)).map(|order| op.holds(order)))
            }
            Node::And(list) => all_of(list.iter().map(|one| one.value_of(operands).truth()), false),
            Node::Or(list) => all_of(list.iter().map(|one| one.value_of(operands).truth()), true),
            Node::Not(of) => known(of.value_of(operands).truth().map(|holds| !holds)),
            Node::Is(test, of) => Datum::Truth(match test {
                Test::Null => of.value_of(operands).is_null(),
                Test::True => of.value_of(operands).truth() == Some(true),
                Test::False => of.value_of(operands).truth() == Some(false),
            }),
            Node::Between(of, (_, low), (_, high)) => {
                let of = of.value_of(operands);
                let from = order(&of, &low.value_of(operands)).map(|order| order != Ordering::Less);
                let to = order(&of, &high.value_of(operands)).map(|order| order != Ordering::Greater);
                all_of([from, to].into_iter(), false)
            }
            Node::In(of, list) => {
                let of = of.value_of(operands);
                let equals = |item: &Self| order(&of, &item.value_of(operands)).map(Ordering::is_eq);
                all_of(list.iter().map(|(_, item)| equals(item)), true)
            }
            Node::Like(of, pattern) => match of.value_of(operands) {
                Datum::Text(text) => Datum::Truth(pattern.matches(&text)),
                other => other,
            },
            Node::Case(branches, last) => {
                let found = branches.iter().find(|(when, _)| when.value_of(operands).truth() == Some(true));
                found.map_or(&**last, |(_, then)| then).value_of(operands)
            }
            Node::Switch(of, branches, last) => {
                let of = of.value_of(operands);
                let is_it = |when: &Self| order(&of, &when.value_of(operands)) == Some(Ordering::Equal);
                let found = branches.iter().find(|(_, when, _)| is_it(when));
                found.map_or(&**last, |(_, _, then)| then).value_of(operands)
            }
            Node::Coalesce(list) => list
                .iter()
                .map(|one| one.value_of(operands))
                .find(|one| !one.is_null())
                .unwrap_or(Datum::Null),
            Node::NullIf(a, _, b) => {
                let a = a.value_of(operands);
                if order(&a, &b.value_of(operands)) == Some(Ordering::Equal) { Datum::Null } else { a }
            }
            Node::Extreme(op, _, list) => {
                let wanted = if *op == Comparison::Greater { Ordering::Greater } else { Ordering::Less };
                extreme(all(list), wanted)
            }
            Node::Round(rounding, places, of) => match of.value_of(operands) {
                Datum::Exact(exact) => Datum::Exact(rounded(&exact, *rounding, *places)),
                Datum::Real(real) => {
                    let places = if *rounding == Rounding::Nearest { *places } else { 0 };
                    let exact = BigRational::from_float(real).expect("infinities and NaN are NULL");
                    Datum::Real(nearest(&rounded(&exact, *rounding, places)))
                }
                other => other,
            },
        }
    }

    fn constant_value(&self, constant: &Constant) -> Datum {
        match constant {
            Constant::Null => Datum::Null,
            Constant::Number(units) => match self.kind {
                Kind::Number(decimal) => Datum::Exact(fraction((*units).into(), power(decimal.scale).into())),
                _ => Datum::Null, // unreachable: only a decimal has units
            },
            Constant::Real(real) if real.is_nan() => Datum::Null,
            Constant::Real(real) => Datum::Real(*real),
            Constant::Text(text) => Datum::Text(text.clone()),
            Constant::Timestamp(NULL) => Datum::Null,
            Constant::Timestamp(time) => Datum::Time(*time),
            Constant::Truth(values::UNKNOWN) => Datum::Null,
            Constant::Truth(truth) => Datum::Truth(*truth == values::TRUE),
        }
    }
}

fn of_field(place: Place, field_type: FieldType, record: &Record) -> Datum {
    match place {
        Place::Time => Datum::Time(record.time),
        Place::Entity => Datum::Text(record.entity.clone()),
        Place::Texts(column) => record.texts[column].clone().map_or(Datum::Null, Datum::Text),
        Place::Units(column) => match (record.units[column], field_type) {
            (NULL, _) => Datum::Null,
            (units, FieldType::Number) => nano(units),
            (units, FieldType::Timestamp) => Datum::Time(units),
            (units, FieldType::Boolean) => Datum::Truth(units != 0),
            (units, FieldType::Integer | FieldType::Text) => {
                Datum::Exact(BigRational::from_integer(units.into()))
            }
        },
    }
}

impl Query {
    /// The column values of one reading, if it satisfies the condition.
    pub fn row(&self, record: &Record) -> Option<Vec<Datum>> {
        let is_kept = |filter: &Expression| filter.value(record).truth() == Some(true);
        let kept = self.filter.as_ref().is_none_or(is_kept);
        kept.then(|| self.columns.iter().map(|(_, expression)| expression.value(record)).collect())
    }
}
