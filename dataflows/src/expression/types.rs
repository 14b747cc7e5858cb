//! The types of expressions, and the names of their operations.

use std::fmt;

use ethnum::I256;

/// The maximum number of decimal places: 10 to this power fits 128 bits.
pub const MOST_PLACES: u8 = 38;
/// The maximum number of places for rounding.
pub const MOST_ROUNDED_PLACES: u8 = 22;

/// `10^places`, at most [`MOST_PLACES`].
pub(super) fn power(places: u8) -> i128 {
    10i128.pow(places.into())
}

/// The most decimal places of a product that stays a decimal: those that a column of MySQL can have.
pub const MOST_PRODUCT_PLACES: u8 = 30;

/// The scale and bound of a decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimal {
    /// Decimal places: a value is `units / 10^scale`.
    pub scale: u8,
    /// The maximum absolute value of the units.
    pub bound: I256,
    /// Whether it is computed from aggregates: units have 256 bits then, otherwise 128.
    pub of_aggregates: bool,
}

impl Decimal {
    /// Whether its units need more than 64 bits.
    pub(super) fn is_wide(self) -> bool {
        self.bound > I256::from(i64::MAX)
    }

    /// The decimal with a larger scale, if the units fit.
    pub(super) fn at(self, scale: u8) -> Option<Self> {
        let bound = self.bound.checked_mul(power(scale.checked_sub(self.scale)?).into())?;
        Self { scale, bound, ..self }.fitting()
    }

    /// The decimal, if its units have room.
    pub(super) fn fitting(self) -> Option<Self> {
        let most = if self.of_aggregates { I256::MAX } else { I256::from(i128::MAX) };
        (self.bound <= most).then_some(self)
    }
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NULL, which is of every type.
    Null,
    /// A decimal.
    Number(Decimal),
    /// A double.
    Real,
    /// A text.
    Text,
    /// Microseconds since 1970, UTC.
    Timestamp,
    /// True, false or unknown.
    Truth,
}

impl Kind {
    /// Whether all values are units or microseconds in 64 bits.
    pub(crate) fn is_of_64_bits(self) -> bool {
        match self {
            Self::Timestamp => true,
            Self::Number(decimal) => !decimal.is_wide(),
            _ => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "NULL",
            Self::Number(_) | Self::Real => "a number",
            Self::Text => "a text",
            Self::Timestamp => "a timestamp",
            Self::Truth => "a condition",
        })
    }
}

/// An operand of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The index of the operand.
    pub operand: usize,
    /// The error.
    pub reason: String,
}

impl Mismatch {
    pub(super) fn new(operand: usize, reason: impl Into<String>) -> Self {
        Self { operand, reason: reason.into() }
    }
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`: the remainder of a division, with the sign of the dividend.
    Remainder,
}

/// A test with `IS`; never unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// `IS NULL`
    Null,
    /// `IS TRUE`
    True,
    /// `IS FALSE`
    False,
}

/// The direction of rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, half away from zero.
    Nearest,
    /// Down.
    Floor,
    /// Up.
    Ceiling,
}
