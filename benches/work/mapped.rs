//! Messages of other producers: 20 values, nested three deep where the format nests, of which a mapping uses four.

use std::io::Write;
use std::sync::Arc;

use codec::decode::mapping::{FieldMapping, Format, Mapping, Source};
use codec::decode::path::{Path, Pointer};
use codec::decode::{Decoder, Schema as MessageSchema, SchemaFormat};
use codec::text::time::{TimeForm, Unit};
use dataflows::schema::{FieldType, Schema};

use super::messages::{Messages, scrambled};

pub const AVRO: &str = r#"{"type": "record", "name": "Message", "fields": [
    {"name": "vehicle", "type": {"type": "record", "name": "Vehicle", "fields": [
        {"name": "id", "type": "string"}, {"name": "vin", "type": "string"}, {"name": "group", "type": "int"}]}},
    {"name": "gps", "type": {"type": "record", "name": "Gps", "fields": [
        {"name": "fix", "type": {"type": "record", "name": "Fix", "fields": [
            {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "lat", "type": "double"}, {"name": "lon", "type": "double"},
            {"name": "alt", "type": ["null", "int"]}, {"name": "sats", "type": "int"}]}},
        {"name": "source", "type": "string"}, {"name": "valid", "type": "boolean"}]}},
    {"name": "can", "type": {"type": "record", "name": "Can", "fields": [
        {"name": "engine", "type": {"type": "record", "name": "Engine", "fields": [
            {"name": "rpm", "type": ["null", "double"]}, {"name": "temp", "type": "double"},
            {"name": "load", "type": "int"}]}},
        {"name": "odometer", "type": "double"},
        {"name": "fuel", "type": {"type": "record", "name": "Fuel", "fields": [
            {"name": "level", "type": "double"}, {"name": "used", "type": "double"}]}}]}},
    {"name": "seq", "type": "long"}, {"name": "status", "type": "string"},
    {"name": "trip", "type": ["null", "string"]}]}"#;

pub const PROTOBUF: &str = r#"syntax = "proto3";
message Message {
    message Vehicle { string id = 1; string vin = 2; int32 group = 3; }
    message Fix { int64 time = 1; double lat = 2; double lon = 3; int32 alt = 4; int32 sats = 5; }
    message Gps { Fix fix = 1; string source = 2; bool valid = 3; }
    message Engine { double rpm = 1; double temp = 2; int32 load = 3; }
    message Fuel { double level = 1; double used = 2; }
    message Can { Engine engine = 1; double odometer = 2; Fuel fuel = 3; }
    Vehicle vehicle = 1; Gps gps = 2; Can can = 3; int64 seq = 4; string status = 5; string trip = 6;
}"#;

/// The columns of a line of CSV, which has no header.
pub const COLUMNS: &str = "vehicle vin group time lat lon alt sats source valid rpm temp load odometer level used seq status trip end";

/// What differs between messages.
struct Values {
    truck: usize,
    time: u64,
    lat: f64,
    lon: f64,
    rpm: f64,
    seq: usize,
}

impl Values {
    fn new(index: usize) -> Self {
        let random = scrambled(index);
        Self {
            truck: random % 10,
            time: 1_681_088_547_123 + index as u64 * 360,
            lat: 48.1 + (random % 1000) as f64 / 10_000.0,
            lon: 11.5 + (random % 977) as f64 / 10_000.0,
            rpm: 1400.5 + (random % 300) as f64,
            seq: index,
        }
    }
}

/// A format, with a decoder and messages for it.
pub struct Mapped {
    pub name: &'static str,
    pub decoder: fn() -> Decoder,
    pub messages: fn(usize) -> Messages,
}

pub const ALL: [Mapped; 4] = [
    Mapped { name: "mapped_json", decoder: json_decoder, messages: |count| messages(count, json) },
    Mapped { name: "mapped_csv", decoder: csv_decoder, messages: |count| messages(count, csv) },
    Mapped { name: "mapped_avro", decoder: avro_decoder, messages: |count| messages(count, avro) },
    Mapped {
        name: "mapped_protobuf",
        decoder: protobuf_decoder,
        messages: |count| messages(count, protobuf),
    },
];

fn messages(count: usize, write: fn(&Values, &mut Vec<u8>)) -> Messages {
    Messages::written(0..count, |index, out| write(&Values::new(index), out))
}

/// A decoder for messages that are mapped so.
pub fn of(mapping: Mapping) -> Decoder {
    Decoder::new("Truck-Data".into(), Arc::new(mapping))
}

/// Reads four values at these paths.
fn decoder(format: Format, [time, rpm, lat, vehicle]: [&str; 4]) -> Decoder {
    let schema = Schema::new("time")
        .with("rpm", FieldType::Number)
        .with("lat", FieldType::Number)
        .with("vehicle", FieldType::Text)
        .with_key("vehicle");
    let field = |name: &str, path: &str| {
        let declared = schema.field(name).expect("it was declared");
        let first = Pointer::parse(path).expect("it is a pointer");
        let source = Source::Value { path: Path { first, then: Vec::new() }, of_message: false };
        FieldMapping { source, ..FieldMapping::named(name, declared.field_type, declared.place) }
    };
    let mut fields =
        vec![field("time", time), field("rpm", rpm), field("lat", lat), field("vehicle", vehicle)];
    fields[0].time = TimeForm::unit(Unit::Millis);
    fields[0].required = true;
    of(Mapping { fields, format, root: Vec::new(), computed: Vec::new(), only: None, key: Some(3), schema })
}

const NESTED: [&str; 4] = ["/gps/fix/time", "/can/engine/rpm", "/gps/fix/lat", "/vehicle/id"];

fn json_decoder() -> Decoder {
    decoder(Format::Text, NESTED)
}

fn csv_decoder() -> Decoder {
    let columns = COLUMNS.split(' ').map(str::to_owned).collect();
    decoder(Format::Csv { separator: b',', columns: Some(columns) }, ["time", "rpm", "lat", "vehicle"])
}

fn avro_decoder() -> Decoder {
    of_schema(SchemaFormat::Avro, AVRO)
}

fn protobuf_decoder() -> Decoder {
    of_schema(SchemaFormat::Protobuf, PROTOBUF)
}

fn of_schema(format: SchemaFormat, schema: &str) -> Decoder {
    let schema = MessageSchema::parse(format, schema, &[]).expect("it is a schema");
    decoder(Format::Schema(Arc::new(schema)), NESTED)
}

fn json(Values { truck, time, lat, lon, rpm, seq }: &Values, out: &mut Vec<u8>) {
    let written = write!(
        out,
        r#"{{"vehicle":{{"id":"truck-{truck}","vin":"WDB9634031L123456","type":"tractor","group":7}},"gps":{{"fix":{{"time":{time},"lat":{lat:.4},"lon":{lon:.4},"alt":519,"sats":12}},"source":"glonass","valid":true}},"can":{{"engine":{{"rpm":{rpm},"temp":88.5,"load":45}},"odometer":123456.7,"fuel":{{"level":61.5,"used":12.25}}}},"seq":{seq},"status":"ok","trip":null}}"#
    );
    written.expect("memory takes all");
}

fn csv(Values { truck, time, lat, lon, rpm, seq }: &Values, out: &mut Vec<u8>) {
    let written = write!(
        out,
        "truck-{truck},WDB9634031L123456,7,{time},{lat:.4},{lon:.4},519,12,glonass,true,{rpm},88.5,45,123456.7,61.5,12.25,{seq},ok,,end"
    );
    written.expect("memory takes all");
}

fn avro(values: &Values, out: &mut Vec<u8>) {
    fn long(value: u64, out: &mut Vec<u8>) {
        varint(value << 1, out);
    }
    fn text(value: &str, out: &mut Vec<u8>) {
        long(value.len() as u64, out);
        out.extend_from_slice(value.as_bytes());
    }
    let double = |value: f64, out: &mut Vec<u8>| out.extend(value.to_le_bytes());
    text(&format!("truck-{}", values.truck), out);
    text("WDB9634031L123456", out);
    long(7, out);
    long(values.time, out);
    double(values.lat, out);
    double(values.lon, out);
    // The second of the union.
    long(1, out);
    long(519, out);
    long(12, out);
    text("glonass", out);
    out.push(1);
    long(1, out);
    double(values.rpm, out);
    double(88.5, out);
    long(45, out);
    [123_456.7, 61.5, 12.25].into_iter().for_each(|value| double(value, out));
    long(values.seq as u64, out);
    text("ok", out);
    long(0, out);
}

fn protobuf(values: &Values, out: &mut Vec<u8>) {
    fn integer(field: u8, value: u64, out: &mut Vec<u8>) {
        out.push(field << 3);
        varint(value, out);
    }
    fn double(field: u8, value: f64, out: &mut Vec<u8>) {
        out.push(field << 3 | 1);
        out.extend(value.to_le_bytes());
    }
    fn bytes(field: u8, value: &[u8], out: &mut Vec<u8>) {
        out.push(field << 3 | 2);
        varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
    let message = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        bytes
    };
    let vehicle = message(&|out| {
        bytes(1, format!("truck-{}", values.truck).as_bytes(), out);
        bytes(2, b"WDB9634031L123456", out);
        integer(3, 7, out);
    });
    let fix = message(&|out| {
        integer(1, values.time, out);
        double(2, values.lat, out);
        double(3, values.lon, out);
        integer(4, 519, out);
        integer(5, 12, out);
    });
    let engine = message(&|out| {
        double(1, values.rpm, out);
        double(2, 88.5, out);
        integer(3, 45, out);
    });
    let fuel = message(&|out| {
        double(1, 61.5, out);
        double(2, 12.25, out);
    });
    let gps = message(&|out| {
        bytes(1, &fix, out);
        bytes(2, b"glonass", out);
        integer(3, 1, out);
    });
    let can = message(&|out| {
        bytes(1, &engine, out);
        double(2, 123_456.7, out);
        bytes(3, &fuel, out);
    });
    // A schema of a registry may have several messages; this is the first.
    out.push(0);
    bytes(1, &vehicle, out);
    bytes(2, &gps, out);
    bytes(3, &can, out);
    integer(4, values.seq as u64, out);
    bytes(5, b"ok", out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
