//! Decides when the state changes of a view are folded into one snapshot.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::job::error::JobError;
use crate::job::graph::Route;
use crate::runtime::fault::{self, Moment};
use crate::state::{Owner, SealedFold, seal};
use crate::store::{StateChange, Store};

/// State deltas are folded when they are larger than the snapshot, or when there are this many parts.
const FOLD_PARTS: usize = 256;
/// For a small snapshot, they are folded at this many bytes.
const FOLD_BYTES: usize = 1 << 20;
/// The maximum bytes of state folded in one commit, unless a single view has more. Others wait, until their deltas are
/// `PATIENCE` times as large as the snapshot.
const FOLD_AT_ONCE: usize = 64 << 20;
const PATIENCE: usize = 4;

/// The size of a view's state in the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateWeight {
    /// Bytes of the last snapshot.
    pub snapshot: usize,
    /// Bytes of the deltas since.
    pub deltas: usize,
    /// Parts of the deltas since.
    pub parts: usize,
    /// Entries, over all.
    pub entries: i64,
}

impl StateWeight {
    /// Adds the changes of a commit.
    pub(super) fn add(&mut self, change: &StateChange, entries: i64) {
        let bytes: usize = change.parts.iter().map(Bytes::len).sum();
        if change.replaces {
            (self.snapshot, self.deltas, self.parts) = (bytes, 0, 0);
        } else {
            self.deltas += bytes;
            self.parts += change.parts.len();
        }
        self.entries += entries;
    }
}

/// The state changes to commit: deltas, or a snapshot if the deltas are too large. `deltas` are the sealed deltas by
/// view index.
pub(super) fn state_changes(
    store: &mut dyn Store,
    routes: &[Route],
    weights: &[StateWeight],
    deltas: &BTreeMap<usize, Vec<Bytes>>,
) -> Result<Vec<StateChange>, JobError> {
    let mut changes = Vec::new();
    let mut folded = 0;
    for (&view, parts) in deltas {
        let name = &*routes[view].name;
        let weight = weights[view];
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        let heavy = weight.deltas + bytes > weight.snapshot.max(FOLD_BYTES)
            || weight.parts + parts.len() > FOLD_PARTS;
        let size = weight.snapshot + weight.deltas + bytes;
        let may_wait = folded > 0
            && folded + size > FOLD_AT_ONCE
            && weight.deltas + bytes <= PATIENCE * weight.snapshot
            && weight.parts + parts.len() <= PATIENCE * FOLD_PARTS;
        let (parts, replaces) = if heavy && !may_wait {
            folded += size;
            fault::at(Moment::Fold);
            let form = store.form();
            let owner = Owner { job: &form.job, view: name };
            let mut fold = SealedFold::new(owner);
            parts.iter().rev().for_each(|part| fold.older(part));
            store.state(name, &mut |part| fold.older(&part))?;
            (fold.finish()?.into_iter().map(|part| seal(owner, &part).into()).collect(), true)
        } else {
            (parts.clone(), false)
        };
        changes.push(StateChange { view: name.to_owned(), parts, replaces });
    }
    Ok(changes)
}
