//! Connects to the other processes of a cluster and authenticates to them: the counterpart of the
//! [`listener`](super::listener).

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::listener::{HANDSHAKE, set_up};
use super::peer::Peer;
use super::wire::{Answer, Challenge, FromFirst, Greeting, Hello, MAX_UNAUTHENTICATED, Purpose, Welcome};
use super::wire::{Side, Until, proof, reason, receive, receive_up_to, send, shown};
use super::{ClusterError, Members};
use crate::runtime::secret::{self, ExposeSecret};

/// The pause between connection attempts.
pub(super) const RETRY_EVERY: Duration = Duration::from_millis(200);

/// A timeout; None waits forever.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    patience: Option<Duration>,
    began: Instant,
}

impl Deadline {
    pub(super) fn after(patience: Option<Duration>) -> Self {
        Self { patience, began: Instant::now() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.patience.is_some_and(|patience| self.began.elapsed() >= patience)
    }

    pub(super) fn seconds(&self) -> u64 {
        self.patience.unwrap_or_default().as_secs()
    }
}

impl Members {
    /// Connects to process 0 and waits for its welcome. The outer error is permanent.
    pub(super) fn request_welcome(
        &self,
        deadline: Deadline,
    ) -> Result<io::Result<(Peer, Welcome)>, ClusterError> {
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
    pub(super) fn connect_to(
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

    pub(super) fn name(&self, process: usize) -> String {
        format!("process {process} at {}", self.addresses[process])
    }

    pub(super) fn no_answer(&self, process: usize, deadline: Deadline, error: &io::Error) -> ClusterError {
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
