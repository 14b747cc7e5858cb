//! Avro and Protobuf against bytes of the reference libraries, which `data/generate_*.py` wrote, and against the crates
//! `apache-avro` and `prost-reflect` on bytes that were changed.

mod avro;
mod protobuf;
mod shown;

use std::fs;
use std::path::Path;

use codec::decode::Reference;
use serde_json::Value;

/// The cases of a file in `data`.
fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The bytes and expected values of a case.
fn values(case: &Value) -> impl Iterator<Item = (Vec<u8>, &Value)> {
    let values = case["values"].as_array().unwrap().iter();
    values.map(|value| (bytes(&value["bytes"]), &value["expected"]))
}

fn references(case: &Value, schema: &str) -> Vec<Reference> {
    let references = case["references"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    references
        .map(|reference| Reference { name: text(&reference["name"]), schema: text(&reference[schema]) })
        .collect()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Bytes that were changed, at places that are drawn.
fn changed(bytes: &[u8], changes: &[(proptest::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, kind, byte) in changes {
        if bytes.is_empty() {
            bytes.push(*byte);
        }
        let place = place.index(bytes.len());
        match kind % 4 {
            0 => bytes[place] = *byte,
            1 => bytes.insert(place, *byte),
            2 => _ = bytes.remove(place),
            _ => bytes.truncate(place),
        }
    }
    bytes
}
