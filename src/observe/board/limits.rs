//! Limits of the live page's memory.

use std::collections::HashMap;
use std::sync::Arc;

/// Maximum number of commits kept.
pub const COMMITS: usize = 300;
/// Maximum number of trucks kept; later ones are not shown on the page.
pub(super) const TRUCKS: usize = 250_000;
/// Maximum number of history points over all trucks.
pub(super) const POINTS: usize = 2_000_000;
/// Maximum number of windows over all trucks.
const WINDOWS: usize = 400_000;
/// The index of each truck in the list, by name.
pub type Places = HashMap<Arc<str>, u32>;

/// The number of windows kept per truck, for this number of trucks.
pub(super) fn windows_of_each(trucks: usize) -> usize {
    (WINDOWS / trucks.max(1)).clamp(2, 24)
}
