//! What a language of drawings can draw.

use std::fmt::{self, Write as _};

/// What a node looks like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Source,
    Operator,
    Sink,
}

/// A language of drawings. Identifiers are letters and digits; labels may be anything.
pub(super) trait Pen {
    fn begin(&mut self, out: &mut String) -> fmt::Result;
    fn node(&mut self, out: &mut String, id: &str, label: &str, shape: Shape) -> fmt::Result;
    fn open(&mut self, out: &mut String, id: &str, label: &str) -> fmt::Result;
    fn close(&mut self, out: &mut String) -> fmt::Result;
    fn edge(&mut self, out: &mut String, from: &str, to: &str) -> fmt::Result;
    fn end(&mut self, out: &mut String) -> fmt::Result;
}

/// Writes an indented line.
pub(super) fn line(out: &mut String, depth: usize, line: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "{:1$}{line}", "", 4 * (depth + 1))
}
