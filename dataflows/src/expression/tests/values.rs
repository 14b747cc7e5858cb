//! The values of an expression and the rows of a query, whichever way they are evaluated.

use std::sync::Arc;

use num_rational::BigRational;
use proptest::prelude::*;

use super::choices::{Choices, OPS, Wanted};
use super::sketch::Sketch;
use super::{batch, number, of_field, record, schema, speed};
use crate::batch::{BatchBuilder, NANO, Record};
use crate::expression::evaluate::Readings;
use crate::expression::types::power;
use crate::expression::values::{Texts, UNKNOWN, Values};
use crate::expression::{Comparison, Decimal, Expression, Kind, Query};
use crate::oracle::value::{Datum, nano};
use crate::rows::{Change, Column, NULL};
use crate::schema::Field;

/// The value of a row, from a column of values.
fn datum(expression: &Expression, values: &Values<'_>, row: usize) -> Datum {
    let of = |value: Option<Datum>| value.unwrap_or(Datum::Null);
    match (values, expression.kind()) {
        (Values::Units(values), Kind::Timestamp) => {
            of(Some(values.get(row)).filter(|time| *time != NULL).map(Datum::Time))
        }
        (Values::Units(_) | Values::Wide(_), Kind::Number(Decimal { scale, bound, .. })) => {
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
    fn a_row_with_the_fields_as_columns_has_the_value_of_the_reading(
        bytes in proptest::collection::vec(any::<u8>(), 1..80),
        record in record(),
    ) {
        let mut choices = Choices(bytes.iter());
        let wanted = choices.any();
        let sketch = choices.sketch(wanted, 4);
        let schema = schema();
        let fields: Vec<Expression> = schema.fields().iter().map(Expression::field).collect();
        let row: Vec<Datum> = fields.iter().map(|field| field.value(&record)).collect();
        let column = |field: &Field| {
            let place = schema.fields().iter().position(|one| one.name == field.name).unwrap();
            Expression::of_column(place, fields[place].kind(), fields[place].column_type())
        };
        prop_assert_eq!(sketch.build_with(&column).value_in(&row), sketch.build().value(&record));
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
            column(of_field("timestamp")),
            column(of_field("truck_id")),
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
            prop_assert_eq!(&names[index[row] as usize], &record.entity);
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
                Column::Wide { scale, values } => match values[row] {
                    None => prop_assert!(expected.is_null()),
                    Some(units) => {
                        let power = num_bigint::BigInt::from(10).pow((*scale).into());
                        prop_assert_eq!(Datum::Exact(BigRational::new(units.to_big(), power)), expected);
                    }
                },
                Column::Integer(values) if values[row] == NULL => prop_assert!(expected.is_null()),
                Column::Integer(values) => {
                    prop_assert_eq!(Datum::Exact(BigRational::from_integer(values[row].into())), expected);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}

#[test]
fn rows_of_an_upsert_job_have_changes() {
    let mut builder = BatchBuilder::default();
    let key = || Arc::from(&b"k"[..]);
    let record =
        |speed: i64| Record { entity: "a".into(), time: 1, units: vec![0, speed * NANO, 0], texts: vec![] };
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
    let truck = of_field("truck_id");
    assert!(matches!(truck.values(&Readings::all(&batch)), Values::Text(Texts::Names(..))));
}
