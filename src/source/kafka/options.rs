//! How to connect to topics, and what to do about lost offsets.

use std::sync::Arc;

use crate::kafka::properties::Properties;
use crate::kafka::topics::Topics;
use crate::runtime::reload::Reloaded;
use crate::source::OnDataLoss;

/// How to connect to topics.
#[derive(Clone)]
pub struct TopicOptions {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topics.
    pub topics: Topics,
    /// A topic that no pattern matches: that of dead letters.
    pub except: Option<String>,
    /// The group that committed offsets are reported to.
    pub group: String,
    /// librdkafka properties, which override ours.
    pub properties: Arc<Reloaded<Properties>>,
    /// What to do about missing offsets.
    pub on_data_loss: OnDataLoss,
    /// Whether to stop at the end offsets of the start.
    pub until_end: bool,
}

impl TopicOptions {
    /// Whether a topic is named, or matches a pattern.
    pub fn selects(&self, topic: &str) -> bool {
        self.topics.selects(topic, self.except.as_deref())
    }

    /// Whether to continue when offsets are missing.
    pub(super) fn continues_on_loss(&self) -> bool {
        self.on_data_loss == OnDataLoss::Earliest
    }

    /// The topics as the health of the job names them.
    pub fn in_health(&self) -> String {
        let several = if self.topics.single().is_some() { "" } else { "s" };
        format!("topic{several} {}", self.topics)
    }
}
