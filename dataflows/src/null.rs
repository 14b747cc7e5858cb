//! How columns of integers hold NULL.

/// The value of a timestamp, a decimal or an integer that stands for NULL: no measure, time or count reaches it.
pub const NULL: i64 = i64::MIN;
