//! The options and the decoder of each input, from the configuration. Commands that read the inputs themselves use the
//! same.

use std::sync::{Arc, Mutex};

use dataflows::item::NextOffset;
use dataflows::views::Settings;

use crate::config::{Config, ConfigError, Job};
use crate::decode::{Decoder, orientation};
use crate::kafka::properties::Properties;
use crate::runtime::reload::Reloaded;
use crate::source::SourceError;
use crate::source::file::{Lines, Options, lock};
use crate::source::kafka::TopicOptions;

/// The decoder of truck readings for an input.
pub(crate) fn trucks_decoder(name: &str, message_bytes: usize, settings: &Settings) -> Decoder {
    Decoder::new(name.into())
        .with_max_bytes(message_bytes)
        .with_mode(settings.mode)
        .with_fields(settings.fields.clone())
}

/// The options of the trucks' file.
pub(crate) fn trucks_file(config: &Job) -> Options<'_> {
    Options {
        follow: !config.until_end,
        separator: config.key_separator.as_deref(),
        on_data_loss: config.on_data_loss,
        ..Options::default()
    }
}

/// The options of the phone's file, whose first character determines its format.
pub(crate) fn phone_file(config: &Job) -> Options<'static> {
    Options {
        follow: !config.until_end,
        framing: None,
        on_data_loss: config.on_data_loss,
        ..Options::default()
    }
}

/// Opens the phone's file at its offset, and checks its header.
pub(crate) fn open_phone_file(
    path: &str,
    offsets: &[NextOffset],
    options: Options<'_>,
) -> Result<Arc<Mutex<Lines>>, SourceError> {
    let lines = Lines::open(path, offsets, options).map_err(SourceError::of_the_phone)?;
    let header = lock(&lines).header().cloned();
    if let Some(header) = header {
        orientation::check_header(&header)
            .map_err(|column| SourceError::NoColumn { path: path.to_owned(), column })?;
    }
    Ok(lines)
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
