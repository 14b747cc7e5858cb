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
mod types;
mod wire;

use super::definition::{Reference, SchemaError};
use super::tree::Tree;
use super::undecodable::Undecodable;
use types::{Root, TypeId, Types};

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
    types: Types,
    root: Root,
}

impl ProtobufSchema {
    /// The schema of a registry: its text, or its `FileDescriptorProto` in base64. `references` are all files that it
    /// imports, also indirectly, less those of the packages `google.protobuf`, `google.type` and `confluent`.
    ///
    /// # Errors
    /// It is not a definition in Protobuf 2 or 3.
    pub fn of_registry(schema: &str, references: &[Reference]) -> Result<Self, SchemaError> {
        let (types, root) = compile::indexed(&files::of_registry(schema, references)?);
        Ok(Self { types, root })
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
            let (types, root) = compile::one(&root);
            return Ok(Self { types, root });
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
            Root::One(root) => message::decode(&self.types, *root, bytes),
            Root::Indexed(top) => {
                let (root, bytes) = self.indexed(top, bytes)?;
                message::decode(&self.types, root, bytes)
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
            found = at(&self.types.messages[found].nested, wire.index()?)?;
        }
        Ok((found, wire.rest))
    }
}
