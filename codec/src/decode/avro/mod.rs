//! Avro: data in its binary encoding, read with the schema of their writer.
//!
//! Readers find values by name, in the tree or once for each schema, so a writer may change its schema while a job runs.
//! <https://avro.apache.org/docs/1.12.0/specification/>

mod compile;
pub(super) mod datum;
pub(super) mod types;

use super::definition::{Reference, SchemaError};
use super::tree::Tree;
use super::undecodable::Undecodable;
use types::Types;

/// A schema with which data can be decoded.
///
/// ```
/// use codec::decode::avro::AvroSchema;
/// use codec::decode::tree::{Scalar, Tree};
///
/// let schema = r#"{"type": "record", "name": "Reading", "fields": [{"name": "speed", "type": ["null", "double"]}]}"#;
/// let schema = AvroSchema::parse(schema, &[])?;
/// let tree = schema.decode(b"\x02\0\0\0\0\0\0\x44\x40")?;
/// assert_eq!(tree.child("speed"), Some(&Tree::Scalar(Scalar::Double(40.0))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AvroSchema(Types);

impl AvroSchema {
    /// Parses the JSON text of a schema. `references` are the schemas whose names it uses, each behind those whose
    /// names it uses itself.
    ///
    /// # Errors
    /// It is not an Avro schema.
    pub fn parse(text: &str, references: &[Reference]) -> Result<Self, SchemaError> {
        compile::compile(text, references).map(Self)
    }

    /// The values of a datum.
    ///
    /// # Errors
    /// The bytes are not exactly one datum of this schema.
    pub fn decode<'a>(&'a self, datum: &'a [u8]) -> Result<Tree<'a>, Undecodable> {
        datum::decode(&self.0, datum)
    }

    /// Its types.
    pub(super) fn types(&self) -> &Types {
        &self.0
    }
}
