//! Why nothing is proposed.

use thiserror::Error;

use crate::text::printable::printable;

/// Why no configuration can be proposed for messages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// There is nothing to read.
    #[error(
        "there are no messages to propose a configuration from; send some first, or give another topic or file"
    )]
    Empty,
    /// All messages are tombstones.
    #[error("none of the sampled messages has a value; give a topic with readings")]
    Tombstones,
    /// The messages begin with ids of schemas.
    #[error(
        "the messages have the 5-byte header of a schema registry (ids of schemas: {}); give the registry's URL with \
         --registry",
        list(ids)
    )]
    Registry {
        /// The ids.
        ids: Vec<u32>,
    },
    /// A format that is known and not supported.
    #[error("the messages are {0}, which is not supported yet; send JSON, CSV, Avro or Protobuf")]
    Unsupported(&'static str),
    /// A JSON document that spans lines.
    #[error(
        "the file is one JSON document over several lines; write one reading per line, for example with `jq -c`"
    )]
    Document,
    /// Nothing known.
    #[error("the messages are neither JSON nor CSV: `{}`; name their format in [message]", printable(.0))]
    Unknown(String),
    /// Values without objects.
    #[error("no reading was found in the messages: they have neither objects nor lists of values")]
    NoReadings,
}

fn list(ids: &[u32]) -> String {
    let mut texts: Vec<String> = ids.iter().take(5).map(u32::to_string).collect();
    texts.extend((ids.len() > 5).then(|| "…".to_owned()));
    texts.join(", ")
}
