//! Lines of a file or of standard input; the number of a line, from 0, is its offset.
//!
//! A file may be CSV instead, where a message is a record, which may go over several lines: its number
//! is its offset, and the header's is 0.
//!
//! Workers share one file: whoever is free takes the next block of whole lines, under a lock. The
//! block's epoch is read under that lock too, so that lines up to any offset never belong to a
//! later epoch than lines behind it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};

use dataflows::item::{Arrival, NextOffset};
use memchr::memmem::Finder;

use super::{Polled, Reader, SourceError};
use crate::clock::{Clock, Tick};
use crate::decode::{Decode, Message, record};

/// Bytes taken at once: two of them and a decoded batch fit a core's cache.
const BLOCK: usize = 256 << 10;
/// Longer lines end the job: no reading is near this.
const LINE_LIMIT: usize = 64 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line.
    Lines,
    /// A CSV record behind the first, which names the columns.
    Records,
}

impl Framing {
    /// That of a file which begins with `bytes`: lines if its first character begins an object, else
    /// records. None while that character is not there.
    fn of(bytes: &[u8]) -> Option<Self> {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
        let first = *text.first().filter(|_| bytes.len() > 2)?;
        Some(if first == b'{' { Self::Lines } else { Self::Records })
    }

    /// The length of the message that `bytes` begin with, its end included; none while they hold only
    /// a part of it. With `last`, nothing follows `bytes`.
    fn length(self, bytes: &[u8], last: bool) -> Option<usize> {
        match self {
            Self::Lines => memchr::memchr(b'\n', bytes).map(|at| at + 1).or(last.then_some(bytes.len())),
            Self::Records => record::length(bytes, last),
        }
    }

    /// The length of all messages of which `bytes` hold the whole, and how many these are.
    fn whole(self, bytes: &[u8], last: bool) -> (usize, i64) {
        let (mut end, mut messages) = (0, 0);
        match self {
            // There are many, and whoever counts them holds a lock.
            Self::Lines => {
                end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
                messages = memchr::memchr_iter(b'\n', bytes).count() as i64;
                if last && end < bytes.len() {
                    (end, messages) = (bytes.len(), messages + 1);
                }
            }
            Self::Records => {
                while end < bytes.len()
                    && let Some(length) = record::length(&bytes[end..], last)
                {
                    (end, messages) = (end + length, messages + 1);
                }
            }
        }
        (end, messages)
    }

    /// A message without its end.
    fn without_end(self, message: &[u8]) -> &[u8] {
        match self {
            Self::Lines => message.strip_suffix(b"\n").unwrap_or(message),
            Self::Records => record::without_end(message),
        }
    }
}

/// A file or standard input, shared by the workers.
#[derive(Debug)]
pub struct Lines {
    path: Arc<str>,
    input: Input,
    /// None until the file's first character was seen.
    framing: Option<Framing>,
    /// The first record, where messages are records.
    header: Option<Arc<[u8]>>,
    /// The beginning of a message whose end was not read yet.
    rest: Vec<u8>,
    /// The number of the next message.
    line: i64,
    /// Whether to go on when the file grows.
    follow: bool,
    ended: bool,
    /// The number of the first message that is not to be read, if that is not told by the file's end.
    until: Option<i64>,
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
        Self::open_framed(path, next, follow, Some(Framing::Lines))
    }

    /// Opens a file's lines from `next` up to, not with, line `until`.
    pub fn open_until(path: &str, next: i64, until: i64) -> Result<Arc<Mutex<Self>>, SourceError> {
        let lines = Self::open(path, next, false)?;
        lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).until = Some(until);
        Ok(lines)
    }

    /// Opens a file of lines or of CSV records: its first character says which.
    pub fn open_any(path: &str, next: i64, follow: bool) -> Result<Arc<Mutex<Self>>, SourceError> {
        Self::open_framed(path, next, follow, None)
    }

    fn open_framed(
        path: &str,
        next: i64,
        follow: bool,
        framing: Option<Framing>,
    ) -> Result<Arc<Mutex<Self>>, SourceError> {
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
        let mut lines = Self {
            path: path.into(),
            input,
            framing,
            header: None,
            rest: Vec::new(),
            line: 0,
            follow,
            ended: false,
            until: None,
        };
        if framing.is_none() {
            lines.look()?;
        }
        lines.skip_to(next)?;
        Ok(Arc::new(Mutex::new(lines)))
    }

    /// The record that names the columns, where messages are records and it was read already.
    pub fn header(&self) -> Option<&Arc<[u8]>> {
        self.header.as_ref()
    }

    /// Finds the framing and the header, if they are there already.
    fn look(&mut self) -> Result<(), SourceError> {
        let mut block = Vec::new();
        if matches!(self.next_block(&mut block)?, Got::Bytes) {
            self.rest.splice(0..0, block);
            self.line = 0;
        }
        Ok(())
    }

    /// Reads up to line `next`.
    fn skip_to(&mut self, next: i64) -> Result<(), SourceError> {
        let mut block = Vec::new();
        while self.line < next {
            let first = self.line;
            match self.next_block(&mut block)? {
                Got::Bytes if self.line > next => {
                    // Give back the lines behind the one looked for, and what followed them.
                    let framing = self.framing.unwrap_or(Framing::Lines);
                    let mut end = 0;
                    for _ in first..next {
                        end += framing.length(&block[end..], true).unwrap_or_default();
                    }
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

    /// Puts the next whole messages into `block` and moves `line` past them.
    fn next_block(&mut self, block: &mut Vec<u8>) -> Result<Got, SourceError> {
        block.clear();
        if self.until.is_some_and(|until| self.line >= until) {
            return Ok(Got::End);
        }
        std::mem::swap(block, &mut self.rest);
        // What was given back is whole messages already.
        let (mut end, mut messages) = self.whole(block, false);
        while messages == 0 {
            if block.len() > LINE_LIMIT {
                let (path, line) = (self.path.to_string(), self.line + 1);
                return Err(SourceError::LongLine { path, line, limit: LINE_LIMIT });
            }
            match self.fill(block)? {
                Got::Bytes => (end, messages) = self.whole(block, false),
                Got::Nothing => {
                    std::mem::swap(block, &mut self.rest);
                    return Ok(Got::Nothing);
                }
                Got::End if block.is_empty() => return Ok(Got::End),
                // The last line has no line feed.
                Got::End => (end, messages) = self.whole(block, true),
            }
        }
        self.rest.extend_from_slice(&block[end..]);
        block.truncate(end);
        if self.line == 0 && self.framing == Some(Framing::Records) {
            self.header = record::length(block, true).map(|length| block[..length].into());
        }
        self.line += messages;
        Ok(Got::Bytes)
    }

    /// The length of the whole messages in `block`, and how many they are.
    fn whole(&mut self, block: &[u8], last: bool) -> (usize, i64) {
        if self.framing.is_none() {
            // Of nothing but blanks each line is a message.
            self.framing = Framing::of(block).or(last.then_some(Framing::Lines));
        }
        self.framing.map_or((0, 0), |framing| framing.whole(block, last))
    }

    /// The bytes that are still to be read of a file that is not followed.
    pub fn left(&self) -> Option<u64> {
        match self.input {
            Input::File { left, .. } if !self.follow => Some(left),
            _ => None,
        }
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

/// The path of a file by which its offsets are kept, however it was named.
pub fn full_path(path: &str) -> String {
    match path {
        "-" => path.to_owned(),
        _ => std::fs::canonicalize(path).map_or(path.to_owned(), |full| full.display().to_string()),
    }
}

/// One worker's reader of shared [`Lines`].
#[derive(Debug)]
pub struct LineReader {
    lines: Arc<Mutex<Lines>>,
    /// As the file was named.
    path: Arc<str>,
    full_path: Arc<str>,
    block: Vec<u8>,
    framing: Framing,
    /// The header, until the decoder knows it.
    header: Option<Arc<[u8]>>,
    knows_header: bool,
    next: i64,
    /// What ends the key that a line begins with.
    separator: Option<Finder<'static>>,
}

impl LineReader {
    /// A reader for one worker.
    pub fn new(lines: Arc<Mutex<Lines>>) -> Self {
        let path = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).path.clone();
        Self {
            lines,
            full_path: full_path(&path).into(),
            path,
            block: Vec::with_capacity(2 * BLOCK),
            framing: Framing::Lines,
            header: None,
            knows_header: false,
            next: 0,
            separator: None,
        }
    }

    /// Takes what stands before the first `separator` of a line as the message's key, and nothing
    /// behind it as a message without a value. A line without it has no key.
    pub fn with_keys(mut self, separator: Option<&str>) -> Self {
        self.separator = separator.map(|separator| Finder::new(separator).into_owned());
        self
    }

    /// Takes a block; gives its epoch and the number of its first message.
    fn take(&mut self, clock: &Clock) -> Result<(Got, Tick, i64), SourceError> {
        let mut lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let tick = clock.tick();
        let first = lines.line;
        let got = lines.next_block(&mut self.block)?;
        self.next = lines.until.map_or(lines.line, |until| lines.line.min(until));
        self.framing = lines.framing.unwrap_or(Framing::Lines);
        if matches!(got, Got::Bytes) {
            // Counted under the lock: the epoch must not end between taking lines and counting them.
            clock.read((lines.line - first) as u64, self.block.len() as u64);
        }
        if !self.knows_header {
            self.header = lines.header.clone();
        }
        Ok((got, tick, first))
    }
}

/// Whether a key's end in a line can be told by this text.
pub fn is_separator(text: &str) -> bool {
    !text.is_empty() && !text.contains(['\n', '\r'])
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
        let (got, Tick { epoch, wall }, first) = self.take(clock)?;
        match got {
            Got::Nothing => return Ok(Polled::Idle),
            Got::End => return Ok(Polled::End),
            Got::Bytes => {}
        }
        decoder.set_wall_clock(wall);
        if let Some(header) = self.header.take() {
            decoder
                .header(&header)
                .map_err(|column| SourceError::NoColumn { path: self.path.to_string(), column })?;
            self.knows_header = true;
        }
        let framing = self.framing;
        let is_csv = framing == Framing::Records;
        let mut messages = self.block.as_slice();
        let mut offset = first;
        while !messages.is_empty() && offset < self.next {
            let length = framing.length(messages, true).unwrap_or(messages.len());
            let payload = framing.without_end(&messages[..length]);
            // A line of a CSV file that has nothing in it is no record.
            if !is_csv || (offset > 0 && !payload.is_empty()) {
                let (key, payload) = message(payload, self.separator.as_ref());
                decoder.decode(&Message { partition: 0, offset, timestamp: None, key, payload });
            }
            messages = &messages[length..];
            offset += 1;
        }
        Ok(Polled::Read(epoch))
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, _arrivals: &mut Vec<Arrival>) {
        offsets.push(NextOffset { topic: self.full_path.clone(), partition: 0, offset: self.next });
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

    /// The offsets and payloads of a CSV file's messages from `next` on.
    fn records(path: &str, next: i64) -> Vec<(i64, String)> {
        let lines = Lines::open_any(path, next, false).unwrap();
        let mut reader = LineReader::new(lines);
        let limits = crate::clock::Limits {
            interval: std::time::Duration::from_secs(1),
            epoch_records: u64::MAX,
            epoch_bytes: u64::MAX,
            epochs_in_flight: 2,
            bytes_in_flight: u64::MAX,
        };
        let (clock, mut decoder) = (Clock::new(limits, 0), Kept::default());
        while reader.poll(&clock, &mut decoder).unwrap() != Polled::End {}
        if !decoder.kept.is_empty() {
            assert_eq!(decoder.header, b"a,b\r\n");
        }
        decoder.kept
    }

    #[derive(Default)]
    struct Kept {
        header: Vec<u8>,
        kept: Vec<(i64, String)>,
    }

    impl Decode for Kept {
        fn header(&mut self, header: &[u8]) -> Result<(), &'static str> {
            self.header = header.to_vec();
            Ok(())
        }

        fn set_wall_clock(&mut self, _wall: i64) {}

        fn decode(&mut self, message: &Message<'_>) {
            let text = String::from_utf8(message.payload.unwrap().to_vec()).unwrap();
            self.kept.push((message.offset, text));
        }

        fn take(&mut self, _items: &mut Vec<dataflows::item::Item>) {}

        fn take_rounded(&mut self, _count: &mut dyn FnMut(&str, u64)) {}
    }

    #[test]
    fn a_restart_at_any_record_of_a_csv_file_reads_the_same_records_and_the_header() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a,b\r\n").unwrap();
        let mut expected = Vec::new();
        for record in 1..20_000i64 {
            let text = match record % 1000 {
                1 => "\"two\nlines\",\"a \"\"word\"\"\"".to_owned(),
                2 => String::new(),
                3 => "5\" pipe,1".to_owned(),
                _ => format!("{record},{}", "x".repeat((record * 37 % 101) as usize)),
            };
            write!(file, "{text}{}", ["\r\n", "\n"][record as usize % 2]).unwrap();
            if !text.is_empty() {
                expected.push((record, text));
            }
        }
        let path = file.path().to_str().unwrap();
        for next in [0, 1, 2, 4_001, 9_999, 19_999, 20_000] {
            let from = expected.iter().position(|(record, _)| *record >= next).unwrap_or(expected.len());
            assert!(records(path, next) == expected[from..], "from record {next}");
        }
        assert!(matches!(Lines::open_any(path, 20_001, false), Err(SourceError::Shrunk { .. })));
    }

    #[test]
    fn the_first_character_says_what_a_file_holds() {
        for (text, framing) in [
            (&b"\xef\xbb\xbf {\"a\": 1}\n"[..], Some(Framing::Lines)),
            (b"{'a': 1}", Some(Framing::Lines)),
            (b"\xef\xbb\xbftime,qz\n", Some(Framing::Records)),
            (b"time,qz", Some(Framing::Records)),
            (b"", None),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text).unwrap();
            let lines = Lines::open_any(file.path().to_str().unwrap(), 0, false).unwrap();
            assert_eq!(lines.lock().unwrap().framing, framing, "{}", text.escape_ascii());
        }
        // A file that is followed may be empty at first.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let lines = Lines::open_any(file.path().to_str().unwrap(), 0, true).unwrap();
        let (mut lines, mut block) = (lines.lock().unwrap(), Vec::new());
        assert!(matches!(lines.next_block(&mut block), Ok(Got::Nothing)));
        file.write_all(b"a,b\n1,").unwrap();
        assert!(matches!(lines.next_block(&mut block), Ok(Got::Bytes)));
        assert_eq!((&*block, &**lines.header().unwrap()), (&b"a,b\n"[..], &b"a,b\n"[..]));
    }
}
