//! The topics and files that a job reads: opened, dealt to the workers, watched, and ended.
//!
//! ```text
//! Inputs -> Source: a topic or a file -> a reader and a decoder for each worker -> Several
//!   |         '- watch thread: lag, group offsets  <- committed
//!   '- feeder thread: embedded broker              <- committed
//! ```

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use dataflows::item::NextOffset;
use dataflows::views::{Settings, View};

use crate::config::Config;
use crate::decode::Decoder;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::source::SourceError;
use crate::source::embedded::{Embedded, Feeder, PARTITIONS};
use crate::source::file::{LineReader, Lines};
use crate::source::kafka::{Topic, TopicOptions, keep_trying};
use crate::source::several::{Decoded, Several};
use crate::stop::Stop;
use crate::thread::spawn;

/// Where a job's messages come from.
pub struct Inputs {
    sources: Vec<Source>,
    followers: Vec<Sender<Vec<NextOffset>>>,
    message_bytes: usize,
    settings: Settings,
    key_separator: Option<String>,
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
    kind: Kind,
}

enum Kind {
    File(Arc<Mutex<Lines>>),
    /// A topic and the commits that its watch is told of, until that has taken both.
    Topic(Option<(Topic, Receiver<Vec<NextOffset>>)>),
}

impl Inputs {
    /// Opens what `config` names, each part of it behind its committed offset.
    pub fn open(config: &Config, views: &[View], offsets: &[NextOffset], stop: &Stop) -> Result<Self, Error> {
        let mut inputs = Self {
            sources: Vec::new(),
            followers: Vec::new(),
            message_bytes: config.limits.message_bytes,
            settings: config.view_settings()?,
            key_separator: config.key_separator.clone(),
            origins: views.iter().any(|view| view.gives_up),
            watches: Vec::new(),
            _cluster: None,
            feeder: None,
            brokers: None,
        };
        match &config.input {
            None => inputs.open_topic(config, &config.kafka.topic, offsets, stop)?,
            Some(path) if config.embedded => inputs.open_embedded(config, path, offsets)?,
            Some(path) => {
                let next = offsets.first().map_or(0, |at| at.offset);
                let lines = Lines::open(path, next, !config.until_end)?;
                inputs.add(path, Kind::File(lines));
            }
        }
        Ok(inputs)
    }

    fn open_topic(
        &mut self,
        config: &Config,
        topic: &str,
        offsets: &[NextOffset],
        stop: &Stop,
    ) -> Result<(), Error> {
        let options = topic_options(config, topic);
        let connect = || Topic::connect(options.clone(), offsets);
        let connected = keep_trying(config.wait, stop, connect)?;
        self.add_topic(topic, connected);
        Ok(())
    }

    /// Feeds `path` into a broker of the process's own, and reads it from there.
    fn open_embedded(&mut self, config: &Config, path: &str, offsets: &[NextOffset]) -> Result<(), Error> {
        let mut options = topic_options(config, &config.kafka.topic);
        let cluster = Embedded::start(&options.topic)?;
        options.brokers = cluster.brokers();
        self.brokers = Some(options.brokers.clone());
        let feeder = Feeder::new(&options.brokers, &options.topic, offsets, self.follow())?;
        let (ready, fed) = channel();
        let ends = Arc::default();
        let (path, known) = (path.to_owned(), Arc::clone(&ends));
        self.feeder = Some(spawn("feeder", move || feeder.feed(&path, ready, &known))?);
        // An error of the feeder closes the channel, too.
        if fed.recv().is_err() {
            self.join_feeder()?;
        }
        let topic = Topic::embedded(options, offsets, PARTITIONS, ends)?;
        self._cluster = Some(cluster);
        self.add_topic(&config.kafka.topic, topic);
        Ok(())
    }

    fn add_topic(&mut self, name: &str, topic: Topic) {
        let committed = self.follow();
        self.add(name, Kind::Topic(Some((topic, committed))));
    }

    fn add(&mut self, name: &str, kind: Kind) {
        self.sources.push(Source { name: name.into(), kind });
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
        self.sources.iter().map(|source| &*source.name).collect::<Vec<_>>().join(", ")
    }

    /// Where each partition starts; a file's line is not worth a commit of its own.
    pub fn starts(&self) -> Vec<NextOffset> {
        let starts = |source: &Source| match &source.kind {
            Kind::Topic(Some((topic, _))) => topic.starts(),
            Kind::Topic(None) | Kind::File(_) => Vec::new(),
        };
        self.sources.iter().flat_map(starts).collect()
    }

    /// What each worker reads. To be asked for before [`watch`](Self::watch).
    pub fn shares(&self, workers: usize) -> Result<Vec<Several>, Error> {
        let share = |worker| {
            let mut share = Several::default();
            for source in &self.sources {
                let mut decoder = Decoder::new(source.name.clone())
                    .with_max_bytes(self.message_bytes)
                    .with_mode(self.settings.mode)
                    .with_fields(self.settings.fields.clone());
                if self.origins {
                    decoder = decoder.with_origins();
                }
                match &source.kind {
                    Kind::File(lines) => {
                        let reader = LineReader::new(lines.clone()).with_keys(self.key_separator.as_deref());
                        share.push(Decoded { reader, decoder });
                    }
                    Kind::Topic(Some((topic, _))) => {
                        share.push(Decoded { reader: topic.reader(worker, workers)?, decoder });
                    }
                    Kind::Topic(None) => return Err(Error::Bug("the order of reading and watching")),
                }
            }
            Ok(share)
        };
        (0..workers).map(share).collect()
    }

    /// Starts the threads that measure lag.
    pub fn watch(&mut self, metrics: &Metrics) -> Result<(), Error> {
        for source in &mut self.sources {
            if let Kind::Topic(topic) = &mut source.kind
                && let Some((topic, committed)) = topic.take()
            {
                let metrics = metrics.clone();
                self.watches.push(spawn("watch", move || topic.watch(committed, &metrics))?);
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

    /// Waits for the threads that measure lag, which end when no more commits can be told.
    pub fn finish(&mut self) {
        for thread in self.watches.drain(..) {
            if thread.join().is_err() {
                tracing::error!("the watch thread ended by a bug; the job itself is not affected");
            }
        }
    }
}

fn topic_options(config: &Config, topic: &str) -> TopicOptions {
    TopicOptions {
        brokers: config.kafka.brokers.clone(),
        topic: topic.to_owned(),
        group: config.job.clone(),
        properties: config.kafka_properties(),
        on_data_loss: config.on_data_loss,
        until_end: config.until_end,
    }
}
