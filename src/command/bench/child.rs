//! Runs a job as a child process, as a user would start it, and follows its events (`run --events`).
//!
//! The configuration is passed through a pipe, so that no secret reaches the disk or the process list. The events have
//! the time and the offsets of each commit.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use super::error::BenchError;
use crate::command::error::Error;
use crate::config::Config;
use crate::runtime::events::Event;
use crate::runtime::failure::{Bug, SystemError};
use crate::runtime::secret::ExposeSecret;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// Give up if the job reports nothing for this long.
const SILENCE: Duration = Duration::from_secs(120);
/// How long the job may take to stop.
const END: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A commit, that the job reported.
pub(super) struct Commit {
    pub(super) at: SystemTime,
    /// Messages up to and including this commit.
    pub(super) messages: u64,
    /// The next offset of each partition that moved.
    pub(super) offsets: Vec<(i32, i64)>,
}

/// What the job has reported so far.
pub(super) struct JobLog {
    pub(super) started: SystemTime,
    /// When the job began to read.
    pub(super) reading: Option<SystemTime>,
    /// The commits with at least one message.
    pub(super) commits: Vec<Commit>,
    /// Whether the job has reported its end.
    done: bool,
    pub(super) dead_letters: u64,
    pub(super) peak_memory: u64,
    /// Its error.
    failure: Option<String>,
}

impl JobLog {
    fn new(started: SystemTime) -> Self {
        Self {
            started,
            reading: None,
            commits: Vec::new(),
            done: false,
            dead_letters: 0,
            peak_memory: 0,
            failure: None,
        }
    }

    pub(super) fn messages(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.messages)
    }

    /// Time from the process start to the first commit.
    pub(super) fn to_first_commit(&self) -> Option<Duration> {
        self.commits.first()?.at.duration_since(self.started).ok()
    }

    /// Time from the process start to the start of reading.
    pub(super) fn to_reading(&self) -> Option<Duration> {
        self.reading?.duration_since(self.started).ok()
    }

    fn add(&mut self, event: Event) {
        let time = |micros: i64| SystemTime::UNIX_EPOCH + Duration::from_micros(micros.max(0) as u64);
        match event {
            Event::Reading { at } => self.reading = Some(time(at)),
            Event::Committed { at, messages, offsets } if messages > 0 => {
                let messages = self.messages() + messages;
                self.commits.push(Commit { at: time(at), messages, offsets });
            }
            Event::Committed { .. } => {}
            Event::Done { dead_letters, peak_memory_bytes } => {
                (self.done, self.dead_letters, self.peak_memory) = (true, dead_letters, peak_memory_bytes);
            }
            Event::Failed { reason } => self.failure = Some(reason),
        }
    }
}

/// A running job, killed on drop.
pub(super) struct Job {
    process: Child,
    events: Receiver<Event>,
    log: JobLog,
}

impl Job {
    /// Starts a job.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        let system = |source| SystemError { verb: "start the job", source };
        let toml = config.exposed().map_err(|_| Bug("the configuration as TOML"))?;
        let mut command = Command::new(std::env::current_exe().map_err(system)?);
        command.args(["run", "--die-with-parent", "--config", "/dev/stdin", "--events", "1"]);
        // The configuration already contains these variables; here they would override its changes.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TRUCKFLOW_") {
                command.env_remove(name);
            }
        }
        command.env("TRUCKFLOW_LOG", "warn");
        let (reports, pipe) = std::io::pipe().map_err(system)?;
        command.stdin(Stdio::piped()).stdout(pipe).stderr(Stdio::piped());
        let started = SystemTime::now();
        let mut process = command.spawn().map_err(system)?;
        // It holds this end of the pipe, too.
        drop(command);
        if let Some(mut stdin) = process.stdin.take() {
            // A job that exits before reading all of it reports the reason.
            let _ = stdin.write_all(toml.expose_secret().as_bytes());
        }
        if let Some(log) = process.stderr.take() {
            // Ends with the process.
            spawn("log", move || {
                // The error is reported as an event.
                let is_warning = |line: &String| !line.starts_with("truckflow: ");
                for line in BufReader::new(log).lines().map_while(Result::ok).filter(is_warning) {
                    tracing::warn!("the measured job: {line}");
                }
            })?;
        }
        let (sender, events) = channel();
        // Ends with the process.
        spawn("events", move || {
            for line in BufReader::new(reports).lines().map_while(Result::ok) {
                if serde_json::from_str(&line).is_ok_and(|event| sender.send(event).is_err()) {
                    break;
                }
            }
        })?;
        Ok(Self { process, events, log: JobLog::new(started) })
    }

    /// What the job has reported so far.
    pub(super) fn log(&self) -> &JobLog {
        &self.log
    }

    /// Reads the events until `enough` or until the job ends; fails if the job failed. Returns whether it still runs.
    pub(super) fn follow(
        &mut self,
        stop: &Stop,
        mut enough: impl FnMut(&JobLog) -> bool,
    ) -> Result<bool, Error> {
        let mut last_event = Instant::now();
        while !enough(&self.log) {
            if stop.requested() {
                return Err(BenchError::Interrupted.into());
            }
            match self.events.recv_timeout(POLL) {
                Ok(event) => {
                    last_event = Instant::now();
                    self.log.add(event);
                }
                Err(RecvTimeoutError::Timeout) if last_event.elapsed() < SILENCE => {}
                Err(RecvTimeoutError::Timeout) => return Err(BenchError::Silent(SILENCE.as_secs()).into()),
                Err(RecvTimeoutError::Disconnected) => return self.ended().map(|()| false),
            }
        }
        Ok(true)
    }

    /// Stops the job, waits for its end, and returns its log.
    pub(super) fn finish(&mut self) -> Result<&JobLog, Error> {
        // The pid of a process that was waited for may have been reused.
        let runs = self.process.try_wait().is_ok_and(|status| status.is_none());
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).filter(|_| runs) {
            // The process may have just exited by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.log.add(event),
                Err(RecvTimeoutError::Timeout) => return Err(BenchError::Silent(END.as_secs()).into()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.ended()?;
        Ok(&self.log)
    }

    fn ended(&mut self) -> Result<(), Error> {
        let status =
            self.process.wait().map_err(|source| SystemError { verb: "wait for the job", source })?;
        // The signal may reach a job that is done and about to exit.
        match status.success() || self.log.done {
            true => Ok(()),
            false => Err(BenchError::Job(self.log.failure.take().unwrap_or(status.to_string())).into()),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_of_a_job_are_added_up() {
        let mut log = JobLog::new(SystemTime::UNIX_EPOCH);
        for line in [
            r#"{"event":"reading","at":250000}"#,
            r#"{"event":"committed","at":300000,"messages":0,"offsets":[[0,0],[1,0]]}"#,
            r#"{"event":"committed","at":1500000,"messages":7,"offsets":[[0,3],[1,4]]}"#,
            r#"{"event":"committed","at":2000000,"messages":1,"offsets":[[1,5]]}"#,
            r#"{"event":"done","dead_letters":2,"peak_memory_bytes":4096}"#,
        ] {
            log.add(serde_json::from_str(line).unwrap());
        }
        assert_eq!(log.to_reading(), Some(Duration::from_millis(250)));
        assert_eq!(log.to_first_commit(), Some(Duration::from_millis(1500)));
        assert_eq!((log.messages(), log.dead_letters, log.peak_memory), (8, 2, 4096));
        assert_eq!(log.commits[0].offsets, [(0, 3), (1, 4)]);
    }
}
