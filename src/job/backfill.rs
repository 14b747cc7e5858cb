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
use dataflows::views::{DEDUPE, Mode, View};

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::filling::{Filling, dedupe_ends, keep, replaced_view};
use crate::job::replace;
use crate::state::offset::{Role, first_of, for_view, of_view};
use crate::state::{Phase, StoredView};
use crate::store::{Commit, LastCommit, Store};

/// Stores the definitions of the views, and returns those that have to be filled.
pub fn plan(store: &mut dyn Store, config: &Job, last: &LastCommit) -> Result<Vec<Filling>, JobError> {
    let mut known: BTreeMap<String, StoredView> =
        store.views()?.into_iter().map(|view| (view.name.clone(), view)).collect();
    keep_dedupe(store, config, &mut known, last)?;
    let mut to_fill = Vec::new();
    for (place, view) in config.active_views.iter().enumerate() {
        let stored = match known.get(&*view.name) {
            Some(stored) if stored.definition != view.definition && config.replaced.contains(&*view.name) => {
                to_fill.push(replace::begin(store, config, place, &known, last)?);
                continue;
            }
            Some(stored) if stored.definition != view.definition => {
                return Err(JobError::OtherView {
                    view: view.name.to_string(),
                    job: config.job.clone(),
                    stored: stored.definition.clone(),
                    asked: view.definition.clone(),
                });
            }
            Some(stored) => stored.clone(),
            None => add(store, config, view, &known, last)?,
        };
        if stored.phase == Phase::Backfilling {
            to_fill.push(Filling { view: place, name: (*view.name).into(), replaces: false });
        }
    }
    replace::discard_others(store, config, &known, &to_fill)?;
    note_left(store, config, &known, last)?;
    Ok(to_fill)
}

/// Stores the definition of a new view, and from where it reads.
fn add(
    store: &mut dyn Store,
    config: &Job,
    view: &View,
    known: &BTreeMap<String, StoredView>,
    last: &LastCommit,
) -> Result<StoredView, JobError> {
    // A job without a commit has nothing to backfill.
    let begins = match config.mode {
        _ if last.epoch == 0 || view.columns.is_empty() || !view.of_readings => Begins::Empty,
        Mode::Append if !config.is_backfilled(&view.name) => begins(config, view, known, last)?,
        Mode::Append | Mode::Upsert => Begins::At(Vec::new()),
    };
    let (phase, offsets) = match begins {
        Begins::Empty => (Phase::Complete, Vec::new()),
        Begins::Now => (Phase::Complete, for_view(&view.name, Role::Since, last.offsets.iter().cloned())),
        // As if it had read everything before.
        Begins::At(since) => {
            let roles = [Role::Since, Role::Filled];
            let offsets =
                roles.into_iter().flat_map(|role| for_view(&view.name, role, since.iter().cloned()));
            (Phase::Backfilling, offsets.collect())
        }
    };
    keep(store, last, &offsets)?;
    let stored = StoredView { name: view.name.to_string(), definition: view.definition.clone(), phase };
    store.put_view(&stored)?;
    Ok(stored)
}

/// Where a new view begins.
enum Begins {
    /// It has no rows of readings, or the job has no commit.
    Empty,
    /// At the job's offsets.
    Now,
    /// At these offsets; without any, where the job began.
    At(Vec<NextOffset>),
}

/// Where a view begins that is added to a job: if it reads views with state, where these began, so that it has their
/// current rows.
fn begins(
    config: &Job,
    view: &View,
    known: &BTreeMap<String, StoredView>,
    last: &LastCommit,
) -> Result<Begins, JobError> {
    let reads = config.reads.get(&*view.name);
    let has_state = |name: &&str| {
        let planned = config.planned.iter().find(|planned| *planned.name == **name);
        planned.is_some_and(|planned| !planned.relation.is_stateless())
    };
    let read = reads.into_iter().flatten().map(String::as_str).filter(|name| known.contains_key(*name));
    let mut read = read.filter(has_state).map(|name| (name, starts(name, last)));
    let Some((first, since)) = read.next() else { return Ok(Begins::Now) };
    match read.find(|(_, other)| *other != since) {
        None => Ok(Begins::At(since)),
        Some((other, _)) => Err(JobError::OtherOrigins {
            view: view.name.to_string(),
            read: [first.to_owned(), other.to_owned()],
        }),
    }
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
    let view = StoredView { name: DEDUPE.into(), definition: dedupe_of(config), phase: Phase::Complete };
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
    let views = known.keys().filter(|name| *name != DEDUPE && replaced_view(name).is_none());
    for name in views {
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
    Ok(keep(store, last, &changes)?)
}

/// The start offsets of a view that was not backfilled; empty for a complete view.
pub fn starts(view: &str, last: &LastCommit) -> Vec<NextOffset> {
    of_view(&last.view_offsets, view, Role::Since).cloned().collect()
}

/// Marks a view as backfilled, after the last commit of its backfill. The state by which repetitions were dropped ends
/// before, as nothing is left to read.
pub fn finish(store: &mut dyn Store, config: &Job, view: usize, last: &LastCommit) -> Result<(), JobError> {
    let view = &config.active_views[view];
    if let Some(state) = dedupe_ends(config, &view.name) {
        store.begin()?;
        store.commit(&Commit { epoch: last.epoch, state: &[state], ..Commit::default() })?;
    }
    let (name, definition) = (view.name.to_string(), view.definition.clone());
    Ok(store.put_view(&StoredView { name, definition, phase: Phase::Complete })?)
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
