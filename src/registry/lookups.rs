//! What is known of each id, and which ids are asked for: shared by decoders and the thread that fetches.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use codec::decode::{Lookup, Schema};

/// How many ids without a schema are remembered: bytes that are no messages of a registry have any ids.
const MAX_WITHOUT: usize = 10_000;

#[derive(Debug)]
pub(super) struct Lookups {
    known: RwLock<HashMap<u32, Arc<Schema>>>,
    others: Mutex<Others>,
    changed: Condvar,
    /// How long an id stays unknown.
    unknown_for: Duration,
}

#[derive(Debug, Default)]
struct Others {
    /// Ids that are not known.
    ids: HashMap<u32, State>,
    /// Those that are pending, in the order in which they were asked for.
    pending: VecDeque<u32>,
    is_closed: bool,
}

#[derive(Debug)]
enum State {
    Pending,
    Unknown(Instant),
    Unusable,
}

impl Lookups {
    pub fn new(unknown_for: Duration) -> Self {
        let (known, others, changed) = Default::default();
        Self { known, others, changed, unknown_for }
    }

    /// What is known of an id. One that is not known is pending from now on.
    pub fn get(&self, id: u32) -> Lookup {
        if let Some(schema) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Lookup::Known(schema.clone());
        }
        let mut others = self.others();
        match others.ids.get(&id) {
            Some(State::Unusable) => Lookup::Unknown,
            Some(State::Unknown(since)) if since.elapsed() < self.unknown_for => Lookup::Unknown,
            Some(State::Pending) => Lookup::Pending,
            Some(State::Unknown(_)) | None => {
                others.ids.insert(id, State::Pending);
                others.pending.push_back(id);
                self.changed.notify_all();
                Lookup::Pending
            }
        }
    }

    /// Waits for a pending id. None once the lookups are closed.
    pub fn next(&self) -> Option<u32> {
        let waits = |others: &mut Others| !others.is_closed && others.pending.is_empty();
        let others = self.changed.wait_while(self.others(), waits).unwrap_or_else(PoisonError::into_inner);
        others.pending.front().copied().filter(|_| !others.is_closed)
    }

    /// Waits for this time, or until the lookups are closed.
    pub fn pause(&self, time: Duration) {
        drop(self.changed.wait_timeout_while(self.others(), time, |others| !others.is_closed));
    }

    pub fn set_known(&self, id: u32, schema: Schema) {
        // In this order: an id that is neither known nor pending would be asked for again.
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(schema));
        self.settle(id, None);
    }

    pub fn set_unknown(&self, id: u32) {
        self.settle(id, Some(State::Unknown(Instant::now())));
    }

    pub fn set_unusable(&self, id: u32) {
        self.settle(id, Some(State::Unusable));
    }

    fn settle(&self, id: u32, state: Option<State>) {
        let mut others = self.others();
        others.pending.retain(|pending| *pending != id);
        if others.ids.len() >= MAX_WITHOUT {
            others.ids.retain(|_, state| matches!(state, State::Pending));
        }
        match state {
            Some(state) => _ = others.ids.insert(id, state),
            None => _ = others.ids.remove(&id),
        }
        self.changed.notify_all();
    }

    /// Waits for a change, for at most this time.
    pub fn wait(&self, id: u32, at_most: Duration) {
        let is_pending =
            |others: &mut Others| !others.is_closed && matches!(others.ids.get(&id), Some(State::Pending));
        drop(self.changed.wait_timeout_while(self.others(), at_most, is_pending));
    }

    pub fn close(&self) {
        self.others().is_closed = true;
        self.changed.notify_all();
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lookup: &Lookup) -> &'static str {
        match lookup {
            Lookup::Known(_) => "known",
            Lookup::Unknown => "unknown",
            Lookup::Pending => "pending",
        }
    }

    #[test]
    fn an_id_is_pending_until_it_is_settled() {
        let lookups = Lookups::new(Duration::from_secs(3600));
        assert_eq!(["pending"; 2], [7, 7].map(|id| shown(&lookups.get(id))));
        assert_eq!(shown(&lookups.get(8)), "pending");
        assert_eq!(lookups.next(), Some(7));
        lookups.set_known(7, Schema::Json);
        assert_eq!(lookups.next(), Some(8));
        lookups.set_unknown(8);
        lookups.get(9);
        lookups.set_unusable(9);
        assert_eq!(["known", "unknown", "unknown"], [7, 8, 9].map(|id| shown(&lookups.get(id))));
        lookups.close();
        assert_eq!(lookups.next(), None);
    }

    #[test]
    fn an_unknown_id_is_asked_for_again_later() {
        let lookups = Lookups::new(Duration::ZERO);
        for _ in 0..2 {
            assert_eq!(shown(&lookups.get(7)), "pending");
            assert_eq!(lookups.next(), Some(7));
            lookups.set_unknown(7);
        }
        lookups.set_unusable(7);
        assert_eq!(shown(&lookups.get(7)), "unknown");
    }

    #[test]
    fn any_number_of_unknown_ids_takes_bounded_memory() {
        let lookups = Lookups::new(Duration::from_secs(3600));
        for id in 0..3 * MAX_WITHOUT as u32 {
            lookups.get(id);
            lookups.set_unknown(id);
        }
        assert!(lookups.others().ids.len() <= MAX_WITHOUT);
    }

    #[test]
    fn waits_end_when_the_lookups_are_closed() {
        let lookups = Arc::new(Lookups::new(Duration::ZERO));
        let waits = lookups.clone();
        let next = std::thread::spawn(move || waits.next());
        let waits = lookups.clone();
        lookups.get(1);
        assert_eq!(next.join().unwrap(), Some(1));
        let pause = std::thread::spawn(move || waits.pause(Duration::from_secs(3600)));
        lookups.close();
        pause.join().unwrap();
    }
}
