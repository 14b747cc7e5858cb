//! What `replay` sends to a real broker, and what it leaves out.

use std::path::Path;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::output::{csv_files, csv_rows};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Replays a file and gives what was said.
fn replay(file: &Path, flags: &[&str]) -> String {
    let args = [&["replay", file.to_str().unwrap(), "--brokers", kafka().brokers()], flags].concat();
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    said
}

#[test]
fn lines_with_keys_become_keyed_messages_and_tombstones() {
    let (topic, other) = (unique_topic(), unique_topic());
    kafka().create_topic(&topic, 5);
    kafka().create_topic(&other, 5);
    let keys: Vec<String> = (1..=20).map(|n| format!("k{n}")).collect();
    let mut lines = String::new();
    for key in &keys {
        lines += &format!("{key}\t{{\"engine_speed\": 1}}\n{key}\t{{\"engine_speed\": \"\t\"}}\r\n{key}\t\n");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyed.tsv");
    std::fs::write(&file, lines).unwrap();
    replay(&file, &["--topic", &topic, "--key-separator", "\t"]);
    // Without a partition a client asks its partitioner.
    kafka().produce(&other, keys.iter().map(|key| (-1, Some(key.as_bytes().to_vec()), "")));

    let (sent, chosen) = (kafka().read(&topic), kafka().read(&other));
    assert_eq!(sent.len(), 3 * keys.len());
    for expected in chosen {
        let of_key: Vec<_> = sent.iter().filter(|message| message.key == expected.key).collect();
        assert!(of_key.iter().all(|message| message.partition == expected.partition));
        let payloads: Vec<_> = of_key.iter().map(|message| message.payload.as_deref()).collect();
        let values = [&b"{\"engine_speed\": 1}"[..], b"{\"engine_speed\": \"\t\"}"];
        assert_eq!(payloads, [Some(values[0]), Some(values[1]), None]);
    }
}

#[test]
fn dead_letters_that_counted_already_are_left_out() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let out = tempfile::tempdir().unwrap();
    let run = || {
        let path = out.path().to_str().unwrap();
        let args = ["run", "--until-end", "--listen", "off", "--out", path, "--topic", &topic];
        let settings = ["--set", "csv.max_records=1", "--set", "parameters.join_limit=1"];
        let args = args.into_iter().chain(settings).chain(["--brokers", kafka().brokers()]);
        let (status, said) = Job::start(args).wait(TIMEOUT);
        assert!(status.success(), "{said}");
    };
    let reading = |day: u32| {
        format!(
            "{{'timestamp': '2023-04-{day} 01:02:27', 'distance_covered': 1, 'engine_speed': 90, 'fuel_consumed': 0}}"
        )
    };
    let produce = |payloads: [&str; 3]| kafka().produce(&topic, payloads.map(|payload| (0, None, payload)));
    // The second reading of one time is more than the join keeps.
    produce([&reading(20), &reading(20), "bad"]);
    run();
    // A reading that is late counts nevertheless.
    produce([&reading(15), "worse", "worst"]);
    run();
    let readings = || csv_rows(&out.path().join("parameter_map"));
    let counted = readings();
    assert_eq!(counted.len(), 3);
    let folder = out.path().join("dead_letters");
    // A letter a file.
    assert_eq!(csv_files(&folder).len(), 6);

    let said = replay(&folder, &[]);
    let left_out = "left out 3 dead letters: 1 too_large (already counted in the other views), \
                    2 late (already counted in the other views)";
    assert!(said.lines().any(|line| line == left_out), "{said}");
    let sent: Vec<_> = kafka().read(&topic).into_iter().skip(6).map(|message| message.payload).collect();
    assert_eq!(sent, ["bad", "worse", "worst"].map(|payload| Some(payload.as_bytes().to_vec())));
    run();
    assert_eq!(readings(), counted);
}

#[test]
fn two_sources_of_keys_are_refused() {
    let args = ["replay", "x.tsv", "--topic", "t", "--key", "truck_id", "--key-separator", "\t"];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("--key and --key-separator exclude each other"), "{said}");
}
