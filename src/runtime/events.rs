//! What a job reports to the process that started it (`run --events FD`): a pipe of JSON lines.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::failure::SystemError;

/// A report. Times are in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The job begins to read.
    Reading {
        /// When.
        at: i64,
    },
    /// A commit that moved offsets.
    Committed {
        /// When.
        at: i64,
        /// Messages since the commit before.
        messages: u64,
        /// The partitions that moved, with their next offsets.
        offsets: Vec<(i32, i64)>,
    },
    /// The job ended.
    Done {
        /// Dead letters that were committed.
        dead_letters: u64,
        /// The most memory that the process had, in bytes.
        peak_memory_bytes: u64,
    },
    /// The job failed.
    Failed {
        /// Its error.
        reason: String,
    },
}

/// The pipe.
#[derive(Debug)]
pub struct Events(Mutex<File>);

impl Events {
    /// The pipe that is this file descriptor of the process.
    ///
    /// # Errors
    /// The process has no such descriptor.
    pub fn open(descriptor: u32) -> Result<Self, SystemError> {
        let pipe = File::options().write(true).open(format!("/dev/fd/{descriptor}"));
        pipe.map(|pipe| Self(Mutex::new(pipe)))
            .map_err(|source| SystemError { verb: "open --events", source })
    }

    /// Reports an event. The process that started the job may be gone.
    pub fn send(&self, event: &Event) {
        let mut pipe = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        let _ = pipe.write_all(&line);
    }
}
