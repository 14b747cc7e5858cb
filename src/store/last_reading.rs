//! The last position of a truck in TRUCK_PARAMETER_MAP.

/// The last reading of a truck in TRUCK_PARAMETER_MAP, from which a simulated drive continues.
#[derive(Clone, Debug, PartialEq)]
pub struct LastReading {
    /// The truck's name; empty for the single truck without a name.
    pub truck: String,
    /// Kilometres since the start of the drive.
    pub distance: f64,
    /// Litres since the start of the drive.
    pub fuel: f64,
    /// Event time in microseconds since 1970.
    pub timestamp_micros: i64,
}
