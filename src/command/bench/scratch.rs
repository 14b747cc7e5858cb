//! The temporary folder, database, topic and consumer group of a measurement, removed on drop.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult};

use super::error::BenchError;
use crate::command::error::Error;
use crate::config::Config;
use crate::kafka::codes::reason;
use crate::runtime::failure::SystemError;
use crate::runtime::secret::DatabaseUrl;
use crate::source::kafka::ANSWER;
use crate::store;
use crate::store::mysql::scratch::Scratch as Database;

/// Prefix of the names of folders, topics, jobs and groups.
const PREFIX: &str = "truckflow-bench-";
/// Prefix of the names of databases.
const DATABASE_PREFIX: &str = "truckflow_bench_";
/// How long to wait for the leaders of a new topic.
const LEADERS: Duration = Duration::from_secs(30);

/// A unique name.
pub(super) fn name() -> String {
    format!("{PREFIX}{:016x}", rand::rng().random::<u64>())
}

/// A folder, removed on drop.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Creates a folder in `place`, or in the system's temporary folder if `place` is not a folder.
    pub(super) fn create(place: &Path, name: &str) -> Result<Self, Error> {
        let temporary = std::env::temp_dir();
        let path = if place.is_dir() { place } else { &temporary }.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(BenchError::Folder { path, source }.into()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove {}: {error}; remove it manually", self.0.display());
        }
    }
}

/// Where a measured job commits to; empty at its start.
pub(super) struct Place {
    /// The measured configuration, with the folder and database of this job.
    pub(super) config: Config,
    /// The database server's version; None for SQLite.
    pub(super) server: Option<String>,
    database: Option<(String, Database)>,
    _folders: Vec<Folder>,
}

impl Place {
    /// Creates a folder and, if configured, a database.
    pub(super) fn create(config: &Config) -> Result<Self, Error> {
        let name = name();
        let out = Folder::create(&config.out, &name)?;
        let mut own = Config {
            job: name.clone(),
            out: out.path().to_owned(),
            database: None,
            database_password_file: None,
            ..config.clone()
        };
        let mut folders = vec![out];
        let mut database = None;
        if let Some(url) = &config.database {
            let url = match url.file() {
                Some(_) => url.clone(),
                None => config.database_url()?,
            };
            let database_name = name.replace(PREFIX, DATABASE_PREFIX);
            match store::create_scratch(&url, &database_name)? {
                Some(made) => {
                    own.database = Some(made.url().clone());
                    database = Some((database_name, made));
                }
                None => {
                    // On the same disk as the user's database.
                    let path = Path::new(url.file().unwrap_or_default());
                    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                    let folder = Folder::create(parent.unwrap_or(Path::new(".")), &format!("{name}-sqlite"))?;
                    own.database = Some(DatabaseUrl::of_file(&folder.path().join("truckflow.db")));
                    folders.push(folder);
                }
            }
        }
        let server = database.as_ref().map(|(_, database)| database.version().to_owned());
        Ok(Self { config: own, server, database, _folders: folders })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((name, database)) = self.database.take()
            && let Err(error) = database.drop()
        {
            tracing::warn!("cannot drop database {name}: {error}; drop it manually");
        }
        if self.config.input.is_none() {
            // The group has no other use. Fails if it was never used.
            let _ = Admin::connect(&self.config).and_then(|admin| admin.delete_group(&self.config.job));
        }
    }
}

/// An admin client.
struct Admin {
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
    options: AdminOptions,
}

impl Admin {
    fn connect(config: &Config) -> Result<Self, Error> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &config.kafka.brokers);
        config.kafka_properties()?.set_on(&mut client);
        let client = client.create().map_err(|error: KafkaError| BenchError::Kafka {
            what: "connect to",
            name: config.kafka.brokers.clone(),
            reason: reason(&error),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| SystemError { verb: "start a runtime", source })?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(LEADERS));
        Ok(Self { client, runtime, options })
    }

    fn create_topic(&self, name: &str, partitions: i32, replicas: i32) -> Result<(), Error> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
            // The timestamps must come from this machine, like those of the commits.
            .set("message.timestamp.type", "CreateTime");
        let made = self.runtime.block_on(self.client.create_topics([&topic], &self.options));
        answered("create topic", name, made)
    }

    fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let deleted = self.runtime.block_on(self.client.delete_topics(&[name], &self.options));
        answered("delete topic", name, deleted)
    }

    fn delete_group(&self, name: &str) -> Result<(), Error> {
        let deleted = self.runtime.block_on(self.client.delete_groups(&[name], &self.options));
        answered("delete group", name, deleted)
    }
}

/// The result of a request for a single topic or group.
fn answered(what: &'static str, name: &str, answer: KafkaResult<Vec<TopicResult>>) -> Result<(), Error> {
    let reason = match answer.map(|mut answer| answer.pop()) {
        Ok(Some(Err((_, code)))) => code.to_string(),
        Ok(_) => return Ok(()),
        Err(error) => reason(&error),
    };
    Err(BenchError::Kafka { what, name: name.to_owned(), reason }.into())
}

/// A topic, deleted on drop.
pub(super) struct Topic {
    admin: Admin,
    name: String,
}

impl Topic {
    /// Creates a topic with the partition and replica count of the first topic that the job reads.
    pub(super) fn create(config: &Config) -> Result<Self, Error> {
        let admin = Admin::connect(config)?;
        let (partitions, replicas) = admin.shape(config.kafka.topic.names().next().unwrap_or_default())?;
        let topic = Self { name: name(), admin };
        topic.admin.create_topic(&topic.name, partitions, replicas)?;
        let deadline = Instant::now() + LEADERS;
        while topic.admin.shape(&topic.name).map_or(0, |(led, _)| led) < partitions {
            if Instant::now() > deadline {
                let (what, name) = ("use topic", topic.name.clone());
                let reason = "its partitions have no leaders".to_owned();
                return Err(BenchError::Kafka { what, name, reason }.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(topic)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Admin {
    /// The number of partitions with a leader, and of replicas.
    fn shape(&self, topic: &str) -> Result<(i32, i32), Error> {
        let metadata = self.client.inner().fetch_metadata(Some(topic), ANSWER).map_err(|error| {
            BenchError::Kafka { what: "describe topic", name: topic.to_owned(), reason: reason(&error) }
        })?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let led: Vec<_> = partitions.filter(|partition| partition.leader() >= 0).collect();
        let replicas = led.first().map_or(1, |partition| partition.replicas().len());
        Ok((led.len() as i32, replicas as i32))
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        if let Err(error) = self.admin.delete_topic(&self.name) {
            tracing::warn!("{error}");
        }
    }
}
