//! The trait of the output languages.

use std::fmt::{self, Write as _};

/// The shape of a node.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Source,
    Operator,
    Sink,
}

/// An output language. Identifiers are letters and digits; labels may be any text.
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
