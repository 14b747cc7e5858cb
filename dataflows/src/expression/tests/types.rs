//! The types of expressions, and the errors for operands of other types.

use super::{number, of_field, speed};
use crate::expression::{Arithmetic, Comparison, Decimal, Expression, Kind, Mismatch, Query};
use crate::rows::Type;

#[test]
fn a_field_keeps_its_type_and_a_computed_decimal_its_places() {
    let sum = Expression::arithmetic(Arithmetic::Add, speed(), number(1)).unwrap();
    let truth = Expression::compare(Comparison::Greater, speed(), number(1)).unwrap();
    let types = [speed(), sum, truth].map(|one| one.column_type());
    let exact = |digits| Type::Exact { digits, scale: 9 };
    assert_eq!(types, [exact(19), exact(65), Type::Integer]);
    let types = ["timestamp", "truck_id", "driver", "gear", "ignition", "sent"]
        .map(|name| of_field(name).column_type());
    assert_eq!(
        types,
        [Type::Timestamp, Type::Text, Type::Text, Type::Integer, Type::Integer, Type::Timestamp]
    );
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
