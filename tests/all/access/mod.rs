//! Who is let in and who is not, on real servers: TLS with an authority of one's own, certificates that are
//! wrong in each way, logins; and that no secret is told to anybody.
//!
//! | file | tests of |
//! |---|---|
//! | `kafka` | brokers with TLS and logins |
//! | `database` | database servers with TLS |
//! | `page` | the port for metrics and the live page |
//! | `secrets` | secrets in files, and output without secrets |

mod database;
mod kafka;
mod page;
mod secrets;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::certificates::{Authority, Certificate, Validity};
use crate::support::kafka::{Kafka, Listener, PLAIN, unique_topic};
use crate::support::process::new_folder;

const TIMEOUT: Duration = Duration::from_secs(120);
const LINE: &str =
    r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
/// With all that would have to be escaped somewhere.
const PASSWORD: &str = "s3cret-%41/?#@:'&x";

/// Who signs what, and the files of it.
struct Papers {
    own: Authority,
    other: Authority,
    client: Certificate,
    /// Of the other authority.
    stranger: Certificate,
}

impl Papers {
    fn new(folder: &Path) -> Self {
        let (own, other) = (Authority::new(folder, "own"), Authority::new(folder, "other"));
        let client = own.sign("truckflow", &[], Validity::Now);
        let stranger = other.sign("stranger", &[], Validity::Now);
        Self { own, other, client, stranger }
    }
}

/// A broker with a listener for each way in, each on 127.0.0.1.
fn kafka() -> &'static (Kafka, Papers) {
    static KAFKA: OnceLock<(Kafka, Papers)> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let folder = new_folder("kafka-papers");
        let papers = Papers::new(&folder);
        let own = &papers.own;
        let here = own.sign("here", &["127.0.0.1", "localhost"], Validity::Now);
        let elsewhere = own.sign("elsewhere", &["elsewhere.example"], Validity::Now);
        let over = own.sign("over", &["127.0.0.1"], Validity::Over);
        let tls = |certificate: &Certificate| {
            vec!["ssl.keystore.type=PEM".into(), format!("ssl.keystore.location={}", certificate.both)]
        };
        let with = |settings: Vec<String>, more: &[String]| [settings, more.to_vec()].concat();
        let mutual = [
            "ssl.client.auth=required".into(),
            "ssl.truststore.type=PEM".into(),
            format!("ssl.truststore.location={}", own.file),
        ];
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let users = [
            "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN".into(),
            format!("scram-sha-256.sasl.jaas.config={scram}"),
            format!("scram-sha-512.sasl.jaas.config={scram}"),
            format!("plain.sasl.jaas.config={PLAIN} user_truck=\"{PASSWORD}\" user_rotated=\"s3cret-2\";"),
        ];
        let listener = |name, protocol, settings| Listener { name, protocol, settings };
        let listeners = [
            listener("tls", "SSL", tls(&here)),
            listener("elsewhere", "SSL", tls(&elsewhere)),
            listener("over", "SSL", tls(&over)),
            listener("mutual", "SSL", with(tls(&here), &mutual)),
            listener("users", "SASL_SSL", with(tls(&here), &users)),
        ];
        let user = |mechanism: &str| format!("{mechanism}=[name=truck,password={PASSWORD}]");
        let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(user);
        (Kafka::start_with(&listeners, &[], &scram.each_ref().map(String::as_str)), papers)
    })
}

/// A topic of ten readings.
fn topic() -> String {
    let topic = unique_topic();
    kafka().0.create_topic(&topic, 1);
    kafka().0.produce(&topic, (0..10).map(|_| (0, None, LINE)));
    topic
}
