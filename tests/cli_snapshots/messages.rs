//! How messages are read, field by field.

use crate::session::{READING, Session};

#[test]
fn messages_are_explained() {
    let mut jobs = Session::new();
    jobs.file(
        "nested.toml",
        r#"[message]
root = "/data"
only = "engine_speed IS NULL OR engine_speed < 1000"
[record]
timestamp = { path = "/t", unit = "ms" }
engine_speed = { path = "/can/rpm" }
fuel_consumed = { optional = true, bad = "null" }
device = { type = "text", path = "/device/id", in = "message" }
topic = { type = "text", from = "kafka.topic" }
"#,
    );
    jobs.file(
        "several.json",
        r#"{"device": {"id": "d-1\u001b[31m"}, "data": [
 {"t": 1681088547000, "distance_covered": 1, "can": {"rpm": "80.50"}, "fuel_consumed": "x", "truck_id": "a"},
 {"t": 1681088547000, "distance_covered": 1, "can": {"rpm": "fast"}},
 {"t": 1681088547000, "distance_covered": 1, "can": {"rpm": 2000}}, 5]}
"#,
    );
    jobs.file("csv.toml", "[message]\nformat = \"csv\"\nseparator = \";\"\n");
    jobs.file(
        "lines.csv",
        "timestamp;distance_covered;engine_speed;fuel_consumed\n2023-04-10 01:02:27;1;80;0\n2023-04-10;1;80\n",
    );
    jobs.file("r.jsonl", READING);
    for line in [
        "replay --explain @several.json --explain-key k --config nested.toml",
        "replay --explain '{\"data\": {\"t\": 1681088547000, \"can\": {\"rpm\": 80}}}' --config nested.toml --json --set input=r.jsonl",
        "replay --explain @lines.csv --config csv.toml",
        "replay --explain @r.jsonl",
        "replay --explain @r.jsonl --topic other --set message.root=/data",
        "replay --explain '{\"timestamp\": 1681088547000}'",
        "replay --explain '{\"timestamp\": \"2023-04-10'",
        "replay --explain -",
        "replay --explain @r.jsonl --set mode=upsert",
        "replay --explain @r.jsonl --set mode=upsert --explain-key truck-1",
        "replay --explain @r.jsonl --set input=r.jsonl",
    ] {
        jobs.run(line);
    }
    jobs.is_page("messages");
}

#[test]
fn messages_that_cannot_be_explained() {
    let mut wrong = Session::new();
    wrong.file("r.jsonl", READING);
    for line in [
        "replay --explain @missing.json",
        "replay --explain kafka:17",
        "replay --explain kafka:0/17 --set input=r.jsonl",
        "replay --explain {} --config missing.toml",
        "replay --explain {} --set message.root=~",
        "replay --explain {} r.jsonl",
        "replay r.jsonl --parts --topic t",
    ] {
        wrong.run(line);
    }
    wrong.is_page("messages_wrong");
}
