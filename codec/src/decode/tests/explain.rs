//! How a message is read, field by field, and in words what is wrong with it.

use std::sync::Arc;

use dataflows::dead_letter::Reason;
use dataflows::schema::FieldType;
use dataflows::views::Mode;

use super::{TIMESTAMP, decoder, message, with};
use crate::decode::mapping::{FieldMapping, Format, Kafka, Mapping, Source};
use crate::decode::path::{Path, Pointer};
use crate::decode::{Decoder, Explanation, FieldExplained, Message, Outcome, ReadingExplained};

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn at(path: &str, of_message: bool) -> Source {
    Source::Value { path: Path { first: pointer(path), then: Vec::new() }, of_message }
}

/// The mapping of trucks with other places of fields.
fn mapping(root: &[&str], places: &[(&str, Source)], others: &[(&str, FieldType)]) -> Mapping {
    let mut mapping = Mapping::trucks_and(others);
    mapping.root = root.iter().map(|text| pointer(text)).collect();
    for (name, source) in places {
        let field = mapping.fields.iter_mut().find(|field| *field.name == **name).unwrap();
        field.source = source.clone();
    }
    mapping
}

fn readings(mapping: Mapping, message: &Message<'_>) -> Vec<ReadingExplained> {
    match Decoder::new("topic".into(), Arc::new(mapping)).explain(message) {
        Explanation::Readings(readings) => readings,
        other => panic!("{other:?}"),
    }
}

fn field<'r>(reading: &'r ReadingExplained, name: &str) -> &'r FieldExplained {
    reading.fields.iter().find(|field| *field.name == *name).unwrap()
}

/// Why a message is rejected as a whole.
fn rejected(decoder: &mut Decoder, message: &Message<'_>) -> (Reason, String) {
    match decoder.explain(message) {
        Explanation::Rejected(rejected) => (rejected.reason, rejected.said),
        other => panic!("{other:?}"),
    }
}

/// Why its only reading is rejected.
fn fault(mapping: Mapping, message: &Message<'_>) -> (Reason, String, String) {
    match &readings(mapping, message)[..] {
        [ReadingExplained { outcome: Outcome::Rejected(rejected), .. }] => {
            (rejected.reason, rejected.field.to_string(), rejected.said.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_field_has_its_place_what_is_there_and_its_value() {
    let rpm = at("/can/rpm", false);
    let mapping = mapping(&[], &[("engine_speed", rpm)], &[("oil", FieldType::Number)]);
    let payload = format!(
        "{{{TIMESTAMP}, 'distance_covered': '1.50', 'can': {{'rpm': np.float64(80)}}, 'fuel_consumed': 0, 'oil': None}}"
    );
    let message = Message { key: Some(b"truck-1"), ..message(payload.as_bytes()) };
    let reading = &readings(mapping, &message)[0];
    let row = |name: &str| {
        let field = field(reading, name);
        (field.from.as_str(), field.found.as_deref(), field.value.clone())
    };
    let value = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(
        row("timestamp"),
        ("/timestamp", Some("\"2023-04-10 01:02:27\""), value("2023-04-10 01:02:27.000000"))
    );
    assert_eq!(row("distance_covered"), ("/distance_covered", Some("\"1.50\""), value("1.5")));
    assert_eq!(row("engine_speed"), ("/can/rpm", Some("80"), value("80")));
    assert_eq!(row("oil"), ("/oil", Some("null"), Ok(None)));
    let key = "kafka.key, as nothing is at /truck_id";
    assert_eq!(row("truck_id"), (key, Some("\"truck-1\""), value("truck-1")));
    let time = "2023-04-10 01:02:27.000000".into();
    assert_eq!(reading.outcome, Outcome::Record { entity: "truck-1".into(), time });
}

#[test]
fn a_rejected_reading_says_what_was_found_and_what_was_expected() {
    let speed = |value: &str| {
        format!("{{{TIMESTAMP}, 'distance_covered': 1, 'can': {{'rpm': {value}}}, 'fuel_consumed': 0}}")
    };
    for (value, reason, said) in [
        ("null", Reason::MissingField, "at /can/rpm there is null; expected a number"),
        ("'8\\n0'", Reason::WrongType, "at /can/rpm there is \"8\\u000a0\"; expected a number"),
        ("[1]", Reason::WrongType, "at /can/rpm there is an object or a list; expected a number"),
        ("nan", Reason::NotFinite, "at /can/rpm there is \"nan\"; expected a finite number"),
        ("1e10", Reason::OutOfRange, "at /can/rpm there is 1e10; expected a number within ±9.2e9"),
    ] {
        let mapping = mapping(&[], &[("engine_speed", at("/can/rpm", false))], &[]);
        let expected = (reason, "engine_speed".to_owned(), said.to_owned());
        assert_eq!(fault(mapping, &message(speed(value).as_bytes())), expected);
    }
    let mapping = mapping(&["/data"], &[], &[]);
    let (_, field, said) = fault(mapping, &message(b"{'data': {'timestamp': 'yesterday'}}"));
    let expected =
        "at /timestamp under the root /data there is \"yesterday\"; expected a time in ISO 8601, as text";
    assert_eq!((&*field, &*said), ("timestamp", expected));
}

#[test]
fn values_of_kafka_and_of_texts_inside_texts_are_shown() {
    let inside = Path { first: pointer("/body"), then: vec![pointer("/rpm")] };
    let places = [
        ("engine_speed", Source::Value { path: inside, of_message: false }),
        ("from", Source::Kafka(Kafka::Topic)),
        ("part", Source::Kafka(Kafka::Partition)),
    ];
    let others = [("from", FieldType::Text), ("part", FieldType::Integer)];
    let payload =
        format!("{{{TIMESTAMP}, 'distance_covered': 1, 'body': '{{\"rpm\": 80.5}}', 'fuel_consumed': 0}}");
    let topic = "topic".into();
    let message = Message { topic: Some(&topic), ..message(payload.as_bytes()) };
    let readings = readings(mapping(&[], &places, &others), &message);
    for (name, from, found) in [
        ("engine_speed", "/rpm in the text at /body", "80.5"),
        ("from", "kafka.topic", "\"topic\""),
        ("part", "kafka.partition", "3"),
    ] {
        let field = field(&readings[0], name);
        assert_eq!((&*field.from, field.found.as_deref()), (from, Some(found)));
    }
}

#[test]
fn a_bad_value_that_became_null_is_named() {
    let mut mapping = mapping(&[], &[], &[("oil", FieldType::Number)]);
    mapping.fields.last_mut().unwrap().bad_is_null = true;
    let payload = with(", 'oil': 'much'");
    let reading = &readings(mapping, &message(payload.as_bytes()))[0];
    let oil = field(reading, "oil");
    assert_eq!((oil.value.clone(), oil.forgiven), (Ok(None), Some(Reason::WrongType)));
    assert!(matches!(reading.outcome, Outcome::Record { .. }));
}

#[test]
fn what_is_no_object_says_what_is_there() {
    for (root, payload, expected) in [
        (&["/a"][..], "{'a': 5}", "at the root /a there is 5; expected an object or a list"),
        (&["/a"], "{'b': 5}", "at the root /a there is nothing; expected an object or a list"),
        (&[], "5", "there is 5; expected an object or a list"),
        (
            &["/a", "/b"],
            "{'a': '{\"b\": 1'}",
            "at the root /b in the text at /a there is nothing; expected an object or a list",
        ),
    ] {
        let (reason, field, said) = fault(mapping(root, &[], &[]), &message(payload.as_bytes()));
        assert_eq!((reason, &*field, &*said), (Reason::NotAnObject, "", expected));
    }
    let csv = Mapping { format: Format::Csv { separator: b',', columns: None }, ..Mapping::trucks() };
    let (_, _, said) = fault(csv, &message(b"timestamp,truck_id\n2023-04-10 01:02:27\n"));
    assert_eq!(said, "`2023-04-10 01:02:27` has another number of values than there are names of columns");
}

#[test]
fn a_message_that_cannot_be_read_says_why() {
    let none = Message { payload: None, ..message(b"") };
    let said = |message: &Message<'_>| rejected(&mut decoder(), message);
    let value = (Reason::NullValue, "it has no value; expected a reading".to_owned());
    assert_eq!(said(&none), value);
    for (payload, expected) in [
        (&b"{'a': \xff}"[..], "it is not UTF-8 from byte 6 on; expected text"),
        (b"{'a': 1", "it ends too early, at byte 7; expected JSON, or a dict as Python writes it"),
        (b"a=1", "it cannot be read from byte 0 on, `a=1`; expected JSON, or a dict as Python writes it"),
    ] {
        assert_eq!(said(&message(payload)), (Reason::NotAnObject, expected.to_owned()));
    }
    let large = rejected(&mut decoder().with_max_bytes(1), &message(b"{}"));
    assert_eq!(
        large,
        (Reason::TooLarge, "it has 2 bytes; expected at most limits.message_bytes = 1".to_owned())
    );
}

#[test]
fn messages_of_an_upsert_job_are_explained() {
    let mut decoder = decoder().with_mode(Mode::Upsert);
    let (reason, said) = rejected(&mut decoder, &message(b"{}"));
    assert!(reason == Reason::MissingField && said.starts_with("the message has no key"), "{said}");
    let keyed = |payload| Message { key: Some(b"k"), ..message(payload) };
    let (_, said) = rejected(&mut decoder, &keyed(b"[{}]"));
    assert_eq!(said, "it has several readings; with mode = \"upsert\" a message has one");
    let deletes = decoder.explain(&Message { payload: None, ..keyed(b"") });
    assert_eq!(deletes, Explanation::Deletes);
}

#[test]
fn a_place_is_named_unless_it_is_the_field_at_the_top() {
    let mut mapping = mapping(&[], &[("engine_speed", at("/can/rpm", false))], &[]);
    assert_eq!(mapping.looked_for("timestamp"), None);
    assert_eq!(mapping.looked_for("engine_speed").as_deref(), Some("/can/rpm"));
    assert_eq!(mapping.looked_for("no_field"), None);
    mapping.root = vec![pointer("/data/*")];
    assert_eq!(mapping.looked_for("timestamp").as_deref(), Some("/timestamp under the root /data/*"));
    let field: &mut FieldMapping = &mut mapping.fields[0];
    field.source = at("/sent", true);
    assert_eq!(mapping.looked_for("timestamp").as_deref(), Some("/sent of the message"));
}
