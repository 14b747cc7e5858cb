//! What bounds the memory of the live page.

use std::collections::HashMap;
use std::sync::Arc;

/// Commits that are kept.
pub const COMMITS: usize = 300;
/// Trucks that are kept; of a job with more, those that come later are only counted by the tables.
pub(super) const TRUCKS: usize = 250_000;
/// Points of all trucks' pasts.
pub(super) const POINTS: usize = 2_000_000;
/// Windows of all trucks.
const WINDOWS: usize = 400_000;
/// The places of trucks in their list, by name.
pub type Places = HashMap<Arc<str>, u32>;

/// How many windows are kept of each of so many trucks.
pub(super) fn windows_of_each(trucks: usize) -> usize {
    (WINDOWS / trucks.max(1)).clamp(2, 24)
}
