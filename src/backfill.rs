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
use crate::store::{LastCommit, Store, StoredView};

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
                // What was before is nothing in a job without a commit. Step 1 of this program kept no
                // list of views, and its views have state that goes on.
                let is_filled = match config.mode {
                    Mode::Append => !config.is_backfilled(&view.name),
                    Mode::Upsert => view.columns.is_empty() || !view.of_readings,
                };
                let stored = StoredView {
                    name: view.name.to_string(),
                    definition: view.definition.clone(),
                    backfilled: last.epoch == 0 || is_filled,
                };
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

/// Says that a view has taken all that was before it.
pub fn finish(store: &mut dyn Store, view: &View) -> Result<(), Error> {
    let (name, definition) = (view.name.to_string(), view.definition.clone());
    Ok(store.put_view(&StoredView { name, definition, backfilled: true })?)
}

/// What the offsets are kept under that say how far a view is filled from `topic`.
pub fn label(view: &str, topic: &str) -> Arc<str> {
    format!("{topic} for {view}").into()
}

/// The topic of the one offset that says that a view was given the kept readings.
const KEPT: &str = "readings";

/// How far a view is filled: the committed offsets of its filling, under the topics' own names.
pub fn progress(view: &str, offsets: &[NextOffset]) -> Vec<NextOffset> {
    let suffix = format!(" for {view}");
    let of_view = |at: &NextOffset| {
        let topic = at.topic.strip_suffix(suffix.as_str())?;
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
    }
}
