//! Hears who knocks at a process's door, from when it is opened until the process ends.
//!
//! Whoever reaches the port may knock. Each is heard on a thread of its own, for a bounded time, so that one
//! that stays silent holds nobody up; when too many are heard at once, the one that takes longest is sent
//! away. Only those that have proven to belong here and still have a place are handed over.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::{Answer, Challenge, Greeting, Hello, LONGEST_OF_STRANGERS, Purpose, Side, Until};
use super::wire::{proof, reason, receive, receive_up_to, send, shown};
use super::{Members, difference};
use crate::job::error::JobError;
use crate::runtime::secret::{self, ExposeSecret};
use crate::runtime::thread::spawn;

/// How long someone may take to say who it is.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often it is looked whether someone knocks.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// How many are heard at once.
const STRANGERS: usize = 64;
/// Those who are sent away are told of at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// A process that has proven to belong to the cluster.
#[derive(Debug)]
pub(super) struct Guest {
    pub process: usize,
    pub purpose: Purpose,
    pub stream: TcpStream,
}

/// The thread that hears them.
pub(super) struct Porter {
    lobby: Arc<Lobby>,
    guests: Mutex<Receiver<Guest>>,
    thread: Option<JoinHandle<()>>,
}

struct Lobby {
    members: Members,
    /// Those who are heard, by the order in which they came.
    strangers: Mutex<BTreeMap<u64, TcpStream>>,
    /// Who has no place any more. Held while a guest is handed over.
    full: Mutex<Full>,
    guests: Sender<Guest>,
    sent_away: Mutex<SentAway>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Full {
    control: bool,
    data: bool,
}

impl Full {
    fn of(&mut self, purpose: Purpose) -> &mut bool {
        match purpose {
            Purpose::Control => &mut self.control,
            Purpose::Data => &mut self.data,
        }
    }
}

#[derive(Default)]
struct SentAway {
    told: Option<Instant>,
    untold: u64,
}

impl Porter {
    /// Begins to hear who knocks at `listener`.
    pub(super) fn start(members: Members, listener: TcpListener) -> Result<Self, JobError> {
        let (sender, guests) = channel();
        let lobby = Arc::new(Lobby {
            members,
            strangers: Mutex::default(),
            full: Mutex::default(),
            guests: sender,
            sent_away: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let own = lobby.clone();
        let thread = Some(spawn("door", move || own.stand_at(&listener))?);
        Ok(Self { lobby, guests: Mutex::new(guests), thread })
    }

    /// The next who has proven to belong here; none if nobody comes for a moment.
    pub(super) fn guest(&self) -> Option<Guest> {
        lock(&self.guests).recv_timeout(PAUSE).ok()
    }

    /// From now on nobody has a place for `purpose`; those that have not got theirs are given back.
    pub(super) fn close(&self, purpose: Purpose) -> Vec<Guest> {
        let mut full = lock(&self.lobby.full);
        *full.of(purpose) = true;
        lock(&self.guests).try_iter().collect()
    }
}

impl Drop for Porter {
    fn drop(&mut self) {
        self.lobby.is_over.store(true, SeqCst);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread at the cluster's door ended by a bug");
        }
    }
}

impl Lobby {
    fn stand_at(self: &Arc<Self>, listener: &TcpListener) {
        for number in 0.. {
            let (stream, from) = loop {
                if self.is_over.load(SeqCst) {
                    return lock(&self.strangers).values().for_each(send_away);
                }
                // Whatever else an error says, the next who knocks may be heard.
                match listener.accept() {
                    Ok(knock) => break knock,
                    Err(_) => std::thread::sleep(PAUSE),
                }
            };
            let Ok(copy) = stream.try_clone() else { continue };
            {
                let mut strangers = lock(&self.strangers);
                if strangers.len() >= STRANGERS
                    && let Some((_, slowest)) = strangers.pop_first()
                {
                    send_away(&slowest);
                }
                strangers.insert(number, copy);
            }
            let own = self.clone();
            let heard = spawn("knock", move || {
                let greeted = own.greet(stream);
                lock(&own.strangers).remove(&number);
                if let Err(error) = greeted {
                    own.tell_of(&from.to_string(), &reason(&error));
                }
            });
            if heard.is_err() {
                lock(&self.strangers).remove(&number);
            }
        }
    }

    fn greet(&self, stream: TcpStream) -> io::Result<()> {
        set_up(&stream)?;
        let mut until = Until { stream: &stream, end: Instant::now() + HANDSHAKE };
        let nonce = rand::random();
        send(&mut until, &Challenge { protocol: self.members.protocol.into(), nonce })?;
        let hello: Hello = receive_up_to(LONGEST_OF_STRANGERS, &mut until)?;
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
        let mut full = lock(&self.full);
        if *full.of(purpose) {
            send(&mut stream, &Answer::Complete)?;
            return Err(io::Error::other(format!("process {process}: all are there already")));
        }
        send(&mut stream, &Answer::Accepted)?;
        // A door that nobody is behind any more is about to close.
        let _ = self.guests.send(Guest { process, purpose, stream });
        Ok(())
    }

    /// Why someone that knocks is not let in.
    fn objection(&self, hello: &Hello, nonce: &[u8; 32]) -> Option<String> {
        let Members { process, secret, protocol, .. } = &self.members;
        if hello.protocol != *protocol {
            let other = shown(&hello.protocol);
            return Some(format!("it is `{other}`, this is `{protocol}`; run one build everywhere"));
        }
        let secret = secret.get();
        let expected = proof(secret.expose_secret().as_bytes(), Side::Connects, nonce, hello);
        if !secret::is_same(&hello.proof, &expected) {
            return Some(
                "it does not know the secret; give all processes the same cluster_secret_file".into(),
            );
        }
        if hello.to != *process {
            return Some(format!(
                "it knocks at process {}, this is process {process}; give all processes the same --hosts",
                hello.to
            ));
        }
        if hello.from <= *process || hello.from >= self.members.count() {
            let (other, count) = (hello.from, self.members.count());
            return Some(format!(
                "it is process {other}, where {count} are numbered from 0 and {process} is taken; give each its own --process, and all the same --processes"
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

    /// Says who was sent away, and does not let the log be filled by those who try.
    fn tell_of(&self, from: &str, reason: &str) {
        let mut sent_away = lock(&self.sent_away);
        if sent_away.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            sent_away.untold += 1;
            return;
        }
        sent_away.told = Some(Instant::now());
        match std::mem::take(&mut sent_away.untold) {
            0 => tracing::warn!("refused {from}: {reason}"),
            untold => {
                tracing::warn!("refused {from}: {reason}; and {untold} others since the last word of it")
            }
        }
    }
}

/// Small messages go at once, and no one is waited for without end.
pub(super) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    stream.set_read_timeout(Some(HANDSHAKE))
}

fn send_away(stranger: &TcpStream) {
    // It may be gone already.
    let _ = stranger.shutdown(std::net::Shutdown::Both);
}

/// Nothing panics while these locks are held, so a poisoned one is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
