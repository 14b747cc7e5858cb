//! The topics that a job reads, as one source.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use dataflows::item::{NextOffset, TopicId};

use super::doubt::Doubts;
use super::found::{Discovered, Found, Span};
use super::options::TopicOptions;
use super::probe::Probe;
use super::queue::{is_of, reading};
use super::reader::{Position, TopicReader};
use super::topic::{Beginning, Topic};
use super::topic_index::TopicIndex;
use crate::runtime::retry;
use crate::runtime::stop::Stop;
use crate::source::embedded::Feed;
use crate::source::{BATCH_RECORDS, SourceError};
use crate::state::offset::{FirstOffset, first_of};

/// The topics that a job reads.
pub struct TopicSet {
    pub(super) probe: Probe,
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    /// Where topics begin that appear while the job runs: at committed offsets if there are any, or else at their
    /// beginning.
    pub(super) later: Beginning,
    /// The feed of an embedded broker.
    pub(super) feed: Option<Arc<Feed>>,
    pub(super) found: Arc<Found>,
}

impl TopicSet {
    fn new(options: TopicOptions) -> Result<Self, SourceError> {
        Ok(Self {
            probe: Probe::new(options)?,
            topics: BTreeMap::new(),
            later: Beginning::default(),
            feed: None,
            found: Arc::default(),
        })
    }

    /// Connects to all topics that exist, and finds the start of each of their partitions.
    pub fn connect(options: TopicOptions, from: Beginning) -> Result<Self, SourceError> {
        let mut set = Self::new(options)?;
        for (name, partitions) in set.probe.selected()? {
            let topic = Topic::open(&set.probe, &name, &partitions, &from)?;
            set.topics.insert(name, topic);
        }
        set.later = Beginning { start: None, ..from };
        Ok(set)
    }

    /// The topics of the job's `committed` offsets up to these, to fill a view that has read them up to `progress`. With
    /// `whole`, fails if one of the messages is gone.
    pub fn refill(
        options: TopicOptions,
        committed: &[NextOffset],
        progress: &Beginning,
        begun: &[FirstOffset],
        whole: bool,
    ) -> Result<Self, SourceError> {
        let mut set = Self::new(TopicOptions { until_end: true, ..options })?;
        for name in names(committed) {
            let partitions = set.probe.partitions_of(&name)?;
            let mut topic = Topic::open(&set.probe, &name, &partitions, progress)?;
            for (&partition, span) in &mut topic.partitions {
                if progress.committed(&name, partition).is_none() {
                    let first = first_of(begun, &name, partition);
                    let is_read = committed
                        .iter()
                        .any(|at| (&*at.topic, at.partition) == (&*name, partition) && at.offset > first);
                    if whole && span.next > first && is_read {
                        return Err(SourceError::Forgotten {
                            topic: name.to_string(),
                            partition,
                            low: span.next,
                            first,
                        });
                    }
                    span.next = span.next.max(first);
                }
            }
            set.topics.insert(name, topic);
        }
        Ok(set.up_to(committed))
    }

    /// The topics of the job's `committed` offsets from where the job began up to these, and whether these are all
    /// messages. Fails if one of the messages is gone.
    pub fn again(
        options: TopicOptions,
        committed: &[NextOffset],
        known: &[TopicId],
        begun: &[FirstOffset],
    ) -> Result<(Self, bool), SourceError> {
        let mut set = Self::new(TopicOptions { until_end: true, ..options })?;
        let from = Beginning { committed: committed.to_vec(), known: known.to_vec(), start: None };
        let mut is_all = true;
        for name in names(committed) {
            let mut topic = Topic::default();
            let partitions = set.probe.partitions_of(&name)?;
            topic.identify(&set.probe, &name, &from)?;
            for partition in partitions {
                let (low, end) = set.probe.watermarks(&name, partition)?;
                let first = first_of(begun, &name, partition);
                let committed = from.committed(&name, partition).unwrap_or(first);
                let gone = || name.to_string();
                if committed > end {
                    return Err(SourceError::Recreated { topic: gone(), partition, end, committed });
                }
                if low > first && committed > first {
                    return Err(SourceError::Gone { topic: gone(), partition, low });
                }
                is_all &= committed == end;
                topic.partitions.insert(partition, Span { next: first, end: committed });
            }
            set.topics.insert(name, topic);
        }
        Ok((set, is_all))
    }

    /// The topic of an embedded broker, which starts at the committed offsets and whose ends are known when it was fed.
    pub fn embedded(
        options: TopicOptions,
        committed: &[NextOffset],
        partitions: i32,
        feed: Arc<Feed>,
    ) -> Result<Self, SourceError> {
        let mut set = Self::new(options)?;
        let from = Beginning { committed: committed.to_vec(), ..Beginning::default() };
        for name in set.probe.options.topics.names() {
            let next = |partition| from.committed(name, partition).unwrap_or(0);
            let spans = (0..partitions).map(|p| (p, Span { next: next(p), end: i64::MAX }));
            set.topics.insert(name.into(), Topic { partitions: spans.collect(), ..Topic::default() });
        }
        set.feed = Some(feed);
        Ok(set)
    }

    /// Ends each partition at its offset in `ends`; a partition that is not in `ends` is not read.
    pub fn up_to(mut self, ends: &[NextOffset]) -> Self {
        let from = Beginning { committed: ends.to_vec(), ..Beginning::default() };
        for (name, topic) in &mut self.topics {
            for (&partition, span) in &mut topic.partitions {
                span.end = from.committed(name, partition).unwrap_or(span.next);
            }
        }
        self
    }

    /// The number of messages to read, if the topics are read to their ends. Gaps in the offsets count, too.
    pub fn to_read(&self) -> Option<u64> {
        let left = |(_, span): (NamedPartition<'_>, Span)| (span.end - span.next).max(0) as u64;
        // The end of an embedded topic is known when it has been fed.
        (self.probe.options.until_end && self.feed.is_none()).then(|| self.spans().map(left).sum())
    }

    /// The names of the topics.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// The number of partitions.
    pub fn partitions(&self) -> usize {
        self.spans().count()
    }

    /// A topic that was re-created since its offsets were committed, and is read from its beginning.
    pub fn recreated(&self) -> Option<&str> {
        self.topics.iter().find(|(_, topic)| topic.is_recreated).map(|(name, _)| &**name)
    }

    /// Reports the ids that are not known yet, and where partitions without a committed offset begin.
    pub fn report_to(&self, discovered: &Discovered) {
        for (name, topic) in &self.topics {
            let id = topic.topic_id(name).filter(|id| !self.later.known.contains(id));
            discovered.add(id, topic.begun.iter().cloned());
        }
    }

    fn spans(&self) -> impl Iterator<Item = (NamedPartition<'_>, Span)> {
        let of_topic = |(name, topic): (_, &'_ Topic)| {
            let at = |(&partition, &span): (&i32, &Span)| ((name, partition), span);
            topic.partitions.iter().map(at).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(of_topic)
    }

    /// The start offset of each partition.
    pub fn starts(&self) -> Vec<NextOffset> {
        self.spans().map(|(at, span)| next_offset(at, span.next)).collect()
    }

    /// The end offset of each partition.
    pub fn ends(&self) -> Vec<NextOffset> {
        self.spans().map(|(at, span)| next_offset(at, span.end)).collect()
    }

    /// The topics as the health of the job names them.
    pub fn in_health(&self) -> String {
        self.probe.options.in_health()
    }

    /// The reader of worker `index` of `workers`: every `workers`-th partition.
    pub fn reader(&self, index: usize, workers: usize) -> Result<TopicReader, SourceError> {
        let options = self.probe.options.clone();
        let is_own = |&((name, partition), _): &(NamedPartition<'_>, Span)| {
            is_of(&options.topics, name, partition, index, workers)
        };
        let own: Vec<_> = self.spans().filter(is_own).collect();
        let starts = own.iter().map(|((name, partition), span)| (&***name, *partition, span.next));
        let version = options.properties.version();
        let (queue, consumer) = reading(&options, starts)?;
        let mut reader = TopicReader {
            topics: TopicIndex::default(),
            share: (index, workers),
            found: self.found.clone(),
            seen: 0,
            doubts: Doubts::default(),
            version,
            renews_after: None,
            feed: self.feed.clone(),
            knows_ends: false,
            unfinished: 1,
            partitions: BTreeMap::new(),
            arrivals: Vec::new(),
            messages: Vec::with_capacity(BATCH_RECORDS),
            held: VecDeque::new(),
            options,
            queue,
            consumer,
        };
        for ((name, partition), span) in own {
            let at = reader.topics.at(name, partition);
            reader.partitions.insert(at, Position::at(span));
        }
        reader.count_unfinished();
        Ok(reader)
    }
}

/// A partition with the name of its topic.
type NamedPartition<'a> = (&'a Arc<str>, i32);

fn next_offset((topic, partition): NamedPartition<'_>, offset: i64) -> NextOffset {
    NextOffset { topic: topic.clone(), partition, offset, mark: None }
}

/// The topics of offsets.
fn names(offsets: &[NextOffset]) -> BTreeSet<Arc<str>> {
    offsets.iter().map(|at| at.topic.clone()).collect()
}

/// The names of the topics that exist, are named or match a pattern. Fails if one that is named does not exist, or if a
/// pattern matches none.
pub fn existing(options: TopicOptions) -> Result<Vec<String>, SourceError> {
    Ok(Probe::new(options)?.selected()?.into_keys().map(|name| name.to_string()).collect())
}

/// Retries `connect` while its errors may pass, if `wait` is set, until `stop`.
pub fn keep_trying<T>(
    wait: bool,
    stop: &Stop,
    connect: impl FnMut() -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let may_pass = |error: &SourceError| (wait && error.may_pass()).then(|| error.while_waiting());
    retry::until_stopped(stop, connect, may_pass)
}
