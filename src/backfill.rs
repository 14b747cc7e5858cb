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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::item::NextOffset;
use dataflows::views::{Mode, ORIENTATION, View};

use crate::config::Config;
use crate::error::Error;
use crate::source::file::full_path;
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
                    let start: Vec<_> =
                        own(last).into_iter().map(|at| labelled(SINCE, &view.name, at)).collect();
                    keep(store, last, &start)?;
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
    config: &Config,
    known: &BTreeMap<String, StoredView>,
    views: &[View],
    last: &LastCommit,
) -> Result<(), Error> {
    // The phone's view goes on where it was, as its topic does.
    let trucks = match &config.input {
        Some(path) if !config.embedded => full_path(path),
        _ => config.kafka.topic.clone(),
    };
    let own: Vec<_> = own(last).into_iter().filter(|at| *at.topic == *trucks).collect();
    let mut labels = Vec::new();
    for name in known.keys().filter(|name| *name != ORIENTATION) {
        let left = with_suffix(&format!("{LEFT}{name}"), &last.offsets);
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
            labels
                .extend(left.into_iter().map(|at| labelled(LEFT, name, &NextOffset { offset: BACK, ..at })));
        } else if !is_active && !is_left {
            labels.extend(own.iter().map(|at| labelled(LEFT, name, at)));
        }
    }
    keep(store, last, &labels)
}

/// The job's own offsets: those of views are kept under a topic and more.
fn own(last: &LastCommit) -> Vec<&NextOffset> {
    let topics: BTreeSet<&str> = last.offsets.iter().map(|at| &*at.topic).collect();
    let is_label = |more: &str| [FOR, SINCE, LEFT].iter().any(|word| more.starts_with(word));
    let is_own = |topic: &&str| topics.iter().all(|other| !topic.strip_prefix(other).is_some_and(is_label));
    let own: BTreeSet<&str> = topics.iter().copied().filter(is_own).collect();
    last.offsets.iter().filter(|at| own.contains(&*at.topic)).collect()
}

fn labelled(word: &str, view: &str, at: &NextOffset) -> NextOffset {
    NextOffset { topic: format!("{}{word}{view}", at.topic).into(), ..at.clone() }
}

/// Commits labels beside the job's last commit.
fn keep(store: &mut dyn Store, last: &LastCommit, labels: &[NextOffset]) -> Result<(), Error> {
    if labels.is_empty() {
        return Ok(());
    }
    store.begin()?;
    Ok(store.commit(&Commit { epoch: last.epoch, offsets: labels, ..Commit::default() })?)
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
/// The same for the offsets where a view was left out of the job.
const LEFT: &str = " left ";
/// The offset of a view that is back.
const BACK: i64 = -1;

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
