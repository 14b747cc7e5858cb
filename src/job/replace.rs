//! Replaces views whose definitions have changed: `CREATE OR REPLACE`, or `replace` in the configuration.
//!
//! ```text
//! begin    the view `<view>.new` is recorded, with its own state, offsets, table T__new and file <view>.new.csv
//! fill     as a backfill: each commit has some of its rows and how far the input is read; all of it can be repeated
//! switch   one commit: definition, state, file lengths, and the mark "renaming"
//! finish   RENAME TABLE T TO T__old, T__new TO T; DROP TABLE T__old; <view>.new.csv to <view>.csv; then the mark goes
//! ```
//!
//! Until the switch the view is the one before; whoever starts the job with that definition discards what was filled.
//! After the switch a start finishes first. Readers of the table see all rows of one definition. In SQLite the tables
//! are renamed by the commit.
//!
//! Which readings are late is decided again. The dead letters of the definition before stay where they are: the end of
//! them is committed, so that `verify` can tell them apart.

use std::collections::BTreeMap;

use dataflows::item::NextOffset;
use dataflows::views::{DEAD_LETTERS, DEAD_LETTERS_TABLE, View};

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::filling::{Filling, dedupe_ends, dedupe_of_backfill, filled_name, keep, replaced_view};
use crate::runtime::fault::{self, Moment};
use crate::runtime::retry;
use crate::runtime::stop::Stop;
use crate::sink::csv;
use crate::state::offset::{Role, for_view, of_view};
use crate::state::{Owner, Phase, SealedFold, StoredView, seal};
use crate::store::{self, Commit, LastCommit, Replacement, StateChange, Store, StoreError};

/// Begins to replace a view, or continues. Returns what is to be filled.
pub fn begin(
    store: &mut dyn Store,
    config: &Job,
    view: usize,
    known: &BTreeMap<String, StoredView>,
    last: &LastCommit,
) -> Result<Filling, JobError> {
    let of_view = &config.active_views[view];
    let name = filled_name(&of_view.name);
    let filling = Filling { view, name: name.as_str().into(), replaces: true };
    let begun = known.get(&name);
    if begun.is_some_and(|begun| begun.definition == of_view.definition) {
        return Ok(filling);
    }
    if begun.is_some() {
        discard(store, config, &name)?;
    }
    check(store, config, of_view)?;
    // First, as a view that is known is not begun again.
    keep(store, last, &for_view(&name, Role::Outdated, letters(config, last)?))?;
    store.put_view(&StoredView {
        name,
        definition: of_view.definition.clone(),
        phase: Phase::Backfilling,
    })?;
    Ok(filling)
}

/// Checks that the table of a view can be replaced.
pub fn check(store: &mut dyn Store, config: &Job, view: &View) -> Result<(), StoreError> {
    match config.has_table(&view.name) {
        true => store.check_replaceable(&config.job, &view.name, &view.table),
        false => Ok(()),
    }
}

/// Removes what was filled of replacements that the job no longer asks for.
pub fn discard_others(
    store: &mut dyn Store,
    config: &Job,
    known: &BTreeMap<String, StoredView>,
    asked: &[Filling],
) -> Result<(), JobError> {
    let is_asked = |name: &&String| asked.iter().any(|filling| *filling.name == ***name);
    for name in known.keys().filter(|name| !is_asked(name)) {
        let Some(view) = replaced_view(name) else { continue };
        tracing::info!(view, "the replacement of the view is discarded");
        discard(store, config, name)?;
    }
    Ok(())
}

fn discard(store: &mut dyn Store, config: &Job, name: &str) -> Result<(), JobError> {
    csv::remove_files(&config.out, name)?;
    // The readings that it has read must not count as repeated when another definition is filled.
    store.discard(&dedupe_of_backfill(name))?;
    Ok(store.discard(name)?)
}

/// The end of the dead letters: in their file, by number and length, and in their table, by the last id.
fn letters(config: &Job, last: &LastCommit) -> Result<Vec<NextOffset>, JobError> {
    let numbers = last.files.iter().filter(|(name, _)| name.split('/').next() == Some(DEAD_LETTERS));
    let at = |name: &str, number: u64| NextOffset {
        topic: name.into(),
        partition: 0,
        offset: number as i64,
        mark: None,
    };
    let mut ends: Vec<NextOffset> = numbers.map(|(name, number)| at(name, *number)).collect();
    if config.has_table(DEAD_LETTERS) {
        let size = store::open_reader(&config.database_url()?)?.size(DEAD_LETTERS_TABLE)?;
        ends.push(at(DEAD_LETTERS_TABLE, size.last_id.unwrap_or(0) as u64));
    }
    Ok(ends)
}

/// Commits that a filled view takes the place of the one before.
pub fn switch(store: &mut dyn Store, config: &Job, filling: &Filling) -> Result<(), JobError> {
    let (view, filled) = (&config.active_views[filling.view], &*filling.name);
    let last = store.last_commit()?;
    let mut fold = SealedFold::new(Owner { job: &config.job, view: filled });
    store.state(filled, &mut |part| fold.older(&part))?;
    let owner = Owner { job: &config.job, view: &view.name };
    let parts = fold.finish()?.iter().map(|part| seal(owner, part).into()).collect();
    let mut state = vec![StateChange { view: view.name.to_string(), parts, replaces: true }];
    state.extend(dedupe_ends(config, filled));
    let renamed = |(name, number): &(String, u64)| {
        let rest = name.strip_prefix(filled).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        Some((format!("{}{rest}", view.name), *number))
    };
    let files: Vec<_> = last.files.iter().filter_map(renamed).collect();
    let outdated = of_view(&last.view_offsets, filled, Role::Outdated).cloned();
    let stored = StoredView {
        name: view.name.to_string(),
        definition: view.definition.clone(),
        phase: Phase::Renaming,
    };
    store.begin()?;
    Ok(store.commit(&Commit {
        epoch: last.epoch,
        view_offsets: &for_view(&view.name, Role::Outdated, outdated),
        files: &files,
        state: &state,
        replacement: Some(Replacement {
            view: &stored,
            filled,
            table: config.has_table(&view.name).then_some(&*view.table),
        }),
        ..Commit::default()
    })?)
}

/// Renames tables and files of views whose replacement is committed. A table that others use is waited for until `stop`.
pub fn finish(store: &mut dyn Store, config: &Job, stop: &Stop) -> Result<(), JobError> {
    let renaming: Vec<_> = store.views()?.into_iter().filter(|view| view.phase == Phase::Renaming).collect();
    if renaming.is_empty() {
        return Ok(());
    }
    fault::at(Moment::Replaced);
    let files: BTreeMap<String, u64> = store.last_commit()?.files.into_iter().collect();
    let tables = store.tables()?;
    for view in renaming {
        for table in tables.iter().filter(|table| table.view == view.name && table.is_created) {
            let may_pass = |error: &StoreError| error.is_retryable().then(|| error.while_waiting());
            retry::until_stopped(stop, || store.rename(&table.name), may_pass)?;
        }
        fault::at(Moment::TableRenamed);
        csv::replace_files(&config.out, &filled_name(&view.name), &view.name, &files)?;
        store.put_view(&StoredView { phase: Phase::Complete, ..view })?;
    }
    Ok(())
}
