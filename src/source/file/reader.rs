//! A worker's reader of shared [`Lines`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataflows::item::{Arrival, Mark, NextOffset};
use memchr::memmem::Finder;

use super::framing::{Framing, is_blank, message, without_end};
use super::input::{BLOCK, Got};
use super::lines::Lines;
use super::path::full_path;
use crate::decode::{Decode, Message};
use crate::runtime::clock::{Clock, Tick};
use crate::source::{Polled, Reader, SourceError};

/// A worker's reader of shared [`Lines`].
#[derive(Debug)]
pub struct LineReader {
    lines: Arc<Mutex<Lines>>,
    full_path: Arc<str>,
    separator: Option<Finder<'static>>,
    block: Vec<u8>,
    taken: Taken,
    /// The partition whose header was passed to the decoder.
    knows_header_of: Option<i32>,
}

/// The properties of the current block.
#[derive(Debug)]
struct Taken {
    tick: Tick,
    partition: i32,
    /// The numbers of its first message and of the first one after it.
    first: i64,
    next: i64,
    /// The mark of the bytes before that one.
    mark: Mark,
    framing: Framing,
    /// The header, if the decoder does not have it.
    header: Option<Arc<[u8]>>,
}

pub(crate) fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LineReader {
    /// A reader for one worker.
    pub fn new(lines: Arc<Mutex<Lines>>) -> Self {
        let (path, separator) = {
            let lines = lock(&lines);
            (lines.path().clone(), lines.separator().cloned())
        };
        Self {
            lines,
            full_path: full_path(&path).into(),
            separator,
            block: Vec::with_capacity(2 * BLOCK),
            taken: Taken {
                tick: Tick { epoch: 0, wall: 0 },
                partition: 0,
                first: 0,
                next: 0,
                mark: Mark::default(),
                framing: Framing::Lines,
                header: None,
            },
            knows_header_of: None,
        }
    }

    /// Takes a block.
    fn take(&mut self, clock: &Clock) -> Result<Got, SourceError> {
        let mut lines = lock(&self.lines);
        let tick = clock.tick();
        let got = lines.next_block(&mut self.block)?;
        if got == Got::Bytes {
            let (first, next) = lines.span();
            // Counted under the lock: the epoch must not end between taking lines and counting them.
            clock.read((next - first) as u64, self.block.len() as u64);
            let partition = lines.partition();
            let header = lines.header().filter(|_| self.knows_header_of != Some(partition)).cloned();
            let framing = lines.framing();
            self.taken = Taken { tick, partition, first, next, mark: lines.mark(), framing, header };
        }
        Ok(got)
    }
}

impl Reader for LineReader {
    fn poll<D: Decode>(&mut self, clock: &Clock, decoder: &mut D) -> Result<Polled, SourceError> {
        match self.take(clock)? {
            Got::Bytes => {}
            Got::Nothing | Got::Changed(_) => return Ok(Polled::Idle),
            Got::End => return Ok(Polled::End),
        }
        let Taken { tick: Tick { epoch, wall }, partition, first, framing, .. } = self.taken;
        decoder.set_wall_clock(wall);
        if let Some(header) = self.taken.header.take() {
            decoder.header(&header);
            self.knows_header_of = Some(partition);
        }
        let has_header = framing.has_header();
        let mut messages = self.block.as_slice();
        let mut offset = first;
        while !messages.is_empty() {
            let length = framing.length(messages, true).unwrap_or(messages.len());
            let line = without_end(&messages[..length]);
            let is_header = has_header && offset == 0;
            if !is_header && !is_blank(line, self.separator.as_ref()) {
                let (key, payload) = message(line, self.separator.as_ref());
                decoder.decode(&Message { partition, offset, key, payload, ..Message::default() });
            }
            messages = &messages[length..];
            offset += 1;
        }
        Ok(Polled::Read(epoch))
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, _arrivals: &mut Vec<Arrival>) {
        let Taken { partition, next, mark, .. } = self.taken;
        offsets.push(NextOffset { topic: self.full_path.clone(), partition, offset: next, mark: Some(mark) });
    }
}
