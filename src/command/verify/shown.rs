//! Values of views, as cells.

use dataflows::oracle::relation::Cell as Expected;
use dataflows::oracle::value::Datum;
use dataflows::rows::Type;
use num_bigint::BigInt;
use num_rational::BigRational;

use super::cell::Cell;

/// A value as a table has it.
fn shown(value: Datum, column_type: Type) -> Cell {
    match (value, column_type) {
        (Datum::Null, _) => Cell::Null,
        (Datum::Time(time), _) => Cell::Time(time),
        (Datum::Text(text), _) => Cell::Text(text),
        (Datum::Truth(holds), _) => Cell::Integer(holds.into()),
        // In a column of doubles with the digits of a decimal, in files: as many as it takes.
        (Datum::Exact(exact), Type::Decimal) => decimal(&exact, 30),
        (Datum::Exact(exact), Type::Exact { scale, .. }) => decimal(&exact, scale),
        (Datum::Exact(exact), Type::Integer) => {
            exact.to_integer().to_string().parse().map_or(Cell::Null, Cell::Integer)
        }
        (number, _) => Cell::Real(number.real() + 0.0),
    }
}

fn decimal(exact: &BigRational, scale: u8) -> Cell {
    let power = BigInt::from(10).pow(scale.into());
    let units = match *exact.denom() == power {
        true => exact.numer().clone(),
        false => exact.numer() * power / exact.denom(),
    };
    Cell::Decimal(units, scale.into())
}

/// The cells of a row, whose columns have these types.
pub(super) fn cells(row: Vec<Expected>, types: impl Iterator<Item = Type>) -> Vec<Cell> {
    row.into_iter().zip(types).map(|(value, column_type)| cell(value, column_type)).collect()
}

fn cell(value: Expected, column_type: Type) -> Cell {
    match value {
        Expected::Root(root) => Cell::correlation(Some(root)),
        Expected::Datum(datum) => shown(datum, column_type),
    }
}
