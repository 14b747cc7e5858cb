//! The registry of a job: the schemas that its decoders ask for, and the thread that fetches them.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use codec::decode::{Lookup, SchemaFormat, Schemas};

use super::client::{Answer, Client};
use super::error::RegistryError;
use super::fetch::{Fetched, fetch};
use super::lookups::Lookups;
use super::options::RegistryOptions;
use crate::runtime::health::Health;
use crate::runtime::reload::Reloads;
use crate::runtime::retry::Pauses;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// The name in [`Health`].
const WHAT: &str = "schema registry";
/// How long a registry need not be asked again for an id that it does not know.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// The first and the longest pause between attempts while it is away.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// How often a wait checks whether a stop was requested.
const STEP: Duration = Duration::from_millis(100);

/// A schema registry. It ends with its last reference, without waiting for an answer.
#[derive(Debug)]
pub struct Registry {
    name: String,
    lookups: Arc<Lookups>,
    client: Arc<Mutex<Client>>,
}

impl Registry {
    /// Starts to fetch what is asked for. Does not connect before that. While the registry cannot be used, `health` has
    /// the reason. `reloads` reads password and certificates again.
    ///
    /// # Errors
    /// A URL or a file of the options cannot be used.
    pub fn start(
        options: &RegistryOptions,
        reloads: &Reloads,
        health: &Arc<Health>,
    ) -> Result<Arc<Self>, RegistryError> {
        let client = Client::new(options, reloads)?;
        let (name, client) = (client.name(), Arc::new(Mutex::new(client)));
        let lookups = Arc::new(Lookups::new(UNKNOWN_FOR));
        let fetches = Fetches {
            name: name.clone(),
            format: options.format,
            lookups: lookups.clone(),
            client: client.clone(),
            health: health.clone(),
        };
        spawn("schema registry", move || fetches.run())?;
        Ok(Arc::new(Self { name, lookups, client }))
    }

    /// Its URLs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects to it and logs in, once, for at most some seconds.
    ///
    /// # Errors
    /// It is [away](RegistryError::is_away), denies access, or has an untrusted certificate.
    pub fn check(&self) -> Result<(), RegistryError> {
        // Any answer will do: a registry that lacks this page may still have schemas.
        match unpoisoned(&self.client).get("/schemas/types") {
            Ok(Answer::Found(_) | Answer::NotFound) => Ok(()),
            // A user who may only read schemas.
            Err(RegistryError::Denied { status: 403, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until an id is known or unknown; or pending, if a stop is requested before.
    pub fn wait(&self, id: u32, stop: &Stop) -> Lookup {
        loop {
            match self.get(id) {
                Lookup::Pending if !stop.requested() => self.lookups.wait(id, STEP),
                found => return found,
            }
        }
    }
}

impl Schemas for Registry {
    fn get(&self, id: u32) -> Lookup {
        self.lookups.get(id)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.lookups.close();
    }
}

/// The work of the thread.
struct Fetches {
    name: String,
    format: SchemaFormat,
    lookups: Arc<Lookups>,
    client: Arc<Mutex<Client>>,
    health: Arc<Health>,
}

impl Fetches {
    fn run(self) {
        let pauses = || Pauses::new(PAUSES[0], PAUSES[1]);
        let mut pausing = pauses();
        while let Some(id) = self.lookups.next() {
            let fetched = fetch(&mut unpoisoned(&self.client), self.format, id);
            match fetched {
                Ok(fetched) => {
                    pausing = pauses();
                    if self.health.set_available(WHAT) {
                        tracing::info!("the schema registry {} is available again", self.name);
                    }
                    self.settle(id, fetched);
                }
                Err(error) => {
                    let reason = error.reason();
                    let said = format!("schema registry {} is not available: {reason}", self.name);
                    if self.health.set_unavailable(WHAT, said) {
                        tracing::warn!("{error}; messages wait, and it is tried again");
                    }
                    self.lookups.pause(pausing.pause());
                }
            }
        }
        self.health.set_available(WHAT);
    }

    fn settle(&self, id: u32, fetched: Fetched) {
        match fetched {
            Fetched::Schema(schema) => {
                tracing::info!(id, "fetched a schema from the schema registry");
                self.lookups.set_known(id, schema);
            }
            Fetched::Unknown => {
                tracing::warn!(
                    id,
                    "the schema registry does not know the id of a schema; messages with it become dead letters"
                );
                self.lookups.set_unknown(id);
            }
            Fetched::Unusable(reason) => {
                tracing::warn!(
                    id,
                    "a schema of the schema registry cannot be used: {reason}; messages with it become dead letters"
                );
                self.lookups.set_unusable(id);
            }
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
