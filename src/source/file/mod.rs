//! Lines of a file or of standard input; the number of a line, from 0, is its offset.
//!
//! A file may be CSV instead, where a message is a record, which may go over several lines: its number
//! is its offset, and the header's is 0. Blank lines are counted, but are no messages.
//!
//! Workers share one input: whoever is free takes the next block of whole messages, under a lock. The
//! block's epoch is read under that lock too, so that messages up to any offset never belong to a
//! later epoch than messages behind it.
//!
//! | module | holds |
//! |---|---|
//! | `lines` | an input as blocks of messages |
//! | `open` | how an input is opened, where it was left or again |
//! | `part` | one of the files that have had its name |
//! | `replaced` | what is done when another file has its name |
//! | `reader` | a worker's reader of the blocks |
//! | `input` | bytes of a file that grows, or of a stream |
//! | `identity` | which file it is: a hash of the bytes that were read |
//! | `framing` | where messages end |
//! | `encoding` | what a text begins with |
//! | `compression` | gzip and zstd |
//! | `text` | lines for what sends them elsewhere |

mod compression;
mod encoding;
mod framing;
mod identity;
mod input;
mod lines;
mod open;
mod part;
mod reader;
mod replaced;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

pub use self::framing::{Framing, is_separator, message};
pub(crate) use self::lines::LINE_LIMIT;
pub use self::lines::{Lines, Options, Unfinished};
pub use self::reader::LineReader;
pub(crate) use self::reader::lock;
pub(crate) use self::text::{TextError, TextLines};

/// The path of a file by which its offsets are kept, however it was named. A link is not followed: it may
/// lead to one file after another.
pub fn full_path(path: &str) -> String {
    let full = || {
        let path = Path::new(path);
        let folder = std::fs::canonicalize(folder(path)).ok()?;
        Some(folder.join(path.file_name()?).display().to_string())
    };
    match path {
        "-" => path.to_owned(),
        _ => full().unwrap_or_else(|| path.to_owned()),
    }
}

/// Whether two paths lead to the same file.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let file = |path: &str| match path {
        "-" => path.into(),
        _ => std::fs::canonicalize(path).unwrap_or_else(|_| path.into()),
    };
    file(one) == file(other)
}

/// The folder of a path.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
