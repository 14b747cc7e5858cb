//! A reading of a truck, as a parser returns it.

use std::borrow::Cow;

/// The longest name of a truck, in bytes.
pub const MAX_TRUCK_BYTES: usize = 255;

/// A parsed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading<'a> {
    /// The truck's name; none if the payload does not have it.
    pub truck: Option<Cow<'a, str>>,
    /// Event time in microseconds since 1970, UTC.
    pub time: i64,
    /// In nano-units, indexed by [`Measure`](dataflows::batch::Measure).
    pub measures: [i64; 3],
    /// Which of [`ROUNDED_FIELDS`](dataflows::batch::ROUNDED_FIELDS) were rounded.
    pub rounded: [bool; 4],
}
