//! Reads the lines of a text once, from beginning to end, for commands that send them elsewhere.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use dataflows::item::Mark;
use memchr::memmem::Finder;

use super::compression;
use super::encoding::{self, Start};
use super::framing::{Framing, is_blank, without_end};
use super::identity::Trace;
use super::lines::LINE_LIMIT;

const BUFFER: usize = 256 << 10;

/// The lines of a text, without blank lines and without line ends.
pub(crate) struct TextLines {
    input: BufReader<Box<dyn Read + Send>>,
    separator: Option<Finder<'static>>,
    /// Whether the text may still grow, so that a last line without line end may be incomplete.
    may_grow: bool,
    trace: Trace,
    mark: Mark,
    /// The number of lines read, including blank ones.
    line: i64,
    /// The number of the last line, from 1, and its bytes, if it was left.
    left: Option<(i64, u64)>,
}

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    /// An error of the operating system or of a decompressor.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not UTF-8.
    #[error("it is {0} text, not UTF-8")]
    Encoding(&'static str),
    /// A line is too long.
    #[error("line {line} is longer than {LINE_LIMIT} bytes")]
    LongLine {
        /// The line, from 1.
        line: i64,
    },
}

impl TextLines {
    /// The lines of the file at `path`, or of standard input (`-`).
    pub(crate) fn open(path: &Path, separator: Option<&str>) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::new(Box::new(io::stdin()), false, separator);
        }
        let file = File::open(path)?;
        let is_file = file.metadata()?.is_file();
        Self::new(Box::new(file), is_file, separator)
    }

    /// The lines of `input`, which `may_grow` unless it is compressed.
    pub(crate) fn new(
        input: Box<dyn Read + Send>,
        may_grow: bool,
        separator: Option<&str>,
    ) -> io::Result<Self> {
        let (input, format) = compression::text(input)?;
        Ok(Self {
            input: BufReader::with_capacity(BUFFER, input),
            separator: separator.map(|separator| Finder::new(separator).into_owned()),
            may_grow: may_grow && format.is_none(),
            trace: Trace::new(),
            mark: Mark::default(),
            line: 0,
            left: None,
        })
    }

    /// Reads the next line into `line`; false at the end.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, TextError> {
        loop {
            line.clear();
            let most = LINE_LIMIT as u64 + 1;
            if self.left.is_some() || (&mut self.input).take(most).read_until(b'\n', line)? == 0 {
                return Ok(false);
            }
            self.line += 1;
            if line.len() > LINE_LIMIT {
                return Err(TextError::LongLine { line: self.line });
            }
            let skipped = match self.trace.bytes() {
                0 => match encoding::start(line, true) {
                    Start::Text(skipped) => skipped,
                    Start::Other(encoding) => return Err(TextError::Encoding(encoding)),
                    Start::Unknown => 0,
                },
                _ => 0,
            };
            let separator = self.separator.as_ref();
            let has_end = line.last() == Some(&b'\n');
            if self.may_grow && !has_end && !Framing::Lines.is_complete(&line[skipped..], separator) {
                self.left = (!is_blank(line, separator)).then_some((self.line, line.len() as u64));
                return Ok(false);
            }
            // The mark excludes the line end, which may be written later.
            let (text, end) = line.split_at(line.trim_ascii_end().len());
            self.trace.add(text);
            self.mark = self.trace.mark();
            self.trace.add(end);
            line.truncate(without_end(line).len());
            line.drain(..skipped);
            if !is_blank(line, separator) {
                return Ok(true);
            }
        }
    }

    /// The mark of the bytes read, up to the end of the text of the last line.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// The number of the last line, from 1, and its bytes, if it was left because it has no line end.
    pub(crate) fn left(&self) -> Option<(i64, u64)> {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], may_grow: bool) -> (Vec<String>, Option<(i64, u64)>) {
        let mut lines = TextLines::new(Box::new(io::Cursor::new(text.to_vec())), may_grow, None).unwrap();
        let (mut line, mut found) = (Vec::new(), Vec::new());
        while lines.next(&mut line).unwrap() {
            found.push(String::from_utf8(line.clone()).unwrap());
        }
        (found, lines.left())
    }

    #[test]
    fn blank_lines_line_ends_and_a_byte_order_mark_are_removed() {
        let text = b"\xef\xbb\xbf{\"a\": 1}\r\n\r\n \nb \n{'c': 2}";
        let expected: Vec<String> = ["{\"a\": 1}", "b ", "{'c': 2}"].map(str::to_owned).to_vec();
        assert_eq!(lines(text, true), (expected.clone(), None));
        assert_eq!(lines(text, false), (expected, None));
    }

    #[test]
    fn a_last_line_without_an_end_is_left_if_the_text_may_grow() {
        assert_eq!(lines(b"a\n{\"b\": ", true), (vec!["a".to_owned()], Some((2, 6))));
        assert_eq!(lines(b"a\nb", false), (vec!["a".to_owned(), "b".to_owned()], None));
        assert_eq!(lines(b"a\n  ", true), (vec!["a".to_owned()], None));
    }

    #[test]
    fn utf_16_is_refused() {
        let text: Vec<u8> = "\u{feff}{}\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut lines = TextLines::new(Box::new(io::Cursor::new(text)), true, None).unwrap();
        assert!(matches!(lines.next(&mut Vec::new()), Err(TextError::Encoding("UTF-16"))));
    }
}
