//! Checks Kafka as the job will use it: the brokers' ports, the topics and their ACLs, and the dead-letter topic.
//!
//! Permissions are tested by using them, with the job's own settings, because listing ACLs would require another
//! privilege. Nothing is committed, and no consumer group is joined.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::sample;
use crate::command::error::Error;
use crate::command::report::Report;
use crate::config::Job;
use crate::decode::{Future, Lookup, Schemas, confluent};
use crate::job::options::{decoder, registry_options, topic_options_now};
use crate::job::topics::describe_starts;
use crate::kafka::codes::reason;
use crate::kafka::topics::matches;
use crate::registry::Registry;
use crate::runtime::reload::Reloads;
use crate::source::kafka::{ANSWER, Beginning, ClientErrors, Start, TopicOptions, TopicSet, consumer_with};
use crate::source::sample::{Bounds, Sample, There, of_topic};
use crate::text::printable::quantity;

/// Timeout for connecting to a host, and for reading a partition.
const REACH: Duration = Duration::from_secs(3);

/// The most topics of a pattern that are checked one by one.
const CHECKED: usize = 10;

/// Checks Kafka; `is_new` says whether the job has not committed yet.
pub(super) fn check(config: &Job, is_new: bool, report: &mut Report) {
    let forward = config.dead_letters.topic.as_deref().filter(|_| !config.embedded);
    let reads_topics = config.input.is_none();
    if !reads_topics && forward.is_none() {
        return;
    }
    let mut reached = false;
    for broker in config.kafka.brokers.split(',').map(str::trim) {
        let result = reach(broker);
        reached |= result.is_ok();
        report.add("broker port", result);
    }
    if !reached {
        return;
    }
    match Cluster::connect(config) {
        Ok(cluster) => {
            if reads_topics {
                let topics = cluster.topics(report);
                let sampled =
                    topics.iter().filter_map(|topic| Some((topic, cluster.check_input(topic, report)?)));
                let samples: Vec<_> = sampled.collect();
                check_samples(config, &samples, report);
            }
            if reads_topics && is_new && config.start != Start::Earliest {
                report.add("origin", cluster.origin(config.start));
            }
            if let Some(topic) = forward {
                let found = cluster.partitions(topic, "Write");
                report.add("topic of dead letters", found.map(|found| described(topic, &found)));
            }
        }
        Err(error) => report.add("Kafka", Err::<&str, _>(error)),
    }
}

/// Decodes samples of topics as the job would, and reports the results.
fn check_samples(config: &Job, samples: &[(&String, Sample)], report: &mut Report) {
    if samples.is_empty() {
        return;
    }
    // Without its schemas, messages cannot be decoded.
    let Ok(registry) = schemas(config, report) else { return };
    for (topic, sample) in samples {
        let future = Future::new(config.max_ahead, topic.as_str().into());
        let mut decoder = decoder(config, topic).with_future(future);
        if let Some(registry) = &registry {
            await_schemas(registry, sample);
            decoder = decoder.with_schemas(registry.clone());
        }
        sample::report("sample", topic, sample, decoder, report);
    }
}

/// The schema registry cannot be used, as was reported.
struct Unusable;

/// Checks the schema registry, if the job has one.
fn schemas(config: &Job, report: &mut Report) -> Result<Option<Arc<Registry>>, Unusable> {
    let Some(options) = registry_options(config) else { return Ok(None) };
    let started = Registry::start(&options, &Reloads::default(), &Arc::default());
    let checked = started.and_then(|registry| registry.check().map(|()| registry));
    report.add("schema registry", checked.as_ref().map(|registry| registry.name().to_owned()));
    checked.map(Some).map_err(|_| Unusable)
}

/// Waits for the schemas of a sample, for some seconds at most.
pub(in crate::command) fn await_schemas(registry: &Registry, sample: &Sample) {
    let began = Instant::now();
    let ids = sample.messages.iter().filter_map(|sampled| confluent::split(sampled.payload.as_deref()?).ok());
    let ids: BTreeSet<u32> = ids.map(|(id, _)| id).collect();
    for id in ids {
        while began.elapsed() < REACH && matches!(registry.get(id), Lookup::Pending) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Takes a sample of a topic.
///
/// # Errors
/// A sentence that says what is in the way.
pub(in crate::command) fn sample_of(config: &Job, topic: &str, bounds: Bounds) -> Result<Sample, String> {
    let cluster = Cluster::connect(config).map_err(|error| error.to_string())?;
    let partitions = cluster.partitions(topic, "Read")?;
    let there = cluster.watermarks(topic, &partitions)?;
    cluster.read(topic, partitions[0])?;
    let sample = of_topic(&cluster.consumer, topic, &there, bounds);
    sample.map_err(|error| cluster.failed(&format!("a sample of `{topic}`"), &error))
}

/// Checks that a host and port accept a connection.
fn reach(address: &str) -> Result<String, String> {
    let failed = |reason: std::io::Error| {
        format!("cannot connect to {address} ({reason}); start the broker or correct --brokers")
    };
    let addresses = address.to_socket_addrs().map_err(failed)?;
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for socket in addresses {
        match TcpStream::connect_timeout(&socket, REACH) {
            Ok(_) => return Ok(address.to_owned()),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// A number of topics as the subject of a sentence.
fn matching(topics: usize) -> String {
    format!("{} match{}", quantity(topics, "topic"), if topics == 1 { "es" } else { "" })
}

fn described(topic: &str, partitions: &[i32]) -> String {
    format!("`{topic}`, {} partitions, each with a leader", partitions.len())
}

/// The brokers, reached with the job's own settings.
struct Cluster {
    consumer: BaseConsumer<ClientErrors>,
    errors: ClientErrors,
    options: TopicOptions,
    /// The name of the job's user in ACLs.
    principal: String,
    /// Whether access to the group is denied. The client reports this only once, in a poll.
    group_denied: Cell<bool>,
}

impl Cluster {
    fn connect(config: &Job) -> Result<Self, Error> {
        let options = topic_options_now(config, config.kafka.topic.clone())?;
        let errors = ClientErrors::default();
        let consumer = consumer_with(&options, errors.clone())?;
        let properties = options.properties.get();
        let principal = principal(properties.get("security.protocol"), properties.get("sasl.username"));
        Ok(Self { consumer, errors, options, principal, group_denied: Cell::new(false) })
    }

    /// The topics that the job reads, at most [`CHECKED`] of those that match a pattern.
    fn topics(&self, report: &mut Report) -> Vec<String> {
        let mut topics: Vec<String> = self.options.topics.names().map(str::to_owned).collect();
        for pattern in self.options.topics.patterns() {
            let name = pattern.as_str();
            let metadata = match self.metadata(None) {
                Ok(metadata) => metadata,
                Err(problem) => {
                    report.add("topics", Err::<&str, _>(problem));
                    return topics;
                }
            };
            let is_matched = |topic: &&str| matches(pattern, topic) && self.options.selects(topic);
            let mut matched: Vec<&str> =
                metadata.topics().iter().map(|topic| topic.name()).filter(is_matched).collect();
            matched.sort_unstable();
            let found = match matched.len() {
                0 => Err(format!(
                    "no topic on {} matches `{name}`, or {} is not allowed to describe one; create one or correct --topic",
                    self.options.brokers, self.principal
                )),
                all @ ..=CHECKED => Ok(format!("{} `{name}`: {}", matching(all), matched.join(", "))),
                all => {
                    let listed = matched[..CHECKED].join(", ");
                    Ok(format!("{} `{name}`; checked are the first {CHECKED}: {listed}", matching(all)))
                }
            };
            report.add("topics", found);
            for topic in matched.into_iter().take(CHECKED) {
                if !topics.iter().any(|known| known == topic) {
                    topics.push(topic.to_owned());
                }
            }
        }
        topics
    }

    /// Describes where a new job begins.
    fn origin(&self, start: Start) -> Result<String, String> {
        let from = Beginning { start: Some(start), ..Beginning::default() };
        let topics = TopicSet::connect(self.options.clone(), from).map_err(|error| error.to_string())?;
        let starts = topics.starts();
        let starts = describe_starts(starts.iter().map(|at| (&*at.topic, at.partition, at.offset)));
        Ok(format!("a new job begins at {start}: {starts}"))
    }

    /// The metadata of a topic, or of all.
    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, String> {
        self.consumer.fetch_metadata(topic, ANSWER).map_err(|error| {
            // The reason is in the event queue.
            let _ = self.consumer.poll(Duration::from_millis(10));
            self.errors.unreachable(&self.options.brokers, &error).to_string()
        })
    }

    /// Checks a topic that the job reads. Returns a sample of it, if it can be read.
    fn check_input(&self, topic: &str, report: &mut Report) -> Option<Sample> {
        let group = &self.options.group;
        let what = "topic";
        let partitions = match self.partitions(topic, "Read") {
            Ok(partitions) => partitions,
            Err(problem) => {
                report.add(what, Err::<&str, _>(problem));
                return None;
            }
        };
        report.ok(what, described(topic, &partitions));
        let there = self.watermarks(topic, &partitions);
        let all = there.as_ref().map(|there| there.iter().map(|at| at.end - at.low).sum::<i64>());
        let holds = |all| format!("`{topic}` has {all} offsets from its earliest to its latest");
        report.add("offsets", all.map(holds));
        let read = self.read(topic, partitions[0]);
        let can_read = read.is_ok();
        report.add("read access", read.map(|()| format!("`{topic}` can be read as {}", self.principal)));
        report.add(
            "group access",
            self.check_group(topic, &partitions).map(|()| format!("group `{group}` can be used")),
        );
        let there = there.ok().filter(|_| can_read)?;
        match of_topic(&self.consumer, topic, &there, Bounds::default()) {
            Ok(sample) => Some(sample),
            Err(error) => {
                report.add("sample", Err::<&str, _>(self.failed(&format!("a sample of `{topic}`"), &error)));
                None
            }
        }
    }

    /// The partitions of a topic, if each has a leader. `operation` is the ACL operation that the job needs in
    /// addition to Describe.
    fn partitions(&self, topic: &str, operation: &str) -> Result<Vec<i32>, String> {
        let metadata = self.metadata(Some(topic))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let code = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
        if code == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            return Err(format!(
                "topic `{topic}` does not exist, or {} is not allowed to describe it; run {}",
                self.principal,
                self.acl(operation, "topic", topic)
            ));
        }
        let partitions = found.map(|found| found.partitions()).unwrap_or_default();
        if partitions.is_empty() {
            let brokers = &self.options.brokers;
            return Err(match code {
                None | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    format!("topic `{topic}` does not exist on {brokers}; create it or correct its name")
                }
                Some(code) => format!("topic `{topic}` on {brokers}: {code}; check the brokers' logs"),
            });
        }
        let leaderless: Vec<String> = partitions
            .iter()
            .filter(|partition| partition.leader() < 0)
            .map(|partition| partition.id().to_string())
            .collect();
        if !leaderless.is_empty() {
            return Err(format!(
                "topic `{topic}` has no leader for partition {}; start the brokers that host it",
                leaderless.join(", ")
            ));
        }
        let mut ids: Vec<i32> = partitions.iter().map(|partition| partition.id()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The offset range of each partition.
    fn watermarks(&self, topic: &str, partitions: &[i32]) -> Result<Vec<There>, String> {
        let there = |&partition: &i32| {
            let (low, end) = self.consumer.fetch_watermarks(topic, partition, ANSWER).map_err(|error| {
                self.failed(&format!("the offsets of `{topic}` partition {partition}"), &error)
            })?;
            Ok(There { partition, low, end })
        };
        partitions.iter().map(there).collect()
    }

    /// Reads a partition at its end, which needs the permission but transfers no message.
    fn read(&self, topic: &str, partition: i32) -> Result<(), String> {
        let what = format!("`{topic}` partition {partition}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::End)
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| self.failed(&what, &error))?;
        let deadline = Instant::now() + REACH;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!(
                    "{what} did not answer a read within {} s; check the brokers' logs",
                    REACH.as_secs()
                ));
            }
            match self.consumer.poll(left) {
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if is(&error, RDKafkaErrorCode::TopicAuthorizationFailed) => {
                    return Err(format!(
                        "{} is not allowed to read topic `{topic}`; run {}",
                        self.principal,
                        self.acl("Read", "topic", topic)
                    ));
                }
                // The client retries by itself.
                Some(Err(error)) => self.note_group_error(&error),
                None => {}
            }
        }
    }

    /// Checks access to the group by reading its offsets.
    fn check_group(&self, topic: &str, partitions: &[i32]) -> Result<(), String> {
        let group = &self.options.group;
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(topic, partition);
        }
        let deadline = Instant::now() + REACH;
        let asked = loop {
            if self.is_group_denied() {
                break None;
            }
            match self.consumer.committed_offsets(list.clone(), ANSWER) {
                // A broker that has just started has no coordinator of groups yet.
                Err(error) if is_electing(&error) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                asked => break Some(asked),
            }
        };
        match asked {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) if !self.is_group_denied_by(&error) => {
                Err(self.failed(&format!("the offsets of group `{group}`"), &error))
            }
            _ => Err(format!(
                "group access denied: lag tools will not see the job's offsets, because {1} is not allowed to use group `{0}`; run {2}",
                group,
                self.principal,
                self.acl("Read", "group", group)
            )),
        }
    }

    fn note_group_error(&self, error: &KafkaError) {
        if is(error, RDKafkaErrorCode::GroupAuthorizationFailed) {
            self.group_denied.set(true);
        }
    }

    /// Whether the client has reported so far that access to the group is denied.
    fn is_group_denied(&self) -> bool {
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            polled.as_ref().err().inspect(|error| self.note_group_error(error));
        }
        self.group_denied.get()
    }

    /// Denied access may also show as a request that times out.
    fn is_group_denied_by(&self, error: &KafkaError) -> bool {
        self.note_group_error(error);
        self.is_group_denied()
    }

    fn failed(&self, what: &str, error: &KafkaError) -> String {
        let brokers = &self.options.brokers;
        format!("{what} on {brokers}: {}; check the brokers' logs", reason(error))
    }

    /// The command that grants a permission.
    fn acl(&self, operation: &str, kind: &str, name: &str) -> String {
        format!(
            "kafka-acls --bootstrap-server {} --add --allow-principal {} --operation {operation} --{kind} {name}",
            self.options.brokers,
            shell(&self.principal)
        )
    }
}

fn is(error: &KafkaError, code: RDKafkaErrorCode) -> bool {
    error.rdkafka_error_code() == Some(code)
}

/// Whether the group will have a coordinator soon.
fn is_electing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// The user that the brokers see.
fn principal(protocol: Option<&str>, user: Option<&str>) -> String {
    let protocol = protocol.unwrap_or("plaintext").to_ascii_lowercase();
    match (protocol.as_str(), user) {
        ("sasl_plaintext" | "sasl_ssl", Some(user)) => format!("User:{user}"),
        ("plaintext", _) => "User:ANONYMOUS".into(),
        // The name is in the certificate or ticket.
        _ => "User:NAME".into(),
    }
}

/// A shell word, quoted if necessary.
fn shell(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_.:@=,/".contains(char);
    if word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_principal_depends_on_the_security_protocol() {
        assert_eq!(principal(None, Some("truck")), "User:ANONYMOUS");
        assert_eq!(principal(Some("SASL_SSL"), Some("truck")), "User:truck");
        assert_eq!(principal(Some("ssl"), None), "User:NAME");
        assert_eq!(shell("User:truck"), "User:truck");
        assert_eq!(shell("User:o'neil"), r"'User:o'\''neil'");
    }
}
