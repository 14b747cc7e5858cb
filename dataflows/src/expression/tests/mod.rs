//! Random expressions, compared with an interpreter that evaluates row by row with big rationals.
//!
//! | file | contents |
//! |---|---|
//! | `sketch`, `choices` | a random expression, and the interpreter |
//! | `values` | values and rows, compared with the interpreter |
//! | `numbers` | comparison and rounding of numbers |
//! | `types` | types, and operands of the wrong type |

mod choices;
mod numbers;
mod sketch;
mod types;
mod values;

use proptest::prelude::*;

use super::{Expression, Field};
use crate::batch::{Batch, BatchBuilder, FieldSpec, FieldType, Measure, NANO, Record, Value};

const TEXTS: [&str; 5] = ["", "a", "ab", "b%", "é"];

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

fn speed() -> Expression {
    Expression::field(Field::Measure(Measure::EngineSpeed))
}

fn number(units: i128) -> Expression {
    Expression::number(units, 0).unwrap()
}
