//! The topic of dead letters: each with its key and exact bytes, and in headers where it came from
//! and why it is there.

use std::sync::Arc;
use std::time::Duration;

use dataflows::rows::{Column, Rows};

use crate::producer::{ProduceError, Producer};
use crate::properties::Properties;
use crate::reload::Reloaded;

/// How long the brokers may take to acknowledge an epoch's dead letters.
const FLUSH: Duration = Duration::from_secs(60);

/// Sends dead letters to a topic.
pub struct DeadLetterTopic {
    producer: Producer,
    topic: String,
    brokers: String,
    properties: Arc<Reloaded<Properties>>,
    /// The version of `properties` that the producer has.
    version: u64,
}

impl DeadLetterTopic {
    /// Connects, and makes sure that the topic is there.
    pub fn open(
        brokers: &str,
        properties: Arc<Reloaded<Properties>>,
        topic: &str,
    ) -> Result<Self, ProduceError> {
        let version = properties.version();
        let producer = Producer::new(brokers, &properties.get())?;
        producer.partitions(topic)?;
        Ok(Self { producer, topic: topic.to_owned(), brokers: brokers.to_owned(), properties, version })
    }

    /// Takes another producer if the properties were read again. Nothing is in flight in the old one.
    fn renew(&mut self) {
        let version = self.properties.version();
        if version == self.version {
            return;
        }
        self.version = version;
        match Producer::new(&self.brokers, &self.properties.get()) {
            Ok(producer) => self.producer = producer,
            Err(error) => tracing::warn!("{error}; the old producer of dead letters stays in use"),
        }
    }

    /// Sends rows of the view `dead_letters`, and waits until all are acknowledged.
    pub fn send(&mut self, letters: impl Iterator<Item = Rows>) -> Result<(), ProduceError> {
        let mut any = false;
        for rows in letters {
            if !std::mem::replace(&mut any, true) {
                self.renew();
            }
            // The columns are those of the view, in its order.
            let [
                Column::Text(topics),
                Column::Integer(partitions),
                Column::Integer(offsets),
                _,
                Column::Bytes(keys),
                Column::Text(reasons),
                Column::Text(fields),
                Column::Bytes(payloads),
            ] = rows.columns.as_slice()
            else {
                unreachable!("the view `dead_letters` has these columns");
            };
            let text = |column: &[Option<Arc<str>>], row: usize| {
                column[row].as_deref().unwrap_or_default().to_owned()
            };
            for row in 0..rows.len() {
                let headers = [
                    ("truckflow.topic", text(topics, row)),
                    ("truckflow.partition", partitions[row].to_string()),
                    ("truckflow.offset", offsets[row].to_string()),
                    ("truckflow.reason", text(reasons, row)),
                    ("truckflow.field", text(fields, row)),
                ];
                let (key, payload) = (keys[row].as_deref(), payloads[row].as_deref());
                self.producer.send_with(&self.topic, None, key, payload, &headers)?;
            }
        }
        if any { self.producer.flush(FLUSH) } else { Ok(()) }
    }
}
