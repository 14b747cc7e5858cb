//! A job that runs in several processes.
//!
//! ```text
//!              mutual proofs, terms       welcome: last commit, offsets          reads, stop, ended
//! process 1, 2… ---------------> process 0 ------------------------> process 1, 2… ------------> process 0
//!                                    '--------------------- epochs, pressure, stop, end -----------> all
//! each pair of processes: timely's connection for records, rows and progress
//! ```
//!
//! - A hosts file, the same on all machines, has the address of each process, one `host:port` per line, process 0
//!   first. Each process accepts all connections on this one port; their first message names their purpose.
//! - Process 0 has the store, the files and the commit thread, and its clock mints epochs; those of the
//!   others follow it ([`crate::runtime::clock`]). Partitions are assigned to the workers of all processes.
//! - Both ends of a connection prove that they know the cluster's secret, and compare their terms: the
//!   configuration without machine-specific settings. The secret is optional only if all processes run on one machine.
//! - If a process is lost, all others exit with an error. Uncommitted input is read again.
//!
//! | file | does |
//! |---|---|
//! | [`endpoint`] | waits until all processes are connected |
//! | [`connector`] | connects to other processes and authenticates |
//! | [`listener`] | accepts and authenticates connections |
//! | [`peer`] | another process, with its control connection |
//! | [`control`] | the control messages between process 0 and the others while the job runs |
//! | [`wire`] | the message formats |

mod connector;
pub mod control;
pub mod endpoint;
mod listener;
pub mod peer;
mod wire;

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Once};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

use self::wire::PROTOCOL;
use crate::config::{Config, ConfigError, Kafka, read_secret};
use crate::runtime::reload::{Reloaded, Reloads};
use crate::runtime::secret::{ExposeSecret, SecretString};

/// Why a cluster cannot start, or ended.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The process cannot listen on its address.
    #[error(
        "process {process} cannot listen on {address}: {source}; stop the program that uses it, or choose another address in the --hosts file of every process"
    )]
    Listen {
        /// This process.
        process: usize,
        /// Its address.
        address: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Other processes did not connect.
    #[error(
        "{missing} did not connect within {seconds} s; start the missing processes, or give all processes --wait"
    )]
    Missing {
        /// The processes, with their addresses.
        missing: String,
        /// The timeout.
        seconds: u64,
    },
    /// Another process did not answer.
    #[error(
        "process {process} at {address} did not answer within {seconds} s ({reason}); start it, or give all processes --wait"
    )]
    NoAnswer {
        /// The process.
        process: usize,
        /// Its configured address.
        address: String,
        /// The timeout.
        seconds: u64,
        /// The last error.
        reason: String,
    },
    /// Another process rejects this one.
    #[error("process {process} rejects this process: {reason}")]
    Refused {
        /// The other process.
        process: usize,
        /// The reason, with the next step.
        reason: String,
    },
    /// The server at the address does not know the secret.
    #[error(
        "the server at {address} is not process {process} of this cluster: it does not know the cluster secret; check what listens there, and correct --hosts"
    )]
    WrongSecret {
        /// The expected process.
        process: usize,
        /// Its address.
        address: String,
    },
    /// The cluster already runs with all processes.
    #[error(
        "process {process} at {address} already runs the job with all its processes; stop the job first, or give --wait to join after it ends"
    )]
    Complete {
        /// The process that answered.
        process: usize,
        /// Its address.
        address: String,
    },
    /// The connection to a process was lost.
    #[error(
        "lost process {process} at {address} ({reason}); check its log and restart all processes: the job continues from its last commit"
    )]
    Lost {
        /// The process.
        process: usize,
        /// Its address.
        address: String,
        /// How the loss was noticed.
        reason: String,
    },
    /// Another process reported a failure.
    #[error("{0}")]
    Failed(String),
    /// A view needs a backfill, which a cluster does not support.
    #[error(
        "view `{0}` needs a backfill, which only a single process can do; run the job once without --processes until the view is filled, then stop it"
    )]
    Unfilled(String),
}

/// The processes of a cluster. Has no `Debug`, because it contains the secret.
#[derive(Clone)]
pub struct Members {
    /// The index of this process.
    process: usize,
    /// The address of each process.
    addresses: Vec<String>,
    /// The cluster secret; empty if none is required.
    secret: Arc<Reloaded<SecretString>>,
    /// The protocol version; only equal builds can work together.
    protocol: &'static str,
    /// The configuration that all processes must share.
    terms: Value,
}

impl Members {
    /// The cluster of a configuration; None for a single process.
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
                "it has addresses for {lines} of {processes} processes: give one line `host:port` for each process"
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
            return Err(wrong("two processes have the same address: give each its own".into()));
        }
        let secret = match &config.cluster_secret_file {
            Some(path) => {
                let path = path.clone();
                reloads.watch("cluster_secret_file", move || read_secret("cluster_secret_file", &path))?
            }
            None if is_open(&addresses[config.process]) => {
                return Err(wrong(format!(
                    "other machines can reach {}: give all processes the same cluster_secret_file, for example from `openssl rand -hex 32`",
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

    /// The address of each process.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Whether the cluster has a secret.
    pub fn has_secret(&self) -> bool {
        !self.secret.get().expose_secret().is_empty()
    }

    /// Listens on this process's address.
    pub fn listen(&self) -> Result<TcpListener, ClusterError> {
        let (process, address) = (self.process, self.addresses[self.process].clone());
        TcpListener::bind(&address).map_err(|source| ClusterError::Listen { process, address, source })
    }
}

/// Whether other machines can reach the address. An address that does not resolve fails later, in `listen`.
fn is_open(address: &str) -> bool {
    address.to_socket_addrs().is_ok_and(|mut all| all.any(|address| !address.ip().is_loopback()))
}

fn unusable(key: &'static str, path: &Path, source: &std::io::Error) -> ConfigError {
    let reason = format!("cannot read it: {source}; give an existing, readable file");
    ConfigError::Value { key, value: path.display().to_string(), reason }
}

/// The configuration that all processes must share: everything except machine-specific settings.
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
        views: None,
        kafka: Kafka {
            topic: config.kafka.topic.clone(),
            start: config.kafka.start.clone(),
            ..Kafka::default()
        },
        ..config.clone()
    };
    let mut terms = serde_json::to_value(&common).unwrap_or_default();
    if let Some(terms) = terms.as_object_mut() {
        terms.insert("views".into(), config.sql.as_ref().map(|script| script.digest()).into());
    }
    terms
}

/// The first key whose value differs between two processes, with both values.
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

/// Timely's connections to the other processes.
#[derive(Debug)]
pub struct Network {
    process: usize,
    /// One for each process; None for this process.
    sockets: Vec<Option<TcpStream>>,
}

impl Network {
    /// The allocators of this process's workers, and a guard to keep while they run.
    pub fn build(self, workers: usize) -> std::io::Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>)> {
        silence_lost_connections();
        let local = ProcessBuilder::new_typed_vector(workers, Hooks::default().refill, None);
        let (builders, guard) =
            initialize_networking_from_sockets(local, self.sockets, self.process, workers, Hooks::default())?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
    }
}

/// How long a worker is held that cannot unwind; the process has exited long before.
const HELD: Duration = Duration::from_secs(60);

/// Whether a worker is held.
static IS_HELD: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread has panicked because a connection broke.
    static HAS_LOST: Cell<bool> = const { Cell::new(false) };
}

/// Whether a worker met a broken connection again while it unwound, and is held since.
pub fn has_held_worker() -> bool {
    IS_HELD.load(SeqCst)
}

/// Suppresses the backtraces of timely's threads, which panic when a connection breaks. The control connection reports
/// the loss in one sentence.
///
/// A worker that unwinds drops what it was sending, and timely then sends the rest: it panics again, and Rust aborts
/// the process before that sentence. Such a worker is held until the process exits.
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
            } else if HAS_LOST.replace(true) {
                IS_HELD.store(true, SeqCst);
                std::thread::sleep(HELD);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_specific_settings_may_differ_and_other_differences_are_named() {
        let one = Config { out: "a".into(), listen: "off".into(), wait: true, ..Config::default() };
        let mut other = Config { out: "b".into(), process: 1, ..Config::default() };
        assert_eq!(difference("", &terms(&one), &terms(&other)), None);
        other.limits.epochs_in_flight = 5;
        let (one, other) = (terms(&one), terms(&other));
        let (key, a, b) = difference("", &one, &other).unwrap();
        assert_eq!(
            (&*key, a.to_string(), b.to_string()),
            ("limits.epochs_in_flight", "3".into(), "5".into())
        );
    }

    #[test]
    fn a_secret_is_required_if_other_machines_can_connect() {
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
    fn a_hosts_file_needs_a_distinct_address_for_each_process() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        let members = |text: &str| {
            std::fs::write(&hosts, text).unwrap();
            let config = Config { processes: 2, hosts: Some(hosts.clone()), ..Config::default() };
            Members::of(&config, &Reloads::default()).map(|members| members.unwrap().addresses)
        };
        assert_eq!(members("a:1\n b:2 \n\nc:3\n").unwrap(), ["a:1", "b:2"]);
        for (text, reason) in [
            ("a:1\n", "1 of 2 processes"),
            ("a:1\nb", "`b` is not a `host:port`"),
            ("a:1\na:1", "same address"),
        ] {
            let error = members(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
