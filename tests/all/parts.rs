//! Readings that were rejected out of messages with several: how they are explained, corrected and sent again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use truckflow::kafka::producer::Producer;
use truckflow::kafka::properties::Properties;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::output::csv_rows;

const TIMEOUT: Duration = Duration::from_secs(120);

/// Exit status, standard error and standard output.
fn call(args: &[&str]) -> (i32, String, String) {
    let mut job = Job::start(args);
    let (status, said) = job.wait(TIMEOUT);
    (status.code().unwrap_or(-1), said, job.stdout())
}

/// A job over messages with several readings, in a folder of its own.
struct Parts {
    topic: String,
    folder: TempDir,
    config: PathBuf,
}

impl Parts {
    fn new(message: &str, sql: Option<&str>) -> Self {
        let topic = unique_topic();
        kafka().create_topic(&topic, 2);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("job.toml");
        let views = sql.map_or("", |sql| {
            fs::write(folder.path().join("views.sql"), sql).unwrap();
            "views = \"views.sql\"\n"
        });
        let text = format!(
            "{views}until_end = true\nlisten = \"off\"\nout = {:?}\n[kafka]\nbrokers = {:?}\ntopic = {topic:?}\n{message}",
            folder.path().join("out"),
            kafka().brokers(),
        );
        fs::write(&config, text).unwrap();
        Self { topic, folder, config }
    }

    fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs the job to the end of the topic; gives the texts that a query has for its records, and the number of its
    /// dead letters.
    fn run(&self, query: &str) -> (Vec<String>, usize) {
        let (status, said, _) = call(&["run", "--config", self.config()]);
        assert_eq!(status, 0, "{said}");
        let raw = Connection::open(self.out().join("truckflow.db")).unwrap();
        let mut rows = raw.prepare(query).unwrap();
        let row = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let records = rows.query_map([], row).unwrap().map(|row| row.unwrap()).collect();
        (records, csv_rows(&self.out().join("dead_letters.csv")).len())
    }

    /// A copy of the dead letters, with corrections.
    fn corrected(&self, corrections: &[(&str, &str)]) -> PathBuf {
        let mut letters = fs::read_to_string(self.out().join("dead_letters.csv")).unwrap();
        for (wrong, right) in corrections {
            assert!(letters.contains(wrong), "{letters}");
            letters = letters.replace(wrong, right);
        }
        let copy = self.folder.path().join("corrected.csv");
        fs::write(&copy, letters).unwrap();
        copy
    }

    #[track_caller]
    fn replay(&self, file: &Path, flags: &[&str]) -> String {
        let args = ["replay", file.to_str().unwrap(), "--config", self.config()];
        let (status, said, _) = call(&[&args[..], flags].concat());
        assert_eq!(status, 0, "{said}");
        said
    }

    fn explain(&self, message: &str) -> (i32, String, String) {
        call(&["replay", "--explain", message, "--config", self.config()])
    }
}

const MESSAGE: &str = "\
[message]
root = \"/readings\"
[record]
timestamp = { path = \"/t\", unit = \"s\" }
device = { type = \"text\", path = \"/device/id\", in = \"message\" }
source = { type = \"text\", from = \"kafka.header.source\" }
";

fn reading(second: u32, speed: &str) -> String {
    format!(
        r#"{{"t": {}, "distance_covered": {second}, "engine_speed": {speed}, "fuel_consumed": 0}}"#,
        1_681_088_500 + second
    )
}

/// The view with the fields of `MESSAGE`.
const VIEW: &str =
    "CREATE MATERIALIZED VIEW devices AS SELECT engine_speed, device, source, truck_id FROM readings;\n";
const DEVICES: &str =
    "SELECT engine_speed || ' ' || device || ' ' || source || ' ' || truck_id FROM DEVICES ORDER BY id";
/// What records have without them.
const TRUCKS: &str = "SELECT engine_speed || ' ' || truck_id FROM TRUCK_PARAMETER_MAP ORDER BY id";

#[test]
fn a_part_is_corrected_and_becomes_a_record_with_its_neighbours() {
    let parts = Parts::new(MESSAGE, Some(VIEW));
    let message = |device: &str, readings: &[String]| {
        format!(r#"{{"device": {{"id": "{device}"}}, "readings": [{}], "v": 1}}"#, readings.join(", "))
    };
    let mut producer = Producer::new(kafka().brokers(), &Properties::default()).unwrap();
    for (partition, device, readings) in [
        (0, "d-1", vec![reading(1, "81"), reading(2, "\"eighty\""), reading(3, "83")]),
        (1, "d-2", vec![reading(4, "84")]),
        (1, "d-3", vec![reading(5, "\"fast\""), reading(6, "86")]),
    ] {
        let (payload, header) = (message(device, &readings), ("source".to_owned(), Some(b"gps".to_vec())));
        producer
            .send_with_headers(&parts.topic, Some(partition), Some(b"k"), Some(payload.as_bytes()), &[header])
            .unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    let (records, letters) = parts.run(DEVICES);
    assert_eq!((records.len(), letters), (4, 2));

    // What is wrong is explained at its place, from the topic.
    let (status, said, shown) = parts.explain("kafka:0/0");
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("1 of 3 readings would be a dead letter"), "{said}");
    let expected = [
        &*format!("message of topic `{}`, partition 0, offset 0, Kafka timestamp ", parts.topic),
        ", key `k`, 1 header, ",
        "reading 2 of 3 (place 1)",
        "at /engine_speed under the root /readings there is \"eighty\"; expected a number",
        "kafka.header.source",
    ];
    expected.iter().for_each(|expected| assert!(shown.contains(expected), "{expected} in {shown}"));
    let (status, said, shown) = parts.explain(&format!("kafka:{}/1/0", parts.topic));
    assert_eq!(status, 0, "{said}");
    assert!(shown.contains("accepted: a record of the entity `k`"), "{shown}");

    // Nothing but the part is sent, and only on request.
    let copy = parts.corrected(&[("eighty", "82"), ("\"\"82\"\"", "82")]);
    let said = parts.replay(&copy, &[]);
    assert!(said.contains("left out 2 dead letters: 2 parts of messages (send them with --parts)"), "{said}");
    assert!(said.contains("sent 0 messages, 0 failed"), "{said}");
    let said = parts.replay(&copy, &["--parts"]);
    assert!(said.contains("sent 2 messages, 0 failed"), "{said}");
    let messages = kafka().read(&parts.topic);
    let sent: Vec<_> =
        messages.iter().filter(|message| message.offset > 1 - i64::from(message.partition == 0)).collect();
    let payload = |at: usize| String::from_utf8(sent[at].payload.clone().unwrap()).unwrap();
    assert_eq!(payload(0), message("d-1", &[reading(2, "82")]));
    // One that was not corrected is a dead letter again, of a whole message.
    assert_eq!(payload(1), message("d-3", &[reading(5, "\"fast\"")]));

    let (records, letters) = parts.run(DEVICES);
    assert_eq!((records.len(), letters), (5, 3));
    assert_eq!(records[4], "82.0 d-1 gps k");
    assert_eq!(parts.run(DEVICES), (records, 3));

    // Sent twice they count twice, as with other letters.
    parts.replay(&copy, &["--parts"]);
    let (records, letters) = parts.run(DEVICES);
    assert_eq!((records.len(), letters), (6, 4));

    // A message that is gone takes its parts with it.
    kafka().delete_before(&parts.topic, 0, 1);
    let said = parts.replay(&copy, &["--parts"]);
    assert!(said.contains("left out 1 dead letter: 1 part of a message (no longer in the topic)"), "{said}");
    let (status, said, _) = parts.explain("kafka:0/0");
    assert_eq!(status, 1);
    assert!(said.contains("has no message at offset 0, or no longer"), "{said}");
}

#[test]
fn a_line_of_a_message_keeps_its_header_and_an_object_its_keys() {
    let csv = "[message]\nformat = \"csv\"\n";
    let parts = Parts::new(csv, None);
    let header = "timestamp,distance_covered,engine_speed,fuel_consumed,truck_id";
    let text = format!("{header}\n2023-04-10 01:02:27,1,81,0,a\n2023-04-10 01:02:28,2,x,0,\"b,c\"\n");
    kafka().produce(&parts.topic, [(0, None, text)]);
    assert_eq!(parts.run(TRUCKS), (vec!["81.0 a".to_owned()], 1));
    let copy = parts.corrected(&[(",x,", ",82,")]);
    parts.replay(&copy, &["--parts"]);
    let sent = kafka().read(&parts.topic)[1].payload.clone().unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), format!("{header}\n2023-04-10 01:02:28,2,82,0,\"b,c\"\n"));
    assert_eq!(parts.run(TRUCKS).0[1], "82.0 b,c");

    let star = "[message]\nroot = \"/trucks/*\"\n[record]\ntruck_id = { from = \"root.key\" }\n";
    let parts = Parts::new(star, None);
    let reading = |speed: &str| {
        format!(
            "{{'timestamp': '2023-04-10 01:02:27', 'distance_covered': 1, 'engine_speed': {speed}, 'fuel_consumed': 0}}"
        )
    };
    let message = |trucks: &str| format!("{{'trucks': {{{trucks}}}, 'sent': 1}}");
    let trucks = format!("'t-1': {}, 't-2': {}", reading("81"), reading("'x'"));
    kafka().produce(&parts.topic, [(1, None, message(&trucks))]);
    assert_eq!(parts.run(TRUCKS), (vec!["81.0 t-1".to_owned()], 1));
    let copy = parts.corrected(&[("'x'", "82")]);
    parts.replay(&copy, &["--parts"]);
    let sent = kafka().read(&parts.topic)[1].payload.clone().unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), message(&format!("'t-2': {}", reading("82"))));
    assert_eq!(parts.run(TRUCKS).0[1], "82.0 t-2");
}
