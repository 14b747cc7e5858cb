//! The types of a schema.

use crate::text::time::Unit;

/// The types of a schema, which refer to each other by number.
#[derive(Debug)]
pub(in crate::decode) struct Types {
    pub all: Vec<Type>,
    pub root: TypeId,
}

/// The place of a type in [`Types::all`].
pub(in crate::decode) type TypeId = usize;

/// A type, with its logical type if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::decode) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<Box<str>>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<(Box<str>, TypeId)>),
    /// The size, if it is fixed, and the scale.
    Decimal(Option<usize>, i64),
    /// A decimal that has its scale with it.
    BigDecimal,
    /// The size, if it is fixed.
    Uuid(Option<usize>),
    Date,
    Timestamp {
        unit: Unit,
        local: bool,
    },
}
