//! What a user of each library writes to get four values out of a message.

use std::borrow::Cow;
use std::sync::LazyLock;

use apache_avro::reader::datum::GenericDatumReader;
use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use serde::Deserialize;

use crate::BATCH;
use crate::mapped::{AVRO, COLUMNS, PROTOBUF};
use crate::messages::Messages;

/// A library, and one way to use it.
pub struct Library {
    pub title: &'static str,
    pub decode: fn(&Input) -> Sum,
    skipped: usize,
}

/// Messages as the library gets them: one after another, or as lines.
pub struct Input {
    messages: Vec<Vec<u8>>,
    lines: Vec<u8>,
}

/// What is done with the values, so that all are needed.
#[derive(Default)]
pub struct Sum {
    pub records: usize,
    time: i64,
    numbers: f64,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, time: i64, rpm: f64, lat: f64, vehicle: &str) {
        self.records += 1;
        self.time = self.time.wrapping_add(time);
        self.numbers += rpm + lat;
        self.bytes += vehicle.len();
    }
}

impl Library {
    const fn new(title: &'static str, decode: fn(&Input) -> Sum) -> Self {
        Self { title, decode, skipped: 0 }
    }

    /// Makes the messages what the library reads, which is not measured.
    pub fn input(&self, messages: &Messages) -> Input {
        let messages: Vec<Vec<u8>> =
            messages.batches(BATCH).flatten().map(|message| message[self.skipped..].to_vec()).collect();
        let mut lines = messages.join(&b'\n');
        lines.push(b'\n');
        Input { messages, lines }
    }
}

/// The libraries for messages of this format.
pub fn libraries(format: &str) -> Vec<Library> {
    match format {
        "JSON, five values" => vec![Library::new("serde_json, into a struct that borrows", json_reading)],
        "JSON, 20 values" => vec![Library::new("serde_json, into structs that borrow", json_nested)],
        "CSV, 20 values" => vec![
            Library::new("csv, one `ByteRecord` for all lines, four columns parsed", csv_columns),
            Library::new("csv, into a struct that borrows", csv_struct),
        ],
        "Avro, 20 values" => vec![
            Library::new("apache-avro, into structs", avro_struct),
            Library::new("apache-avro, `Value`", avro_value),
        ],
        // The byte that says which message of the schema follows is not a library's.
        "Protobuf, 20 values" => vec![
            Library { skipped: 1, ..Library::new("prost, compiled structs", protobuf_struct) },
            Library { skipped: 1, ..Library::new("prost-reflect, `DynamicMessage`", protobuf_dynamic) },
        ],
        other => panic!("{other} has no library"),
    }
}

fn each(input: &Input, mut add: impl FnMut(&[u8], &mut Sum)) -> Sum {
    let mut sum = Sum::default();
    input.messages.iter().for_each(|message| add(message, &mut sum));
    sum
}

#[derive(Deserialize)]
struct Reading<'a> {
    timestamp: &'a str,
    distance_covered: f64,
    engine_speed: f64,
    fuel_consumed: f64,
    truck_id: &'a str,
}

fn json_reading(input: &Input) -> Sum {
    each(input, |message, sum| {
        let found: Reading = serde_json::from_slice(message).expect("it is a reading");
        let time = found.timestamp.len() as i64;
        sum.add(time, found.engine_speed + found.fuel_consumed, found.distance_covered, found.truck_id);
    })
}

/// Fields that are not declared are skipped.
#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    vehicle: Vehicle<'a>,
    gps: Gps,
    can: Can,
}

#[derive(Deserialize)]
struct Vehicle<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct Gps {
    fix: Fix,
}

#[derive(Deserialize)]
struct Fix {
    time: i64,
    lat: f64,
}

#[derive(Deserialize)]
struct Can {
    engine: Engine,
}

#[derive(Deserialize)]
struct Engine {
    rpm: Option<f64>,
}

fn json_nested(input: &Input) -> Sum {
    each(input, |message, sum| {
        let found: Nested = serde_json::from_slice(message).expect("it is a message");
        let rpm = found.can.engine.rpm.unwrap_or_default();
        sum.add(found.gps.fix.time, rpm, found.gps.fix.lat, found.vehicle.id);
    })
}

fn csv_reader(input: &Input) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).from_reader(&input.lines)
}

fn csv_columns(input: &Input) -> Sum {
    let column = |name| COLUMNS.split(' ').position(|column| column == name).expect("it is a column");
    let [time, rpm, lat, vehicle] = ["time", "rpm", "lat", "vehicle"].map(column);
    let (mut reader, mut sum) = (csv_reader(input), Sum::default());
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).expect("it is CSV") {
        let text = |column: usize| str::from_utf8(&record[column]).expect("it is UTF-8");
        let number = |column| text(column).parse::<f64>().expect("it is a number");
        sum.add(text(time).parse().expect("it is an integer"), number(rpm), number(lat), text(vehicle));
    }
    sum
}

#[derive(Deserialize)]
struct Line<'a> {
    vehicle: &'a str,
    time: i64,
    lat: f64,
    rpm: Option<f64>,
}

fn csv_struct(input: &Input) -> Sum {
    let header = csv::StringRecord::from(COLUMNS.split(' ').collect::<Vec<_>>());
    let (mut reader, mut sum) = (csv_reader(input), Sum::default());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).expect("it is CSV") {
        let found: Line = record.deserialize(Some(&header)).expect("it is a line");
        sum.add(found.time, found.rpm.unwrap_or_default(), found.lat, found.vehicle);
    }
    sum
}

static AVRO_SCHEMA: LazyLock<apache_avro::Schema> =
    LazyLock::new(|| apache_avro::Schema::parse_str(AVRO).expect("it is a schema"));

fn avro_reader() -> GenericDatumReader<'static> {
    GenericDatumReader::builder(&AVRO_SCHEMA).build().expect("it is resolved")
}

/// It cannot borrow from what it reads, and names are those of the schema.
#[derive(Deserialize)]
#[serde(rename = "Message")]
struct OwnedNested {
    vehicle: OwnedVehicle,
    gps: Gps,
    can: WholeCan,
}

#[derive(Deserialize)]
#[serde(rename = "Vehicle")]
struct OwnedVehicle {
    id: String,
}

/// apache-avro 0.22 cannot skip a record, so the one that nobody wants is declared as well.
#[derive(Deserialize)]
#[serde(rename = "Can")]
struct WholeCan {
    engine: Engine,
    #[allow(dead_code)]
    fuel: Fuel,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Fuel {
    level: f64,
    used: f64,
}

fn avro_struct(input: &Input) -> Sum {
    let reader = avro_reader();
    each(input, |mut message, sum| {
        let found: OwnedNested = reader.read_deser(&mut message).expect("it is a message");
        let rpm = found.can.engine.rpm.unwrap_or_default();
        sum.add(found.gps.fix.time, rpm, found.gps.fix.lat, &found.vehicle.id);
    })
}

fn avro_value(input: &Input) -> Sum {
    use apache_avro::types::Value;

    fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
        let Value::Record(fields) = value else { panic!("{value:?} is no record") };
        &fields.iter().find(|(field, _)| field == name).expect("it has the field").1
    }
    let reader = avro_reader();
    each(input, |mut message, sum| {
        let found = reader.read_value(&mut message).expect("it is a message");
        let fix = field(field(&found, "gps"), "fix");
        let Value::TimestampMillis(time) = field(fix, "time") else { panic!("it is a time") };
        let Value::Double(lat) = field(fix, "lat") else { panic!("it is a number") };
        let Value::Union(_, rpm) = field(field(field(&found, "can"), "engine"), "rpm") else {
            panic!("it is a union")
        };
        let Value::Double(rpm) = **rpm else { panic!("it is a number") };
        let Value::String(vehicle) = field(field(&found, "vehicle"), "id") else { panic!("it is a text") };
        sum.add(*time, rpm, *lat, vehicle);
    })
}

/// As `prost-build` writes structs. Fields that are not declared are skipped, as in the other structs.
mod compiled {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Message {
        #[prost(message, optional, tag = "1")]
        pub vehicle: Option<Vehicle>,
        #[prost(message, optional, tag = "2")]
        pub gps: Option<Gps>,
        #[prost(message, optional, tag = "3")]
        pub can: Option<Can>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Vehicle {
        #[prost(string, tag = "1")]
        pub id: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Gps {
        #[prost(message, optional, tag = "1")]
        pub fix: Option<Fix>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Fix {
        #[prost(int64, tag = "1")]
        pub time: i64,
        #[prost(double, tag = "2")]
        pub lat: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Can {
        #[prost(message, optional, tag = "1")]
        pub engine: Option<Engine>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Engine {
        #[prost(double, tag = "1")]
        pub rpm: f64,
    }
}

fn protobuf_struct(input: &Input) -> Sum {
    each(input, |message, sum| {
        let found = compiled::Message::decode(message).expect("it is a message");
        let fix = found.gps.and_then(|gps| gps.fix).unwrap_or_default();
        let engine = found.can.and_then(|can| can.engine).unwrap_or_default();
        sum.add(fix.time, engine.rpm, fix.lat, &found.vehicle.unwrap_or_default().id);
    })
}

static PROTOBUF_TYPE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let file = protox_parse::parse("message.proto", PROTOBUF).expect("it is a schema");
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file] });
    pool.expect("it is resolved").get_message_by_name("Message").expect("it has the message")
});

fn protobuf_dynamic(input: &Input) -> Sum {
    fn field<'a>(message: &'a DynamicMessage, name: &str) -> Cow<'a, Value> {
        message.get_field_by_name(name).expect("it has the field")
    }
    fn part(value: &Value) -> &DynamicMessage {
        value.as_message().expect("it is a message")
    }
    each(input, |message, sum| {
        let found = DynamicMessage::decode(PROTOBUF_TYPE.clone(), message).expect("it is a message");
        let (gps, can, vehicle) = (field(&found, "gps"), field(&found, "can"), field(&found, "vehicle"));
        let (fix, engine) = (field(part(&gps), "fix"), field(part(&can), "engine"));
        let number = |value: Cow<Value>| value.as_f64().expect("it is a number");
        let time = field(part(&fix), "time").as_i64().expect("it is an integer");
        let (rpm, lat) = (number(field(part(&engine), "rpm")), number(field(part(&fix), "lat")));
        sum.add(time, rpm, lat, field(part(&vehicle), "id").as_str().expect("it is a text"));
    })
}
