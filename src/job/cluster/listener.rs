//! Accepts connections on a process's cluster port.
//!
//! Any client that reaches the port can connect. Each handshake runs on its own thread with a timeout, so that a
//! silent client does not block others. If too many handshakes are pending, the oldest is disconnected. Only
//! connections that have authenticated, and are still needed, are handed over.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::{Answer, Challenge, Greeting, Hello, MAX_UNAUTHENTICATED, Purpose, Side, Until};
use super::wire::{proof, reason, receive, receive_up_to, send, shown};
use super::{Members, difference};
use crate::job::error::JobError;
use crate::runtime::secret::{self, ExposeSecret};
use crate::runtime::thread::spawn;

/// Timeout of a handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause between polls for a new connection.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// Maximum number of pending handshakes.
const MAX_PENDING: usize = 64;
/// Refused connections are logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// An authenticated connection of another process.
#[derive(Debug)]
pub(super) struct Connection {
    pub process: usize,
    pub purpose: Purpose,
    pub stream: TcpStream,
}

/// The accepting thread.
pub(super) struct Listener {
    shared: Arc<Shared>,
    accepted: Mutex<Receiver<Connection>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    members: Members,
    /// Clients in a handshake, in the order of their connection.
    pending: Mutex<BTreeMap<u64, TcpStream>>,
    /// The purposes that need no more connections. Locked while a connection is handed over.
    closed: Mutex<Closed>,
    accepted: Sender<Connection>,
    refusals: Mutex<RefusalLog>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Closed {
    control: bool,
    data: bool,
}

impl Closed {
    fn of(&mut self, purpose: Purpose) -> &mut bool {
        match purpose {
            Purpose::Control => &mut self.control,
            Purpose::Data => &mut self.data,
        }
    }
}

#[derive(Default)]
struct RefusalLog {
    logged: Option<Instant>,
    suppressed: u64,
}

impl Listener {
    /// Starts accepting connections.
    pub(super) fn start(members: Members, listener: TcpListener) -> Result<Self, JobError> {
        let (sender, accepted) = channel();
        let shared = Arc::new(Shared {
            members,
            pending: Mutex::default(),
            closed: Mutex::default(),
            accepted: sender,
            refusals: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let own = shared.clone();
        let thread = Some(spawn("listener", move || own.accept_from(&listener))?);
        Ok(Self { shared, accepted: Mutex::new(accepted), thread })
    }

    /// The next authenticated connection; None if there is none for [`PAUSE`].
    pub(super) fn accepted(&self) -> Option<Connection> {
        lock(&self.accepted).recv_timeout(PAUSE).ok()
    }

    /// Refuses further connections for `purpose`. Returns those that were accepted but not yet taken.
    pub(super) fn close(&self, purpose: Purpose) -> Vec<Connection> {
        let mut closed = lock(&self.shared.closed);
        *closed.of(purpose) = true;
        lock(&self.accepted).try_iter().collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(
                "the cluster's listener thread panicked; this is a bug in truckflow, please report it"
            );
        }
    }
}

impl Shared {
    fn accept_from(self: &Arc<Self>, listener: &TcpListener) {
        for number in 0.. {
            let (stream, from) = loop {
                if self.is_over.load(SeqCst) {
                    return lock(&self.pending).values().for_each(disconnect);
                }
                // After an error, the next connection may still succeed.
                match listener.accept() {
                    Ok(accepted) => break accepted,
                    Err(_) => std::thread::sleep(PAUSE),
                }
            };
            let Ok(copy) = stream.try_clone() else { continue };
            {
                let mut pending = lock(&self.pending);
                if pending.len() >= MAX_PENDING
                    && let Some((_, oldest)) = pending.pop_first()
                {
                    disconnect(&oldest);
                }
                pending.insert(number, copy);
            }
            let own = self.clone();
            let spawned = spawn("handshake", move || {
                let result = own.handshake(stream);
                lock(&own.pending).remove(&number);
                if let Err(error) = result {
                    own.log_refusal(&from.to_string(), &reason(&error));
                }
            });
            if spawned.is_err() {
                lock(&self.pending).remove(&number);
            }
        }
    }

    fn handshake(&self, stream: TcpStream) -> io::Result<()> {
        set_up(&stream)?;
        let mut until = Until { stream: &stream, end: Instant::now() + HANDSHAKE };
        let nonce = rand::random();
        send(&mut until, &Challenge { protocol: self.members.protocol.into(), nonce })?;
        let hello: Hello = receive_up_to(MAX_UNAUTHENTICATED, &mut until)?;
        let refused = |objection: &str| io::Error::other(format!("process {}: {objection}", hello.from));
        if let Some(objection) = self.objection(&hello, &nonce) {
            send(&mut until, &Greeting::Refused(objection.clone()))?;
            return Err(refused(&objection));
        }
        let secret = self.members.secret.get();
        let proof = proof(secret.expose_secret().as_bytes(), Side::Accepts, &nonce, &hello);
        send(&mut until, &Greeting::Known { proof })?;
        if hello.purpose == Purpose::Control {
            let terms: Value = receive(&mut until)?;
            if let Some(objection) = self.objection_to(&terms, hello.from) {
                send(&mut until, &Answer::Refused(objection.clone()))?;
                return Err(refused(&objection));
            }
        }
        self.hand_over(hello.from, hello.purpose, stream)
    }

    fn hand_over(&self, process: usize, purpose: Purpose, mut stream: TcpStream) -> io::Result<()> {
        set_up(&stream)?;
        let mut closed = lock(&self.closed);
        if *closed.of(purpose) {
            send(&mut stream, &Answer::Complete)?;
            return Err(io::Error::other(format!("process {process}: all processes are already connected")));
        }
        send(&mut stream, &Answer::Accepted)?;
        // Fails only while the endpoint is being dropped.
        let _ = self.accepted.send(Connection { process, purpose, stream });
        Ok(())
    }

    /// Why a client is refused, if it is.
    fn objection(&self, hello: &Hello, nonce: &[u8; 32]) -> Option<String> {
        let Members { process, secret, protocol, .. } = &self.members;
        if hello.protocol != *protocol {
            let other = shown(&hello.protocol);
            return Some(format!(
                "it is `{other}`, this process is `{protocol}`; run the same build everywhere"
            ));
        }
        let secret = secret.get();
        let expected = proof(secret.expose_secret().as_bytes(), Side::Connects, nonce, hello);
        if !secret::is_same(&hello.proof, &expected) {
            return Some(
                "it does not know the cluster secret; give all processes the same cluster_secret_file".into(),
            );
        }
        if hello.to != *process {
            return Some(format!(
                "it expects process {}, but this is process {process}; give all processes the same --hosts",
                hello.to
            ));
        }
        if hello.from <= *process || hello.from >= self.members.count() {
            let (other, count) = (hello.from, self.members.count());
            return Some(format!(
                "its --process is {other}, but must be less than {count} and greater than {process}, which this process has; give each process its own --process, and all the same --processes"
            ));
        }
        None
    }

    fn objection_to(&self, others: &Value, from: usize) -> Option<String> {
        let Members { process, terms, .. } = &self.members;
        let (key, here, there) = difference("", terms, others)?;
        Some(format!(
            "`{key}` is {here} in process {process} and {there} in process {from}; give all processes the same configuration"
        ))
    }

    /// Logs a refused connection, rate-limited so that unknown clients cannot fill the log.
    fn log_refusal(&self, from: &str, reason: &str) {
        let mut refusals = lock(&self.refusals);
        if refusals.logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY) {
            refusals.suppressed += 1;
            return;
        }
        refusals.logged = Some(Instant::now());
        match std::mem::take(&mut refusals.suppressed) {
            0 => tracing::warn!("refused {from}: {reason}"),
            suppressed => {
                tracing::warn!(
                    "refused {from}: {reason}; and {suppressed} others since the last such message"
                )
            }
        }
    }
}

/// Sends small messages immediately, and sets timeouts.
pub(super) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    stream.set_read_timeout(Some(HANDSHAKE))
}

fn disconnect(client: &TcpStream) {
    // Fails if the client has already disconnected.
    let _ = client.shutdown(std::net::Shutdown::Both);
}

/// Nothing panics while these locks are held, so poisoning can be ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
