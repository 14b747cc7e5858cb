//! The topics and files that a job reads: opened, dealt to the workers, watched, and ended.
//!
//! ```text
//! Inputs -> Source: a topic or a file -> a reader and a decoder for each worker -> Several
//!   |         '- watch thread: lag, group offsets  <- committed
//!   '- feeder thread: embedded broker              <- committed
//! ```

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use dataflows::item::{MessageId, NextOffset};
use dataflows::views::{Settings, View};

use crate::config::{Config, ConfigError};
use crate::decode::orientation::{self, OrientationDecoder};
use crate::decode::{Decode, Decoder, Future};
use crate::error::Error;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::progress::Share;
use crate::source::SourceError;
use crate::source::embedded::{Embedded, Ends, Feeder, PARTITIONS};
use crate::source::file::{LineReader, Lines, full_path};
use crate::source::kafka::{Topic, TopicOptions, keep_trying};
use crate::source::several::{Decoded, Several};
use crate::stop::Stop;
use crate::store::{LastCommit, TopicId};
use crate::thread::spawn;

/// Where a job's messages come from.
pub struct Inputs {
    sources: Vec<Source>,
    followers: Vec<Sender<Vec<NextOffset>>>,
    message_bytes: usize,
    settings: Settings,
    key_separator: Option<String>,
    max_ahead: Option<i64>,
    /// The messages that were found to be in the future, where that is not decided any more.
    decided: Option<Vec<MessageId>>,
    /// Whether a view may give records up.
    origins: bool,
    /// One for each topic.
    watches: Vec<JoinHandle<()>>,
    /// Lives as long as the readers.
    _cluster: Option<Embedded>,
    feeder: Option<JoinHandle<Result<(), SourceError>>>,
    brokers: Option<String>,
}

/// One topic or file.
struct Source {
    /// The topic, or the path of the file.
    name: Arc<str>,
    content: Content,
    kind: Kind,
}

/// What a source's messages say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Readings of trucks.
    Trucks,
    /// Orientation readings of a phone.
    Phone,
}

enum Kind {
    File(Arc<Mutex<Lines>>),
    /// None when its watch has taken it.
    Topic(Option<Box<Watched>>),
}

/// A topic with what its watch needs.
struct Watched {
    topic: Topic,
    committed: Receiver<Vec<NextOffset>>,
}

impl Inputs {
    fn new(config: &Config, views: &[View]) -> Result<Self, Error> {
        Ok(Self {
            sources: Vec::new(),
            followers: Vec::new(),
            message_bytes: config.limits.message_bytes,
            settings: config.view_settings()?,
            key_separator: config.key_separator.clone(),
            max_ahead: config.max_ahead()?,
            decided: None,
            origins: views.iter().any(|view| view.gives_up),
            watches: Vec::new(),
            _cluster: None,
            feeder: None,
            brokers: None,
        })
    }

    /// Opens nothing.
    pub fn none(config: &Config) -> Result<Self, Error> {
        Self::new(config, &[])
    }

    /// Opens the trucks' source again to fill `view`, from where its filling has got to up to the job's
    /// offsets; `decided` are the messages in it that are in the future.
    pub fn again(
        config: &Config,
        view: &View,
        progress: &[NextOffset],
        last: &LastCommit,
        decided: Vec<MessageId>,
        stop: &Stop,
    ) -> Result<Self, Error> {
        let offsets = &*last.offsets;
        let mut inputs = Self::new(config, std::slice::from_ref(view))?;
        inputs.decided = Some(decided);
        match &config.input {
            None => {
                let options = topic_options(config, &config.kafka.topic)?;
                let options = TopicOptions { until_end: true, ..options };
                let connect = || Topic::connect(options.clone(), progress, &last.topics);
                let topic = connect_at_start(config, stop, connect)?.up_to(offsets);
                // The topic that the job has read is no more.
                if topic.is_another() {
                    let (view, input) = (view.name.to_string(), config.kafka.topic.clone());
                    return Err(Error::NoBackfill { view, input });
                }
                inputs.add_topic(&config.kafka.topic, Content::Trucks, topic);
            }
            // A pipe is gone once it was read.
            Some(path) if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) => {
                return Err(Error::NoBackfill { view: view.name.to_string(), input: path.clone() });
            }
            Some(path) if config.embedded => {
                let end = |partition| {
                    offsets.iter().find(|at| at.partition == partition && *at.topic == *config.kafka.topic)
                };
                let ends = (0..PARTITIONS).map(|partition| end(partition).map_or(0, |at| at.offset));
                let ends = Arc::new(OnceLock::from(ends.collect::<Vec<_>>()));
                inputs.open_embedded(config, path, progress, Some(ends))?;
            }
            Some(path) => {
                let lines = Lines::open_until(path, next_line(path, progress), next_line(path, offsets))?;
                inputs.add(path, Content::Trucks, Kind::File(lines));
            }
        }
        Ok(inputs)
    }

    /// Opens what `views` need, each part of it at its committed offset, which is one of the topic that has
    /// its id in `known`.
    pub fn open(
        config: &Config,
        views: &[View],
        offsets: &[NextOffset],
        known: &[TopicId],
        stop: &Stop,
    ) -> Result<Self, Error> {
        let mut inputs = Self::new(config, views)?;
        let reads = config.reads()?;
        match &config.input {
            _ if !reads.trucks => {}
            None => inputs.open_topic(config, &config.kafka.topic, Content::Trucks, offsets, known, stop)?,
            // Of a cluster, process 0 reads the files.
            Some(_) if config.process > 0 => {}
            Some(path) if config.embedded => inputs.open_embedded(config, path, offsets, None)?,
            Some(path) => {
                let lines = Lines::open(path, next_line(path, offsets), !config.until_end)?;
                inputs.add(path, Content::Trucks, Kind::File(lines));
            }
        }
        if let Some(topic) = reads.phone_topic {
            inputs.open_topic(config, topic, Content::Phone, offsets, known, stop)?;
        }
        if let Some(path) = reads.phone_file.filter(|_| config.process == 0) {
            let next = committed_line(path, offsets).unwrap_or(0);
            let lines = open_phone_file(path, next, !config.until_end)?;
            inputs.add(path, Content::Phone, Kind::File(lines));
        }
        Ok(inputs)
    }

    fn open_topic(
        &mut self,
        config: &Config,
        topic: &str,
        content: Content,
        offsets: &[NextOffset],
        known: &[TopicId],
        stop: &Stop,
    ) -> Result<(), Error> {
        let options = topic_options(config, topic)?;
        let connect = || {
            Topic::connect(options.clone(), offsets, known).map_err(|error| match content {
                Content::Trucks => error,
                Content::Phone => error.of_the_phone(),
            })
        };
        let connected = connect_at_start(config, stop, connect)?;
        self.add_topic(topic, content, connected);
        Ok(())
    }

    /// Feeds `path` into a broker of the process's own, and reads it from there, to `until` if that is
    /// given.
    fn open_embedded(
        &mut self,
        config: &Config,
        path: &str,
        offsets: &[NextOffset],
        until: Option<Ends>,
    ) -> Result<(), Error> {
        let mut options = topic_options(config, &config.kafka.topic)?;
        options.until_end |= until.is_some();
        let cluster = Embedded::start(&options.topic)?;
        options.brokers = cluster.brokers();
        self.brokers = Some(options.brokers.clone());
        let feeder = Feeder::new(&options.brokers, &options.topic, offsets, self.follow())?;
        let (ready, fed) = channel();
        let ends: Ends = Arc::default();
        let (path, known) = (path.to_owned(), Arc::clone(&ends));
        self.feeder = Some(spawn("feeder", move || feeder.feed(&path, ready, &known))?);
        // An error of the feeder closes the channel, too.
        if fed.recv().is_err() {
            self.join_feeder()?;
        }
        let topic = Topic::embedded(options, offsets, PARTITIONS, until.unwrap_or(ends))?;
        self._cluster = Some(cluster);
        self.add_topic(&config.kafka.topic, Content::Trucks, topic);
        Ok(())
    }

    fn add_topic(&mut self, name: &str, content: Content, topic: Topic) {
        let committed = self.follow();
        self.add(name, content, Kind::Topic(Some(Box::new(Watched { topic, committed }))));
    }

    fn add(&mut self, name: &str, content: Content, kind: Kind) {
        self.sources.push(Source { name: name.into(), content, kind });
    }

    /// A channel on which commits are told.
    fn follow(&mut self) -> Receiver<Vec<NextOffset>> {
        let (sender, receiver) = channel();
        self.followers.push(sender);
        receiver
    }

    /// Takes the channels on which commits are to be told.
    pub fn take_followers(&mut self) -> Vec<Sender<Vec<NextOffset>>> {
        std::mem::take(&mut self.followers)
    }

    /// The broker that is fed from a file, if there is one.
    pub fn embedded_broker(&self) -> Option<&str> {
        self.brokers.as_deref()
    }

    /// What is read, in words.
    pub fn describe(&self) -> String {
        if self.sources.is_empty() {
            return "nothing of its own".into();
        }
        self.sources.iter().map(|source| &*source.name).collect::<Vec<_>>().join(", ")
    }

    /// Where each partition starts; a file's line is not worth a commit of its own.
    pub fn starts(&self) -> Vec<NextOffset> {
        let starts = |source: &Source| match &source.kind {
            Kind::Topic(Some(watched)) => watched.topic.starts(),
            Kind::Topic(None) | Kind::File(_) => Vec::new(),
        };
        self.sources.iter().flat_map(starts).collect()
    }

    /// The ids of the topics.
    pub fn topics(&self) -> Vec<TopicId> {
        let id = |source: &Source| match &source.kind {
            Kind::Topic(Some(watched)) => watched.topic.id(),
            Kind::Topic(None) | Kind::File(_) => None,
        };
        self.sources.iter().filter_map(id).collect()
    }

    /// How far a job is in its first source, which has the trucks' readings if it reads any; none if that has no
    /// end. To be asked for before [`watch`](Self::watch).
    pub fn share(&self) -> Option<Share> {
        match &self.sources.first()?.kind {
            Kind::Topic(watched) => {
                let all = watched.as_ref()?.topic.to_read().filter(|&all| all > 0)?;
                Some(Box::new(move |records| records as f64 / all as f64))
            }
            Kind::File(lines) => {
                let lines = lines.clone();
                let left = move || lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).left();
                let all = left().filter(|&all| all > 0)?;
                Some(Box::new(move |_| 1.0 - left().unwrap_or(0) as f64 / all as f64))
            }
        }
    }

    /// What each worker of this process reads, `own` among the `workers` of all processes. To be asked
    /// for before [`watch`](Self::watch).
    pub fn shares(&self, own: Range<usize>, workers: usize) -> Result<Vec<Several>, Error> {
        let share = |worker| {
            let mut share = Several::default();
            for source in &self.sources {
                match source.content {
                    Content::Trucks => {
                        let (decoder, separator) =
                            (self.trucks_decoder(source), self.key_separator.as_deref());
                        source.deal(decoder, separator, worker, workers, &mut share)
                    }
                    Content::Phone => {
                        let decoder = OrientationDecoder::new(source.name.clone(), self.message_bytes)
                            .with_future(self.future(source));
                        source.deal(decoder, None, worker, workers, &mut share)
                    }
                }?;
            }
            Ok(share)
        };
        own.map(share).collect()
    }

    fn trucks_decoder(&self, source: &Source) -> Decoder {
        let decoder =
            trucks_decoder(&source.name, self.message_bytes, &self.settings).with_future(self.future(source));
        if self.origins { decoder.with_origins() } else { decoder }
    }

    /// Which readings of a source are in the future.
    fn future(&self, source: &Source) -> Future {
        let topic = match source.kind {
            Kind::File(_) => full_path(&source.name).into(),
            Kind::Topic(_) => source.name.clone(),
        };
        match &self.decided {
            Some(decided) => Future::decided(decided, &topic),
            None => Future::new(self.max_ahead, topic),
        }
    }

    /// Starts the threads that watch topics, and that measure `lag` where that is done here.
    pub fn watch(&mut self, health: &Arc<Health>, lag: Option<&Metrics>) -> Result<(), Error> {
        for source in &mut self.sources {
            if let Kind::Topic(topic) = &mut source.kind
                && let Some(watched) = topic.take()
            {
                let (Watched { topic, committed }, health, lag) = (*watched, health.clone(), lag.cloned());
                let watch = move || topic.watch(committed, &health, lag.as_ref());
                self.watches.push(spawn("watch", watch)?);
            }
        }
        Ok(())
    }

    /// Waits for the thread that feeds the embedded broker, and says how it ended.
    pub fn join_feeder(&mut self) -> Result<(), Error> {
        match self.feeder.take().map(JoinHandle::join) {
            Some(Ok(result)) => Ok(result?),
            Some(Err(_)) => Err(Error::Bug("the feeder")),
            None => Ok(()),
        }
    }

    /// Waits for the threads that watch topics, which end when no more commits can be told.
    pub fn finish(&mut self) {
        // Nobody has taken them where nothing is committed.
        self.followers.clear();
        for thread in self.watches.drain(..) {
            if thread.join().is_err() {
                tracing::error!("the watch thread ended by a bug; the job itself is not affected");
            }
        }
    }
}

impl Source {
    /// Adds a worker's share of the source, read by `decoder`. In a file, what stands before `separator`
    /// is a message's key.
    fn deal(
        &self,
        decoder: impl Decode + Send + 'static,
        separator: Option<&str>,
        worker: usize,
        workers: usize,
        share: &mut Several,
    ) -> Result<(), Error> {
        match &self.kind {
            Kind::File(lines) => {
                let reader = LineReader::new(lines.clone()).with_keys(separator);
                share.push(Decoded { reader, decoder });
            }
            Kind::Topic(Some(watched)) => {
                share.push(Decoded { reader: watched.topic.reader(worker, workers)?, decoder });
            }
            Kind::Topic(None) => return Err(Error::Bug("the order of reading and watching")),
        }
        Ok(())
    }
}

/// The decoder of the trucks' readings in an input of this name.
pub(crate) fn trucks_decoder(name: &str, message_bytes: usize, settings: &Settings) -> Decoder {
    Decoder::new(name.into())
        .with_max_bytes(message_bytes)
        .with_mode(settings.mode)
        .with_fields(settings.fields.clone())
}

/// Connects to a topic at the start of a job, which waits for it if it was asked to.
fn connect_at_start(
    config: &Config,
    stop: &Stop,
    connect: impl FnMut() -> Result<Topic, SourceError>,
) -> Result<Topic, Error> {
    keep_trying(config.wait, stop, connect).map_err(|error| Error::from(error).at_start(config.wait))
}

/// Opens the phone's file at message `next`, and looks whether it can be used as far as it is there.
pub fn open_phone_file(path: &str, next: i64, follow: bool) -> Result<Arc<Mutex<Lines>>, SourceError> {
    let lines = Lines::open_any(path, next, follow).map_err(SourceError::of_the_phone)?;
    let header = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).header().cloned();
    if let Some(header) = header {
        orientation::check_header(&header)
            .map_err(|column| SourceError::NoColumn { path: path.to_owned(), column })?;
    }
    Ok(lines)
}

/// The next line of the readings' file, whichever way its offset was kept; the first when none was.
pub(crate) fn next_line(path: &str, offsets: &[NextOffset]) -> i64 {
    committed_line(path, offsets).or_else(|| line_by_name(path, offsets)).unwrap_or(0)
}

/// The next line of a file, by its offset under its full path.
pub(crate) fn committed_line(path: &str, offsets: &[NextOffset]) -> Option<i64> {
    let full = full_path(path);
    offsets.iter().find(|at| *at.topic == *full).map(|at| at.offset)
}

/// The next line of a file whose offset was kept by truckflow before it could read several: under the
/// path as it was given then, which may have been relative to another folder.
fn line_by_name(path: &str, offsets: &[NextOffset]) -> Option<i64> {
    let name = Path::new(path).file_name();
    let is_it = |at: &&NextOffset| {
        let kept = Path::new(&*at.topic);
        kept.is_relative() && kept.file_name() == name
    };
    offsets.iter().filter(is_it).map(|at| at.offset).max()
}

/// How a topic is reached.
pub(crate) fn topic_options(config: &Config, topic: &str) -> Result<TopicOptions, ConfigError> {
    Ok(TopicOptions {
        brokers: config.kafka.brokers.clone(),
        topic: topic.to_owned(),
        group: config.job.clone(),
        properties: config.kafka_properties()?,
        on_data_loss: config.on_data_loss,
        until_end: config.until_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_behind_its_own_offset_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("readings.jsonl");
        std::fs::write(&path, "").unwrap();
        let full = full_path(path.to_str().unwrap());
        let roundabout = folder.path().join(".").join("readings.jsonl");
        let at = |topic: &str, offset| NextOffset { topic: topic.into(), partition: 0, offset };
        let offsets = [at("Mobile-Device-Data", 1), at(&full, 2), at("/other/readings.jsonl", 3)];
        assert_eq!(committed_line(roundabout.to_str().unwrap(), &offsets), Some(2));
        assert_eq!(committed_line("/other/Orientation.csv", &offsets), None);
        assert_eq!(committed_line("-", &[at("-", 4)]), Some(4));
        assert_eq!(line_by_name("../readings.jsonl", &[at("data/readings.jsonl", 5)]), Some(5));
        assert_eq!(line_by_name("../readings.jsonl", &offsets), None);
        assert_eq!(next_line(roundabout.to_str().unwrap(), &offsets), 2);
        assert_eq!(next_line("../readings.jsonl", &[at("data/readings.jsonl", 5)]), 5);
        assert_eq!(next_line("../readings.jsonl", &offsets), 0);
    }
}
