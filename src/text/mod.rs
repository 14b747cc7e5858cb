//! Parsing and writing of numbers and times, and escaping of untrusted text.

pub(crate) mod number;
pub mod printable;
pub mod time;
