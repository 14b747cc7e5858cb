//! What is said between process 0 and the others while they work.
//!
//! ```text
//! process 0                                                    each other process
//! speaks   -- epoch, committed, pressure, stop ------------------> hears: its clock follows
//! hears: the clock counts  <-- what was read, stop ----------------   speaks
//!                          <-- its workers have ended, or failed --
//!          -- the end: all is committed, or what failed ---------->
//! ```
//!
//! Both sides say something at least every second; who is silent for long, or whose connection ends
//! before its last word, is gone. Then the others end as they stand: threads are left where they are,
//! and what was not committed is read again.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use timely::communication::WorkerGuards;

use super::ClusterError;
use super::door::Peer;
use super::wire::{FromFirst, FromOther, receive, send};
use crate::job::error::JobError;
use crate::runtime::clock::{Clock, Tally};
use crate::runtime::failure::Bug;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// How often a thread looks whether there is something to say.
const LOOK: Duration = Duration::from_millis(2);
/// Something is said at least so often.
const ALIVE: Duration = Duration::from_secs(1);
/// Who is silent for so long is gone.
const SILENT: Duration = Duration::from_secs(30);
/// How long a worker's failure waits for the news that another process is gone, which is why; and how long the last
/// word may take to a process that takes nothing.
const GRACE: Duration = Duration::from_secs(3);

/// The last word of a process: what failed, if anything did.
type LastWord = OnceLock<Option<String>>;

/// What is heard of another process last.
enum Event {
    /// Its last word: all is done, or it failed.
    Ended(Result<(), ClusterError>),
    /// It is gone.
    Lost(ClusterError),
    /// It takes no messages, and so is not told any more.
    Deaf(ClusterError),
    /// This process's own workers have ended.
    Worked,
}

/// This process's end of the control connections.
pub struct Control {
    /// Those whose last word is still to come.
    awaited: usize,
    /// What failed elsewhere.
    failure: Option<ClusterError>,
    last_word: Arc<LastWord>,
    /// Ends when all threads that speak have said the last word, or cannot.
    speaking: Receiver<()>,
    events: Receiver<Event>,
    tell: Sender<Event>,
    is_first: bool,
}

impl Control {
    /// In process 0: begins to tell the others of the clock, and to count what they read.
    pub fn lead(others: Vec<Peer>, clock: &Arc<Clock>, stop: &Arc<Stop>) -> Result<Self, JobError> {
        Self::start(true, others, clock, stop, hear_other, speak_first)
    }

    /// In the others: lets the clock follow that of process 0, and tells it what is read.
    pub fn follow(first: Peer, clock: &Arc<Clock>, stop: &Arc<Stop>) -> Result<Self, JobError> {
        Self::start(false, vec![first], clock, stop, hear_first, speak_other)
    }

    fn start(
        is_first: bool,
        peers: Vec<Peer>,
        clock: &Arc<Clock>,
        stop: &Arc<Stop>,
        hear: fn(&mut Peer, &Clock, &Stop) -> Result<(), ClusterError>,
        speak: fn(&mut TcpStream, &Clock, &LastWord) -> io::Result<()>,
    ) -> Result<Self, JobError> {
        let (tell, events) = channel();
        let (speaks, speaking) = channel();
        let (awaited, last_word) = (peers.len(), Arc::<LastWord>::default());
        for mut peer in peers {
            let mut heard = peer.to_hear(SILENT)?;
            let (heard_clock, stop, heard_of) = (clock.clone(), stop.clone(), tell.clone());
            let listen = move || {
                let event = match hear(&mut heard, &heard_clock, &stop) {
                    Err(lost @ ClusterError::Lost { .. }) => Event::Lost(lost),
                    ended => Event::Ended(ended),
                };
                // A process that is about to end asks no more.
                let _ = heard_of.send(event);
            };
            spawn("hear", listen)?;
            // A thread for each: one that takes nothing does not hold up the others.
            let (clock, word, tell, speaks) =
                (clock.clone(), last_word.clone(), tell.clone(), speaks.clone());
            spawn("speak", move || {
                // Until its last word is said.
                let _speaks: Sender<()> = speaks;
                let spoken = peer.to_speak(SILENT).and_then(|()| speak(&mut peer.stream, &clock, &word));
                if let Err(error) = spoken {
                    let _ = tell.send(Event::Deaf(peer.lost(&error)));
                    // A part of a message may be sent: what would follow it means something else.
                    let _ = peer.stream.shutdown(Shutdown::Both);
                }
            })?;
        }
        Ok(Self { awaited, failure: None, last_word, speaking, events, tell, is_first })
    }

    /// Fails if another process is gone or has failed.
    pub fn check(&mut self) -> Result<(), JobError> {
        while let Ok(event) = self.events.try_recv() {
            self.take(event)?;
        }
        self.failure.take().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Waits until this process's workers have ended.
    ///
    /// # Errors
    /// Another process is gone, or a worker panicked. Then others wait for what does not come: they are
    /// left where they are, and this process has to end.
    pub fn work(
        &mut self,
        guards: WorkerGuards<()>,
        has_panicked: impl Fn() -> bool,
    ) -> Result<(), JobError> {
        let tell = self.tell.clone();
        spawn("workers", move || {
            // A worker that panicked has said so itself.
            guards.join();
            let _ = tell.send(Event::Worked);
        })?;
        let mut panicked: Option<Instant> = None;
        loop {
            match self.events.recv_timeout(GRACE / 10) {
                Ok(Event::Worked) if !has_panicked() => return Ok(()),
                Ok(event) => self.take(event)?,
                Err(_) => {}
            }
            if has_panicked() && panicked.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                return Err(Bug("a worker").into());
            }
        }
    }

    /// Does `work`, and ends together with the others, or fails with them.
    pub fn finish_with<T>(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<T, JobError>,
    ) -> Result<T, JobError> {
        let done = work(&mut self);
        if self.is_first { self.finish_first(done) } else { self.finish_other(done) }
    }

    /// Process 0 hears all others before it says its last word, so that it passes on what failed.
    fn finish_first<T>(mut self, done: Result<T, JobError>) -> Result<T, JobError> {
        let done = done.and_then(|done| {
            self.hear_last()?;
            self.check()?;
            Ok(done)
        });
        let failure = done.as_ref().err().map(|failure| match failure {
            JobError::Cluster(_) => failure.to_string(),
            _ => format!("process 0 failed: {failure}"),
        });
        self.say_last(failure);
        done
    }

    /// The others end when process 0 says that all is committed.
    fn finish_other<T>(mut self, done: Result<T, JobError>) -> Result<T, JobError> {
        // Process 0 knows or is gone; and where a worker failed, only the end of the process ends the
        // workers of the others, which wait for it.
        if matches!(done, Err(JobError::Cluster(_) | JobError::Bug(_))) {
            return done;
        }
        self.say_last(done.as_ref().err().map(JobError::to_string));
        let heard = self.hear_last();
        done.and_then(|done| heard.map(|()| done))
    }

    fn hear_last(&mut self) -> Result<(), JobError> {
        while self.awaited > 0 {
            match self.events.recv() {
                Ok(event) => self.take(event)?,
                Err(_) => return Err(Bug("the control connection").into()),
            }
        }
        Ok(())
    }

    fn say_last(&mut self, failure: Option<String>) {
        // Set once; who speaks ends with it.
        let _ = self.last_word.set(failure);
        // One that takes nothing is left: it will hear that the connection ended.
        let _ = self.speaking.recv_timeout(GRACE);
    }

    fn take(&mut self, event: Event) -> Result<(), JobError> {
        match event {
            Event::Ended(ended) => {
                self.awaited -= 1;
                if let Err(failure) = ended {
                    // The end of process 0 is that of all; another's workers end all workers.
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
            Event::Deaf(lost) => Err(lost.into()),
            Event::Worked => Ok(()),
        }
    }
}

/// In process 0: counts what another process reads, until its last word.
fn hear_other(other: &mut Peer, clock: &Clock, stop: &Stop) -> Result<(), ClusterError> {
    loop {
        match receive(&mut other.stream).map_err(|error| other.lost(&error))? {
            FromOther::Read(Tally { records, bytes, queued }) => {
                clock.read(records, bytes);
                clock.queue(queued);
            }
            FromOther::Stop if clock.is_stopping() => {}
            FromOther::Stop => {
                tracing::info!("process {} was asked to end: stopping after the open epoch", other.process);
                clock.stop();
                // What still waits for a start does so no more.
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

/// In the others: lets the clock follow that of process 0, until its last word.
fn hear_first(first: &mut Peer, clock: &Clock, stop: &Stop) -> Result<(), ClusterError> {
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

/// In process 0: tells one of the others of the clock whenever it changes.
///
/// # Errors
/// It does not take a message. Nothing may be sent to it any more.
fn speak_first(other: &mut impl Write, clock: &Clock, last_word: &LastWord) -> io::Result<()> {
    let (mut said, mut at) = (None, Instant::now());
    loop {
        let last = last_word.get();
        let beat = clock.beat();
        if said != Some(beat) || at.elapsed() >= ALIVE {
            send(other, &FromFirst::Beat(beat))?;
            (said, at) = (Some(beat), Instant::now());
        }
        if let Some(failure) = last {
            return send(other, &FromFirst::End(failure.clone()));
        }
        sleep(LOOK);
    }
}

/// In the others: tells process 0 what was read, and that this process was asked to end.
///
/// # Errors
/// It does not take a message. Nothing may be sent to it any more.
fn speak_other(first: &mut impl Write, clock: &Clock, last_word: &LastWord) -> io::Result<()> {
    let (mut stopping, mut at) = (false, Instant::now());
    loop {
        let last = last_word.get();
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
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Limits;
    use std::net::TcpListener;

    fn clocks() -> (Arc<Clock>, Arc<Clock>) {
        let limits = Limits {
            interval: Duration::ZERO,
            epoch_records: 100,
            epoch_bytes: 1000,
            epochs_in_flight: 2,
            bytes_in_flight: 500,
        };
        (Arc::new(Clock::new(limits, 7)), Arc::new(Clock::following(limits, 7)))
    }

    /// Both ends of a connection: what process 0 has, and what process 1 has.
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

    /// Sends bytes until the connection takes no more.
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
            sleep(LOOK);
        }
    }

    #[test]
    fn a_clock_follows_and_what_is_read_counts_until_both_end() {
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
    fn a_peer_that_stalls_in_the_middle_of_a_message_holds_up_nobody_else() {
        // It reads nothing, and its connection is full: each message to it stops on its way.
        let (mut stalled, takes_nothing) = peers();
        fill(&mut stalled.stream);
        let (one, other) = peers();
        let (first, second) = clocks();
        let lead = lead(vec![stalled, Peer { process: 2, ..one }], &first);
        let follow = follow(other, &second);
        first.read(1, 10);
        until(|| second.now() == 9);
        // The last word reaches who listens, too.
        let fails = |_: &mut Control| Err::<(), _>(unreadable());
        let ends = std::thread::spawn(move || follow.finish_with(|_| Ok(())).unwrap_err().to_string());
        let error = lead.finish_with(fails).unwrap_err().to_string();
        assert!(ends.join().unwrap().ends_with(&error), "{error}");
        drop(takes_nothing);
    }

    /// Takes so many bytes, and then nothing for too long.
    struct Stalls {
        room: usize,
        taken: Vec<u8>,
        stalled: bool,
    }

    impl Write for Stalls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!self.stalled, "it is spoken to after a part of a message");
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
    fn after_a_part_of_a_message_nothing_more_is_said() {
        let (first, second) = clocks();
        let over: LastWord = OnceLock::from(None);
        let mut stalls = Stalls { room: 10, taken: Vec::new(), stalled: false };
        assert!(speak_first(&mut stalls, &first, &over).is_err());
        assert_eq!(stalls.taken.len(), 10);
        let mut stalls = Stalls { room: 10, taken: Vec::new(), stalled: false };
        second.read(1, 10);
        assert!(speak_other(&mut stalls, &second, &over).is_err());
        assert_eq!(stalls.taken.len(), 10);
    }

    #[test]
    fn who_takes_no_message_is_gone() {
        let (one, _takes_nothing) = peers();
        let (first, _) = clocks();
        // Nothing more can be sent.
        one.stream.shutdown(Shutdown::Write).unwrap();
        let mut lead = lead(vec![one], &first);
        until(|| lead.check().is_err_and(|error| error.to_string().contains("is gone")));
    }

    #[test]
    fn who_is_gone_is_named() {
        let (one, other) = peers();
        let (first, _) = clocks();
        let mut lead = lead(vec![one], &first);
        drop(other);
        let parked = timely::execute(timely::Config::thread(), |_| std::thread::park()).unwrap();
        let worker = parked.guards()[0].thread().clone();
        let error = lead.work(parked, || false).unwrap_err().to_string();
        assert!(error.starts_with("process 1 at 127.0.0.1") && error.contains("is gone"), "{error}");
        worker.unpark();
    }
}
