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
use crate::decode::Schemas;
use crate::job::error::JobError;
use crate::job::filling::Filling;
use crate::job::options::{Decoders, file_options, topic_options};
use crate::job::topics::warn_of_missing;
use crate::kafka::properties::Properties;
use crate::kafka::topics::Topics;
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
use crate::source::file::{LineReader, Lines, Unfinished, lock};
use crate::source::kafka::{Beginning, Discovered, TopicSet, keep_trying};
use crate::source::per_topic::PerTopic;
use crate::source::several::{Decoded, InputSet};
use crate::store::LastCommit;

/// Timeout of the last offset commit to a consumer group.
const LAST_REPORT: Duration = Duration::from_secs(5);
/// How often to check for it.
const CHECK_EVERY: Duration = Duration::from_millis(5);

/// The inputs of a job.
pub struct Inputs {
    sources: Vec<Source>,
    followers: Vec<Sender<Vec<NextOffset>>>,
    decoders: Decoders,
    /// What the job has to commit of its topics.
    discovered: Arc<Discovered>,
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

/// The topics or a file.
struct Source {
    /// The topics as they are configured, or the path of the file.
    name: Arc<str>,
    kind: Kind,
}

enum Kind {
    File(Arc<Mutex<Lines>>),
    /// None once the watch thread has taken them.
    Topics(Option<Box<Watched>>),
}

/// Topics with the channel of their watch thread.
struct Watched {
    topics: TopicSet,
    committed: Receiver<Vec<NextOffset>>,
}

impl Inputs {
    fn new(config: &Job, views: &[View], properties: &Arc<Reloaded<Properties>>) -> Result<Self, JobError> {
        Ok(Self {
            sources: Vec::new(),
            followers: Vec::new(),
            decoders: Decoders::new(config, views),
            discovered: Arc::default(),
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
        filling: &Filling,
        progress: &[NextOffset],
        last: &LastCommit,
        decided: Vec<ReadingId>,
        properties: &Arc<Reloaded<Properties>>,
        stop: &Stop,
    ) -> Result<Self, JobError> {
        let offsets = &*last.offsets;
        let view = &config.active_views[filling.view];
        let mut inputs = Self::new(config, std::slice::from_ref(view), properties)?;
        inputs.decoders.decided = Some(decided.into());
        match &config.input {
            None => {
                let options = topic_options(config, config.kafka.topic.clone(), properties.clone());
                let (committed, known) = (progress.to_vec(), last.topics.clone());
                let progress = Beginning { committed, known, start: None };
                let whole = filling.replaces;
                let connect = || TopicSet::refill(options.clone(), offsets, &progress, &last.begun, whole);
                let topics = connect_at_start(config, stop, connect)?;
                if let Some(topic) = topics.recreated() {
                    let (view, input) = (view.name.to_string(), topic.to_owned());
                    return Err(JobError::NoBackfill { view, input });
                }
                inputs.add_topics(&config.kafka.topic, topics);
            }
            // A pipe can be read only once.
            Some(path) if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) => {
                return Err(JobError::NoBackfill { view: view.name.to_string(), input: path.clone() });
            }
            Some(path) if config.embedded => {
                let topic = config.kafka.topic.to_string();
                let end =
                    |partition| offsets.iter().find(|at| at.partition == partition && *at.topic == *topic);
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

    /// Opens the inputs that the views need, from where they begin.
    pub fn open(
        config: &Job,
        from: &Beginning,
        properties: &Arc<Reloaded<Properties>>,
        stop: &Stop,
    ) -> Result<Self, JobError> {
        let mut inputs = Self::new(config, &config.active_views, properties)?;
        let offsets = &*from.committed;
        match &config.input {
            None => inputs.open_topics(config, from, stop)?,
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

    fn open_topics(&mut self, config: &Job, from: &Beginning, stop: &Stop) -> Result<(), JobError> {
        let topics = &config.kafka.topic;
        let options = topic_options(config, topics.clone(), self.properties.clone());
        let connect = || TopicSet::connect(options.clone(), from.clone());
        let connected = connect_at_start(config, stop, connect)?;
        connected.report_to(&self.discovered);
        warn_of_missing(config, from, &connected);
        self.add_topics(topics, connected);
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
        let topics = &config.kafka.topic;
        let (topic, mut options) =
            (topics.to_string(), topic_options(config, topics.clone(), self.properties.clone()));
        options.until_end |= feed.ends().is_some();
        let cluster = Embedded::start(&topic)?;
        options.brokers = cluster.brokers().to_owned();
        self.brokers = Some(options.brokers.clone());
        let committed = self.follow();
        let feeder = Feeder::new(&options.brokers, &topic, feed.clone(), offsets, known, committed)?;
        let (ready, fed) = channel();
        let path = path.to_owned();
        self.feeder = Some(spawn("feeder", move || feeder.run(&path, ready))?);
        self.feed = Some(feed.clone());
        // An error of the feeder also closes the channel.
        if fed.recv().is_err() {
            self.join_feeder(&Stop::default())?;
        }
        let connected = TopicSet::embedded(options, offsets, PARTITIONS, feed)?;
        self._cluster = Some(cluster);
        self.add_topics(topics, connected);
        Ok(())
    }

    fn add_topics(&mut self, names: &Topics, topics: TopicSet) {
        let committed = self.follow();
        self.add(&names.to_string(), Kind::Topics(Some(Box::new(Watched { topics, committed }))));
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
        self.decoders.schemas = registry.map(|registry| registry.clone() as Arc<dyn Schemas>);
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
            Kind::Topics(Some(watched)) => watched.topics.starts(),
            Kind::Topics(None) | Kind::File(_) => Vec::new(),
        };
        self.sources.iter().flat_map(starts).collect()
    }

    /// What the job has to commit of its topics, now and while it runs.
    pub fn discovered(&self) -> Arc<Discovered> {
        self.discovered.clone()
    }

    /// A function for the progress in the first source, which is that of the trucks' readings if there is one. None
    /// for a source without an end. Call it before [`watch`](Self::watch).
    pub fn share(&self) -> Option<Share> {
        match &self.sources.first()?.kind {
            Kind::Topics(watched) => {
                let all = watched.as_ref()?.topics.to_read().filter(|&all| all > 0)?;
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
                source.deal(&self.decoders, worker, workers, &mut share)?;
            }
            Ok(share)
        };
        own.map(share).collect()
    }

    /// Last lines of files that were not read because they have no line feed yet.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let unfinished = |source: &Source| match &source.kind {
            Kind::File(lines) => lock(lines).unfinished(),
            Kind::Topics(_) => None,
        };
        let fed = self.feed.as_ref().and_then(|feed| feed.unfinished());
        self.sources.iter().filter_map(unfinished).chain(fed).collect()
    }

    /// Starts the threads that watch topics and, with `lag`, measure their lag.
    pub fn watch(&mut self, health: &Arc<Health>, lag: Option<&Metrics>) -> Result<(), JobError> {
        for source in &mut self.sources {
            if let Kind::Topics(topics) = &mut source.kind
                && let Some(watched) = topics.take()
            {
                let Watched { topics, committed } = *watched;
                let (health, lag, discovered) = (health.clone(), lag.cloned(), self.discovered.clone());
                let named = topics.in_health();
                let watch = move || topics.watch(&committed, &health, lag.as_ref(), &discovered);
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
    /// Adds a worker's share of the source.
    fn deal(
        &self,
        decoders: &Decoders,
        worker: usize,
        workers: usize,
        share: &mut InputSet,
    ) -> Result<(), JobError> {
        match &self.kind {
            Kind::File(lines) => {
                let (reader, decoder) = (LineReader::new(lines.clone()), decoders.of_file(&self.name));
                share.push(Decoded { reader, decoder });
            }
            Kind::Topics(Some(watched)) => {
                let reader = watched.topics.reader(worker, workers)?;
                let decoders = decoders.clone();
                share.push(Decoded { reader, decoder: PerTopic::new(move |topic| decoders.of_topic(topic)) });
            }
            Kind::Topics(None) => return Err(Bug("the order of reading and watching").into()),
        }
        Ok(())
    }
}

/// Connects to topics at the start of a job; retries with --wait.
fn connect_at_start(
    config: &Job,
    stop: &Stop,
    connect: impl FnMut() -> Result<TopicSet, SourceError>,
) -> Result<TopicSet, JobError> {
    keep_trying(config.wait, stop, connect).map_err(|error| JobError::from(error).at_start(config.wait))
}
