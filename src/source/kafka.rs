//! A Kafka topic: partitions assigned by hand, offsets from our own commit, never from the group.
//!
//! ```text
//! Topic::connect   metadata, watermarks, where each partition starts
//!   |- TopicReader one consumer per worker, fetching in librdkafka's threads, read in batches
//!   |    ^ Found   what is found out meanwhile: new partitions, or that it is another topic by now
//!   `- Watch       one thread: lag, committed offsets reported to the group for lag tools, Found
//! ```

mod describe;
mod doubt;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataflows::Epoch;
use dataflows::item::{Arrival, NextOffset, TopicId};
use rdkafka::bindings as sys;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use describe::describe;
use doubt::{Doubt, Doubts};

use super::embedded::Feed;
use super::{BATCH_RECORDS, Polled, Reader, SourceError};
use crate::decode::{Decode, Message};
use crate::kafka::errors::{Fault, is_of_security, reason};
use crate::kafka::log;
use crate::kafka::properties::Properties;
use crate::runtime::clock::{Clock, Tick};
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::reload::Reloaded;
use crate::runtime::stop::Stop;

/// How long a broker may take to answer at the start.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
/// How long an error of a client makes the job not ready, unless it comes again.
const TROUBLE_FOR: Duration = Duration::from_secs(3);
/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// What to do when offsets that were not read are gone from the broker.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDataLoss {
    /// Stop with an error that says what is missing.
    #[default]
    Stop,
    /// Go on from the earliest offset that is there.
    Earliest,
}

/// How to reach a topic.
#[derive(Clone)]
pub struct TopicOptions {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The group that committed offsets are reported to.
    pub group: String,
    /// librdkafka properties, which go over ours.
    pub properties: Arc<Reloaded<Properties>>,
    /// What to do about missing offsets.
    pub on_data_loss: OnDataLoss,
    /// Whether to stop at the end that is there at the start.
    pub until_end: bool,
}

/// Sends librdkafka's errors to our log, and keeps the first that TLS or SASL made: why no broker answers.
#[derive(Default)]
struct Logged(Mutex<Option<String>>);

impl Logged {
    fn security(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_end(&error) {
            return;
        }
        tracing::warn!(%error, reason, "Kafka client");
        if is_of_security(&error, reason) {
            let reason = || reason.split_whitespace().collect::<Vec<_>>().join(" ");
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(reason);
        }
    }
}

impl ConsumerContext for Logged {}

/// A topic that answered.
pub struct Topic {
    options: TopicOptions,
    name: Arc<str>,
    probe: BaseConsumer<Logged>,
    /// The version of the properties that `probe` has.
    version: u64,
    /// For each partition, the first offset to read and the end there was at the start.
    partitions: BTreeMap<i32, Span>,
    /// Of an embedded broker.
    feed: Option<Arc<Feed>>,
    /// None where the brokers give none.
    id: Option<String>,
    /// Whether offsets of another topic of this name were committed.
    is_another: bool,
    found: Arc<Found>,
}

/// What the watch finds out about a topic, for its readers.
#[derive(Debug, Default)]
struct Found {
    /// How much was found: readers look when it is more than they have seen.
    count: AtomicUsize,
    /// Partitions that are new, and where they begin.
    partitions: Mutex<Vec<(i32, i64)>>,
    /// Why the topic can no longer be read.
    failure: Mutex<Option<SourceError>>,
    /// What the readers wait for: by partition, with the reason, and until when it holds if that is known.
    waits: Mutex<BTreeMap<i32, (String, Option<Instant>)>>,
}

impl Found {
    fn add(&self, partition: i32, low: i64) {
        unpoisoned(&self.partitions).push((partition, low));
        self.count.fetch_add(1, SeqCst);
    }

    /// Notes that a reader waits, until it says otherwise or for a time.
    fn wait_for(&self, partition: i32, reason: String, for_now: Option<Duration>) {
        let until = for_now.map(|time| Instant::now() + time);
        unpoisoned(&self.waits).insert(partition, (reason, until));
    }

    fn settled(&self, partition: i32) {
        unpoisoned(&self.waits).remove(&partition);
    }

    /// What a reader waits for, if one does.
    fn trouble(&self) -> Option<String> {
        let (mut waits, now) = (unpoisoned(&self.waits), Instant::now());
        waits.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let (partition, (reason, _)) = waits.first_key_value()?;
        Some(if *partition < 0 { reason.clone() } else { format!("partition {partition}: {reason}") })
    }

    fn fail(&self, error: SourceError) {
        *unpoisoned(&self.failure) = Some(error);
        self.count.fetch_add(1, SeqCst);
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, Debug)]
struct Span {
    next: i64,
    end: i64,
}

impl Topic {
    /// How many messages there are to read, of a topic that is read to its end. Holes count, too.
    pub fn to_read(&self) -> Option<u64> {
        let left = |span: &Span| (span.end - span.next).max(0) as u64;
        // Where an embedded topic ends is known when it has been fed.
        (self.options.until_end && self.feed.is_none()).then(|| self.partitions.values().map(left).sum())
    }

    /// A topic of which nothing is known yet.
    fn unknown(options: TopicOptions) -> Result<Self, SourceError> {
        let version = options.properties.version();
        let probe = consumer(&options)?;
        Ok(Self {
            name: options.topic.as_str().into(),
            options,
            probe,
            version,
            partitions: BTreeMap::new(),
            feed: None,
            id: None,
            is_another: false,
            found: Arc::default(),
        })
    }

    /// Reaches the topic, and finds where each partition starts: at the offset `committed`, else at
    /// the earliest there is. `known` are the ids of topics that have offsets there.
    pub fn connect(
        options: TopicOptions,
        committed: &[NextOffset],
        known: &[TopicId],
    ) -> Result<Self, SourceError> {
        let mut topic = Self::unknown(options)?;
        let partitions = topic.list_partitions()?;
        let goes_on = topic.goes_on();
        let committed = match topic.identify(known) {
            Ok(()) => committed,
            Err(SourceError::MadeAnew { topic: name, known, found, .. }) if goes_on => {
                tracing::warn!(known, found, "topic `{name}` was made anew: going on with all that it holds");
                topic.is_another = true;
                &[]
            }
            Err(error) => return Err(error),
        };
        for &partition in &partitions {
            let (low, end) = topic.watermarks(partition)?;
            let committed = committed
                .iter()
                .find(|at| at.topic == topic.name && at.partition == partition)
                .map(|at| at.offset);
            let next = topic.first(partition, committed, low, end)?;
            topic.partitions.insert(partition, Span { next, end });
        }
        // Topics never lose partitions.
        let is_gone =
            |at: &&NextOffset| at.topic == topic.name && at.offset > 0 && !partitions.contains(&at.partition);
        if let Some(at) = committed.iter().find(is_gone) {
            topic.first(at.partition, Some(at.offset), 0, 0)?;
        }
        Ok(topic)
    }

    /// Asks for the topic's id, and refuses another than the `known` one. Brokers before 2.8 give none.
    fn identify(&mut self, known: &[TopicId]) -> Result<(), SourceError> {
        let described = match describe(&self.probe, &self.name, ANSWER) {
            Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => return Ok(()),
            described => described.map_err(|code| SourceError::NoBroker {
                brokers: self.options.brokers.clone(),
                reason: code.to_string(),
            })?,
        };
        self.id = described.id;
        let known = known.iter().find(|known| known.topic == self.name);
        match (known, &self.id) {
            (Some(known), Some(id)) if known.id != *id => Err(self.made_anew(known.id.clone(), id.clone())),
            _ => Ok(()),
        }
    }

    fn made_anew(&self, known: String, found: String) -> SourceError {
        let advice = match self.goes_on() {
            true => "start again: the job goes on with all that the new topic holds",
            false => {
                "start a new --job with a new --out, or set on_data_loss = \"earliest\" to go on with all that the new topic holds"
            }
        };
        SourceError::MadeAnew { topic: self.name.to_string(), known, found, advice }
    }

    /// Whether the job goes on when offsets are missing.
    fn goes_on(&self) -> bool {
        self.options.on_data_loss == OnDataLoss::Earliest
    }

    /// Whether offsets of another topic of this name were committed, and it begins anew.
    pub fn is_another(&self) -> bool {
        self.is_another
    }

    /// The topic's id, if it has one.
    pub fn id(&self) -> Option<TopicId> {
        self.id.clone().map(|id| TopicId { topic: self.name.clone(), id })
    }

    /// The topic from the beginning of each partition up to what was `committed` of it, and whether that
    /// is all there is.
    pub fn again(
        options: TopicOptions,
        committed: &[NextOffset],
        known: &[TopicId],
    ) -> Result<(Self, bool), SourceError> {
        let mut topic = Self::unknown(TopicOptions { until_end: true, ..options })?;
        let mut is_all = true;
        let partitions = topic.list_partitions()?;
        topic.identify(known)?;
        for partition in partitions {
            let (low, end) = topic.watermarks(partition)?;
            let is_it = |at: &&NextOffset| at.topic == topic.name && at.partition == partition;
            let committed = committed.iter().find(is_it).map_or(0, |at| at.offset);
            let name = topic.name.to_string();
            if committed > end {
                return Err(SourceError::Recreated { topic: name, partition, end, committed });
            }
            if low > 0 && committed > 0 {
                return Err(SourceError::Gone { topic: name, partition, low });
            }
            is_all &= committed == end;
            topic.partitions.insert(partition, Span { next: 0, end: committed });
        }
        Ok((topic, is_all))
    }

    /// Ends each partition at its offset in `ends`, and one that is not there where it begins.
    pub fn up_to(mut self, ends: &[NextOffset]) -> Self {
        for (partition, span) in &mut self.partitions {
            let end = ends.iter().find(|at| at.topic == self.name && at.partition == *partition);
            span.end = end.map_or(span.next, |at| at.offset);
        }
        self
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn no_broker(&self, error: &KafkaError) -> SourceError {
        // The reason waits in the queue of events.
        let _ = self.probe.poll(Duration::from_millis(10));
        let brokers = self.options.brokers.clone();
        match self.probe.context().security() {
            Some(reason) => SourceError::Refused { brokers, reason },
            None => SourceError::NoBroker { brokers, reason: reason(error) },
        }
    }

    fn list_partitions(&self) -> Result<Vec<i32>, SourceError> {
        let metadata =
            self.probe.fetch_metadata(Some(&self.name), ANSWER).map_err(|error| self.no_broker(&error))?;
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.name() == &*self.name && topic.error().is_none())
            .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
            .collect();
        if partitions.is_empty() {
            let brokers = self.options.brokers.clone();
            return Err(SourceError::NoTopic { topic: self.name.to_string(), brokers });
        }
        Ok(partitions)
    }

    fn watermarks(&self, partition: i32) -> Result<(i64, i64), SourceError> {
        self.probe.fetch_watermarks(&self.name, partition, ANSWER).map_err(|error| {
            match error.rdkafka_error_code().map(Fault::of) {
                Some(Fault::Transient | Fault::UnknownTopic) => SourceError::Unavailable {
                    topic: self.name.to_string(),
                    partition,
                    brokers: self.options.brokers.clone(),
                    reason: reason(&error),
                },
                _ => self.failed(partition, reason(&error)),
            }
        })
    }

    fn failed(&self, partition: i32, reason: String) -> SourceError {
        SourceError::Kafka { topic: self.name.to_string(), partition, reason }
    }

    fn first(&self, partition: i32, committed: Option<i64>, low: i64, end: i64) -> Result<i64, SourceError> {
        let topic = self.name.to_string();
        match committed {
            None => Ok(low),
            Some(committed) if (low..=end).contains(&committed) => Ok(committed),
            Some(committed) if self.goes_on() => {
                tracing::warn!(
                    topic,
                    partition,
                    committed,
                    low,
                    end,
                    "offsets are missing: going on from the earliest"
                );
                Ok(low)
            }
            Some(from) if from < low => Err(SourceError::DataLoss { topic, partition, from, to: low - 1 }),
            Some(committed) => Err(SourceError::Recreated { topic, partition, end, committed }),
        }
    }

    /// The topic of an embedded broker, which starts at the committed offsets and whose ends are
    /// known when it is fed.
    pub fn embedded(
        options: TopicOptions,
        committed: &[NextOffset],
        partitions: i32,
        feed: Arc<Feed>,
    ) -> Result<Self, SourceError> {
        let mut topic = Self::unknown(options)?;
        let next = |partition| {
            let is_it = |at: &&NextOffset| at.topic == topic.name && at.partition == partition;
            committed.iter().find(is_it).map_or(0, |at| at.offset)
        };
        topic.partitions = (0..partitions).map(|p| (p, Span { next: next(p), end: i64::MAX })).collect();
        topic.feed = Some(feed);
        Ok(topic)
    }

    /// The reader of worker `index` of `workers`: every `workers`-th partition.
    pub fn reader(&self, index: usize, workers: usize) -> Result<TopicReader, SourceError> {
        let own: BTreeMap<i32, Span> = self
            .partitions
            .iter()
            .filter(|(partition, _)| is_of(**partition, index, workers))
            .map(|(partition, span)| (*partition, *span))
            .collect();
        let version = self.options.properties.version();
        let (queue, consumer) =
            reading(&self.options, own.iter().map(|(&partition, span)| (partition, span.next)))?;
        let unfinished =
            if self.options.until_end { own.values().filter(|span| span.next < span.end).count() } else { 1 };
        Ok(TopicReader {
            topic: self.name.clone(),
            until_end: self.options.until_end,
            goes_on: self.goes_on(),
            feed: self.feed.clone(),
            knows_ends: false,
            share: (index, workers),
            found: self.found.clone(),
            seen: 0,
            doubts: Doubts::default(),
            options: self.options.clone(),
            version,
            renews_after: None,
            unfinished,
            partitions: own.into_iter().map(|(partition, span)| (partition, Position::at(span))).collect(),
            arrivals: Vec::new(),
            messages: Vec::with_capacity(BATCH_RECORDS),
            queue,
            consumer,
        })
    }

    /// Where each partition starts.
    pub fn starts(&self) -> Vec<NextOffset> {
        let next = |(&partition, span): (&i32, &Span)| NextOffset {
            topic: self.name.clone(),
            partition,
            offset: span.next,
            mark: None,
        };
        self.partitions.iter().map(next).collect()
    }

    /// Where each partition ends.
    pub fn ends(&self) -> Vec<NextOffset> {
        let end = |(&partition, span): (&i32, &Span)| NextOffset {
            topic: self.name.clone(),
            partition,
            offset: span.end,
            mark: None,
        };
        self.partitions.iter().map(end).collect()
    }

    /// What the topic is called in the health of the job.
    pub fn in_health(&self) -> String {
        format!("topic {}", self.name)
    }

    /// The thread's work that watches the topic from beside, until `committed` closes. It tells the readers
    /// of partitions that the topic gets, and when it was made anew; it says to `health` whether the brokers
    /// answer. With `lag` it also measures that against the offsets that arrive in `committed`, and reports
    /// them to the group.
    pub fn watch(mut self, committed: Receiver<Vec<NextOffset>>, health: &Health, lag: Option<&Metrics>) {
        let mut offsets: BTreeMap<i32, i64> =
            self.partitions.iter().map(|(partition, span)| (*partition, span.next)).collect();
        let what = self.in_health();
        let mut measured: Option<Instant> = None;
        let mut changed = true;
        loop {
            let mut take = |new: Vec<NextOffset>| {
                for at in new.into_iter().filter(|at| at.topic == self.name) {
                    offsets.insert(at.partition, at.offset);
                    changed = true;
                }
            };
            match committed.recv_timeout(LAG_EVERY) {
                Ok(new) => take(new),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if lag.is_some() {
                        // Waited for only where a broker answered just now.
                        let answers = !health.found(&what);
                        self.report(&offsets, if answers { CommitMode::Sync } else { CommitMode::Async });
                    }
                    return;
                }
            }
            committed.try_iter().for_each(take);
            // It has no messages; but its log lines and errors would pile up.
            while self.probe.poll(Duration::ZERO).is_some() {}
            if measured.is_some_and(|at| at.elapsed() < LAG_EVERY) {
                continue;
            }
            measured = Some(Instant::now());
            self.renew();
            // In this order: another process may have been the first to read a new partition.
            let looked = self
                .look(&mut offsets)
                .and_then(|()| lag.map_or(Ok(()), |metrics| self.measure(&offsets, metrics)))
                .and_then(|()| self.found.trouble().map_or(Ok(()), Err));
            lag.iter().for_each(|metrics| metrics.brokers_away.set(i64::from(looked.is_err())));
            match looked {
                Ok(()) => {
                    if health.found(&what) {
                        tracing::info!(topic = &*self.name, "Kafka gives the topic again");
                    }
                    if lag.is_some() && std::mem::take(&mut changed) {
                        self.report(&offsets, CommitMode::Async);
                    }
                }
                Err(reason) => {
                    let brokers = &self.options.brokers;
                    health.lost(&what, format!("{brokers} does not give {what}: {reason}"));
                    tracing::warn!(
                        topic = &*self.name,
                        reason,
                        "Kafka does not give the topic; waiting for it"
                    );
                }
            }
        }
    }

    /// Takes another client if the properties were read again.
    fn renew(&mut self) {
        let version = self.options.properties.version();
        if version == self.version {
            return;
        }
        self.version = version;
        match consumer(&self.options) {
            Ok(consumer) => self.probe = consumer,
            Err(error) => {
                tracing::warn!("{error}; the old client that watches topic `{}` stays in use", self.name);
            }
        }
    }

    /// Measures the lag of every partition; why it cannot be, if so.
    fn measure(&self, offsets: &BTreeMap<i32, i64>, metrics: &Metrics) -> Result<(), String> {
        for (&partition, &offset) in offsets {
            let (_, end) = self
                .probe
                .fetch_watermarks(&self.name, partition, ANSWER)
                .map_err(|error| format!("partition {partition}: {}", reason(&error)))?;
            metrics.lag(&self.name, partition, end - offset);
        }
        Ok(())
    }

    /// Looks whether the topic has partitions that are not in `offsets`, and whether it is still the same.
    fn look(&self, offsets: &mut BTreeMap<i32, i64>) -> Result<(), String> {
        // An embedded broker is of this process alone.
        if self.feed.is_some() {
            return Ok(());
        }
        let partitions = match describe(&self.probe, &self.name, ANSWER) {
            Ok(described) => {
                if let (Some(known), Some(found)) = (&self.id, described.id)
                    && *known != found
                {
                    self.found.fail(self.made_anew(known.clone(), found));
                    return Ok(());
                }
                described.partitions
            }
            Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
                self.list_partitions().map_err(|error| error.to_string())?
            }
            Err(code) => return Err(code.to_string()),
        };
        // One that ends where the topic did when it started has nothing to do with them.
        if self.options.until_end {
            return Ok(());
        }
        for partition in partitions {
            if let Entry::Vacant(new) = offsets.entry(partition) {
                let marks = self.probe.fetch_watermarks(&self.name, partition, ANSWER);
                let (low, _) = marks.map_err(|error| format!("partition {partition}: {}", reason(&error)))?;
                tracing::info!(
                    topic = &*self.name,
                    partition,
                    "the topic has a new partition, which is read"
                );
                new.insert(low);
                self.found.add(partition, low);
            }
        }
        Ok(())
    }

    /// Commits offsets to the consumer group: a progress report, which nothing resumes from.
    fn report(&self, offsets: &BTreeMap<i32, i64>, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for (&partition, &offset) in offsets {
            if let Err(error) = list.add_partition_offset(&self.name, partition, Offset::Offset(offset)) {
                tracing::warn!(partition, offset, reason = reason(&error), "cannot report an offset");
            }
        }
        if let Err(error) = self.probe.commit(&list, mode) {
            tracing::warn!(
                reason = reason(&error),
                "cannot report offsets to the group; the job does not need them"
            );
        }
    }
}

/// A consumer of partitions, each from an offset on, with the queue that they feed.
fn reading(
    options: &TopicOptions,
    partitions: impl Iterator<Item = (i32, i64)>,
) -> Result<(Queue, BaseConsumer<Logged>), SourceError> {
    let failed = |partition, reason| SourceError::Kafka { topic: options.topic.clone(), partition, reason };
    let consumer = consumer(options)?;
    let mut assignment = TopicPartitionList::new();
    for (partition, next) in partitions {
        assignment
            .add_partition_offset(&options.topic, partition, Offset::Offset(next))
            .map_err(|error| failed(partition, reason(&error)))?;
    }
    if assignment.count() > 0 {
        consumer.assign(&assignment).map_err(|error| failed(-1, reason(&error)))?;
    }
    let queue = Queue::of(&consumer).ok_or_else(|| failed(-1, "the consumer has no queue".into()))?;
    Ok((queue, consumer))
}

/// A consumer without an assignment.
fn consumer(options: &TopicOptions) -> Result<BaseConsumer<Logged>, SourceError> {
    consumer_with(options, Logged::default())
}

/// A consumer without an assignment, as the job's own are, whose client's errors go to `context`.
pub(crate) fn consumer_with<C: ConsumerContext + 'static>(
    options: &TopicOptions,
    context: C,
) -> Result<BaseConsumer<C>, SourceError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("group.id", &options.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", "read_committed")
        // Bounds what is fetched ahead, and with it the memory of a consumer that has to wait.
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "4096")
        // A full queue stops fetching for a second otherwise.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "50")
        // A broker that is back is found soon, however long it was away.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.nagle.disable", "true");
    options.properties.get().set_on(&mut config);
    let consumer = config.create_with_context(context).map_err(|error| match error {
        // Its value may be a secret.
        KafkaError::ClientConfig(_, what, key, _) => SourceError::Setting(format!("{key}: {what}")),
        other => SourceError::Setting(reason(&other)),
    })?;
    log::listen(&consumer);
    Ok(consumer)
}

/// Whether an event only says that a partition was read to its end.
pub(crate) fn is_end(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF)
}

/// The queue that a consumer's partitions feed. One thread reads it: concurrent batch reads are
/// undefined, and `TopicReader` is neither `Sync` nor cloned.
struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread; a reader is used by one at a time.
unsafe impl Send for Queue {}

impl Queue {
    fn of(consumer: &BaseConsumer<Logged>) -> Option<Self> {
        // SAFETY: the client's handle is valid while `consumer` lives; the call gives a new
        // reference to the queue, which `drop` gives back before the consumer is dropped
        // (`TopicReader` declares the queue first).
        NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) }).map(Self)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and is not used after this.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A fetched message, given back to librdkafka when dropped.
#[repr(transparent)]
struct Fetched(NonNull<sys::rd_kafka_message_t>);

// SAFETY: a fetched message belongs to whoever holds it, on any thread.
unsafe impl Send for Fetched {}

impl Fetched {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: librdkafka gave the pointer, and it is valid until `drop` gives it back.
        unsafe { self.0.as_ref() }
    }

    fn payload(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: `payload` points to `len` bytes that live as long as the message, or is null.
        (!raw.payload.is_null()).then(|| unsafe { std::slice::from_raw_parts(raw.payload.cast(), raw.len) })
    }

    fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: `key` points to `key_len` bytes that live as long as the message, or is null.
        (!raw.key.is_null()).then(|| unsafe { std::slice::from_raw_parts(raw.key.cast(), raw.key_len) })
    }

    /// Milliseconds since 1970, where the message has a timestamp.
    fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid, and `kind` is written before the call returns.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp >= 0)
            .then_some(timestamp)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is not used after this.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Whether a partition is of worker `index` of `workers`.
fn is_of(partition: i32, index: usize, workers: usize) -> bool {
    partition as usize % workers == index
}

/// One worker's partitions.
pub struct TopicReader {
    topic: Arc<str>,
    until_end: bool,
    /// Whether to go on when offsets are missing.
    goes_on: bool,
    /// Which worker of how many it is of.
    share: (usize, usize),
    found: Arc<Found>,
    /// How much of what was found is known here.
    seen: usize,
    doubts: Doubts,
    options: TopicOptions,
    /// The version of the properties that the consumer has.
    version: u64,
    /// The epoch that has to be committed before another consumer is made.
    renews_after: Option<Epoch>,
    /// Of an embedded broker; where its topic ends is known when all is fed.
    feed: Option<Arc<Feed>>,
    knows_ends: bool,
    /// Partitions that are before the end there was at the start.
    unfinished: usize,
    partitions: BTreeMap<i32, Position>,
    arrivals: Vec<Arrival>,
    messages: Vec<Option<Fetched>>,
    queue: Queue,
    consumer: BaseConsumer<Logged>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    span: Span,
    moved: bool,
    /// The latest event time read, in microseconds.
    latest: i64,
    /// Whether the end was reached, and nothing came since.
    at_end: bool,
}

impl Position {
    fn at(span: Span) -> Self {
        Self { span, moved: false, latest: i64::MIN, at_end: span.next >= span.end }
    }
}

impl TopicReader {
    /// Takes what is fetched into `messages`; waits at most for `wait` until they are full.
    fn fetch(&mut self, wait: Duration) {
        self.messages.clear();
        self.messages.resize_with(BATCH_RECORDS, || None);
        // SAFETY: `Option<Fetched>` is a nullable pointer (`repr(transparent)` over `NonNull`), so
        // the vector is an array of `BATCH_RECORDS` message pointers; librdkafka writes the first
        // `count` of them, each a message that is ours from then on.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.0.as_ptr(),
                wait.as_millis() as i32,
                self.messages.as_mut_ptr().cast(),
                self.messages.len(),
            )
        };
        self.messages.truncate(count.max(0) as usize);
    }

    /// Only counts what comes, waiting at most for `wait`: what reading costs without anything else, as
    /// `truckflow bench` measures it. None at the ends.
    pub fn count(&mut self, wait: Duration) -> Result<Option<u64>, SourceError> {
        if self.unfinished == 0 {
            return Ok(None);
        }
        self.settle()?;
        self.fetch(wait);
        let mut messages = std::mem::take(&mut self.messages);
        let mut count = 0;
        // Messages come in runs of a partition, which is looked up once a run.
        let (mut of, mut end) = (-1, i64::MAX);
        for fetched in messages.drain(..).flatten() {
            let raw = fetched.raw();
            if raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.event(&fetched)?;
                continue;
            }
            if raw.partition != of {
                of = raw.partition;
                end = self.partitions.get(&of).map_or(i64::MAX, |at| at.span.end);
            }
            count += u64::from(raw.offset < end);
            if raw.offset + 1 >= end {
                self.move_to(of, end);
            }
        }
        self.messages = messages;
        Ok(Some(count))
    }

    /// Moves a partition to `next`.
    fn move_to(&mut self, partition: i32, next: i64) {
        if let Some(position) = self.partitions.get_mut(&partition) {
            let before = position.span;
            if next > before.next {
                position.span.next = next;
                position.moved = true;
                if self.until_end && before.next < before.end && next >= before.end {
                    self.unfinished -= 1;
                }
            }
        }
    }

    /// Whether a message lies behind the end there was at the start.
    fn is_past_end(&self, partition: i32, offset: i64) -> bool {
        self.until_end && self.partitions.get(&partition).is_some_and(|at| offset >= at.span.end)
    }

    /// Takes over the ends of an embedded topic once they are known, or why it is fed no more.
    fn learn_ends(&mut self) -> Result<(), SourceError> {
        let Some(feed) = &self.feed else { return Ok(()) };
        if let Some(failure) = feed.take_failure() {
            return Err(failure);
        }
        let Some(ends) = feed.ends().filter(|_| !self.knows_ends) else { return Ok(()) };
        self.knows_ends = true;
        for (&partition, position) in &mut self.partitions {
            position.span.end = ends.get(partition as usize).copied().unwrap_or(0);
        }
        if self.until_end {
            self.unfinished = self.partitions.values().filter(|at| at.span.next < at.span.end).count();
        }
        Ok(())
    }

    /// Takes another consumer if the properties were read again, once what was read until then is committed. It
    /// goes on at the next offsets: what the old one has fetched is fetched again.
    fn renew(&mut self, clock: &Clock) {
        let version = self.options.properties.version();
        if version == self.version {
            return;
        }
        let last = *self.renews_after.get_or_insert_with(|| clock.now());
        if clock.committed() < last && !clock.is_quiet() {
            return;
        }
        (self.version, self.renews_after) = (version, None);
        let is_unread = |at: &Position| !self.until_end || at.span.next < at.span.end;
        let unread = self.partitions.iter().filter(|(_, at)| is_unread(at));
        match reading(&self.options, unread.map(|(&partition, at)| (partition, at.span.next))) {
            Ok((queue, consumer)) => {
                // In this order: the queue is the old consumer's. Whose end may take a while.
                drop(std::mem::replace(&mut self.queue, queue));
                let old = std::mem::replace(&mut self.consumer, consumer);
                std::thread::spawn(move || drop(old));
                tracing::info!(topic = &*self.topic, "reading goes on with another client");
            }
            Err(error) => tracing::warn!("{error}; the old client of topic `{}` stays in use", self.topic),
        }
    }

    /// Takes over what the watch has found.
    fn learn_found(&mut self) -> Result<(), SourceError> {
        let count = self.found.count.load(SeqCst);
        if count == self.seen {
            return Ok(());
        }
        self.seen = count;
        if let Some(failure) = unpoisoned(&self.found.failure).take() {
            return Err(failure);
        }
        let found = unpoisoned(&self.found.partitions).clone();
        let (index, workers) = self.share;
        for (partition, next) in found {
            if is_of(partition, index, workers) && !self.partitions.contains_key(&partition) {
                self.assign(partition, next)?;
                // Where it begins is committed before it is read, as it is of the others at a start.
                let span = Span { next, end: i64::MAX };
                self.partitions.insert(partition, Position { moved: true, ..Position::at(span) });
            }
        }
        Ok(())
    }

    /// Reads a partition from `next` on.
    fn assign(&self, partition: i32, next: i64) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .and_then(|()| self.consumer.incremental_assign(&list));
        assigned.map_err(|error| {
            let topic = self.topic.to_string();
            SourceError::Kafka { topic, partition, reason: reason(&error) }
        })
    }

    /// Says why the broker does not give the next offset of a partition; or, of one whose messages are gone,
    /// goes on from the earliest that is there.
    fn out_of_range(&mut self, partition: i32, low: i64, end: i64) -> Result<(), SourceError> {
        let topic = self.topic.to_string();
        let Some(from) = self.partitions.get(&partition).map(|at| at.span.next) else { return Ok(()) };
        if (low..=end).contains(&from) {
            return Err(self.failed(partition, format!(
                "the broker refuses offset {from}, though it has {low} to {end}; it may have lost what was there before"
            )));
        }
        if from > end {
            return Err(SourceError::Recreated { topic, partition, end, committed: from });
        }
        if !self.goes_on {
            return Err(SourceError::DataLoss { topic, partition, from, to: low - 1 });
        }
        tracing::warn!(topic, partition, from, low, end, "offsets are missing: going on from the earliest");
        self.leave(partition)?;
        self.assign(partition, low)?;
        self.move_to(partition, low);
        Ok(())
    }

    fn event(&mut self, message: &Fetched) -> Result<(), SourceError> {
        let raw = message.raw();
        let (partition, offset) = (raw.partition, raw.offset);
        if raw.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            if let Some(position) = self.partitions.get_mut(&partition) {
                position.at_end = true;
            }
            // Control records and compacted offsets lie before the end without being messages.
            if !self.is_past_end(partition, offset) {
                self.move_to(partition, offset);
            } else if let Some(end) = self.partitions.get(&partition).map(|at| at.span.end) {
                self.move_to(partition, end);
            }
            return Ok(());
        }
        let code = RDKafkaErrorCode::from(raw.err);
        let topic = self.topic.to_string();
        match Fault::of(code) {
            Fault::OutOfRange => self.doubts.add(partition, Doubt::Offset),
            Fault::UnknownTopic => self.doubts.add(partition, Doubt::Topic),
            Fault::Fatal => return Err(SourceError::Kafka { topic, partition, reason: code.to_string() }),
            // librdkafka reconnects and fetches again by itself, and says it again until it succeeds.
            Fault::Transient | Fault::TooLarge => {
                tracing::warn!(topic, partition, reason = %code, "Kafka");
                self.found.wait_for(partition, code.to_string(), Some(TROUBLE_FOR));
            }
        }
        Ok(())
    }

    fn arrive(&mut self, timestamp: i64) {
        match self.arrivals.last_mut() {
            Some(last) if last.timestamp == timestamp => last.records += 1,
            _ => self.arrivals.push(Arrival { timestamp, records: 1 }),
        }
    }
}

impl Reader for TopicReader {
    fn poll<D: Decode>(&mut self, clock: &Clock, decoder: &mut D) -> Result<Polled, SourceError> {
        self.learn_ends()?;
        if self.unfinished == 0 {
            return Ok(Polled::End);
        }
        let Tick { epoch, wall } = clock.tick();
        decoder.set_wall_clock(wall);
        self.learn_found()?;
        self.settle()?;
        self.renew(clock);
        self.fetch(Duration::ZERO);
        let mut messages = std::mem::take(&mut self.messages);
        let (mut records, mut bytes) = (0, 0);
        for fetched in messages.drain(..).flatten() {
            let raw = fetched.raw();
            if raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.event(&fetched)?;
                continue;
            }
            let (partition, offset) = (raw.partition, raw.offset);
            if self.is_past_end(partition, offset) {
                let end = self.partitions.get(&partition).map_or(offset, |at| at.span.end);
                self.move_to(partition, end);
                continue;
            }
            let (mut payload, timestamp) = (fetched.payload(), fetched.timestamp());
            let large = match (&self.feed, payload) {
                (Some(feed), Some([])) => feed.take_large(partition, offset),
                _ => None,
            };
            payload = large.as_deref().or(payload);
            decoder.decode(&Message { partition, offset, timestamp, key: fetched.key(), payload });
            records += 1;
            bytes += payload.map_or(0, <[u8]>::len) as u64;
            if let Some(timestamp) = timestamp {
                self.arrive(timestamp);
            }
            let time = decoder.last_time();
            self.move_to(partition, offset + 1);
            if let Some(position) = self.partitions.get_mut(&partition) {
                position.latest = time.map_or(position.latest, |time| position.latest.max(time));
                position.at_end = offset + 1 >= position.span.end && self.until_end;
            }
        }
        self.messages = messages;
        // An end of a partition that moved on over control records is worth an epoch too.
        let moved = self.partitions.values().any(|at| at.moved);
        clock.read(records.max(u64::from(moved)), bytes);
        Ok(if moved { Polled::Read(epoch) } else { Polled::Idle })
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, arrivals: &mut Vec<Arrival>) {
        for (&partition, position) in self.partitions.iter_mut().filter(|(_, at)| at.moved) {
            position.moved = false;
            offsets.push(NextOffset {
                topic: self.topic.clone(),
                partition,
                offset: position.span.next,
                mark: self.feed.as_ref().and_then(|feed| feed.mark(partition, position.span.next)),
            });
        }
        arrivals.append(&mut self.arrivals);
    }

    fn behind(&self) -> i64 {
        let behind = self.partitions.values().filter(|position| !position.at_end);
        behind.map(|position| position.latest).min().unwrap_or(i64::MAX)
    }
}

/// Waits until `connect` succeeds, as `--wait` asks, or until `stop`.
pub fn keep_trying<T>(
    wait: bool,
    stop: &Stop,
    mut connect: impl FnMut() -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let mut pause = Duration::from_millis(250);
    loop {
        match connect() {
            Err(error) if wait && error.may_pass() && !stop.requested() => {
                tracing::warn!("{}; trying again", error.while_waiting());
                stop.wait(pause);
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            result => return result,
        }
    }
}
