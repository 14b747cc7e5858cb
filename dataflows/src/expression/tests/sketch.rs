//! A description of an expression, from which it is built, and an interpreter that evaluates it row by row.

use std::cmp::Ordering;

use num_rational::BigRational;
use num_traits::Signed;

use crate::batch::Record;
use crate::expression::operations::exact;
use crate::expression::pattern::Pattern;
use crate::expression::types::power;
use crate::expression::{Arithmetic, Comparison, Decimal, Expression, Kind, Rounding, Test};
use crate::oracle::nearest;
use crate::oracle::value::{Datum, all_of, arithmetic, extreme, nano, order, rounded};
use crate::rows::NULL;
use crate::schema::{Field, FieldType, Place};

/// A description of an expression.
#[derive(Clone, Debug)]
pub(super) enum Sketch {
    Null,
    Field(Field),
    Number(i128, u8),
    Text(&'static str),
    Time(i64),
    Truth(bool),
    Negated(Box<Sketch>),
    Absolute(Box<Sketch>),
    ToReal(Box<Sketch>),
    Round(Rounding, u8, Box<Sketch>),
    Arithmetic(Arithmetic, Box<Sketch>, Box<Sketch>),
    Compare(Comparison, Box<Sketch>, Box<Sketch>),
    And(Vec<Sketch>),
    Or(Vec<Sketch>),
    Not(Box<Sketch>),
    Is(Test, Box<Sketch>),
    Between(Box<Sketch>, Box<Sketch>, Box<Sketch>),
    In(Box<Sketch>, Vec<Sketch>),
    Like(Box<Sketch>, &'static str),
    Case(Vec<(Sketch, Sketch)>, Box<Sketch>),
    Switch(Box<Sketch>, Vec<(Sketch, Sketch)>, Box<Sketch>),
    Coalesce(Vec<Sketch>),
    NullIf(Box<Sketch>, Box<Sketch>),
    Greatest(Vec<Sketch>),
    Least(Vec<Sketch>),
}

impl Sketch {
    /// The expression for a reading.
    pub fn build(&self) -> Expression {
        self.build_with(&Expression::field)
    }

    /// The expression with these leaves for its fields.
    pub fn build_with(&self, leaf: &impl Fn(&Field) -> Expression) -> Expression {
        let all = |list: &[Sketch]| list.iter().map(|one| one.build_with(leaf)).collect::<Vec<_>>();
        let pairs = |list: &[(Sketch, Sketch)]| {
            list.iter().map(|(when, then)| (when.build_with(leaf), then.build_with(leaf))).collect::<Vec<_>>()
        };
        match self {
            Self::Null => Ok(Expression::null()),
            Self::Field(field) => Ok(leaf(field)),
            Self::Number(units, scale) => Ok(Expression::number(*units, *scale).unwrap()),
            Self::Text(text) => Ok(Expression::text(text)),
            Self::Time(time) => Ok(Expression::timestamp(*time)),
            Self::Truth(holds) => Ok(Expression::truth(*holds)),
            Self::Negated(of) => of.build_with(leaf).negated(),
            Self::Absolute(of) => of.build_with(leaf).absolute(),
            Self::ToReal(of) => of.build_with(leaf).to_real(),
            Self::Round(rounding, places, of) => of.build_with(leaf).round(*rounding, *places),
            Self::Arithmetic(op, a, b) => Expression::arithmetic(*op, a.build_with(leaf), b.build_with(leaf)),
            Self::Compare(op, a, b) => Expression::compare(*op, a.build_with(leaf), b.build_with(leaf)),
            Self::And(list) => Expression::and(all(list)),
            Self::Or(list) => Expression::or(all(list)),
            Self::Not(of) => of.build_with(leaf).negation(),
            Self::Is(test, of) => of.build_with(leaf).is(*test),
            Self::Between(of, low, high) => {
                of.build_with(leaf).between(low.build_with(leaf), high.build_with(leaf))
            }
            Self::In(of, list) => of.build_with(leaf).is_in(all(list)),
            Self::Like(of, pattern) => of.build_with(leaf).like(pattern, None),
            Self::Case(branches, last) => Expression::case(pairs(branches), last.build_with(leaf)),
            Self::Switch(of, branches, last) => {
                of.build_with(leaf).switch(pairs(branches), last.build_with(leaf))
            }
            Self::Coalesce(list) => Expression::coalesce(all(list)),
            Self::NullIf(a, b) => a.build_with(leaf).null_if(b.build_with(leaf)),
            Self::Greatest(list) => Expression::greatest(all(list)),
            Self::Least(list) => Expression::least(all(list)),
        }
        .expect("sketches have matching types")
    }

    /// The value for one reading.
    pub fn value(&self, record: &Record) -> Datum {
        let is_real = || self.build().kind() == Kind::Real;
        // A result next to doubles is a double.
        let result = |datum: Datum| match datum {
            Datum::Exact(exact) if is_real() => Datum::Real(nearest(&exact)),
            other => other,
        };
        let values = |list: &[Sketch]| list.iter().map(|one| one.value(record)).collect();
        let known = |truth: Option<bool>| truth.map_or(Datum::Null, Datum::Truth);
        match self {
            Self::Null => Datum::Null,
            Self::Field(field) => match field.place {
                Place::Time => Datum::Time(record.time),
                Place::Entity => Datum::Text(record.entity.clone()),
                Place::Texts(column) => record.texts[column].clone().map_or(Datum::Null, Datum::Text),
                Place::Units(column) => match (record.units[column], field.field_type) {
                    (NULL, _) => Datum::Null,
                    (units, FieldType::Number) => nano(units),
                    (units, FieldType::Boolean) => Datum::Truth(units == 1),
                    (units, FieldType::Timestamp) => Datum::Time(units),
                    (units, _) => Datum::Exact(BigRational::from_integer(units.into())),
                },
            },
            Self::Number(units, scale) => {
                Datum::Exact(BigRational::new((*units).into(), power(*scale).into()))
            }
            Self::Text(text) => Datum::Text((*text).into()),
            Self::Time(time) => Datum::Time(*time),
            Self::Truth(holds) => Datum::Truth(*holds),
            Self::Negated(of) => match of.value(record) {
                Datum::Exact(exact) => Datum::Exact(-exact),
                Datum::Real(real) => Datum::Real(-real),
                other => other,
            },
            Self::Absolute(of) => match of.value(record) {
                Datum::Exact(exact) => Datum::Exact(exact.abs()),
                Datum::Real(real) => Datum::Real(real.abs()),
                other => other,
            },
            Self::ToReal(of) => result(of.value(record)),
            Self::Round(rounding, places, of) => match of.value(record) {
                Datum::Exact(exact) => Datum::Exact(rounded(&exact, *rounding, *places)),
                Datum::Real(real) => {
                    let places = if *rounding == Rounding::Nearest { *places } else { 0 };
                    let exact = BigRational::from_float(real).unwrap();
                    Datum::Real(nearest(&rounded(&exact, *rounding, places)))
                }
                other => other,
            },
            Self::Arithmetic(op, a, b) => {
                let decimal = |one: &Sketch| match one.build().kind() {
                    Kind::Number(decimal) => Some(decimal),
                    Kind::Null => Some(Decimal::default()),
                    _ => None,
                };
                let fits = match (decimal(a), decimal(b)) {
                    (Some(x), Some(y)) => exact(*op, x, y).is_some(),
                    _ => false,
                };
                arithmetic(*op, a.value(record), b.value(record), fits)
            }
            Self::Compare(op, a, b) => {
                known(order(&a.value(record), &b.value(record)).map(|order| op.holds(order)))
            }
            Self::And(list) => all_of(list.iter().map(|one| one.value(record).truth()), false),
            Self::Or(list) => all_of(list.iter().map(|one| one.value(record).truth()), true),
            Self::Not(of) => known(of.value(record).truth().map(|holds| !holds)),
            Self::Is(test, of) => Datum::Truth(match test {
                Test::Null => of.value(record).is_null(),
                Test::True => of.value(record).truth() == Some(true),
                Test::False => of.value(record).truth() == Some(false),
            }),
            Self::Between(of, low, high) => {
                let of = of.value(record);
                let from = order(&of, &low.value(record)).map(|order| order != Ordering::Less);
                let to = order(&of, &high.value(record)).map(|order| order != Ordering::Greater);
                all_of([from, to].into_iter(), false)
            }
            Self::In(of, list) => {
                let of = of.value(record);
                let equals = |item: &Sketch| order(&of, &item.value(record)).map(|order| order.is_eq());
                all_of(list.iter().map(equals), true)
            }
            Self::Like(of, pattern) => match of.value(record) {
                Datum::Text(text) => Datum::Truth(Pattern::new(pattern, None).unwrap().matches(&text)),
                other => other,
            },
            Self::Case(branches, last) => {
                let found = branches.iter().find(|(when, _)| when.value(record).truth() == Some(true));
                result(found.map_or(&**last, |(_, then)| then).value(record))
            }
            Self::Switch(of, branches, last) => {
                let of = of.value(record);
                let found = branches
                    .iter()
                    .find(|(when, _)| order(&of, &when.value(record)) == Some(Ordering::Equal));
                result(found.map_or(&**last, |(_, then)| then).value(record))
            }
            Self::Coalesce(list) => {
                let values = list.iter().map(|one| one.value(record));
                result(values.into_iter().find(|value| !value.is_null()).unwrap_or(Datum::Null))
            }
            Self::NullIf(a, b) => {
                let a = a.value(record);
                if order(&a, &b.value(record)) == Some(Ordering::Equal) { Datum::Null } else { a }
            }
            Self::Greatest(list) => result(extreme(values(list), Ordering::Greater)),
            Self::Least(list) => result(extreme(values(list), Ordering::Less)),
        }
    }
}
