//! Runs a job as a child process, as a user would start it, and follows it through its JSON log.
//!
//! The configuration is passed through a pipe, so that no secret reaches the disk or the process list. The log has
//! the time and the offsets of each commit.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::error::BenchError;
use crate::command::error::Error;
use crate::config::Config;
use crate::runtime::failure::{Bug, SystemError};
use crate::runtime::secret::ExposeSecret;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// Give up if the job logs nothing for this long.
const SILENCE: Duration = Duration::from_secs(120);
/// How long the job may take to stop.
const END: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A commit, from the job's log.
pub(super) struct Commit {
    pub(super) at: SystemTime,
    /// Messages up to and including this commit.
    pub(super) messages: u64,
    /// The next offset of each partition that moved.
    pub(super) offsets: Vec<(i32, i64)>,
}

/// What the job's log has reported so far.
pub(super) struct JobLog {
    pub(super) started: SystemTime,
    /// When the job began to read.
    pub(super) reading: Option<SystemTime>,
    /// The commits with at least one message.
    pub(super) commits: Vec<Commit>,
    /// Whether the job has logged `done`.
    done: bool,
    pub(super) dead_letters: u64,
    pub(super) peak_memory: u64,
    /// The last logged error.
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

    fn add(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return };
        let at = humantime::parse_rfc3339(&line.timestamp).unwrap_or(self.started);
        let Fields { message, messages, offsets, dead_letters, peak_memory_bytes } = line.fields;
        match message.as_str() {
            "reading" => self.reading = Some(at),
            "committed" if messages > 0 => {
                let offsets = offsets.split(' ').filter_map(|pair| {
                    let (partition, offset) = pair.split_once(':')?;
                    Some((partition.parse().ok()?, offset.parse().ok()?))
                });
                let messages = self.messages() + messages;
                self.commits.push(Commit { at, messages, offsets: offsets.collect() });
            }
            "done" => {
                (self.done, self.dead_letters, self.peak_memory) = (true, dead_letters, peak_memory_bytes);
            }
            _ if line.level == "ERROR" => self.failure = Some(message),
            _ if line.level == "WARN" => tracing::warn!("the measured job: {message}"),
            _ => {}
        }
    }
}

/// A line of the log.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    level: String,
    fields: Fields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    message: String,
    messages: u64,
    offsets: String,
    dead_letters: u64,
    peak_memory_bytes: u64,
}

/// A running job, killed on drop.
pub(super) struct Job {
    process: Child,
    lines: Receiver<String>,
    log: JobLog,
}

impl Job {
    /// Starts a job.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        let system = |source| SystemError { verb: "start the job", source };
        let toml = config.exposed().map_err(|_| Bug("the configuration as TOML"))?;
        let mut command = Command::new(std::env::current_exe().map_err(system)?);
        command.args(["run", "--die-with-parent", "--config", "/dev/stdin", "--log-format", "json"]);
        if !config.selected.is_empty() {
            command.args(["--views", &config.selected.join(",")]);
        }
        // The configuration already contains these variables; here they would override its changes.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TRUCKFLOW_") {
                command.env_remove(name);
            }
        }
        command.env("TRUCKFLOW_LOG", "info,truckflow::job::commit=debug");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = SystemTime::now();
        let mut process = command.spawn().map_err(system)?;
        if let Some(mut stdin) = process.stdin.take() {
            // A job that exits before reading all of it logs the reason.
            let _ = stdin.write_all(toml.expose_secret().as_bytes());
        }
        let (sender, lines) = channel();
        if let Some(log) = process.stderr.take() {
            // Ends with the process.
            spawn("log", move || {
                for line in BufReader::new(log).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            })?;
        }
        Ok(Self { process, lines, log: JobLog::new(started) })
    }

    /// What the log has reported so far.
    pub(super) fn log(&self) -> &JobLog {
        &self.log
    }

    /// Reads the log until `enough` or until the job ends; fails if the job failed. Returns whether it still runs.
    pub(super) fn follow(
        &mut self,
        stop: &Stop,
        mut enough: impl FnMut(&JobLog) -> bool,
    ) -> Result<bool, Error> {
        let mut last_line = Instant::now();
        while !enough(&self.log) {
            if stop.requested() {
                return Err(BenchError::Interrupted.into());
            }
            match self.lines.recv_timeout(POLL) {
                Ok(line) => {
                    last_line = Instant::now();
                    self.log.add(&line);
                }
                Err(RecvTimeoutError::Timeout) if last_line.elapsed() < SILENCE => {}
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
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.add(&line),
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
    fn the_log_of_a_job_is_parsed() {
        let mut log = JobLog::new(SystemTime::UNIX_EPOCH);
        for line in [
            r#"{"timestamp":"1970-01-01T00:00:00.250000Z","level":"INFO","fields":{"message":"reading","workers":2},"target":"t"}"#,
            r#"{"timestamp":"1970-01-01T00:00:00.300000Z","level":"DEBUG","fields":{"message":"committed","epoch":0,"messages":0,"offsets":"0:0 1:0"},"target":"t"}"#,
            "no JSON",
            r#"{"timestamp":"1970-01-01T00:00:01.500000Z","level":"DEBUG","fields":{"message":"committed","epoch":1,"messages":7,"offsets":"0:3 1:4"},"target":"t"}"#,
            r#"{"timestamp":"1970-01-01T00:00:02.000000Z","level":"DEBUG","fields":{"message":"committed","epoch":2,"messages":1,"offsets":"1:5"},"target":"t"}"#,
            r#"{"timestamp":"1970-01-01T00:00:02.100000Z","level":"INFO","fields":{"message":"done","records":8,"dead_letters":2,"peak_memory_bytes":4096},"target":"t"}"#,
        ] {
            log.add(line);
        }
        assert_eq!(log.to_reading(), Some(Duration::from_millis(250)));
        assert_eq!(log.to_first_commit(), Some(Duration::from_millis(1500)));
        assert_eq!((log.messages(), log.dead_letters, log.peak_memory), (8, 2, 4096));
        assert_eq!(log.commits[0].offsets, [(0, 3), (1, 4)]);
    }
}
