//! Times as text, in the proleptic Gregorian calendar and UTC: the only calendar in truckflow.
//! [`mod@read`] parses text into microseconds, [`mod@write`] writes them.

pub(crate) mod read;
mod span;
mod write;

pub use read::parse;
pub use write::TimeWriter;

/// The unit in which a time is counted since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}
