//! A proposed `[message]` and `[record]`, field by field.

use std::path::PathBuf;

use crate::text::time::Unit;

/// A configuration that reads the messages of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Where the messages are.
    pub input: Input,
    /// What `[message]` says; none if the messages have the default form.
    pub message: Option<MessagePart>,
    /// Whether each message replaces the reading with its key.
    pub upsert: bool,
    /// The fields of `[record]`, in their order.
    pub fields: Vec<Field>,
    /// What a person should know, a sentence each.
    pub notes: Vec<String>,
}

/// Where messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The lines of a file with this path.
    File(String),
    /// A topic.
    Topic {
        /// Its name.
        name: String,
        /// The brokers that have it.
        brokers: String,
    },
}

impl Input {
    /// The path of the file, or the name of the topic.
    pub fn name(&self) -> &str {
        match self {
            Self::File(name) | Self::Topic { name, .. } => name,
        }
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// What `[message]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePart {
    /// How bytes become values.
    pub format: Format,
    /// JSON Pointers to the readings; empty: the whole message is one.
    pub root: Vec<String>,
    /// The field that is event time.
    pub time: String,
    /// The field that names the entity; none: the message's key does.
    pub key: Option<String>,
}

/// How bytes become values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// `auto`, `json`, `csv`, `avro` or `protobuf`.
    pub name: &'static str,
    /// The character between the values of a line.
    pub separator: Option<char>,
    /// The names of the values of a line, if no line has them.
    pub columns: Option<Vec<String>>,
    /// Whether messages begin with the id of a schema in a registry.
    pub registry: Option<Registry>,
}

/// A schema registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// Its URL, if it is known.
    pub url: Option<String>,
    /// Its user, if it requires a login.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The file with the certificates that it is trusted by.
    pub authority: Option<PathBuf>,
}

/// A field of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
    /// Where its values come from.
    pub source: Source,
    /// Whether a reading without it is rejected.
    pub required: bool,
    /// Whether a bad value becomes NULL.
    pub bad_is_null: bool,
    /// Texts that are NULL.
    pub nulls: Vec<String>,
    /// Whether it is only mentioned, as a comment.
    pub is_comment: bool,
    /// What was found, in a few words.
    pub found: String,
    /// What a person should know, a sentence each.
    pub notes: Vec<String>,
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A decimal.
    Number,
    /// An integer of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// A text.
    Text,
    /// A time: in ISO 8601, or as a schema declares it.
    Timestamp,
    /// A time as a count since 1970.
    Count(Unit),
    /// A time in a format of `strptime`.
    Format(String),
}

/// Where the values of a field come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A value of the reading, at these JSON Pointers, or under a key at the top.
    Reading(Vec<String>),
    /// A value of the message around the reading.
    Message(Vec<String>),
    /// A value in the key of the message; an empty list: the key itself.
    Key(Vec<String>),
    /// `kafka.timestamp`, `kafka.header.NAME` or `root.key`.
    From(String),
    /// An expression of other fields.
    Sql(String),
}
