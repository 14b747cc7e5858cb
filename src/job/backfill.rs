//! Views that are new to a job that runs already: what is known of a job's views, and what a new one
//! is given of what was before it.
//!
//! ```text
//! append   the trucks' source again, from its beginning (or where a kill left the filling) to the
//!          job's committed offsets, through the new view alone; its progress is committed as offsets
//!          of the view, with the rows
//! upsert   the readings that the job keeps, given to the new view as if they were new
//! ```
//!
//! The job's own offsets stay where they are meanwhile; when the new view has caught up with them, all
//! go on together.

use std::collections::BTreeMap;

use dataflows::item::NextOffset;
use dataflows::views::{Mode, ORIENTATION, View};

use crate::config::Job;
use crate::job::error::JobError;
use crate::source::file::full_path;
use crate::state::StoredView;
use crate::state::offset::{Role, ViewOffset, for_view, of_view};
use crate::store::{Commit, LastCommit, Store};

/// Keeps what is to be known of the views, and gives the places of those that have to be filled.
pub fn plan(
    store: &mut dyn Store,
    config: &Job,
    views: &[View],
    last: &LastCommit,
) -> Result<Vec<usize>, JobError> {
    let known: BTreeMap<String, StoredView> =
        store.views()?.into_iter().map(|view| (view.name.clone(), view)).collect();
    let mut to_fill = Vec::new();
    for (place, view) in views.iter().enumerate() {
        let stored = match known.get(&*view.name) {
            Some(stored) if stored.definition != view.definition => {
                return Err(JobError::OtherView {
                    view: view.name.to_string(),
                    job: config.job.clone(),
                    stored: stored.definition.clone(),
                    asked: view.definition.clone(),
                });
            }
            Some(stored) => stored.clone(),
            None => {
                // What was before is nothing in a job without a commit.
                let is_filled = match config.mode {
                    Mode::Append => !config.is_backfilled(&view.name),
                    Mode::Upsert => view.columns.is_empty() || !view.of_readings,
                };
                let stored = StoredView {
                    name: view.name.to_string(),
                    definition: view.definition.clone(),
                    backfilled: last.epoch == 0 || is_filled,
                };
                let begins_here = last.epoch > 0 && config.mode == Mode::Append && is_filled;
                if begins_here && view.of_readings {
                    keep(store, last, &for_view(&view.name, Role::Since, last.offsets.iter().cloned()))?;
                }
                store.put_view(&stored)?;
                stored
            }
        };
        if !stored.backfilled {
            to_fill.push(place);
        }
    }
    note_left(store, config, &known, views, last)?;
    Ok(to_fill)
}

/// Says of views that come back what they have missed, and keeps where others are left.
fn note_left(
    store: &mut dyn Store,
    config: &Job,
    known: &BTreeMap<String, StoredView>,
    views: &[View],
    last: &LastCommit,
) -> Result<(), JobError> {
    // The phone's view goes on where it was, as its topic does.
    let trucks = match &config.input {
        Some(path) if !config.embedded => full_path(path),
        _ => config.kafka.topic.clone(),
    };
    let own: Vec<_> = last.offsets.iter().filter(|at| *at.topic == *trucks).collect();
    let mut changes = Vec::new();
    for name in known.keys().filter(|name| *name != ORIENTATION) {
        let left: Vec<_> = of_view(&last.view_offsets, name, Role::Left).collect();
        let is_left = left.iter().any(|at| at.offset >= 0);
        let is_active = views.iter().any(|view| *view.name == **name);
        if is_active && is_left {
            let until = |at: &NextOffset| {
                let of_partition =
                    left.iter().find(|left| left.topic == at.topic && left.partition == at.partition);
                of_partition.map_or(0, |left| left.offset)
            };
            let missed: i64 = own.iter().map(|at| at.offset - until(at)).sum();
            if missed > 0 {
                tracing::warn!(
                    view = name,
                    missed,
                    "the view was left out of the job and has not seen what came meanwhile, which it lacks from now on; to have all, give it another name with `backfill`, or start a new job"
                );
            }
            let back = left.into_iter().map(|at| NextOffset { offset: BACK, ..at.clone() });
            changes.extend(for_view(name, Role::Left, back));
        } else if !is_active && !is_left {
            changes.extend(for_view(name, Role::Left, own.iter().copied().cloned()));
        }
    }
    keep(store, last, &changes)
}

/// Commits offsets of views in addition to the job's last commit.
fn keep(store: &mut dyn Store, last: &LastCommit, view_offsets: &[ViewOffset]) -> Result<(), JobError> {
    if view_offsets.is_empty() {
        return Ok(());
    }
    store.begin()?;
    Ok(store.commit(&Commit { epoch: last.epoch, view_offsets, ..Commit::default() })?)
}

/// Where a view began that was not filled; nothing for one that has all.
pub fn starts(view: &str, last: &LastCommit) -> Vec<NextOffset> {
    of_view(&last.view_offsets, view, Role::Since).cloned().collect()
}

/// Says that a view has taken all that was before it.
pub fn finish(store: &mut dyn Store, view: &View) -> Result<(), JobError> {
    let (name, definition) = (view.name.to_string(), view.definition.clone());
    Ok(store.put_view(&StoredView { name, definition, backfilled: true })?)
}

/// The offset of a view that is back.
const BACK: i64 = -1;

/// The topic of the one offset that says that a view was given the kept readings.
const KEPT: &str = "readings";

/// How far a view is filled: the committed offsets of its filling.
pub fn progress(view: &str, last: &LastCommit) -> Vec<NextOffset> {
    of_view(&last.view_offsets, view, Role::Filled).cloned().collect()
}

/// The offset of a view that says that it was given the kept readings.
pub fn kept() -> NextOffset {
    NextOffset { topic: KEPT.into(), partition: 0, offset: 1, mark: None }
}
