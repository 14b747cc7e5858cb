//! How a topic is reached, and what is done about lost offsets.

use crate::kafka::properties::Properties;
use crate::runtime::reload::Reloaded;
use std::sync::Arc;

/// What to do when offsets that were not read are gone from the broker.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDataLoss {
    /// Stop with an error that says what is missing.
    #[default]
    Stop,
    /// Go on from the earliest offset that is there.
    Earliest,
}

/// How to reach a topic.
#[derive(Clone)]
pub struct TopicOptions {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The group that committed offsets are reported to.
    pub group: String,
    /// librdkafka properties, which go over ours.
    pub properties: Arc<Reloaded<Properties>>,
    /// What to do about missing offsets.
    pub on_data_loss: OnDataLoss,
    /// Whether to stop at the end that is there at the start.
    pub until_end: bool,
}
