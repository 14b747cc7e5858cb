//! Inputs as a worker reads them.
//!
//! | file | contents |
//! |---|---|
//! | `lines` | lines, restarts, streams |
//! | `formats` | encodings, compression, CSV |
//! | `replaced` | files that were replaced while no job ran |
//! | `followed` | files that are replaced while a job follows them |
//! | `path` | paths of the same file |

mod followed;
mod formats;
mod lines;
mod path;
mod replaced;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::item::{Item, NextOffset};

use super::{LineReader, Lines, Options};
use crate::decode::{Counted, Decode, Message};
use crate::runtime::clock::{Clock, Limits};
use crate::source::file::Framing;
use crate::source::{OnDataLoss, Polled, Reader, SourceError};

const TIMEOUT: Duration = Duration::from_secs(60);
const FOLLOWED: fn() -> Options<'static> = || Options { follow: true, ..Options::default() };
const EARLIEST: fn() -> Options<'static> =
    || Options { on_data_loss: OnDataLoss::Earliest, ..Options::default() };

/// A folder with an input.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn input(&self) -> String {
        self.path("in").to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Empties the input without replacing it, as `copytruncate` does.
    fn truncate(&self) {
        OpenOptions::new().write(true).truncate(true).open(self.path("in")).unwrap();
    }

    fn open(&self, offsets: &[NextOffset], options: Options<'_>) -> Result<Job, SourceError> {
        Lines::open(&self.input(), offsets, options).map(Job::new)
    }

    /// The messages from `offsets` to the end.
    #[track_caller]
    fn rest(&self, offsets: &[NextOffset], options: Options<'_>) -> Vec<(i32, i64, String)> {
        let mut job = self.open(offsets, options).unwrap();
        job.read_to_the_end().unwrap();
        job.kept.kept
    }
}

#[derive(Default)]
struct Kept {
    header: Vec<u8>,
    kept: Vec<(i32, i64, String)>,
}

impl Decode for Kept {
    fn header(&mut self, header: &[u8]) {
        self.header = header.to_vec();
    }

    fn set_wall_clock(&mut self, _wall: i64) {}

    fn decode(&mut self, message: &Message<'_>) {
        let text = String::from_utf8(message.payload.unwrap().to_vec()).unwrap();
        self.kept.push((message.partition, message.offset, text));
    }

    fn take(&mut self, _items: &mut Vec<Item>) {}

    fn take_counts(&mut self, _count: &mut dyn FnMut(Counted<'_>, u64)) {}
}

/// CSV with a header.
const CSV: Options<'_> = Options {
    follow: false,
    framing: Framing::Records { separator: b',', has_header: true },
    separator: None,
    on_data_loss: OnDataLoss::Stop,
};

/// A worker that reads an input, and its committed offsets.
struct Job {
    lines: Arc<Mutex<Lines>>,
    reader: LineReader,
    clock: Clock,
    kept: Kept,
    offsets: Vec<NextOffset>,
}

impl Job {
    fn new(lines: Arc<Mutex<Lines>>) -> Self {
        let limits = Limits { interval: Duration::from_secs(1), epochs_in_flight: 2, ..Limits::NONE };
        let reader = LineReader::new(lines.clone());
        Self { lines, reader, clock: Clock::new(limits, 0), kept: Kept::default(), offsets: Vec::new() }
    }

    fn poll(&mut self) -> Result<Polled, SourceError> {
        let polled = self.reader.poll(&self.clock, &mut self.kept)?;
        if matches!(polled, Polled::Read(_)) {
            let mut new = Vec::new();
            self.reader.positions(&mut new, &mut Vec::new());
            self.offsets.retain(|at| new.iter().all(|new| new.partition != at.partition));
            self.offsets.append(&mut new);
        }
        Ok(polled)
    }

    fn read_to_the_end(&mut self) -> Result<(), SourceError> {
        while self.poll()? != Polled::End {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Reads everything that is available.
    #[track_caller]
    fn all_now(&mut self) -> Vec<(i32, i64, String)> {
        while self.poll().unwrap() != Polled::Idle {}
        std::mem::take(&mut self.kept.kept)
    }

    /// Reads until there are `count` messages.
    #[track_caller]
    fn read(&mut self, count: usize) -> Vec<(i32, i64, String)> {
        let due = Instant::now() + TIMEOUT;
        while self.kept.kept.len() < count {
            assert!(Instant::now() < due, "{:?}", self.kept.kept);
            self.poll().unwrap();
            std::thread::yield_now();
        }
        std::mem::take(&mut self.kept.kept)
    }

    /// Reads until an error.
    #[track_caller]
    fn failure(&mut self) -> SourceError {
        let due = Instant::now() + TIMEOUT;
        loop {
            assert!(Instant::now() < due, "{:?}", self.kept.kept);
            if let Err(error) = self.poll() {
                return error;
            }
        }
    }
}

/// Messages of one partition, from `first` on.
fn messages(partition: i32, first: i64, texts: &[&str]) -> Vec<(i32, i64, String)> {
    (first..).zip(texts).map(|(offset, text)| (partition, offset, (*text).to_owned())).collect()
}

fn line(n: usize) -> String {
    format!("{{\"n\": {n}, \"x\": \"{}\"}}", "x".repeat(n * 37 % 101))
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| line(n) + "\n").collect()
}

fn read_lines(partition: i32, range: std::ops::Range<usize>, first: i64) -> Vec<(i32, i64, String)> {
    (first..).zip(range).map(|(offset, n)| (partition, offset, line(n))).collect()
}
