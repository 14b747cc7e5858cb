//! The options and the decoder of each input, from the configuration. Commands that read the inputs themselves use the
//! same.

use std::sync::Arc;

use dataflows::item::ReadingId;
use dataflows::views::View;

use crate::config::{Config, ConfigError, Job, message};
use crate::decode::mapping::Format;
use crate::decode::{Decoder, Future, Schemas};
use crate::kafka::properties::Properties;
use crate::kafka::topics::Topics;
use crate::registry::RegistryOptions;
use crate::runtime::reload::Reloaded;
use crate::source::file::{Framing, Options, full_path};
use crate::source::kafka::TopicOptions;

/// The decoder of an input.
pub(crate) fn decoder(job: &Job, name: &str) -> Decoder {
    Decoder::new(name.into(), job.mapping.clone())
        .with_max_bytes(job.limits.message_bytes)
        .with_mode(job.view_settings.mode)
}

/// How to make the decoder of a topic or file.
#[derive(Clone)]
pub(super) struct Decoders {
    job: Job,
    /// The schemas of messages.
    pub(super) schemas: Option<Arc<dyn Schemas>>,
    /// In a backfill, the messages that were already found to be in the future.
    pub(super) decided: Option<Arc<[ReadingId]>>,
    /// Whether a view may drop records, so that their bytes are kept.
    bytes: bool,
}

impl Decoders {
    /// The decoders of a job with these views.
    pub(super) fn new(config: &Job, views: &[View]) -> Self {
        let bytes = views.iter().any(|view| view.drops_readings);
        Self { job: config.clone(), schemas: None, decided: None, bytes }
    }

    /// The decoder of a topic.
    pub(super) fn of_topic(&self, topic: &Arc<str>) -> Decoder {
        self.decoder(topic, topic.clone())
    }

    /// The decoder of a file with this path.
    pub(super) fn of_file(&self, path: &str) -> Decoder {
        self.decoder(path, full_path(path).into())
    }

    /// A decoder. What is decided about readings is committed under `topic`.
    fn decoder(&self, name: &str, topic: Arc<str>) -> Decoder {
        let future = match &self.decided {
            Some(decided) => Future::decided(decided, &topic),
            None => Future::new(self.job.max_ahead, topic),
        };
        let mut decoder = decoder(&self.job, name).with_future(future);
        if let Some(schemas) = &self.schemas {
            decoder = decoder.with_schemas(schemas.clone());
        }
        match (self.bytes, &self.job.view_settings.dedupe) {
            (true, _) => decoder.with_origins(),
            (false, Some(_)) => decoder.with_positions(),
            (false, None) => decoder,
        }
    }
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

/// The options of topics, with these librdkafka properties.
pub(crate) fn topic_options(
    config: &Config,
    topics: Topics,
    properties: Arc<Reloaded<Properties>>,
) -> TopicOptions {
    TopicOptions {
        brokers: config.kafka.brokers.clone(),
        topics,
        except: config.dead_letters.topic.clone(),
        group: config.job.clone(),
        properties,
        on_data_loss: config.on_data_loss,
        until_end: config.until_end,
    }
}

/// The options of topics for a short-lived command, which does not reload properties.
pub(crate) fn topic_options_now(config: &Config, topics: Topics) -> Result<TopicOptions, ConfigError> {
    Ok(topic_options(config, topics, Reloaded::fixed(config.kafka_properties()?)))
}
