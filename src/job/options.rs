//! The options and the decoder of each input, from the configuration. Commands that read the inputs themselves use the
//! same.

use std::sync::Arc;

use crate::config::{Config, ConfigError, Job, message};
use crate::decode::Decoder;
use crate::decode::mapping::Format;
use crate::kafka::properties::Properties;
use crate::registry::RegistryOptions;
use crate::runtime::reload::Reloaded;
use crate::source::file::{Framing, Options};
use crate::source::kafka::TopicOptions;

/// The decoder of an input.
pub(crate) fn decoder(job: &Job, name: &str) -> Decoder {
    Decoder::new(name.into(), job.mapping.clone())
        .with_max_bytes(job.limits.message_bytes)
        .with_mode(job.view_settings.mode)
}

/// The schema registry of a job, if its messages have schemas there.
pub(crate) fn registry_options(job: &Job) -> Option<RegistryOptions> {
    match job.mapping.format {
        Format::Registry(format) => message::registry(job, format),
        _ => None,
    }
}

/// The options of the file.
pub(crate) fn file_options(job: &Job) -> Options<'_> {
    let framing = match job.mapping.format {
        Format::Text | Format::Schema(_) | Format::Registry(_) => Framing::Lines,
        Format::Csv { separator, ref columns } => {
            Framing::Records { separator, has_header: columns.is_none() }
        }
    };
    Options {
        follow: !job.until_end,
        framing,
        separator: job.key_separator.as_deref(),
        on_data_loss: job.on_data_loss,
    }
}

/// The options of a topic, with these librdkafka properties.
pub(crate) fn topic_options(
    config: &Config,
    topic: &str,
    properties: Arc<Reloaded<Properties>>,
) -> TopicOptions {
    TopicOptions {
        brokers: config.kafka.brokers.clone(),
        topic: topic.to_owned(),
        group: config.job.clone(),
        properties,
        on_data_loss: config.on_data_loss,
        until_end: config.until_end,
    }
}

/// The options of a topic for a short-lived command, which does not reload properties.
pub(crate) fn topic_options_now(config: &Config, topic: &str) -> Result<TopicOptions, ConfigError> {
    Ok(topic_options(config, topic, Reloaded::fixed(config.kafka_properties()?)))
}
