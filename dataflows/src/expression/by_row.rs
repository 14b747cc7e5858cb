//! An independent evaluation, one reading at a time, with decimals as big rationals instead of scaled integers. Used
//! by `truckflow verify` and tests.

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
use crate::oracle::value::{Datum, all_of, arithmetic, extreme, nano, order, rounded};
use crate::rows::NULL;
use crate::schema::{FieldType, Place};

fn known(truth: Option<bool>) -> Datum {
    truth.map_or(Datum::Null, Datum::Truth)
}

impl Expression {
    /// The value for one reading.
    pub fn value(&self, record: &Record) -> Datum {
        let all = |list: &[Self]| -> Vec<Datum> { list.iter().map(|one| one.value(record)).collect() };
        match &self.node {
            Node::Field(place, field_type) => of_field(*place, *field_type, record),
            Node::Column(..) => Datum::Null,
            Node::Elapsed(a, b) => match (a.value(record), b.value(record)) {
                (Datum::Time(a), Datum::Time(b)) => {
                    let micros = num_bigint::BigInt::from(a) - b;
                    Datum::Exact(BigRational::new(micros, 1_000_000.into()))
                }
                _ => Datum::Null,
            },
            Node::Shifted(by, of) => match of.value(record) {
                Datum::Time(time) => time.checked_add(*by).map_or(Datum::Null, Datum::Time),
                other => other,
            },
            Node::Constant(constant) => self.constant_value(constant),
            Node::Scaled(_, of) => of.value(record),
            Node::Rounded(_, of) => match of.value(record) {
                Datum::Exact(exact) => Datum::Real(nearest(&exact)),
                other => other,
            },
            Node::Negated(of) => match of.value(record) {
                Datum::Exact(exact) => Datum::Exact(-exact),
                Datum::Real(real) => Datum::Real(-real),
                other => other,
            },
            Node::Absolute(of) => match of.value(record) {
                Datum::Exact(exact) => Datum::Exact(exact.abs()),
                Datum::Real(real) => Datum::Real(real.abs()),
                other => other,
            },
            Node::Exact(op, (_, a), (_, b)) => arithmetic(*op, a.value(record), b.value(record), true),
            Node::Real(op, a, b) => arithmetic(*op, a.value(record), b.value(record), false),
            Node::Compare(op, _, a, b) => {
                known(order(&a.value(record), &b.value(record)).map(|order| op.holds(order)))
            }
            Node::And(list) => all_of(list.iter().map(|one| one.value(record).truth()), false),
            Node::Or(list) => all_of(list.iter().map(|one| one.value(record).truth()), true),
            Node::Not(of) => known(of.value(record).truth().map(|holds| !holds)),
            Node::Is(test, of) => Datum::Truth(match test {
                Test::Null => of.value(record).is_null(),
                Test::True => of.value(record).truth() == Some(true),
                Test::False => of.value(record).truth() == Some(false),
            }),
            Node::Between(of, (_, low), (_, high)) => {
                let of = of.value(record);
                let from = order(&of, &low.value(record)).map(|order| order != Ordering::Less);
                let to = order(&of, &high.value(record)).map(|order| order != Ordering::Greater);
                all_of([from, to].into_iter(), false)
            }
            Node::In(of, list) => {
                let of = of.value(record);
                let equals = |item: &Self| order(&of, &item.value(record)).map(Ordering::is_eq);
                all_of(list.iter().map(|(_, item)| equals(item)), true)
            }
            Node::Like(of, pattern) => match of.value(record) {
                Datum::Text(text) => Datum::Truth(pattern.matches(&text)),
                other => other,
            },
            Node::Case(branches, last) => {
                let found = branches.iter().find(|(when, _)| when.value(record).truth() == Some(true));
                found.map_or(&**last, |(_, then)| then).value(record)
            }
            Node::Switch(of, branches, last) => {
                let of = of.value(record);
                let is_it = |when: &Self| order(&of, &when.value(record)) == Some(Ordering::Equal);
                let found = branches.iter().find(|(_, when, _)| is_it(when));
                found.map_or(&**last, |(_, _, then)| then).value(record)
            }
            Node::Coalesce(list) => {
                list.iter().map(|one| one.value(record)).find(|one| !one.is_null()).unwrap_or(Datum::Null)
            }
            Node::NullIf(a, _, b) => {
                let a = a.value(record);
                if order(&a, &b.value(record)) == Some(Ordering::Equal) { Datum::Null } else { a }
            }
            Node::Extreme(op, _, list) => {
                let wanted = if *op == Comparison::Greater { Ordering::Greater } else { Ordering::Less };
                extreme(all(list), wanted)
            }
            Node::Round(rounding, places, of) => match of.value(record) {
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
                Kind::Number(decimal) => {
                    Datum::Exact(BigRational::new((*units).into(), power(decimal.scale).into()))
                }
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
