//! Reads the job's committed input again: each topic from where the job began and each file from its first line, up to
//! the committed offsets. Only the general parser is used, which is independent of the scanner.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::batch::{Entity, Record};
use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::{Item, NextOffset, ReadingId};
use indicatif::ProgressBar;

use super::dedupe;
use super::reading::{Place, Reading};
use crate::command::error::Error;
use crate::config::Job;
use crate::decode::{Counted, Decode, Future, Message};
use crate::job::options::{decoder, file_options, topic_options_now};
use crate::job::schemas::schemas;
use crate::observe::progress;
use crate::runtime::clock::Clock;
use crate::source::embedded::PARTITIONS;
use crate::source::file::{LineReader, Lines, full_path, lock};
use crate::source::kafka::TopicSet;
use crate::source::per_topic::PerTopic;
use crate::source::{Polled, Reader, SourceError};
use crate::store::LastCommit;

/// Give up if a broker sends nothing for this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The committed input of a job.
#[derive(Debug, Default)]
pub struct Input {
    /// The readings; in an upsert job the current ones.
    pub readings: Vec<Reading>,
    /// The topics that were read, with their indexes.
    pub topics: BTreeMap<Arc<str>, u32>,
    /// Dead letters of the decoders.
    pub letters: Vec<DeadLetter>,
    /// The latest event time of each truck, including retracted readings.
    pub latest: HashMap<Entity, i64>,
    /// The number of messages.
    pub messages: u64,
    /// The number of readings that were dropped because they repeat another.
    pub repetitions: usize,
    /// Whether everything that exists was read, so that no partition held the time back.
    pub is_all: bool,
    /// The files that were read, if their names differ from the input's.
    pub files: Vec<String>,
}

impl Input {
    /// The input of a view that was added at these offsets of the trucks' source.
    pub fn since(&self, starts: &[NextOffset]) -> Self {
        let starts: HashMap<_, _> =
            starts.iter().map(|at| ((self.topic(&at.topic), at.partition), at.offset)).collect();
        let is_included = |reading: &&Reading| {
            let Place { topic, partition, offset, .. } = reading.place;
            starts.get(&(Some(topic), partition)).is_none_or(|start| *start <= offset)
        };
        let mut latest = HashMap::new();
        let readings: Vec<Reading> = self.readings.iter().filter(is_included).cloned().collect();
        readings.iter().for_each(|reading| note_time(&mut latest, &reading.record));
        let topics = self.topics.clone();
        Self { readings, latest, topics, letters: Vec::new(), files: Vec::new(), ..*self }
    }

    /// The index of a topic; none if it was not read. A file has one, whatever its name.
    pub fn topic(&self, name: &str) -> Option<u32> {
        if self.topics.is_empty() { Some(0) } else { self.topics.get(name).copied() }
    }
}

/// The fingerprint of a message's bytes.
pub fn fingerprint(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// Reads everything up to the committed offsets. `decided` are the messages that are in the future.
pub fn read(config: &Job, last: &LastCommit, decided: &[ReadingId]) -> Result<Input, Error> {
    let committed = &*last.offsets;
    // Of each reading the place in its message is needed.
    let (job, schemas) = (config.clone(), schemas(config)?);
    let decoder = move |topic: &str| {
        let decoder = decoder(&job, topic).without_scanner().with_origins();
        match &schemas {
            Some(schemas) => decoder.with_schemas(schemas.clone()),
            None => decoder,
        }
    };
    let decided: Arc<[ReadingId]> = decided.into();
    let future = move |topic: &str| Future::decided(&decided, topic);
    let mut input = Input { is_all: true, ..Input::default() };
    let mut keys: HashMap<Arc<[u8]>, Option<Reading>> = HashMap::new();
    let clock = Clock::new(config.epoch_limits, 0);
    let bar = progress::counted(0, "messages read again");
    let mut again = InputReader { clock, input: &mut input, keys: &mut keys, bar: &bar };

    match &config.input {
        None => {
            let options = topic_options_now(config, config.kafka.topic.clone())?;
            let (topics, is_all) = TopicSet::again(options, committed, &last.topics, &last.begun)?;
            again.input.is_all &= is_all || topics.partitions() == 1;
            again.input.topics.extend(topics.names().cloned().zip(0..));
            again.bar.inc_length(topics.to_read().unwrap_or(0));
            let decoder = PerTopic::new(move |name| decoder(name).with_future(future(name)));
            // The reader has an end of its own.
            let limit = |_| i64::MAX;
            again.drain(topics.reader(0, 1)?, decoder, &limit, None)?;
        }
        Some(path) if config.embedded => {
            let name = config.kafka.topic.to_string();
            let next = |partition| {
                let is_it = |at: &&NextOffset| *at.topic == *name && at.partition == partition;
                committed.iter().find(is_it).map_or(0, |at| at.offset)
            };
            let all = (0..PARTITIONS).map(next).sum::<i64>();
            again.bar.inc_length(all as u64);
            let of_topic = committed.iter().filter(|at| *at.topic == *name);
            let mark = of_topic.filter_map(|at| at.mark).max().unwrap_or_default();
            let lines = Lines::open_marked(path, mark, file_options(config))?;
            let topic = decoder(&name).with_future(future(&name));
            let fed = again.drain(
                LineReader::new(lines),
                topic,
                &next,
                Some((name.as_str().into(), PARTITIONS)),
            )?;
            again.input.is_all = fed == all;
        }
        Some(path) => {
            let lines = Lines::again(path, &[], committed, file_options(config))?;
            let decoder = decoder(path).with_future(future(&full_path(path)));
            again.file(path, lines, committed, decoder)?;
        }
    }
    bar.finish_and_clear();
    input.readings.extend(keys.into_values().flatten());
    if let Some(dedupe) = &config.view_settings.dedupe {
        input.repetitions = dedupe::drop_repetitions(&mut input.readings, dedupe);
        input.latest.clear();
        input.readings.iter().for_each(|reading| note_time(&mut input.latest, &reading.record));
    }
    Ok(input)
}

struct InputReader<'a> {
    clock: Clock,
    input: &'a mut Input,
    /// The last message of each key of an upsert job.
    keys: &'a mut HashMap<Arc<[u8]>, Option<Reading>>,
    bar: &'a ProgressBar,
}

impl InputReader<'_> {
    /// Reads the files that were read as `path`.
    fn file<D: Decode>(
        &mut self,
        path: &str,
        lines: Arc<Mutex<Lines>>,
        committed: &[NextOffset],
        decoder: D,
    ) -> Result<(), SourceError> {
        let full = full_path(path);
        let read = committed.iter().filter(|at| *at.topic == *full);
        self.bar.inc_length(read.map(|at| at.offset as u64).sum());
        self.drain(LineReader::new(lines.clone()), decoder, &|_| i64::MAX, None)?;
        let files = lock(&lines).files().iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        if files.iter().any(|file| file != path) {
            self.input.files.extend(files);
        }
        Ok(())
    }

    /// Reads a reader to its end. Returns the number of messages.
    fn drain<R: Reader, D: Decode>(
        &mut self,
        mut reader: R,
        decoder: D,
        limit: &dyn Fn(i32) -> i64,
        dealt: Option<(Arc<str>, i32)>,
    ) -> Result<i64, SourceError> {
        let (input, keys) = (&mut *self.input, &mut *self.keys);
        let mut collect = Collect { decoder, limit, dealt, seen: 0, input, keys, items: Vec::new() };
        let (mut offsets, mut arrivals) = (Vec::new(), Vec::new());
        let mut last_read = Instant::now();
        loop {
            match reader.poll(&self.clock, &mut collect)? {
                Polled::End => return Ok(collect.seen),
                Polled::Read(_) => {
                    reader.positions(&mut offsets, &mut arrivals);
                    offsets.clear();
                    arrivals.clear();
                    last_read = Instant::now();
                    self.bar.set_position(collect.input.messages);
                }
                Polled::Idle if last_read.elapsed() > PATIENCE => {
                    return Err(SourceError::Silent { seconds: PATIENCE.as_secs() });
                }
                Polled::Idle => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Decodes messages one by one, so that the origin of each reading is known.
struct Collect<'a, D> {
    decoder: D,
    /// The committed offset of a partition.
    limit: &'a dyn Fn(i32) -> i64,
    /// The topic that the lines of a file were sent to, and the number of its partitions.
    dealt: Option<(Arc<str>, i32)>,
    /// The number of messages.
    seen: i64,
    input: &'a mut Input,
    keys: &'a mut HashMap<Arc<[u8]>, Option<Reading>>,
    items: Vec<Item>,
}

impl<D: Decode> Decode for Collect<'_, D> {
    fn header(&mut self, header: &[u8]) {
        self.decoder.header(header);
    }

    fn set_wall_clock(&mut self, _wall: i64) {}

    fn is_ready(&mut self, message: &Message<'_>) -> bool {
        self.decoder.is_ready(message)
    }

    fn decode(&mut self, message: &Message<'_>) {
        let mut message = *message;
        if let Some((topic, partitions)) = &self.dealt {
            let partitions = i64::from(*partitions);
            message.topic = Some(topic);
            message.partition = (self.seen % partitions) as i32;
            message.offset = self.seen / partitions;
        }
        self.seen += 1;
        if message.offset >= (self.limit)(message.partition) {
            return;
        }
        self.input.messages += 1;
        self.decoder.decode(&message);
        self.decoder.take(&mut self.items);
        let topic = message.topic.and_then(|topic| self.input.topic(topic)).unwrap_or_default();
        let whole = Place { topic, partition: message.partition, offset: message.offset, place: 0 };
        let bytes = message.payload.map_or(0, fingerprint);
        for item in self.items.drain(..) {
            match item {
                Item::Records(batch) => {
                    let read = |at| {
                        let letter =
                            batch.origin.as_ref().map(|origin| origin.dead_letter(at, Reason::Late, ""));
                        let part = letter.filter(|letter| letter.place.is_some());
                        let place = part.as_ref().and_then(|part| part.place).unwrap_or(0);
                        let bytes =
                            part.and_then(|part| part.payload).map_or(bytes, |part| fingerprint(&part));
                        let place = Place { place, ..whole };
                        Reading { record: batch.record(at), place, key: [].into(), bytes }
                    };
                    for reading in (0..batch.len()).map(read) {
                        note_time(&mut self.input.latest, &reading.record);
                        self.input.readings.push(reading);
                    }
                }
                Item::Upserts(upserts) => {
                    for upsert in upserts {
                        let read = |record| Reading { record, place: whole, key: upsert.key.clone(), bytes };
                        let reading = upsert.record.map(read);
                        if let Some(reading) = &reading {
                            note_time(&mut self.input.latest, &reading.record);
                        }
                        self.keys.insert(upsert.key, reading);
                    }
                }
                Item::DeadLetters(letters) => self.input.letters.extend(letters),
                Item::Intake(_)
                | Item::Behind(_)
                | Item::Arrived(_)
                | Item::InTheFuture(_)
                | Item::Progress { .. } => {}
            }
        }
    }

    fn take(&mut self, _items: &mut Vec<Item>) {}

    fn take_counts(&mut self, _count: &mut dyn FnMut(Counted<'_>, u64)) {}
}

fn note_time(latest: &mut HashMap<Entity, i64>, record: &Record) {
    match latest.get_mut(&record.entity) {
        Some(time) => *time = record.time.max(*time),
        None => {
            latest.insert(record.entity.clone(), record.time);
        }
    }
}
