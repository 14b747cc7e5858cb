//! Formats a reading as JSON or as a printed Python dict.

use super::truck::Reading;
use crate::cli::simulate::Format;
use crate::text::time::TimeWriter;

/// The text around the values, in field order.
struct Frame {
    timestamp: &'static [u8],
    distance: &'static [u8],
    speed: &'static [u8],
    fuel: &'static [u8],
    truck: &'static [u8],
    end_with_truck: &'static [u8],
    end: &'static [u8],
}

const JSON: Frame = Frame {
    timestamp: br#"{"timestamp": ""#,
    distance: br#"", "distance_covered": "#,
    speed: br#", "engine_speed": "#,
    fuel: br#", "fuel_consumed": "#,
    truck: br#", "truck_id": ""#,
    end_with_truck: b"\"}\n",
    end: b"}\n",
};
const PYTHON: Frame = Frame {
    timestamp: b"{'timestamp': '",
    distance: b"', 'distance_covered': ",
    speed: b", 'engine_speed': ",
    fuel: b", 'fuel_consumed': ",
    truck: b", 'truck_id': '",
    end_with_truck: b"'}\n",
    end: b"}\n",
};
const NUMPY: Frame = Frame {
    timestamp: b"{'timestamp': '",
    distance: b"', 'distance_covered': np.float64(",
    speed: b"), 'engine_speed': np.float64(",
    fuel: b"), 'fuel_consumed': np.float64(",
    truck: b"), 'truck_id': '",
    end_with_truck: b"'}\n",
    end: b")}\n",
};

/// Formats readings into a reused buffer.
pub(super) struct Message {
    frame: Frame,
    clock: TimeWriter,
    text: Vec<u8>,
}

impl Message {
    pub(super) fn new(format: Format) -> Message {
        let frame = match format {
            Format::Json => JSON,
            Format::Python => PYTHON,
            Format::Numpy => NUMPY,
        };
        Message { frame, clock: TimeWriter::default(), text: Vec::new() }
    }

    /// The reading as a line with its line feed; without the truck's name if that is empty.
    pub(super) fn line(&mut self, reading: &Reading, name: &str) -> &[u8] {
        let Message { frame, clock, text } = self;
        text.clear();
        text.extend_from_slice(frame.timestamp);
        // Python omits a zero fraction.
        let time = clock.text(reading.micros);
        text.extend_from_slice(time.strip_suffix(b".000000").unwrap_or(&time));
        text.extend_from_slice(frame.distance);
        write_rounded(text, reading.distance);
        text.extend_from_slice(frame.speed);
        write_rounded(text, reading.speed);
        text.extend_from_slice(frame.fuel);
        write_rounded(text, reading.fuel);
        if name.is_empty() {
            text.extend_from_slice(frame.end);
        } else {
            text.extend_from_slice(frame.truck);
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(frame.end_with_truck);
        }
        text
    }
}

/// Appends a value rounded to two decimals as Python's `repr(round(value, 2))`: at least one decimal,
/// no second one that is zero.
fn write_rounded(out: &mut Vec<u8>, value: f64) {
    let cents = (value * 100.0).round_ties_even() as i64;
    if cents < 0 {
        out.push(b'-');
    }
    let cents = cents.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(cents / 100).as_bytes());
    let (tenth, hundredth) = ((cents / 10 % 10) as u8, (cents % 10) as u8);
    out.extend_from_slice(&[b'.', b'0' + tenth]);
    if hundredth != 0 {
        out.push(b'0' + hundredth);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rounded(value: f64) -> String {
        let mut out = Vec::new();
        write_rounded(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (0.004, "0.0"),
            (0.01, "0.01"),
            (0.1, "0.1"),
            (79.2, "79.2"),
            (79.999, "80.0"),
            (16_777.216, "16777.22"),
            (-1.5, "-1.5"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }

    proptest! {
        /// Rust's `{:?}` of a float is Python's `repr` in this range.
        #[test]
        fn rounded_values_are_the_shortest_text_of_themselves(cents in 0_i64..100_000_000_000) {
            let value = cents as f64 / 100.0;
            prop_assert_eq!(rounded(value), format!("{value:?}"));
        }
    }

    #[test]
    fn the_three_forms() {
        let reading =
            Reading { truck: 0, micros: 1_681_088_547_123_456, distance: 0.01, speed: 79.2, fuel: 0.0 };
        let line =
            |format, name| String::from_utf8(Message::new(format).line(&reading, name).to_vec()).unwrap();
        let json = r#"{"timestamp": "2023-04-10 01:02:27.123456", "distance_covered": 0.01, "engine_speed": 79.2, "fuel_consumed": 0.0}"#;
        assert_eq!(line(Format::Json, ""), format!("{json}\n"));
        assert_eq!(line(Format::Python, ""), format!("{}\n", json.replace('"', "'")));
        assert_eq!(
            line(Format::Numpy, ""),
            "{'timestamp': '2023-04-10 01:02:27.123456', 'distance_covered': np.float64(0.01), \
             'engine_speed': np.float64(79.2), 'fuel_consumed': np.float64(0.0)}\n"
        );
        assert!(
            line(Format::Json, "truck-1").ends_with("\"fuel_consumed\": 0.0, \"truck_id\": \"truck-1\"}\n")
        );
        assert!(line(Format::Python, "truck-1").ends_with("'fuel_consumed': 0.0, 'truck_id': 'truck-1'}\n"));
        assert!(
            line(Format::Numpy, "truck-1")
                .ends_with("'fuel_consumed': np.float64(0.0), 'truck_id': 'truck-1'}\n")
        );
    }
}
