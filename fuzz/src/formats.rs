//! Formats that have a schema: its text in the first line, a message behind it.

use truckflow::decode::Undecodable;
use truckflow::decode::avro::AvroSchema;
use truckflow::decode::protobuf::ProtobufSchema;
use truckflow::decode::tree::{MAX_DEPTH, Tree};

use super::split;

/// What any message becomes has bounds.
fn check(decoded: &Result<Tree<'_>, Undecodable>) {
    fn depth(tree: &Tree<'_>) -> usize {
        match tree {
            Tree::Object(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
            Tree::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
            Tree::Scalar(_) => 0,
        }
    }
    if let Ok(tree) = decoded {
        // A list in the innermost message counts as well.
        assert!(depth(tree) <= MAX_DEPTH + 1);
    }
}

/// Avro. A datum is not the beginning of another one.
pub fn avro(bytes: &[u8]) {
    let (Some(schema), datum) = split(bytes, b'\n') else { return };
    let Some(schema) = std::str::from_utf8(schema).ok().and_then(|text| AvroSchema::parse(text, &[]).ok())
    else {
        return;
    };
    let decoded = schema.decode(datum);
    check(&decoded);
    if decoded.is_ok() {
        assert_eq!(schema.decode(&[datum, b"\0"].concat()), Err(Undecodable::Malformed));
        if let Some(shorter) = datum.len().checked_sub(1) {
            assert_eq!(schema.decode(&datum[..shorter]), Err(Undecodable::Malformed));
        }
    }
}

/// Protobuf. Without a line end all is a set of descriptors.
pub fn protobuf(bytes: &[u8]) {
    let (schema, message) = split(bytes, b'\n');
    let text = schema.and_then(|schema| std::str::from_utf8(schema).ok());
    if let Some(schema) = text.and_then(|text| ProtobufSchema::of_registry(text, &[]).ok()) {
        check(&schema.decode(message));
    }
    let (name, set) = split(bytes, b' ');
    let name = name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("A");
    if let Ok(schema) = ProtobufSchema::of_descriptor_set(set, name) {
        check(&schema.decode(set));
    }
}
