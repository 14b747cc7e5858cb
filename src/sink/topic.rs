//! The dead letter topic: each message has the key and the exact bytes of the rejected message, and headers with
//! its origin and the reason.
//!
//! Errors of this topic never end the job: letters that the brokers refuse are kept and sent again, and letters that
//! are too large for the topic are truncated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::rows::{Column, NULL, Rows};
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::codes::Fault;
use crate::kafka::producer::{ProduceError, Producer};
use crate::kafka::properties::Properties;
use crate::runtime::reload::Reloaded;

/// The producer's settings, unless the job's properties override them.
const PROPERTIES: [(&str, &str); 2] = [
    // librdkafka retries until the brokers acknowledge.
    ("message.timeout.ms", "0"),
    // The topic's own limit decides how large a letter may be.
    ("message.max.bytes", "1000000000"),
];
/// How long one poll waits for delivery reports.
const STEP: Duration = Duration::from_millis(50);
/// The header of a truncated letter: the original size of its payload.
const TRUNCATED: &str = "truckflow.truncated";

/// Sends dead letters to a topic.
pub struct DeadLetterTopic {
    brokers: String,
    properties: Arc<Reloaded<Properties>>,
    /// The version of `properties` that the producer uses.
    version: u64,
    topic: String,
    /// None after a permanent failure.
    producer: Option<Producer>,
    /// The letters that are not acknowledged, by number.
    letters: BTreeMap<usize, Letter>,
    next: usize,
}

/// A letter that is not acknowledged.
struct Letter {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
    /// Whether it must be sent alone, because it was too large in a batch.
    alone: bool,
    sent: bool,
}

impl Letter {
    /// Truncates the letter. Returns false if nothing is left to truncate.
    fn cut(&mut self) -> bool {
        let length = self.payload.as_ref().map_or(0, Vec::len);
        if !self.headers.iter().any(|(name, _)| *name == TRUNCATED) {
            self.headers.push((TRUNCATED, length.to_string()));
        }
        match &mut self.payload {
            Some(payload) if length > 0 => payload.truncate(length / 2),
            _ => return self.key.take().is_some(),
        }
        true
    }
}

impl DeadLetterTopic {
    /// Connects, and checks that the topic exists.
    pub fn open(
        brokers: &str,
        properties: Arc<Reloaded<Properties>>,
        topic: &str,
    ) -> Result<Self, ProduceError> {
        let version = properties.version();
        let producer = connect(brokers, &properties)?;
        producer.partitions(topic)?;
        let (brokers, topic, producer) = (brokers.to_owned(), topic.to_owned(), Some(producer));
        Ok(Self { brokers, properties, version, topic, producer, letters: BTreeMap::new(), next: 0 })
    }

    /// Replaces the producer if the properties were reloaded and it has nothing in flight.
    fn renew(&mut self) {
        let version = self.properties.version();
        if version == self.version || self.letters.values().any(|letter| letter.sent) {
            return;
        }
        self.version = version;
        match connect(&self.brokers, &self.properties) {
            Ok(producer) => self.producer = Some(producer),
            Err(error) => tracing::warn!("{error}; the old dead letter producer stays in use"),
        }
    }

    /// Its name in the health of the job.
    pub fn in_health(&self) -> String {
        format!("dead letter topic {}", self.topic)
    }

    /// Adds rows of the view `dead_letters`, which [`flush`](Self::flush) sends.
    pub fn add(&mut self, rows: &Rows) {
        // The columns of the view, in its order.
        let [
            Column::Text(topics),
            Column::Integer(partitions),
            Column::Integer(offsets),
            _,
            Column::Bytes(keys),
            Column::Text(reasons),
            Column::Text(fields),
            Column::Bytes(payloads),
            Column::Integer(places),
        ] = rows.columns.as_slice()
        else {
            unreachable!("the view `dead_letters` has these columns");
        };
        let text =
            |column: &[Option<Arc<str>>], row: usize| column[row].as_deref().unwrap_or_default().to_owned();
        for row in 0..rows.len() {
            let (topic, partition, offset) =
                (text(topics, row), partitions[row].to_string(), offsets[row].to_string());
            let (reason, field) = (text(reasons, row), text(fields, row));
            let message = if field.is_empty() { reason.clone() } else { format!("{reason}: {field}") };
            let mut headers = vec![
                ("truckflow.topic", topic.clone()),
                ("truckflow.partition", partition.clone()),
                ("truckflow.offset", offset.clone()),
                ("truckflow.reason", reason),
                ("truckflow.field", field),
                // The names of Kafka Connect (KIP-298), which other programs read.
                ("__connect.errors.topic", topic),
                ("__connect.errors.partition", partition),
                ("__connect.errors.offset", offset),
                ("__connect.errors.exception.message", message),
            ];
            headers.extend((places[row] != NULL).then(|| ("truckflow.place", places[row].to_string())));
            let (key, payload) = (keys[row].clone(), payloads[row].clone());
            self.letters.insert(self.next, Letter { key, payload, headers, alone: false, sent: false });
            self.next += 1;
        }
    }

    /// Sends the added letters until all are acknowledged. Fails on an error, or if nothing was acknowledged for
    /// `patience`; the remaining letters stay, and the next call continues with them.
    pub fn flush(&mut self, patience: Duration) -> Result<(), ProduceError> {
        let mut heard = Instant::now();
        while !self.letters.is_empty() {
            let mut outcomes = self.send()?;
            if let Some(producer) = &mut self.producer {
                outcomes.extend(producer.outcomes(STEP));
            }
            if !outcomes.is_empty() {
                heard = Instant::now();
            }
            let failed = outcomes.into_iter().filter_map(|(tag, code)| self.settle(tag, code)).next_back();
            if let Some(code) = failed {
                let (topic, reason) = (self.topic.clone(), code.to_string());
                return Err(ProduceError::NotDelivered { failed: self.letters.len() as u64, topic, reason });
            }
            if heard.elapsed() >= patience {
                let (brokers, waiting) = (self.brokers.clone(), self.letters.len() as u64);
                return Err(ProduceError::Stalled { brokers, seconds: patience.as_secs(), waiting });
            }
        }
        Ok(())
    }

    /// Queues the waiting letters: first all that may be batched, then one by one those that must be sent alone.
    /// Returns the letters that were refused immediately.
    fn send(&mut self) -> Result<Vec<(usize, Option<RDKafkaErrorCode>)>, ProduceError> {
        self.renew();
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => none.insert(connect(&self.brokers, &self.properties)?),
        };
        let is_idle = self.letters.values().all(|letter| !letter.sent);
        let has_others = self.letters.values().any(|letter| !letter.sent && !letter.alone);
        let mut refused = Vec::new();
        for (&tag, letter) in &mut self.letters {
            if letter.sent || (letter.alone && (has_others || !is_idle)) {
                continue;
            }
            let (key, payload) = (letter.key.as_deref(), letter.payload.as_deref());
            match producer.send_tracked(&self.topic, key, payload, &letter.headers, tag) {
                Ok(()) => letter.sent = true,
                Err(RDKafkaErrorCode::QueueFull) => break,
                Err(code) => refused.push((tag, Some(code))),
            }
            if letter.alone {
                break;
            }
        }
        Ok(refused)
    }

    /// Handles the outcome of a letter. Returns the error, if the letter has to be sent again later.
    fn settle(&mut self, tag: usize, code: Option<RDKafkaErrorCode>) -> Option<RDKafkaErrorCode> {
        let Some(code) = code else {
            self.letters.remove(&tag);
            return None;
        };
        let letter = self.letters.get_mut(&tag)?;
        letter.sent = false;
        if Fault::of(code) == Fault::TooLarge {
            if letter.alone && !letter.cut() {
                let (topic, headers) = (&self.topic, format!("{:?}", letter.headers));
                tracing::error!(
                    topic,
                    headers,
                    "a dead letter was dropped: even its headers alone are too large for the topic; raise the topic's max.message.bytes"
                );
                self.letters.remove(&tag);
            } else {
                letter.alone = true;
            }
            return None;
        }
        if Fault::of(code) != Fault::Transient {
            // A client caches missing permissions and topics, or is unusable, so a new one has to ask again. Letters
            // queued in the old one are sent again.
            self.producer = None;
            self.letters.values_mut().for_each(|letter| letter.sent = false);
        }
        Some(code)
    }
}

/// Creates the producer.
fn connect(brokers: &str, properties: &Reloaded<Properties>) -> Result<Producer, ProduceError> {
    let mut properties = Properties::clone(&properties.get());
    for (name, value) in PROPERTIES {
        if !properties.contains(name) {
            properties.insert(name.to_owned(), value.to_owned());
        }
    }
    Producer::new(brokers, &properties)
}

#[cfg(test)]
mod tests {
    use dataflows::dead_letter::{DeadLetter, Reason};
    use dataflows::views::dead_letter_rows;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::producer::tests::{cluster, read};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn letters(payloads: &[Vec<u8>]) -> Rows {
        let letter = |payload: &Vec<u8>| DeadLetter {
            topic: "from".into(),
            partition: 1,
            offset: 7,
            kafka_timestamp: None,
            key: Some(b"k".to_vec()),
            place: None,
            payload: Some(payload.clone()),
            reason: Reason::NotAnObject,
            field: String::new(),
        };
        dead_letter_rows(payloads.iter().map(letter).collect())
    }

    fn properties(pairs: &[(&str, &str)]) -> Arc<Reloaded<Properties>> {
        let mut properties = Properties::default();
        pairs.iter().for_each(|(name, value)| properties.insert((*name).to_owned(), (*value).to_owned()));
        Reloaded::fixed(properties)
    }

    #[test]
    fn a_letter_that_is_too_large_is_truncated() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let small = properties(&[("message.max.bytes", "2000")]);
        let mut topic = DeadLetterTopic::open(&brokers, small, "t").unwrap();
        topic.add(&letters(&[b"one".to_vec(), vec![b'x'; 5000], b"two".to_vec()]));
        topic.flush(PATIENCE).unwrap();
        let payloads: Vec<Vec<u8>> =
            read(&brokers, "t", 1, 3).into_iter().map(|seen| seen.2.unwrap()).collect();
        assert_eq!(payloads, [b"one".to_vec(), b"two".to_vec(), vec![b'x'; 1250]]);
        // The header has the original size.
        let mut letter =
            Letter { key: None, payload: Some(vec![0; 9]), headers: vec![], alone: true, sent: false };
        assert!(letter.cut() && letter.cut());
        assert_eq!((letter.payload.unwrap().len(), letter.headers), (2, vec![(TRUNCATED, "9".to_owned())]));
    }

    #[test]
    fn unavailable_brokers_are_waited_for() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let mut topic = DeadLetterTopic::open(&brokers, properties(&[]), "t").unwrap();
        cluster.broker_down(1).unwrap();
        topic.add(&letters(&[b"one".to_vec()]));
        for _ in 0..2 {
            let error = topic.flush(Duration::from_millis(200)).unwrap_err();
            assert!(matches!(error, ProduceError::Stalled { waiting: 1, .. }), "{error}");
        }
        cluster.broker_up(1).unwrap();
        topic.add(&letters(&[b"two".to_vec()]));
        topic.flush(PATIENCE).unwrap();
        let payloads: Vec<Vec<u8>> =
            read(&brokers, "t", 1, 2).into_iter().map(|seen| seen.2.unwrap()).collect();
        assert_eq!(payloads, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn a_letter_that_is_refused_is_sent_again() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let mut topic = DeadLetterTopic::open(&brokers, properties(&[]), "t").unwrap();
        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::Produce, &[denied]);
        topic.add(&letters(&[b"one".to_vec()]));
        let error = topic.flush(PATIENCE).unwrap_err();
        assert!(matches!(error, ProduceError::NotDelivered { failed: 1, .. }), "{error}");
        topic.flush(PATIENCE).unwrap();
        assert_eq!(read(&brokers, "t", 1, 1)[0].2.as_deref(), Some(&b"one"[..]));
    }
}
