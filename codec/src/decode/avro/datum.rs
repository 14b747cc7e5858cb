//! Decodes a datum in one pass over its bytes.
//!
//! Not with the crate `apache-avro`: it reads a datum that ends too early as null, allocates what a length declares,
//! follows a recursive schema without bound, and copies every name. Tests compare both.

use std::borrow::Cow;

use uuid::Uuid;

use super::types::{Type, TypeId, Types};
use crate::decode::decimal;
use crate::decode::tree::{Scalar, Tree};
use crate::decode::undecodable::{Undecodable, Values, check_depth};
use crate::decode::varint;
use crate::text::time::Unit;

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;

pub(super) fn decode<'a>(types: &'a Types, datum: &'a [u8]) -> Result<Tree<'a>, Undecodable> {
    let mut reader = Reader::new(types, datum);
    let tree = reader.value(types.root, 1)?;
    if reader.is_done() { Ok(tree) } else { Err(Undecodable::Malformed) }
}

pub(in crate::decode) struct Reader<'a> {
    types: &'a [Type],
    rest: &'a [u8],
    pub values: Values,
}

impl<'a> Reader<'a> {
    pub fn new(types: &'a Types, datum: &'a [u8]) -> Self {
        Self { types: &types.all, rest: datum, values: Values::of(datum.len()) }
    }

    /// Whether all bytes are read.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks a value like [`value`](Self::value), and drops it.
    pub fn skip(&mut self, id: TypeId, depth: usize) -> Result<(), Undecodable> {
        let types = self.types;
        match &types[id] {
            Type::Null => {}
            Type::Int => _ = self.int()?,
            Type::Long => _ = self.long()?,
            Type::Float => _ = self.bytes(4)?,
            Type::Double => _ = self.bytes(8)?,
            Type::Text => _ = self.text()?,
            Type::Union(branches) => {
                let branch = *self.branch(branches)?;
                self.skip(branch, depth)?;
            }
            Type::Record(fields) => {
                check_depth(depth)?;
                self.values.take(fields.len())?;
                for (_, of) in fields {
                    self.skip(*of, depth + 1)?;
                }
            }
            _ => _ = self.value(id, depth)?,
        }
        Ok(())
    }

    /// The branch of a union that follows, of what each branch has.
    #[inline]
    pub fn branch<'b, T>(&mut self, branches: &'b [T]) -> Result<&'b T, Undecodable> {
        let branch = usize::try_from(self.long()?).ok().and_then(|place| branches.get(place));
        branch.ok_or(Undecodable::Malformed)
    }

    /// A value at this depth, counted from 1.
    pub fn value(&mut self, id: TypeId, depth: usize) -> Result<Tree<'a>, Undecodable> {
        let types = self.types;
        Ok(Tree::Scalar(match &types[id] {
            Type::Null => Scalar::Null,
            Type::Boolean => match self.bytes(1)? {
                [0] => Scalar::Boolean(false),
                [1] => Scalar::Boolean(true),
                _ => return Err(Undecodable::Malformed),
            },
            Type::Int => Scalar::Integer(self.int()?.into()),
            Type::Long => Scalar::Integer(self.long()?.into()),
            Type::Float => Scalar::Float(f32::from_le_bytes(self.array()?)),
            Type::Double => Scalar::Double(f64::from_le_bytes(self.array()?)),
            Type::Bytes => {
                self.sized(None)?;
                Scalar::Bytes
            }
            Type::Fixed(size) => {
                self.bytes(*size)?;
                Scalar::Bytes
            }
            Type::Text => Scalar::Text(Cow::Borrowed(self.text()?)),
            Type::Enum(symbols) => {
                let symbol = usize::try_from(self.int()?).ok().and_then(|place| symbols.get(place));
                Scalar::Text(Cow::Borrowed(symbol.ok_or(Undecodable::Malformed)?))
            }
            Type::Decimal(size, scale) => Scalar::Number(decimal::text(self.sized(*size)?, *scale)?.into()),
            Type::BigDecimal => Scalar::Number(self.big_decimal()?.into()),
            Type::Uuid(size) => match <[u8; 16]>::try_from(self.sized(*size)?) {
                Ok(bytes) => Scalar::Text(Uuid::from_bytes(bytes).to_string().into()),
                Err(_) => Scalar::Bytes,
            },
            Type::Date => {
                let nanos = i128::from(self.int()?) * DAY;
                Scalar::Time { nanos, unit: Unit::Seconds, local: true }
            }
            Type::Timestamp { unit, local } => {
                let nanos = i128::from(self.long()?) * nanos(*unit);
                Scalar::Time { nanos, unit: *unit, local: *local }
            }
            Type::Array(items) => return self.elements(*items, depth),
            Type::Map(values) => return self.entries(*values, depth),
            Type::Union(branches) => {
                let branch = *self.branch(branches)?;
                return self.value(branch, depth);
            }
            Type::Record(fields) => {
                check_depth(depth)?;
                self.values.take(fields.len())?;
                let mut entries = Vec::with_capacity(fields.len());
                for (name, of) in fields {
                    entries.push((Cow::Borrowed(&**name), self.value(*of, depth + 1)?));
                }
                return Ok(Tree::Object(entries));
            }
        }))
    }

    fn elements(&mut self, of: TypeId, depth: usize) -> Result<Tree<'a>, Undecodable> {
        let mut elements = Vec::new();
        self.blocks(depth, |reader| {
            elements.push(reader.value(of, depth + 1)?);
            Ok(())
        })?;
        Ok(Tree::Array(elements))
    }

    fn entries(&mut self, of: TypeId, depth: usize) -> Result<Tree<'a>, Undecodable> {
        let mut entries = Vec::new();
        self.blocks(depth, |reader| {
            let key = Cow::Borrowed(reader.text()?);
            entries.push((key, reader.value(of, depth + 1)?));
            Ok(())
        })?;
        Ok(Tree::Object(entries))
    }

    /// The blocks of an array or map: each has a count, and the length of its bytes if the count is negative.
    fn blocks(
        &mut self,
        depth: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), Undecodable>,
    ) -> Result<(), Undecodable> {
        check_depth(depth)?;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                self.values.take(1)?;
                element(self)?;
            }
        }
    }

    /// An integer and its scale, in bytes that have a length of their own.
    fn big_decimal(&mut self) -> Result<String, Undecodable> {
        let mut inner = Reader { types: self.types, rest: self.sized(None)?, values: Values::of(0) };
        let unscaled = inner.sized(None)?;
        let scale = inner.long()?;
        if inner.rest.is_empty() { decimal::text(unscaled, scale) } else { Err(Undecodable::Malformed) }
    }

    /// Bytes with this size, or else with their length before them.
    #[inline]
    fn sized(&mut self, size: Option<usize>) -> Result<&'a [u8], Undecodable> {
        let length = match size {
            Some(size) => size,
            None => usize::try_from(self.long()?).map_err(|_| Undecodable::Malformed)?,
        };
        self.bytes(length)
    }

    #[inline]
    fn text(&mut self) -> Result<&'a str, Undecodable> {
        std::str::from_utf8(self.sized(None)?).map_err(|_| Undecodable::Malformed)
    }

    #[inline]
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Undecodable> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Undecodable::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Undecodable::Malformed)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn int(&mut self) -> Result<i32, Undecodable> {
        i32::try_from(self.long()?).map_err(|_| Undecodable::Malformed)
    }

    /// A zigzag integer of variable length.
    #[inline]
    fn long(&mut self) -> Result<i64, Undecodable> {
        let (value, length) = varint::read(self.rest).ok_or(Undecodable::Malformed)?;
        self.rest = &self.rest[length..];
        Ok(varint::zigzag(value))
    }
}

/// The nanoseconds of a unit.
const fn nanos(unit: Unit) -> i128 {
    match unit {
        Unit::Seconds => 1_000_000_000,
        Unit::Millis => 1_000_000,
        Unit::Micros => 1_000,
        Unit::Nanos => 1,
    }
}
