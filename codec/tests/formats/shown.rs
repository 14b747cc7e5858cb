//! A tree as the JSON of `data/values.py`.

use codec::decode::tree::{Scalar, Tree};
use serde_json::{Map, Value, json};

pub fn shown(tree: &Tree<'_>) -> Value {
    match tree {
        Tree::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone().into_owned(), shown(value)));
            json!({ "object": entries.collect::<Map<_, _>>() })
        }
        Tree::Array(elements) => elements.iter().map(shown).collect(),
        Tree::Scalar(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Number(text) => json!({ "number": text }),
            Scalar::Integer(value) => json!({ "integer": value.to_string() }),
            Scalar::Double(value) => json!({ "double": format!("{value:?}") }),
            Scalar::Float(value) => json!({ "float": format!("{value:?}") }),
            Scalar::Text(text) => json!(text),
            Scalar::Time { nanos, unit, local } => {
                json!({ "time": nanos.to_string(), "unit": format!("{unit:?}"), "local": local })
            }
            Scalar::Bytes => json!({ "bytes": true }),
            // They are of texts.
            Scalar::PythonBoolean(_) | Scalar::NotFinite(_) | Scalar::Nested => {
                json!({ "other": format!("{scalar:?}") })
            }
        },
    }
}
