//! The values of messages whose schemas are in a registry.

use std::sync::Arc;

use codec::decode::{Lookup, SchemaFormat, Schemas as _, confluent};

use super::error::InitError;
use super::propose::{self, Value};
use crate::command::check::kafka::await_schemas;
use crate::command::error::Error;
use crate::registry::{Login, Registry, RegistryOptions};
use crate::runtime::reload::Reloads;
use crate::source::sample::{Sample, Sampled};

/// The values of a sample.
pub(super) struct Decoded {
    /// The format of the messages.
    pub(super) format: propose::Format,
    /// The values of each message; none if it cannot be read.
    pub(super) values: Vec<Vec<Value>>,
}

/// The values of messages in the first format of which the registry has schemas.
pub(super) fn decode(sample: &Sample, of: &propose::Registry) -> Result<Decoded, Error> {
    let urls = of.url.clone().unwrap_or_default();
    let login = of.user.clone().map(|user| Login { user, password_file: of.password_file.clone() });
    for (format, name) in [(SchemaFormat::Avro, "avro"), (SchemaFormat::Protobuf, "protobuf")] {
        let (urls, login, authority) = (urls.clone(), login.clone(), of.authority.clone());
        let registry = started(&RegistryOptions { urls, format, login, authority }, sample)?;
        let values: Vec<Vec<Value>> =
            sample.messages.iter().map(|message| values(&registry, message).unwrap_or_default()).collect();
        if values.iter().any(|values| !values.is_empty()) {
            let format = propose::Format { name, separator: None, columns: None, registry: Some(of.clone()) };
            return Ok(Decoded { format, values });
        }
    }
    Err(InitError::Schemas { url: urls }.into())
}

/// A registry that has been asked for the schemas of a sample.
pub(super) fn started(options: &RegistryOptions, sample: &Sample) -> Result<Arc<Registry>, Error> {
    let registry = Registry::start(options, &Reloads::default(), &Arc::default())?;
    registry.check()?;
    await_schemas(&registry, sample);
    Ok(registry)
}

fn values(registry: &Registry, message: &Sampled) -> Option<Vec<Value>> {
    let (id, body) = confluent::split(message.payload.as_deref()?).ok()?;
    let Lookup::Known(schema) = registry.get(id) else { return None };
    let tree = schema.decode(body)?.ok()?;
    Some(vec![Value::from(&tree)])
}
