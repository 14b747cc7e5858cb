//! Counters of a run: readings, rows and dead letters, which are three different things.
//!
//! A message is accepted as a reading, or rejected. A view may drop an accepted reading that is late, and then
//! writes a dead letter; two views that drop the same reading write two. The database may refuse a row of an
//! accepted reading, which is also a dead letter. An accepted reading that repeats another is dropped before all views,
//! and only counted.
//!
//! The commit thread counts everything when it commits; in a cluster process 0 counts for all processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::dead_letter::{ByReason, DeadLetter, Reason};
use dataflows::item::Intake;
use serde::{Deserialize, Serialize};

use crate::decode::Mapping;
use crate::text::printable::printable;

/// This many rejections without an accepted reading cause a warning while the job runs.
const MANY: u64 = 10;

/// A reading as its dead letters identify it: topic, partition and offset; or, if a view does not know these,
/// the view's name and the message's key.
pub type Origin = (Arc<str>, i32, i64, Option<Vec<u8>>);

/// The dead letters among the rows of a message to the commit thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letters {
    /// All of them.
    pub reasons: ByReason,
    /// The view that dropped readings, by its index.
    pub view: Option<usize>,
    /// The accepted readings that it dropped.
    pub left_out: Vec<(Reason, Origin)>,
}

impl Letters {
    /// The dead letters that a view, by its index, made of readings, in an
    /// [`Effect::DeadLetters`](dataflows::effect::Effect::DeadLetters).
    pub fn of_view(view: usize, letters: &[DeadLetter]) -> Self {
        let mut found = Self { view: Some(view), ..Self::default() };
        for letter in letters {
            found.reasons.add(letter.reason, 1);
            let key = letter.key.clone().filter(|_| letter.offset < 0);
            let origin = (letter.topic.clone(), letter.partition, letter.offset, key);
            found.left_out.push((letter.reason, origin));
        }
        found
    }
}

/// Rows of one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCount {
    /// Records of its CSV files.
    pub csv: u64,
    /// Rows of its table that were inserted, updated or deleted.
    pub table: u64,
    /// Rows that the database refused for their content.
    pub refused: u64,
    /// Readings that it dropped, each a dead letter.
    pub dropped: u64,
}

/// The counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages: accepted as readings, and rejected.
    pub intake: Intake,
    /// Accepted readings that were dropped because they repeat another.
    pub duplicates: u64,
    /// Accepted readings that at least one view dropped, each counted once per reason.
    pub left_out: ByReason,
    /// Rows by the index of their view in the job's list.
    pub rows: BTreeMap<usize, RowCount>,
    /// Dead letters.
    pub letters: ByReason,
}

impl Counts {
    /// The sums over all views.
    pub fn all_rows(&self) -> RowCount {
        self.rows.values().fold(RowCount::default(), |sum, rows| RowCount {
            csv: sum.csv + rows.csv,
            table: sum.table + rows.table,
            refused: sum.refused + rows.refused,
            dropped: sum.dropped + rows.dropped,
        })
    }

    /// Adds later counters.
    pub fn merge(&mut self, later: &Self) {
        self.intake.merge(&later.intake);
        self.duplicates += later.duplicates;
        self.left_out.merge(&later.left_out);
        self.letters.merge(&later.letters);
        for (&view, more) in &later.rows {
            let rows = self.rows.entry(view).or_default();
            rows.csv += more.csv;
            rows.table += more.table;
            rows.refused += more.refused;
            rows.dropped += more.dropped;
        }
    }
}

/// A warning if there were messages and none of them was accepted; `mapping` says where fields were looked for.
pub fn nothing_accepted(intake: &Intake, mapping: &Mapping) -> Option<String> {
    let (reason, field) = intake.first.as_ref().filter(|_| intake.accepted == 0)?;
    let messages = match intake.rejected.total() {
        1 => "the only message was rejected, for".to_owned(),
        all => format!("all {all} messages were rejected, the first for"),
    };
    let place = mapping.looked_for(field).map(|place| format!(", looked for at {}", printable(&place)));
    Some(format!(
        "no reading was accepted: {messages} {}{}; compare the messages with the fields that the job reads, or run \
         `truckflow check`",
        rejection(*reason, field),
        place.unwrap_or_default()
    ))
}

/// A reason and the invalid field, if there is one.
pub fn rejection(reason: Reason, field: &str) -> String {
    match field {
        "" => reason.name().to_owned(),
        field => format!("{} `{}`", reason.name(), printable(field)),
    }
}

/// Counts for the next commit, and warns when a job accepts no reading.
#[derive(Debug)]
pub struct Counter {
    mapping: Arc<Mapping>,
    /// The committed counters.
    committed: Counts,
    /// The counters of the next commit.
    pending: Counts,
    /// The readings of `pending` that a view dropped.
    left_out: BTreeSet<(Reason, Origin)>,
    /// All messages so far, committed or not.
    all_intake: Intake,
    warned: bool,
}

/// A change of whether a job accepts readings.
#[derive(Debug, PartialEq, Eq)]
pub enum AcceptanceChange {
    /// The job has rejected many messages and accepted none.
    NothingAccepted(String),
    /// After that warning, the job has accepted its first reading.
    Accepted,
}

impl Counter {
    /// A counter of nothing, for messages that are read by this mapping.
    pub fn new(mapping: Arc<Mapping>) -> Self {
        Self {
            mapping,
            committed: Counts::default(),
            pending: Counts::default(),
            left_out: BTreeSet::new(),
            all_intake: Intake::default(),
            warned: false,
        }
    }

    /// Counts messages. Returns a change of whether the job accepts readings.
    pub fn intake(&mut self, intake: &Intake) -> Option<AcceptanceChange> {
        self.pending.intake.merge(intake);
        self.all_intake.merge(intake);
        if self.warned && self.all_intake.accepted > 0 {
            self.warned = false;
            return Some(AcceptanceChange::Accepted);
        }
        if self.warned || self.all_intake.rejected.total() < MANY {
            return None;
        }
        let said = nothing_accepted(&self.all_intake, &self.mapping)?;
        self.warned = true;
        Some(AcceptanceChange::NothingAccepted(said))
    }

    /// The current warning of a job that accepts no reading.
    pub fn warning(&self) -> Option<String> {
        nothing_accepted(&self.all_intake, &self.mapping).filter(|_| self.warned)
    }

    /// Counts readings that were dropped because they repeat another.
    pub fn duplicates(&mut self, number: u64) {
        self.pending.duplicates += number;
    }

    /// Counts rows of a view that go to its files and its table.
    pub fn rows(&mut self, view: usize, csv: u64, table: u64) {
        let rows = self.pending.rows.entry(view).or_default();
        rows.csv += csv;
        rows.table += table;
    }

    /// Counts dead letters of the graph.
    pub fn letters(&mut self, letters: Letters) {
        self.pending.letters.merge(&letters.reasons);
        if let Some(view) = letters.view {
            self.pending.rows.entry(view).or_default().dropped += letters.left_out.len() as u64;
        }
        self.left_out.extend(letters.left_out);
    }

    /// Counts a row that the database refused, which is not in its table, and its dead letter.
    pub fn refuse(&mut self, view: usize) {
        let rows = self.pending.rows.entry(view).or_default();
        rows.table = rows.table.saturating_sub(1);
        rows.refused += 1;
        self.pending.letters.add(Reason::RefusedByDatabase, 1);
    }

    /// Moves the pending counters to the committed ones, and returns them.
    pub fn commit(&mut self) -> Counts {
        let mut now = std::mem::take(&mut self.pending);
        for (reason, _) in std::mem::take(&mut self.left_out) {
            now.left_out.add(reason, 1);
        }
        self.committed.merge(&now);
        now
    }

    /// All committed counters.
    pub fn finish(self) -> Counts {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::path::Pointer;

    fn rejections(number: usize) -> Intake {
        let mut intake = Intake::default();
        (0..number).for_each(|_| intake.reject(Reason::MissingField, "engine_speed"));
        intake
    }

    fn counter() -> Counter {
        Counter::new(Arc::new(Mapping::trucks()))
    }

    #[test]
    fn a_warning_names_the_place_of_a_field_that_is_not_at_the_top() {
        let mut mapping = Mapping::trucks();
        mapping.root = vec![Pointer::parse("/data").unwrap()];
        let said = nothing_accepted(&rejections(2), &mapping).unwrap();
        let expected = "the first for missing_field `engine_speed`, looked for at /engine_speed under the root /data; compare";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn ten_rejections_without_an_accepted_reading_warn_once() {
        let mut counter = counter();
        assert_eq!(counter.intake(&rejections(9)), None);
        assert_eq!(counter.warning(), None);
        let Some(AcceptanceChange::NothingAccepted(said)) = counter.intake(&rejections(1)) else {
            panic!("no warning")
        };
        assert!(
            said.starts_with(
                "no reading was accepted: all 10 messages were rejected, the first for missing_field `engine_speed`;"
            ),
            "{said}"
        );
        assert_eq!(counter.intake(&rejections(1)), None);
        assert!(counter.warning().unwrap().contains("all 11 messages"));
        let accepted = Intake { accepted: 1, ..Intake::default() };
        assert_eq!(counter.intake(&accepted), Some(AcceptanceChange::Accepted));
        assert_eq!((counter.warning(), counter.intake(&rejections(500))), (None, None));
    }

    #[test]
    fn a_job_that_accepts_one_of_the_first_ten_messages_does_not_warn() {
        let mut counter = counter();
        counter.intake(&Intake { accepted: 1, ..rejections(5) });
        assert_eq!(counter.intake(&rejections(500)), None);
        assert_eq!(nothing_accepted(&Intake::default(), &Mapping::trucks()), None);
        assert!(
            nothing_accepted(&rejections(1), &Mapping::trucks())
                .unwrap()
                .contains("the only message was rejected")
        );
    }

    #[test]
    fn a_reading_that_is_late_for_two_views_is_one_late_reading_with_two_letters() {
        let late = |offset, field: &str| DeadLetter {
            topic: "t".into(),
            partition: 1,
            offset,
            kafka_timestamp: None,
            key: None,
            place: None,
            payload: None,
            reason: Reason::Late,
            field: field.into(),
        };
        let mut counter = counter();
        counter.letters(Letters::of_view(3, &[late(7, "window_averages"), late(8, "window_averages")]));
        counter.letters(Letters::of_view(5, &[late(7, "filtered_join")]));
        let now = counter.commit();
        assert_eq!((now.left_out.get(Reason::Late), now.letters.get(Reason::Late)), (2, 3));
        assert_eq!([3, 5].map(|view| now.rows[&view].dropped), [2, 1]);
        counter.letters(Letters::of_view(5, &[late(9, "filtered_join")]));
        assert_eq!(counter.commit().left_out.total(), 1);
        let all = counter.finish();
        assert_eq!((all.left_out.total(), all.letters.total()), (3, 4));
    }

    #[test]
    fn rows_that_the_database_refused_are_not_in_its_table() {
        let mut counter = counter();
        counter.rows(0, 5, 5);
        counter.refuse(0);
        counter.rows(1, 1, 1);
        let now = counter.commit();
        assert_eq!(now.all_rows(), RowCount { csv: 6, table: 5, refused: 1, dropped: 0 });
        assert_eq!(now.letters.to_string(), "refused_by_database 1");
        assert_eq!(counter.finish(), now);
    }
}
