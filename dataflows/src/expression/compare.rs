//! Exact comparison of values, whatever their scales and types.

use std::cmp::Ordering;

use ethnum::I256;

use super::types::power;
use super::values::{Texts, UNKNOWN, Unit, Values, Vector, zip};
use crate::real::{decimal, parts};
use crate::rows::NULL;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// A bit for each ordering for which it is true: less, equal, greater.
    #[inline]
    fn mask(self) -> u8 {
        match self {
            Self::Equal => 0b010,
            Self::NotEqual => 0b101,
            Self::Less => 0b001,
            Self::LessOrEqual => 0b011,
            Self::Greater => 0b100,
            Self::GreaterOrEqual => 0b110,
        }
    }

    /// Whether it is true for values with this ordering.
    #[inline]
    pub fn holds(self, ordering: Ordering) -> bool {
        self.mask() >> (ordering as i8 + 1) & 1 == 1
    }

    /// The comparison with swapped operands.
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// The operator in SQL.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// How two expressions are compared, chosen once from their types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparator {
    /// 64-bit units of the same scale, or times.
    Units,
    /// Units, each multiplied by a power of ten.
    Scaled(i128, i128),
    /// Scales too far apart for multiplication: compares the whole part of the finer one first. `true` if the left is
    /// finer.
    Parts(i128, bool),
    /// A decimal of this scale with a double. `true` if the left is the decimal.
    Mixed(u8, bool),
    Reals,
    Texts,
    Truths,
}

impl Comparator {
    /// The truth of `left op right` for each row.
    pub(super) fn compare(
        self,
        op: Comparison,
        left: &Values<'_>,
        right: &Values<'_>,
        rows: usize,
    ) -> Vector<'static, u8> {
        let known = |ordering: Ordering| op.mask() >> (ordering as i8 + 1) << 1 & 2;
        let of = |ordering: Option<Ordering>| ordering.map_or(UNKNOWN, known);
        match self {
            Self::Units => zip(left.units(), right.units(), |x, y| {
                if x == NULL || y == NULL { UNKNOWN } else { known(x.cmp(&y)) }
            }),
            Self::Scaled(by, other) => left.zip_units(right, |x, y| match (x, y) {
                (Some(x), Some(y)) => known((x * by).cmp(&(y * other))),
                _ => UNKNOWN,
            }),
            Self::Parts(power, left_is_finer) => left.zip_units(right, |x, y| match (x, y) {
                (Some(x), Some(y)) if left_is_finer => known(by_parts(x, power, y)),
                (Some(x), Some(y)) => known(by_parts(y, power, x).reverse()),
                _ => UNKNOWN,
            }),
            Self::Mixed(scale, left_is_decimal) => {
                let (decimals, reals) = if left_is_decimal { (left, right) } else { (right, left) };
                let one = |units: Option<i128>, real: f64| match units {
                    Some(units) if !real.is_nan() => {
                        let ordering = with_real(units, scale, real);
                        known(if left_is_decimal { ordering } else { ordering.reverse() })
                    }
                    _ => UNKNOWN,
                };
                match decimals {
                    Values::Units(units) => zip(units, reals.reals(), |x, y| one(x.wide(), y)),
                    _ => zip(decimals.wides(), reals.reals(), |x, y| one(x.wide(), y)),
                }
            }
            Self::Reals => zip(left.reals(), right.reals(), |x, y| of(x.partial_cmp(&y))),
            Self::Texts => match (left.texts(), right.texts()) {
                (a, Texts::Constant(Some(text))) => {
                    a.test(|other| op.holds(other.as_bytes().cmp(text.as_bytes())))
                }
                (a, b) => {
                    let of_row = |row| Some(a.get(row)?.as_bytes().cmp(b.get(row)?.as_bytes()));
                    Vector::Owned((0..rows).map(|row| of(of_row(row))).collect())
                }
            },
            Self::Truths => zip(left.truths(), right.truths(), |x, y| {
                if x == UNKNOWN || y == UNKNOWN { UNKNOWN } else { known(x.cmp(&y)) }
            }),
        }
    }
}

impl Comparator {
    /// The ordering of two values of the same type that are not NULL.
    pub(super) fn order(self, left: &Values<'_>, right: &Values<'_>, row: usize) -> Ordering {
        match self {
            Self::Reals => {
                let (x, y) = (left.reals().get(row), right.reals().get(row));
                x.partial_cmp(&y).unwrap_or(Ordering::Equal)
            }
            Self::Texts => left.texts().get(row).cmp(&right.texts().get(row)),
            Self::Truths => left.truths().get(row).cmp(&right.truths().get(row)),
            // The same type implies the same scale.
            _ => left.wide_at(row).cmp(&right.wide_at(row)),
        }
    }
}

/// `finer / power` compared with `coarse`.
fn by_parts(finer: i128, power: i128, coarse: i128) -> Ordering {
    let rest = finer.rem_euclid(power);
    finer.div_euclid(power).cmp(&coarse).then(rest.cmp(&0))
}

/// `units / 10^scale` compared with a finite double.
pub(super) fn with_real(units: i128, scale: u8, real: f64) -> Ordering {
    // Rounding is monotonic: if the nearest double differs, the exact value differs in the same direction.
    let rounded = decimal(units, scale);
    if rounded < real {
        return Ordering::Less;
    }
    if rounded > real {
        return Ordering::Greater;
    }
    // `units` is within a double's rounding of real * 10^scale: both products stay below 2^(53 + 127 + 1).
    let (mantissa, exponent) = parts(real);
    if mantissa == 0 {
        return units.cmp(&0);
    }
    let left = I256::from(units) << (-exponent).max(0) as u32;
    let right = (I256::from(mantissa) * I256::from(power(scale))) << exponent.max(0) as u32;
    left.cmp(&right)
}
