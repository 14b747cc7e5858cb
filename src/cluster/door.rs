//! Where a process waits for the others, and knocks at theirs.
//!
//! Nothing here depends on who is started first: a door is open before anything else is done, and a
//! process knocks until it is answered.

use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

pub use super::wire::Welcome;
use super::wire::{Answer, Challenge, FromFirst, Hello, PROTOCOL, Purpose};
use super::wire::{proof, reason, receive, send};
use super::{ClusterError, Members, Network, difference};
use crate::error::Error;
use crate::stop::Stop;

/// How long processes wait for each other, unless they do for ever.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long who knocks may take for its answer, and an address for the connection.
const HANDSHAKE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// A process of a cluster that listens for the others.
#[derive(Debug)]
pub struct Door {
    members: Members,
    listener: TcpListener,
}

/// A process, over its control connection.
#[derive(Debug)]
pub struct Peer {
    pub(super) process: usize,
    pub(super) address: String,
    pub(super) stream: TcpStream,
}

/// Who knocked, and on which connection.
struct Guest {
    process: usize,
    is_control: bool,
    stream: TcpStream,
}

/// A time after which no one waits any more; none: for ever.
#[derive(Clone, Copy)]
struct Deadline {
    patience: Option<Duration>,
    began: Instant,
}

impl Deadline {
    fn after(patience: Option<Duration>) -> Self {
        Self { patience, began: Instant::now() }
    }

    fn is_over(&self) -> bool {
        self.patience.is_some_and(|patience| self.began.elapsed() >= patience)
    }

    /// What is left, for a socket's timeout, which must not be zero.
    fn left(&self) -> Option<Duration> {
        let left = |patience: Duration| patience.saturating_sub(self.began.elapsed());
        self.patience.map(|patience| left(patience).max(Duration::from_millis(1)))
    }

    fn seconds(&self) -> u64 {
        self.patience.unwrap_or_default().as_secs()
    }
}

impl Door {
    /// Listens at this process's address.
    pub fn open(members: Members) -> Result<Self, ClusterError> {
        let address = &members.addresses[members.process];
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let failed = |source| {
            let (process, address) = (members.process, address.clone());
            ClusterError::Listen { process, address, source }
        };
        let listener = listen().map_err(failed)?;
        Ok(Self { members, listener })
    }

    /// In process 0: waits until all others are there, and tells them where the job goes on. None if the
    /// process was asked to stop meanwhile.
    pub fn gather(
        &self,
        welcome: &Welcome,
        patience: Option<Duration>,
        stop: &Stop,
    ) -> Result<Option<Vec<Peer>>, ClusterError> {
        let deadline = Deadline::after(patience);
        let mut others: Vec<Option<TcpStream>> = (1..self.members.count()).map(|_| None).collect();
        let all: Vec<_> = (1..self.members.count()).map(|process| self.name(process)).collect();
        tracing::info!("waiting for {}", all.join(", "));
        while others.iter().any(Option::is_none) {
            if stop.requested() {
                return Ok(None);
            }
            if deadline.is_over() {
                let missing = (1..).zip(&others).filter(|(_, other)| other.is_none());
                let missing: Vec<_> = missing.map(|(process, _)| self.name(process)).collect();
                return Err(ClusterError::Missing {
                    missing: missing.join(", "),
                    seconds: deadline.seconds(),
                });
            }
            match self.accept() {
                // One that was started again takes the place of its former self.
                Some(guest) if guest.is_control => others[guest.process - 1] = Some(guest.stream),
                Some(_) => {}
                None => std::thread::sleep(PAUSE),
            }
        }
        let peer = |(process, stream): (usize, TcpStream)| {
            let mut peer = Peer { process, address: self.members.addresses[process].clone(), stream };
            let welcome = FromFirst::Welcome(welcome.clone());
            send(&mut peer.stream, &welcome).map_err(|error| peer.lost(&error))?;
            Ok(peer)
        };
        (1..).zip(others.into_iter().flatten()).map(peer).collect::<Result<_, _>>().map(Some)
    }

    /// In the others: knocks at process 0's door until it says where the job goes on. None if the process
    /// was asked to stop meanwhile.
    pub fn join(
        &self,
        patience: Option<Duration>,
        stop: &Stop,
    ) -> Result<Option<(Peer, Welcome)>, ClusterError> {
        let deadline = Deadline::after(patience);
        let mut told = false;
        while !stop.requested() {
            let error = match self.ask_for_welcome(deadline)? {
                Ok(joined) => return Ok(Some(joined)),
                Err(error) => error,
            };
            if deadline.is_over() {
                return Err(self.no_answer(0, deadline, &error));
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!("waiting for {}: {}", self.name(0), reason(&error));
            }
            std::thread::sleep(PAUSE * 10);
        }
        Ok(None)
    }

    fn ask_for_welcome(&self, deadline: Deadline) -> Result<io::Result<(Peer, Welcome)>, ClusterError> {
        let knocked = self.knock(0, Purpose::Control { terms: self.members.terms.clone() }, deadline)?;
        let welcomed = knocked.and_then(|mut stream| {
            stream.set_read_timeout(deadline.left())?;
            match receive(&mut stream)? {
                FromFirst::Welcome(welcome) => {
                    let address = self.members.addresses[0].clone();
                    Ok((Peer { process: 0, address, stream }, welcome))
                }
                _ => Err(io::Error::other("it did not say where the job goes on")),
            }
        });
        Ok(welcomed)
    }

    /// Connects with every other process, for timely: with those before this one by knocking there, with
    /// those behind it by waiting as long as `check` finds nothing wrong.
    pub fn connect(&self, mut check: impl FnMut() -> Result<(), Error>) -> Result<Network, Error> {
        let deadline = Deadline::after(Some(PATIENCE));
        let process = self.members.process;
        let mut sockets: Vec<Option<TcpStream>> = (0..self.members.count()).map(|_| None).collect();
        for (other, socket) in sockets.iter_mut().enumerate().take(process) {
            // It is there, as it was welcomed too.
            let stream = self.knock(other, Purpose::Data, deadline)?;
            *socket = Some(stream.map_err(|error| self.no_answer(other, deadline, &error))?);
        }
        while let Some(missing) = (process + 1..self.members.count()).find(|other| sockets[*other].is_none())
        {
            check()?;
            if deadline.is_over() {
                let (missing, seconds) = (self.name(missing), deadline.seconds());
                return Err(ClusterError::Missing { missing, seconds }.into());
            }
            match self.accept() {
                Some(guest) if !guest.is_control => sockets[guest.process] = Some(guest.stream),
                Some(_) => {}
                None => std::thread::sleep(PAUSE),
            }
        }
        // Timely's threads wait for messages as long as it takes.
        for socket in sockets.iter().flatten() {
            let wait = || socket.set_read_timeout(None).and_then(|()| socket.set_write_timeout(None));
            wait().map_err(|source| Error::System { verb: "set up a connection", source })?;
        }
        Ok(Network { process, sockets })
    }

    /// Lets in who knocks, if anyone does and fits.
    fn accept(&self) -> Option<Guest> {
        let (stream, from) = self.listener.accept().ok()?;
        self.ask(stream).inspect_err(|error| tracing::warn!("refused {from}: {}", reason(error))).ok()
    }

    fn ask(&self, mut stream: TcpStream) -> io::Result<Guest> {
        set_up(&stream)?;
        let nonce = rand::random();
        send(&mut stream, &Challenge { nonce })?;
        let hello: Hello = receive(&mut stream)?;
        let answer = match self.objection(&hello, &nonce) {
            Some(objection) => Answer::Refused(objection),
            None => Answer::Accepted,
        };
        send(&mut stream, &answer)?;
        match answer {
            Answer::Refused(objection) => {
                Err(io::Error::other(format!("process {}: {objection}", hello.process)))
            }
            Answer::Accepted => {
                let is_control = matches!(hello.purpose, Purpose::Control { .. });
                Ok(Guest { process: hello.process, is_control, stream })
            }
        }
    }

    /// Why a process that knocks does not fit.
    fn objection(&self, hello: &Hello, nonce: &[u8; 32]) -> Option<String> {
        let Members { process, secret, terms, .. } = &self.members;
        if hello.protocol != PROTOCOL {
            let other = &hello.protocol;
            return Some(format!("it is `{other}`, this is `{PROTOCOL}`; run one version everywhere"));
        }
        if hello.proof != proof(secret, nonce, hello.process) {
            return Some(
                "it does not know the secret; give all processes the same cluster_secret_file".into(),
            );
        }
        if hello.process <= *process || hello.process >= self.members.count() {
            let (other, count) = (hello.process, self.members.count());
            return Some(format!(
                "it is process {other}, where {count} are numbered from 0 and {process} is taken; give each its own --process, and all the same --processes"
            ));
        }
        let Purpose::Control { terms: others } = &hello.purpose else { return None };
        let (key, here, there) = difference("", terms, others)?;
        Some(format!(
            "`{key}` is {here} in process {process} and {there} in process {}; give all processes the same configuration",
            hello.process
        ))
    }

    /// Knocks at a process's door. The outer error is for good.
    fn knock(
        &self,
        process: usize,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<io::Result<TcpStream>, ClusterError> {
        let hello = || -> io::Result<(TcpStream, Answer)> {
            let mut stream = reach(&self.members.addresses[process])?;
            set_up(&stream)?;
            // Who is busy yet answers later.
            stream.set_read_timeout(deadline.left())?;
            let Challenge { nonce } = receive(&mut stream)?;
            let proof = proof(&self.members.secret, &nonce, self.members.process);
            let (protocol, own) = (PROTOCOL.into(), self.members.process);
            send(&mut stream, &Hello { protocol, process: own, proof, purpose })?;
            let answer = receive(&mut stream)?;
            Ok((stream, answer))
        };
        match hello() {
            Ok((_, Answer::Refused(reason))) => Err(ClusterError::Refused { process, reason }),
            Ok((stream, Answer::Accepted)) => Ok(Ok(stream)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn name(&self, process: usize) -> String {
        format!("process {process} at {}", self.members.addresses[process])
    }

    fn no_answer(&self, process: usize, deadline: Deadline, error: &io::Error) -> ClusterError {
        let address = self.members.addresses[process].clone();
        ClusterError::NoAnswer { process, address, seconds: deadline.seconds(), reason: reason(error) }
    }
}

impl Peer {
    /// The same connection, to be heard by a thread of its own that takes `silence` for the end.
    pub(super) fn to_hear(&self, silence: Duration) -> Result<Self, Error> {
        let hear = || {
            let stream = self.stream.try_clone()?;
            stream.set_read_timeout(Some(silence))?;
            Ok(Self { process: self.process, address: self.address.clone(), stream })
        };
        hear().map_err(|source| Error::System { verb: "share a connection", source })
    }

    pub(super) fn lost(&self, error: &io::Error) -> ClusterError {
        let (process, address) = (self.process, self.address.clone());
        ClusterError::Lost { process, address, reason: reason(error) }
    }
}

/// Connects with the first address of a name that answers.
fn reach(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, HANDSHAKE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Small messages go at once, and no one is waited for without end.
fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    stream.set_read_timeout(Some(HANDSHAKE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Form;
    use serde_json::json;
    use std::thread::scope;

    const SHORT: Option<Duration> = Some(Duration::from_millis(100));
    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    /// The members of a cluster, on ports that were free just now.
    fn members(count: usize) -> Vec<Members> {
        let free: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> =
            free.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let member = |process| Members {
            process,
            addresses: addresses.clone(),
            secret: b"secret".into(),
            terms: json!({ "job": "a" }),
        };
        (0..count).map(member).collect()
    }

    fn welcome() -> Welcome {
        Welcome {
            epoch: 7,
            offsets: Vec::new(),
            form: Form { job: "a".into(), text: None, lines: [].into() },
        }
    }

    #[test]
    fn all_meet_whoever_knocks_first() {
        let mut members = members(3);
        let last = members.pop().unwrap();
        let stop = Stop::default();
        let follow = |members: Members| {
            let door = Door::open(members).unwrap();
            let (peer, welcome) = door.join(LONG, &stop).unwrap().unwrap();
            assert_eq!((peer.process, welcome.epoch), (0, 7));
            door.connect(|| Ok(())).unwrap()
        };
        scope(|threads| {
            let second = members.pop().unwrap();
            let early = threads.spawn(|| follow(last));
            let first = Door::open(members.pop().unwrap()).unwrap();
            let late = threads.spawn(|| follow(second));
            let peers = first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
            assert_eq!(peers.iter().map(|peer| peer.process).collect::<Vec<_>>(), [1, 2]);
            let connected =
                |network: Network| network.sockets.iter().map(Option::is_some).collect::<Vec<_>>();
            assert_eq!(connected(first.connect(|| Ok(())).unwrap()), [false, true, true]);
            assert_eq!(connected(late.join().unwrap()), [true, false, true]);
            assert_eq!(connected(early.join().unwrap()), [true, true, false]);
        });
    }

    #[test]
    fn who_is_missing_is_named() {
        let members = members(3);
        let stop = Stop::default();
        let second = Door::open(members[1].clone()).unwrap();
        let error = second.join(SHORT, &stop).unwrap_err().to_string();
        assert!(error.contains("process 0 at 127.0.0.1") && error.contains("--wait"), "{error}");
        let first = Door::open(members[0].clone()).unwrap();
        let error = first.gather(&welcome(), SHORT, &stop).unwrap_err().to_string();
        assert!(error.contains("process 1 at") && error.contains("process 2 at"), "{error}");
        stop.request();
        assert!(first.gather(&welcome(), None, &stop).unwrap().is_none());
        assert!(second.join(None, &stop).unwrap().is_none());
    }

    #[test]
    fn who_does_not_fit_is_refused_in_a_sentence() {
        let members = members(2);
        let first = Door::open(members[0].clone()).unwrap();
        let refused = |other: Members| {
            let door = Door::open(other).unwrap();
            let (stop, over) = (Stop::default(), Stop::default());
            scope(|threads| {
                let gather = threads.spawn(|| first.gather(&welcome(), None, &over));
                let error = door.join(LONG, &stop).unwrap_err();
                over.request();
                assert!(gather.join().unwrap().unwrap().is_none(), "it waits on");
                assert!(matches!(error, ClusterError::Refused { process: 0, .. }));
                error.to_string()
            })
        };
        let second = &members[1];
        let said = refused(Members { terms: json!({ "job": "b" }), ..second.clone() });
        assert!(said.contains("`job` is \"a\" in process 0 and \"b\" in process 1"), "{said}");
        let said = refused(Members { secret: b"other".into(), ..second.clone() });
        assert!(said.contains("cluster_secret_file"), "{said}");
    }
}
