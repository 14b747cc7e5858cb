//! The items that sources feed into the graph.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Record};
use crate::dead_letter::{ByReason, DeadLetter, Reason};

/// How far a source has read a partition. Sent as data at the end of each epoch, so that it arrives in the commit of
/// exactly that epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextOffset {
    /// The topic, or the path of the input file.
    pub topic: Arc<str>,
    /// The partition; for a path, the number of the file that had this name, from 0.
    pub partition: i32,
    /// The offset at which a restart resumes.
    pub offset: i64,
    /// Identifies the bytes of the file before that offset; none for a topic.
    pub mark: Option<Mark>,
}

/// The id that the brokers assigned to a topic. A re-created topic with the same name has another id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicId {
    /// The topic.
    pub topic: Arc<str>,
    /// Its id, as Kafka's own tools print it.
    pub id: String,
}

/// The number and hash of the bytes at the start of a file. They identify the file, whatever its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The number of bytes.
    pub bytes: u64,
    /// Their 128-bit XXH3 hash.
    pub hash: u128,
}

/// Permanently identifies a reading of a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReadingId {
    /// The topic, or the full path of the input file.
    pub topic: Arc<str>,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset, or the number of the line counted from 0.
    pub offset: i64,
    /// The place of a reading among those of the message, from 0.
    pub place: u32,
}

/// Records with the same Kafka timestamp, from which the end-to-end latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arrival {
    /// Kafka's timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// The number of records.
    pub records: u32,
}

/// A message of an upsert job: it sets or deletes the reading of its key.
///
/// Views retract the earlier reading. Here the reading `k` is corrected from 82 to 79, which is not above 80:
///
/// ```
/// use dataflows::Epoch;
/// use dataflows::batch::{NANO, Record};
/// use dataflows::item::{Item, Upsert};
/// use dataflows::rows::Change;
/// use dataflows::expression::{Comparison, Expression};
/// use dataflows::relation::{From, PlannedView, Relation, Source};
/// use dataflows::views::{Inputs, Mode, Settings};
/// use dataflows::effect::{Effect, Restored};
/// use timely::dataflow::operators::{Input, Inspect, Probe};
/// use timely::dataflow::{InputHandleVec, ProbeHandle};
///
/// let changes = timely::execute_directly(|worker| {
///     let settings = Settings { mode: Mode::Upsert, ..Settings::default() };
///     // SELECT truck_id FROM readings WHERE engine_speed > 80
///     let field = |name| Expression::field(settings.schema.field(name).unwrap());
///     let limit = Expression::number(80, 0).unwrap();
///     let is_fast = Expression::compare(Comparison::Greater, field("engine_speed"), limit).unwrap();
///     let source = Source { from: From::Readings, filter: Some(is_fast) };
///     let relation = Relation::Select { source, columns: vec![field("truck_id")] };
///     let above_speed = PlannedView::new("fast", "FAST", ["truck_id".to_owned()], relation).view(&settings);
///     let mut items = InputHandleVec::<Epoch, Item>::new();
///     let mut restored = InputHandleVec::<Epoch, Restored>::new();
///     let (sender, changes) = std::sync::mpsc::channel();
///     let probe = ProbeHandle::new();
///     worker.dataflow(|scope| {
///         let restored = scope.input_from(&mut restored);
///         let inputs = Inputs::new(scope.input_from(&mut items), restored, 0, &settings);
///         let send = move |effect: &Effect| {
///             let Effect::Rows(rows) = effect else { return };
///             sender.send(rows.changes.as_ref().unwrap().kinds.to_vec()).unwrap();
///         };
///         (above_speed.build)(&inputs).inspect(send).probe_with(&probe);
///     });
///     restored.close();
///     for (offset, speed) in [(0, 82), (1, 79)] {
///         items.advance_to(offset as Epoch + 1);
///         let units = vec![0, speed * NANO, 0];
///         let record = Record { entity: "a".into(), time: 0, units, texts: Vec::new() };
///         let key = b"k"[..].into();
///         items.send(Item::Upserts(vec![Upsert { key, partition: 0, offset, record: Some(record) }]));
///     }
///     items.close();
///     worker.step_while(|| !probe.done());
///     changes.try_iter().collect::<Vec<_>>()
/// });
/// assert_eq!(changes, [[Change::Insert], [Change::Delete]]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upsert {
    /// The message's key.
    pub key: Arc<[u8]>,
    /// The partition; for a path, the number of the file that had this name, from 0.
    pub partition: i32,
    /// The offset: the later message of a key wins. All messages of a key come from one partition.
    pub offset: i64,
    /// The reading; none deletes it.
    pub record: Option<Record>,
}

/// How many messages a source accepted as readings, and why it rejected others.
///
/// ```
/// use dataflows::dead_letter::Reason;
/// use dataflows::item::Intake;
///
/// let mut intake = Intake { accepted: 1, ..Intake::default() };
/// intake.reject(Reason::MissingField, "timestamp");
/// intake.reject(Reason::NotAnObject, "");
/// assert_eq!((intake.rejected.total(), intake.first), (2, Some((Reason::MissingField, "timestamp".into()))));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// Readings, and in an upsert job also tombstones.
    pub accepted: u64,
    /// Messages that are not valid readings.
    pub rejected: ByReason,
    /// Reason and field of the first rejection.
    pub first: Option<(Reason, String)>,
}

impl Intake {
    /// Whether it counts nothing.
    pub fn is_empty(&self) -> bool {
        self.accepted == 0 && self.first.is_none()
    }

    /// Counts a message that was rejected.
    pub fn reject(&mut self, reason: Reason, field: &str) {
        self.rejected.add(reason, 1);
        self.first.get_or_insert_with(|| (reason, field.to_owned()));
    }

    /// Adds later counts.
    pub fn merge(&mut self, later: &Self) {
        self.accepted += later.accepted;
        self.rejected.merge(&later.rejected);
        if self.first.is_none() {
            self.first.clone_from(&later.first);
        }
    }
}

/// An item that a source feeds into the graph.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    /// Decoded readings.
    Records(Batch),
    /// Messages of an upsert job.
    Upserts(Vec<Upsert>),
    /// The minimum, over the worker's partitions that have not reached their ends, of their latest event times, in
    /// microseconds: `i64::MAX` if all have reached their ends, `i64::MIN` if one was not read yet. Valid until the
    /// worker's next such item.
    Behind(i64),
    /// The latest Kafka timestamp of truck messages so far, in microseconds; for messages without one, the wall clock
    /// of their epoch. The time of the topic never exceeds the latest of these.
    Arrived(i64),
    /// Rejected input.
    DeadLetters(Vec<DeadLetter>),
    /// How many messages were accepted and rejected since the last such item.
    Intake(Intake),
    /// Readings among the dead letters whose event time is too far in the future. The decision is committed, so that
    /// later passes over the input do not decide again.
    InTheFuture(Vec<ReadingId>),
    /// How far the source has read, at the end of an epoch.
    Progress {
        /// One entry per partition that this worker read in the epoch.
        offsets: Vec<NextOffset>,
        /// When the epoch's records were produced.
        arrivals: Vec<Arrival>,
    },
}
