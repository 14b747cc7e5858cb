//! Lines of a file or of standard input; the number of a line, from 0, is its offset.
//!
//! Workers share one file: whoever is free takes the next block of whole lines, under a lock. The
//! block's epoch is read under that lock too, so that lines up to any offset never belong to a
//! later epoch than lines behind it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};

use dataflows::Epoch;
use dataflows::item::{Arrival, NextOffset};
use memchr::memmem::Finder;

use super::{Polled, Reader, SourceError};
use crate::clock::Clock;
use crate::decode::{Decode, Message};

/// Bytes taken at once: two of them and a decoded batch fit a core's cache.
const BLOCK: usize = 256 << 10;
/// Longer lines end the job: no reading is near this.
const LINE_LIMIT: usize = 64 << 20;

/// A file or standard input, shared by the workers.
#[derive(Debug)]
pub struct Lines {
    path: Arc<str>,
    input: Input,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    /// The number of the next line.
    line: i64,
    /// Whether to go on when the file grows.
    follow: bool,
    ended: bool,
}

#[derive(Debug)]
enum Input {
    File {
        file: File,
        left: u64,
    },
    /// Blocks from a thread, as reading a pipe waits.
    Pipe(Receiver<io::Result<Vec<u8>>>),
}

enum Got {
    Bytes,
    Nothing,
    End,
}

impl Lines {
    /// Opens `path` (`-`: standard input) at line `next`. With `follow`, lines that are appended
    /// later are read too; without, the end is where it is now.
    pub fn open(path: &str, next: i64, follow: bool) -> Result<Arc<Mutex<Self>>, SourceError> {
        let cannot = |source| SourceError::File { path: path.to_owned(), source };
        let is_pipe = path == "-" || {
            let metadata = std::fs::metadata(path).map_err(cannot)?;
            if metadata.is_dir() {
                return Err(cannot(io::Error::from(io::ErrorKind::IsADirectory)));
            }
            !metadata.is_file()
        };
        let input = if is_pipe {
            let input: Box<dyn Read + Send> =
                if path == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(cannot)?) };
            Input::Pipe(read_pipe(input))
        } else {
            let file = File::open(path).map_err(cannot)?;
            let left = if follow { u64::MAX } else { file.metadata().map_err(cannot)?.len() };
            Input::File { file, left }
        };
        let follow = follow && !is_pipe;
        let mut lines = Self { path: path.into(), input, rest: Vec::new(), line: 0, follow, ended: false };
        lines.skip_to(next)?;
        Ok(Arc::new(Mutex::new(lines)))
    }

    /// Reads up to line `next`.
    fn skip_to(&mut self, next: i64) -> Result<(), SourceError> {
        let mut block = Vec::new();
        while self.line < next {
            let first = self.line;
            match self.next_block(&mut block)? {
                Got::Bytes if self.line > next => {
                    // Give back the lines behind the one looked for, and what followed them.
                    let skipped = (next - first) as usize;
                    let end =
                        memchr::memchr_iter(b'\n', &block).nth(skipped - 1).map_or(block.len(), |at| at + 1);
                    self.rest.splice(0..0, block.drain(end..));
                    self.line = next;
                }
                Got::Bytes => {}
                Got::Nothing if matches!(self.input, Input::Pipe(_)) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Got::Nothing | Got::End => {
                    return Err(SourceError::Shrunk {
                        path: self.path.to_string(),
                        found: self.line,
                        committed: next,
                    });
                }
            }
        }
        Ok(())
    }

    /// Puts the next whole lines into `block` and moves `line` past them.
    fn next_block(&mut self, block: &mut Vec<u8>) -> Result<Got, SourceError> {
        block.clear();
        std::mem::swap(block, &mut self.rest);
        // What `skip_to` gave back is whole lines already.
        if memchr::memchr(b'\n', block).is_none() {
            loop {
                let searched = block.len();
                match self.fill(block)? {
                    Got::Bytes => {}
                    Got::Nothing => {
                        std::mem::swap(block, &mut self.rest);
                        return Ok(Got::Nothing);
                    }
                    Got::End if block.is_empty() => return Ok(Got::End),
                    // The last line has no line feed.
                    Got::End => {
                        self.line += 1;
                        return Ok(Got::Bytes);
                    }
                }
                if memchr::memchr(b'\n', &block[searched..]).is_some() {
                    break;
                }
                if block.len() > LINE_LIMIT {
                    let (path, line) = (self.path.to_string(), self.line + 1);
                    return Err(SourceError::LongLine { path, line, limit: LINE_LIMIT });
                }
            }
        }
        let end = memchr::memrchr(b'\n', block).map_or(block.len(), |at| at + 1);
        self.rest.extend_from_slice(&block[end..]);
        block.truncate(end);
        self.line += memchr::memchr_iter(b'\n', block).count() as i64;
        Ok(Got::Bytes)
    }

    /// Appends what the input has now to `block`.
    fn fill(&mut self, block: &mut Vec<u8>) -> Result<Got, SourceError> {
        if self.ended {
            return Ok(Got::End);
        }
        let got = match &mut self.input {
            Input::File { file, left } => {
                let want = (*left).min(BLOCK as u64);
                let read = file
                    .take(want)
                    .read_to_end(block)
                    .map_err(|source| SourceError::File { path: self.path.to_string(), source })?;
                if !self.follow {
                    *left -= read as u64;
                }
                match read {
                    0 if self.follow => Got::Nothing,
                    0 => Got::End,
                    _ => Got::Bytes,
                }
            }
            Input::Pipe(blocks) => match blocks.try_recv() {
                Ok(Ok(bytes)) => {
                    block.extend_from_slice(&bytes);
                    Got::Bytes
                }
                Ok(Err(source)) => return Err(SourceError::File { path: self.path.to_string(), source }),
                Err(TryRecvError::Empty) => Got::Nothing,
                Err(TryRecvError::Disconnected) => Got::End,
            },
        };
        self.ended = matches!(got, Got::End);
        Ok(got)
    }
}

/// Reads a pipe on a thread of its own, a few blocks ahead.
fn read_pipe(mut input: Box<dyn Read + Send>) -> Receiver<io::Result<Vec<u8>>> {
    let (blocks, receiver) = sync_channel(4);
    std::thread::spawn(move || {
        loop {
            let mut block = vec![0; BLOCK];
            let sent = match input.read(&mut block) {
                Ok(0) => break,
                Ok(read) => {
                    block.truncate(read);
                    blocks.send(Ok(block))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => {
                    let _ = blocks.send(Err(error));
                    break;
                }
            };
            if sent.is_err() {
                break; // the job ended
            }
        }
    });
    receiver
}

/// One worker's reader of shared [`Lines`].
#[derive(Debug)]
pub struct LineReader {
    lines: Arc<Mutex<Lines>>,
    path: Arc<str>,
    block: Vec<u8>,
    next: i64,
    /// What ends the key that a line begins with.
    separator: Option<Finder<'static>>,
}

impl LineReader {
    /// A reader for one worker.
    pub fn new(lines: Arc<Mutex<Lines>>) -> Self {
        let path = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).path.clone();
        Self { lines, path, block: Vec::with_capacity(2 * BLOCK), next: 0, separator: None }
    }

    /// Takes what stands before the first `separator` of a line as the message's key, and nothing
    /// behind it as a message without a value. A line without it has no key.
    pub fn with_keys(mut self, separator: Option<&str>) -> Self {
        self.separator = separator.map(|separator| Finder::new(separator).into_owned());
        self
    }

    fn take(&mut self, clock: &Clock) -> Result<(Got, Epoch, i64), SourceError> {
        let mut lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let epoch = clock.now();
        let first = lines.line;
        let got = lines.next_block(&mut self.block)?;
        self.next = lines.line;
        if matches!(got, Got::Bytes) {
            // Counted under the lock: the epoch must not end between taking lines and counting them.
            clock.read((lines.line - first) as u64, self.block.len() as u64);
        }
        Ok((got, epoch, first))
    }
}

/// The key and the value of the message in a line.
pub fn message<'a>(line: &'a [u8], separator: Option<&Finder<'_>>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let Some((separator, at)) = separator.and_then(|found| Some((found, found.find(line)?))) else {
        return (None, Some(line));
    };
    let (key, value) = (&line[..at], &line[at + separator.needle().len()..]);
    (Some(key), Some(value).filter(|value| !matches!(value, [] | [b'\r'])))
}

impl Reader for LineReader {
    fn poll<D: Decode>(&mut self, clock: &Clock, decoder: &mut D) -> Result<Polled, SourceError> {
        let (got, epoch, first) = self.take(clock)?;
        match got {
            Got::Nothing => return Ok(Polled::Idle),
            Got::End => return Ok(Polled::End),
            Got::Bytes => {}
        }
        let mut lines = self.block.as_slice();
        let mut offset = first;
        while !lines.is_empty() {
            let end = memchr::memchr(b'\n', lines).unwrap_or(lines.len());
            let (key, payload) = message(&lines[..end], self.separator.as_ref());
            decoder.decode(&Message { partition: 0, offset, timestamp: None, key, payload });
            lines = lines.get(end + 1..).unwrap_or(&[]);
            offset += 1;
        }
        Ok(Polled::Read(epoch))
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, _arrivals: &mut Vec<Arrival>) {
        offsets.push(NextOffset { topic: self.path.clone(), partition: 0, offset: self.next });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(path: &str, next: i64) -> Vec<(i64, Vec<u8>)> {
        let lines = Lines::open(path, next, false).unwrap();
        let mut lines = lines.lock().unwrap();
        let (mut got, mut block) = (Vec::new(), Vec::new());
        loop {
            let first = lines.line;
            match lines.next_block(&mut block).unwrap() {
                Got::Bytes => {
                    let text = block.strip_suffix(b"\n").unwrap_or(&block);
                    got.extend((first..).zip(text.split(|&b| b == b'\n').map(<[u8]>::to_vec)));
                }
                Got::Nothing => std::thread::yield_now(),
                Got::End => return got,
            }
        }
    }

    #[test]
    fn a_key_stands_before_the_first_separator() {
        let separator = Finder::new("\t");
        let split = |line: &'static str| message(line.as_bytes(), Some(&separator));
        assert_eq!(split("k\t{\t}"), (Some(&b"k"[..]), Some(&b"{\t}"[..])));
        assert_eq!(split("\t{}"), (Some(&b""[..]), Some(&b"{}"[..])));
        assert_eq!(split("k\t"), (Some(&b"k"[..]), None));
        assert_eq!(split("k\t\r"), (Some(&b"k"[..]), None));
        assert_eq!(split("{}"), (None, Some(&b"{}"[..])));
        assert_eq!(message(b"k\t", None), (None, Some(&b"k\t"[..])));
    }

    #[test]
    fn a_restart_at_any_line_reads_the_same_lines_under_the_same_numbers() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut expected = Vec::new();
        for line in 0..20_000i64 {
            let text = format!("{line}:{}", "x".repeat((line * 37 % 101) as usize));
            write!(file, "{}{text}", if line > 0 { "\n" } else { "" }).unwrap();
            expected.push((line, text.into_bytes()));
        }
        let path = file.path().to_str().unwrap();
        for next in [0, 1, 7, 4_000, 9_999, 19_999, 20_000] {
            assert_eq!(all(path, next), &expected[next as usize..], "from line {next}");
        }
        assert!(matches!(Lines::open(path, 20_001, false), Err(SourceError::Shrunk { found: 20_000, .. })));
    }

    #[test]
    fn an_empty_line_is_a_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a\n\nb\n").unwrap();
        let got = all(file.path().to_str().unwrap(), 1);
        assert_eq!(got, [(1, b"".to_vec()), (2, b"b".to_vec())]);
    }

    #[test]
    fn a_followed_file_gives_a_line_when_its_end_is_written() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a\nb").unwrap();
        let lines = Lines::open(file.path().to_str().unwrap(), 0, true).unwrap();
        let mut lines = lines.lock().unwrap();
        let mut block = Vec::new();
        assert!(matches!(lines.next_block(&mut block), Ok(Got::Bytes)));
        assert_eq!(block, b"a\n");
        assert!(matches!(lines.next_block(&mut block), Ok(Got::Nothing)));
        file.write_all(b"c\n").unwrap();
        assert!(matches!(lines.next_block(&mut block), Ok(Got::Bytes)));
        assert_eq!(block, b"bc\n");
    }
}
