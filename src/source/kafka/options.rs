//! How to connect to a topic, and what to do about lost offsets.

use std::sync::Arc;

use crate::kafka::properties::Properties;
use crate::runtime::reload::Reloaded;
use crate::source::OnDataLoss;

/// How to connect to a topic.
#[derive(Clone)]
pub struct TopicOptions {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The group that committed offsets are reported to.
    pub group: String,
    /// librdkafka properties, which override ours.
    pub properties: Arc<Reloaded<Properties>>,
    /// What to do about missing offsets.
    pub on_data_loss: OnDataLoss,
    /// Whether to stop at the end offsets of the start.
    pub until_end: bool,
}
