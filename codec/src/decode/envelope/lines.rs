//! A line of CSV, and the header of its message.

use std::ops::Range;

use super::others::Others;
use crate::decode::lines::without_mark;
use crate::text::csv;

/// A message of lines, and one of them.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// The end of the header and of the blank lines around it.
    header: usize,
    /// The line, without its end.
    line: Range<usize>,
    /// The end of the line with its end.
    end: usize,
}

impl<'t> Lines<'t> {
    /// Finds the line with this number from 0, in a text whose first line may be a header.
    pub fn find(text: &'t str, separator: u8, has_header: bool, place: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut at = bytes.len() - without_mark(bytes).len();
        let mut header = has_header.then_some(at);
        let (mut number, mut is_header) = (0, has_header);
        while at < bytes.len() {
            let length = csv::record_length(&bytes[at..], separator, true).unwrap_or(bytes.len() - at);
            let line = at..at + csv::without_end(&bytes[at..at + length]).len();
            at += length;
            if line.is_empty() {
                continue;
            }
            if std::mem::take(&mut is_header) {
                header = Some(at);
            } else if number == place {
                return Some(Self { text, header: header.unwrap_or_default(), line, end: at });
            } else {
                number += 1;
            }
        }
        None
    }

    /// The text with another line in its place.
    pub fn write(&self, line: &str, others: Others) -> String {
        let Range { start, end } = self.line;
        match others {
            Others::Stay => [&self.text[..start], line, &self.text[end..]].concat(),
            Others::Emptied | Others::LeftOut => {
                [&self.text[..self.header], line, &self.text[end..self.end]].concat()
            }
        }
    }
}
