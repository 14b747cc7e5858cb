//! Where a process waits for the others, and knocks at theirs.
//!
//! Nothing here depends on who is started first: a door is open before anything else is done, and a
//! process knocks until it is answered.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use super::porter::{HANDSHAKE, Porter, set_up};
pub use super::wire::Welcome;
use super::wire::{Answer, Challenge, FromFirst, Greeting, Hello, LONGEST_OF_STRANGERS, Purpose};
use super::wire::{Side, Until, proof, reason, receive, receive_up_to, send, shown};
use super::{ClusterError, Members, Network};
use crate::job::error::JobError;
use crate::runtime::failure::SystemError;
use crate::runtime::secret::{self, ExposeSecret};
use crate::runtime::stop::Stop;

/// How long processes wait for each other, unless they do for ever.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often one knocks.
const KNOCK_EVERY: Duration = Duration::from_millis(200);

/// A process of a cluster that listens for the others.
pub struct Door {
    members: Members,
    porter: Porter,
}

/// A process, over its control connection.
#[derive(Debug)]
pub struct Peer {
    pub(super) process: usize,
    pub(super) address: String,
    pub(super) stream: TcpStream,
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

    fn seconds(&self) -> u64 {
        self.patience.unwrap_or_default().as_secs()
    }
}

impl Door {
    /// Listens at this process's address.
    pub fn open(members: Members) -> Result<Self, JobError> {
        let listener = members.listen()?;
        let listening = |source| SystemError { verb: "listen to other processes", source };
        listener.set_nonblocking(true).map_err(listening)?;
        let porter = Porter::start(members.clone(), listener)?;
        Ok(Self { members, porter })
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
        let all: Vec<_> = (1..self.members.count()).map(|process| self.members.name(process)).collect();
        tracing::info!("waiting for {}", all.join(", "));
        while others.iter().any(Option::is_none) {
            if stop.requested() {
                return Ok(None);
            }
            if deadline.is_over() {
                let missing = (1..).zip(&others).filter(|(_, other)| other.is_none());
                let missing: Vec<_> = missing.map(|(process, _)| self.members.name(process)).collect();
                return Err(ClusterError::Missing {
                    missing: missing.join(", "),
                    seconds: deadline.seconds(),
                });
            }
            match self.porter.guest() {
                // One that was started again takes the place of its former self.
                Some(guest) if guest.purpose == Purpose::Control => {
                    others[guest.process - 1] = Some(guest.stream);
                }
                _ => {}
            }
        }
        for mut late in self.porter.close(Purpose::Control) {
            // It may be gone.
            let _ = send(&mut late.stream, &FromFirst::Complete);
        }
        let welcome = &FromFirst::Welcome(welcome.clone());
        let peer = |(process, stream): (usize, TcpStream)| {
            let mut peer = Peer { process, address: self.members.addresses[process].clone(), stream };
            send(&mut peer.stream, welcome).map_err(|error| peer.lost(&error))?;
            Ok(peer)
        };
        // All at once: one that does not take it does not hold up the others.
        let peers: Result<Vec<_>, _> = thread::scope(|threads| {
            let others = (1..).zip(others.into_iter().flatten());
            let welcomed: Vec<_> = others.map(|other| threads.spawn(move || peer(other))).collect();
            welcomed
                .into_iter()
                .map(|peer| peer.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        peers.map(Some)
    }

    /// In the others: knocks at process 0's door until it says where the job goes on. None if the process
    /// was asked to stop meanwhile.
    pub fn join(&self, patience: Option<Duration>, stop: &Stop) -> Result<Option<(Peer, Welcome)>, JobError> {
        let deadline = Deadline::after(patience);
        let mut told = false;
        loop {
            let members = self.members.clone();
            let asked = stop.unless_requested(move || members.ask_for_welcome(deadline))?;
            let Some(answer) = asked.transpose()? else { return Ok(None) };
            let error = match answer {
                Ok(joined) => return Ok(Some(joined)),
                Err(error) => error,
            };
            if deadline.is_over() {
                return Err(self.members.no_answer(0, deadline, &error).into());
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!("waiting for {}: {}", self.members.name(0), reason(&error));
            }
            stop.wait(KNOCK_EVERY);
        }
    }

    /// Connects with every other process, for timely: with those before this one by knocking there, with
    /// those behind it by waiting as long as `check` finds nothing wrong.
    pub fn connect(&self, mut check: impl FnMut() -> Result<(), JobError>) -> Result<Network, JobError> {
        let deadline = Deadline::after(Some(PATIENCE));
        let process = self.members.process;
        let mut sockets: Vec<Option<TcpStream>> = (0..self.members.count()).map(|_| None).collect();
        for (other, socket) in sockets.iter_mut().enumerate().take(process) {
            // It is there, as it was welcomed too.
            *socket = loop {
                check()?;
                match self.members.knock(other, Purpose::Data, deadline)? {
                    Ok(stream) => break Some(stream),
                    Err(error) if deadline.is_over() => {
                        return Err(self.members.no_answer(other, deadline, &error).into());
                    }
                    Err(_) => thread::sleep(KNOCK_EVERY),
                }
            };
        }
        while let Some(missing) = (process + 1..self.members.count()).find(|other| sockets[*other].is_none())
        {
            check()?;
            if deadline.is_over() {
                let (missing, seconds) = (self.members.name(missing), deadline.seconds());
                return Err(ClusterError::Missing { missing, seconds }.into());
            }
            match self.porter.guest() {
                Some(guest) if guest.purpose == Purpose::Data => sockets[guest.process] = Some(guest.stream),
                _ => {}
            }
        }
        self.porter.close(Purpose::Control);
        self.porter.close(Purpose::Data);
        // Timely's threads wait for messages as long as it takes.
        for socket in sockets.iter().flatten() {
            let wait = || socket.set_read_timeout(None).and_then(|()| socket.set_write_timeout(None));
            wait().map_err(|source| SystemError { verb: "set up a connection", source })?;
        }
        Ok(Network { process, sockets })
    }
}

impl Members {
    /// Knocks at process 0's door, and waits until it says where the job goes on. The outer error is for good.
    fn ask_for_welcome(&self, deadline: Deadline) -> Result<io::Result<(Peer, Welcome)>, ClusterError> {
        let welcomed = self.knock(0, Purpose::Control, deadline)?.and_then(|mut stream| {
            // Who is busy yet, or waits for others, answers later.
            stream.set_read_timeout(Some(KNOCK_EVERY))?;
            while let Err(error) = stream.peek(&mut [0]) {
                let is_early = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                if !is_early || deadline.is_over() {
                    return Err(error);
                }
            }
            stream.set_read_timeout(Some(HANDSHAKE))?;
            let said = receive(&mut stream)?;
            Ok((stream, said))
        });
        match welcomed {
            Ok((stream, FromFirst::Welcome(welcome))) => {
                let address = self.addresses[0].clone();
                Ok(Ok((Peer { process: 0, address, stream }, welcome)))
            }
            Ok((_, FromFirst::Complete)) => self.complete(0, deadline).map(Err),
            Ok(_) => Ok(Err(io::Error::other("it did not say where the job goes on"))),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Knocks at a process's door. The outer error is for good.
    fn knock(
        &self,
        process: usize,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<io::Result<TcpStream>, ClusterError> {
        let address = &self.addresses[process];
        let stream = match reach(address).and_then(|stream| set_up(&stream).map(|()| stream)) {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        match self.introduce(process, purpose, &stream) {
            Ok(Introduced::Accepted) => Ok(set_up(&stream).map(|()| stream)),
            Ok(Introduced::Complete) => self.complete(process, deadline).map(Err),
            Ok(Introduced::Refused(reason)) => Err(ClusterError::Refused { process, reason: shown(&reason) }),
            Ok(Introduced::Impostor) => Err(ClusterError::Impostor { process, address: address.clone() }),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Says who this is to who accepted a connection, and sees whether that is who it is to be.
    fn introduce(&self, process: usize, purpose: Purpose, stream: &TcpStream) -> io::Result<Introduced> {
        let Self { process: own, secret, terms, protocol, .. } = self;
        let secret = secret.get();
        let secret = secret.expose_secret().as_bytes();
        let mut until = Until { stream, end: Instant::now() + HANDSHAKE };
        let challenge: Challenge = receive_up_to(LONGEST_OF_STRANGERS, &mut until)?;
        if challenge.protocol != *protocol {
            let other = challenge.protocol;
            let reason = format!("this one is `{protocol}`, it is `{other}`; run one build everywhere");
            return Ok(Introduced::Refused(reason));
        }
        let mut hello = Hello {
            protocol: (*protocol).into(),
            from: *own,
            to: process,
            purpose,
            nonce: rand::random(),
            proof: [0; 32],
        };
        hello.proof = proof(secret, Side::Connects, &challenge.nonce, &hello);
        send(&mut until, &hello)?;
        match receive_up_to(LONGEST_OF_STRANGERS, &mut until)? {
            Greeting::Refused(reason) => return Ok(Introduced::Refused(reason)),
            Greeting::Known { proof: theirs } => {
                let expected = proof(secret, Side::Accepts, &challenge.nonce, &hello);
                if !secret::is_same(&theirs, &expected) {
                    return Ok(Introduced::Impostor);
                }
            }
        }
        if purpose == Purpose::Control {
            send(&mut until, terms)?;
        }
        Ok(match receive(&mut until)? {
            Answer::Accepted => Introduced::Accepted,
            Answer::Refused(reason) => Introduced::Refused(reason),
            Answer::Complete => Introduced::Complete,
        })
    }

    /// Who may wait for ever waits until the job that runs has ended.
    fn complete(&self, process: usize, deadline: Deadline) -> Result<io::Error, ClusterError> {
        match deadline.patience {
            None => Ok(io::Error::other("it works with others already, and all are there")),
            Some(_) => {
                let address = self.addresses[process].clone();
                Err(ClusterError::Complete { process, address })
            }
        }
    }

    fn name(&self, process: usize) -> String {
        format!("process {process} at {}", self.addresses[process])
    }

    fn no_answer(&self, process: usize, deadline: Deadline, error: &io::Error) -> ClusterError {
        let address = self.addresses[process].clone();
        ClusterError::NoAnswer { process, address, seconds: deadline.seconds(), reason: reason(error) }
    }
}

/// What came of an introduction.
enum Introduced {
    Accepted,
    /// It has all others already.
    Complete,
    Refused(String),
    /// It is not who it is to be.
    Impostor,
}

impl Peer {
    /// The same connection, to be heard by a thread of its own that takes `silence` for the end.
    pub(super) fn to_hear(&self, silence: Duration) -> Result<Self, JobError> {
        let hear = || {
            let stream = self.stream.try_clone()?;
            stream.set_read_timeout(Some(silence))?;
            Ok(Self { process: self.process, address: self.address.clone(), stream })
        };
        Ok(hear().map_err(|source| SystemError { verb: "share a connection", source })?)
    }

    /// Takes `silence` for the end when this connection is spoken to, too.
    pub(super) fn to_speak(&self, silence: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(silence))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::cluster::wire::PROTOCOL;
    use crate::runtime::reload::{Reloaded, Reloads};
    use crate::store::Form;
    use serde_json::json;
    use std::net::TcpListener;
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
            secret: Reloaded::fixed("secret".into()),
            protocol: PROTOCOL,
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
                assert!(matches!(error, JobError::Cluster(ClusterError::Refused { process: 0, .. })));
                error.to_string()
            })
        };
        let second = &members[1];
        let said = refused(Members { terms: json!({ "job": "b" }), ..second.clone() });
        assert!(said.contains("`job` is \"a\" in process 0 and \"b\" in process 1"), "{said}");
        let said = refused(Members { secret: Reloaded::fixed("other".into()), ..second.clone() });
        assert!(said.contains("cluster_secret_file"), "{said}");
    }

    #[test]
    fn a_secret_that_was_read_again_counts_for_who_joins_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "old").unwrap();
        let reloads = Reloads::default();
        let mut members = members(2);
        members[0].secret = reloads
            .watch("cluster_secret_file", move || crate::runtime::secret::read(&path))
            .unwrap_or_else(|error| panic!("{error}"));
        let first = Door::open(members.remove(0)).unwrap();
        let (stop, over) = (Stop::default(), Stop::default());
        let second = Door::open(members.remove(0)).unwrap();
        scope(|threads| {
            let gather = threads.spawn(|| first.gather(&welcome(), LONG, &over));
            let error = second.join(LONG, &stop).unwrap_err().to_string();
            assert!(error.contains("does not know the secret"), "{error}");
            std::fs::write(folder.path().join("secret"), "secret\n").unwrap();
            reloads.reload();
            second.join(LONG, &stop).unwrap().unwrap();
            gather.join().unwrap().unwrap().unwrap();
        });
    }

    #[test]
    fn another_build_of_the_same_version_is_refused() {
        let members = members(2);
        const OTHER: &str = concat!("truckflow ", env!("CARGO_PKG_VERSION"), ", sources 0123456789abcdef");
        let first = Door::open(members[0].clone()).unwrap();
        let second = Door::open(Members { protocol: OTHER, ..members[1].clone() }).unwrap();
        let said = second.join(LONG, &Stop::default()).unwrap_err().to_string();
        for part in ["process 0 refuses this one: ", PROTOCOL, OTHER, "run one build everywhere"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        drop(first);
        // Who accepts looks, too: another build may not.
        let first = Door::open(members[0].clone()).unwrap();
        let mut stream = TcpStream::connect(&members[0].addresses[0]).unwrap();
        let challenge: Challenge = receive(&mut stream).unwrap();
        let mut hello = Hello {
            protocol: OTHER.into(),
            from: 1,
            to: 0,
            purpose: Purpose::Control,
            nonce: [1; 32],
            proof: [0; 32],
        };
        hello.proof = proof(b"secret", Side::Connects, &challenge.nonce, &hello);
        send(&mut stream, &hello).unwrap();
        let answer: Greeting = receive(&mut stream).unwrap();
        assert!(matches!(&answer, Greeting::Refused(reason) if reason.contains(OTHER)), "{answer:?}");
        drop(first);
    }

    #[test]
    fn who_does_not_know_the_secret_is_not_taken_for_process_0() {
        let members = members(2);
        let listener = TcpListener::bind(&members[0].addresses[0]).unwrap();
        let second = Door::open(members[1].clone()).unwrap();
        let stop = Stop::default();
        let error = scope(|threads| {
            threads.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                send(&mut stream, &Challenge { protocol: PROTOCOL.into(), nonce: [1; 32] }).unwrap();
                let hello: Hello = receive(&mut stream).unwrap();
                // All it can do is to say what was said to it.
                send(&mut stream, &Greeting::Known { proof: hello.proof }).unwrap();
                // Nothing of the job is said to it.
                assert!(receive::<serde_json::Value>(&mut stream).is_err());
            });
            second.join(LONG, &stop).unwrap_err()
        });
        assert!(matches!(error, JobError::Cluster(ClusterError::Impostor { process: 0, .. })), "{error}");
    }

    #[test]
    fn strangers_hold_nobody_up_and_none_comes_in() {
        use std::io::{Read, Write};
        let mut members = members(2);
        let second = members.pop().unwrap();
        let first = Door::open(members.pop().unwrap()).unwrap();
        let address = first.members.addresses[0].clone();
        let knock = || TcpStream::connect(&address).unwrap();
        // More than are heard at once, and all silent.
        let silent: Vec<_> = (0..200).map(|_| knock()).collect();
        let mut loud = Vec::new();
        for bytes in
            [&[0xff; 4][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 1, 0], b"\x16\x03\x01\x02\0\x01\0\x01\xfc"]
        {
            let mut stream = knock();
            stream.write_all(bytes).unwrap();
            loud.push(stream);
        }
        let stop = Stop::default();
        scope(|threads| {
            let follow = threads.spawn(|| {
                let door = Door::open(second.clone()).unwrap();
                door.join(LONG, &stop).unwrap().unwrap();
                door.connect(|| Ok(())).map(drop)
            });
            first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
            first.connect(|| Ok(())).unwrap();
            follow.join().unwrap().unwrap();
        });
        // Those are sent away at once.
        let mut stream = loud.remove(1);
        stream.set_read_timeout(LONG).unwrap();
        let ended = stream.read_to_end(&mut Vec::new()).err().map(|error| reason(&error));
        assert!(ended.is_none_or(|ended| ended == "the connection ended"));
        drop((silent, loud));
    }

    #[test]
    fn a_cluster_that_works_is_complete() {
        let mut members = members(2);
        let second = members.pop().unwrap();
        let first = Door::open(members.pop().unwrap()).unwrap();
        let (stop, complete) = (Stop::default(), std::sync::Barrier::new(2));
        scope(|threads| {
            let follow = threads.spawn(|| {
                let door = Door::open(second.clone()).unwrap();
                let (peer, _) = door.join(LONG, &stop).unwrap().unwrap();
                door.connect(|| Ok(())).unwrap();
                // Its port is another's now.
                drop(door);
                complete.wait();
                let again = Door::open(second.clone()).unwrap();
                let error = again.join(LONG, &stop).unwrap_err();
                assert!(
                    matches!(error, JobError::Cluster(ClusterError::Complete { process: 0, .. })),
                    "{error}"
                );
                let error = again.connect(|| Ok(())).unwrap_err();
                assert!(error.to_string().contains("works with others already"), "{error}");
                drop(peer);
            });
            let _peers = first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
            first.connect(|| Ok(())).unwrap();
            complete.wait();
            follow.join().unwrap();
        });
    }

    #[test]
    fn who_may_wait_for_ever_waits_until_a_cluster_has_ended() {
        let mut members = members(2);
        let second = members.pop().unwrap();
        let first = Door::open(members[0].clone()).unwrap();
        first.porter.close(Purpose::Control);
        let (stop, over) = (Stop::default(), Stop::default());
        scope(|threads| {
            let follow = threads.spawn(|| {
                let door = Door::open(second).unwrap();
                door.join(None, &stop).unwrap().unwrap()
            });
            std::thread::sleep(KNOCK_EVERY * 2);
            drop(first);
            let next = Door::open(members.remove(0)).unwrap();
            next.gather(&welcome(), LONG, &over).unwrap().unwrap();
            follow.join().unwrap();
        });
    }
}
