//! Publishes a commit: to the counters and metrics, the clock, the process that started the job, the live page and the
//! threads that follow the offsets.

use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::Epoch;

use super::committer::Committer;
use crate::observe::board::CommitPoint;
use crate::runtime::events::Event;
use crate::store::StateChange;

impl Committer {
    /// Publishes that `epoch` is durable.
    pub(super) fn publish(&mut self, epoch: Epoch, state: &[StateChange], seconds: f64) {
        let mut pending = std::mem::take(&mut self.pending);
        let refusals = std::mem::take(&mut pending.refusals);
        let (refused, listed) = refusals.count(&self.setup.routes, &mut self.counter);
        let offsets = pending.offsets();
        for change in state {
            let Some(view) = self.setup.routes.iter().position(|route| *route.name == *change.view) else {
                continue;
            };
            let weight = &mut self.setup.weights[view];
            weight.add(change, pending.added.get(&view).copied().unwrap_or(0));
            self.setup.metrics.state_records(&change.view, weight.entries);
        }
        let counts = self.counter.commit();
        for (&view, rows) in &counts.rows {
            let route = &self.setup.routes[view];
            if rows.dropped > 0 {
                self.setup.metrics.dropped_readings(&route.name, rows.dropped);
            }
            if route.csv {
                self.setup.metrics.rows("csv", &route.name, rows.csv);
            }
            if route.table.is_some() {
                self.setup.metrics.rows("table", &route.name, rows.table);
                self.setup.metrics.refused_rows(&route.name, rows.refused);
            }
        }
        self.setup.metrics.counted(&counts);
        // A backfill reads messages that were already counted as consumed.
        let mut messages = 0;
        for at in offsets.iter().filter(|_| self.setup.filled.is_none()) {
            let last = self.last_offsets.insert((at.topic.clone(), at.partition), at.offset).unwrap_or(0);
            let consumed = (at.offset - last).max(0) as u64;
            self.setup.metrics.consumed(&at.topic, at.partition, consumed);
            messages += consumed;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        tracing::debug!(epoch, messages, "committed");
        if let Some(events) = &self.setup.events {
            let offsets = offsets.iter().map(|at| (at.partition, at.offset)).collect();
            events.send(&Event::Committed { at: now.as_micros() as i64, messages, offsets });
        }
        if self.setup.filled.is_none() {
            self.setup.metrics.arrived(&pending.arrivals, now.as_millis() as i64);
        }
        self.setup.metrics.committed_epoch.set(epoch as i64);
        self.setup.clock.commit(epoch, pending.weight);
        if let Some(page) = &self.setup.page {
            page.board.set_committing(false);
            page.board.set_warning(self.counter.warning());
            let commit = CommitPoint { epoch, at: now.as_millis() as u64, seconds, messages };
            pending.shown.extend(refused);
            pending.views.extend(listed, None, self.setup.routes.len());
            if page.committed(commit, pending.shown, pending.views) {
                self.setup.metrics.page_commits_merged.inc();
            }
        }
        if !offsets.is_empty() {
            self.setup.followers.retain(|follower| follower.send(offsets.clone()).is_ok());
        }
    }
}
