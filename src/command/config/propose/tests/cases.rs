//! The producers of `fixtures/messages/`: the proposal accepts every reading that the job of the case accepts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codec::decode::{Lookup, Schema, SchemaFormat, Schemas, confluent};
use serde_json::Value as Json;

use super::accept::{accepted, accepted_with, sample_as};
use super::topic;
use crate::command::config::propose::{Format, Hints, Input, Registry, Unreadable, Value};
use crate::command::config::propose::{propose, propose_values};
use crate::source::sample::{OwnHeaders, Sample, Sampled};

#[test]
fn the_proposal_accepts_what_the_job_of_each_case_accepts() {
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/messages")).unwrap();
    let mut folders: Vec<PathBuf> =
        folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut failed = Vec::new();
    for folder in &folders {
        let job = fs::read_to_string(folder.join("job.toml")).unwrap();
        // What it accepts does not depend on its views.
        let job = job.replacen("views = \"views.sql\"\n", "", 1);
        let file = ["input.jsonl", "input.csv"].iter().find_map(|name| fs::read(folder.join(name)).ok());
        let messages = fs::read(folder.join("messages.json"));
        let (proposed, expected) = match (file, messages) {
            (Some(bytes), _) => of_file(&job, &bytes),
            (None, Ok(messages)) => of_topic(&job, &messages, folder),
            // Its input is made by a test.
            (None, Err(_)) => continue,
        };
        let is_less =
            |(offset, readings): (&i64, &usize)| proposed.get(offset).is_none_or(|own| own < readings);
        if expected.iter().any(is_less) || expected.is_empty() {
            failed.push(format!("{}: {proposed:?} of {expected:?}", folder.display()));
        }
    }
    assert!(folders.len() > 20 && failed.is_empty(), "{}", failed.join("\n"));
}

/// The accepted readings of each message.
type Accepted = BTreeMap<i64, usize>;

/// What the proposal accepts, and what the job does.
fn of_file(job: &str, bytes: &[u8]) -> (Accepted, Accepted) {
    let hints = Hints { input: Input::File("input".into()), registry: None };
    let proposal = propose(&sample_as("", bytes), &hints).unwrap().to_string();
    let accepted = |config: &str| accepted(config, &sample_as(config, bytes));
    (accepted(&proposal), accepted(job))
}

fn of_topic(job: &str, messages: &[u8], folder: &Path) -> (Accepted, Accepted) {
    let messages: Vec<Json> = serde_json::from_slice(messages).unwrap();
    let messages = messages.iter().zip(0..).map(|(message, offset)| sampled(message, offset)).collect();
    let sample = Sample { header: None, messages };
    let (name, format) = match job.contains("\"avro\"") {
        true => ("avro", SchemaFormat::Avro),
        false if job.contains("\"protobuf\"") => ("protobuf", SchemaFormat::Protobuf),
        false => ("json", SchemaFormat::Json),
    };
    let schemas: Arc<dyn Schemas> = Arc::new(Files { folder: folder.join("registry"), format });
    let hints = topic(Some("http://127.0.0.1:8081"));
    let proposal = match propose(&sample, &hints) {
        Err(Unreadable::Registry { .. }) => {
            let values = sample.messages.iter().map(|message| values(&*schemas, message)).collect();
            let format = Format { name, separator: None, columns: None, registry: Some(Registry::default()) };
            propose_values(&sample, format, values, &hints)
        }
        proposal => proposal,
    };
    let accepted = |config: &str| accepted_with(config, &sample, Some(schemas.clone()));
    (accepted(&proposal.unwrap().to_string()), accepted(job))
}

fn sampled(message: &Json, offset: i64) -> Sampled {
    let bytes = |key: &str| message[key].as_str().map(|text| STANDARD.decode(text).unwrap());
    let headers = message["headers"].as_object().into_iter().flatten();
    let header = |(name, value): (&String, &Json)| (name.clone(), value.as_str().map(|text| text.into()));
    Sampled {
        offset,
        timestamp: message["timestamp_ms"].as_i64(),
        key: bytes("key"),
        payload: bytes("value"),
        headers: OwnHeaders(headers.map(header).collect()),
        ..Sampled::default()
    }
}

fn values(schemas: &dyn Schemas, message: &Sampled) -> Vec<Value> {
    let (id, body) = confluent::split(message.payload.as_deref().unwrap()).unwrap();
    let Lookup::Known(schema) = schemas.get(id) else { return Vec::new() };
    schema.decode(body).and_then(Result::ok).iter().map(Value::from).collect()
}

/// The schemas of a folder.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    format: SchemaFormat,
}

impl Schemas for Files {
    fn get(&self, id: u32) -> Lookup {
        let Ok(text) = fs::read(self.folder.join(format!("{id}.json"))) else { return Lookup::Unknown };
        let answer: Json = serde_json::from_slice(&text).unwrap();
        let schema = Schema::parse(self.format, answer["schema"].as_str().unwrap(), &[]).unwrap();
        Lookup::Known(Arc::new(schema))
    }
}
