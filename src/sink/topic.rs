//! The topic of dead letters: each with its key and exact bytes, and in headers where it came from
//! and why it is there.
//!
//! The job never ends because of it: what the brokers do not take now is kept and sent again, and a letter that is
//! larger than the topic takes goes with as many of its bytes as fit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::rows::{Column, Rows};
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::errors::Fault;
use crate::kafka::producer::{ProduceError, Producer};
use crate::kafka::properties::Properties;
use crate::runtime::reload::Reloaded;

/// What a producer of dead letters is set to, unless the job's own properties say otherwise.
const PROPERTIES: [(&str, &str); 2] = [
    // librdkafka sends again until the brokers acknowledge.
    ("message.timeout.ms", "0"),
    // The topic says how large a letter may be.
    ("message.max.bytes", "1000000000"),
];
/// How long reports of deliveries are waited for at once.
const STEP: Duration = Duration::from_millis(50);
/// The header of a letter that went without some of its bytes: how many its payload had.
const TRUNCATED: &str = "truckflow.truncated";

/// Sends dead letters to a topic.
pub struct DeadLetterTopic {
    brokers: String,
    properties: Arc<Reloaded<Properties>>,
    /// The version of `properties` that the producer has.
    version: u64,
    topic: String,
    /// None after it has failed for good.
    producer: Option<Producer>,
    /// Those that are not acknowledged, by their number.
    letters: BTreeMap<usize, Letter>,
    next: usize,
}

/// A letter on its way.
struct Letter {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
    /// Whether it goes by itself: together with others it was too large.
    alone: bool,
    sent: bool,
}

impl Letter {
    /// Leaves out some of its bytes; whether there are some to leave out.
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
    /// Connects, and makes sure that the topic is there.
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

    /// Takes another producer if the properties were read again, and nothing is in flight in the old one.
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

    /// What it is called in the health of the job.
    pub fn in_health(&self) -> String {
        format!("dead letter topic {}", self.topic)
    }

    /// Takes rows of the view `dead_letters`, to be sent by [`flush`](Self::flush).
    pub fn add(&mut self, rows: &Rows) {
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
        let text =
            |column: &[Option<Arc<str>>], row: usize| column[row].as_deref().unwrap_or_default().to_owned();
        for row in 0..rows.len() {
            let headers = vec![
                ("truckflow.topic", text(topics, row)),
                ("truckflow.partition", partitions[row].to_string()),
                ("truckflow.offset", offsets[row].to_string()),
                ("truckflow.reason", text(reasons, row)),
                ("truckflow.field", text(fields, row)),
            ];
            let (key, payload) = (keys[row].clone(), payloads[row].clone());
            self.letters.insert(self.next, Letter { key, payload, headers, alone: false, sent: false });
            self.next += 1;
        }
    }

    /// Sends what was added, until all of it is acknowledged. An error says what keeps it from that, when nothing was
    /// acknowledged for `patience`; what was not stays, and the next call goes on with it.
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

    /// Queues what waits: all at once, and then one by one what has to go alone. Gives what was refused at once.
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

    /// Takes what became of a letter; gives the error, if it has to be waited for.
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
            // A client keeps to itself that it may not, or that there is no such topic, or is broken: another one asks
            // again. What this one had queued goes with it, and is sent again.
            self.producer = None;
            self.letters.values_mut().for_each(|letter| letter.sent = false);
        }
        Some(code)
    }
}

/// A producer of dead letters.
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
    fn a_letter_larger_than_the_topic_takes_goes_with_its_bytes_cut() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let small = properties(&[("message.max.bytes", "2000")]);
        let mut topic = DeadLetterTopic::open(&brokers, small, "t").unwrap();
        topic.add(&letters(&[b"one".to_vec(), vec![b'x'; 5000], b"two".to_vec()]));
        topic.flush(PATIENCE).unwrap();
        let payloads: Vec<Vec<u8>> =
            read(&brokers, "t", 1, 3).into_iter().map(|seen| seen.2.unwrap()).collect();
        assert_eq!(payloads, [b"one".to_vec(), b"two".to_vec(), vec![b'x'; 1250]]);
        // A header says how many there were.
        let mut letter =
            Letter { key: None, payload: Some(vec![0; 9]), headers: vec![], alone: true, sent: false };
        assert!(letter.cut() && letter.cut());
        assert_eq!((letter.payload.unwrap().len(), letter.headers), (2, vec![(TRUNCATED, "9".to_owned())]));
    }

    #[test]
    fn brokers_that_are_away_are_waited_for() {
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
