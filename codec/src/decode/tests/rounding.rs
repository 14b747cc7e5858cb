//! Values with more decimal places than a measure has.

use std::sync::Arc;

use dataflows::schema::FieldType;
use dataflows::views::Mode;

use super::{Rounded, decode, message, speed, take_rounded, with};
use crate::decode::{Decoder, Mapping, Message};

#[test]
fn a_rounded_value_is_counted_once_and_by_field() {
    #[track_caller]
    fn rounded(payload: String, fields: &[&str]) {
        let expected: Rounded = fields.iter().map(|field| ((*field).to_owned(), 1)).collect();
        assert_eq!(decode(&message(payload.as_bytes())).1, expected);
    }
    rounded(with(""), &[]);
    rounded(speed("0.30000000000000004"), &["engine_speed"]);
    rounded(speed("0.1000000000000"), &[]);
    rounded(speed("1e-400"), &["engine_speed"]);
    rounded(with(", 'distance_covered': 0.0000000015"), &["distance_covered"]);
    rounded(with("").replace(":27", ":27.0000001"), &["timestamp"]);
    rounded(with("").replace(":27", ":27.0000010"), &[]);
    rounded(speed("1e-400").replace(":27", ":27.0000001"), &["timestamp", "engine_speed"]);
}

#[test]
fn a_rounded_value_of_a_declared_field_is_counted() {
    let fields = [("oil", FieldType::Number), ("driver", FieldType::Text), ("load", FieldType::Number)];
    for mode in [Mode::Append, Mode::Upsert] {
        let mapping = Arc::new(Mapping::trucks_and(&fields));
        let mut decoder = Decoder::new("topic".into(), mapping).with_mode(mode);
        let mut rounded = |extra: &str| {
            let payload = with(extra);
            decoder.decode(&Message { key: Some(b"k"), ..message(payload.as_bytes()) });
            take_rounded(&mut decoder)
        };
        let once = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Rounded>();
        assert_eq!(rounded(""), []);
        assert_eq!(rounded(", 'oil': 0.1, 'driver': '0.00000000001', 'load': None"), []);
        assert_eq!(rounded(", 'load': 1e-10"), once(&["load"]));
        let all = ", 'oil': 0.30000000000000004, 'load': 1e-10, 'fuel_consumed': 1e-10";
        assert_eq!(rounded(all), once(&["fuel_consumed", "oil", "load"]));
        assert_eq!(rounded(""), [], "counts are taken once");
        assert_eq!(rounded(", 'oil': 1e-10, 'load': 'much'"), [], "only records count as rounded");
        let truck = format!(", 'oil': 1e-10, 'engine_speed': 1e-10, 'truck_id': '{}'", "x".repeat(256));
        assert_eq!(rounded(&truck), [], "only records count as rounded");
    }
}
