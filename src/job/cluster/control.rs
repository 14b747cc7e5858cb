//! The control messages between process 0 and the others while the job runs.
//!
//! ```text
//! process 0                                                    each other process
//! sends     -- epoch, committed, pressure, stop -----------------> receives: its clock follows
//! receives: the clock counts <-- number of reads, stop -----------   sends
//!                            <-- its workers have ended, or failed --
//!           -- the end: everything is committed, or the failure --->
//! ```
//!
//! Both sides send at least every second. A process that is silent for too long, or whose connection closes before its
//! last message, is lost. Then the others exit immediately, without joining their threads; uncommitted input is read
//! again.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use timely::communication::WorkerGuards;

use super::ClusterError;
use super::peer::Peer;
use super::wire::{FromFirst, FromOther, receive, send};
use crate::job::error::JobError;
use crate::runtime::clock::{Clock, Tally};
use crate::runtime::failure::Bug;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// How often a thread checks for something to send.
const POLL: Duration = Duration::from_millis(2);
/// The maximum pause between two messages.
const ALIVE: Duration = Duration::from_secs(1);
/// A process that is silent for this long is lost.
const SILENT: Duration = Duration::from_secs(30);
/// How long to wait, after a worker panicked, for the loss of another process, which may be the cause; and how long
/// sending the last message may take.
const GRACE: Duration = Duration::from_secs(3);

/// The content of a process's last message: the failure, if any.
type Outcome = OnceLock<Option<String>>;

/// The events that end the connection to another process, or this process's work.
enum Event {
    /// Its last message: done or failed.
    Ended(Result<(), ClusterError>),
    /// It is lost.
    Lost(ClusterError),
    /// It does not take messages any more.
    Unresponsive(ClusterError),
    /// This process's workers have ended.
    WorkersEnded,
}

/// This process's end of the control connections.
pub struct Control {
    /// The number of processes whose last message is still to come.
    awaited: usize,
    /// The failure of another process.
    failure: Option<ClusterError>,
    outcome: Arc<Outcome>,
    /// Disconnects when all sending threads have ended.
    sending: Receiver<()>,
    events: Receiver<Event>,
    event_sender: Sender<Event>,
    is_first: bool,
}

impl Control {
    /// In process 0: starts sending the clock to the others, and counting their reads.
    pub fn lead(others: Vec<Peer>, clock: &Arc<Clock>, stop: &Arc<Stop>) -> Result<Self, JobError> {
        Self::start(true, others, clock, stop, receive_from_other, send_to_other)
    }

    /// In the others: lets the clock follow that of process 0, and reports reads to it.
    pub fn follow(first: Peer, clock: &Arc<Clock>, stop: &Arc<Stop>) -> Result<Self, JobError> {
        Self::start(false, vec![first], clock, stop, receive_from_first, send_to_first)
    }

    fn start(
        is_first: bool,
        peers: Vec<Peer>,
        clock: &Arc<Clock>,
        stop: &Arc<Stop>,
        receive: fn(&mut Peer, &Clock, &Stop) -> Result<(), ClusterError>,
        send: fn(&mut TcpStream, &Clock, &Outcome) -> io::Result<()>,
    ) -> Result<Self, JobError> {
        let (event_sender, events) = channel();
        let (is_sending, sending) = channel();
        let (awaited, outcome) = (peers.len(), Arc::<Outcome>::default());
        for mut peer in peers {
            let mut receiver = peer.receiver(SILENT)?;
            let (receiver_clock, stop, receiver_events) = (clock.clone(), stop.clone(), event_sender.clone());
            let listen = move || {
                let event = match receive(&mut receiver, &receiver_clock, &stop) {
                    Err(lost @ ClusterError::Lost { .. }) => Event::Lost(lost),
                    ended => Event::Ended(ended),
                };
                // Fails if this process is about to exit.
                let _ = receiver_events.send(event);
            };
            spawn("receive", listen)?;
            // A thread for each process, so that an unresponsive one does not block the others.
            let (clock, outcome, event_sender, is_sending) =
                (clock.clone(), outcome.clone(), event_sender.clone(), is_sending.clone());
            spawn("send", move || {
                // Dropped after the last message.
                let _is_sending: Sender<()> = is_sending;
                let sent =
                    peer.set_send_timeout(SILENT).and_then(|()| send(&mut peer.stream, &clock, &outcome));
                if let Err(error) = sent {
                    let _ = event_sender.send(Event::Unresponsive(peer.lost(&error)));
                    // After a partial message, the stream cannot be used any more.
                    let _ = peer.stream.shutdown(Shutdown::Both);
                }
            })?;
        }
        Ok(Self { awaited, failure: None, outcome, sending, events, event_sender, is_first })
    }

    /// Fails if another process is lost or has failed.
    pub fn check(&mut self) -> Result<(), JobError> {
        while let Ok(event) = self.events.try_recv() {
            self.take(event)?;
        }
        self.failure.take().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Waits until this process's workers have ended.
    ///
    /// # Errors
    /// Another process is lost, or a worker panicked. The other workers would wait forever, so they are not joined,
    /// and this process must exit.
    pub fn work(
        &mut self,
        guards: WorkerGuards<()>,
        has_panicked: impl Fn() -> bool,
    ) -> Result<(), JobError> {
        let event_sender = self.event_sender.clone();
        spawn("workers", move || {
            // A worker that panicked has already reported it.
            guards.join();
            let _ = event_sender.send(Event::WorkersEnded);
        })?;
        let mut panicked: Option<Instant> = None;
        loop {
            match self.events.recv_timeout(GRACE / 10) {
                Ok(Event::WorkersEnded) if !has_panicked() => return Ok(()),
                Ok(event) => self.take(event)?,
                Err(_) => {}
            }
            if has_panicked() && panicked.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                return Err(Bug("a worker").into());
            }
        }
    }

    /// Runs `work`, then ends or fails together with the other processes.
    pub fn finish_with<T>(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<T, JobError>,
    ) -> Result<T, JobError> {
        let done = work(&mut self);
        if self.is_first { self.finish_first(done) } else { self.finish_other(done) }
    }

    /// Process 0 waits for the last messages of all others before it sends its own, to pass on a failure.
    fn finish_first<T>(mut self, done: Result<T, JobError>) -> Result<T, JobError> {
        let done = done.and_then(|done| {
            self.receive_last()?;
            self.check()?;
            Ok(done)
        });
        let failure = done.as_ref().err().map(|failure| match failure {
            JobError::Cluster(_) => failure.to_string(),
            _ => format!("process 0 failed: {failure}"),
        });
        self.send_last(failure);
        done
    }

    /// The others end when process 0 reports that everything is committed.
    fn finish_other<T>(mut self, done: Result<T, JobError>) -> Result<T, JobError> {
        // After a cluster error, process 0 knows about it or is lost. After a panic, only the exit of this process
        // ends the workers of the others, which wait for it.
        if matches!(done, Err(JobError::Cluster(_) | JobError::Bug(_))) {
            return done;
        }
        self.send_last(done.as_ref().err().map(JobError::to_string));
        let received = self.receive_last();
        done.and_then(|done| received.map(|()| done))
    }

    fn receive_last(&mut self) -> Result<(), JobError> {
        while self.awaited > 0 {
            match self.events.recv() {
                Ok(event) => self.take(event)?,
                Err(_) => return Err(Bug("the control connection").into()),
            }
        }
        Ok(())
    }

    fn send_last(&mut self, failure: Option<String>) {
        // Set once; the sending threads end with it.
        let _ = self.outcome.set(failure);
        // An unresponsive process is not waited for; it will notice that the connection is closed.
        let _ = self.sending.recv_timeout(GRACE);
    }

    fn take(&mut self, event: Event) -> Result<(), JobError> {
        match event {
            Event::Ended(ended) => {
                self.awaited -= 1;
                if let Err(failure) = ended {
                    // If process 0 failed, all end. If another failed, its workers end the workers of all.
                    if !self.is_first {
                        return Err(failure.into());
                    }
                    self.failure.get_or_insert(failure);
                }
                Ok(())
            }
            Event::Lost(lost) => {
                self.awaited -= 1;
                Err(lost.into())
            }
            Event::Unresponsive(lost) => Err(lost.into()),
            Event::WorkersEnded => Ok(()),
        }
    }
}

/// In process 0: counts the reads of another process, until its last message.
fn receive_from_other(other: &mut Peer, clock: &Clock, stop: &Stop) -> Result<(), ClusterError> {
    loop {
        match receive(&mut other.stream).map_err(|error| other.lost(&error))? {
            FromOther::Read(Tally { records, bytes, queued }) => {
                clock.read(records, bytes);
                clock.queue(clock.now(), queued);
            }
            FromOther::Stop if clock.is_stopping() => {}
            FromOther::Stop => {
                tracing::info!("process {} was asked to stop; stopping after the open epoch", other.process);
                clock.stop();
                // Ends waits of the start.
                stop.request();
            }
            FromOther::Ended(None) => return Ok(()),
            FromOther::Ended(Some(failure)) => {
                let Peer { process, address, .. } = other;
                return Err(ClusterError::Failed(format!(
                    "process {process} at {address} failed: {failure}"
                )));
            }
        }
    }
}

/// In the others: lets the clock follow that of process 0, until its last message.
fn receive_from_first(first: &mut Peer, clock: &Clock, stop: &Stop) -> Result<(), ClusterError> {
    loop {
        match receive(&mut first.stream).map_err(|error| first.lost(&error))? {
            FromFirst::Beat(beat) => {
                clock.follow(beat);
                if beat.stopping {
                    stop.request();
                }
            }
            FromFirst::Welcome(_) | FromFirst::Complete => {}
            FromFirst::End(None) => return Ok(()),
            FromFirst::End(Some(failure)) => return Err(ClusterError::Failed(failure)),
        }
    }
}

/// In process 0: sends the clock to one of the others whenever it changes.
///
/// # Errors
/// A message could not be sent. The stream must not be used any more.
fn send_to_other(other: &mut impl Write, clock: &Clock, outcome: &Outcome) -> io::Result<()> {
    let (mut sent, mut at) = (None, Instant::now());
    loop {
        let last = outcome.get();
        let beat = clock.beat();
        if sent != Some(beat) || at.elapsed() >= ALIVE {
            send(other, &FromFirst::Beat(beat))?;
            (sent, at) = (Some(beat), Instant::now());
        }
        if let Some(failure) = last {
            return send(other, &FromFirst::End(failure.clone()));
        }
        sleep(POLL);
    }
}

/// In the others: reports reads to process 0, and that this process was asked to stop.
///
/// # Errors
/// A message could not be sent. The stream must not be used any more.
fn send_to_first(first: &mut impl Write, clock: &Clock, outcome: &Outcome) -> io::Result<()> {
    let (mut stopping, mut at) = (false, Instant::now());
    loop {
        let last = outcome.get();
        let tally = clock.take_tally();
        if tally != Tally::default() || at.elapsed() >= ALIVE {
            send(first, &FromOther::Read(tally))?;
            at = Instant::now();
        }
        if clock.is_stopping() && !std::mem::replace(&mut stopping, true) {
            send(first, &FromOther::Stop)?;
        }
        if let Some(failure) = last {
            return send(first, &FromOther::Ended(failure.clone()));
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Limits;
    use crate::runtime::growth::Ceiling;
    use std::net::TcpListener;

    fn clocks() -> (Arc<Clock>, Arc<Clock>) {
        let limits = Limits {
            interval: Duration::ZERO,
            epoch_records: Ceiling::fixed(100),
            epoch_bytes: Ceiling::fixed(1000),
            epochs_in_flight: 2,
            bytes_in_flight: 500,
        };
        (Arc::new(Clock::new(limits, 7)), Arc::new(Clock::following(limits, 7)))
    }

    /// Both ends of a connection: the one of process 0, and the one of process 1.
    fn peers() -> (Peer, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let near = TcpStream::connect(address).unwrap();
        let (far, _) = listener.accept().unwrap();
        let peer = |process, stream| Peer { process, address: address.to_string(), stream };
        (peer(1, near), peer(0, far))
    }

    fn lead(others: Vec<Peer>, clock: &Arc<Clock>) -> Control {
        Control::lead(others, clock, &Arc::default()).unwrap()
    }

    fn follow(first: Peer, clock: &Arc<Clock>) -> Control {
        Control::follow(first, clock, &Arc::default()).unwrap()
    }

    /// Sends bytes until the connection's buffers are full.
    fn fill(stream: &mut TcpStream) {
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 1 << 16]).is_ok() {}
        stream.set_nonblocking(false).unwrap();
    }

    fn workers() -> WorkerGuards<()> {
        timely::execute(timely::Config::thread(), |_| ()).unwrap()
    }

    fn until(mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(20));
            sleep(POLL);
        }
    }

    #[test]
    fn the_clock_is_followed_and_reads_are_counted_until_both_end() {
        let (one, other) = peers();
        let (first, second) = clocks();
        let mut lead = lead(vec![one], &first);
        let mut follow = follow(other, &second);
        second.read(1, 10);
        until(|| second.now() == 9);
        assert_eq!(first.now(), 9);
        second.stop();
        until(|| first.is_stopping());
        follow.work(workers(), || false).unwrap();
        lead.work(workers(), || false).unwrap();
        let ends = std::thread::spawn(|| follow.finish_with(|_| Ok(())));
        lead.finish_with(|_| Ok(())).unwrap();
        ends.join().unwrap().unwrap();
    }

    fn unreadable() -> JobError {
        JobError::NoBackfill { view: "v".into(), input: "-".into() }
    }

    #[test]
    fn a_failure_reaches_all() {
        let (one, other) = peers();
        let (first, second) = clocks();
        let lead = lead(vec![one], &first);
        let follow = follow(other, &second);
        let fails = |_: &mut Control| Err::<(), _>(unreadable());
        let ends = std::thread::spawn(move || follow.finish_with(fails).unwrap_err().to_string());
        let error = lead.finish_with(|_| Ok(())).unwrap_err().to_string();
        assert!(
            error.starts_with("process 1 at 127.0.0.1") && error.contains("cannot be read again"),
            "{error}"
        );
        assert!(error.ends_with(&ends.join().unwrap()), "{error}");
    }

    #[test]
    fn a_peer_that_stalls_within_a_message_does_not_block_others() {
        // It reads nothing and its buffers are full, so that every message to it blocks.
        let (mut stalled, takes_nothing) = peers();
        fill(&mut stalled.stream);
        let (one, other) = peers();
        let (first, second) = clocks();
        let lead = lead(vec![stalled, Peer { process: 2, ..one }], &first);
        let follow = follow(other, &second);
        first.read(1, 10);
        until(|| second.now() == 9);
        // The last message also reaches the other process.
        let fails = |_: &mut Control| Err::<(), _>(unreadable());
        let ends = std::thread::spawn(move || follow.finish_with(|_| Ok(())).unwrap_err().to_string());
        let error = lead.finish_with(fails).unwrap_err().to_string();
        assert!(ends.join().unwrap().ends_with(&error), "{error}");
        drop(takes_nothing);
    }

    /// Accepts `room` bytes, then times out.
    struct Stalls {
        room: usize,
        taken: Vec<u8>,
        stalled: bool,
    }

    impl Write for Stalls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!self.stalled, "a write after a partial message");
            let takes = bytes.len().min(self.room);
            self.room -= takes;
            self.taken.extend_from_slice(&bytes[..takes]);
            self.stalled = takes == 0;
            if self.stalled { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(takes) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_partial_message_nothing_more_is_sent() {
        let (first, second) = clocks();
        let over: Outcome = OnceLock::from(None);
        let mut stalls = Stalls { room: 10, taken: Vec::new(), stalled: false };
        assert!(send_to_other(&mut stalls, &first, &over).is_err());
        assert_eq!(stalls.taken.len(), 10);
        let mut stalls = Stalls { room: 10, taken: Vec::new(), stalled: false };
        second.read(1, 10);
        assert!(send_to_first(&mut stalls, &second, &over).is_err());
        assert_eq!(stalls.taken.len(), 10);
    }

    #[test]
    fn a_process_that_takes_no_message_is_lost() {
        let (one, _takes_nothing) = peers();
        let (first, _) = clocks();
        // Sending fails from now on.
        one.stream.shutdown(Shutdown::Write).unwrap();
        let mut lead = lead(vec![one], &first);
        until(|| lead.check().is_err_and(|error| error.to_string().contains("lost process 1")));
    }

    #[test]
    fn a_lost_process_is_named() {
        let (one, other) = peers();
        let (first, _) = clocks();
        let mut lead = lead(vec![one], &first);
        drop(other);
        let parked = timely::execute(timely::Config::thread(), |_| std::thread::park()).unwrap();
        let worker = parked.guards()[0].thread().clone();
        let error = lead.work(parked, || false).unwrap_err().to_string();
        assert!(error.starts_with("lost process 1 at 127.0.0.1"), "{error}");
        worker.unpark();
    }
}
