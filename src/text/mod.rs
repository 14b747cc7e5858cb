//! Text and what it stands for: numbers, times, and what may be printed.

pub(crate) mod number;
pub mod printable;
pub mod time;
