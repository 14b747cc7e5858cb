//! Times of messages into microseconds since 1970, UTC, and from there into text. The only calendar in truckflow: the
//! proleptic Gregorian one, for the years 1 to 9999.
//!
//! | module | contains |
//! |---|---|
//! | [`form`] | how a field's times are written: one reader for all of them |
//! | [`mod@read`] | ISO 8601 |
//! | [`strptime`] | formats in strptime's language |
//! | [`epoch`] | counts of seconds, milliseconds, microseconds or nanoseconds |
//! | [`mod@write`] | times as `YYYY-MM-DD HH:MM:SS.ffffff` |
//! | [`wall`], [`zone`] | what a clock shows, and which instant that is in a time zone |
//! | [`calendar`], [`span`] | days of dates, and the length of a day |
//!
//! All rounding is half to even, to microseconds.

mod calendar;
mod epoch;
mod form;
pub(crate) mod read;
mod span;
mod strptime;
mod wall;
mod write;
mod zone;

pub use epoch::Unit;
pub use form::{TimeForm, TimeFormError};
pub use read::parse;
pub use strptime::FormatFault;
pub use write::TimeWriter;
