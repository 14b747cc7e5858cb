//! Protobuf: messages in the wire format, read with the definition of their type.
//!
//! ```text
//! registry: text or FileDescriptorProto -+-> files -> compile -> types -> wire -> Tree
//! file: FileDescriptorSet ---------------'
//! ```
//!
//! Fields have their names in the definition. One without presence that is absent is zero, one with presence is null;
//! lists and maps are empty. <https://protobuf.dev/programming-guides/encoding/>

mod compile;
mod files;
mod known;
mod message;
mod special;
mod wire;

use super::definition::{Reference, SchemaError};
use super::tree::Tree;
use super::undecodable::Undecodable;
use special::Special;

/// The definitions of messages, with which they can be decoded.
///
/// ```
/// use codec::decode::protobuf::ProtobufSchema;
/// use codec::decode::tree::{Scalar, Tree};
///
/// let schema = ProtobufSchema::of_registry("syntax = 'proto3'; message Reading { int64 ts = 2; }", &[])?;
/// // The first message of the file, and its field 2.
/// let tree = schema.decode(b"\0\x10\x96\x01")?;
/// assert_eq!(tree.child("ts"), Some(&Tree::Scalar(Scalar::Integer(150))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ProtobufSchema {
    types: Vec<MessageType>,
    enums: Vec<EnumType>,
    root: Root,
}

/// Which type a message has.
#[derive(Debug)]
enum Root {
    /// Always the same.
    One(TypeId),
    /// A message begins with the place of its type in the file: among these, then among those nested in it.
    Indexed(Vec<Option<TypeId>>),
}

/// The place of a type in [`ProtobufSchema::types`].
type TypeId = usize;

/// The type of a message.
#[derive(Debug, Default)]
struct MessageType {
    /// In the order of their numbers.
    fields: Vec<Field>,
    /// The fields of each oneof with more than one.
    oneofs: Vec<Vec<usize>>,
    /// The types defined in it, by the index that a message has.
    nested: Vec<Option<TypeId>>,
    special: Option<Special>,
    /// Whether it or a type inside it is special or has required fields.
    is_finished: bool,
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: Box<str>,
    kind: Kind,
    label: Label,
    /// Its place in `oneofs`.
    oneof: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// With a value even if it is absent.
    Implicit,
    Optional,
    Required,
    Repeated,
    /// Its type is that of the entries.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    /// The place in [`ProtobufSchema::enums`].
    Enum(usize),
    Message(TypeId),
    Group(TypeId),
}

#[derive(Debug)]
struct EnumType {
    /// By number.
    names: Vec<(i32, Box<str>)>,
    /// The name of the value that a field without presence has if it is absent.
    first: Option<Box<str>>,
    /// Whether a field with another number counts as absent.
    is_closed: bool,
}

impl EnumType {
    fn name(&self, number: i32) -> Option<&str> {
        let place = self.names.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.names[place].1)
    }
}

impl MessageType {
    /// The place of a field. `next` is where it is if the fields come in order.
    #[inline]
    fn find(&self, number: u32, next: &mut usize) -> Option<usize> {
        let is_here = |place: usize| self.fields.get(place).is_some_and(|field| field.number == number);
        let place = if is_here(*next) {
            *next
        } else if *next > 0 && is_here(*next - 1) {
            *next - 1
        } else {
            self.fields.binary_search_by_key(&number, |field| field.number).ok()?
        };
        *next = place + 1;
        Some(place)
    }
}

impl ProtobufSchema {
    /// The schema of a registry: its text, or its `FileDescriptorProto` in base64. `references` are all files that it
    /// imports, also indirectly, less those of the packages `google.protobuf`, `google.type` and `confluent`.
    ///
    /// # Errors
    /// It is not a definition in Protobuf 2 or 3.
    pub fn of_registry(schema: &str, references: &[Reference]) -> Result<Self, SchemaError> {
        Ok(compile::indexed(&files::of_registry(schema, references)?))
    }

    /// The type `message_type`, such as `fleet.Position`, of a `FileDescriptorSet`, as written by
    /// `protoc --include_imports --descriptor_set_out`.
    ///
    /// # Errors
    /// The bytes are no such set, or the type is not in it: the error names those that are.
    pub fn of_descriptor_set(set: &[u8], message_type: &str) -> Result<Self, SchemaError> {
        let pool = files::of_descriptor_set(set)?;
        let name = message_type.trim_start_matches('.');
        if let Some(root) = pool.get_message_by_name(name) {
            return Ok(compile::one(&root));
        }
        let is_own = |name: &str| !name.starts_with("google.") && !name.starts_with("confluent.");
        let own =
            pool.all_messages().filter(|message| !message.is_map_entry() && is_own(message.full_name()));
        let known: Vec<_> = own.take(20).map(|message| format!("`{}`", message.full_name())).collect();
        let known = known.join(", ");
        Err(SchemaError(format!("unknown message type `{message_type}`; expected one of {known}")))
    }

    /// The values of a message. If the schema is of a registry, the place of its type is before them.
    ///
    /// # Errors
    /// The bytes are not a message of this schema.
    pub fn decode<'a>(&'a self, bytes: &'a [u8]) -> Result<Tree<'a>, Undecodable> {
        match &self.root {
            Root::One(root) => message::decode(self, *root, bytes),
            Root::Indexed(top) => {
                let (root, bytes) = self.indexed(top, bytes)?;
                message::decode(self, root, bytes)
            }
        }
    }

    /// The type at the place that the bytes begin with, and what follows: how many indexes, then these, each a zigzag
    /// integer; 0 for the first type.
    fn indexed<'a>(
        &self,
        top: &[Option<TypeId>],
        bytes: &'a [u8],
    ) -> Result<(TypeId, &'a [u8]), Undecodable> {
        let mut wire = wire::Wire { rest: bytes };
        let count = wire.index()?;
        let first = if count == 0 { 0 } else { wire.index()? };
        let at = |among: &[Option<TypeId>], place: usize| {
            among.get(place).copied().flatten().ok_or(Undecodable::Malformed)
        };
        let mut found = at(top, first)?;
        for _ in 1..count {
            found = at(&self.types[found].nested, wire.index()?)?;
        }
        Ok((found, wire.rest))
    }
}
