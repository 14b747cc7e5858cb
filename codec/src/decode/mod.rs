//! Decodes messages into records of a batch, or into dead letters.
//!
//! ```text
//!             +-> scan: the shapes of known producers ------------------------------+
//!   message --|                                                                     |--> batch
//!             +-> extract, lines: readings and their values -> row: fields, checks -+
//!                  (plan: where each value is)                  |
//!                                                               `-> dead letters
//! ```
//!
//! [`mapping`] says where the fields of a record are in messages. [`plan`] compiles it, so that one pass over a message
//! finds all values; [`tree`] is a message of any other format, whole.
//!
//! `scan` exists only for speed: for every payload that it accepts, the others return the same record. It leaves all
//! other payloads, and all rejections, to them.

pub mod avro;
pub mod confluent;
mod decimal;
mod decoder;
mod definition;
mod direct;
mod envelope;
mod explain;
mod extract;
mod find;
mod found;
mod future;
mod layout;
mod lexer;
mod lines;
pub mod mapping;
mod message;
mod outcome;
pub mod path;
mod plan;
pub mod protobuf;
mod row;
mod scalar;
mod scan;
mod schema;
mod text;
mod texts;
pub mod tree;
mod undecodable;
mod value;
mod varint;

#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use definition::{Reference, SchemaError};
pub use envelope::{Envelopes, NoEnvelope};
pub use explain::{Explanation, FieldExplained, Outcome, ReadingExplained, Rejected};
pub use future::Future;
pub use mapping::Mapping;
pub use message::{Counted, Decode, Headers, MAX_BYTES, MAX_ENTITY_BYTES, Message};
pub use schema::{Lookup, Schema, SchemaFormat, Schemas};
pub use undecodable::Undecodable;

/// Whether the bytes are exactly one object or list, as written by JSON or Python.
pub fn is_whole(bytes: &[u8]) -> bool {
    let values = std::str::from_utf8(bytes).ok().and_then(tree::Tree::parse);
    values.is_some_and(|values| matches!(&values[..], [tree::Tree::Object(_) | tree::Tree::Array(_)]))
}
