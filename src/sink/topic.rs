//! The topic of dead letters: each with its key and exact bytes, and in headers where it came from
//! and why it is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataflows::rows::{Column, Rows};

use crate::producer::{ProduceError, Producer};

/// How long the brokers may take to acknowledge an epoch's dead letters.
const FLUSH: Duration = Duration::from_secs(60);

/// Sends dead letters to a topic.
pub struct DeadLetterTopic {
    producer: Producer,
    topic: String,
}

impl DeadLetterTopic {
    /// Connects, and makes sure that the topic is there.
    pub fn open(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
    ) -> Result<Self, ProduceError> {
        let producer = Producer::new(brokers, properties)?;
        producer.partitions(topic)?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Sends rows of the view `dead_letters`, and waits until all are acknowledged.
    pub fn send(&mut self, letters: impl Iterator<Item = Rows>) -> Result<(), ProduceError> {
        let mut any = false;
        for rows in letters {
            any = true;
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
