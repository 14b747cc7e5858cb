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
/// Maximum number of rows kept of a view whose rows change: those that changed last.
pub const ROWS: usize = 10_000;
/// Maximum number of rows kept of a view whose rows never change: the last ones.
pub const APPENDED: usize = 1_000;
/// Maximum number of bytes of rows over all views.
const ROW_BYTES: usize = 32 << 20;
/// Maximum number of bytes kept of a value of bytes.
pub(super) const VALUE: usize = 256;
/// Maximum number of pieces that the kept rows of a view are in.
pub(super) const BATCHES: usize = 256;
/// The index of each truck in the list, by name.
pub type Places = HashMap<Arc<str>, u32>;

/// The number of windows kept per truck, for this number of trucks.
pub(super) fn windows_of_each(trucks: usize) -> usize {
    (WINDOWS / trucks.max(1)).clamp(2, 24)
}

/// The number of bytes of rows kept per view, for this number of views.
pub fn bytes_of_each(views: usize) -> usize {
    ROW_BYTES / views.max(1)
}
