//! Loads the views' state of the last commit at a start. Times that are too far ahead are set back first, so that a
//! job recovers from a reading that was dated years ahead.

use std::collections::BTreeMap;

use bytes::Bytes;
use dataflows::effect::Restored;
use dataflows::views::{Recovery, SetBack, View};

use crate::config::Job;
use crate::job::commit::StateWeight;
use crate::job::error::JobError;
use crate::job::graph::Route;
use crate::runtime::clock::wall_clock;
use crate::state::{Owner, SealedFold, seal, validate_entries};
use crate::store::Store;
use crate::text::printable::printable;
use crate::text::time::TimeWriter;

/// Maximum number of trucks per log line.
const NAMED: usize = 100;

/// The state of all views at a start.
pub struct Restore {
    /// Their entries, folded.
    pub restored: Vec<Restored>,
    /// The size of each view's state in the store.
    pub weights: Vec<StateWeight>,
    /// Changes made at the start, sealed, by view index; not committed yet.
    pub changed: BTreeMap<usize, Vec<Bytes>>,
}

impl Restore {
    /// Reads the committed state of every view, under the name of its route.
    pub fn read(store: &mut dyn Store, config: &Job, routes: &[Route]) -> Result<Self, JobError> {
        let now = wall_clock();
        let (mut restored, mut weights, mut changed) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (place, (view, route)) in config.active_views.iter().zip(routes).enumerate() {
            let owner = Owner { job: &config.job, view: &route.name };
            let mut fold = SealedFold::new(owner);
            store.state(&route.name, &mut |part| fold.older(&part))?;
            let mut weight = StateWeight { deltas: fold.bytes, parts: fold.parts, ..StateWeight::default() };
            let mut parts = fold.finish()?;
            for part in &parts {
                weight.snapshot += part.len();
                weight.entries += validate_entries(view, part)?;
            }
            // The excess over the folded size is what folding would save.
            weight.deltas = weight.deltas.saturating_sub(weight.snapshot);
            weights.push(weight);
            if let Some(max_ahead) = config.max_ahead.filter(|_| view.keeps_times) {
                let recovery = Recovery::at(now, max_ahead, view.slide);
                let (changes, set_back) = recovery.apply(&mut parts);
                if !set_back.is_empty() {
                    report(view, recovery, &set_back);
                    changed.insert(place, vec![seal(owner, &changes).into()]);
                }
            }
            restored.extend(parts.into_iter().map(|bytes| Restored { view: (*view.name).into(), bytes }));
        }
        Ok(Self { restored, weights, changed })
    }
}

/// Logs the trucks whose times were set back, with their old times.
fn report(view: &View, recovery: Recovery, set_back: &[SetBack]) {
    let text = |time| String::from_utf8_lossy(&TimeWriter::default().text(time)).into_owned();
    let (view, to) = (&*view.name, text(recovery.to));
    let of_truck = |set_back: &SetBack| {
        let truck = printable(set_back.truck.as_deref()?);
        Some(format!("`{truck}` from {}", text(set_back.from)))
    };
    for topic in set_back.iter().filter(|set_back| set_back.truck.is_none()) {
        let from = text(topic.from);
        tracing::warn!(view, from, to, "the topic's time was too far ahead and is set back");
    }
    let trucks: Vec<String> = set_back.iter().filter_map(of_truck).collect();
    for trucks in trucks.chunks(NAMED) {
        let trucks = trucks.join(", ");
        tracing::warn!(
            view,
            trucks,
            to,
            "times of trucks were too far ahead and are set back; readings from then on count again"
        );
    }
}
