//! The tree of an expression, with the type of each node.

use std::sync::Arc;

use ethnum::I256;

use super::compare::{Comparator, Comparison};
use super::pattern::Pattern;
use super::types::{Arithmetic, Decimal, Kind, MOST_PLACES, MOST_PRODUCT_PLACES, Rounding, Test, power};
use super::values::truth;
use crate::batch::NANO_SCALE;
use crate::rows::{NULL, Type};
use crate::schema::{Field, FieldType, Place};

/// A typed expression.
///
/// ```
/// use dataflows::expression::{Arithmetic, Comparison, Expression};
/// use dataflows::schema::Schema;
///
/// let schema = Schema::trucks();
/// let speed = Expression::field(schema.field("engine_speed").unwrap());
/// let limit = Expression::number(825, 1).unwrap(); // 82.5
/// assert!(Expression::compare(Comparison::Greater, speed.clone(), limit).is_ok());
/// let truck = Expression::field(schema.field("truck_id").unwrap());
/// assert!(Expression::arithmetic(Arithmetic::Add, speed, truck).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(super) kind: Kind,
    pub(super) node: Node,
}

type Boxed = Box<Expression>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Field(Place, FieldType),
    /// A column of a row that is not a reading.
    Column(usize, Type),
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
    /// The seconds between two times.
    Elapsed(Boxed, Boxed),
    /// A time plus so many microseconds.
    Shifted(i64, Boxed),
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
pub(super) enum Constant {
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
    /// How many operations, fields and constants it has, and on how many levels.
    ///
    /// ```
    /// use dataflows::expression::{Arithmetic, Expression};
    /// use dataflows::schema::Schema;
    ///
    /// let speed = Expression::field(Schema::trucks().field("engine_speed").unwrap());
    /// let sum = Expression::arithmetic(Arithmetic::Add, speed.clone(), speed.clone()).unwrap();
    /// assert_eq!((speed.size(), sum.size()), ((1, 1), (3, 2)));
    /// ```
    pub fn size(&self) -> (usize, usize) {
        let children = match &self.node {
            Node::Field(..) | Node::Column(..) | Node::Constant(_) => Vec::new(),
            _ => self.children(),
        };
        let sizes = children.into_iter().map(Self::size);
        let (nodes, levels) =
            sizes.fold((0, 0), |(nodes, levels), child| (nodes + child.0, levels.max(child.1)));
        (nodes + 1, levels + 1)
    }

    /// A field of the record.
    pub fn field(field: &Field) -> Self {
        let number = |scale| Kind::Number(Decimal { scale, bound: i64::MAX.into(), ..Decimal::default() });
        let kind = match field.field_type {
            FieldType::Number => number(NANO_SCALE),
            FieldType::Integer => number(0),
            FieldType::Boolean => Kind::Truth,
            FieldType::Text => Kind::Text,
            FieldType::Timestamp => Kind::Timestamp,
        };
        Self { kind, node: Node::Field(field.place, field.field_type) }
    }

    /// The column of rows that are not readings, at this place.
    pub fn of_column(place: usize, kind: Kind, column_type: Type) -> Self {
        Self { kind, node: Node::Column(place, column_type) }
    }

    /// The place of the column, if it is one of rows that are not readings.
    pub fn place(&self) -> Option<usize> {
        match self.node {
            Node::Column(place, _) => Some(place),
            _ => None,
        }
    }

    /// Whether it is event time itself.
    pub fn is_event_time(&self) -> bool {
        matches!(self.node, Node::Field(Place::Time, _))
    }

    /// `units / 10^scale`; none if it has more than [`MOST_PLACES`] or exceeds 128 bits.
    pub fn number(units: i128, scale: u8) -> Option<Self> {
        let bound = units.checked_abs()?.into();
        let decimal = Decimal { scale, bound, ..Decimal::default() };
        (scale <= MOST_PLACES).then(|| Self::constant(Kind::Number(decimal), Constant::Number(units)))
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

    pub(super) fn constant(kind: Kind, constant: Constant) -> Self {
        Self { kind, node: Node::Constant(constant) }
    }

    /// An expression, folded if all operands are constant.
    pub(super) fn new(kind: Kind, node: Node) -> Self {
        let expression = Self { kind, node };
        if expression.children().iter().all(|child| child.is_constant()) {
            expression.folded()
        } else {
            expression
        }
    }

    fn children(&self) -> Vec<&Self> {
        match &self.node {
            Node::Field(..) | Node::Column(..) | Node::Constant(_) => vec![self],
            Node::Shifted(_, of)
            | Node::Scaled(_, of)
            | Node::Rounded(_, of)
            | Node::Negated(of)
            | Node::Absolute(of)
            | Node::Not(of)
            | Node::Is(_, of)
            | Node::Like(of, _)
            | Node::Round(_, _, of) => vec![of],
            Node::Elapsed(a, b)
            | Node::Exact(_, (_, a), (_, b))
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

    /// Whether one of its fields, columns and constants satisfies a condition.
    pub(super) fn any_leaf(&self, holds: &impl Fn(&Self) -> bool) -> bool {
        match &self.node {
            Node::Field(..) | Node::Column(..) | Node::Constant(_) => holds(self),
            _ => self.children().iter().any(|child| child.any_leaf(holds)),
        }
    }

    /// Whether a field with these values is in it.
    pub fn uses(&self, place: Place) -> bool {
        self.any_leaf(&|leaf| matches!(leaf.node, Node::Field(of, _) if of == place))
    }

    /// Whether the column at a place of rows that are not readings is in it.
    pub(crate) fn uses_column(&self, place: usize) -> bool {
        self.any_leaf(&|leaf| leaf.place() == Some(place))
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The type of a column of this expression. A field keeps its own, and a decimal its decimal places.
    pub fn column_type(&self) -> Type {
        match (&self.node, self.kind) {
            (Node::Field(_, FieldType::Number), _) => return Type::Exact { digits: 19, scale: NANO_SCALE },
            (Node::Field(_, FieldType::Integer), _) => return Type::Integer,
            (Node::Column(_, column_type), _) => return *column_type,
            (_, Kind::Number(Decimal { scale, .. })) if scale <= MOST_PRODUCT_PLACES => {
                return Type::Exact { digits: 65, scale };
            }
            _ => {}
        }
        match self.kind {
            Kind::Null | Kind::Number(_) | Kind::Real => Type::Real,
            Kind::Text => Type::Text,
            Kind::Timestamp => Type::Timestamp,
            Kind::Truth => Type::Integer,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self.node, Node::Constant(_))
    }

    /// Gives NULL a type; any other expression is unchanged.
    pub(super) fn typed(self, kind: Kind) -> Self {
        if self.kind == Kind::Null { Self::constant(kind, Constant::Null) } else { self }
    }

    pub(super) fn rescaled(self, from: Decimal, to: Decimal) -> Self {
        let node = |more, of: Self| Node::Scaled(power(more), of.into());
        match to.scale - from.scale {
            0 => self,
            // A constant has 128 bits, also next to an aggregate.
            more if to.bound > I256::from(i128::MAX) => {
                Self { kind: Kind::Number(to), node: node(more, self) }
            }
            more => Self::new(Kind::Number(to), node(more, self)),
        }
    }
}
