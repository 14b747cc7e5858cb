//! A real Kafka on the loopback interface: one KRaft node, or three.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::process::{Process, command, free_port, new_folder, repository};
use super::wait::{comes_true, eventually};

const TIMEOUT: Duration = Duration::from_secs(180);
/// Any 16 bytes in base64 will do.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qk";

/// The broker that tests share which leave it running.
pub fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Result<Kafka, String>> = OnceLock::new();
    KAFKA
        .get_or_init(|| Kafka::try_start(1, &[], &[], &[]))
        .as_ref()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A topic name that no other test has.
pub fn unique_topic() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("topic-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

/// A message that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
}

/// A message to send.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; none: now.
    pub timestamp: Option<i64>,
}

/// What lets users of SASL PLAIN in: `user_<name>="<password>"` and a semicolon follow.
pub const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";

/// What may be allowed, by its number in Kafka's protocol.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Read = 3,
    Describe = 8,
}

/// What it may be allowed on.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
}

/// A listener beside the plain one, which the tests themselves use.
pub struct Listener {
    /// A name of small letters.
    pub name: &'static str,
    /// `SSL`, `SASL_SSL` or `SASL_PLAINTEXT`.
    pub protocol: &'static str,
    /// The broker's settings for it, each `name=value`.
    pub settings: Vec<String>,
}

/// Brokers of one's own.
pub struct Kafka {
    brokers: String,
    /// The other listeners: name and address.
    listeners: Vec<(&'static str, String)>,
    nodes: Vec<Node>,
}

struct Node {
    folder: PathBuf,
    process: Process,
}

impl Kafka {
    /// Starts a broker on an empty folder, and waits until it answers.
    pub fn start() -> Self {
        Self::try_start(1, &[], &[], &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts three brokers; each keeps all topics, and writes are acknowledged by two.
    pub fn start_three() -> Self {
        Self::try_start(3, &[], &[], &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a broker that lets `user` log in with `password` by SASL PLAIN, and then do only what
    /// [`Kafka::allow`] says; who does not log in may do everything.
    pub fn start_secured(user: &str, password: &str) -> Self {
        let users = Listener {
            name: "users",
            protocol: "SASL_PLAINTEXT",
            settings: vec![
                "sasl.enabled.mechanisms=PLAIN".into(),
                format!("plain.sasl.jaas.config={PLAIN} user_{user}=\"{password}\";"),
            ],
        };
        let controlled = [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ];
        Self::start_with(&[users], &controlled, &[])
    }

    /// Starts a broker with more listeners and settings, and with users of SCRAM, each
    /// `SCRAM-SHA-256=[name=…,password=…]`.
    pub fn start_with(listeners: &[Listener], more: &[&str], scram: &[&str]) -> Self {
        Self::try_start(1, listeners, more, scram).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(
        count: usize,
        listeners: &[Listener],
        more: &[&str],
        scram: &[&str],
    ) -> Result<Self, String> {
        let addresses: Vec<String> = (0..count).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let controllers: Vec<String> = (0..count).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let voters: Vec<String> =
            (1..).zip(&controllers).map(|(id, address)| format!("{id}@{address}")).collect();
        let others = listeners.iter().map(|listener| (listener.name, format!("127.0.0.1:{}", free_port())));
        let others: Vec<_> = others.collect();
        let mut nodes = Vec::new();
        for (place, address) in addresses.iter().enumerate() {
            let folder = new_folder("kafka");
            let controller = &controllers[place];
            let copies = count.to_string();
            let acknowledge = count.div_ceil(2);
            let mut settings = vec![
                "process.roles=broker,controller".into(),
                format!("node.id={}", place + 1),
                format!("controller.quorum.voters={}", voters.join(",")),
                format!("listeners=PLAINTEXT://{address},CONTROLLER://{controller}"),
                format!("advertised.listeners=PLAINTEXT://{address}"),
                "controller.listener.names=CONTROLLER".into(),
                format!("log.dirs={}", folder.join("data").display()),
                "auto.create.topics.enable=false".into(),
                format!("default.replication.factor={copies}"),
                format!("min.insync.replicas={acknowledge}"),
                format!("offsets.topic.replication.factor={copies}"),
                "offsets.topic.num.partitions=1".into(),
                format!("transaction.state.log.replication.factor={copies}"),
                format!("transaction.state.log.min.isr={acknowledge}"),
                "transaction.state.log.num.partitions=1".into(),
                "share.coordinator.state.topic.replication.factor=1".into(),
                "share.coordinator.state.topic.min.isr=1".into(),
                "share.coordinator.state.topic.num.partitions=1".into(),
                "group.initial.rebalance.delay.ms=0".into(),
                // Little memory, and no long wait for what a test waits for.
                "log.cleaner.dedupe.buffer.size=4194304".into(),
                "log.cleaner.backoff.ms=200".into(),
                "log.initial.task.delay.ms=1000".into(),
                "broker.heartbeat.interval.ms=500".into(),
                "broker.session.timeout.ms=3000".into(),
                "leader.imbalance.check.interval.seconds=1".into(),
                "leader.imbalance.per.broker.percentage=0".into(),
            ];
            if place == 0 {
                let mut protocols = String::from("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
                for (Listener { name, protocol, settings: its }, (_, address)) in
                    listeners.iter().zip(&others)
                {
                    let upper = name.to_uppercase();
                    settings[3] += &format!(",{upper}://{address}");
                    settings[4] += &format!(",{upper}://{address}");
                    protocols += &format!(",{upper}:{protocol}");
                    settings.extend(its.iter().map(|setting| format!("listener.name.{name}.{setting}")));
                }
                settings.push(format!("listener.security.protocol.map={protocols}"));
            }
            settings.extend(more.iter().map(|&setting| setting.into()));
            nodes.push(Node::start(folder, &settings, scram)?);
        }
        let mut kafka = Self { brokers: addresses.join(","), listeners: others, nodes };
        kafka.wait_until_it_answers()?;
        Ok(kafka)
    }

    /// `host:port`, as clients want it.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// `host:port` of another listener.
    pub fn at(&self, listener: &str) -> &str {
        let found = self.listeners.iter().find(|(name, _)| *name == listener);
        &found.unwrap_or_else(|| panic!("there is no listener `{listener}`")).1
    }

    /// `host:port` where users log in, after [`Kafka::start_secured`].
    pub fn secured(&self) -> &str {
        self.at("users")
    }

    /// Lets a user do something, as `kafka-acls --add` would.
    pub fn allow(&self, user: &str, operation: Operation, on: &Resource<'_>) {
        // No client library for Rust has it, and the command is in none of the broker's jars.
        let (kind, name) = match on {
            Resource::Topic(name) => (2, name),
            Resource::Group(name) => (3, name),
        };
        let string = |text: &str| [&(text.len() as i16).to_be_bytes(), text.as_bytes()].concat();
        let request = [
            // CreateAcls, version 1, number, no client's name; one of them.
            &[0, 30, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 1][..],
            &[kind],
            &string(name),
            &[3], // the name itself, no prefix
            &string(&format!("User:{user}")),
            &string("*"),
            &[operation as u8, 3],
        ]
        .concat();
        let mut stream = TcpStream::connect(&self.brokers).expect("the broker listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        stream.write_all(&(request.len() as i32).to_be_bytes()).expect("it takes the size");
        stream.write_all(&request).expect("it takes the request");
        let mut size = [0; 4];
        stream.read_exact(&mut size).expect("it answers");
        let mut answer = vec![0; i32::from_be_bytes(size) as usize];
        stream.read_exact(&mut answer).expect("it answers");
        // Number, throttling, one result: its code.
        assert_eq!(answer[..14], [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], "{answer:?}");
    }

    /// Kills all brokers with SIGKILL; their data stay.
    pub fn kill(&mut self) {
        for node in &mut self.nodes {
            node.process.kill();
        }
    }

    /// Kills one broker with SIGKILL; its data stay. The first is 1.
    pub fn kill_broker(&mut self, id: i32) {
        self.nodes[id as usize - 1].process.kill();
    }

    /// Stops all brokers where they are, as if their machines had hung, or lets them go on.
    pub fn freeze(&mut self, frozen: bool) {
        for node in &mut self.nodes {
            node.process.signal(if frozen { "STOP" } else { "CONT" });
        }
    }

    /// Ends all brokers in order.
    pub fn stop(&mut self) {
        for node in &mut self.nodes {
            node.process.signal("TERM");
            eventually(TIMEOUT, "the broker ends", || node.process.ended().is_some());
        }
    }

    /// Starts those that do not run again, with their ports and their data.
    pub fn restart(&mut self) {
        let started = self.nodes.iter_mut().try_for_each(|node| match node.process.ended() {
            Some(_) => run(&node.folder).map(|process| node.process = process),
            None => Ok(()),
        });
        started.and_then(|()| self.wait_until_it_answers()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The broker that leads a partition, if one does.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let metadata = self.consumer().fetch_metadata(Some(topic), TIMEOUT).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        partitions.iter().find(|found| found.id() == partition).map(|found| found.leader())
    }

    fn admin(&self) -> (AdminClient<DefaultClientContext>, AdminOptions, tokio::runtime::Runtime) {
        let admin = self.config().create().expect("an admin client");
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        (admin, options, runtime)
    }

    /// Creates a topic, and waits until each partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic that takes messages of up to 4 MB.
    pub fn create_large_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[("max.message.bytes", "4000000")]);
    }

    /// [`create_topic`](Self::create_topic) with settings.
    pub fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let (admin, options, runtime) = self.admin();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.nodes.len() as i32));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = runtime.block_on(admin.create_topics([&topic], &options)).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("cannot create topic {topic}: {code}"));
        }
        self.wait_for_leaders(name, partitions);
    }

    /// Gives a topic so many partitions, and waits until each has a leader.
    pub fn grow_topic(&self, name: &str, partitions: i32) {
        let (admin, options, runtime) = self.admin();
        let more = NewPartitions::new(name, partitions as usize);
        let results = runtime.block_on(admin.create_partitions([&more], &options));
        for result in results.expect("the broker answers") {
            result.unwrap_or_else(|(topic, code)| panic!("cannot grow topic {topic}: {code}"));
        }
        self.wait_for_leaders(name, partitions);
    }

    /// Deletes a topic, and waits until it is gone.
    pub fn delete_topic(&self, name: &str) {
        let (admin, options, runtime) = self.admin();
        let results = runtime.block_on(admin.delete_topics(&[name], &options)).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("cannot delete topic {topic}: {code}"));
        }
        let consumer = self.consumer();
        eventually(TIMEOUT, "the topic is gone", || {
            let metadata = consumer.fetch_metadata(Some(name), TIMEOUT);
            metadata.is_ok_and(|metadata| metadata.topics().iter().all(|topic| topic.error().is_some()))
        });
    }

    fn wait_for_leaders(&self, name: &str, partitions: i32) {
        let consumer = self.consumer();
        eventually(TIMEOUT, "each partition of the topic has a leader", || {
            consumer.fetch_metadata(Some(name), TIMEOUT).is_ok_and(|metadata| {
                let leaders = metadata.topics().iter().flat_map(|topic| topic.partitions());
                leaders.filter(|partition| partition.leader() >= 0).count() == partitions as usize
            })
        });
    }

    /// Deletes a partition's messages before `offset`, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let (admin, options, runtime) = self.admin();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a partition once");
        runtime.block_on(admin.delete_records(&list, &options)).expect("the broker deletes");
    }

    /// Sends messages of partition, key and payload, and waits until all are acknowledged.
    pub fn produce<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        messages: impl IntoIterator<Item = (i32, Option<Vec<u8>>, P)>,
    ) {
        self.produce_with_nulls(
            topic,
            messages.into_iter().map(|(at, key, payload)| (at, key, Some(payload))),
        );
    }

    /// [`produce`](Self::produce) where a message may have the null value.
    pub fn produce_with_nulls<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        messages: impl IntoIterator<Item = (i32, Option<Vec<u8>>, Option<P>)>,
    ) {
        let producer = self.producer(&[]);
        send(&producer, topic, messages);
    }

    /// Sends messages to partition 0, each with its own headers and timestamp, and waits until all are acknowledged.
    pub fn produce_sent(&self, topic: &str, messages: &[Sent]) {
        let producer = self.producer(&[]);
        for message in messages {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &message.headers {
                headers = headers.insert(Header { key, value: value.as_deref() });
            }
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).headers(headers);
            if let Some(timestamp) = message.timestamp {
                record = record.timestamp(timestamp);
            }
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            if let Some(value) = &message.value {
                record = record.payload(value);
            }
            producer.send(record).unwrap_or_else(|(error, _)| panic!("cannot produce to {topic}: {error}"));
        }
        flush(&producer, topic);
    }

    /// [`produce`](Self::produce) to partition 0 with a Kafka timestamp, in milliseconds since 1970.
    pub fn produce_at<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        timestamp: i64,
        payloads: impl IntoIterator<Item = P>,
    ) {
        let producer = self.producer(&[]);
        for payload in payloads {
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).timestamp(timestamp);
            producer.send(record.payload(payload.as_ref())).map_err(|(error, _)| error).expect("it fits");
        }
        producer.flush(TIMEOUT).unwrap_or_else(|error| panic!("cannot produce to {topic}: {error}"));
        assert_eq!(producer.context().0.lock().unwrap().take(), None, "cannot produce to {topic}");
    }

    /// A transaction with messages of partition and payload that are all acknowledged; it is open until
    /// [`Transaction::end`], or as long as the broker lets it.
    pub fn transaction<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        messages: impl IntoIterator<Item = (i32, P)>,
    ) -> Transaction {
        // Each fences those before it under the same id.
        let id = unique_topic();
        let producer = self.producer(&[("transactional.id", &id)]);
        producer.init_transactions(TIMEOUT).expect("the broker answers");
        producer.begin_transaction().expect("no other is open");
        send(&producer, topic, messages.into_iter().map(|(at, payload)| (at, None, Some(payload))));
        Transaction(producer)
    }

    fn producer(&self, more: &[(&str, &str)]) -> BaseProducer<Failures> {
        let mut config = self.config();
        config
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000");
        // Idempotent: a batch that is sent anew neither doubles nor overtakes.
        config.set("enable.idempotence", "true").set("message.max.bytes", "16000000");
        for (key, value) in more {
            config.set(*key, *value);
        }
        config.create_with_context(Failures::default()).expect("a producer")
    }

    /// The end offset of each partition.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let consumer = self.consumer();
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("the broker answers");
        let end = |partition| {
            let marks = consumer.fetch_watermarks(topic, partition, TIMEOUT);
            marks.unwrap_or_else(|error| panic!("no end of {topic}/{partition}: {error}")).1
        };
        (0..metadata.topics()[0].partitions().len() as i32).map(end).collect()
    }

    /// The names of all topics and consumer groups.
    pub fn topics_and_groups(&self) -> Vec<String> {
        let consumer = self.consumer();
        let metadata = consumer.fetch_metadata(None, TIMEOUT).expect("the broker answers");
        let groups = consumer.fetch_group_list(None, TIMEOUT).expect("the broker answers");
        let topics = metadata.topics().iter().map(|topic| topic.name());
        topics.chain(groups.groups().iter().map(|group| group.name())).map(str::to_owned).collect()
    }

    /// The sum of the offsets that a group has committed in a topic.
    pub fn committed(&self, group: &str, topic: &str) -> i64 {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.ends(topic).len() as i32 - 1);
        let committed = consumer.committed_offsets(list, TIMEOUT).expect("the broker answers");
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        committed.elements().iter().map(|partition| offset(partition.offset())).sum()
    }

    /// All committed messages of a topic, partition after partition.
    pub fn read(&self, topic: &str) -> Vec<Received> {
        let mut assignment = TopicPartitionList::new();
        let partitions = self.ends(topic).len();
        for partition in 0..partitions as i32 {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
        }
        let consumer = self.consumer();
        consumer.assign(&assignment).expect("a valid assignment");
        let (mut messages, mut at_end) = (Vec::new(), 0);
        eventually(TIMEOUT, "all messages of the topic are read", || {
            while let Some(result) = consumer.poll(Duration::ZERO) {
                match result {
                    Ok(message) => messages.push(Received {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().map(<[u8]>::to_vec),
                        payload: message.payload().map(<[u8]>::to_vec),
                    }),
                    Err(KafkaError::PartitionEOF(_)) => at_end += 1,
                    // The client goes on by itself.
                    Err(_) => {}
                }
            }
            at_end == partitions
        });
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("reconnect.backoff.max.ms", "250");
        config
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.config();
        config
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        config.set("isolation.level", "read_committed").create().expect("a consumer")
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let consumer = self.consumer();
        let mut answered = false;
        comes_true(TIMEOUT, || {
            let metadata = consumer.fetch_metadata(None, Duration::from_secs(1));
            answered = metadata.is_ok_and(|metadata| metadata.brokers().len() == self.nodes.len());
            answered || self.nodes.iter_mut().any(|node| node.process.ended().is_some())
        });
        if answered {
            return Ok(());
        }
        let log: Vec<String> = self.nodes.iter().map(|node| node.process.log_end()).collect();
        let log = log.join("\n\n");
        Err(not_installed(format!("Kafka does not answer on {}; its log ends:\n{log}", self.brokers())))
    }
}

impl Node {
    /// Starts a broker on an empty folder.
    fn start(folder: PathBuf, settings: &[String], scram: &[&str]) -> Result<Self, String> {
        fs::write(folder.join("server.properties"), settings.join("\n"))
            .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
        let mut format = java("kafka.tools.StorageTool", &folder)?;
        format.args(["format", "--cluster-id", CLUSTER, "--config", "server.properties"]);
        for user in scram {
            format.args(["--add-scram", user]);
        }
        let mut format = Process::start(format, &folder, "format").map_err(not_installed)?;
        let done = comes_true(TIMEOUT, || format.ended().is_some());
        if !done || !format.kill().success() {
            return Err(not_installed(format!("Kafka cannot format its folder:\n{}", format.log_end())));
        }
        let process = run(&folder)?;
        Ok(Self { folder, process })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill();
        // What stays is removed by the next test process.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn send<P: AsRef<[u8]>>(
    producer: &BaseProducer<Failures>,
    topic: &str,
    messages: impl IntoIterator<Item = (i32, Option<Vec<u8>>, Option<P>)>,
) {
    for (partition, key, payload) in messages {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        if let Some(payload) = &payload {
            record = record.payload(payload.as_ref());
        }
        if let Some(key) = &key {
            record = record.key(key);
        }
        while let Err((error, refused)) = producer.send(record) {
            let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(full, "cannot produce to {topic}: {error}");
            producer.poll(Duration::from_millis(100));
            record = refused;
        }
    }
    flush(producer, topic);
}

fn flush(producer: &BaseProducer<Failures>, topic: &str) {
    producer.flush(TIMEOUT).unwrap_or_else(|error| panic!("cannot produce to {topic}: {error}"));
    let failure = producer.context().0.lock().unwrap().take();
    assert_eq!(failure, None, "cannot produce to {topic}");
}

/// Messages that are read when it is committed.
pub struct Transaction(BaseProducer<Failures>);

impl Transaction {
    /// Commits it, or has its messages never be read.
    pub fn end(self, commit: bool) {
        match commit {
            true => self.0.commit_transaction(TIMEOUT).expect("it commits"),
            false => self.0.abort_transaction(TIMEOUT).expect("it aborts"),
        }
    }
}

/// The first message that was not delivered.
#[derive(Default)]
struct Failures(Mutex<Option<KafkaError>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap().get_or_insert_with(|| error.clone());
        }
    }
}

fn run(folder: &std::path::Path) -> Result<Process, String> {
    let mut broker = java("kafka.Kafka", folder)?;
    broker.arg("server.properties");
    Process::start(broker, folder, "broker").map_err(not_installed)
}

/// A Java program of Kafka in the broker's folder.
fn java(class: &str, folder: &std::path::Path) -> Result<Command, String> {
    let jars = repository().join(".test/kafka-libs");
    if !jars.is_dir() {
        return Err(not_installed(format!("there are no Kafka jars in {}", jars.display())));
    }
    let mut java = command("java");
    // Started often and for a short time, beside others: few threads, and no long optimisation.
    java.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    java.arg(jars.join("*")).arg(class).current_dir(folder);
    Ok(java)
}

fn not_installed(reason: String) -> String {
    format!("{reason}\nIf Kafka or Java is not installed: `make test` installs it, and then tests.")
}
