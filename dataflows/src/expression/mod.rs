//! Expressions of user-defined views: a typed tree, built once and evaluated over whole batches.
//!
//! | file | contents |
//! |---|---|
//! | `mod` | the tree and its constructors, which determine the types |
//! | `compare` | comparison of values |
//! | `pattern` | `LIKE` |
//! | `values`, `evaluate` | columns of values, and evaluation over a batch |
//! | `query` | a condition and columns, evaluated to rows |
//! | `by_row` | an independent evaluation, one row at a time with big rationals |
//! | `tests` | random expressions, evaluated in all ways and compared |
//!
//! Numbers are decimals of a fixed scale in at most 128 bits. A constructor knows a bound of every operand, so it
//! knows whether `+`, `-`, `*` and `%` can exceed 128 bits, and uses doubles if so. Thus nothing overflows at
//! runtime. `/` is the exact quotient rounded once to a double. Comparisons are exact, including those of a decimal
//! with a double.
//!
//! NULL behaves as in SQL. Undefined results are NULL: a division by zero, a double out of range.

mod by_row;
mod compare;
mod evaluate;
mod pattern;
mod query;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::sync::Arc;

use self::compare::{Comparator, comparator};
use self::pattern::Pattern;
use self::values::truth;
use crate::batch::{FieldType, Measure, NANO_SCALE};
use crate::rows::{NULL, Type};

pub use self::compare::Comparison;
pub use self::query::Query;

/// The maximum number of decimal places: 10 to this power fits 128 bits.
pub const MOST_PLACES: u8 = 38;
/// The maximum number of places for rounding.
pub const MOST_ROUNDED_PLACES: u8 = 22;

/// `10^places`, at most [`MOST_PLACES`].
fn power(places: u8) -> i128 {
    10i128.pow(places.into())
}

/// The scale and bound of a decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimal {
    /// Decimal places: a value is `units / 10^scale`.
    pub scale: u8,
    /// The maximum absolute value of the units.
    pub bound: i128,
}

impl Decimal {
    /// Whether its units need more than 64 bits.
    fn is_wide(self) -> bool {
        self.bound > i128::from(i64::MAX)
    }

    /// The decimal with a larger scale, if the units fit.
    fn at(self, scale: u8) -> Option<Self> {
        let bound = self.bound.checked_mul(power(scale.checked_sub(self.scale)?))?;
        Some(Self { scale, bound })
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
    fn new(operand: usize, reason: impl Into<String>) -> Self {
        Self { operand, reason: reason.into() }
    }
}

/// A field of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The event time.
    Timestamp,
    /// The truck's name.
    Truck,
    /// A measure.
    Measure(Measure),
    /// A declared field, by its index.
    Extra(usize, FieldType),
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

/// A typed expression.
///
/// ```
/// use dataflows::expression::{Arithmetic, Comparison, Expression, Field};
/// use dataflows::batch::Measure;
///
/// let speed = Expression::field(Field::Measure(Measure::EngineSpeed));
/// let limit = Expression::number(825, 1).unwrap(); // 82.5
/// assert!(Expression::compare(Comparison::Greater, speed.clone(), limit).is_ok());
/// let truck = Expression::field(Field::Truck);
/// assert!(Expression::arithmetic(Arithmetic::Add, speed, truck).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    kind: Kind,
    node: Node,
}

type Boxed = Box<Expression>;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Field(Field),
    Constant(Constant),
    /// The same decimal with a larger scale: its units times this.
    Scaled(i128, Boxed),
    /// A decimal as the nearest double.
    Rounded(u8, Boxed),
    Negated(Boxed),
    Absolute(Boxed),
    /// On units, each multiplied by a power of ten.
    Exact(Arithmetic, (i128, Boxed), (i128, Boxed)),
    /// On doubles.
    Real(Arithmetic, Boxed, Boxed),
    Compare(Comparison, Comparator, Boxed, Boxed),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Boxed),
    Is(Test, Boxed),
    Between(Boxed, (Comparator, Boxed), (Comparator, Boxed)),
    In(Boxed, Vec<(Comparator, Expression)>),
    Like(Boxed, Pattern),
    /// The result of the first true condition, or the last result.
    Case(Vec<(Expression, Expression)>, Boxed),
    /// The result of the first equal value, or the last result.
    Switch(Boxed, Vec<(Comparator, Expression, Expression)>, Boxed),
    Coalesce(Vec<Expression>),
    NullIf(Boxed, Comparator, Boxed),
    /// The greatest (`Greater`) or least (`Less`).
    Extreme(Comparison, Comparator, Vec<Expression>),
    Round(Rounding, u8, Boxed),
}

#[derive(Clone, Debug, PartialEq)]
enum Constant {
    Null,
    Number(i128),
    Real(f64),
    Text(Arc<str>),
    Timestamp(i64),
    Truth(u8),
}

impl Default for Expression {
    fn default() -> Self {
        Self::null()
    }
}

impl Expression {
    /// A field.
    pub fn field(field: Field) -> Self {
        let number = Kind::Number(Decimal { scale: NANO_SCALE, bound: i64::MAX.into() });
        let kind = match field {
            Field::Timestamp => Kind::Timestamp,
            Field::Truck | Field::Extra(_, FieldType::Text) => Kind::Text,
            Field::Measure(_) | Field::Extra(_, FieldType::Number) => number,
        };
        Self { kind, node: Node::Field(field) }
    }

    /// `units / 10^scale`; none if it has more than [`MOST_PLACES`] or exceeds 128 bits.
    pub fn number(units: i128, scale: u8) -> Option<Self> {
        let bound = units.checked_abs()?;
        (scale <= MOST_PLACES)
            .then(|| Self::constant(Kind::Number(Decimal { scale, bound }), Constant::Number(units)))
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::constant(Kind::Text, Constant::Text(text.into()))
    }

    /// A time, in microseconds since 1970.
    pub fn timestamp(time: i64) -> Self {
        let constant = if time == NULL { Constant::Null } else { Constant::Timestamp(time) };
        Self::constant(Kind::Timestamp, constant)
    }

    /// True or false.
    pub fn truth(holds: bool) -> Self {
        Self::constant(Kind::Truth, Constant::Truth(truth(holds)))
    }

    /// NULL.
    pub fn null() -> Self {
        Self::constant(Kind::Null, Constant::Null)
    }

    fn constant(kind: Kind, constant: Constant) -> Self {
        Self { kind, node: Node::Constant(constant) }
    }

    /// An expression, folded if all operands are constant.
    fn new(kind: Kind, node: Node) -> Self {
        let expression = Self { kind, node };
        if expression.children().iter().all(|child| child.is_constant()) {
            expression.folded()
        } else {
            expression
        }
    }

    fn children(&self) -> Vec<&Self> {
        match &self.node {
            Node::Field(_) | Node::Constant(_) => vec![self],
            Node::Scaled(_, of)
            | Node::Rounded(_, of)
            | Node::Negated(of)
            | Node::Absolute(of)
            | Node::Not(of)
            | Node::Is(_, of)
            | Node::Like(of, _)
            | Node::Round(_, _, of) => vec![of],
            Node::Exact(_, (_, a), (_, b))
            | Node::Real(_, a, b)
            | Node::Compare(_, _, a, b)
            | Node::NullIf(a, _, b) => vec![a, b],
            Node::And(all) | Node::Or(all) | Node::Coalesce(all) | Node::Extreme(_, _, all) => {
                all.iter().collect()
            }
            Node::Between(of, (_, low), (_, high)) => vec![of, low, high],
            Node::In(of, list) => [&**of].into_iter().chain(list.iter().map(|(_, item)| item)).collect(),
            Node::Case(branches, last) => {
                branches.iter().flat_map(|(when, then)| [when, then]).chain([&**last]).collect()
            }
            Node::Switch(of, branches, last) => {
                let branches = branches.iter().flat_map(|(_, when, then)| [when, then]);
                [&**of].into_iter().chain(branches).chain([&**last]).collect()
            }
        }
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The type of a column of this expression. A field keeps its own; any computed number is a double.
    pub fn column_type(&self) -> Type {
        match self.kind {
            Kind::Number(_) if matches!(self.node, Node::Field(_)) => Type::Decimal,
            Kind::Null | Kind::Number(_) | Kind::Real => Type::Real,
            Kind::Text => Type::Text,
            Kind::Timestamp => Type::Timestamp,
            Kind::Truth => Type::Integer,
        }
    }

    fn is_constant(&self) -> bool {
        matches!(self.node, Node::Constant(_))
    }

    /// Gives NULL a type; any other expression is unchanged.
    fn typed(self, kind: Kind) -> Self {
        if self.kind == Kind::Null { Self::constant(kind, Constant::Null) } else { self }
    }

    fn rescaled(self, from: Decimal, to: Decimal) -> Self {
        match to.scale - from.scale {
            0 => self,
            more => Self::new(Kind::Number(to), Node::Scaled(power(more), self.into())),
        }
    }

    /// The nearest double to a number: `CAST(… AS DOUBLE)`.
    pub fn to_real(self) -> Result<Self, Mismatch> {
        match self.kind {
            Kind::Null => Ok(self.typed(Kind::Real)),
            Kind::Real => Ok(self),
            Kind::Number(decimal) => Ok(self.rounded(decimal)),
            other => Err(Mismatch::new(0, format!("{other} is not a number"))),
        }
    }

    fn rounded(self, decimal: Decimal) -> Self {
        Self::new(Kind::Real, Node::Rounded(decimal.scale, self.into()))
    }

    /// Checks that it is a number; returns its decimal, or none for a double.
    fn numeric(self, operand: usize, what: &str) -> Result<(Self, Option<Decimal>), Mismatch> {
        let this = self.typed(Kind::Number(Decimal::default()));
        match this.kind {
            Kind::Number(decimal) => Ok((this, Some(decimal))),
            Kind::Real => Ok((this, None)),
            other => Err(Mismatch::new(operand, format!("{what} takes numbers, not {other}"))),
        }
    }

    fn condition(self, operand: usize, what: &str) -> Result<Self, Mismatch> {
        let this = self.typed(Kind::Truth);
        match this.kind {
            Kind::Truth => Ok(this),
            other => Err(Mismatch::new(operand, format!("{what} takes a condition, not {other}"))),
        }
    }

    /// `-x`
    pub fn negated(self) -> Result<Self, Mismatch> {
        let (this, _) = self.numeric(0, "`-`")?;
        Ok(Self::new(this.kind, Node::Negated(this.into())))
    }

    /// `ABS(x)`
    pub fn absolute(self) -> Result<Self, Mismatch> {
        let (this, _) = self.numeric(0, "ABS")?;
        Ok(Self::new(this.kind, Node::Absolute(this.into())))
    }

    /// `a + b` and the like.
    pub fn arithmetic(op: Arithmetic, a: Self, b: Self) -> Result<Self, Mismatch> {
        let what = match op {
            Arithmetic::Add => "`+`",
            Arithmetic::Subtract => "`-`",
            Arithmetic::Multiply => "`*`",
            Arithmetic::Divide => "`/`",
            Arithmetic::Remainder => "`%`",
        };
        let ((a, x), (b, y)) = (a.numeric(0, what)?, b.numeric(1, what)?);
        if let (Some(x), Some(y)) = (x, y)
            && let Some((kind, by, other)) = exact(op, x, y)
        {
            return Ok(Self::new(kind, Node::Exact(op, (by, a.into()), (other, b.into()))));
        }
        let real = |one: Self, decimal: Option<Decimal>| match decimal {
            Some(decimal) => one.rounded(decimal),
            None => one,
        };
        Ok(Self::new(Kind::Real, Node::Real(op, real(a, x).into(), real(b, y).into())))
    }

    /// `a = b` and the like.
    pub fn compare(op: Comparison, a: Self, mut b: Self) -> Result<Self, Mismatch> {
        if a.kind == Kind::Null || b.kind == Kind::Null {
            return Ok(Self::constant(Kind::Truth, Constant::Null));
        }
        // A constant goes to the right, where it can be rescaled to the other's scale.
        if a.is_constant() && !b.is_constant() && comparator(&a, &mut b).is_ok() {
            return Self::compare(op.flipped(), b, a);
        }
        let comparator = comparator(&a, &mut b)?;
        Ok(Self::new(Kind::Truth, Node::Compare(op, comparator, a.into(), b.into())))
    }

    /// `a AND b AND …`
    pub fn and(all: Vec<Self>) -> Result<Self, Mismatch> {
        let all = all.into_iter().enumerate().map(|(i, one)| one.condition(i, "AND"));
        Ok(Self::new(Kind::Truth, Node::And(all.collect::<Result<_, _>>()?)))
    }

    /// `a OR b OR …`
    pub fn or(all: Vec<Self>) -> Result<Self, Mismatch> {
        let all = all.into_iter().enumerate().map(|(i, one)| one.condition(i, "OR"));
        Ok(Self::new(Kind::Truth, Node::Or(all.collect::<Result<_, _>>()?)))
    }

    /// `NOT x`
    pub fn negation(self) -> Result<Self, Mismatch> {
        let this = self.condition(0, "NOT")?;
        Ok(Self::new(Kind::Truth, Node::Not(this.into())))
    }

    /// `x IS NULL` and the like.
    pub fn is(self, test: Test) -> Result<Self, Mismatch> {
        let this = match test {
            Test::Null => self.typed(Kind::Truth),
            Test::True | Test::False => self.condition(0, "IS TRUE and IS FALSE")?,
        };
        Ok(Self::new(Kind::Truth, Node::Is(test, this.into())))
    }

    /// `x BETWEEN low AND high`
    pub fn between(self, low: Self, high: Self) -> Result<Self, Mismatch> {
        let this = typed_by(self, [&low, &high]);
        let (mut low, mut high) = (low.typed(this.kind), high.typed(this.kind));
        let from = comparator(&this, &mut low)?;
        let to = comparator(&this, &mut high).map_err(|error| Mismatch::new(2, error.reason))?;
        Ok(Self::new(Kind::Truth, Node::Between(this.into(), (from, low.into()), (to, high.into()))))
    }

    /// `x IN (a, b, …)`
    pub fn is_in(self, list: Vec<Self>) -> Result<Self, Mismatch> {
        let this = typed_by(self, &list);
        let mut items = Vec::with_capacity(list.len());
        for (place, item) in list.into_iter().enumerate() {
            let mut item = item.typed(this.kind);
            items.push((
                comparator(&this, &mut item).map_err(|error| Mismatch::new(place + 1, error.reason))?,
                item,
            ));
        }
        Ok(Self::new(Kind::Truth, Node::In(this.into(), items)))
    }

    /// `x LIKE pattern`: `%` matches any characters, `_` matches one; after `escape` either matches itself.
    pub fn like(self, pattern: &str, escape: Option<char>) -> Result<Self, Mismatch> {
        let this = self.typed(Kind::Text);
        if this.kind != Kind::Text {
            return Err(Mismatch::new(0, format!("LIKE takes a text, not {}", this.kind)));
        }
        let pattern = Pattern::new(pattern, escape)
            .ok_or_else(|| Mismatch::new(1, "the pattern ends with its escape character"))?;
        Ok(Self::new(Kind::Truth, Node::Like(this.into(), pattern)))
    }

    /// `CASE WHEN condition THEN result … ELSE otherwise END`. Operands are numbered in that order.
    pub fn case(branches: Vec<(Self, Self)>, otherwise: Self) -> Result<Self, Mismatch> {
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for (place, (when, then)) in branches.into_iter().enumerate() {
            conditions.push(when.condition(2 * place, "WHEN")?);
            results.push(then);
        }
        let (kind, mut results) = results_of_one_type(results, otherwise, 0)?;
        let last = results.pop().unwrap_or_default();
        let branches = conditions.into_iter().zip(results).collect();
        Ok(Self::new(kind, Node::Case(branches, last.into())))
    }

    /// `CASE x WHEN value THEN result … ELSE otherwise END`. Operands are numbered in that order.
    pub fn switch(self, branches: Vec<(Self, Self)>, otherwise: Self) -> Result<Self, Mismatch> {
        let this = typed_by(self, branches.iter().map(|(when, _)| when));
        let mut values = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for (place, (when, then)) in branches.into_iter().enumerate() {
            let mut when = when.typed(this.kind);
            let way =
                comparator(&this, &mut when).map_err(|error| Mismatch::new(2 * place + 1, error.reason))?;
            values.push((way, when));
            results.push(then);
        }
        let (kind, mut results) = results_of_one_type(results, otherwise, 1)?;
        let last = results.pop().unwrap_or_default();
        let branches = values.into_iter().zip(results).map(|((way, when), then)| (way, when, then)).collect();
        Ok(Self::new(kind, Node::Switch(this.into(), branches, last.into())))
    }

    /// `COALESCE(a, b, …)`: the first that is not NULL.
    pub fn coalesce(all: Vec<Self>) -> Result<Self, Mismatch> {
        let (kind, all) = of_one_type(all)?;
        Ok(Self::new(kind, Node::Coalesce(all)))
    }

    /// `NULLIF(a, b)`: a, or NULL if they are equal.
    pub fn null_if(self, other: Self) -> Result<Self, Mismatch> {
        if self.kind == Kind::Null {
            return Ok(self);
        }
        let mut other = other.typed(self.kind);
        let comparator = comparator(&self, &mut other)?;
        Ok(Self::new(self.kind, Node::NullIf(self.into(), comparator, other.into())))
    }

    /// `GREATEST(a, b, …)`; NULL if any value is.
    pub fn greatest(all: Vec<Self>) -> Result<Self, Mismatch> {
        Self::extreme(Comparison::Greater, all)
    }

    /// `LEAST(a, b, …)`; NULL if any value is.
    pub fn least(all: Vec<Self>) -> Result<Self, Mismatch> {
        Self::extreme(Comparison::Less, all)
    }

    fn extreme(op: Comparison, all: Vec<Self>) -> Result<Self, Mismatch> {
        let (kind, all) = of_one_type(all)?;
        let comparator = match kind {
            Kind::Number(decimal) if decimal.is_wide() => Comparator::Scaled(1, 1),
            Kind::Number(_) | Kind::Timestamp => Comparator::Units,
            Kind::Real => Comparator::Reals,
            Kind::Text => Comparator::Texts,
            Kind::Truth | Kind::Null => Comparator::Truths,
        };
        Ok(Self::new(kind, Node::Extreme(op, comparator, all)))
    }

    /// `ROUND(x, places)`, `FLOOR(x)`, `CEIL(x)`. A double is rounded by its exact value. At most
    /// [`MOST_ROUNDED_PLACES`].
    pub fn round(self, rounding: Rounding, places: u8) -> Result<Self, Mismatch> {
        let what = match rounding {
            Rounding::Nearest => "ROUND",
            Rounding::Floor => "FLOOR",
            Rounding::Ceiling => "CEIL",
        };
        let places = places.min(MOST_ROUNDED_PLACES);
        let (this, decimal) = self.numeric(0, what)?;
        let kind = match decimal {
            Some(decimal) if decimal.scale <= places => return Ok(this),
            Some(Decimal { scale, bound }) => {
                Kind::Number(Decimal { scale: places, bound: bound / power(scale - places) + 1 })
            }
            None => Kind::Real,
        };
        Ok(Self::new(kind, Node::Round(rounding, places, this.into())))
    }
}

/// The type of an operation on decimals, and the factors for the units of each operand; none if a value could exceed
/// 128 bits.
fn exact(op: Arithmetic, x: Decimal, y: Decimal) -> Option<(Kind, i128, i128)> {
    let scale = x.scale.max(y.scale);
    let (by, other) = (power(scale - x.scale), power(scale - y.scale));
    let bound = match op {
        Arithmetic::Add | Arithmetic::Subtract => x.at(scale)?.bound.checked_add(y.at(scale)?.bound)?,
        Arithmetic::Remainder => x.at(scale)?.bound.min(y.at(scale)?.bound),
        Arithmetic::Divide => {
            x.at(scale)?;
            y.at(scale)?;
            return Some((Kind::Real, by, other));
        }
        Arithmetic::Multiply => {
            let scale = Some(x.scale + y.scale).filter(|scale| *scale <= MOST_PLACES)?;
            let bound = x.bound.checked_mul(y.bound)?;
            return Some((Kind::Number(Decimal { scale, bound }), 1, 1));
        }
    };
    Some((Kind::Number(Decimal { scale, bound }), by, other))
}

/// Gives NULL the type of the first other expression that has one.
fn typed_by<'a>(this: Expression, others: impl IntoIterator<Item = &'a Expression>) -> Expression {
    let kind = others.into_iter().map(|other| other.kind).find(|kind| *kind != Kind::Null);
    this.typed(kind.unwrap_or(Kind::Truth)).typed(Kind::Truth)
}

/// The results of branches and the last one, all converted to one type; `before` operands precede the first.
fn results_of_one_type(
    mut results: Vec<Expression>,
    otherwise: Expression,
    before: usize,
) -> Result<(Kind, Vec<Expression>), Mismatch> {
    let branches = results.len();
    results.push(otherwise);
    of_one_type(results).map_err(|error| {
        // A condition precedes each result except the last.
        let operand = if error.operand == branches { 2 * branches } else { 2 * error.operand + 1 };
        Mismatch::new(before + operand, error.reason)
    })
}

/// Converts alternatives to one type: numbers to decimals of one scale, or to doubles.
fn of_one_type(all: Vec<Expression>) -> Result<(Kind, Vec<Expression>), Mismatch> {
    let mut kind = Kind::Null;
    for (place, one) in all.iter().enumerate() {
        kind = match (kind, one.kind) {
            (known, Kind::Null) => known,
            (Kind::Null, new) => new,
            (Kind::Number(x), Kind::Number(y)) => {
                let scale = x.scale.max(y.scale);
                match (x.at(scale), y.at(scale)) {
                    (Some(x), Some(y)) => Kind::Number(Decimal { scale, bound: x.bound.max(y.bound) }),
                    _ => Kind::Real,
                }
            }
            (Kind::Number(_) | Kind::Real, Kind::Number(_) | Kind::Real) => Kind::Real,
            (known, new) if known == new => known,
            (known, new) => {
                return Err(Mismatch::new(place, format!("{new} cannot be combined with {known}")));
            }
        };
    }
    let convert = |one: Expression| match (kind, one.kind) {
        // Its own bound stays, as it decides whether its units are wide.
        (Kind::Number(to), Kind::Number(from)) => match from.at(to.scale) {
            Some(same) => one.rescaled(from, same),
            None => one.rounded(from), // unreachable: `kind` would be a double
        },
        (Kind::Real, Kind::Number(decimal)) => one.rounded(decimal),
        _ => one.typed(kind),
    };
    Ok((kind, all.into_iter().map(convert).collect()))
}
