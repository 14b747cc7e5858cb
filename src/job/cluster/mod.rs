//! Several processes that work on one job.
//!
//! ```text
//!              proofs of both, terms      welcome: last commit, offsets          reads, stop, ended
//! process 1, 2… ---------------> process 0 ------------------------> process 1, 2… ------------> process 0
//!                                    '--------------------- epochs, pressure, stop, end -----------> all
//! each pair of processes: timely's own connection, over which records, rows and progress go
//! ```
//!
//! - A file, the same on all machines, says where each process listens: a line `host:port` for each, the
//!   first is process 0's. All connections come to that one port, and say what they are for.
//! - Process 0 has the store, the files and the commit thread, and its clock mints epochs; those of the
//!   others follow it ([`crate::runtime::clock`]). Partitions are dealt over the workers of all.
//! - Whoever joins proves that it knows the cluster's secret, and so does whom it joins; both have the same
//!   terms: all of the configuration but what is a machine's own. Only where no other machine comes may
//!   there be no secret.
//! - A process that is gone ends all others with one sentence. What was not committed is read again.
//!
//! | file | does |
//! |---|---|
//! | [`door`] | waits for the others and connects with them |
//! | [`porter`] | hears whoever knocks at the door, and lets in who belongs there |
//! | [`control`] | what is said between process 0 and the others while they work |
//! | [`wire`] | the messages of both |

pub mod control;
pub mod door;
mod porter;
mod wire;

use std::any::Any;
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use serde_json::Value;
use thiserror::Error;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

use self::wire::PROTOCOL;
use crate::config::{Config, ConfigError, Kafka, read_secret};
use crate::runtime::reload::{Reloaded, Reloads};
use crate::runtime::secret::{ExposeSecret, SecretString};

/// Why a cluster does not come together, or ends.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The own address cannot be listened on.
    #[error(
        "process {process} cannot listen on {address}: {source}; stop what does, or give it another address in every process's --hosts"
    )]
    Listen {
        /// This process.
        process: usize,
        /// Its address.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Other processes did not come.
    #[error("{missing} did not come within {seconds} s; start what is missing, or give all --wait")]
    Missing {
        /// Which, and where they were to listen.
        missing: String,
        /// How long they were waited for.
        seconds: u64,
    },
    /// Another process does not answer.
    #[error(
        "process {process} at {address} did not answer within {seconds} s ({reason}); start it, or give all --wait"
    )]
    NoAnswer {
        /// The process.
        process: usize,
        /// Where it was to listen.
        address: String,
        /// How long it was tried.
        seconds: u64,
        /// What happened last.
        reason: String,
    },
    /// This process does not fit.
    #[error("process {process} refuses this one: {reason}")]
    Refused {
        /// Who refuses.
        process: usize,
        /// What does not fit, and what would.
        reason: String,
    },
    /// What answers is not the process.
    #[error(
        "what answers at {address} is not process {process} of this cluster, as it does not know the secret; look what listens there, and mend --hosts"
    )]
    Impostor {
        /// Who was to be there.
        process: usize,
        /// Where.
        address: String,
    },
    /// The cluster works already.
    #[error(
        "process {process} at {address} works with others already, and all are there; stop the job first, or give --wait to come when it has ended"
    )]
    Complete {
        /// Who says so.
        process: usize,
        /// Where it listens.
        address: String,
    },
    /// A process that worked is gone.
    #[error(
        "process {process} at {address} is gone ({reason}); look at what it said, and start all again: the job goes on from its last commit"
    )]
    Lost {
        /// The process.
        process: usize,
        /// Where it listened.
        address: String,
        /// How that was noticed.
        reason: String,
    },
    /// Another process failed, and said so.
    #[error("{0}")]
    Failed(String),
    /// A view cannot be filled.
    #[error(
        "view `{0}` has to be filled with what was before it, which one process does alone: run the job once without --processes until it is filled, and stop it then"
    )]
    Unfilled(String),
}

/// The processes of a cluster. Not to be shown: it holds the secret.
#[derive(Clone)]
pub struct Members {
    /// Which of them this is.
    process: usize,
    /// Where each of them listens.
    addresses: Vec<String>,
    /// What whoever joins has to know; empty where nobody has to.
    secret: Arc<Reloaded<SecretString>>,
    /// What builds have to share to work together.
    protocol: &'static str,
    /// What all have to have in common.
    terms: Value,
}

impl Members {
    /// The cluster that a configuration names; none if the process works alone.
    pub fn of(config: &Config, reloads: &Reloads) -> Result<Option<Self>, ConfigError> {
        let (Some(hosts), true) = (&config.hosts, config.processes > 1) else { return Ok(None) };
        let text = std::fs::read_to_string(hosts).map_err(|source| unusable("hosts", hosts, &source))?;
        let wrong =
            |reason: String| ConfigError::Value { key: "hosts", value: hosts.display().to_string(), reason };
        let mut addresses: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if addresses.len() < config.processes {
            let (lines, processes) = (addresses.len(), config.processes);
            return Err(wrong(format!(
                "it has {lines} of the {processes} lines: give a line `host:port` for each process"
            )));
        }
        addresses.truncate(config.processes);
        let is_address = |address: &str| {
            address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if let Some(other) = addresses.iter().find(|address| !is_address(address)) {
            return Err(wrong(format!("the line `{other}` is not a `host:port`")));
        }
        if addresses.iter().collect::<BTreeSet<_>>().len() < addresses.len() {
            return Err(wrong("two processes have the same line: give each its own".into()));
        }
        let secret = match &config.cluster_secret_file {
            Some(path) => {
                let path = path.clone();
                reloads.watch("cluster_secret_file", move || read_secret("cluster_secret_file", &path))?
            }
            None if is_open(&addresses[config.process]) => {
                return Err(wrong(format!(
                    "other machines reach {}: give all processes the same cluster_secret_file, such as `openssl rand -hex 32` makes one",
                    addresses[config.process]
                )));
            }
            None => Reloaded::fixed(SecretString::default()),
        };
        let (process, terms) = (config.process, terms(config));
        Ok(Some(Self { process, addresses, secret, protocol: PROTOCOL, terms }))
    }

    fn count(&self) -> usize {
        self.addresses.len()
    }

    /// Where each of them listens.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Whether who joins has to know a secret.
    pub fn has_secret(&self) -> bool {
        !self.secret.get().expose_secret().is_empty()
    }

    /// Listens where this process is to listen.
    pub fn listen(&self) -> Result<TcpListener, ClusterError> {
        let (process, address) = (self.process, self.addresses[self.process].clone());
        TcpListener::bind(&address).map_err(|source| ClusterError::Listen { process, address, source })
    }
}

/// Whether other machines reach an address of this one. What has no address cannot be listened on either.
fn is_open(address: &str) -> bool {
    address.to_socket_addrs().is_ok_and(|mut all| all.any(|address| !address.ip().is_loopback()))
}

fn unusable(key: &'static str, path: &Path, source: &std::io::Error) -> ConfigError {
    let reason = format!("cannot read it: {source}; give a file that is there");
    ConfigError::Value { key, value: path.display().to_string(), reason }
}

/// What all processes have to have in common: the configuration without what is a machine's own.
fn terms(config: &Config) -> Value {
    let common = Config {
        process: 0,
        hosts: None,
        cluster_secret_file: None,
        wait: false,
        out: PathBuf::new(),
        database: None,
        database_password_file: None,
        listen: String::new(),
        listen_token_file: None,
        kafka: Kafka { topic: config.kafka.topic.clone(), ..Kafka::default() },
        ..config.clone()
    };
    let mut terms = serde_json::to_value(&common).unwrap_or_default();
    if let Some(terms) = terms.as_object_mut() {
        terms.insert("selected views".into(), config.selected.clone().into());
    }
    terms
}

/// The first key under which two processes' terms differ, with both values.
fn difference<'a>(key: &str, a: &'a Value, b: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
        let of = |terms: &'a serde_json::Map<_, _>, inner| terms.get(inner).unwrap_or(&Value::Null);
        return keys.into_iter().find_map(|inner| {
            let name = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
            difference(&name, of(a, inner), of(b, inner))
        });
    }
    (a != b).then(|| (key.to_owned(), a, b))
}

/// Timely's connections with the other processes.
#[derive(Debug)]
pub struct Network {
    process: usize,
    /// One for each process, none with itself.
    sockets: Vec<Option<TcpStream>>,
}

impl Network {
    /// What `workers` workers of this process talk over, and what has to be held meanwhile.
    pub fn build(self, workers: usize) -> std::io::Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>)> {
        silence_lost_connections();
        let local = ProcessBuilder::new_typed_vector(workers, Hooks::default().refill, None);
        let (builders, guard) =
            initialize_networking_from_sockets(local, self.sockets, self.process, workers, Hooks::default())?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }
}

/// Timely's threads panic when a connection breaks. That is told in one sentence by who notices it on
/// the control connection, and not in a backtrace of each thread.
fn silence_lost_connections() {
    static ONCE: Once = Once::new();
    const LOST: [&str; 5] = [
        "timely communication error:",
        "Clean shutdown followed by data",
        "MergeQueue poisoned",
        "Send thread panic",
        "Recv thread panic",
    ];
    ONCE.call_once(|| {
        let other = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let said = panic.payload_as_str().unwrap_or_default();
            if !LOST.iter().any(|lost| said.starts_with(lost)) {
                other(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_machines_own_may_differ_and_what_is_not_is_named() {
        let one = Config { out: "a".into(), listen: "off".into(), wait: true, ..Config::default() };
        let mut other = Config { out: "b".into(), process: 1, ..Config::default() };
        assert_eq!(difference("", &terms(&one), &terms(&other)), None);
        other.settings.join_limit = 5;
        let (one, other) = (terms(&one), terms(&other));
        let (key, a, b) = difference("", &one, &other).unwrap();
        assert_eq!(
            (&*key, a.to_string(), b.to_string()),
            ("settings.join_limit", "10000".into(), "5".into())
        );
    }

    #[test]
    fn where_other_machines_come_there_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (hosts, secret) = (folder.path().join("hosts"), folder.path().join("secret"));
        let members = |first: &str, secret: Option<&Path>| {
            std::fs::write(&hosts, format!("{first}\n192.0.2.1:1\n")).unwrap();
            let cluster_secret_file = secret.map(Into::into);
            let config =
                Config { processes: 2, hosts: Some(hosts.clone()), cluster_secret_file, ..Config::default() };
            Members::of(&config, &Reloads::default()).map(|members| members.unwrap().has_secret())
        };
        for own in ["127.0.0.1:1", "localhost:1", "[::1]:1"] {
            assert!(!members(own, None).unwrap(), "{own}");
        }
        for open in ["0.0.0.0:1", "192.0.2.2:1", "[::]:1"] {
            let error = members(open, None).err().unwrap().to_string();
            assert!(error.contains(open) && error.contains("cluster_secret_file"), "{error}");
        }
        std::fs::write(&secret, "").unwrap();
        let error = members("0.0.0.0:1", Some(&secret)).err().unwrap().to_string();
        assert!(error.contains("it is empty"), "{error}");
        std::fs::write(&secret, "sesame\n").unwrap();
        assert!(members("0.0.0.0:1", Some(&secret)).unwrap());
    }

    #[test]
    fn a_hosts_file_has_a_line_of_its_own_for_each_process() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        let members = |text: &str| {
            std::fs::write(&hosts, text).unwrap();
            let config = Config { processes: 2, hosts: Some(hosts.clone()), ..Config::default() };
            Members::of(&config, &Reloads::default()).map(|members| members.unwrap().addresses)
        };
        assert_eq!(members("a:1\n b:2 \n\nc:3\n").unwrap(), ["a:1", "b:2"]);
        for (text, reason) in
            [("a:1\n", "1 of the 2 lines"), ("a:1\nb", "`b` is not a `host:port`"), ("a:1\na:1", "same line")]
        {
            let error = members(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
