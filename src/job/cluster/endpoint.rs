//! Connects the processes of a cluster.
//!
//! The processes may start in any order: each listens before it does anything else, and retries its own connections
//! until they are accepted.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use super::listener::{HANDSHAKE, Listener, set_up};
pub use super::wire::Welcome;
use super::wire::{Answer, Challenge, FromFirst, Greeting, Hello, MAX_UNAUTHENTICATED, Purpose};
use super::wire::{Side, Until, proof, reason, receive, receive_up_to, send, shown};
use super::{ClusterError, Members, Network};
use crate::job::error::JobError;
use crate::runtime::failure::SystemError;
use crate::runtime::secret::{self, ExposeSecret};
use crate::runtime::stop::Stop;

/// How long processes wait for each other without --wait.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between connection attempts.
const RETRY_EVERY: Duration = Duration::from_millis(200);

/// This process's endpoint in the cluster.
pub struct Endpoint {
    members: Members,
    listener: Listener,
}

/// Another process, with its control connection.
#[derive(Debug)]
pub struct Peer {
    pub(super) process: usize,
    pub(super) address: String,
    pub(super) stream: TcpStream,
}

/// A timeout; None waits forever.
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

impl Endpoint {
    /// Listens on this process's address.
    pub fn open(members: Members) -> Result<Self, JobError> {
        let listener = members.listen()?;
        let listening = |source| SystemError { verb: "listen to other processes", source };
        listener.set_nonblocking(true).map_err(listening)?;
        let listener = Listener::start(members.clone(), listener)?;
        Ok(Self { members, listener })
    }

    /// In process 0: waits for all other processes, and sends them where to start. None if a stop was requested.
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
            match self.listener.accepted() {
                // A restarted process replaces its previous connection.
                Some(connection) if connection.purpose == Purpose::Control => {
                    others[connection.process - 1] = Some(connection.stream);
                }
                _ => {}
            }
        }
        for mut late in self.listener.close(Purpose::Control) {
            // Fails if the process has exited.
            let _ = send(&mut late.stream, &FromFirst::Complete);
        }
        let welcome = &FromFirst::Welcome(welcome.clone());
        let peer = |(process, stream): (usize, TcpStream)| {
            let mut peer = Peer { process, address: self.members.addresses[process].clone(), stream };
            send(&mut peer.stream, welcome).map_err(|error| peer.lost(&error))?;
            Ok(peer)
        };
        // In parallel, so that a slow process does not delay the others.
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

    /// In the others: connects to process 0 and waits until it sends where to start. None if a stop was requested.
    pub fn join(&self, patience: Option<Duration>, stop: &Stop) -> Result<Option<(Peer, Welcome)>, JobError> {
        let deadline = Deadline::after(patience);
        let mut is_logged = false;
        loop {
            let members = self.members.clone();
            let asked = stop.unless_requested(move || members.request_welcome(deadline))?;
            let Some(answer) = asked.transpose()? else { return Ok(None) };
            let error = match answer {
                Ok(joined) => return Ok(Some(joined)),
                Err(error) => error,
            };
            if deadline.is_over() {
                return Err(self.members.no_answer(0, deadline, &error).into());
            }
            if !std::mem::replace(&mut is_logged, true) {
                tracing::info!("waiting for {}: {}", self.members.name(0), reason(&error));
            }
            stop.wait(RETRY_EVERY);
        }
    }

    /// Opens timely's connections with all other processes: connects to those with a lower index, and accepts those
    /// with a higher one. Fails early if `check` does.
    pub fn connect(&self, mut check: impl FnMut() -> Result<(), JobError>) -> Result<Network, JobError> {
        let deadline = Deadline::after(Some(PATIENCE));
        let process = self.members.process;
        let mut sockets: Vec<Option<TcpStream>> = (0..self.members.count()).map(|_| None).collect();
        for (other, socket) in sockets.iter_mut().enumerate().take(process) {
            // The process is running, because process 0 has accepted it.
            *socket = loop {
                check()?;
                match self.members.connect_to(other, Purpose::Data, deadline)? {
                    Ok(stream) => break Some(stream),
                    Err(error) if deadline.is_over() => {
                        return Err(self.members.no_answer(other, deadline, &error).into());
                    }
                    Err(_) => thread::sleep(RETRY_EVERY),
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
            match self.listener.accepted() {
                Some(connection) if connection.purpose == Purpose::Data => {
                    sockets[connection.process] = Some(connection.stream);
                }
                _ => {}
            }
        }
        self.listener.close(Purpose::Control);
        self.listener.close(Purpose::Data);
        // Timely's threads wait for messages without a timeout.
        for socket in sockets.iter().flatten() {
            let wait = || socket.set_read_timeout(None).and_then(|()| socket.set_write_timeout(None));
            wait().map_err(|source| SystemError { verb: "set up a connection", source })?;
        }
        Ok(Network { process, sockets })
    }
}

impl Members {
    /// Connects to process 0 and waits for its welcome. The outer error is permanent.
    fn request_welcome(&self, deadline: Deadline) -> Result<io::Result<(Peer, Welcome)>, ClusterError> {
        let welcomed = self.connect_to(0, Purpose::Control, deadline)?.and_then(|mut stream| {
            // Process 0 answers later if it is still starting or waits for other processes.
            stream.set_read_timeout(Some(RETRY_EVERY))?;
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
            Ok(_) => Ok(Err(io::Error::other("unexpected message instead of the welcome"))),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Connects to a process and authenticates. The outer error is permanent.
    fn connect_to(
        &self,
        process: usize,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<io::Result<TcpStream>, ClusterError> {
        let address = &self.addresses[process];
        let stream = match open(address).and_then(|stream| set_up(&stream).map(|()| stream)) {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        match self.authenticate(process, purpose, &stream) {
            Ok(Handshake::Accepted) => Ok(set_up(&stream).map(|()| stream)),
            Ok(Handshake::Complete) => self.complete(process, deadline).map(Err),
            Ok(Handshake::Refused(reason)) => Err(ClusterError::Refused { process, reason: shown(&reason) }),
            Ok(Handshake::WrongSecret) => {
                Err(ClusterError::WrongSecret { process, address: address.clone() })
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Authenticates to the process at the other end, and verifies that it knows the secret, too.
    fn authenticate(&self, process: usize, purpose: Purpose, stream: &TcpStream) -> io::Result<Handshake> {
        let Self { process: own, secret, terms, protocol, .. } = self;
        let secret = secret.get();
        let secret = secret.expose_secret().as_bytes();
        let mut until = Until { stream, end: Instant::now() + HANDSHAKE };
        let challenge: Challenge = receive_up_to(MAX_UNAUTHENTICATED, &mut until)?;
        if challenge.protocol != *protocol {
            let other = challenge.protocol;
            let reason =
                format!("this process is `{protocol}`, it is `{other}`; run the same build everywhere");
            return Ok(Handshake::Refused(reason));
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
        match receive_up_to(MAX_UNAUTHENTICATED, &mut until)? {
            Greeting::Refused(reason) => return Ok(Handshake::Refused(reason)),
            Greeting::Known { proof: theirs } => {
                let expected = proof(secret, Side::Accepts, &challenge.nonce, &hello);
                if !secret::is_same(&theirs, &expected) {
                    return Ok(Handshake::WrongSecret);
                }
            }
        }
        if purpose == Purpose::Control {
            send(&mut until, terms)?;
        }
        Ok(match receive(&mut until)? {
            Answer::Accepted => Handshake::Accepted,
            Answer::Refused(reason) => Handshake::Refused(reason),
            Answer::Complete => Handshake::Complete,
        })
    }

    /// With --wait, a process waits until the running job has ended.
    fn complete(&self, process: usize, deadline: Deadline) -> Result<io::Error, ClusterError> {
        match deadline.patience {
            None => Ok(io::Error::other("the job already runs with all its processes")),
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

/// The result of a handshake.
enum Handshake {
    Accepted,
    /// All processes are already connected.
    Complete,
    Refused(String),
    /// The other end does not know the secret.
    WrongSecret,
}

impl Peer {
    /// A second handle to the connection, for a receiving thread. It fails after `silence` without a message.
    pub(super) fn receiver(&self, silence: Duration) -> Result<Self, JobError> {
        let clone = || {
            let stream = self.stream.try_clone()?;
            stream.set_read_timeout(Some(silence))?;
            Ok(Self { process: self.process, address: self.address.clone(), stream })
        };
        Ok(clone().map_err(|source| SystemError { verb: "share a connection", source })?)
    }

    /// Lets sending fail after `silence` without progress.
    pub(super) fn set_send_timeout(&self, silence: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(silence))
    }

    pub(super) fn lost(&self, error: &io::Error) -> ClusterError {
        let (process, address) = (self.process, self.address.clone());
        ClusterError::Lost { process, address, reason: reason(error) }
    }
}

/// Connects to the first address of a host that accepts.
fn open(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host name has no address");
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

    /// The members of a cluster, on free ports.
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
    fn processes_connect_in_any_order() {
        let mut members = members(3);
        let last = members.pop().unwrap();
        let stop = Stop::default();
        let follow = |members: Members| {
            let endpoint = Endpoint::open(members).unwrap();
            let (peer, welcome) = endpoint.join(LONG, &stop).unwrap().unwrap();
            assert_eq!((peer.process, welcome.epoch), (0, 7));
            endpoint.connect(|| Ok(())).unwrap()
        };
        scope(|threads| {
            let second = members.pop().unwrap();
            let early = threads.spawn(|| follow(last));
            let first = Endpoint::open(members.pop().unwrap()).unwrap();
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
    fn missing_processes_are_named() {
        let members = members(3);
        let stop = Stop::default();
        let second = Endpoint::open(members[1].clone()).unwrap();
        let error = second.join(SHORT, &stop).unwrap_err().to_string();
        assert!(error.contains("process 0 at 127.0.0.1") && error.contains("--wait"), "{error}");
        let first = Endpoint::open(members[0].clone()).unwrap();
        let error = first.gather(&welcome(), SHORT, &stop).unwrap_err().to_string();
        assert!(error.contains("process 1 at") && error.contains("process 2 at"), "{error}");
        stop.request();
        assert!(first.gather(&welcome(), None, &stop).unwrap().is_none());
        assert!(second.join(None, &stop).unwrap().is_none());
    }

    #[test]
    fn a_process_with_another_configuration_or_secret_is_refused() {
        let members = members(2);
        let first = Endpoint::open(members[0].clone()).unwrap();
        let refused = |other: Members| {
            let endpoint = Endpoint::open(other).unwrap();
            let (stop, over) = (Stop::default(), Stop::default());
            scope(|threads| {
                let gather = threads.spawn(|| first.gather(&welcome(), None, &over));
                let error = endpoint.join(LONG, &stop).unwrap_err();
                over.request();
                assert!(gather.join().unwrap().unwrap().is_none(), "it keeps waiting");
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
    fn a_reloaded_secret_is_used_for_the_next_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "old").unwrap();
        let reloads = Reloads::default();
        let mut members = members(2);
        members[0].secret = reloads
            .watch("cluster_secret_file", move || crate::runtime::secret::read(&path))
            .unwrap_or_else(|error| panic!("{error}"));
        let first = Endpoint::open(members.remove(0)).unwrap();
        let (stop, over) = (Stop::default(), Stop::default());
        let second = Endpoint::open(members.remove(0)).unwrap();
        scope(|threads| {
            let gather = threads.spawn(|| first.gather(&welcome(), LONG, &over));
            let error = second.join(LONG, &stop).unwrap_err().to_string();
            assert!(error.contains("does not know the cluster secret"), "{error}");
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
        let first = Endpoint::open(members[0].clone()).unwrap();
        let second = Endpoint::open(Members { protocol: OTHER, ..members[1].clone() }).unwrap();
        let said = second.join(LONG, &Stop::default()).unwrap_err().to_string();
        for part in ["process 0 rejects this process: ", PROTOCOL, OTHER, "run the same build everywhere"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        drop(first);
        // The accepting side checks as well.
        let first = Endpoint::open(members[0].clone()).unwrap();
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
    fn a_server_without_the_secret_is_not_trusted() {
        let members = members(2);
        let listener = TcpListener::bind(&members[0].addresses[0]).unwrap();
        let second = Endpoint::open(members[1].clone()).unwrap();
        let stop = Stop::default();
        let error = scope(|threads| {
            threads.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                send(&mut stream, &Challenge { protocol: PROTOCOL.into(), nonce: [1; 32] }).unwrap();
                let hello: Hello = receive(&mut stream).unwrap();
                // It can only replay the client's proof.
                send(&mut stream, &Greeting::Known { proof: hello.proof }).unwrap();
                // The client does not send the job's terms.
                assert!(receive::<serde_json::Value>(&mut stream).is_err());
            });
            second.join(LONG, &stop).unwrap_err()
        });
        assert!(matches!(error, JobError::Cluster(ClusterError::WrongSecret { process: 0, .. })), "{error}");
    }

    #[test]
    fn unknown_clients_are_refused_and_do_not_block_processes() {
        use std::io::{Read, Write};
        let mut members = members(2);
        let second = members.pop().unwrap();
        let first = Endpoint::open(members.pop().unwrap()).unwrap();
        let address = first.members.addresses[0].clone();
        let connect = || TcpStream::connect(&address).unwrap();
        // More silent clients than there are handshakes at once.
        let silent: Vec<_> = (0..200).map(|_| connect()).collect();
        let mut loud = Vec::new();
        for bytes in
            [&[0xff; 4][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 1, 0], b"\x16\x03\x01\x02\0\x01\0\x01\xfc"]
        {
            let mut stream = connect();
            stream.write_all(bytes).unwrap();
            loud.push(stream);
        }
        let stop = Stop::default();
        scope(|threads| {
            let follow = threads.spawn(|| {
                let endpoint = Endpoint::open(second.clone()).unwrap();
                endpoint.join(LONG, &stop).unwrap().unwrap();
                endpoint.connect(|| Ok(())).map(drop)
            });
            first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
            first.connect(|| Ok(())).unwrap();
            follow.join().unwrap().unwrap();
        });
        // Clients that send something else are disconnected immediately.
        let mut stream = loud.remove(1);
        stream.set_read_timeout(LONG).unwrap();
        let ended = stream.read_to_end(&mut Vec::new()).err().map(|error| reason(&error));
        assert!(ended.is_none_or(|ended| ended == "the connection was closed"));
        drop((silent, loud));
    }

    #[test]
    fn a_running_cluster_refuses_more_processes() {
        let mut members = members(2);
        let second = members.pop().unwrap();
        let first = Endpoint::open(members.pop().unwrap()).unwrap();
        let (stop, complete) = (Stop::default(), std::sync::Barrier::new(2));
        scope(|threads| {
            let follow = threads.spawn(|| {
                let endpoint = Endpoint::open(second.clone()).unwrap();
                let (peer, _) = endpoint.join(LONG, &stop).unwrap().unwrap();
                endpoint.connect(|| Ok(())).unwrap();
                // Frees the port.
                drop(endpoint);
                complete.wait();
                let again = Endpoint::open(second.clone()).unwrap();
                let error = again.join(LONG, &stop).unwrap_err();
                assert!(
                    matches!(error, JobError::Cluster(ClusterError::Complete { process: 0, .. })),
                    "{error}"
                );
                let error = again.connect(|| Ok(())).unwrap_err();
                assert!(error.to_string().contains("already runs the job with all its processes"), "{error}");
                drop(peer);
            });
            let _peers = first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
            first.connect(|| Ok(())).unwrap();
            complete.wait();
            follow.join().unwrap();
        });
    }

    #[test]
    fn with_wait_a_process_waits_until_the_cluster_has_ended() {
        let mut members = members(2);
        let second = members.pop().unwrap();
        let first = Endpoint::open(members[0].clone()).unwrap();
        first.listener.close(Purpose::Control);
        let (stop, over) = (Stop::default(), Stop::default());
        scope(|threads| {
            let follow = threads.spawn(|| {
                let endpoint = Endpoint::open(second).unwrap();
                endpoint.join(None, &stop).unwrap().unwrap()
            });
            std::thread::sleep(RETRY_EVERY * 2);
            drop(first);
            let next = Endpoint::open(members.remove(0)).unwrap();
            next.gather(&welcome(), LONG, &over).unwrap().unwrap();
            follow.join().unwrap();
        });
    }
}
