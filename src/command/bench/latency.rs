//! Latency of every message: from its Kafka timestamp to the commit that contains its rows.
//!
//! ```text
//! simulator --rate--> scratch topic --> the job, which logs the time and offsets of each commit
//!                          '--> read back at the end: partition, offset, timestamp of each message
//! ```
//!
//! A message belongs to the first commit beyond its offset. Kafka timestamps are truncated to milliseconds, so a
//! latency is never too low, and at most 1 ms too high.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde::Serialize;

use super::bare::Quiet;
use super::child::{Commit, Job};
use super::error::BenchError;
use super::figures::rate;
use super::scratch::{Place, Topic};
use super::subject::{Bench, simulated};
use crate::cli::properties::PropertyArgs;
use crate::cli::simulate::{Destination, SimulateArgs};
use crate::command::error::Error;
use crate::command::simulate;
use crate::config::Config;
use crate::job::options::topic_options_now;
use crate::kafka::codes::reason;
use crate::kafka::topics::Topics;
use crate::runtime::failure::Bug;
use crate::runtime::pace::Rate;
use crate::runtime::print;
use crate::runtime::stop::Stop;
use crate::source::SourceError;
use crate::source::kafka::consumer_with;

/// The first second, while clients connect and servers warm up, is not measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long the last message may take until it is committed or read back.
const PATIENCE: Duration = Duration::from_secs(60);

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) records_per_second: u32,
    pub(super) seconds: u32,
    pub(super) commit_interval: String,
    pub(super) sent: u64,
    /// Messages after the warm-up.
    pub(super) measured: u64,
    pub(super) commits: usize,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p99_9_ms: f64,
    pub(super) max_ms: f64,
    pub(super) peak_memory_bytes: u64,
}

/// Measures the latency.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Latency, Error> {
    let args = bench.args;
    let topic = Topic::create(&bench.job)?;
    let mut place = Place::create(&bench.job)?;
    place.config.kafka.topic = Topics::named(topic.name());
    place.config.until_end = false;
    let mut job = Job::start(&place.config)?;
    job.follow(bench.stop, |log| log.reading.is_some())?;

    let send = SimulateArgs {
        records: u64::from(args.rate) * (u64::from(args.seconds) + WARM_UP.as_secs()),
        rate: Rate::PerSecond(f64::from(args.rate)),
        to: Destination::Topic,
        brokers: place.config.kafka.brokers.clone(),
        topic: topic.name().to_owned(),
        properties: PropertyArgs {
            properties: (place.config.kafka_properties()?.exposed().into_iter())
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
            property_files: Vec::new(),
        },
        ..simulated()
    };
    let (rate, seconds) = (rate(args.rate.into()), args.seconds);
    print::note(format_args!("latency: {rate} records/s for {seconds} s after 1 s of warm-up"));
    let halt = Stop::default();
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| simulate::run_until(&send, &[], &halt));
        // Meanwhile, read the job's log.
        job.follow(bench.stop, |_| sender.is_finished()).inspect_err(|_| halt.request())?;
        sender.join().map_err(|_| Bug("the simulator"))?.map_err(Error::from)
    })?
    .records;
    let deadline = Instant::now() + PATIENCE;
    job.follow(bench.stop, |log| log.messages() >= sent || Instant::now() > deadline)?;
    let log = job.finish()?;
    if log.messages() < sent {
        return Err(BenchError::Late { sent, committed: log.messages() }.into());
    }
    let messages = read_back(&place.config, topic.name(), sent)?;
    let measured = latencies(&messages, &log.commits);
    let at = |quantile| percentile(&measured, quantile);
    Ok(Latency {
        records_per_second: args.rate,
        seconds: args.seconds,
        commit_interval: bench.job.commit_interval.clone(),
        sent,
        measured: measured.values().sum(),
        commits: log.commits.len(),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p99_9_ms: at(0.999),
        max_ms: at(1.0),
        peak_memory_bytes: log.peak_memory,
    })
}

/// A sent message, with its timestamp in ms.
struct Sent {
    partition: i32,
    offset: i64,
    timestamp: i64,
}

/// Reads the scratch topic back.
fn read_back(config: &Config, topic: &str, count: u64) -> Result<Vec<Sent>, Error> {
    let failed = |error: &KafkaError| SourceError::Kafka {
        topic: topic.to_owned(),
        partition: -1,
        reason: reason(error),
    };
    let consumer = consumer_with(&topic_options_now(config, Topics::named(topic))?, Quiet)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(|error| failed(&error))?;
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        assignment
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .map_err(|error| failed(&error))?;
    }
    consumer.assign(&assignment).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + PATIENCE;
    let mut messages = Vec::with_capacity(count as usize);
    while (messages.len() as u64) < count {
        if Instant::now() > deadline {
            return Err(SourceError::Silent { seconds: PATIENCE.as_secs() }.into());
        }
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => messages.push(Sent {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis().unwrap_or_default(),
            }),
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(failed(&error).into()),
        }
    }
    Ok(messages)
}

/// The number of messages by latency in microseconds, without the first second.
fn latencies(messages: &[Sent], commits: &[Commit]) -> BTreeMap<i64, u64> {
    // By partition, the next offset and the time of each commit; both are increasing.
    let mut reached: BTreeMap<i32, Vec<(i64, i64)>> = BTreeMap::new();
    for commit in commits {
        let micros = commit.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        for (partition, next) in &commit.offsets {
            reached.entry(*partition).or_default().push((*next, micros));
        }
    }
    let first = messages.iter().map(|message| message.timestamp).min().unwrap_or_default();
    let mut counts = BTreeMap::new();
    for message in messages {
        let commits = reached.get(&message.partition).map(Vec::as_slice).unwrap_or_default();
        let at = commits.partition_point(|(next, _)| *next <= message.offset);
        if let Some((_, micros)) = commits.get(at)
            && message.timestamp >= first + WARM_UP.as_millis() as i64
        {
            *counts.entry(micros - message.timestamp * 1000).or_default() += 1;
        }
    }
    counts
}

/// The quantile of the latencies, in ms.
fn percentile(counts: &BTreeMap<i64, u64>, quantile: f64) -> f64 {
    let all: u64 = counts.values().sum();
    let rank = ((all as f64 * quantile).ceil() as u64).max(1);
    let mut below = 0;
    let found = counts.iter().find(|(_, count)| {
        below += **count;
        below >= rank
    });
    found.map_or(0.0, |(micros, _)| *micros as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_message_is_committed_by_the_first_commit_beyond_it() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let commit = |millis, offsets| Commit { at: at(millis), messages: 1, offsets };
        let commits =
            [commit(1100, vec![(0, 1), (1, 1)]), commit(1200, vec![(0, 2)]), commit(1300, vec![(1, 3)])];
        let sent = |partition, offset, timestamp| Sent { partition, offset, timestamp };
        let messages = [sent(0, 0, 0), sent(1, 0, 999), sent(0, 1, 1000), sent(1, 1, 1001), sent(1, 2, 1290)];
        // The first two are within the warm-up.
        assert_eq!(
            latencies(&messages, &commits).into_iter().collect::<Vec<_>>(),
            [(10_000, 1), (200_000, 1), (299_000, 1)]
        );
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_latencies() {
        let counts: BTreeMap<i64, u64> = (1..=100).map(|ms| (ms * 1000, 10)).collect();
        let at = |quantile| percentile(&counts, quantile);
        assert_eq!((at(0.5), at(0.99), at(0.999), at(1.0)), (50.0, 99.0, 100.0, 100.0));
        assert_eq!(percentile(&BTreeMap::new(), 0.5), 0.0);
    }
}
