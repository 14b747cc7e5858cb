//! Random expressions, compared with an interpreter that evaluates row by row with big rationals.

use std::cmp::Ordering;
use std::sync::Arc;

use num_rational::BigRational;
use num_traits::Signed;
use proptest::prelude::*;

use super::evaluate::Readings;
use super::values::{Texts, UNKNOWN, Values};
use super::*;
use crate::batch::{Batch, BatchBuilder, FieldSpec, NANO, Record, Value};
use crate::oracle::nearest;
use crate::oracle::value::{Datum, all_of, arithmetic, extreme, nano, order, rounded};
use crate::rows::{Change, Column};

/// A description of an expression.
#[derive(Clone, Debug)]
enum Sketch {
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
    fn build(&self) -> Expression {
        let all = |list: &[Sketch]| list.iter().map(Self::build).collect::<Vec<_>>();
        let pairs = |list: &[(Sketch, Sketch)]| {
            list.iter().map(|(when, then)| (when.build(), then.build())).collect::<Vec<_>>()
        };
        match self {
            Self::Null => Ok(Expression::null()),
            Self::Field(field) => Ok(Expression::field(*field)),
            Self::Number(units, scale) => Ok(Expression::number(*units, *scale).unwrap()),
            Self::Text(text) => Ok(Expression::text(text)),
            Self::Time(time) => Ok(Expression::timestamp(*time)),
            Self::Truth(holds) => Ok(Expression::truth(*holds)),
            Self::Negated(of) => of.build().negated(),
            Self::Absolute(of) => of.build().absolute(),
            Self::ToReal(of) => of.build().to_real(),
            Self::Round(rounding, places, of) => of.build().round(*rounding, *places),
            Self::Arithmetic(op, a, b) => Expression::arithmetic(*op, a.build(), b.build()),
            Self::Compare(op, a, b) => Expression::compare(*op, a.build(), b.build()),
            Self::And(list) => Expression::and(all(list)),
            Self::Or(list) => Expression::or(all(list)),
            Self::Not(of) => of.build().negation(),
            Self::Is(test, of) => of.build().is(*test),
            Self::Between(of, low, high) => of.build().between(low.build(), high.build()),
            Self::In(of, list) => of.build().is_in(all(list)),
            Self::Like(of, pattern) => of.build().like(pattern, None),
            Self::Case(branches, last) => Expression::case(pairs(branches), last.build()),
            Self::Switch(of, branches, last) => of.build().switch(pairs(branches), last.build()),
            Self::Coalesce(list) => Expression::coalesce(all(list)),
            Self::NullIf(a, b) => a.build().null_if(b.build()),
            Self::Greatest(list) => Expression::greatest(all(list)),
            Self::Least(list) => Expression::least(all(list)),
        }
        .expect("sketches have matching types")
    }

    /// The value for one reading.
    fn value(&self, record: &Record) -> Datum {
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
            Self::Field(field) => match field {
                Field::Timestamp => Datum::Time(record.time),
                Field::Truck => Datum::Text(record.truck.clone()),
                Field::Measure(measure) => nano(record.measures[*measure as usize]),
                Field::Extra(place, _) => match &record.extras[*place] {
                    Value::Null => Datum::Null,
                    Value::Number(units) => nano(*units),
                    Value::Text(text) => Datum::Text(text.clone()),
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

/// Builds sketches from random bytes, so that failing ones shrink with them.
struct Choices<'a>(std::slice::Iter<'a, u8>);

const TEXTS: [&str; 5] = ["", "a", "ab", "b%", "é"];
const PATTERNS: [&str; 5] = ["%", "a%", "_", "%b_%", "ab"];
const OPS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Number,
    Text,
    Time,
    Truth,
}

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }

    fn leaf(&mut self, wanted: Wanted) -> Sketch {
        match wanted {
            Wanted::Number => match self.below(10) {
                0 => Sketch::Null,
                1 | 2 => {
                    let units = [0, 1, 5, 82, -25, 1_000_000_007, 1 << 53, i128::MAX, -i128::MAX];
                    let scale = [0, 1, 3, 9, 10, 20, 38][self.below(7)];
                    Sketch::Number(units[self.below(units.len())], scale)
                }
                3..=5 => Sketch::Field(Field::Extra(self.below(2), FieldType::Number)),
                _ => Sketch::Field(Field::Measure(Measure::ALL[self.below(3)])),
            },
            Wanted::Text => match self.below(5) {
                0 => Sketch::Null,
                1 => Sketch::Text(TEXTS[self.below(TEXTS.len())]),
                2 => Sketch::Field(Field::Truck),
                _ => Sketch::Field(Field::Extra(2, FieldType::Text)),
            },
            Wanted::Time => match self.below(4) {
                0 => Sketch::Null,
                1 => Sketch::Time([0, 1, -5, 1_000_000][self.below(4)]),
                _ => Sketch::Field(Field::Timestamp),
            },
            Wanted::Truth => match self.below(3) {
                0 => Sketch::Null,
                other => Sketch::Truth(other == 1),
            },
        }
    }

    fn list(&mut self, wanted: Wanted, depth: usize) -> Vec<Sketch> {
        (0..1 + self.below(3)).map(|_| self.sketch(wanted, depth)).collect()
    }

    fn pairs(&mut self, when: Wanted, then: Wanted, depth: usize) -> Vec<(Sketch, Sketch)> {
        (0..1 + self.below(2)).map(|_| (self.sketch(when, depth), self.sketch(then, depth))).collect()
    }

    fn any(&mut self) -> Wanted {
        [Wanted::Number, Wanted::Number, Wanted::Text, Wanted::Time, Wanted::Truth][self.below(5)]
    }

    fn sketch(&mut self, wanted: Wanted, depth: usize) -> Sketch {
        if depth == 0 || self.0.len() == 0 {
            return self.leaf(wanted);
        }
        let depth = depth - 1;
        // Nodes of every type.
        match self.below(10) {
            0 => return self.leaf(wanted),
            1 => {
                let branches = self.pairs(Wanted::Truth, wanted, depth);
                return Sketch::Case(branches, self.sketch(wanted, depth).into());
            }
            2 => {
                let of = self.any();
                let value = self.sketch(of, depth);
                let branches = self.pairs(of, wanted, depth);
                return Sketch::Switch(value.into(), branches, self.sketch(wanted, depth).into());
            }
            3 => {
                return match self.below(4) {
                    0 => Sketch::Coalesce(self.list(wanted, depth)),
                    1 => Sketch::Greatest(self.list(wanted, depth)),
                    2 => Sketch::Least(self.list(wanted, depth)),
                    _ => {
                        let a = self.sketch(wanted, depth);
                        Sketch::NullIf(a.into(), self.sketch(wanted, depth).into())
                    }
                };
            }
            _ => {}
        }
        match wanted {
            Wanted::Number => match self.below(10) {
                0 => Sketch::Negated(self.sketch(wanted, depth).into()),
                1 => Sketch::Absolute(self.sketch(wanted, depth).into()),
                2 => Sketch::ToReal(self.sketch(wanted, depth).into()),
                3 | 4 => {
                    let (rounding, places) = [
                        (Rounding::Floor, 0),
                        (Rounding::Ceiling, 0),
                        (Rounding::Nearest, 0),
                        (Rounding::Nearest, 2),
                        (Rounding::Nearest, 22),
                    ][self.below(5)];
                    Sketch::Round(rounding, places, self.sketch(wanted, depth).into())
                }
                other => {
                    let op = [
                        Arithmetic::Add,
                        Arithmetic::Subtract,
                        Arithmetic::Multiply,
                        Arithmetic::Divide,
                        Arithmetic::Remainder,
                    ][other - 5];
                    let a = self.sketch(wanted, depth);
                    Sketch::Arithmetic(op, a.into(), self.sketch(wanted, depth).into())
                }
            },
            Wanted::Truth => match self.below(12) {
                0 => Sketch::And(self.list(wanted, depth)),
                1 => Sketch::Or(self.list(wanted, depth)),
                2 => Sketch::Not(self.sketch(wanted, depth).into()),
                3 => {
                    let of = self.any();
                    Sketch::Is(Test::Null, self.sketch(of, depth).into())
                }
                4 => {
                    let test = [Test::True, Test::False][self.below(2)];
                    Sketch::Is(test, self.sketch(wanted, depth).into())
                }
                5 => {
                    let of = self.any();
                    let value = self.sketch(of, depth);
                    let low = self.sketch(of, depth);
                    Sketch::Between(value.into(), low.into(), self.sketch(of, depth).into())
                }
                6 => {
                    let of = self.any();
                    let value = self.sketch(of, depth);
                    Sketch::In(value.into(), self.list(of, depth))
                }
                7 => {
                    let pattern = PATTERNS[self.below(PATTERNS.len())];
                    Sketch::Like(self.sketch(Wanted::Text, depth).into(), pattern)
                }
                _ => {
                    let of = self.any();
                    let op = OPS[self.below(OPS.len())];
                    let a = self.sketch(of, depth);
                    Sketch::Compare(op, a.into(), self.sketch(of, depth).into())
                }
            },
            Wanted::Text | Wanted::Time => self.leaf(wanted),
        }
    }
}

fn units() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0),
        Just(i64::MAX),
        Just(-i64::MAX),
        (-200i64..200).prop_map(|n| n * NANO / 2),
        (-3i64..3),
        any::<i64>().prop_map(|n| n.max(-i64::MAX)),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let number = || prop_oneof![1 => Just(Value::Null), 3 => units().prop_map(Value::Number)];
    let text = prop_oneof![Just(None), (0..TEXTS.len()).prop_map(Some)]
        .prop_map(|text| text.map_or(Value::Null, |place| Value::Text(TEXTS[place].into())));
    let extras = (number(), number(), text).prop_map(|(a, b, c)| vec![a, b, c]);
    (0..TEXTS.len(), -3i64..3, [units(), units(), units()], extras).prop_map(
        |(truck, time, measures, extras)| Record { truck: TEXTS[truck].into(), time, measures, extras },
    )
}

fn fields() -> Vec<FieldSpec> {
    [("oil", FieldType::Number), ("load", FieldType::Number), ("driver", FieldType::Text)]
        .map(|(name, field_type)| FieldSpec { name: name.into(), field_type })
        .to_vec()
}

fn batch(records: &[Record]) -> Batch {
    let mut builder = BatchBuilder::new(&fields());
    records.iter().for_each(|record| builder.push_record(record.clone()));
    builder.take()
}

/// The value of a row, from a column of values.
fn datum(expression: &Expression, values: &Values<'_>, row: usize) -> Datum {
    let of = |value: Option<Datum>| value.unwrap_or(Datum::Null);
    match (values, expression.kind()) {
        (Values::Units(values), Kind::Timestamp) => {
            of(Some(values.get(row)).filter(|time| *time != NULL).map(Datum::Time))
        }
        (Values::Units(_) | Values::Wide(_), Kind::Number(Decimal { scale, bound })) => {
            of(values.wide_at(row).map(|units| {
                assert!(units.abs() <= bound, "{units} is beyond its bound {bound}");
                assert_eq!(matches!(values, Values::Wide(_)), bound > i128::from(i64::MAX));
                Datum::Exact(BigRational::new(units.into(), power(scale).into()))
            }))
        }
        (Values::Real(values), Kind::Real) => {
            of(Some(values.get(row)).filter(|x| !x.is_nan()).map(|x| Datum::Real(x + 0.0)))
        }
        (Values::Text(texts), Kind::Text) => of(texts.get(row).cloned().map(Datum::Text)),
        (Values::Truth(values), Kind::Truth) => {
            of(Some(values.get(row)).filter(|x| *x != UNKNOWN).map(|x| Datum::Truth(x == 2)))
        }
        (_, Kind::Null) => Datum::Null,
        (values, kind) => panic!("{values:?} as {kind:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn an_expression_has_the_value_of_the_row_by_row_interpreter(
        bytes in proptest::collection::vec(any::<u8>(), 1..80),
        records in proptest::collection::vec(record(), 1..6),
    ) {
        let mut choices = Choices(bytes.iter());
        let wanted = choices.any();
        let sketch = choices.sketch(wanted, 4);
        let expression = sketch.build();
        let batch = batch(&records);
        let values = expression.values(&Readings::all(&batch));
        for (row, record) in records.iter().enumerate() {
            let expected = match sketch.value(record) {
                Datum::Real(real) => Datum::Real(real + 0.0),
                other => other,
            };
            prop_assert_eq!(datum(&expression, &values, row), expected.clone(), "row {} of {:?}", row, sketch);
            let alone = match expression.value(record) {
                Datum::Real(real) => Datum::Real(real + 0.0),
                other => other,
            };
            prop_assert_eq!(alone, expected, "alone, row {} of {:?}", row, sketch);
        }
        // The same for some of the readings only.
        let places: Vec<u32> = (0..records.len() as u32).filter(|place| place % 2 == 1).collect();
        let some = expression.values(&Readings::at(&batch, &places));
        for (row, place) in places.iter().enumerate() {
            prop_assert_eq!(datum(&expression, &some, row), datum(&expression, &values, *place as usize));
        }
    }

    #[test]
    fn a_query_selects_the_readings_for_which_its_condition_is_true(
        bytes in proptest::collection::vec(any::<u8>(), 1..80),
        records in proptest::collection::vec(record(), 1..6),
    ) {
        let mut choices = Choices(bytes.iter());
        // Comparisons of fields with constants have their own implementation.
        let sketch = Sketch::And((0..1 + choices.below(3)).map(|_| {
            let field = choices.leaf(Wanted::Number);
            let limit = choices.leaf(Wanted::Number);
            let op = OPS[choices.below(OPS.len())];
            match choices.below(4) {
                0 => choices.sketch(Wanted::Truth, 3),
                _ => Sketch::Compare(op, field.into(), limit.into()),
            }
        }).collect());
        let shown = choices.sketch(Wanted::Number, 3);
        let column = |expression| ("c".to_owned(), expression);
        let query = Query::new(Some(sketch.build()), [
            column(Expression::field(Field::Timestamp)),
            column(Expression::field(Field::Truck)),
            column(shown.build()),
        ]).unwrap();
        let rows = query.rows(&batch(&records));
        let kept: Vec<_> =
            records.iter().filter(|record| sketch.value(record).truth() == Some(true)).collect();
        prop_assert_eq!(rows.len(), kept.len());
        for record in &records {
            let alone = query.row(record).map(|values| values[2].clone());
            prop_assert_eq!(alone, kept.contains(&record).then(|| shown.build().value(record)));
        }
        for (row, record) in kept.into_iter().enumerate() {
            let Column::Timestamp(times) = &rows.columns[0] else { panic!() };
            prop_assert_eq!(times[row], record.time);
            let Column::Name { names, index } = &rows.columns[1] else { panic!() };
            prop_assert_eq!(&names[index[row] as usize], &record.truck);
            let expected = shown.value(record);
            match &rows.columns[2] {
                Column::Real(_) if expected.is_null() => {
                    let Column::Real(values) = &rows.columns[2] else { panic!() };
                    prop_assert!(values[row].is_nan());
                }
                // Rounded once, whatever came before.
                Column::Real(values) => prop_assert_eq!(values[row].to_bits(), (expected.real() + 0.0).to_bits()),
                Column::Decimal { scale: 9, values } if values[row] == NULL => {
                    prop_assert!(expected.is_null())
                }
                Column::Decimal { scale: 9, values } => prop_assert_eq!(nano(values[row]), expected),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn a_decimal_is_compared_with_a_double_exactly(
        units in prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from), -1000i128..1000],
        scale in 0u8..=38,
        step in -2i32..=2,
        other in any::<f64>(),
    ) {
        prop_assume!(units != i128::MIN && other.is_finite());
        let exact = BigRational::new(units.into(), power(scale).into());
        let mut near = nearest(&exact);
        for _ in 0..step.abs() {
            near = if step < 0 { near.next_down() } else { near.next_up() };
        }
        for real in [near, other] {
            let expected = exact.cmp(&BigRational::from_float(real).unwrap());
            prop_assert_eq!(super::compare::with_real(units, scale, real), expected);
        }
    }

    #[test]
    fn a_double_is_rounded_by_its_exact_value(real in prop_oneof![any::<f64>(), -1e6f64..1e6], places in 0u8..=22) {
        prop_assume!(real.is_finite());
        let got = super::evaluate::round_real(real, Rounding::Nearest, places);
        let exact = rounded(&BigRational::from_float(real).unwrap(), Rounding::Nearest, places);
        prop_assert_eq!(got + 0.0, nearest(&exact));
    }
}

fn speed() -> Expression {
    Expression::field(Field::Measure(Measure::EngineSpeed))
}

fn number(units: i128) -> Expression {
    Expression::number(units, 0).unwrap()
}

#[test]
fn a_field_keeps_its_type_and_a_computed_number_is_a_double() {
    let sum = Expression::arithmetic(Arithmetic::Add, speed(), number(1)).unwrap();
    let truth = Expression::compare(Comparison::Greater, speed(), number(1)).unwrap();
    let time = Expression::field(Field::Timestamp);
    let types = [speed(), sum, truth, time, Expression::field(Field::Truck)].map(|one| one.column_type());
    assert_eq!(types, [Type::Decimal, Type::Real, Type::Integer, Type::Timestamp, Type::Text]);
}

#[test]
fn a_result_that_could_exceed_128_bits_is_a_double() {
    let product = |a, b| Expression::arithmetic(Arithmetic::Multiply, a, b).unwrap();
    let square = product(speed(), speed());
    assert!(matches!(square.kind(), Kind::Number(Decimal { scale: 18, .. })));
    assert_eq!(product(square, speed()).kind(), Kind::Real);
}

#[test]
fn operands_of_the_wrong_type_are_named() {
    let text = || Expression::text("x");
    let operand = |result: Result<Expression, Mismatch>| result.unwrap_err().operand;
    assert_eq!(operand(Expression::arithmetic(Arithmetic::Add, text(), speed())), 0);
    assert_eq!(operand(Expression::arithmetic(Arithmetic::Add, speed(), text())), 1);
    assert_eq!(operand(Expression::compare(Comparison::Less, speed(), text())), 1);
    assert_eq!(operand(speed().between(number(1), text())), 2);
    assert_eq!(operand(speed().is_in(vec![number(1), text()])), 2);
    let truth = || Expression::truth(true);
    assert_eq!(operand(Expression::case(vec![(truth(), speed()), (text(), speed())], number(1))), 2);
    assert_eq!(operand(Expression::case(vec![(truth(), speed()), (truth(), text())], number(1))), 3);
    assert_eq!(operand(Expression::case(vec![(truth(), speed()), (truth(), speed())], text())), 4);
    assert_eq!(operand(speed().switch(vec![(text(), speed())], number(1))), 1);
    assert_eq!(operand(speed().switch(vec![(number(1), speed())], text())), 3);
    assert_eq!(Query::new(Some(speed()), []).unwrap_err().reason, "a number is not a condition");
}

#[test]
fn rows_of_an_upsert_job_have_changes() {
    let mut builder = BatchBuilder::default();
    let key = || Arc::from(&b"k"[..]);
    let record =
        |speed: i64| Record { truck: "a".into(), time: 1, measures: [0, speed * NANO, 0], extras: vec![] };
    builder.push_correction(record(90), -1, key());
    builder.push_correction(record(80), 1, key());
    builder.push_correction(record(95), 1, Arc::from(&b"l"[..]));
    let filter = Expression::compare(Comparison::Greater, speed(), number(82)).unwrap();
    let query = Query::new(Some(filter), [("speed".to_owned(), speed())]).unwrap();
    let rows = query.rows(&builder.take());
    assert_eq!(*rows.changes.unwrap().kinds, [Change::Delete, Change::Insert]);
}

#[test]
fn texts_of_a_dictionary_are_not_copied() {
    let batch = batch(&[]);
    let truck = Expression::field(Field::Truck);
    assert!(matches!(truck.values(&Readings::all(&batch)), Values::Text(Texts::Names(..))));
}
