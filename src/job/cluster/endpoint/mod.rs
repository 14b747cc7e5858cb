//! Connects the processes of a cluster.
//!
//! The processes may start in any order: each listens before it does anything else, and retries its own connections
//! until they are accepted.

use std::net::TcpStream;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use super::connector::{Deadline, RETRY_EVERY};
use super::listener::Listener;
use super::peer::Peer;
pub use super::wire::Welcome;
use super::wire::{FromFirst, Purpose, reason, send};
use super::{ClusterError, Members, Network};
use crate::job::error::JobError;
use crate::runtime::failure::SystemError;
use crate::runtime::stop::Stop;

/// How long processes wait for each other without --wait.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// This process's endpoint in the cluster.
pub struct Endpoint {
    members: Members,
    listener: Listener,
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

#[cfg(test)]
mod tests;
