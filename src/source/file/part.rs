//! One of the files that have had the name of an input, and its position.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use dataflows::item::Mark;

use super::identity::{Likeness, Trace};
use super::input::{Growing, Stream};

/// One of the files that have had the name, numbered in order.
#[derive(Debug)]
pub(super) struct Part {
    /// Its number among them.
    pub(super) partition: i32,
    /// The numbers of the first message of the last block and of the next message.
    pub(super) first: i64,
    pub(super) line: i64,
    pub(super) trace: Trace,
    pub(super) input: Input,
    /// The first record, if it is a header.
    pub(super) header: Option<Arc<[u8]>>,
    /// The beginning of a message that is not complete yet.
    pub(super) rest: Vec<u8>,
    /// The length of `rest` when it was last found incomplete.
    pub(super) checked: usize,
    /// Whether everything before the first line was skipped.
    pub(super) is_begun: bool,
    /// Whether the last message was complete without a line end, which may still follow.
    pub(super) is_open: bool,
    /// Whether it can no longer grow, so that its last line needs no line end.
    pub(super) is_final: bool,
    /// Whether another file has the name, which is read next.
    pub(super) is_replaced: bool,
    /// Its path, if it was found under another name.
    pub(super) found: Option<PathBuf>,
    /// Length and modification time of the file at the path when it was last compared, and the result.
    pub(super) compared: Option<((u64, SystemTime), Likeness)>,
}

#[derive(Debug)]
pub(super) enum Input {
    Growing(Growing),
    Stream(Stream),
    Ended,
}

/// A part of an input to be read again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) partition: i32,
    pub(super) line: i64,
    pub(super) from: Mark,
    pub(super) to: Mark,
}

impl Part {
    pub(super) fn new(partition: i32, input: Input) -> Self {
        Self {
            partition,
            first: 0,
            line: 0,
            trace: Trace::new(),
            is_final: matches!(input, Input::Stream(_)),
            input,
            header: None,
            rest: Vec::new(),
            checked: 0,
            is_begun: false,
            is_open: false,
            is_replaced: false,
            found: None,
            compared: None,
        }
    }

    /// Continues after what was read before.
    pub(super) fn at(mut self, line: i64, trace: Trace) -> Self {
        self.line = line;
        self.is_begun = trace.bytes() > 0;
        self.is_open = trace.is_within_a_line();
        self.trace = trace;
        self
    }

    /// Emits the first `messages` messages of a block, which end at `end`.
    pub(super) fn emit(&mut self, block: &mut Vec<u8>, end: usize, messages: i64) {
        self.rest.extend_from_slice(&block[end..]);
        block.truncate(end);
        self.trace.add(block);
        self.first = self.line;
        self.line += messages;
        self.is_open = self.trace.is_within_a_line();
        self.checked = 0;
    }

    /// Skips bytes at the beginning of a block that belong to no message.
    pub(super) fn skip(&mut self, block: &mut Vec<u8>, bytes: usize) {
        self.trace.add(&block[..bytes]);
        block.drain(..bytes);
    }

    /// Ends it at its position, because another file has the name.
    pub(super) fn finish(&mut self) {
        (self.input, self.is_final, self.is_replaced) = (Input::Ended, true, true);
    }
}
