//! Flags of `replay`.

use std::path::PathBuf;

use crate::config::{BROKERS, variable_of};
use crate::kafka::producer::{parse_property, parse_property_file};
use crate::runtime::pace::Rate;
use crate::runtime::secret::SecretString;

/// Send the lines of a file, or truckflow's dead letters, into a Kafka topic.
#[derive(Clone, clap::Args)]
pub struct ReplayArgs {
    /// A file, each line a message; a `dead_letters.csv` of truckflow, or its folder of numbered ones; or `-`
    /// for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Kafka topic; dead letters go back to the topic, and there the partition, that they came from unless
    /// this is given
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT,…", env = "TRUCKFLOW_BROKERS", default_value_t = variable_of("kafka.brokers", BROKERS))]
    pub brokers: String,

    /// Messages a second, or `max`
    #[arg(long, value_name = "RATE", default_value = "max")]
    pub rate: Rate,

    /// Start over at the end of the file, until stopped
    #[arg(long = "loop")]
    pub repeat: bool,

    /// Make this field of each line, as truck_id, the message's key; without it, and for lines that lack it,
    /// messages have no key and take the partitions in turn
    #[arg(long, value_name = "FIELD")]
    pub key: Option<String>,

    /// Make what stands before the first SEP of each line, as $'\t', the message's key; nothing behind it is
    /// a message without a value, a tombstone
    #[arg(long, value_name = "SEP")]
    pub key_separator: Option<String>,

    /// A property of librdkafka; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, SecretString)>,

    /// A property whose value is in a file, such as sasl.password; may be repeated
    #[arg(long = "property-file", value_name = "NAME=FILE", value_parser = parse_property_file)]
    pub property_files: Vec<(String, SecretString)>,

    /// Say at the end what was sent as one JSON object, on standard output
    #[arg(long)]
    pub json: bool,
}
