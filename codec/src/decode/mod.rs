//! Decodes a message into a record of the batch, or into a dead letter.
//!
//! ```text
//!             +-> scan: the shapes of known producers ----+
//!   payload --|                                           |--> Reading -> batch
//!             +-> general: object -> fields -> checks ----+
//!                  |  (text, number, timestamp)
//!                  `-> Rejection -> dead letter
//! ```
//!
//! This is for readings of trucks. Readings of a phone are decoded in [`orientation`], from the same syntax or from
//! CSV records ([`text::csv`](crate::text::csv)).
//!
//! `scan` exists only for speed: for every payload that it accepts, `general` returns the same result. It leaves all
//! other payloads, and all rejections, to `general`.

mod decoder;
mod future;
mod general;
mod message;
mod object;
pub mod orientation;
mod reading;
mod scan;
mod text;
pub mod tree;

#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use future::Future;
pub use message::{Decode, MAX_BYTES, Message, Rejection};
pub use reading::MAX_TRUCK_BYTES;

/// Whether the bytes are exactly one object, as written by JSON or Python.
pub fn is_object(bytes: &[u8]) -> bool {
    object::fields(bytes, []).is_some()
}
