//! What a source feeds the graph.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Record};
use crate::dead_letter::{ByReason, DeadLetter, Reason};
use crate::orientation::Orientation;

/// How far a source has read one partition. Sent as data at the end of each epoch, so that it
/// reaches the commit of exactly that epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextOffset {
    /// The topic, or the path of the input file.
    pub topic: Arc<str>,
    /// The partition; of a path, the number of the file that had this name, from 0.
    pub partition: i32,
    /// The offset that a restart reads first.
    pub offset: i64,
    /// The bytes of the file before that offset; none for a topic.
    pub mark: Option<Mark>,
}

/// The id that the brokers gave a topic: one that is re-created under the same name has another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicId {
    /// The topic.
    pub topic: Arc<str>,
    /// Its id, as Kafka's own tools print it.
    pub id: String,
}

/// The bytes at the beginning of a file: how many, and their hash. They identify the file, whatever its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// How many bytes.
    pub bytes: u64,
    /// Their XXH3 hash of 128 bits.
    pub hash: u128,
}

/// Names one message of a source for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// The topic, or the full path of the input file.
    pub topic: Arc<str>,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset, or the number of the line counted from 0.
    pub offset: i64,
}

/// Records that share a Kafka timestamp: what the end-to-end latency is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arrival {
    /// Kafka's timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// How many records bear it.
    pub records: u32,
}

/// A message of an upsert job: what the reading that its key names is from then on.
///
/// Views undo what was before it. Here the reading `k` is corrected from 82 to 79, which is not above 80:
///
/// ```
/// use dataflows::Epoch;
/// use dataflows::batch::{NANO, Record};
/// use dataflows::item::{Item, Upsert};
/// use dataflows::rows::Change;
/// use dataflows::views::{Inputs, Mode, Settings, all};
/// use dataflows::effect::{Effect, Restored};
/// use timely::dataflow::operators::{Input, Inspect, Probe};
/// use timely::dataflow::{InputHandleVec, ProbeHandle};
///
/// let changes = timely::execute_directly(|worker| {
///     let settings = Settings { mode: Mode::Upsert, ..Settings::default() };
///     let views = all(&settings);
///     let above_speed = views.iter().find(|view| view.name == "above_speed").unwrap();
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
///         let measures = [0, speed * NANO, 0];
///         let record = Record { truck: "a".into(), time: 0, measures, extras: Vec::new() };
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
    /// The partition; of a path, the number of the file that had this name, from 0.
    pub partition: i32,
    /// The offset: of one partition's messages the later wins. All messages of a key come from one partition.
    pub offset: i64,
    /// The reading; none takes it back.
    pub record: Option<Record>,
}

/// What a source made of messages: how many readings it accepted, and why it rejected others.
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
    /// Readings, and in an upsert job messages that take one back.
    pub accepted: u64,
    /// Messages that are no reading.
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

    /// Adds what was counted after this.
    pub fn merge(&mut self, later: &Self) {
        self.accepted += later.accepted;
        self.rejected.merge(&later.rejected);
        if self.first.is_none() {
            self.first.clone_from(&later.first);
        }
    }
}

/// One thing that a source feeds the graph.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    /// Decoded readings.
    Records(Batch),
    /// Messages of an upsert job.
    Upserts(Vec<Upsert>),
    /// The earliest of the latest event times of this worker's partitions that are behind their ends,
    /// in microseconds: `i64::MAX` when none is behind, `i64::MIN` when one was not read yet. It holds
    /// until the worker's next one.
    Behind(i64),
    /// The latest Kafka timestamp of the trucks' messages so far, in microseconds; where messages have none,
    /// the wall clock of their epoch. The time of the topic does not go beyond the latest of these.
    Arrived(i64),
    /// Decoded orientation readings.
    Orientation(Orientation),
    /// Input that could not be used.
    DeadLetters(Vec<DeadLetter>),
    /// How many of the messages that were fed with it were accepted and rejected.
    Intake(Intake),
    /// Messages among the dead letters whose event time was found to be too far ahead. Later passes over
    /// the input do not decide that again, so it is committed.
    InTheFuture(Vec<MessageId>),
    /// How far the source has read, at the end of an epoch.
    Progress {
        /// One entry for each partition that this worker read in the epoch.
        offsets: Vec<NextOffset>,
        /// When the epoch's records were produced.
        arrivals: Vec<Arrival>,
    },
}
