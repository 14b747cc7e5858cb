//! Lines of a file or of standard input. The number of a line, from 0, is its offset.
//!
//! A file may also be CSV, where a message is a record, which may span several lines: its number is its offset, and the
//! header has offset 0. Blank lines are counted but are not messages.
//!
//! Workers share one input: a free worker takes the next block of whole messages under a lock. The epoch of the block is
//! read under the same lock, so that messages up to any offset never belong to a later epoch than the messages after it.
//!
//! | module | contents |
//! |---|---|
//! | `lines` | an input as blocks of messages |
//! | `open` | opening an input at its committed offset, or again from the beginning |
//! | `part` | one of the files that have had the name of the input |
//! | `replaced` | handling of files that were renamed, rewritten or truncated |
//! | `reader` | a worker's reader of blocks |
//! | `input` | the bytes of a growing file or of a stream |
//! | `identity` | the identity of a file: a hash of the bytes that were read |
//! | `framing` | the ends of messages |
//! | `encoding` | byte order marks and encodings |
//! | `compression` | gzip and zstd |
//! | `path` | the path of an input, its name in the store |
//! | `text` | lines of a text that is read once |

mod compression;
mod encoding;
mod fill;
mod framing;
mod identity;
mod input;
mod lines;
mod open;
mod part;
mod path;
mod reader;
mod replaced;
#[cfg(test)]
mod tests;
mod text;

pub use self::framing::{Framing, is_separator, message};
pub(crate) use self::lines::LINE_LIMIT;
pub use self::lines::{Lines, Options, Unfinished};
pub use self::path::full_path;
pub use self::reader::LineReader;
pub(crate) use self::reader::lock;
pub(crate) use self::text::{TextError, TextLines};
