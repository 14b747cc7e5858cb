//! Flags of `replay`.

use std::path::PathBuf;

use super::properties::PropertyArgs;
use crate::config::{BROKERS, variable_of};
use crate::runtime::pace::Rate;

/// Send the lines of a file, or truckflow's dead letters, to a Kafka topic.
#[derive(Clone, clap::Args)]
pub struct ReplayArgs {
    /// A file with one message per line, `-` for standard input, or dead letters: a `dead_letters.csv` or a folder of
    /// numbered files
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Kafka topic; without it, dead letters go back to the topic and partition that they came from
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT,…", env = "TRUCKFLOW_BROKERS", default_value_t = variable_of("kafka.brokers", BROKERS))]
    pub brokers: String,

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

    /// Print a summary as one JSON object on standard output at the end
    #[arg(long)]
    pub json: bool,
}
