//! Where the bytes of a text come from: a file that may grow and be replaced, or a stream that is read once.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::compression;

/// Bytes taken at once: two of them and a decoded batch fit a core's cache.
pub(super) const BLOCK: usize = 256 << 10;
/// Bytes at the beginning of a file, and before the place that was reached, which must stay what they are.
const WINDOW: usize = 4 << 10;
/// How often it is looked which file has the name, while there is nothing to read.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// More bytes.
    Bytes,
    /// None now.
    Nothing,
    /// None any more.
    End,
    /// None, as the file is another now.
    Changed(Change),
}

/// How a file became another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Another file has the name, and this one was read to its end.
    Renamed,
    /// Its bytes are no longer those that were read.
    Rewritten,
}

/// A file that may grow, and of which any part can be read again.
#[derive(Debug)]
pub(super) struct Growing {
    /// The name by which it is known, which another file may have by now.
    name: PathBuf,
    file: File,
    /// Where the next bytes are.
    position: u64,
    /// Where it ends, if it is not followed.
    end: Option<u64>,
    /// What must stay: bytes at the beginning, and before `position`.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// What it was when its bytes were compared last.
    seen: Option<(u64, i64, i64)>,
    looked: Option<Instant>,
    /// Whether another file that has bytes was seen under the name.
    is_renamed: bool,
}

impl Growing {
    /// The file at `path`, known as `name`, from `position` on; to where it ends now unless it is followed.
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
            looked: None,
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

    /// How many bytes there are to be read yet, if it is not followed.
    pub(super) fn left(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.position))
    }

    fn bytes_at(&self, position: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let read = read_at(&self.file, &mut bytes, position)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Appends what there is to `block`.
    pub(super) fn read(&mut self, block: &mut Vec<u8>) -> io::Result<Got> {
        let before = block.len();
        let want = self.left().unwrap_or(u64::MAX).min(BLOCK as u64) as usize;
        block.resize(before + want, 0);
        let read = read_at(&self.file, &mut block[before..], self.position)?;
        block.truncate(before + read);
        if read == 0 {
            return self.at_end();
        }
        // Looked at behind the read: what was read before it was replaced is not among what is new.
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

    /// What it means that nothing more was read.
    fn at_end(&mut self) -> io::Result<Got> {
        if self.left() == Some(0) {
            return Ok(Got::End);
        }
        let metadata = self.file.metadata()?;
        // What is empty may be filled again with the same.
        if metadata.len() == 0 && self.end.is_none() {
            return self.look();
        }
        let now = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if self.seen.replace(now) != Some(now) && !self.is_unchanged(self.position)? {
            return Ok(Got::Changed(Change::Rewritten));
        }
        // It was cut, or an error of the file system says that it has no more than this.
        if self.end.is_some() {
            return Ok(Got::Changed(Change::Rewritten));
        }
        self.look()
    }

    /// Whether the bytes are still those that were read, up to `end` at least.
    fn is_unchanged(&self, end: u64) -> io::Result<bool> {
        let before = self.position - self.tail.len() as u64;
        Ok(self.file.metadata()?.len() >= end
            && self.bytes_at(before, self.tail.len() as u64)? == self.tail
            && self.bytes_at(0, self.head.len() as u64)? == self.head)
    }

    /// Looks which file has the name. One that has bytes is written to in the place of this one, of which
    /// nothing more is to come then: if that is so at its end, it was finished.
    fn look(&mut self) -> io::Result<Got> {
        if self.is_renamed {
            return Ok(Got::Changed(Change::Renamed));
        }
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(Got::Nothing);
        }
        self.looked = Some(Instant::now());
        // It may have no name between a rename and the making of the next.
        if let Ok(other) = std::fs::metadata(&self.name) {
            self.is_renamed = other.len() > 0 && id(&other) != self.id()?;
        }
        Ok(Got::Nothing)
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What can be read once: a pipe, or the text of a compressed file. A thread reads it, as that waits.
#[derive(Debug)]
pub(super) struct Stream {
    blocks: Receiver<io::Result<Vec<u8>>>,
    /// Bytes of the file, if it is one, and how many of them were read.
    length: Option<u64>,
    read: Arc<AtomicU64>,
}

impl Stream {
    /// A pipe's text, which may be compressed.
    pub(super) fn of_pipe(input: Box<dyn Read + Send>) -> Self {
        let blocks = read_ahead(move || Ok(compression::text(input)?.0), false);
        Self { blocks, length: None, read: Arc::default() }
    }

    /// The text of a compressed file from `position` on, to `end` if that is given.
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

    /// Whether it is the text of a file, which is there already.
    pub(super) fn is_of_file(&self) -> bool {
        self.length.is_some()
    }

    /// How many bytes of a compressed file there are to be read yet.
    pub(super) fn left(&self) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(self.read.load(Relaxed)))
    }

    /// Appends what there is to `block`.
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

    /// Waits for what comes, and appends it to `block`; false at the end.
    pub(super) fn wait(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        match self.blocks.recv() {
            Ok(bytes) => block.extend_from_slice(&bytes?),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }
}

/// A file whose bytes are counted.
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

/// Reads an input on a thread of its own, a few blocks ahead; with `full`, each but the last is full.
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
                        // What was read before it is not lost.
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
                // Nobody waits for it if the job has ended.
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
