//! Flags of `replay`.

use std::path::{Path, PathBuf};

use super::properties::PropertyArgs;
use super::setting::setting;
use crate::config::{self, BROKERS, ConfigError, Job, variable_of};
use crate::runtime::pace::Rate;

/// Send the lines of a file, or truckflow's dead letters, to a Kafka topic.
#[derive(Clone, clap::Args)]
pub struct ReplayArgs {
    /// A file with one message per line, `-` for standard input, or dead letters: a `dead_letters.csv` or a folder of
    /// numbered files
    #[arg(value_name = "FILE", required_unless_present = "explain")]
    pub file: Option<PathBuf>,

    /// Kafka topic; without it, dead letters go back to the topic and partition that they came from
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// Kafka brokers; or TRUCKFLOW_BROKERS [default: those of --config, else 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,

    /// Also send the dead letters of single readings of messages with several: each in the message that it was in,
    /// fetched from its topic, without the other readings
    #[arg(long)]
    pub parts: bool,

    /// Send nothing, and show how the job reads a message, field by field: the text MESSAGE, `@FILE`, `-` for
    /// standard input, or `kafka:PARTITION/OFFSET` of the job's topic (of another one: `kafka:TOPIC/PARTITION/OFFSET`)
    #[arg(long, value_name = "MESSAGE", conflicts_with_all = ["file", "parts", "repeat", "key", "key_separator"])]
    pub explain: Option<String>,

    /// The key of the message that is explained
    #[arg(long, value_name = "KEY", requires = "explain", conflicts_with = "file")]
    pub explain_key: Option<String>,

    /// The job's configuration, for --parts and --explain; its brokers and properties are used
    #[arg(long, value_name = "FILE", env = "TRUCKFLOW_CONFIG")]
    pub config: Option<PathBuf>,

    /// Set any key of the job's configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,

    /// Messages per second, or `max`
    #[arg(long, value_name = "RATE", default_value = "max")]
    pub rate: Rate,

    /// Repeat the file until stopped
    #[arg(long = "loop")]
    pub repeat: bool,

    /// Use this field of each line, such as truck_id, as the message key; messages without a key go to the partitions
    /// round-robin
    #[arg(long, value_name = "FIELD")]
    pub key: Option<String>,

    /// Use the text before the first SEP of each line, such as $'\t', as the message key; a line with nothing after
    /// SEP is a tombstone, a message without a value
    #[arg(long, value_name = "SEP")]
    pub key_separator: Option<String>,

    /// Properties of the producer.
    #[command(flatten)]
    pub properties: PropertyArgs,

    /// Print a summary, or the explanation, as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl ReplayArgs {
    /// The file; there is one, unless a message is explained.
    pub fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new("-"))
    }

    /// The brokers of a replay without a job.
    pub fn brokers(&self) -> String {
        let of_variable = || std::env::var("TRUCKFLOW_BROKERS").ok();
        let given = self.brokers.clone().or_else(of_variable);
        given.unwrap_or_else(|| variable_of("kafka.brokers", BROKERS))
    }

    /// The job, if a flag names it or needs it.
    pub fn job(&self) -> Result<Option<Job>, ConfigError> {
        let is_needed = self.parts || self.explain.is_some() || self.config.is_some() || !self.set.is_empty();
        if !is_needed {
            return Ok(None);
        }
        let mut keys: Vec<(String, toml::Value)> =
            self.set.iter().map(|(key, value)| (key.clone(), config::value_of(key, value))).collect();
        // Dead letters may be sent to another topic than the job's.
        let topic = self.topic.as_ref().filter(|_| self.explain.is_some());
        for (key, value) in [("kafka.brokers", self.brokers.as_ref()), ("kafka.topic", topic)] {
            keys.extend(value.map(|value| (key.to_owned(), toml::Value::String(value.clone()))));
        }
        Job::load(self.config.as_deref(), config::variables()?.into_iter(), keys).map(Some)
    }
}
