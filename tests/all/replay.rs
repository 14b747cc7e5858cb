//! What `replay` sends to a real broker, and what it leaves out.

use std::path::Path;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};

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
