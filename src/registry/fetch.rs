//! Fetches a schema with all that it refers to.

use std::collections::HashSet;

use codec::decode::{Reference, Schema, SchemaFormat};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::client::{Answer, Client};
use super::error::RegistryError;

/// How many schemas one may refer to, also indirectly.
const MAX_REFERENCES: usize = 1000;

/// What a registry has for an id.
#[derive(Debug)]
pub(super) enum Fetched {
    Schema(Schema),
    /// Nothing.
    Unknown,
    /// A schema that cannot be used, and why.
    Unusable(String),
}

/// A schema as a registry describes it.
#[derive(Deserialize)]
struct Described {
    schema: String,
    /// Absent for Avro.
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    references: Option<Vec<Referred>>,
}

/// A schema that another refers to.
#[derive(Clone, Deserialize, PartialEq, Eq, Hash)]
struct Referred {
    name: String,
    subject: String,
    version: i32,
}

/// What is wrong with a schema, or with the way to it.
enum Failure {
    Unusable(String),
    Registry(RegistryError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// The schema with this id.
pub(super) fn fetch(client: &mut Client, format: SchemaFormat, id: u32) -> Result<Fetched, RegistryError> {
    // Ids of a registry are positive integers of 32 bits with a sign.
    if i32::try_from(id).is_err() {
        return Ok(Fetched::Unknown);
    }
    let Answer::Found(content) = client.get(&format!("/schemas/ids/{id}{}", form(format)))? else {
        return Ok(Fetched::Unknown);
    };
    match parse(client, format, &content) {
        Ok(schema) => Ok(Fetched::Schema(schema)),
        Err(Failure::Unusable(reason)) => Ok(Fetched::Unusable(reason)),
        Err(Failure::Registry(error)) => Err(error),
    }
}

fn parse(client: &mut Client, format: SchemaFormat, content: &[u8]) -> Result<Schema, Failure> {
    let described = describe(client, content)?;
    let found = described.schema_type.as_deref().unwrap_or(SchemaFormat::Avro.name());
    if found != format.name() {
        let reason =
            format!("it is a schema of {found}, but message.format is {}", format.name().to_lowercase());
        return Err(Failure::Unusable(reason));
    }
    let mut references = Vec::new();
    if format != SchemaFormat::Json {
        let mut seen = HashSet::new();
        collect(client, format, described.references.unwrap_or_default(), &mut seen, &mut references)?;
    }
    Schema::parse(format, &described.schema, &references)
        .map_err(|error| Failure::Unusable(error.to_string()))
}

/// Appends all that is referred to, each behind those that it refers to itself.
fn collect(
    client: &mut Client,
    format: SchemaFormat,
    referred: Vec<Referred>,
    seen: &mut HashSet<Referred>,
    references: &mut Vec<Reference>,
) -> Result<(), Failure> {
    // Those that wait for what they refer to, with their own schema. In a loop: a registry decides how many follow
    // each other.
    let mut open = vec![(referred.into_iter(), None)];
    while let Some((among, own)) = open.last_mut() {
        let Some(next) = among.next() else {
            references.extend(own.take());
            open.pop();
            continue;
        };
        if !seen.insert(next.clone()) {
            continue;
        }
        if seen.len() > MAX_REFERENCES {
            return Err(Failure::Unusable(format!("it refers to more than {MAX_REFERENCES} schemas")));
        }
        let described = version(client, format, &next)?;
        let reference = Reference { name: next.name, schema: described.schema };
        open.push((described.references.unwrap_or_default().into_iter(), Some(reference)));
    }
    Ok(())
}

/// The version of a subject. It may be deleted: what refers to it may still be read.
fn version(client: &mut Client, format: SchemaFormat, of: &Referred) -> Result<Described, Failure> {
    let subject = utf8_percent_encode(&of.subject, NON_ALPHANUMERIC);
    let form = form(format).replace('?', "&");
    match client.get(&format!("/subjects/{subject}/versions/{}?deleted=true{form}", of.version))? {
        Answer::Found(content) => describe(client, &content),
        Answer::NotFound => Err(Failure::Unusable(format!(
            "it refers to version {} of `{}`, which the registry does not have",
            of.version, of.subject
        ))),
    }
}

/// Definitions of Protobuf are asked for in their compiled form. Some registries have only text.
fn form(format: SchemaFormat) -> &'static str {
    if format == SchemaFormat::Protobuf { "?format=serialized" } else { "" }
}

fn describe(client: &Client, content: &[u8]) -> Result<Described, Failure> {
    serde_json::from_slice(content).map_err(|_| {
        let reason = "it answers with something that is not a schema".into();
        Failure::Registry(RegistryError::Away { url: client.name(), reason })
    })
}
