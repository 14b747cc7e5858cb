//! The client of a schema registry, on a registry that speaks the REST API of Confluent's.

mod server;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use codec::decode::{Lookup, Schema, SchemaFormat, Schemas};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use server::{Content, Server};
use truckflow::registry::{Login, Registry, RegistryError, RegistryOptions};
use truckflow::runtime::health::Health;
use truckflow::runtime::reload::Reloads;
use truckflow::runtime::stop::Stop;

const READING: &str =
    r#"{"type": "record", "name": "Reading", "fields": [{"name": "speed", "type": "int"}]}"#;

fn options(urls: &str, format: SchemaFormat) -> RegistryOptions {
    RegistryOptions { urls: urls.to_owned(), format, login: None, authority: None }
}

fn start(options: &RegistryOptions) -> Arc<Registry> {
    Registry::start(options, &Reloads::default(), &Arc::default()).unwrap()
}

fn content(schemas: &[(u32, Value)]) -> Content {
    Content { schemas: schemas.iter().cloned().collect(), ..Content::default() }
}

fn avro(text: &str) -> Value {
    json!({ "schema": text })
}

/// What is known of an id, once it is.
fn lookup(registry: &Registry, id: u32) -> Lookup {
    registry.wait(id, &Stop::default())
}

fn known(registry: &Registry, id: u32) -> Arc<Schema> {
    match lookup(registry, id) {
        Lookup::Known(schema) => schema,
        other => panic!("{id}: {other:?}"),
    }
}

#[track_caller]
fn is_unknown(registry: &Registry, id: u32) {
    let found = lookup(registry, id);
    assert!(matches!(found, Lookup::Unknown), "{found:?}");
}

/// An address on which nothing listens. Each test has a host of its own for it.
fn free_address(host: &str) -> String {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string()
}

/// Waits for a condition that is about to be met.
fn until(is_met: impl Fn() -> bool) {
    while !is_met() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_schema_is_fetched_once() {
    let server = Server::start(content(&[(7, avro(READING)), (8, avro("\"long\""))]));
    let registry = start(&options(&server.url(), SchemaFormat::Avro));
    assert!(server.requests().is_empty(), "it does not connect before it is asked");
    assert!(matches!(registry.get(7), Lookup::Pending));
    let first = known(&registry, 7);
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&first, &known(&registry, 7)));
    }
    known(&registry, 8);
    assert_eq!(server.requests(), ["/schemas/ids/7", "/schemas/ids/8"]);
    assert!(first.decode(b"\x02").unwrap().is_ok());
}

#[test]
fn an_id_that_the_registry_does_not_know_is_unknown() {
    let server = Server::start(content(&[]));
    let registry = start(&options(&server.url(), SchemaFormat::Avro));
    for id in [7, 7, u32::MAX] {
        is_unknown(&registry, id);
    }
    assert_eq!(server.requests(), ["/schemas/ids/7"]);
}

#[test]
fn a_schema_that_cannot_be_used_is_unknown() {
    let proto = json!({ "schemaType": "PROTOBUF", "schema": "syntax = 'proto3';" });
    let server = Server::start(content(&[(1, avro("{}")), (2, proto)]));
    let registry = start(&options(&server.url(), SchemaFormat::Avro));
    is_unknown(&registry, 1);
    is_unknown(&registry, 2);
}

#[test]
fn json_needs_a_schema_that_exists() {
    let json = json!({ "schemaType": "JSON", "schema": "anything" });
    let server = Server::start(content(&[(1, json), (2, avro(READING))]));
    let registry = start(&options(&server.url(), SchemaFormat::Json));
    assert!(matches!(*known(&registry, 1), Schema::Json));
    is_unknown(&registry, 2);
    is_unknown(&registry, 3);
}

#[test]
fn answers_of_a_registry_are_read() {
    for (format, id, file) in [
        (SchemaFormat::Avro, 101, "avro.json"),
        (SchemaFormat::Protobuf, 201, "protobuf.json"),
        (SchemaFormat::Protobuf, 201, "protobuf.serialized.json"),
        (SchemaFormat::Json, 301, "json.json"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/answers").join(file);
        let answer: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let server = Server::start(content(&[(id, answer)]));
        known(&start(&options(&server.url(), format)), id);
    }
}

#[test]
fn schemas_that_another_refers_to_are_fetched_first() {
    let refers = |name: &str, subject: &str, version: u32| json!({ "name": name, "subject": subject, "version": version });
    let unit = r#"{"type": "enum", "name": "fleet.Unit", "symbols": ["KMH", "MPH"]}"#;
    let speed = r#"{"type": "record", "name": "fleet.Speed", "fields":
        [{"name": "amount", "type": "int"}, {"name": "unit", "type": "fleet.Unit"}]}"#;
    let reading = r#"{"type": "record", "name": "fleet.Reading", "fields":
        [{"name": "speed", "type": "fleet.Speed"}, {"name": "unit", "type": "fleet.Unit"}]}"#;
    let unit_of = refers("fleet.Unit", "units/å", 3);
    let mut all = content(&[
        (1, avro(unit)),
        (2, json!({ "schema": speed, "references": [unit_of] })),
        (3, json!({ "schema": reading, "references": [refers("fleet.Speed", "speed", 1), unit_of] })),
        (4, json!({ "schema": reading, "references": [refers("fleet.Speed", "speed", 9)] })),
    ]);
    all.versions.extend([(("units/å".to_owned(), 3), 1), (("speed".to_owned(), 1), 2)]);
    let server = Server::start(all);
    let registry = start(&options(&server.url(), SchemaFormat::Avro));
    assert!(known(&registry, 3).decode(b"\x02\x02\0").unwrap().is_ok());
    assert_eq!(
        server.requests(),
        [
            "/schemas/ids/3",
            "/subjects/speed/versions/1?deleted=true",
            "/subjects/units%2F%C3%A5/versions/3?deleted=true"
        ]
    );
    is_unknown(&registry, 4);
}

#[test]
fn imports_of_protobuf_are_fetched() {
    let refers = json!([{ "name": "common/unit.proto", "subject": "unit", "version": 1 }]);
    let unit = "syntax = \"proto3\"; package common; enum Unit { KMH = 0; MPH = 1; }";
    let reading =
        "syntax = \"proto3\"; import \"common/unit.proto\"; message Reading { common.Unit unit = 1; }";
    let mut all = content(&[
        (1, json!({ "schemaType": "PROTOBUF", "schema": unit })),
        (2, json!({ "schemaType": "PROTOBUF", "schema": reading, "references": refers })),
    ]);
    all.versions.insert(("unit".to_owned(), 1), 1);
    let server = Server::start(all);
    let registry = start(&options(&server.url(), SchemaFormat::Protobuf));
    assert!(known(&registry, 2).decode(b"\0\x08\x01").unwrap().is_ok());
    let requests =
        ["/schemas/ids/2?format=serialized", "/subjects/unit/versions/1?deleted=true&format=serialized"];
    assert_eq!(server.requests(), requests);
}

#[test]
fn schemas_that_refer_to_each_other_in_a_circle_are_unknown() {
    let refers = |subject: &str| json!([{ "name": subject, "subject": subject, "version": 1 }]);
    let mut all = content(&[
        (1, json!({ "schema": "\"two\"", "references": refers("two") })),
        (2, json!({ "schema": "\"one\"", "references": refers("one") })),
    ]);
    all.versions.extend([(("one".to_owned(), 1), 1), (("two".to_owned(), 1), 2)]);
    let server = Server::start(all);
    is_unknown(&start(&options(&server.url(), SchemaFormat::Avro)), 1);
}

#[test]
fn a_registry_that_is_away_is_waited_for() {
    let address = free_address("127.0.0.2");
    let url = format!("http://{address}");
    let health = Arc::new(Health::default());
    let registry = Registry::start(&options(&url, SchemaFormat::Avro), &Reloads::default(), &health).unwrap();
    let error = registry.check().unwrap_err();
    assert!(error.is_away() && error.to_string().contains(&url), "{error}");
    assert!(matches!(registry.get(7), Lookup::Pending));
    until(|| health.is_unavailable("schema registry"));
    let missing = health.missing().unwrap();
    assert!(missing.starts_with(&format!("schema registry {url} is not available: ")), "{missing}");
    assert!(matches!(registry.get(7), Lookup::Pending));

    let server = Server::on(&address, content(&[(7, avro(READING))]), None);
    known(&registry, 7);
    assert_eq!(health.missing(), None);
    registry.check().unwrap();

    server.change(|content| content.status = Some(503));
    registry.get(8);
    until(|| health.missing().is_some());
    assert!(health.missing().unwrap().ends_with("HTTP 503 Service Unavailable"), "{:?}", health.missing());
    known(&registry, 7);
    server.change(|content| content.status = None);
    is_unknown(&registry, 8);
    assert_eq!(health.missing(), None);
}

#[test]
fn an_answer_that_is_no_schema_is_not_a_registry_s() {
    let health = Arc::new(Health::default());
    let server = Server::start(content(&[(7, json!("<html>"))]));
    let options = options(&server.url(), SchemaFormat::Avro);
    let registry = Registry::start(&options, &Reloads::default(), &health).unwrap();
    registry.get(7);
    until(|| health.missing().is_some());
    assert!(health.missing().unwrap().contains("something that is not a schema"));
}

#[test]
fn several_urls_are_tried_in_turn() {
    let away = free_address("127.0.0.3");
    let (one, two) = (Server::start(content(&[])), Server::start(content(&[(7, avro(READING))])));
    let urls = format!("http://{away}, {}/,{}", one.url(), two.url());
    let registry = start(&options(&urls, SchemaFormat::Avro));
    known(&registry, 7);
    // The one that answered is asked first.
    two.change(|content| _ = content.schemas.insert(8, avro(READING)));
    known(&registry, 8);
    assert_eq!((one.requests().len(), two.requests().len()), (1, 2));
    is_unknown(&registry, 9);
    registry.check().unwrap();
}

#[test]
fn a_login_is_sent_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "wrong").unwrap();
    // `fleet:sésame`
    let authorization = Some("Basic ZmxlZXQ6c8Opc2FtZQ==".to_owned());
    let server = Server::start(Content { authorization, ..content(&[(7, avro(READING))]) });
    let login = Login { user: "fleet".into(), password_file: Some(file.clone()) };
    let options = RegistryOptions { login: Some(login), ..options(&server.url(), SchemaFormat::Avro) };
    let (reloads, health) = (Reloads::default(), Arc::new(Health::default()));
    let registry = Registry::start(&options, &reloads, &health).unwrap();
    let error = registry.check().unwrap_err();
    assert!(matches!(error, RegistryError::Denied { status: 401, .. }), "{error}");
    registry.get(7);
    until(|| health.missing().is_some());
    assert!(health.missing().unwrap().ends_with("it denies access (HTTP 401)"));

    fs::write(&file, "sésame\n").unwrap();
    reloads.reload();
    known(&registry, 7);
    registry.check().unwrap();
    assert_eq!(health.missing(), None);
    assert!(!format!("{registry:?}").contains("ZmxlZXQ"));
    // A user who may only read schemas.
    server.change(|content| content.status = Some(403));
    registry.check().unwrap();
}

fn tls(folder: &Path) -> (ServerConfig, std::path::PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let file = folder.join("authority.pem");
    fs::write(&file, authority.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap(), file)
}

#[test]
fn a_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (config, authority) = tls(folder.path());
    let server = Server::with_tls(content(&[(7, avro(READING))]), config);
    let options = options(&server.url(), SchemaFormat::Avro);
    let error = start(&options).check().unwrap_err();
    assert!(matches!(error, RegistryError::Certificate { .. }), "{error}");
    let trusting = RegistryOptions { authority: Some(authority), ..options };
    let registry = start(&trusting);
    registry.check().unwrap();
    known(&registry, 7);

    for (text, says) in [("", "has no certificate"), ("-----BEGIN CERTIFICATE-----\n!", "PEM")] {
        let file = folder.path().join("wrong.pem");
        fs::write(&file, text).unwrap();
        let wrong = RegistryOptions { authority: Some(file), ..trusting.clone() };
        let error = Registry::start(&wrong, &Reloads::default(), &Arc::default()).unwrap_err();
        assert!(error.to_string().contains("wrong.pem"), "{error} {says}");
    }
}

#[test]
fn a_stop_ends_waits_for_a_registry_that_does_not_answer() {
    let server = Server::start(Content { is_silent: true, ..Content::default() });
    let registry = start(&options(&server.url(), SchemaFormat::Avro));
    let stop = Arc::new(Stop::default());
    let waiting = std::thread::spawn({
        let (registry, stop) = (registry.clone(), stop.clone());
        move || registry.wait(7, &stop)
    });
    until(|| !server.requests().is_empty());
    stop.request();
    assert!(matches!(waiting.join().unwrap(), Lookup::Pending));
    // Its thread is still waiting for the answer; the end of the job does not wait for it.
    drop(registry);
}

#[test]
fn options_that_cannot_be_used_are_refused_at_the_start() {
    let start = |options: &RegistryOptions| {
        Registry::start(options, &Reloads::default(), &Arc::default()).unwrap_err().to_string()
    };
    assert!(start(&options(" , ", SchemaFormat::Avro)).contains("it is empty"));
    let login = Some(Login { user: "u".into(), password_file: Some("/does/not/exist".into()) });
    let options = RegistryOptions { login, ..options("http://h", SchemaFormat::Avro) };
    assert!(start(&options).contains("message.registry_password_file /does/not/exist"));
}
