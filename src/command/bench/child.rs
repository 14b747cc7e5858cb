//! A job in a process of its own, as its user starts it: `truckflow run`, told by the lines of its log.
//!
//! It gets its configuration through a pipe, so that no secret comes to a disk or into the list of
//! processes, and says of each commit when it was and how far it reached.

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

/// A job that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(120);
/// How long it may take to end.
const END: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// A commit, as the job told it.
pub(super) struct Commit {
    pub(super) at: SystemTime,
    /// Messages up to and with it.
    pub(super) messages: u64,
    /// The next offset of each partition that moved.
    pub(super) offsets: Vec<(i32, i64)>,
}

/// What a job has told until now.
pub(super) struct Told {
    pub(super) started: SystemTime,
    /// When it began to read.
    pub(super) reading: Option<SystemTime>,
    /// The commits that hold a message.
    pub(super) commits: Vec<Commit>,
    /// Whether it has done all that it was asked to.
    done: bool,
    pub(super) dead_letters: u64,
    pub(super) peak_memory: u64,
    /// What it said last of what went wrong.
    failure: Option<String>,
}

impl Told {
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

    /// From the start of the process to its first commit.
    pub(super) fn to_first_commit(&self) -> Option<Duration> {
        self.commits.first()?.at.duration_since(self.started).ok()
    }

    /// From the start of the process until it reads.
    pub(super) fn to_reading(&self) -> Option<Duration> {
        self.reading?.duration_since(self.started).ok()
    }

    fn take(&mut self, line: &str) {
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

/// A job that runs, killed when dropped.
pub(super) struct Job {
    process: Child,
    lines: Receiver<String>,
    told: Told,
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
        // They are in the configuration already, and would go over what is changed there.
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
            // A job that ends before it has read all says why.
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
        Ok(Self { process, lines, told: Told::new(started) })
    }

    /// What it has told until now.
    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    /// Listens until `enough`, or until it ends, which is an error if it failed. Whether it still runs.
    pub(super) fn listen(
        &mut self,
        stop: &Stop,
        mut enough: impl FnMut(&Told) -> bool,
    ) -> Result<bool, Error> {
        let mut heard = Instant::now();
        while !enough(&self.told) {
            if stop.requested() {
                return Err(BenchError::Interrupted.into());
            }
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => {
                    heard = Instant::now();
                    self.told.take(&line);
                }
                Err(RecvTimeoutError::Timeout) if heard.elapsed() < SILENCE => {}
                Err(RecvTimeoutError::Timeout) => return Err(BenchError::Silent(SILENCE.as_secs()).into()),
                Err(RecvTimeoutError::Disconnected) => return self.ended().map(|()| false),
            }
        }
        Ok(true)
    }

    /// Asks it to end, and waits until it has: what it has told.
    pub(super) fn finish(&mut self) -> Result<&Told, Error> {
        // The number of a process that was waited for may be another's.
        let runs = self.process.try_wait().is_ok_and(|status| status.is_none());
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).filter(|_| runs) {
            // It may have ended by itself just now.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.told.take(&line),
                Err(RecvTimeoutError::Timeout) => return Err(BenchError::Silent(END.as_secs()).into()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.ended()?;
        Ok(&self.told)
    }

    fn ended(&mut self) -> Result<(), Error> {
        let status =
            self.process.wait().map_err(|source| SystemError { verb: "wait for the job", source })?;
        // A signal may find one that has done all and is about to exit.
        match status.success() || self.told.done {
            true => Ok(()),
            false => Err(BenchError::Job(self.told.failure.take().unwrap_or(status.to_string())).into()),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It has ended, or is to be ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_by_its_log() {
        let mut told = Told::new(SystemTime::UNIX_EPOCH);
        for line in [
            r#"{"timestamp":"1970-01-01T00:00:00.250000Z","level":"INFO","fields":{"message":"reading","workers":2},"target":"t"}"#,
            r#"{"timestamp":"1970-01-01T00:00:00.300000Z","level":"DEBUG","fields":{"message":"committed","epoch":0,"messages":0,"offsets":"0:0 1:0"},"target":"t"}"#,
            "no JSON",
            r#"{"timestamp":"1970-01-01T00:00:01.500000Z","level":"DEBUG","fields":{"message":"committed","epoch":1,"messages":7,"offsets":"0:3 1:4"},"target":"t"}"#,
            r#"{"timestamp":"1970-01-01T00:00:02.000000Z","level":"DEBUG","fields":{"message":"committed","epoch":2,"messages":1,"offsets":"1:5"},"target":"t"}"#,
            r#"{"timestamp":"1970-01-01T00:00:02.100000Z","level":"INFO","fields":{"message":"done","records":8,"dead_letters":2,"peak_memory_bytes":4096},"target":"t"}"#,
        ] {
            told.take(line);
        }
        assert_eq!(told.to_reading(), Some(Duration::from_millis(250)));
        assert_eq!(told.to_first_commit(), Some(Duration::from_millis(1500)));
        assert_eq!((told.messages(), told.dead_letters, told.peak_memory), (8, 2, 4096));
        assert_eq!(told.commits[0].offsets, [(0, 3), (1, 4)]);
    }
}
