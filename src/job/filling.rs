//! A view that is filled before the others continue: a new one, or one that replaces another definition.

use std::sync::Arc;

use dataflows::views::DEDUPE;

use crate::config::Job;
use crate::state::offset::ViewOffset;
use crate::store::{Commit, LastCommit, StateChange, Store, StoreError};

/// The end of the name under which a view is filled that replaces one. Names of views have no dots.
const NEW: &str = ".new";

/// A view that has to be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filling {
    /// The index of the view.
    pub view: usize,
    /// The name under which its state, offsets and files are stored.
    pub name: Arc<str>,
    /// Whether it replaces one with another definition.
    pub replaces: bool,
}

/// The name under which the replacement of a view is filled.
pub fn filled_name(view: &str) -> String {
    format!("{view}{NEW}")
}

/// The view that is replaced, if this is the name under which its replacement is filled.
pub fn replaced_view(name: &str) -> Option<&str> {
    name.strip_suffix(NEW)
}

/// The name of the state by which repetitions are dropped while the view of this name is filled. No view has a name with
/// a slash.
pub(crate) fn dedupe_of_backfill(name: &str) -> String {
    format!("{DEDUPE}/{name}")
}

/// The end of that state, if the job drops repetitions.
pub(super) fn dedupe_ends(config: &Job, name: &str) -> Option<StateChange> {
    let ends = StateChange { view: dedupe_of_backfill(name), parts: Vec::new(), replaces: true };
    config.view_settings.dedupe.is_some().then_some(ends)
}

/// Adds offsets of views to the job's last commit.
pub(super) fn keep(
    store: &mut dyn Store,
    last: &LastCommit,
    view_offsets: &[ViewOffset],
) -> Result<(), StoreError> {
    if view_offsets.is_empty() {
        return Ok(());
    }
    store.begin()?;
    store.commit(&Commit { epoch: last.epoch, view_offsets, ..Commit::default() })
}
