//! Backfills views that are added to an existing job.
//!
//! ```text
//! append   reads the trucks' source again, from its beginning (or where an interrupted backfill left off)
//!          to the job's committed offsets, through the new view only; progress is committed as offsets of
//!          the view, with the rows
//! upsert   feeds the readings that the job keeps as state to the new view
//! ```
//!
//! A backfill of a job that drops repetitions drops them with a state of its own, which is committed with its progress
//! and ends with it.
//!
//! The job's own offsets do not move during a backfill. When the new view has caught up with them, all views continue
//! together.

use std::collections::BTreeMap;

use dataflows::item::NextOffset;
use dataflows::views::{DEDUPE, Mode};

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::routes::dedupe_of_backfill;
use crate::state::StoredView;
use crate::state::offset::{Role, ViewOffset, first_of, for_view, of_view};
use crate::store::{Commit, LastCommit, StateChange, Store};

/// Stores the definitions of the views, and returns the indexes of those that need a backfill.
pub fn plan(store: &mut dyn Store, config: &Job, last: &LastCommit) -> Result<Vec<usize>, JobError> {
    let mut known: BTreeMap<String, StoredView> =
        store.views()?.into_iter().map(|view| (view.name.clone(), view)).collect();
    keep_dedupe(store, config, &mut known, last)?;
    let mut to_fill = Vec::new();
    for (place, view) in config.active_views.iter().enumerate() {
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
                // A job without a commit has nothing to backfill.
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
    note_left(store, config, &known, last)?;
    Ok(to_fill)
}

/// Refuses another `message.dedupe` than the one by which the job has read its input, as views would have records of
/// both. A job without a commit may have another one.
fn keep_dedupe(
    store: &mut dyn Store,
    config: &Job,
    known: &mut BTreeMap<String, StoredView>,
    last: &LastCommit,
) -> Result<(), JobError> {
    let checked = check_dedupe(config, known.get(DEDUPE));
    if last.epoch > 0 || checked.is_ok() {
        return checked;
    }
    let view = StoredView { name: DEDUPE.into(), definition: dedupe_of(config), backfilled: true };
    store.put_view(&view)?;
    known.insert(DEDUPE.into(), view);
    Ok(())
}

/// Fails if a job has read its input by another `message.dedupe` than that of its configuration.
pub fn check_dedupe(config: &Job, stored: Option<&StoredView>) -> Result<(), JobError> {
    let stored = stored.map_or("", |view| &view.definition);
    let asked = dedupe_of(config);
    if asked == stored {
        return Ok(());
    }
    let shown = |text: &str| if text.is_empty() { "not set".to_owned() } else { text.to_owned() };
    let (job, stored, asked) = (config.job.clone(), shown(stored), shown(&asked));
    Err(JobError::OtherDedupe { job, stored, asked })
}

/// `message.dedupe` as text, empty if it is not set.
fn dedupe_of(config: &Job) -> String {
    config.view_settings.dedupe.as_ref().map_or(String::new(), |dedupe| dedupe.definition.clone())
}

/// Warns about views that were left out for a while and missed records, and stores the offsets of those left out now.
fn note_left(
    store: &mut dyn Store,
    config: &Job,
    known: &BTreeMap<String, StoredView>,
    last: &LastCommit,
) -> Result<(), JobError> {
    let own = &last.offsets;
    let mut changes = Vec::new();
    for name in known.keys().filter(|name| *name != DEDUPE) {
        let left: Vec<_> = of_view(&last.view_offsets, name, Role::Left).collect();
        let is_left = left.iter().any(|at| at.offset >= 0);
        let is_active = config.active_views.iter().any(|view| *view.name == **name);
        if is_active && is_left {
            let until = |at: &NextOffset| {
                let of_partition =
                    left.iter().find(|left| left.topic == at.topic && left.partition == at.partition);
                of_partition
                    .map_or_else(|| first_of(&last.begun, &at.topic, at.partition), |left| left.offset)
            };
            let missed: i64 = own.iter().map(|at| at.offset - until(at)).sum();
            if missed > 0 {
                tracing::warn!(
                    view = name,
                    missed,
                    "the view was left out of the job and has missed records; for complete results, give it another name with `backfill`, or start a new job"
                );
            }
            let back = left.into_iter().map(|at| NextOffset { offset: BACK, ..at.clone() });
            changes.extend(for_view(name, Role::Left, back));
        } else if !is_active && !is_left {
            changes.extend(for_view(name, Role::Left, own.iter().cloned()));
        }
    }
    keep(store, last, &changes)
}

/// Adds offsets of views to the job's last commit.
fn keep(store: &mut dyn Store, last: &LastCommit, view_offsets: &[ViewOffset]) -> Result<(), JobError> {
    if view_offsets.is_empty() {
        return Ok(());
    }
    store.begin()?;
    Ok(store.commit(&Commit { epoch: last.epoch, view_offsets, ..Commit::default() })?)
}

/// The start offsets of a view that was not backfilled; empty for a complete view.
pub fn starts(view: &str, last: &LastCommit) -> Vec<NextOffset> {
    of_view(&last.view_offsets, view, Role::Since).cloned().collect()
}

/// Marks a view as backfilled, after the last commit of its backfill. The state by which repetitions were dropped ends
/// before, as nothing is left to read.
pub fn finish(store: &mut dyn Store, config: &Job, view: usize, last: &LastCommit) -> Result<(), JobError> {
    let view = &config.active_views[view];
    if config.view_settings.dedupe.is_some() {
        let state = StateChange { view: dedupe_of_backfill(&view.name), parts: Vec::new(), replaces: true };
        store.begin()?;
        store.commit(&Commit { epoch: last.epoch, state: &[state], ..Commit::default() })?;
    }
    let (name, definition) = (view.name.to_string(), view.definition.clone());
    Ok(store.put_view(&StoredView { name, definition, backfilled: true })?)
}

/// Marks a view that is no longer left out.
const BACK: i64 = -1;

/// The topic of the marker offset of a backfill from kept readings.
const KEPT: &str = "readings";

/// The committed offsets of a backfill.
pub fn progress(view: &str, last: &LastCommit) -> Vec<NextOffset> {
    of_view(&last.view_offsets, view, Role::Filled).cloned().collect()
}

/// The marker offset of a backfill from kept readings.
pub fn kept() -> NextOffset {
    NextOffset { topic: KEPT.into(), partition: 0, offset: 1, mark: None }
}
