//! The representation of NULL in integer columns.

/// Represents NULL in timestamps, decimals and integers. No measure, time or count reaches this value.
pub const NULL: i64 = i64::MIN;
