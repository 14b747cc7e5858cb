//! The topics and files that a job reads: opens them, assigns them to the workers, and watches them.
//!
//! ```text
//! Inputs -> Source: a topic or a file -> a reader and a decoder for each worker -> InputSet
//!   |         '- watch thread: lag, group offsets  <- committed
//!   '- feeder thread: embedded broker              <- committed
//! ```

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::item::{NextOffset, ReadingId};
use dataflows::views::View;

use crate::config::Job;
use crate::decode::{Decode, Decoder, Future, Schemas};
use crate::job::error::JobError;
use crate::job::options::{decoder, file_options, topic_options};
use crate::kafka::properties::Properties;
use crate::observe::progress::Share;
use crate::registry::Registry;
use crate::runtime::failure::Bug;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::reload::Reloaded;
use crate::runtime::stop::{self, Stop};
use crate::runtime::thread::spawn;
use crate::source::SourceError;
use crate::source::embedded::{Embedded, Feed, Feeder, PARTITIONS};
use crate::source::file::{LineReader, Lines, Unfinished, full_path, lock};
use crate::source::kafka::{Topic, TopicOptions, keep_trying};
use crate::source::several::{Decoded, InputSet};
use crate::store::LastCommit;
use dataflows::item::TopicId;

/// Timeout of the last offset commit to a consumer group.
const LAST_REPORT: Duration = Duration::from_secs(5);
/// How often to check for it.
const CHECK_EVERY: Duration = Duration::from_millis(5);

/// The inputs of a job.
pub struct Inputs {
    sources: Vec<Source>,
    followers: Vec<Sender<Vec<NextOffset>>>,
    job: Job,
    /// The schemas of messages.
    schemas: Option<Arc<dyn Schemas>>,
    /// In a backfill, the messages that were already found to be in the future.
    decided: Option<Vec<ReadingId>>,
    /// Whether a view may drop records, so that their bytes are kept.
    bytes: bool,
    /// The watch thread of each topic, with the topic's name in the job's health.
    watches: Vec<(String, JoinHandle<()>)>,
    /// Kept as long as the readers.
    _cluster: Option<Embedded>,
    feeder: Option<JoinHandle<()>>,
    /// The state of the feeder.
    feed: Option<Arc<Feed>>,
    brokers: Option<String>,
    /// The Kafka client properties.
    properties: Arc<Reloaded<Properties>>,
}

/// One topic or file.
struct Source {
    /// The topic, or the path of the file.
    name: Arc<str>,
    kind: Kind,
}

enum Kind {
    File(Arc<Mutex<Lines>>),
    /// None once the watch thread has taken it.
    Topic(Option<Box<Watched>>),
}

/// A topic with the channel of its watch thread.
struct Watched {
    topic: Topic,
    committed: Receiver<Vec<NextOffset>>,
}

impl Inputs {
    fn new(config: &Job, views: &[View], properties: &Arc<Reloaded<Properties>>) -> Result<Self, JobError> {
        Ok(Self {
            sources: Vec::new(),
            followers: Vec::new(),
            job: config.clone(),
            schemas: None,
            decided: None,
            bytes: views.iter().any(|view| view.drops_readings),
            watches: Vec::new(),
            _cluster: None,
            feeder: None,
            feed: None,
            brokers: None,
            properties: properties.clone(),
        })
    }

    /// No inputs.
    pub fn none(config: &Job) -> Result<Self, JobError> {
        Self::new(config, &[], &Reloaded::fixed(Properties::default()))
    }

    /// Opens the trucks' source again to backfill `view`, from the `progress` of the backfill to the job's offsets.
    /// `decided` are the messages that are in the future.
    pub fn again(
        config: &Job,
        view: &View,
        progress: &[NextOffset],
        last: &LastCommit,
        decided: Vec<ReadingId>,
        properties: &Arc<Reloaded<Properties>>,
        stop: &Stop,
    ) -> Result<Self, JobError> {
        let offsets = &*last.offsets;
        let mut inputs = Self::new(config, std::slice::from_ref(view), properties)?;
        inputs.decided = Some(decided);
        match &config.input {
            None => {
                let options = topic_options(config, &config.kafka.topic, properties.clone());
                let options = TopicOptions { until_end: true, ..options };
                let connect = || Topic::connect(options.clone(), progress, &last.topics);
                let topic = connect_at_start(config, stop, connect)?.up_to(offsets);
                // The topic was re-created.
                if topic.is_recreated() {
                    let (view, input) = (view.name.to_string(), config.kafka.topic.clone());
                    return Err(JobError::NoBackfill { view, input });
                }
                inputs.add_topic(&config.kafka.topic, topic);
            }
            // A pipe can be read only once.
            Some(path) if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) => {
                return Err(JobError::NoBackfill { view: view.name.to_string(), input: path.clone() });
            }
            Some(path) if config.embedded => {
                let end = |partition| {
                    offsets.iter().find(|at| at.partition == partition && *at.topic == *config.kafka.topic)
                };
                let ends = (0..PARTITIONS).map(|partition| end(partition).map_or(0, |at| at.offset));
                let feed = Feed::new(Some(ends.collect()));
                inputs.open_embedded(config, path, progress, offsets, feed)?;
            }
            Some(path) => {
                let lines = Lines::again(path, progress, offsets, file_options(config))?;
                inputs.add(path, Kind::File(lines));
            }
        }
        Ok(inputs)
    }

    /// Opens the inputs that the views need at their committed offsets. `known` are the ids of the topics that these
    /// offsets belong to.
    pub fn open(
        config: &Job,
        offsets: &[NextOffset],
        known: &[TopicId],
        properties: &Arc<Reloaded<Properties>>,
        stop: &Stop,
    ) -> Result<Self, JobError> {
        let mut inputs = Self::new(config, &config.active_views, properties)?;
        match &config.input {
            None => inputs.open_topic(config, &config.kafka.topic, offsets, known, stop)?,
            // In a cluster, process 0 reads the files.
            Some(_) if config.process > 0 => {}
            Some(path) if config.embedded => {
                inputs.open_embedded(config, path, offsets, &[], Feed::new(None))?
            }
            Some(path) => {
                let lines = Lines::open(path, offsets, file_options(config))?;
                inputs.add(path, Kind::File(lines));
            }
        }
        Ok(inputs)
    }

    fn open_topic(
        &mut self,
        config: &Job,
        topic: &str,
        offsets: &[NextOffset],
        known: &[TopicId],
        stop: &Stop,
    ) -> Result<(), JobError> {
        let options = topic_options(config, topic, self.properties.clone());
        let connect = || Topic::connect(options.clone(), offsets, known);
        let connected = connect_at_start(config, stop, connect)?;
        self.add_topic(topic, connected);
        Ok(())
    }

    /// Feeds `path` to an in-process broker, and reads it from there at `offsets`. `known` are other offsets that were
    /// read before.
    fn open_embedded(
        &mut self,
        config: &Job,
        path: &str,
        offsets: &[NextOffset],
        known: &[NextOffset],
        feed: Arc<Feed>,
    ) -> Result<(), JobError> {
        let mut options = topic_options(config, &config.kafka.topic, self.properties.clone());
        options.until_end |= feed.ends().is_some();
        let cluster = Embedded::start(&options.topic)?;
        options.brokers = cluster.brokers().to_owned();
        self.brokers = Some(options.brokers.clone());
        let committed = self.follow();
        let feeder = Feeder::new(&options.brokers, &options.topic, feed.clone(), offsets, known, committed)?;
        let (ready, fed) = channel();
        let path = path.to_owned();
        self.feeder = Some(spawn("feeder", move || feeder.run(&path, ready))?);
        self.feed = Some(feed.clone());
        // An error of the feeder also closes the channel.
        if fed.recv().is_err() {
            self.join_feeder(&Stop::default())?;
        }
        let topic = Topic::embedded(options, offsets, PARTITIONS, feed)?;
        self._cluster = Some(cluster);
        self.add_topic(&config.kafka.topic, topic);
        Ok(())
    }

    fn add_topic(&mut self, name: &str, topic: Topic) {
        let committed = self.follow();
        self.add(name, Kind::Topic(Some(Box::new(Watched { topic, committed }))));
    }

    fn add(&mut self, name: &str, kind: Kind) {
        self.sources.push(Source { name: name.into(), kind });
    }

    /// A channel that receives the offsets of each commit.
    fn follow(&mut self) -> Receiver<Vec<NextOffset>> {
        let (sender, receiver) = channel();
        self.followers.push(sender);
        receiver
    }

    /// Takes the senders for the offsets of each commit.
    pub fn take_followers(&mut self) -> Vec<Sender<Vec<NextOffset>>> {
        std::mem::take(&mut self.followers)
    }

    /// The address of the embedded broker, if there is one.
    pub fn embedded_broker(&self) -> Option<&str> {
        self.brokers.as_deref()
    }

    /// Lets messages be decoded with the schemas of a registry. Call it before [`shares`](Self::shares).
    pub fn read_schemas_of(&mut self, registry: Option<&Arc<Registry>>) {
        self.schemas = registry.map(|registry| registry.clone() as Arc<dyn Schemas>);
    }

    /// Describes the inputs.
    pub fn describe(&self) -> String {
        if self.sources.is_empty() {
            return "none".into();
        }
        self.sources.iter().map(|source| &*source.name).collect::<Vec<_>>().join(", ")
    }

    /// The start offset of each partition. Files have none, because their start needs no commit.
    pub fn starts(&self) -> Vec<NextOffset> {
        let starts = |source: &Source| match &source.kind {
            Kind::Topic(Some(watched)) => watched.topic.starts(),
            Kind::Topic(None) | Kind::File(_) => Vec::new(),
        };
        self.sources.iter().flat_map(starts).collect()
    }

    /// The topic ids.
    pub fn topics(&self) -> Vec<TopicId> {
        let id = |source: &Source| match &source.kind {
            Kind::Topic(Some(watched)) => watched.topic.id(),
            Kind::Topic(None) | Kind::File(_) => None,
        };
        self.sources.iter().filter_map(id).collect()
    }

    /// A function for the progress in the first source, which is that of the trucks' readings if there is one. None
    /// for a source without an end. Call it before [`watch`](Self::watch).
    pub fn share(&self) -> Option<Share> {
        match &self.sources.first()?.kind {
            Kind::Topic(watched) => {
                let all = watched.as_ref()?.topic.to_read().filter(|&all| all > 0)?;
                Some(Box::new(move |records| records as f64 / all as f64))
            }
            Kind::File(lines) => {
                let lines = lines.clone();
                let left = move || lock(&lines).left();
                let all = left().filter(|&all| all > 0)?;
                Some(Box::new(move |_| 1.0 - left().unwrap_or(0) as f64 / all as f64))
            }
        }
    }

    /// The readers of each worker of this process: the indexes `own` among the `workers` of all processes. Call it
    /// before [`watch`](Self::watch).
    pub fn shares(&self, own: Range<usize>, workers: usize) -> Result<Vec<InputSet>, JobError> {
        let share = |worker| {
            let mut share = InputSet::default();
            for source in &self.sources {
                source.deal(self.decoder(source), worker, workers, &mut share)?;
            }
            Ok(share)
        };
        own.map(share).collect()
    }

    fn decoder(&self, source: &Source) -> Decoder {
        let mut decoder = decoder(&self.job, &source.name).with_future(self.future(source));
        if let Some(schemas) = &self.schemas {
            decoder = decoder.with_schemas(schemas.clone());
        }
        match (self.bytes, &self.job.view_settings.dedupe) {
            (true, _) => decoder.with_origins(),
            (false, Some(_)) => decoder.with_positions(),
            (false, None) => decoder,
        }
    }

    /// Last lines of files that were not read because they have no line feed yet.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let unfinished = |source: &Source| match &source.kind {
            Kind::File(lines) => lock(lines).unfinished(),
            Kind::Topic(_) => None,
        };
        let fed = self.feed.as_ref().and_then(|feed| feed.unfinished());
        self.sources.iter().filter_map(unfinished).chain(fed).collect()
    }

    /// How to decide which readings of a source are in the future.
    fn future(&self, source: &Source) -> Future {
        let topic = match source.kind {
            Kind::File(_) => full_path(&source.name).into(),
            Kind::Topic(_) => source.name.clone(),
        };
        match &self.decided {
            Some(decided) => Future::decided(decided, &topic),
            None => Future::new(self.job.max_ahead, topic),
        }
    }

    /// Starts the threads that watch topics and, with `lag`, measure their lag.
    pub fn watch(&mut self, health: &Arc<Health>, lag: Option<&Metrics>) -> Result<(), JobError> {
        for source in &mut self.sources {
            if let Kind::Topic(topic) = &mut source.kind
                && let Some(watched) = topic.take()
            {
                let (Watched { topic, committed }, health, lag) = (*watched, health.clone(), lag.cloned());
                let named = topic.in_health();
                let watch = move || topic.watch(committed, &health, lag.as_ref());
                self.watches.push((named, spawn("watch", watch)?));
            }
        }
        Ok(())
    }

    /// Waits for the feeder thread, and returns its error if no reader has reported it. After a stop request the
    /// thread may be blocked on a pipe; then it is not waited for.
    pub fn join_feeder(&mut self, stop: &Stop) -> Result<(), JobError> {
        if stop.requested() && self.feeder.as_ref().is_some_and(|feeder| !feeder.is_finished()) {
            stop::leave_work();
            return Ok(());
        }
        // A panic is reported as an error of the feed.
        self.feeder.take().map(JoinHandle::join);
        match self.feed.as_ref().and_then(|feed| feed.take_failure()) {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Waits for the watch threads, which end when the commit thread has ended. A thread whose brokers are unreachable
    /// is not waited for.
    pub fn finish(&mut self, health: &Health) {
        // They are still here if nothing was committed.
        self.followers.clear();
        let until = Instant::now() + LAST_REPORT;
        for (topic, thread) in self.watches.drain(..) {
            // If the brokers have just become unreachable, the offset commit and closing the client block.
            while !thread.is_finished() && !health.is_unavailable(&topic) && Instant::now() < until {
                std::thread::sleep(CHECK_EVERY);
            }
            if !thread.is_finished() {
                stop::leave_work();
            } else if thread.join().is_err() {
                tracing::error!(
                    "the watch thread panicked; this is a bug in truckflow, please report it (the job is not affected)"
                );
            }
        }
    }
}

impl Source {
    /// Adds a worker's share of the source, decoded by `decoder`.
    fn deal(
        &self,
        decoder: impl Decode + Send + 'static,
        worker: usize,
        workers: usize,
        share: &mut InputSet,
    ) -> Result<(), JobError> {
        match &self.kind {
            Kind::File(lines) => {
                share.push(Decoded { reader: LineReader::new(lines.clone()), decoder });
            }
            Kind::Topic(Some(watched)) => {
                share.push(Decoded { reader: watched.topic.reader(worker, workers)?, decoder });
            }
            Kind::Topic(None) => return Err(Bug("the order of reading and watching").into()),
        }
        Ok(())
    }
}

/// Connects to a topic at the start of a job; retries with --wait.
fn connect_at_start(
    config: &Job,
    stop: &Stop,
    connect: impl FnMut() -> Result<Topic, SourceError>,
) -> Result<Topic, JobError> {
    keep_trying(config.wait, stop, connect).map_err(|error| JobError::from(error).at_start(config.wait))
}
