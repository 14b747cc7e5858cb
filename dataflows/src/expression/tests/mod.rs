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

use super::Expression;
use crate::batch::{Batch, BatchBuilder, NANO, Record};
use crate::rows::NULL;
use crate::schema::{Field, FieldType, Schema};

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
    let number = || prop_oneof![1 => Just(NULL), 3 => units()];
    let text = prop_oneof![Just(None), (0..TEXTS.len()).prop_map(Some)]
        .prop_map(|text| text.map(|place| TEXTS[place].into()));
    let boolean = prop_oneof![Just(NULL), Just(0), Just(1)];
    let time = prop_oneof![Just(NULL), -3i64..3];
    let units = ([number(), number(), number(), number(), number(), number()], boolean, time)
        .prop_map(|(numbers, boolean, time)| [&numbers[..], &[boolean, time]].concat());
    (0..TEXTS.len(), -3i64..3, units, text).prop_map(|(truck, time, units, text)| Record {
        entity: TEXTS[truck].into(),
        time,
        units,
        texts: vec![text],
    })
}

/// The fields of [`record`].
fn schema() -> Schema {
    Schema::trucks()
        .with("oil", FieldType::Number)
        .with("load", FieldType::Number)
        .with("gear", FieldType::Integer)
        .with("ignition", FieldType::Boolean)
        .with("sent", FieldType::Timestamp)
        .with("driver", FieldType::Text)
}

/// A field by its name.
fn field(name: &str) -> Field {
    schema().field(name).unwrap().clone()
}

fn of_field(name: &str) -> Expression {
    Expression::field(&field(name))
}

fn batch(records: &[Record]) -> Batch {
    let mut builder = BatchBuilder::new(&schema());
    records.iter().for_each(|record| builder.push_record(record.clone()));
    builder.take()
}

fn speed() -> Expression {
    of_field("engine_speed")
}

fn number(units: i128) -> Expression {
    Expression::number(units, 0).unwrap()
}
