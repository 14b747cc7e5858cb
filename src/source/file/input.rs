//! Reads the bytes of a text: from a file that may grow and be replaced, or from a stream.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::compression;
use super::fill::fill;

/// Bytes per block: two blocks and a decoded batch fit into the cache of a core.
pub(super) const BLOCK: usize = 256 << 10;
/// Bytes at the beginning of a file, and before the current position, that are checked for changes.
const WINDOW: usize = 4 << 10;
/// How often the name is checked for another file, while there is nothing to read.
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// More bytes.
    Bytes,
    /// No bytes are available now.
    Nothing,
    /// The input has ended.
    End,
    /// The file was replaced or changed.
    Changed(Change),
}

/// How a file was replaced or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Another file has the name now, and this one was read to its end.
    Renamed,
    /// Bytes that were read have changed.
    Rewritten,
}

/// A file that may grow, and that can be read at any position.
#[derive(Debug)]
pub(super) struct Growing {
    /// The name of the input, which another file may have by now.
    name: PathBuf,
    file: File,
    /// The position of the next bytes.
    position: u64,
    /// The end to read to, if it is not followed.
    end: Option<u64>,
    /// Bytes at the beginning and before `position`, which must not change.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Length and modification time when its bytes were last compared.
    seen: Option<(u64, i64, i64)>,
    checked: Option<Instant>,
    /// Whether another file that is not empty was seen under the name.
    is_renamed: bool,
}

impl Growing {
    /// Opens the file at `path` of the input `name` at `position`. Unless it is followed, it ends at its current length.
    pub(super) fn open(path: &Path, name: &Path, position: u64, follow: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = if follow { None } else { Some(file.metadata()?.len()) };
        let mut growing = Self {
            name: name.to_owned(),
            file,
            position,
            end,
            head: Vec::new(),
            tail: Vec::new(),
            seen: None,
            checked: None,
            is_renamed: false,
        };
        growing.head = growing.bytes_at(0, position.min(WINDOW as u64))?;
        growing.tail =
            growing.bytes_at(position.saturating_sub(WINDOW as u64), position.min(WINDOW as u64))?;
        Ok(growing)
    }

    /// Ends it at `end`.
    pub(super) fn end_at(&mut self, end: u64) {
        self.end = Some(end);
    }

    /// The device and the inode of the file.
    pub(super) fn id(&self) -> io::Result<(u64, u64)> {
        Ok(id(&self.file.metadata()?))
    }

    /// The number of bytes left, if it is not followed.
    pub(super) fn left(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.position))
    }

    fn bytes_at(&self, position: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let read = fill(&mut bytes, |rest, filled| self.file.read_at(rest, position + filled))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Appends available bytes to `block`.
    pub(super) fn read(&mut self, block: &mut Vec<u8>) -> io::Result<Got> {
        let before = block.len();
        let want = self.left().unwrap_or(u64::MAX).min(BLOCK as u64) as usize;
        block.resize(before + want, 0);
        let read =
            fill(&mut block[before..], |rest, filled| self.file.read_at(rest, self.position + filled))?;
        block.truncate(before + read);
        if read == 0 {
            return self.at_end();
        }
        // Checked after the read, so that no bytes of a rewritten file are taken for new ones.
        if !self.is_unchanged(self.position + read as u64)? {
            block.truncate(before);
            return Ok(Got::Changed(Change::Rewritten));
        }
        let new = &block[before..];
        self.position += read as u64;
        self.head.extend_from_slice(&new[..new.len().min(WINDOW - self.head.len())]);
        if new.len() >= WINDOW {
            self.tail.clear();
        }
        self.tail.extend_from_slice(&new[new.len().saturating_sub(WINDOW)..]);
        self.tail.drain(..self.tail.len().saturating_sub(WINDOW));
        Ok(Got::Bytes)
    }

    /// Why a read returned nothing.
    fn at_end(&mut self) -> io::Result<Got> {
        if self.left() == Some(0) {
            return Ok(Got::End);
        }
        let metadata = self.file.metadata()?;
        // An empty file may be filled with the same bytes again.
        if metadata.len() == 0 && self.end.is_none() {
            return self.check_name();
        }
        let now = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if self.seen.replace(now) != Some(now) && !self.is_unchanged(self.position)? {
            return Ok(Got::Changed(Change::Rewritten));
        }
        // It was truncated, or the file system returns less than its length.
        if self.end.is_some() {
            return Ok(Got::Changed(Change::Rewritten));
        }
        self.check_name()
    }

    /// Whether the file still has the bytes that were read, and a length of at least `end`.
    fn is_unchanged(&self, end: u64) -> io::Result<bool> {
        let before = self.position - self.tail.len() as u64;
        Ok(self.file.metadata()?.len() >= end
            && self.bytes_at(before, self.tail.len() as u64)? == self.tail
            && self.bytes_at(0, self.head.len() as u64)? == self.head)
    }

    /// Checks which file has the name. If it is another one that is not empty, this file gets no more bytes, and is
    /// finished when its end is reached once more.
    fn check_name(&mut self) -> io::Result<Got> {
        if self.is_renamed {
            return Ok(Got::Changed(Change::Renamed));
        }
        if self.checked.is_some_and(|at| at.elapsed() < CHECK_EVERY) {
            return Ok(Got::Nothing);
        }
        self.checked = Some(Instant::now());
        // There may be no file between the rename and the creation of the next one.
        if let Ok(other) = std::fs::metadata(&self.name) {
            self.is_renamed = other.len() > 0 && id(&other) != self.id()?;
        }
        Ok(Got::Nothing)
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A stream: a pipe, or the text of a compressed file. A thread reads it, because reads may block.
#[derive(Debug)]
pub(super) struct Stream {
    blocks: Receiver<io::Result<Vec<u8>>>,
    /// The bytes of the file, if it is one, and the number of bytes read.
    length: Option<u64>,
    read: Arc<AtomicU64>,
}

impl Stream {
    /// The text of a pipe, which may be compressed.
    pub(super) fn of_pipe(input: Box<dyn Read + Send>) -> Self {
        let blocks = read_ahead(move || Ok(compression::text(input)?.0), false);
        Self { blocks, length: None, read: Arc::default() }
    }

    /// The text of a compressed file from `position` on, up to `end` if given.
    pub(super) fn of_file(path: &Path, position: u64, end: Option<u64>) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = Some(file.metadata()?.len());
        let read = Arc::<AtomicU64>::default();
        let counted = Counted { file, read: read.clone() };
        let text = move || {
            let mut text = compression::text(Box::new(counted))?.0;
            io::copy(&mut text.by_ref().take(position), &mut io::sink())?;
            let left = end.map_or(u64::MAX, |end| end.saturating_sub(position));
            Ok::<Box<dyn Read + Send>, _>(Box::new(text.take(left)))
        };
        Ok(Self { blocks: read_ahead(text, true), length, read })
    }

    /// Whether it is the text of a file, whose reads do not block for long.
    pub(super) fn is_of_file(&self) -> bool {
        self.length.is_some()
    }

    /// The number of bytes left of a compressed file.
    pub(super) fn left(&self) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(self.read.load(Relaxed)))
    }

    /// Appends available bytes to `block`.
    pub(super) fn read(&mut self, block: &mut Vec<u8>) -> io::Result<Got> {
        match self.blocks.try_recv() {
            Ok(bytes) => {
                block.extend_from_slice(&bytes?);
                Ok(Got::Bytes)
            }
            Err(TryRecvError::Empty) => Ok(Got::Nothing),
            Err(TryRecvError::Disconnected) => Ok(Got::End),
        }
    }

    /// Waits for the next bytes and appends them to `block`; false at the end.
    pub(super) fn wait(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        match self.blocks.recv() {
            Ok(bytes) => block.extend_from_slice(&bytes?),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }
}

/// A file that counts the bytes read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// Reads an input on its own thread, a few blocks ahead; with `full`, all blocks except the last are full.
fn read_ahead(
    open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
    full: bool,
) -> Receiver<io::Result<Vec<u8>>> {
    let (blocks, receiver) = sync_channel(4);
    std::thread::spawn(move || {
        let read = || -> io::Result<()> {
            let mut input = open()?;
            loop {
                let mut block = vec![0; BLOCK];
                let mut filled = 0;
                while filled < BLOCK {
                    match input.read(&mut block[filled..]) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        // Passes on what was read before the error.
                        Err(error) => {
                            block.truncate(filled);
                            let _ = blocks.send(Ok(block));
                            return Err(error);
                        }
                    }
                    if !full {
                        break;
                    }
                }
                block.truncate(filled);
                // An error means that the job has ended.
                if filled == 0 || blocks.send(Ok(block)).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(error) = read() {
            let _ = blocks.send(Err(error));
        }
    });
    receiver
}
