//! Evaluates an expression for a row that is not a reading: one of an aggregate, a join or a union. Decimals have 256
//! bits.

use std::cmp::Ordering;

use ethnum::I256;
use num_bigint::BigInt;

use super::compare::{Comparator, Comparison};
use super::rounding::round_real;
use super::tree::{Constant, Expression, Node};
use super::types::{Arithmetic, Kind, Rounding, Test, power};
use super::values::{TRUE, UNKNOWN};
use crate::real::{nearest, ratio};
use crate::relation::value::{Real, Value};
use crate::rows::NULL;
use crate::wide::Wide;

impl Expression {
    /// The value for a row.
    pub fn of_row(&self, row: &[Value]) -> Value {
        match &self.node {
            Node::Column(place, _) => row[*place].clone(),
            // A reading is no such row: the planner never mixes them.
            Node::Field(..) => Value::Null,
            Node::Constant(constant) => self.constant_of_row(constant),
            Node::Scaled(by, of) => units(of.of_row(row), |units| units.wrapping_mul(I256::from(*by))),
            Node::Rounded(scale, of) => match of.of_row(row) {
                Value::Number(units) => Value::real(units.to_real(*scale)),
                other => other,
            },
            Node::Negated(of) => match of.of_row(row) {
                Value::Real(Real(value)) => Value::real(-value),
                other => units(other, I256::wrapping_neg),
            },
            Node::Absolute(of) => match of.of_row(row) {
                Value::Real(Real(value)) => Value::real(value.abs()),
                other => units(other, I256::wrapping_abs),
            },
            Node::Exact(op, (by, a), (other, b)) => match (a.of_row(row), b.of_row(row)) {
                (Value::Number(x), Value::Number(y)) => exact(*op, (x, *by), (y, *other)),
                _ => Value::Null,
            },
            Node::Real(op, a, b) => match (a.of_row(row), b.of_row(row)) {
                (Value::Real(Real(x)), Value::Real(Real(y))) => Value::real(match op {
                    Arithmetic::Add => x + y,
                    Arithmetic::Subtract => x - y,
                    Arithmetic::Multiply => x * y,
                    Arithmetic::Divide => x / y,
                    Arithmetic::Remainder => x % y,
                }),
                _ => Value::Null,
            },
            Node::Elapsed(a, b) => match (a.of_row(row), b.of_row(row)) {
                (Value::Time(x), Value::Time(y)) => {
                    x.checked_sub(y).map_or(Value::Null, |micros| Value::Number(micros.into()))
                }
                _ => Value::Null,
            },
            Node::Shifted(by, of) => match of.of_row(row) {
                Value::Time(time) => time.checked_add(*by).map_or(Value::Null, Value::Time),
                _ => Value::Null,
            },
            Node::Compare(op, comparator, a, b) => {
                known(comparator.order_of(&a.of_row(row), &b.of_row(row)).map(|order| op.holds(order)))
            }
            Node::And(all) => all_of(all, row, false),
            Node::Or(all) => all_of(all, row, true),
            Node::Not(of) => match of.of_row(row) {
                Value::Truth(holds) => Value::Truth(!holds),
                _ => Value::Null,
            },
            Node::Is(test, of) => Value::Truth(match test {
                Test::Null => of.of_row(row) == Value::Null,
                Test::True => of.of_row(row) == Value::Truth(true),
                Test::False => of.of_row(row) == Value::Truth(false),
            }),
            Node::Between(of, (from, low), (to, high)) => {
                let value = of.of_row(row);
                let above = from.order_of(&value, &low.of_row(row)).map(Ordering::is_ge);
                let below = to.order_of(&value, &high.of_row(row)).map(Ordering::is_le);
                known(match (above, below) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                })
            }
            Node::In(of, list) => {
                let value = of.of_row(row);
                let mut found = Some(false);
                for (comparator, item) in list {
                    match comparator.order_of(&value, &item.of_row(row)) {
                        Some(Ordering::Equal) => return Value::Truth(true),
                        Some(_) => {}
                        None => found = None,
                    }
                }
                known(found)
            }
            Node::Like(of, pattern) => match of.of_row(row) {
                Value::Text(text) => Value::Truth(pattern.matches(&text)),
                _ => Value::Null,
            },
            Node::Case(branches, last) => {
                let found = branches.iter().find(|(when, _)| when.of_row(row) == Value::Truth(true));
                found.map_or(&**last, |(_, then)| then).of_row(row)
            }
            Node::Switch(of, branches, last) => {
                let value = of.of_row(row);
                let is_it = |comparator: &Comparator, when: &Self| {
                    comparator.order_of(&value, &when.of_row(row)) == Some(Ordering::Equal)
                };
                let found = branches.iter().find(|(comparator, when, _)| is_it(comparator, when));
                found.map_or(&**last, |(_, _, then)| then).of_row(row)
            }
            Node::Coalesce(all) => all
                .iter()
                .map(|one| one.of_row(row))
                .find(|value| *value != Value::Null)
                .unwrap_or(Value::Null),
            Node::NullIf(of, comparator, other) => {
                let value = of.of_row(row);
                match comparator.order_of(&value, &other.of_row(row)) {
                    Some(Ordering::Equal) => Value::Null,
                    _ => value,
                }
            }
            Node::Extreme(op, comparator, all) => best(*op, *comparator, all, row),
            Node::Round(rounding, places, of) => match (of.of_row(row), of.kind) {
                (Value::Real(Real(value)), _) => Value::real(round_real(value, *rounding, *places)),
                (Value::Number(units), Kind::Number(from)) => {
                    Value::Number(Wide(round(units.0, power(from.scale - places).into(), *rounding)))
                }
                (value, _) => value,
            },
        }
    }

    /// Whether a condition is true for a row.
    pub fn holds_for(&self, row: &[Value]) -> bool {
        self.of_row(row) == Value::Truth(true)
    }

    fn constant_of_row(&self, constant: &Constant) -> Value {
        match constant {
            Constant::Null | Constant::Timestamp(NULL) | Constant::Truth(UNKNOWN) => Value::Null,
            Constant::Number(units) => Value::Number((*units).into()),
            Constant::Real(value) => Value::real(*value),
            Constant::Text(text) => Value::Text(text.clone()),
            Constant::Timestamp(time) => Value::Time(*time),
            Constant::Truth(truth) => Value::Truth(*truth == TRUE),
        }
    }
}

fn known(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Truth)
}

fn units(value: Value, of: impl Fn(I256) -> I256) -> Value {
    match value {
        Value::Number(units) => Value::Number(Wide(of(units.0))),
        _ => Value::Null,
    }
}

/// AND (`decides` false) or OR (`decides` true).
fn all_of(all: &[Expression], row: &[Value], decides: bool) -> Value {
    let mut result = Some(!decides);
    for one in all {
        match one.of_row(row) {
            Value::Truth(holds) if holds == decides => return Value::Truth(decides),
            Value::Truth(_) => {}
            _ => result = None,
        }
    }
    known(result)
}

fn exact(op: Arithmetic, (x, by): (Wide, i128), (y, other): (Wide, i128)) -> Value {
    let (x, y) = (x.0, y.0);
    // Bounds were checked when the expression was made, so nothing wraps.
    let (scaled_x, scaled_y) = (x.wrapping_mul(I256::from(by)), y.wrapping_mul(I256::from(other)));
    Value::Number(Wide(match op {
        Arithmetic::Add => scaled_x.wrapping_add(scaled_y),
        Arithmetic::Subtract => scaled_x.wrapping_sub(scaled_y),
        Arithmetic::Multiply => x.wrapping_mul(y),
        Arithmetic::Remainder | Arithmetic::Divide if scaled_y == I256::ZERO => return Value::Null,
        Arithmetic::Remainder => scaled_x.wrapping_rem(scaled_y),
        Arithmetic::Divide => return Value::real(quotient(Wide(scaled_x), Wide(scaled_y))),
    }))
}

/// The quotient of two integers, rounded once.
fn quotient(x: Wide, y: Wide) -> f64 {
    if let (Some(x), Some(y)) = (x.narrow(), y.narrow()) {
        return ratio(x, y).unwrap_or(f64::NAN);
    }
    let (x, y) = (x.to_big(), y.to_big());
    if y.sign() == num_bigint::Sign::Minus { nearest(&-x, &-y) } else { nearest(&x, &y) }
}

/// `units / by`, rounded.
fn round(units: I256, by: I256, rounding: Rounding) -> I256 {
    let (whole, rest) = (units.div_euclid(by), units.rem_euclid(by));
    let up = match rounding {
        Rounding::Floor => false,
        Rounding::Ceiling => rest > I256::ZERO,
        // Half away from zero: up unless negative.
        Rounding::Nearest => match rest.cmp(&(by - rest)) {
            Ordering::Less => false,
            Ordering::Equal => units >= I256::ZERO,
            Ordering::Greater => true,
        },
    };
    if up { whole + I256::ONE } else { whole }
}

fn best(op: Comparison, comparator: Comparator, all: &[Expression], row: &[Value]) -> Value {
    let mut best: Option<Value> = None;
    for one in all {
        let value = one.of_row(row);
        if value == Value::Null {
            return Value::Null;
        }
        let is_better = |old: &Value| comparator.order_of(&value, old).is_some_and(|order| op.holds(order));
        if best.as_ref().is_none_or(is_better) {
            best = Some(value);
        }
    }
    best.unwrap_or(Value::Null)
}

impl Comparator {
    /// The order of two values; none with NULL.
    pub(super) fn order_of(self, left: &Value, right: &Value) -> Option<Ordering> {
        match (left, right) {
            (Value::Null, _) | (_, Value::Null) => None,
            (Value::Number(x), Value::Number(y)) => Some(match self {
                Self::Scaled(by, other) => {
                    x.0.wrapping_mul(I256::from(by)).cmp(&y.0.wrapping_mul(I256::from(other)))
                }
                Self::Parts(power, true) => by_parts(x.0, power.into(), y.0),
                Self::Parts(power, false) => by_parts(y.0, power.into(), x.0).reverse(),
                _ => x.cmp(y),
            }),
            (Value::Number(units), Value::Real(Real(real))) => Some(with_real(*units, self.scale(), *real)),
            (Value::Real(Real(real)), Value::Number(units)) => {
                Some(with_real(*units, self.scale(), *real).reverse())
            }
            (left, right) => Some(left.cmp(right)),
        }
    }

    /// The scale of the decimal that is compared with a double.
    fn scale(self) -> u8 {
        match self {
            Self::Mixed(scale, _) => scale,
            _ => 0,
        }
    }
}

/// `finer / power` compared with `coarse`.
fn by_parts(finer: I256, power: I256, coarse: I256) -> Ordering {
    let rest = finer.rem_euclid(power);
    finer.div_euclid(power).cmp(&coarse).then(rest.cmp(&I256::ZERO))
}

/// `units / 10^scale` compared with a finite double.
fn with_real(units: Wide, scale: u8, real: f64) -> Ordering {
    // Rounding is monotonic: if the nearest double differs, the exact value differs in the same direction.
    let rounded = units.to_real(scale);
    if rounded != real {
        return if rounded < real { Ordering::Less } else { Ordering::Greater };
    }
    let (mantissa, exponent) = crate::real::parts(real);
    let (left, right) = (units.to_big(), BigInt::from(mantissa) * BigInt::from(10).pow(scale.into()));
    match exponent {
        0.. => left.cmp(&(right << exponent as u32)),
        _ => (left << exponent.unsigned_abs()).cmp(&right),
    }
}
