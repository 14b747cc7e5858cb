//! Parsing and writing of numbers, times and CSV, and escaping of untrusted text.

pub mod csv;
pub(crate) mod number;
pub mod printable;
pub mod time;
