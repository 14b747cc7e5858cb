//! The text of a schema, before it is parsed.

/// A schema that another refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name by which it is referred to: of Avro a type's full name, of Protobuf the path of an import.
    pub name: String,
    /// Its text. Of Protobuf also a base64 `FileDescriptorProto`.
    pub schema: String,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(pub String);

impl SchemaError {
    /// The error of a parser, in one line.
    pub(super) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string().replace('\n', " "))
    }
}
