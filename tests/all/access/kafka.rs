//! Brokers with TLS and logins.

use std::path::Path;

use super::{LINE, PASSWORD, TIMEOUT, kafka, topic};
use crate::support::job::Job;
use crate::support::output::{csv_rows, lines};
use crate::support::wait::eventually;

/// A job that reads a topic to its end through a listener, with these properties.
struct Reading {
    job: Job,
    folder: tempfile::TempDir,
}

impl Reading {
    fn start(topic: &str, listener: &str, properties: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("[kafka.properties]\n");
        for (name, value) in properties {
            text += &format!("{name} = {value:?}\n");
        }
        let (config, out) = (folder.path().join("job.toml"), folder.path().join("out"));
        std::fs::write(&config, text).unwrap();
        let [config, out] = [&config, &out].map(|path| path.display().to_string());
        let brokers = kafka().0.at(listener);
        let run = ["run", "--config", &config, "--brokers", brokers, "--topic", topic, "--until-end"];
        let job = Job::start(run.into_iter().chain(["--wait", "--listen", "off", "--out", &out]));
        Self { job, folder }
    }

    #[track_caller]
    fn end_let_in(mut self) {
        let (status, said) = self.job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        assert_eq!(csv_rows(&self.folder.path().join("out/parameter_map.csv")).len(), 10);
    }

    /// Says in one sentence, which has `words`, why it does not read.
    #[track_caller]
    fn end_refused(mut self, words: &str) {
        // A machine that is busy may be slow to refuse it, too.
        let line = self.job.wait_for_line("correct the security settings", TIMEOUT);
        assert!(line.contains("the Kafka broker at 127.0.0.1:") && line.contains(words), "{line}");
        self.job.terminate();
        let (status, said) = self.job.wait(TIMEOUT);
        // One that is told in the middle of reading ends by itself.
        assert!(status.success() || said.contains("truckflow: "), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains("panicked"), "{said}");
        // A job that is told in the middle has made its files.
        let written = self.folder.path().join("out/parameter_map.csv");
        assert!(!written.exists() || csv_rows(&written).is_empty(), "nothing is read");
    }
}

fn login<'a>(mechanism: &'a str, password: &'a str, authority: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", authority),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "truck"),
        ("sasl.password", password),
    ]
}

#[test]
fn kafka_lets_in_who_has_what_it_asks_for() {
    let (topic, papers) = (topic(), &kafka().1);
    let own = ("ssl.ca.location", &*papers.own.file);
    let tls = ("security.protocol", "ssl");
    let read = |listener, properties: &[_]| Reading::start(&topic, listener, properties);
    let certificate = ("ssl.certificate.location", &*papers.client.certificate);
    let key = ("ssl.key.location", &*papers.client.key);
    let any_host = ("ssl.endpoint.identification.algorithm", "none");
    let mut readings = vec![
        read("tls", &[tls, own]),
        read("mutual", &[tls, own, certificate, key]),
        read("elsewhere", &[tls, own, any_host]),
    ];
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
        readings.push(read("users", &login(mechanism, PASSWORD, own.1)));
    }
    readings.into_iter().for_each(Reading::end_let_in);
}

#[test]
fn kafka_is_refused_and_refuses() {
    let (topic, papers) = (topic(), &kafka().1);
    let (own, other) = (("ssl.ca.location", &*papers.own.file), ("ssl.ca.location", &*papers.other.file));
    let tls = ("security.protocol", "ssl");
    let read = |listener, properties: &[_]| Reading::start(&topic, listener, properties);
    let certificate = ("ssl.certificate.location", &*papers.stranger.certificate);
    let key = ("ssl.key.location", &*papers.stranger.key);
    let readings = [
        // The broker is not who it says.
        (read("tls", &[tls, other]), "certificate"),
        (read("tls", &[tls]), "certificate"),
        (read("elsewhere", &[tls, own]), "certificate"),
        (read("over", &[tls, own]), "certificate"),
        (read("users", &login("PLAIN", PASSWORD, other.1)), "certificate"),
        // The job is not who it says.
        (read("mutual", &[tls, own]), "certificate"),
        (read("mutual", &[tls, own, certificate, key]), "certificate"),
        (read("users", &login("SCRAM-SHA-256", "wr0ng", own.1)), "uthentication failed"),
        (read("users", &login("SCRAM-SHA-512", "wr0ng", own.1)), "uthentication failed"),
        (read("users", &login("PLAIN", "wr0ng", own.1)), "uthentication failed"),
    ];
    for (reading, words) in readings {
        reading.end_refused(words);
    }
}

#[test]
fn kafka_is_read_with_what_a_hangup_has_read_again_and_no_reading_is_lost_or_doubled() {
    let (topic, folder) = (topic(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (user, password, config, out) = (path("user"), path("password"), path("job.toml"), path("out"));
    let log_in = |name: &str, secret: &str| {
        std::fs::write(&user, name).unwrap();
        std::fs::write(&password, secret).unwrap();
    };
    log_in("truck", PASSWORD);
    let text = format!(
        "[kafka]\nbrokers = {:?}\ntopic = {topic:?}\n[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\n\
         ssl.ca.location = {:?}\nsasl.mechanism = \"PLAIN\"\n\
         [kafka.property_files]\nsasl.username = {user:?}\nsasl.password = {password:?}\n",
        kafka().0.at("users"),
        kafka().1.own.file,
    );
    std::fs::write(&config, text).unwrap();
    let run = ["run", "--wait", "--config", &config, "--out", &out, "--listen", "off"];
    // One view, as commits are not what is looked at.
    let fast = ["--commit-interval", "50ms", "--workers", "2", "--builtin-views", "parameter_map"];
    let mut job = Job::start_under(&[], run.into_iter().chain(fast));
    let written = folder.path().join("out/parameter_map.csv");
    let is_read = |readings: usize| move |written: &Path| lines(written) == readings + 1;
    eventually(TIMEOUT, "all is read", || is_read(10)(&written));
    let mut readings = 10;
    for (round, (name, secret)) in [("rotated", "s3cret-2"), ("truck", PASSWORD)].into_iter().enumerate() {
        log_in(name, secret);
        // While it is busy.
        kafka().0.produce(&topic, (0..500).map(|_| (0, None, LINE)));
        job.signal("HUP");
        kafka().0.produce(&topic, (0..500).map(|_| (0, None, LINE)));
        readings += 1000;
        eventually(TIMEOUT, "all is read", || is_read(readings)(&written));
        eventually(TIMEOUT, "each worker has another client", || {
            job.stderr().matches("reading continues with a new client").count() == 2 * (round + 1)
        });
    }
    // What cannot be read is not taken.
    std::fs::remove_file(&password).unwrap();
    job.signal("HUP");
    job.wait_for_line("cannot read the kafka.property_files again", TIMEOUT);
    kafka().0.produce(&topic, (0..10).map(|_| (0, None, LINE)));
    readings += 10;
    eventually(TIMEOUT, "all is read", || is_read(readings)(&written));
    assert_eq!(csv_rows(&written).len(), readings);
    // The brokers are shown what is in the files, be it wrong.
    log_in("truck", "s3cret-wrong");
    job.signal("HUP");
    job.wait_for_line("uthentication failed", TIMEOUT);
    assert!(!job.stderr().contains("s3cret"), "{}", job.stderr());
}
