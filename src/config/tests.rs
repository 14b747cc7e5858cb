//! Valid and invalid configurations.

use std::ffi::OsString;
use std::io::Write;

use dataflows::schema::{FieldType, Place};

use super::variables::keys_among;
use super::*;
use crate::runtime::secret::ExposeSecret;

fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Job, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), value_of(k, v))).collect();
    Job::load(Some(file.path()), variables, flags)
}

#[test]
fn flags_override_variables_and_these_override_the_file() {
    let text =
        "workers = 2\njob = \"a\"\n[kafka]\nbrokers = \"x:1\"\n[kafka.properties]\nfetch.min.bytes = 5";
    let config = load(
        text,
        &[
            ("TRUCKFLOW_JOB", "b"),
            ("TRUCKFLOW_KAFKA__TOPIC", "T"),
            ("OTHER", "1"),
            ("TRUCKFLOW_CONFIG", "no key"),
            ("TRUCKFLOW_LOG", "info"),
            ("TRUCKFLOW_WORKERS", "3"),
        ],
        &[("workers", "4"), ("kafka.properties.security.protocol", "ssl")],
    )
    .unwrap();
    assert_eq!((config.workers, config.job.as_str(), config.kafka.brokers.as_str()), (4, "b", "x:1"));
    assert_eq!(config.kafka.topic.single(), Some("T"));
    // The short variable overrides that of the key, whichever comes first.
    let mut both = [("TRUCKFLOW_BROKERS", "y:1"), ("TRUCKFLOW_KAFKA__BROKERS", "z:1")];
    for _ in 0..2 {
        assert_eq!(load(text, &both, &[]).unwrap().kafka.brokers, "y:1");
        both.reverse();
    }
    assert_eq!(load("", &[("TRUCKFLOW_TOPIC", "U")], &[]).unwrap().kafka.topic.single(), Some("U"));
    let properties = config.kafka_properties().unwrap();
    assert_eq!(properties.get("fetch.min.bytes"), Some("5"));
    assert_eq!(properties.get("security.protocol"), Some("ssl"));
}

#[test]
fn secrets_come_from_files_or_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "1/2?#@%41\n").unwrap();
    let path = file.display();
    let text = format!(
        "database = \"mysql://u@h/d\"\ndatabase_password_file = \"{path}\"\n[kafka.property_files]\nsasl.password = \"{path}\""
    );
    let config = load(&text, &[], &[]).unwrap();
    let url = config.database_url().unwrap();
    assert_eq!(url.expose_secret(), "mysql://u:1%2F2%3F%23%40%2541@h/d");
    assert_eq!(config.kafka_properties().unwrap().exposed()["sasl.password"], "1/2?#@%41");
    assert!(!format!("{config:?}").contains("1/2?") && config.kafka.properties.names().next().is_none());

    let flags = [("embedded", "true"), ("input", "a"), ("kafka.properties.security.protocol", "ssl")];
    let embedded = load(&text, &[], &[&flags[..], &[("kafka.properties.client.id", "b")]].concat()).unwrap();
    assert_eq!(embedded.kafka_properties().unwrap().names().collect::<Vec<_>>(), ["client.id"]);

    let variable = "TRUCKFLOW_KAFKA__PROPERTIES__SASL__PASSWORD";
    let config = load("", &[(variable, "1e5")], &[]).unwrap();
    assert_eq!(config.kafka_properties().unwrap().exposed()["sasl.password"], "1e5");
    let error = load(&text, &[(variable, "x")], &[]).unwrap_err().to_string();
    assert!(error.contains("sasl.password") && error.contains("set it in one place"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let config = load(&text, &[], &[]).unwrap();
    for error in [config.kafka_properties().unwrap_err(), config.database_url().unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("cannot read it") && error.contains("give a file"), "{error}");
    }
}

#[test]
fn no_secret_of_a_configuration_can_be_printed_or_serialized() {
    let text = "database = \"mysql://u:s3cret@h/d?password=s3cret\"\n[kafka.properties]\nsasl.password = \"s3cret\"\n\
                ssl.key.pem = \"s3cret\"\nsasl.username = \"me\"";
    let config = load(text, &[("TRUCKFLOW_KAFKA__PROPERTIES__SSL__KEYSTORE__PASSWORD", "s3cret")], &[]);
    let config = config.unwrap();
    let json = serde_json::to_string(config.config()).unwrap();
    for shown in
        [format!("{config:?}"), format!("{config:#?}"), json, toml::to_string(config.config()).unwrap()]
    {
        assert!(!shown.contains("s3cret") && shown.contains("***") && shown.contains("\"me\""), "{shown}");
    }
    let kafka = config.kafka_properties().unwrap();
    assert!(!format!("{kafka:?}{:?}", config.database_url().unwrap()).contains("s3cret"));
    // A process that is started with this configuration gets them.
    let exposed: Config = toml::from_str(config.exposed().unwrap().expose_secret()).unwrap();
    assert_eq!(exposed.kafka.properties.exposed(), config.kafka.properties.exposed());
    let url = |config: &Config| config.database.as_ref().unwrap().expose_secret().to_owned();
    assert_eq!(url(&exposed), url(&config));
}

#[test]
fn values_in_the_wrong_place_are_not_shown() {
    for text in [
        "[kafka]\nproperties = \"s3\\\"cret\"",
        "workers = \"s3cret\"",
        "[kafka.properties]\nsasl.password = s3cret",
        "database = s3cret",
        "database = [\"mysql://u:s3cret@h/d\"]",
    ] {
        let error = load(text, &[], &[]).unwrap_err().to_string();
        assert!(error.contains("line ") && !error.contains("cret"), "{error}");
    }
    let error = load("", &[("TRUCKFLOW_KAFKA__PROPERTIES", "s3cret")], &[]).unwrap_err().to_string();
    assert!(error.contains("TRUCKFLOW_KAFKA__PROPERTIES") && !error.contains("s3cret"), "{error}");
}

#[test]
fn only_variables_that_set_keys_have_to_be_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let read = |name: &[u8], value: &[u8]| keys_among([(bytes(name), bytes(value))].into_iter());
    for harmless in [&b"LS_COLORS"[..], b"\xff", b"TRUCKFLOW_LOG", b"TRUCKFLOW"] {
        assert_eq!(read(harmless, b"\xff").unwrap(), []);
    }
    assert_eq!(read(b"TRUCKFLOW_JOB", b"a").unwrap(), [("TRUCKFLOW_JOB".into(), "a".into())]);
    let error = read(b"TRUCKFLOW_JOB", b"a\xff").unwrap_err().to_string();
    assert!(error.contains("TRUCKFLOW_JOB: its value is not valid UTF-8"), "{error}");
    // It is an unknown key.
    let unknown = read(b"TRUCKFLOW_\xff", b"1").unwrap().remove(0);
    let error = Job::read("", "", [unknown].into_iter(), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("unknown key"), "{error}");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_or_variable() {
    let error = load("workers = 1\nwokers = 2", &[], &[]).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("wokers"), "{error}");
    let error = load("", &[("TRUCKFLOW_WOKERS", "2")], &[]).unwrap_err().to_string();
    assert!(error.contains("TRUCKFLOW_WOKERS"), "{error}");
}

#[test]
fn values_out_of_range_are_refused() {
    for (key, value) in [
        ("workers", "0"),
        ("job", "\"\""),
        ("commit_interval", "\"soon\""),
        ("builtin_views", "[\"nope\"]"),
        ("csv.views", "[\"nope\"]"),
        ("csv.max_records", "0"),
        ("csv.max_records", "-1"),
        ("parameters.speed_factor", "\"x\""),
        ("parameters.window", "\"0s\""),
        ("parameters.window_idle", "\"5 parsecs\""),
        ("parameters.window_retention", "\"soon\""),
        ("parameters.join_retention", "\"3ns\""),
        ("parameters.join_limit", "0"),
        ("parameters.correlation_tables", "\"all\""),
        ("mode", "\"Append\""),
        ("key_separator", "\"\""),
        ("builtin_views", "5"),
        ("views", "5"),
        ("limits.epochs_in_flight", "1"),
        ("embedded", "true"),
    ] {
        let error = load("", &[], &[(key, value)]).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn keys_do_not_go_through_the_embedded_broker() {
    for (key, value) in [("mode", "\"upsert\""), ("key_separator", "\"\t\"")] {
        let flags = [("embedded", "true"), ("input", "\"readings.tsv\""), (key, value)];
        let error = load("", &[], &flags).unwrap_err().to_string();
        assert!(error.contains("without keys"), "{error}");
        load("", &[], &flags[1..]).unwrap();
    }
}

#[test]
fn the_password_comes_from_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"p@ss/word\n").unwrap();
    let path = format!("{:?}", file.path());
    let url = "\"mysql://u@h:3306/d\"";
    let config = load("", &[], &[("database", url), ("database_password_file", &path)]).unwrap();
    assert_eq!(config.database_url().unwrap().expose_secret(), "mysql://u:p%40ss%2Fword@h:3306/d");
}

#[test]
fn a_built_in_view_is_built_if_the_record_has_its_fields() {
    let missing = |text: &str| {
        let job = load(text, &[], &[]).unwrap();
        (names(&job), job.missing_views().unwrap_or_default())
    };
    let (views, lacking) = missing("");
    assert_eq!((views.len(), lacking.as_str()), (BUILT_IN, ""));
    let (views, lacking) = missing("[message]\npreset = \"orientation\"");
    assert_eq!((views, lacking.as_str()), (vec!["orientation".into(), "dead_letters".into()], ""));
    let record = "[message]\npreset = \"none\"\n[record]\ntimestamp = \"timestamp\"\ntruck_id = \"text\"\nengine_speed = \"number\"";
    let (views, lacking) = missing(record);
    assert_eq!(views, ["engine_speed_correlation", "dead_letters"]);
    assert!(
        lacking.starts_with("parameter_map (distance_covered, fuel_consumed), distance_correlation"),
        "{lacking}"
    );
    assert!(!lacking.contains("orientation"), "{lacking}");
    let (_, lacking) = missing("builtin_views = [\"orientation\"]");
    assert!(lacking.starts_with("orientation (time, seconds_elapsed"), "{lacking}");
}

#[test]
fn dead_letters_are_kept_whatever_views_are_chosen() {
    let config = load("builtin_views = [\"parameter_map\"]", &[], &[]).unwrap();
    let names: Vec<_> = config.active_views.clone().into_iter().map(|view| view.name).collect();
    assert_eq!(names, ["parameter_map", "dead_letters"]);
}

const DEFINED: &str = r#"
    [record]
    oil = "number"
    driver = "text"
"#;

/// The built-in views of trucks, with dead letters.
const BUILT_IN: usize = 9;

/// A file of views, which lasts as long as what is returned.
fn views_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn names(config: &Job) -> Vec<String> {
    config.active_views.clone().into_iter().map(|view| view.name.into_owned()).collect()
}

#[test]
fn a_job_has_the_views_of_its_file_and_the_built_in_ones_that_it_names() {
    let file = views_file(
        "CREATE VIEW step AS SELECT * FROM readings WHERE oil > 1;
         CREATE MATERIALIZED VIEW hot AS SELECT truck_id FROM step;
         CREATE MATERIALIZED VIEW cold WITH (table = false, csv = false, backfill = true) AS SELECT driver FROM readings;",
    );
    let path = format!("{:?}", file.path());
    let own = ("views", &*path);
    let config = load(DEFINED, &[], &[own]).unwrap();
    assert_eq!(names(&config), ["hot", "cold", "dead_letters"]);
    assert!(config.is_backfilled("cold") && !config.is_backfilled("hot"));
    assert!(config.has_table("hot") && config.has_file("hot") && config.has_table("dead_letters"));
    assert!(!config.has_table("cold") && !config.has_file("cold"));
    assert!(config.missing_views().is_none());
    let config = load(DEFINED, &[("TRUCKFLOW_BUILTIN_VIEWS", "transformed, above_speed")], &[own]).unwrap();
    assert_eq!(names(&config), ["transformed", "above_speed", "hot", "cold", "dead_letters"]);
    let config = load(DEFINED, &[], &[own, ("builtin_views", "true")]).unwrap();
    // Except `orientation`, whose fields the record lacks.
    assert_eq!(names(&config).len(), BUILT_IN + 2);
    assert_eq!(names(&load(DEFINED, &[], &[]).unwrap()).len(), BUILT_IN);
    let config = load(DEFINED, &[], &[("builtin_views", "false")]).unwrap();
    assert_eq!(names(&config), ["dead_letters"]);
    let config = load(DEFINED, &[], &[own, ("csv.views", "[\"cold\"]")]).unwrap();
    assert!(!config.has_file("hot"));
}

#[test]
fn views_are_replaced_with_those_that_read_them() {
    let file = views_file(
        "CREATE VIEW step AS SELECT * FROM above_speed;
         CREATE OR REPLACE MATERIALIZED VIEW hot AS SELECT truck_id FROM readings;
         CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) AS n FROM step;
         CREATE MATERIALIZED VIEW apart AS SELECT a.truck_id FROM transformed a JOIN hot b ON a.truck_id = b.truck_id;",
    );
    let path = format!("{:?}", file.path());
    let with =
        |replace: &str| load("", &[], &[("views", &path), ("builtin_views", "true"), ("replace", replace)]);
    let replaced = |replace: &str| with(replace).unwrap().replaced.into_iter().collect::<Vec<_>>();
    assert_eq!(replaced("[]"), ["apart", "hot"]);
    assert_eq!(
        replaced("[\"above_speed\"]"),
        ["above_speed", "apart", "counted", "filtered_join", "hot", "step"]
    );
    let error = with("[\"above\"]").unwrap_err().to_string();
    assert!(error.contains("replace = above: unknown view; expected one of parameter_map"), "{error}");
}

#[test]
fn a_file_of_views_is_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    std::fs::write(&path, "views = \"views.sql\"").unwrap();
    let load = || Job::load(Some(&path), std::iter::empty(), Vec::new());
    let error = load().unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read the views ") && error.contains("correct `views` or --sql"),
        "{error}"
    );
    std::fs::write(
        folder.path().join("views.sql"),
        "CREATE MATERIALIZED VIEW a AS SELECT truck_id FROM readings",
    )
    .unwrap();
    assert_eq!(names(&load().unwrap()), ["a", "dead_letters"]);
}

#[test]
fn definitions_reach_the_views() {
    let job = load(DEFINED, &[], &[("parameters.window", "1m"), ("mode", "upsert")]).unwrap();
    let windows = job.planned.iter().find(|view| view.name == "window_averages").unwrap();
    let window = windows.aggregate().unwrap().window.as_ref().unwrap();
    assert_eq!((windows.relation.slide(), window.patience.grace), (Some(60_000_000), 86_400_000_000));
    let settings = job.view_settings.clone();
    assert!(settings.upserts());
    let fields: Vec<_> =
        settings.schema.fields().iter().map(|field| (&*field.name, field.field_type)).collect();
    assert_eq!(fields[5..], [("oil", FieldType::Number), ("driver", FieldType::Text)]);
}

#[test]
fn a_view_with_the_name_or_table_of_another_is_refused() {
    for (name, table, said) in [
        ("a1", "a b", "line 1, column 26: `a b` is not a valid table name"),
        ("a1", "truckflow_state", "`truckflow_state` is not a valid table name"),
        ("_a", "T", "`_a` is not a valid name of a view; use lowercase letters"),
        ("orientation", "T", "another view has the name `orientation`"),
        ("dedupe", "T", "another view has the name `dedupe`"),
        ("ABOVE_speed", "T", "another view has the name `above_speed`"),
        ("hot", "ingested_table_1", "another view writes to table ingested_table_1"),
        ("hot", "truck_DEAD_letters", "another view writes to table truck_DEAD_letters"),
        ("hot", "truck_ABOVE_speed", "another view writes to table truck_ABOVE_speed"),
    ] {
        let text = format!(
            "CREATE MATERIALIZED VIEW {name} WITH (table = '{table}') AS SELECT truck_id FROM readings"
        );
        let file = views_file(&text);
        let path = format!("{:?}", file.path());
        let error =
            load(DEFINED, &[], &[("views", &path), ("builtin_views", "true")]).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{text}\n{error}");
        assert!(error.starts_with(&format!("configuration {}", file.path().display())), "{error}");
    }
}

#[test]
fn an_invalid_definition_is_refused_with_its_name() {
    for (text, said) in [
        ("[record]\ntruck_id = \"number\"", "record.truck_id: the preset declares it as text"),
        ("[record]\noil = \"text\"\nOil = \"text\"", "record.Oil: another field differs only"),
        ("[record]\n\"1\" = \"text\"", "record.1: use letters"),
        ("[record]\noil = \"bytes\"", "line 2"),
    ] {
        let error = load(text, &[], &[]).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{text}\n{error}");
    }
}

#[test]
fn repetitions_are_told_by_fields_of_the_record() {
    let message = |dedupe: &str| format!("[message]\ndedupe = {dedupe}\n[record]\nseq = \"integer\"\n");
    let config =
        load(&message("{ fields = [\"seq\", \"truck_id\", \"seq\"], within = \"90m\" }"), &[], &[]).unwrap();
    let dedupe = config.view_settings.dedupe.as_ref().unwrap();
    assert_eq!((&dedupe.fields[..], dedupe.within), (&[Place::Units(3), Place::Entity][..], 5_400_000_000));
    assert_eq!(dedupe.definition, "{ fields = [\"seq\", \"truck_id\"], within = \"1h 30m\" }");
    assert_eq!(names(&config)[8..], ["dedupe", "dead_letters"]);
    assert!(load("", &[], &[]).unwrap().view_settings.dedupe.is_none());

    let fields = "{ fields = [\"truck_id\"], within = \"10m\" }";
    for (text, mode, said) in [
        (fields, "upsert", "message.dedupe: is for mode = \"append\""),
        (
            "{ fields = [\"truck\"], within = \"10m\" }",
            "append",
            "no field `truck`; expected some of timestamp, distance_covered",
        ),
        ("{ fields = [], within = \"10m\" }", "append", "message.dedupe.fields: is empty; name the fields"),
        (
            "{ fields = [\"seq\"], within = \"10\" }",
            "append",
            "message.dedupe.within = 10: give a duration from 0s to",
        ),
        (
            "{ fields = [\"seq\"], within = \"11y\" }",
            "append",
            "message.dedupe.within = 11y: give a duration",
        ),
        ("{ fields = [\"seq\"] }", "append", "within"),
        ("{ fields = [\"seq\"], within = \"10m\", across = true }", "append", "across"),
    ] {
        let error = load(&message(text), &[], &[("mode", mode)]).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{text}\n{error}");
    }
}

#[test]
fn only_the_parts_of_a_file_are_read_one_after_another() {
    let one_after_another =
        |flags: &[(&str, &str)]| load("", &[], flags).unwrap().view_settings.one_after_another;
    assert!(!one_after_another(&[]));
    assert!(one_after_another(&[("input", "readings.jsonl")]));
    assert!(!one_after_another(&[("input", "readings.jsonl"), ("embedded", "true")]));
}
