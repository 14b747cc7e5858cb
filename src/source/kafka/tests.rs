//! What the tests of this folder share.

use super::TopicOptions;
use crate::kafka::properties::Properties;
use crate::kafka::topics::Topics;
use crate::runtime::reload::Reloaded;
use crate::source::OnDataLoss;

/// The options of a job that reads a topic.
pub(super) fn options(brokers: String, topic: &str) -> TopicOptions {
    TopicOptions {
        brokers,
        topics: Topics::named(topic),
        except: None,
        group: "g".into(),
        properties: Reloaded::fixed(Properties::default()),
        on_data_loss: OnDataLoss::Stop,
        until_end: false,
    }
}
