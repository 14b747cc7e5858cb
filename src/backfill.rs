//! Views that are new to a job that runs already: what is known of a job's views, and what a new one
//! is given of what was before it.
//!
//! ```text
//! append   the trucks' source again, from its beginning (or where a kill left the filling) to the
//!          job's committed offsets, through the new view alone; its progress is committed as offsets
//!          of `<topic> for <view>`, with the rows
//! upsert   the readings that the job keeps, given to the new view as if they were new
//! ```
//!
//! The job's own offsets stay where they are meanwhile; when the new view has caught up with them, all
//! go on together.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::item::NextOffset;
use dataflows::views::{Mode, View};

use crate::config::Config;
use crate::error::Error;
use crate::store::{Commit, LastCommit, Store, StoredView};

/// The views of readings of the versions that kept no list of a job's views.
const OLD: [&str; 5] =
    ["parameter_map", "distance_correlation", "engine_speed_correlation", "transformed", "above_speed"];

/// Keeps what is to be known of the views, and gives the places of those that have to be filled.
pub fn plan(
    store: &mut dyn Store,
    config: &Config,
    views: &[View],
    last: &LastCommit,
) -> Result<Vec<usize>, Error> {
    let known: BTreeMap<String, StoredView> =
        store.views()?.into_iter().map(|view| (view.name.clone(), view)).collect();
    let mut to_fill = Vec::new();
    for (place, view) in views.iter().enumerate() {
        let stored = match known.get(&*view.name) {
            Some(stored) if stored.definition != view.definition => {
                return Err(Error::OtherView {
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
                // A version that kept no list of views had these, and they go on.
                let is_old = known.is_empty() && OLD.contains(&&*view.name);
                let begins_here = last.epoch > 0 && config.mode == Mode::Append && is_filled && !is_old;
                if begins_here && view.of_readings {
                    keep_start(store, view, last)?;
                }
                store.put_view(&stored)?;
                stored
            }
        };
        if !stored.backfilled {
            to_fill.push(place);
        }
    }
    Ok(to_fill)
}

/// Commits where a view begins that is not filled: at the job's offsets.
fn keep_start(store: &mut dyn Store, view: &View, last: &LastCommit) -> Result<(), Error> {
    // Those of views are kept under a topic and more.
    let is_own = |at: &&NextOffset| {
        last.offsets.iter().all(|other| {
            at.topic
                .strip_prefix(&*other.topic)
                .is_none_or(|more| !more.starts_with(SINCE) && !more.starts_with(FOR))
        })
    };
    let start = |at: &NextOffset| NextOffset {
        topic: format!("{}{SINCE}{}", at.topic, view.name).into(),
        ..at.clone()
    };
    let offsets: Vec<NextOffset> = last.offsets.iter().filter(is_own).map(start).collect();
    store.begin()?;
    Ok(store.commit(&Commit { epoch: last.epoch, offsets: &offsets, files: &[], state: &[] })?)
}

/// Where a view began that was not filled, by the topics' own names; nothing for one that has all.
pub fn starts(view: &str, offsets: &[NextOffset]) -> Vec<NextOffset> {
    with_suffix(&format!("{SINCE}{view}"), offsets)
}

/// Says that a view has taken all that was before it.
pub fn finish(store: &mut dyn Store, view: &View) -> Result<(), Error> {
    let (name, definition) = (view.name.to_string(), view.definition.clone());
    Ok(store.put_view(&StoredView { name, definition, backfilled: true })?)
}

/// Between a topic and a view, in what the offsets are kept under that say how far the view is filled.
const FOR: &str = " for ";
/// The same for the offsets where a view begins.
const SINCE: &str = " since ";

/// What the offsets are kept under that say how far a view is filled from `topic`.
pub fn label(view: &str, topic: &str) -> Arc<str> {
    format!("{topic}{FOR}{view}").into()
}

/// The topic of the one offset that says that a view was given the kept readings.
const KEPT: &str = "readings";

/// How far a view is filled: the committed offsets of its filling, under the topics' own names.
pub fn progress(view: &str, offsets: &[NextOffset]) -> Vec<NextOffset> {
    with_suffix(&format!("{FOR}{view}"), offsets)
}

fn with_suffix(suffix: &str, offsets: &[NextOffset]) -> Vec<NextOffset> {
    let of_view = |at: &NextOffset| {
        let topic = at.topic.strip_suffix(suffix)?;
        Some(NextOffset { topic: topic.into(), ..at.clone() })
    };
    offsets.iter().filter_map(of_view).collect()
}

/// The offset that says that a view was given the kept readings, under the topic's own name.
pub fn kept() -> NextOffset {
    NextOffset { topic: KEPT.into(), partition: 0, offset: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_that_of_the_view_alone() {
        let at = |topic: &str, offset| NextOffset { topic: topic.into(), partition: 0, offset };
        let offsets = [
            at("Truck-Data", 9),
            at(&label("hot", "Truck-Data"), 5),
            at(&label("not hot", "Truck-Data"), 7),
            at(&label("hot", &kept().topic), 1),
        ];
        assert_eq!(progress("hot", &offsets), [at("Truck-Data", 5), kept()]);
        assert_eq!(starts("hot", &offsets), []);
        assert_eq!(starts("hot", &[at("Truck-Data since hot", 4)]), [at("Truck-Data", 4)]);
    }
}
