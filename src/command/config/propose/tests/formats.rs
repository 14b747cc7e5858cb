//! The formats of messages.

use super::{message, of_lines, of_payloads, topic, try_lines};
use crate::command::config::propose::{Format, Unreadable, propose, propose_values};
use crate::command::config::propose::{Registry, Value};
use crate::decode::tree::{Scalar, Tree};
use crate::source::sample::{Sample, Sampled};
use crate::text::time::Unit;

fn format(found: &super::Proposed) -> Format {
    found.proposal.message.as_ref().unwrap().format.clone()
}

#[test]
fn json_is_json_and_dicts_are_read_automatically() {
    let found =
        of_lines(&[r#"{"ts":1681088547,"rpm":900}"#, "", r#"{"ts":1681088548,"rpm":901} {"ts":1681088549}"#]);
    assert_eq!((format(&found).name, found.accepted), ("json", 3));
    let found =
        of_lines(&["{'ts': 1681088547, 'rpm': np.float64(900.5), 'dtc': ('P1', 'P2')}", "not a dict"]);
    assert_eq!((format(&found).name, found.accepted), ("auto", 1));
    found.note("Proposed from 2 messages (1 reading) of `readings.jsonl`. 1 could not be read.");
}

#[test]
fn lines_of_a_file_have_a_separator_and_a_header() {
    let found = of_lines(&[
        "Zeit;Fahrzeug;km/h;\"Bemerkung, frei\"",
        "26.03.2023 01:59:59;M-AB 17;82;\"zwei",
        "Zeilen\"",
        "26.03.2023 03:00:00;M-AB 17;83.5;",
    ]);
    let format = format(&found);
    assert_eq!((format.name, format.separator, format.columns), ("csv", Some(';'), None));
    assert_eq!((found.time(), found.key(), found.accepted), ("zeit", "fahrzeug", 2));
    let found = of_lines(&[
        "vehicle_id,timestamp,lat",
        "v1,2023-04-10T01:02:27Z,48.1",
        "v2,2023-04-10T01:02:28Z,n/a",
    ]);
    assert_eq!((found.key(), found.accepted), ("vehicle_id", 2));
    assert!(!found.text.contains("separator"));
}

#[test]
fn lines_without_a_header_have_columns() {
    let found = of_lines(&["000a\t2023-04-10 01:02:27\t54.0", "0042\t2023-04-10T01:02:29Z\t0"]);
    let columns = vec!["text_1".to_owned(), "time".into(), "number_3".into()];
    assert_eq!((format(&found).separator, format(&found).columns), (Some('\t'), Some(columns)));
    assert_eq!((found.time(), found.accepted), ("time", 2));
    let found = of_payloads(&["1681088547123,97,t-1", "\"1681088548123\",\"98.5\",\"t-2\"\r\n"]);
    assert_eq!((found.time(), found.accepted), ("time", 2));
    // Each message has its own header.
    let found = of_payloads(&["ts,rpm\n1681088547,900\n1681088548,901\n", "ts,rpm\n1681088549,902"]);
    assert_eq!((format(&found).columns, found.time(), found.accepted), (None, "ts", 3));
}

#[test]
fn formats_that_are_not_supported_are_named() {
    for (lines, reason) in [
        (&["can,truck=t-1 rpm=1438i 1681088547000000000"][..], "Influx line protocol"),
        (&["$GPRMC,010227,A,4843.2,N,01130.0,E,12.5,80.0,100423,,*1B"], "NMEA sentences"),
        (&["<gpx><trkpt lat=\"48.1\" lon=\"11.5\"/></gpx>"], "XML"),
        (&["Obj\u{1}\u{4}avro.schema"], "an Avro container file"),
        (&["ts=1681088547 rpm=900"], "key=value lines"),
    ] {
        let error = try_lines(lines).err().map(|error| error.to_string());
        let expected = format!(
            "the messages are {reason}, which is not supported yet; send JSON, CSV, Avro or Protobuf"
        );
        assert_eq!(error, Some(expected));
    }
    let error = |lines: &[&str]| try_lines(lines).err().unwrap();
    assert_eq!(error(&["[", "  {\"ts\": 1},", "  {\"ts\": 2}", "]"]), Unreadable::Document);
    assert!(matches!(error(&["rpm is 900, speed is fine", "hello, world"]), Unreadable::Unknown(_)));
    assert_eq!(error(&[]), Unreadable::Empty);
    assert_eq!(error(&["[1]", "[2]"]), Unreadable::NoReadings);
}

#[test]
fn the_header_of_a_registry_is_recognized() {
    let with_header = |id: u8, payload: &[u8]| Sampled {
        payload: Some([&[0, 0, 0, 1, id], payload].concat()),
        ..message(None, Some(""), &[])
    };
    let sample = |messages: Vec<Sampled>| Sample { header: None, messages };
    let json = sample(vec![with_header(45, br#"{"vehicle":"t-1","at":1681088547}"#)]);
    let proposed = |registry| propose(&json, &topic(registry)).unwrap().to_string();
    assert!(
        proposed(None)
            .contains("\nregistry = \"http://127.0.0.1:8081\"  # the URL of your schema registry\n")
    );
    assert!(proposed(Some("https://r")).contains("\nformat = \"json\"\nregistry = \"https://r\"\n"));
    let binary = sample(vec![with_header(7, b"\x06t-1\xff"), with_header(8, b"\x06t-1\xff")]);
    let error = propose(&binary, &topic(None)).unwrap_err();
    assert_eq!(error, Unreadable::Registry { ids: vec![263, 264] });
}

#[test]
fn values_that_a_decoder_found_have_the_types_of_their_schema() {
    let tree = Tree::Object(vec![
        (
            "at".into(),
            Tree::Scalar(Scalar::Time { nanos: 1_681_088_547_123_000_000, unit: Unit::Millis, local: false }),
        ),
        ("vehicle".into(), Tree::Scalar(Scalar::Text("t-1".into()))),
        ("speed".into(), Tree::Scalar(Scalar::Double(62.5))),
        ("count".into(), Tree::Scalar(Scalar::Integer(17))),
        ("raw".into(), Tree::Scalar(Scalar::Bytes)),
    ]);
    let sample = Sample { header: None, messages: vec![message(None, Some("x"), &[])] };
    let registry = Registry { url: Some("http://r".into()), user: Some("u".into()), ..Registry::default() };
    let format = Format { name: "avro", separator: None, columns: None, registry: Some(registry) };
    let text =
        propose_values(&sample, format, vec![vec![Value::from(&tree)]], &topic(None)).unwrap().to_string();
    for line in [
        "format = \"avro\"\nregistry = \"http://r\"\nregistry_user = \"u\"",
        "time = \"at\"",
        "key = \"vehicle\"",
        "at = { type = \"timestamp\", optional = false }",
        "speed = \"number\"",
        "# raw = ",
    ] {
        assert!(text.contains(&format!("\n{line}")), "{line}\n{text}");
    }
}
