//! Decodes a message in one pass over its bytes, and a second over special values.
//!
//! Not with the messages of the crate `prost-reflect`: it copies every name, and refuses a field that is written in
//! another way than declared, which all other readers skip. Tests compare both.

use std::borrow::Cow;

use super::special::Entries;
use super::types::{Field, Kind, Label, MessageType, TypeId, Types};
use super::wire::{Wire, WireType};
use crate::decode::tree::{Scalar, Tree};
use crate::decode::undecodable::{Undecodable, Values, check_depth};
use crate::decode::varint::zigzag;

pub(super) fn decode<'a>(types: &'a Types, root: TypeId, bytes: &'a [u8]) -> Result<Tree<'a>, Undecodable> {
    let mut reader = Reader { types, values: Values::of(bytes.len()) };
    let mut entries = reader.absent(root)?;
    reader.message(root, bytes, 1, &mut entries)?;
    let mut tree = Tree::Object(entries);
    types.finish(root, &mut tree)?;
    Ok(tree)
}

struct Reader<'a> {
    types: &'a Types,
    values: Values,
}

impl<'a> Reader<'a> {
    /// The fields of a message that has none.
    fn absent(&mut self, id: TypeId) -> Result<Entries<'a>, Undecodable> {
        let types = self.types;
        let fields = &types.messages[id].fields;
        self.values.take(fields.len() + 1)?;
        Ok(fields.iter().map(|field| (Cow::Borrowed(&*field.name), types.absent(field))).collect())
    }

    /// Reads a message at this depth, counted from 1, into what was read of it before.
    fn message(
        &mut self,
        id: TypeId,
        bytes: &'a [u8],
        depth: usize,
        entries: &mut Entries<'a>,
    ) -> Result<(), Undecodable> {
        self.fields(id, &mut Wire { rest: bytes }, None, depth, entries)
    }

    /// Reads fields up to the end of the bytes, or of the `group`.
    fn fields(
        &mut self,
        id: TypeId,
        wire: &mut Wire<'a>,
        group: Option<u32>,
        depth: usize,
        entries: &mut Entries<'a>,
    ) -> Result<(), Undecodable> {
        check_depth(depth)?;
        let types = self.types;
        let of = &types.messages[id];
        let mut next = 0;
        while let Some((number, wire_type)) = wire.tag()? {
            if wire_type == WireType::EndGroup {
                return if group == Some(number) { Ok(()) } else { Err(Undecodable::Malformed) };
            }
            match of.find(number, &mut next) {
                Some(place) if of.fields[place].is_written_as(wire_type) => {
                    self.field(of, place, wire_type, wire, depth, entries)?;
                }
                _ => wire.skip(number, wire_type)?,
            }
        }
        if group.is_some() { Err(Undecodable::Malformed) } else { Ok(()) }
    }

    fn field(
        &mut self,
        of: &'a MessageType,
        place: usize,
        wire_type: WireType,
        wire: &mut Wire<'a>,
        depth: usize,
        entries: &mut Entries<'a>,
    ) -> Result<(), Undecodable> {
        let field = &of.fields[place];
        match (field.label, field.kind) {
            (Label::Map, Kind::Message(entry)) => {
                let entry = self.entry(entry, wire.sized()?, depth + 2)?;
                if let Tree::Object(entries) = &mut entries[place].1 {
                    entries.extend(entry);
                }
            }
            (Label::Repeated, kind) => {
                let packed = wire_type == WireType::Sized && kind.wire_type() != WireType::Sized;
                let Tree::Array(elements) = &mut entries[place].1 else { return Ok(()) };
                if packed {
                    let mut wire = Wire { rest: wire.sized()? };
                    while !wire.rest.is_empty() {
                        self.values.take(1)?;
                        elements.extend(self.scalar(kind, &mut wire)?.map(Tree::Scalar));
                    }
                } else {
                    self.values.take(1)?;
                    elements.extend(self.element(field, wire, depth + 2, None)?);
                }
            }
            (_, kind) => {
                let before = match kind {
                    Kind::Message(_) | Kind::Group(_) => std::mem::replace(&mut entries[place].1, NULL),
                    _ => NULL,
                };
                if let Some(value) = self.element(field, wire, depth + 1, Some(before))? {
                    entries[place].1 = value;
                    let others = field.oneof.map_or(&[][..], |oneof| &of.oneofs[oneof]);
                    for other in others.iter().filter(|other| **other != place) {
                        entries[*other].1 = NULL;
                    }
                }
            }
        }
        Ok(())
    }

    /// A value. A message is read into the one `before`, if there is one. None if it counts as absent.
    fn element(
        &mut self,
        field: &'a Field,
        wire: &mut Wire<'a>,
        depth: usize,
        before: Option<Tree<'a>>,
    ) -> Result<Option<Tree<'a>>, Undecodable> {
        let (Kind::Message(id) | Kind::Group(id)) = field.kind else {
            return Ok(self.scalar(field.kind, wire)?.map(Tree::Scalar));
        };
        let mut entries = match before {
            Some(Tree::Object(entries)) => entries,
            _ => self.absent(id)?,
        };
        if let Kind::Group(_) = field.kind {
            self.fields(id, wire, Some(field.number), depth, &mut entries)?;
        } else {
            self.message(id, wire.sized()?, depth, &mut entries)?;
        }
        Ok(Some(Tree::Object(entries)))
    }

    /// The key and value of a map's entry. None if its type is not that of one.
    fn entry(
        &mut self,
        id: TypeId,
        bytes: &'a [u8],
        depth: usize,
    ) -> Result<Option<(Cow<'a, str>, Tree<'a>)>, Undecodable> {
        let types = self.types;
        let [of_key, of_value] = &types.messages[id].fields[..] else { return Ok(None) };
        self.values.take(1)?;
        let (mut key, mut value) = (None, None);
        let mut wire = Wire { rest: bytes };
        while let Some((number, wire_type)) = wire.tag()? {
            if number == of_key.number && of_key.is_written_as(wire_type) {
                key = self.scalar(of_key.kind, &mut wire)?.or(key);
            } else if number == of_value.number && of_value.is_written_as(wire_type) {
                let before = value.take();
                value = self.element(of_value, &mut wire, depth, before)?;
            } else {
                wire.skip(number, wire_type)?;
            }
        }
        let key = match key.unwrap_or_else(|| types.zero(of_key.kind)) {
            Scalar::Text(key) => key,
            Scalar::Integer(key) => key.to_string().into(),
            Scalar::Boolean(key) => Cow::Borrowed(if key { "true" } else { "false" }),
            _ => return Ok(None),
        };
        let value = match (value, of_value.kind) {
            (Some(value), _) => value,
            (None, Kind::Message(id)) => Tree::Object(self.absent(id)?),
            (None, kind) => Tree::Scalar(types.zero(kind)),
        };
        Ok(Some((key, value)))
    }

    /// A value that is no message. None if it counts as absent.
    #[inline]
    fn scalar(&self, kind: Kind, wire: &mut Wire<'a>) -> Result<Option<Scalar<'a>>, Undecodable> {
        Ok(Some(match kind {
            Kind::Double => Scalar::Double(f64::from_le_bytes(wire.array()?)),
            Kind::Float => Scalar::Float(f32::from_le_bytes(wire.array()?)),
            // A negative one has 64 bits; the upper ones of others are ignored.
            Kind::Int32 => Scalar::Integer((wire.varint()? as i32).into()),
            Kind::Int64 => Scalar::Integer((wire.varint()? as i64).into()),
            Kind::Uint32 => Scalar::Integer((wire.varint()? as u32).into()),
            Kind::Uint64 => Scalar::Integer(wire.varint()?.into()),
            Kind::Sint32 => Scalar::Integer(zigzag((wire.varint()? as u32).into()).into()),
            Kind::Sint64 => Scalar::Integer(zigzag(wire.varint()?).into()),
            Kind::Fixed32 => Scalar::Integer(u32::from_le_bytes(wire.array()?).into()),
            Kind::Fixed64 => Scalar::Integer(u64::from_le_bytes(wire.array()?).into()),
            Kind::Sfixed32 => Scalar::Integer(i32::from_le_bytes(wire.array()?).into()),
            Kind::Sfixed64 => Scalar::Integer(i64::from_le_bytes(wire.array()?).into()),
            Kind::Bool => Scalar::Boolean(wire.varint()? != 0),
            Kind::Text => {
                let text = std::str::from_utf8(wire.sized()?).map_err(|_| Undecodable::Malformed)?;
                Scalar::Text(Cow::Borrowed(text))
            }
            Kind::Bytes => {
                wire.sized()?;
                Scalar::Bytes
            }
            Kind::Enum(id) => {
                let (number, names) = (wire.varint()? as i32, &self.types.enums[id]);
                match names.name(number) {
                    Some(name) => Scalar::Text(Cow::Borrowed(name)),
                    None if names.is_closed => return Ok(None),
                    None => Scalar::Integer(number.into()),
                }
            }
            Kind::Message(_) | Kind::Group(_) => return Err(Undecodable::Malformed),
        }))
    }
}

const NULL: Tree<'static> = Tree::Scalar(Scalar::Null);

impl Types {
    /// The value of a field that is absent.
    #[inline]
    fn absent(&self, field: &Field) -> Tree<'_> {
        match field.label {
            Label::Implicit => Tree::Scalar(self.zero(field.kind)),
            Label::Optional | Label::Required => NULL,
            Label::Repeated => Tree::Array(Vec::new()),
            Label::Map => Tree::Object(Vec::new()),
        }
    }

    /// The value of a field that has none.
    fn zero(&self, kind: Kind) -> Scalar<'_> {
        match kind {
            Kind::Double => Scalar::Double(0.0),
            Kind::Float => Scalar::Float(0.0),
            Kind::Bool => Scalar::Boolean(false),
            Kind::Text => Scalar::Text(Cow::Borrowed("")),
            Kind::Bytes => Scalar::Bytes,
            Kind::Enum(id) => self.enums[id]
                .first
                .as_deref()
                .map_or(Scalar::Integer(0), |name| Scalar::Text(Cow::Borrowed(name))),
            Kind::Message(_) | Kind::Group(_) => Scalar::Null,
            _ => Scalar::Integer(0),
        }
    }
}

impl Field {
    /// Whether its value may be written like this. If not, it is an unknown field.
    #[inline]
    fn is_written_as(&self, wire_type: WireType) -> bool {
        let own = self.kind.wire_type();
        // A list of numbers may be packed, whatever its definition says.
        own == wire_type || self.label == Label::Repeated && wire_type == WireType::Sized && own.is_packable()
    }
}

impl Kind {
    #[inline]
    fn wire_type(self) -> WireType {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => WireType::Fixed64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => WireType::Fixed32,
            Self::Text | Self::Bytes | Self::Message(_) => WireType::Sized,
            Self::Group(_) => WireType::StartGroup,
            _ => WireType::Varint,
        }
    }
}

impl WireType {
    fn is_packable(self) -> bool {
        matches!(self, Self::Varint | Self::Fixed32 | Self::Fixed64)
    }
}
