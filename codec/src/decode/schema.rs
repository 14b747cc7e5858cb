//! Schemas of a registry: what they are, and how a decoder asks for them.

use std::fmt::Debug;
use std::sync::Arc;

use super::avro::AvroSchema;
use super::definition::{Reference, SchemaError};
use super::protobuf::ProtobufSchema;
use super::tree::Tree;
use super::undecodable::Undecodable;

/// The formats that a registry has schemas of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaFormat {
    /// Avro.
    Avro,
    /// Protobuf.
    Protobuf,
    /// JSON.
    Json,
}

impl SchemaFormat {
    /// The name in a registry's answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

/// A schema of a registry, ready to decode what was written with it.
#[derive(Debug)]
pub enum Schema {
    /// Of Avro data.
    Avro(AvroSchema),
    /// Of Protobuf messages.
    Protobuf(ProtobufSchema),
    /// Of JSON, which is read without it.
    Json,
}

impl Schema {
    /// Parses the text of a schema. `references` are all that it refers to, also indirectly, each behind those that it
    /// refers to itself.
    ///
    /// # Errors
    /// The text is not such a schema.
    pub fn parse(format: SchemaFormat, text: &str, references: &[Reference]) -> Result<Self, SchemaError> {
        match format {
            SchemaFormat::Avro => AvroSchema::parse(text, references).map(Self::Avro),
            SchemaFormat::Protobuf => ProtobufSchema::of_registry(text, references).map(Self::Protobuf),
            SchemaFormat::Json => Ok(Self::Json),
        }
    }

    /// The values of a message, whose `body` follows the [header](super::confluent). None for JSON, whose body is text.
    ///
    /// # Errors
    /// The schema cannot read the bytes.
    pub fn decode<'a>(&'a self, body: &'a [u8]) -> Option<Result<Tree<'a>, Undecodable>> {
        match self {
            Self::Avro(schema) => Some(schema.decode(body)),
            Self::Protobuf(schema) => Some(schema.decode(body)),
            Self::Json => None,
        }
    }
}

/// What is known of an id.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Its schema.
    Known(Arc<Schema>),
    /// The registry does not know it, or its schema cannot be used: a message with it is a dead letter.
    Unknown,
    /// The registry has not answered yet. A message with it waits.
    Pending,
}

/// The schemas of a registry by id. A decoder does no I/O: it asks again for one that is pending.
pub trait Schemas: Debug + Send + Sync {
    /// What is known of the schema with this id now. An id that was not asked for before is fetched.
    ///
    /// Keep an answer that is not pending for its message: an id that is unknown now may be pending later, when the
    /// registry is asked again. One that is known remains so.
    fn get(&self, id: u32) -> Lookup;
}
