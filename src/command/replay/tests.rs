//! Replays into the mock cluster of librdkafka.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use dataflows::dead_letter::Reason;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::summary::Why;
use super::*;
use crate::decode::NoEnvelope;
use crate::kafka::producer::ProduceError;
use crate::kafka::producer::tests::{Seen, cluster, read};
use crate::kafka::properties::Properties;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: ReplayArgs,
}

fn replay(file: &Path, flags: &[&str]) -> Result<Summary, ReplayError> {
    let args = [&["replay", file.to_str().unwrap()], flags].concat();
    let args = Command::try_parse_from(args).unwrap_or_else(|error| panic!("{error}")).args;
    run_until(&args, &Stop::default())
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn some(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

#[test]
fn lines_go_out_as_they_are_over_the_partitions_in_turn() {
    let cluster = cluster("t", 2);
    let brokers = cluster.bootstrap_servers();
    let (_folder, path) = file("in.jsonl", "{\"a\": 1}\nnot json \r\n\n{'a': 'ü'}");
    let summary = replay(&path, &["--topic", "t", "--brokers", &brokers]).unwrap();
    assert_eq!((summary.sent, summary.failed), (3, 0));
    let expected: Vec<Seen> =
        vec![(0, None, some("{\"a\": 1}")), (0, None, some("{'a': 'ü'}")), (1, None, some("not json "))];
    assert_eq!(read(&brokers, "t", 2, 3), expected);
}

#[test]
fn a_field_of_the_line_becomes_the_key() {
    let cluster = cluster("t", 4);
    let brokers = cluster.bootstrap_servers();
    let lines: String = (0..40).map(|n| format!("{{'truck_id': 'truck-{}'}}\n", n % 5)).collect();
    let (_folder, path) = file("in.txt", &(lines + "none\n"));
    replay(&path, &["--topic", "t", "--brokers", &brokers, "--key", "truck_id"]).unwrap();
    let seen = read(&brokers, "t", 4, 41);
    let partitions_of_keys: BTreeSet<_> =
        seen.iter().filter_map(|(partition, key, _)| key.clone().map(|key| (key, *partition))).collect();
    assert_eq!(partitions_of_keys.len(), 5);
    assert_eq!(seen.iter().filter(|(_, key, _)| key.is_none()).count(), 1);
}

#[test]
fn text_before_the_separator_is_the_key_and_an_empty_rest_is_a_tombstone() {
    let cluster = cluster("t", 1);
    let brokers = cluster.bootstrap_servers();
    let (_folder, path) = file("in.txt", "k\t{\"a\": \"\t\"}\r\n{}\nk\t\nk\t\r\n\t1\nl\t\nm\t{\"a\":");
    replay(&path, &["--topic", "t", "--brokers", &brokers, "--key-separator", "\t"]).unwrap();
    let expected: Vec<Seen> = vec![
        (0, some("k"), some("{\"a\": \"\t\"}")),
        (0, None, some("{}")),
        (0, some("k"), None),
        (0, some("k"), None),
        (0, some(""), some("1")),
        (0, some("l"), None),
    ];
    assert_eq!(read(&brokers, "t", 1, 6), expected);
}

const LETTERS: &str = "topic,partition,offset,kafka_timestamp,message_key,reason,field,payload\n\
    a,1,7,2023-04-10 01:02:27.000000,k,wrong_type,engine_speed,\"{\"\"engine_speed\"\": \"\"x\"\"}\"\n\
    b,0,8,,base64:/w==,not_an_object,,\"two\nlines\"\n\
    a,0,9,,k,null_value,,\n\
    a,9,10,,,not_an_object,,base64:AP8=\n\
    a,0,11,,,not_an_object,,\n";

#[test]
fn dead_letters_go_back_where_they_came_from() {
    let cluster = cluster("a", 2);
    cluster.create_topic("b", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let (_folder, path) = file("dead_letters.csv", LETTERS);
    let summary = replay(&path, &["--brokers", &brokers]).unwrap();
    assert_eq!(summary.sent, 5);
    let a: Vec<Seen> = vec![
        (0, some("k"), None),
        (0, None, some("")),
        (1, some("k"), some("{\"engine_speed\": \"x\"}")),
        (1, None, Some(vec![0, 255])),
    ];
    assert_eq!(read(&brokers, "a", 2, 4), a);
    assert_eq!(read(&brokers, "b", 1, 1), [(0, Some(vec![255]), some("two\nlines"))]);
}

#[test]
fn dead_letters_go_to_a_named_topic() {
    let cluster = cluster("corrected", 1);
    let brokers = cluster.bootstrap_servers();
    let (_folder, path) = file("dead_letters.csv", LETTERS);
    replay(&path, &["--brokers", &brokers, "--topic", "corrected"]).unwrap();
    let payloads: Vec<_> =
        read(&brokers, "corrected", 1, 5).into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads[2], None);
    assert_eq!(payloads[3], Some(vec![0, 255]));
}

const HEADER: &str = "topic,partition,offset,kafka_timestamp,message_key,reason,field,payload\n";

#[test]
fn letters_that_count_already_or_are_not_messages_are_left_out() {
    let cluster = cluster("a", 1);
    let brokers = cluster.bootstrap_servers();
    let letters = [
        "late,window_averages,1",
        "wrong_type,engine_speed,2",
        "late,filtered_join,3",
        "too_large,filtered_join,4",
        "too_large,pairs_of_mine,4",
        "too_large,truck_id,5",
        "too_large,key,6",
        "too_large,,7",
        "refused_by_database,distance_covered,8",
        "null_value,,",
    ];
    let text: String = letters.iter().map(|letter| format!("a,0,1,,,{letter}\n")).collect();
    let (folder, path) = file("dead_letters.csv", &(HEADER.to_owned() + &text));
    let summary = replay(&path, &["--brokers", &brokers]).unwrap();
    assert_eq!((summary.sent, summary.left_out), (5, 5));
    let payloads: Vec<_> = read(&brokers, "a", 1, 5).into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads, [some("2"), some("5"), some("6"), some("7"), None]);

    let path = folder.path().join("all.csv");
    fs::write(&path, HEADER.to_owned() + "a,0,1,,,late,window_averages,1\n").unwrap();
    let summary = replay(&path, &["--brokers", &brokers]).unwrap();
    assert_eq!((summary.sent, summary.left_out), (0, 1));
    let looped = replay(&path, &["--brokers", &brokers, "--loop"]);
    assert!(matches!(looped, Err(ReplayError::LoopOverNothing { .. })));
}

#[test]
fn one_line_lists_the_letters_left_out_and_why() {
    let mut left_out = LeftOut::default();
    left_out.add(Why::Part, None);
    assert_eq!(left_out.to_string(), "left out 1 dead letter: 1 part of a message (send it with --parts)");
    left_out.add(Why::Part, None);
    left_out.add(Why::Reason(Reason::RefusedByDatabase), None);
    for line in [7, 9] {
        left_out.add(Why::Reason(Reason::Late), None);
        left_out.add(Why::NoEnvelope(NoEnvelope::NotOneValue), Some(line));
    }
    assert_eq!(
        left_out.to_string(),
        "left out 7 dead letters: 2 late (already counted in the other views), \
         1 refused_by_database (a row, not a message), 2 parts of messages (send them with --parts), \
         2 parts of messages (not one value; correct the payload, the first in line 7)"
    );
}

const PARTS: &str = "topic,partition,offset,kafka_timestamp,message_key,place,reason,field,payload\n";

/// Sends messages to partition 0 of the topic `a`.
fn produce(brokers: &str, payloads: &[&str]) {
    let mut producer = Producer::new(brokers, &Properties::default()).unwrap();
    for payload in payloads {
        producer.send("a", Some(0), Some(b"k"), Some(payload.as_bytes())).unwrap();
    }
    producer.flush(FLUSH_TIMEOUT).unwrap();
}

#[test]
fn a_part_goes_out_in_its_message_without_the_other_readings() {
    let cluster = cluster("a", 2);
    let brokers = cluster.bootstrap_servers();
    let messages = [
        r#"{"d": 1, "r": [{"v": 1}, {"v": "x"}, {"v": 3}]}"#,
        "none",
        r#"{"d": 2, "r": [{"v": "y"}, {"v": "z"}]}"#,
    ];
    produce(&brokers, &messages);
    let letters = [
        r#"a,0,0,,k,1,wrong_type,v,"{""v"": 2}""#,
        "a,0,1,,k,,not_an_object,,corrected",
        r#"a,0,2,,k,0,wrong_type,v,"{""v"": 4}""#,
        r#"a,0,2,,k,1,wrong_type,v,"{""v"": 5}""#,
    ];
    let (_folder, path) = file("dead_letters.csv", &(PARTS.to_owned() + &letters.join("\n")));
    let root = ["--brokers", &brokers, "--set", "message.root=/r"];
    let summary = replay(&path, &root).unwrap();
    assert_eq!((summary.sent, summary.left_out), (1, 3));
    let summary = replay(&path, &[&root[..], &["--parts"]].concat()).unwrap();
    assert_eq!((summary.sent, summary.left_out), (4, 0));
    let seen = read(&brokers, "a", 2, 8);
    assert!(seen.iter().all(|(partition, key, _)| *partition == 0 && *key == some("k")));
    let sent: Vec<_> = seen.into_iter().skip(4).map(|(.., payload)| payload).collect();
    let expected = [
        r#"{"d": 1, "r": [{"v": 2}]}"#,
        "corrected",
        r#"{"d": 2, "r": [{"v": 4}]}"#,
        r#"{"d": 2, "r": [{"v": 5}]}"#,
    ];
    assert_eq!(sent, expected.map(some));
}

#[test]
fn parts_without_their_message_are_left_out() {
    let cluster = cluster("a", 1);
    let brokers = cluster.bootstrap_servers();
    produce(&brokers, &["[{}, {}]", "[[], []]"]);
    let letters = [
        // Of a topic, a partition, an offset and a time that are not there; after a place, a value, a reading that is not one.
        "b,0,0,,,0,missing_field,v,{}",
        "a,7,0,,,0,missing_field,v,{}",
        "a,0,2,,,0,missing_field,v,{}",
        "a,0,0,2001-01-01 00:00:00.000000,,0,missing_field,v,{}",
        "a,0,0,,,2,missing_field,v,{}",
        "a,0,0,,,0,missing_field,v,{} {}",
        "a,0,1,,,0,missing_field,v,{}",
    ];
    let (_folder, path) = file("dead_letters.csv", &(PARTS.to_owned() + &letters.join("\n")));
    let summary = replay(&path, &["--brokers", &brokers, "--parts"]).unwrap();
    assert_eq!((summary.sent, summary.left_out), (1, 6));
    assert_eq!(read(&brokers, "a", 1, 3)[2].2, some("[{}]"));
    // The messages of a job over a file are in no topic.
    let of_file = replay(&path, &["--brokers", &brokers, "--parts", "--set", "input=x.jsonl"]).unwrap();
    assert_eq!((of_file.sent, of_file.left_out), (0, 7));
}

#[test]
fn the_numbered_files_of_a_folder_are_sent_in_order() {
    let cluster = cluster("a", 1);
    let brokers = cluster.bootstrap_servers();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("1000000.csv", &format!("{HEADER}a,0,1,,,not_an_object,,5\n"));
    write("000010.csv", &format!("{HEADER}a,0,1,,,not_an_object,,4\n"));
    write("000002.csv", &format!("{HEADER}a,0,1,,,not_an_object,,2\na,0,1,,,not_an_object,,3\n"));
    write("000001.csv", &format!("{HEADER}a,0,1,,,not_an_object,,1\na,0,1,,,late,filtered_join,0\n"));
    // Created, but nothing was committed to it.
    write("1000001.csv", "");
    write("1000002.csv", HEADER);
    write("notes.csv", "not one of them\n");
    let summary = replay(folder.path(), &["--brokers", &brokers]).unwrap();
    assert_eq!((summary.sent, summary.left_out), (5, 1));
    let payloads: Vec<_> = read(&brokers, "a", 1, 5).into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads, ["1", "2", "3", "4", "5"].map(some));

    write("000002.csv", &format!("{HEADER}a,0,1\n"));
    let error = replay(folder.path(), &["--brokers", &brokers]).unwrap_err().to_string();
    assert!(error.contains("bad dead letter at line 2 of ") && error.contains("000002.csv"), "{error}");
    let keyed = replay(folder.path(), &["--key", "truck_id"]);
    assert!(matches!(keyed, Err(ReplayError::KeyOfDeadLetters { .. })));
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || replay(folder.path(), &["--topic", "t"]).unwrap_err();
    assert!(matches!(refused(), ReplayError::NoDeadLetters { path } if path == folder.path()));
    let file = folder.path().join("000001.csv");
    fs::write(&file, "timestamp,engine_speed\n").unwrap();
    let error = refused();
    assert!(matches!(&error, ReplayError::NoDeadLetters { path } if *path == file));
    assert!(error.is_usage() && error.to_string().contains("000001.csv"), "{error}");
}

#[test]
fn a_csv_file_without_payloads_is_lines() {
    let cluster = cluster("t", 1);
    let brokers = cluster.bootstrap_servers();
    let (_folder, path) = file("Orientation.csv", "time,qz\n1,0.5\n");
    assert_eq!(replay(&path, &["--brokers", &brokers, "--topic", "t"]).unwrap().sent, 2);
}

#[test]
fn a_broken_dead_letter_is_named_by_its_line() {
    let cluster = cluster("a", 1);
    let brokers = cluster.bootstrap_servers();
    for (row, reason) in [
        ("a,0,1,,,wrong_type,,base64:%", "its payload is not valid base64"),
        ("a,x,1,,,wrong_type,,p", "its partition is not a number"),
        ("a,0", "it has 2 fields instead of 8"),
    ] {
        let text = format!("{HEADER}a,0,11,,,null_value,,x\n{row}\n");
        let (_folder, path) = file("dead_letters.csv", &text);
        let error = replay(&path, &["--brokers", &brokers]).unwrap_err().to_string();
        assert!(error.contains("at line 3") && error.contains(reason), "{error}");
    }
}

#[test]
fn wrong_usage_is_found_before_a_broker_is_needed() {
    let (_folder, path) = file("in.jsonl", "");
    assert!(matches!(replay(&path, &[]), Err(error) if error.is_usage()));
    assert!(matches!(replay(Path::new("-"), &["--loop"]), Err(error) if error.is_usage()));
    assert!(matches!(replay(Path::new("/no/such"), &["--topic", "t"]), Err(ReplayError::Read { .. })));
    let (_folder, path) = file("in.jsonl", "");
    let error = replay(&path, &["--topic", "t", "--parts"]).unwrap_err();
    assert!(matches!(error, ReplayError::PartsOfLines { .. }) && error.is_usage(), "{error}");
    let error = replay(&path, &["--topic", "t", "--set", "message.root=5"]).unwrap_err();
    assert!(matches!(error, ReplayError::Job(_)) && error.is_usage(), "{error}");
    let two = replay(&path, &["--topic", "t", "--key", "truck_id", "--key-separator", "\t"]);
    assert!(matches!(two, Err(ReplayError::TwoKeys)));
    for separator in ["", "\n", "\t\r\n"] {
        let error = replay(&path, &["--topic", "t", "--key-separator", separator]).unwrap_err();
        assert!(matches!(error, ReplayError::KeySeparator { .. }) && error.is_usage(), "{error}");
    }
    let (_folder, path) = file("dead_letters.csv", LETTERS);
    for flag in ["--key", "--key-separator"] {
        let error = replay(&path, &[flag, "truck_id"]).unwrap_err();
        assert!(error.is_usage() && error.to_string().ends_with(&format!("leave out {flag}")), "{error}");
    }
}

#[test]
fn a_loop_starts_over_and_ends_when_stopped() {
    let cluster = cluster("t", 1);
    let brokers = cluster.bootstrap_servers();
    let (_folder, path) = file("in.jsonl", "1\n2\n");
    let args = ["replay", path.to_str().unwrap(), "--topic", "t", "--loop", "--rate", "200"];
    let args = Command::try_parse_from([&args[..], &["--brokers", &brokers]].concat()).unwrap().args;
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| run_until(&args, &stop));
        let payloads: Vec<_> = read(&brokers, "t", 1, 5).into_iter().map(|(.., payload)| payload).collect();
        stop.request();
        assert_eq!(payloads, ["1", "2", "1", "2", "1"].map(some));
        assert!(replay.join().unwrap().unwrap().sent >= 5);
    });
}

#[test]
fn a_loop_over_nothing_is_refused() {
    let cluster = cluster("t", 1);
    let (_folder, path) = file("in.jsonl", "");
    let result = replay(&path, &["--topic", "t", "--loop", "--brokers", &cluster.bootstrap_servers()]);
    assert!(matches!(result, Err(ReplayError::LoopOverNothing { .. })));
}

#[test]
fn failed_deliveries_are_an_error() {
    let cluster = cluster("t", 1);
    let (_folder, path) = file("in.jsonl", "1\n2\n");
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused; 2]);
    let error = replay(&path, &["--topic", "t", "--brokers", &cluster.bootstrap_servers()]).unwrap_err();
    assert!(matches!(error, ReplayError::Produce(ProduceError::NotDelivered { .. })), "{error}");
}
