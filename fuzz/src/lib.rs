//! What is fuzzed: a function for each target, which panics if something is wrong with its bytes.
//!
//! They use nothing but the product's public items and the standard library: `fuzz_targets/` gives them what
//! libFuzzer makes up, `tests/fuzz_corpus.rs` every file of the corpus, in the plain tests.

mod formats;

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use dataflows::batch::{Batch, BatchBuilder, NANO, Record};
use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::Item;
use dataflows::oracle::{self, value::Datum};
use dataflows::rows::{Column, NULL};
use dataflows::schema::FieldType;
use dataflows::state::entries;
use dataflows::views::{self, Mode, Settings, View, dead_letter_rows};
use truckflow::config::Job;
use truckflow::config::sql;
use truckflow::config::sql::builtin::{self, Builtin};
use truckflow::config::sql::parameters::{self, Parameters};
use truckflow::config::sql::script::Script;
use truckflow::decode::{Counted, Decode, Decoder, Mapping, Message};
use truckflow::state::export::Export;
use truckflow::state::{Owner, SealedFold, StateError, seal, unseal, validate_entries};
use truckflow::{command::replay, render};

pub use formats::{avro, protobuf};

/// Folds sealed parts, oldest first.
fn fold(owner: Owner<'_>, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, StateError> {
    let mut fold = SealedFold::new(owner);
    parts.iter().rev().for_each(|part| fold.older(part));
    fold.finish()
}

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("decode", decode),
    ("mapping", mapping),
    ("config", config),
    ("state", state),
    ("expression", of_expression),
    ("replay", of_replay),
    ("avro", avro),
    ("protobuf", protobuf),
];

const FIELDS: [(&str, FieldType); 2] = [("driver", FieldType::Text), ("oil", FieldType::Number)];

/// The settings of views of trucks with other fields.
fn settings() -> Settings {
    Settings { schema: Mapping::trucks_and(&FIELDS).schema, ..Settings::default() }
}

/// Splits bytes at the first of `mark`.
fn split(bytes: &[u8], mark: u8) -> (Option<&[u8]>, &[u8]) {
    match bytes.iter().position(|&byte| byte == mark) {
        Some(at) => (Some(&bytes[..at]), &bytes[at + 1..]),
        None => (None, bytes),
    }
}

/// A message a line, behind its key and a tab if there is one: the scanner against the general parser, in both
/// modes, with and without declared fields.
pub fn decode(bytes: &[u8]) {
    for (mode, fields) in [(Mode::Append, &FIELDS[..]), (Mode::Append, &[]), (Mode::Upsert, &FIELDS)] {
        let mapping = Arc::new(Mapping::trucks_and(fields));
        let decoder = || Decoder::new("t".into(), mapping.clone()).with_max_bytes(4096).with_mode(mode);
        let (mut both, mut general) = (decoder(), decoder().without_scanner());
        for (offset, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let [one, other] =
                [&mut both, &mut general].map(|decoder| format!("{:?}", outcome(decoder, offset, line)));
            assert_eq!(one, other, "{}", line.escape_ascii());
        }
    }
}

/// What a message becomes. A dead letter has the message's bytes, or those of a part of it.
fn outcome(decoder: &mut Decoder, offset: usize, line: &[u8]) -> (Vec<Item>, Vec<String>, Option<i64>) {
    let (key, payload) = split(line, b'\t');
    let payload = Some(payload).filter(|payload| key.is_none() || !payload.is_empty());
    let (offset, timestamp) = (offset as i64, Some(1));
    let message = Message { offset, timestamp, key, payload, ..Message::default() };
    decoder.decode(&message);
    let (mut items, mut counts) = (Vec::new(), Vec::new());
    decoder.take(&mut items);
    decoder.take_counts(&mut |counted: Counted<'_>, count| counts.push(format!("{counted:?} {count}")));
    for letter in items.iter().flat_map(|item| match item {
        Item::DeadLetters(letters) => &letters[..],
        _ => &[],
    }) {
        assert_eq!(letter.key.as_deref(), message.key);
        if letter.place.is_none() {
            assert_eq!(letter.payload.as_deref(), message.payload);
        }
    }
    (items, counts, decoder.last_time())
}

/// A configuration up to a zero, and messages behind it, one a line.
pub fn mapping(bytes: &[u8]) {
    let (Some(text), messages) = split(bytes, 0) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let job = match Job::read(text, "fuzz.toml", std::iter::empty(), Vec::new()) {
        Ok(job) => job,
        Err(error) => return assert_sentence(&error.to_string()),
    };
    let mode = job.view_settings.mode;
    let mut decoder = Decoder::new("t".into(), job.mapping.clone()).with_max_bytes(4096).with_mode(mode);
    for (offset, line) in messages.split(|&byte| byte == b'\n').enumerate() {
        outcome(&mut decoder, offset, line);
    }
    // The same bytes as one message, such as several lines of CSV.
    outcome(&mut decoder, 0, messages);
}

/// A configuration file: what is accepted has views, limits and properties.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Job::read(text, "fuzz.toml", std::iter::empty(), Vec::new()) {
        Ok(config) => {
            let definitions = config.active_views.iter().map(|view| view.definition.len()).sum::<usize>();
            assert!(definitions <= 16 * bytes.len() + 4096);
            let _ = config.kafka_properties();
        }
        Err(error) => assert_sentence(&error.to_string()),
    }
}

/// What a user is told is one line.
#[track_caller]
fn assert_sentence(error: &str) {
    assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
}

/// The views whose state is looked through, one after the other.
static VIEWS: LazyLock<Vec<View>> = LazyLock::new(|| {
    let settings = settings();
    let mut all: Vec<View> = BUILT_IN.views.iter().map(|view| view.clone().view(&settings)).collect();
    all.push(views::dead_letters_view());
    all.push(views::readings_view(&Settings { mode: Mode::Upsert, ..settings }));
    all
});

/// The built-in views, which others can read.
static BUILT_IN: LazyLock<Builtin> = LazyLock::new(|| {
    let script = builtin::script(&parameters::defaults()).expect("it is SQL");
    Builtin::compile(&script, &settings()).expect("it reads fields of trucks")
});

/// State: the first byte says as what the others are read. Sealed parts, as a store gives them; entries behind
/// a right checksum; an export.
pub fn state(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let view = &VIEWS[usize::from(kind >> 2) % VIEWS.len()];
    let owner = Owner { job: "job", view: &view.name };
    match kind & 3 {
        // Parts with lengths of two bytes before them, as they are.
        0 => {
            let mut parts = Vec::new();
            let mut rest = bytes;
            while let Some((length, behind)) = rest.split_first_chunk::<2>() {
                let (part, behind) = behind.split_at(behind.len().min(u16::from_le_bytes(*length).into()));
                parts.push(part.to_vec());
                rest = behind;
            }
            if let Err(error) = fold(owner, parts) {
                assert_sentence(&error.to_string());
            }
        }
        // Changes between zeros' lengths, with right headers: what folds, folds to itself.
        1 => {
            let parts: Vec<_> = bytes.chunks(1 + bytes.len() / 3).map(|part| seal(owner, part)).collect();
            assert!(parts.iter().all(|part| unseal(owner, part).is_ok()));
            let Ok(folded) = fold(owner, parts) else { return };
            let size: usize = folded.iter().map(Vec::len).sum();
            assert!(size <= bytes.len(), "{size} of {}", bytes.len());
            let _ = folded.iter().try_for_each(|part| validate_entries(view, part).map(drop));
            let sealed = folded.iter().rev().map(|part| seal(owner, part)).collect();
            let again = fold(owner, sealed).expect("what was folded folds");
            let count = |parts: &[Vec<u8>]| parts.iter().flat_map(|part| entries(part)).count();
            assert_eq!(count(&folded), count(&again));
        }
        // An entry of each view: the key up to a zero, the value behind it.
        2 => {
            let (key, value) = split(bytes, 0);
            let mut change = Vec::new();
            let key = key.unwrap_or_default();
            dataflows::state::push_entry(&mut change, key, |out| out.extend_from_slice(value));
            let _ = validate_entries(view, &change);
        }
        _ => match Export::parse(Path::new("fuzz.state"), bytes) {
            Ok(export) => assert!(export.state_bytes() <= bytes.len()),
            Err(error) => {
                assert_sentence(&error.to_string());
                // Behind a right checksum, too.
                let whole = Export::sealed(bytes);
                if let Ok(export) = Export::parse(Path::new("fuzz.state"), &whole) {
                    assert!(export.state_bytes() <= bytes.len());
                }
            }
        },
    }
}

/// Readings that expressions are evaluated for.
static READINGS: LazyLock<(Vec<Record>, Batch)> = LazyLock::new(|| {
    let record = |truck: &str, time, [distance, speed, fuel]: [i64; 3], driver: &str, oil| Record {
        entity: truck.into(),
        time,
        units: vec![distance, speed, fuel, oil],
        texts: vec![Some(driver).filter(|driver| !driver.is_empty()).map(Arc::from)],
    };
    let most = 9_199_999_999_999_999_999;
    let records = vec![
        record("a", 1_681_088_400_000_000, [100 * NANO, 82 * NANO + 1, 12 * NANO], "Ann", NANO / 4),
        record("truck_2", 0, [0, 0, -NANO / 10], "", NULL),
        record("", -1, [most, -most, 1], "%_\\", most),
        record("näher", 253_402_300_799_999_999, [1, NANO, -1], "näh", -most),
    ];
    let mut builder = BatchBuilder::new(&settings().schema);
    records.iter().for_each(|record| builder.push_record(record.clone()));
    (records, builder.take())
});

/// The condition and columns of a view, a line each: what compiles has the same values by row and by column.
pub fn of_expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let filter = lines.next().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| format!("\nWHERE {filter}")).unwrap_or_default();
    let columns: Vec<&str> = lines.collect();
    let statement =
        format!("CREATE MATERIALIZED VIEW hot AS SELECT {}\nFROM readings{filter}", columns.join(",\n"));
    let script = Script::parse("fuzz.sql", &statement, &Parameters::new());
    let views = script.and_then(|script| sql::compile(&script, &BUILT_IN));
    let views = match views {
        Ok(own) => own.views,
        Err(error) => return assert_sentence(&error.to_string().replace(['\n', '\r'], " ")),
    };
    let (records, batch) = &*READINGS;
    // A semicolon begins another view. Aggregates and joins are no expressions of a reading.
    for query in views.into_iter().filter_map(|view| view.queries()).flatten() {
        let rows = query.rows(batch);
        let expected: Vec<Vec<Datum>> = records.iter().filter_map(|record| query.row(record)).collect();
        assert_eq!(rows.columns.iter().map(Column::len).max(), Some(expected.len()));
        for (row, expected) in expected.iter().enumerate() {
            for (column, expected) in rows.columns.iter().zip(expected) {
                assert!(is_value(column, row, expected), "{column:?} {row} {expected:?}\n{text}");
            }
        }
        let mut csv = Vec::new();
        render::csv(&rows, false, &mut csv);
    }
}

fn is_value(column: &Column, row: usize, expected: &Datum) -> bool {
    let real = |value: f64| match expected {
        Datum::Null => value.is_nan(),
        // Zero has no sign there.
        expected => (expected.real() + 0.0).to_bits() == (value + 0.0).to_bits(),
    };
    let text = |value: Option<&str>| match expected {
        Datum::Null => value.is_none(),
        Datum::Text(text) => Some(&**text) == value,
        _ => false,
    };
    match column {
        Column::Timestamp(values) => match expected {
            Datum::Null => values[row] == NULL,
            expected => *expected == Datum::Time(values[row]),
        },
        Column::Decimal { values, .. } if values[row] == NULL => *expected == Datum::Null,
        Column::Decimal { scale, values } => {
            *expected != Datum::Null && real(format!("{}e-{scale}", values[row]).parse().expect("a number"))
        }
        Column::Wide { scale, values } => match (values[row], expected) {
            (None, expected) => *expected == Datum::Null,
            (Some(units), Datum::Exact(exact)) => {
                oracle::decimal(&units.decimal(*scale)).as_ref() == Some(exact)
            }
            (Some(_), _) => false,
        },
        Column::Real(values) => real(values[row]),
        Column::Integer(values) => match expected {
            Datum::Null => values[row] == NULL,
            Datum::Truth(holds) => values[row] == i64::from(*holds),
            _ => false,
        },
        Column::Name { names, index } => text(Some(&names[index[row] as usize])),
        Column::Text(values) => text(values[row].as_deref()),
        Column::Bytes(_) => false,
    }
}

/// The first byte says what: lines with keys, a file of dead letters, or what must come back as the same
/// bytes from such a file.
pub fn of_replay(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let input = Cursor::new(bytes.to_vec());
    match kind % 4 {
        // Bytes that are UTF-16, or compressed and cut, are refused; whole ones may be more lines than bytes.
        0 => match replay::lines_of(input, Some("truck_id"), None) {
            Ok(sent) => assert!(sent.iter().all(|sent| sent.payload.is_some())),
            Err(error) => assert_sentence(&error.to_string().replace(['\n', '\r'], " ")),
        },
        1 => match replay::lines_of(input, None, Some("\t")) {
            Ok(_) => {}
            Err(error) => assert_sentence(&error.to_string().replace(['\n', '\r'], " ")),
        },
        2 => match replay::dead_letters_of(input) {
            Ok(sent) => assert!(sent.is_none_or(|sent| sent.len() <= bytes.len())),
            Err(error) => assert_sentence(&error.to_string().replace(['\n', '\r'], " ")),
        },
        _ => {
            let (key, payload) = split(bytes, b'\t');
            let letter = DeadLetter {
                topic: "t".into(),
                partition: 3,
                offset: 5,
                kafka_timestamp: None,
                // An empty key is none.
                key: key.filter(|key| !key.is_empty()).map(<[u8]>::to_vec),
                place: None,
                payload: Some(payload.to_vec()),
                reason: Reason::NotAnObject,
                field: String::from_utf8_lossy(payload).into_owned(),
            };
            let rows = dead_letter_rows(vec![letter.clone()]);
            let view = VIEWS.iter().find(|view| view.name == views::DEAD_LETTERS).expect("a built-in view");
            let mut csv = Vec::new();
            render::csv_header(&view.columns, &mut csv);
            render::csv(&rows, false, &mut csv);
            let sent = replay::dead_letters_of(Cursor::new(csv)).expect("a file of dead letters");
            let sent = sent.expect("it has payloads");
            assert_eq!(sent.len(), 1);
            assert_eq!((&sent[0].key, &sent[0].payload), (&letter.key, &letter.payload));
        }
    }
}
