//! Times as text, in the proleptic Gregorian calendar and UTC: the one calendar of truckflow.
//! [`mod@read`] has text to microseconds, [`mod@write`] the way back.

pub(crate) mod read;
mod span;
mod write;

pub use read::parse;
pub use write::TimeWriter;
