//! Load that is not spread evenly, or very widely.

use std::path::Path;
use std::time::Duration;

use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::output::{assert_same, csv_rows};

const TIMEOUT: Duration = Duration::from_secs(120);

fn finish(topic: &str, out: &Path, workers: &str) {
    let out = out.to_str().unwrap();
    let args = ["run", "--brokers", kafka().brokers(), "--topic", topic, "--until-end", "--listen", "off"];
    let mut job = Job::start(args.into_iter().chain(["--out", out, "--workers", workers]));
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

fn verify(topic: &str, out: &Path) {
    let out = out.to_str().unwrap();
    let args = ["verify", "--brokers", kafka().brokers(), "--topic", topic, "--out", out];
    let mut verify = Job::start(args);
    let (status, said) = verify.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", verify.stdout());
}

#[test]
fn a_thousand_partitions_are_read_and_gone_on_with() {
    const PARTITIONS: usize = 1000;
    let topic = unique_topic();
    kafka().create_topic(&topic, PARTITIONS as i32);
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(readings(folder.path(), 20_000)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let out = folder.path().join("out");
    let (first, second) = lines.split_at(lines.len() / 2);
    for (lines, workers) in [(first, "2"), (second, "1")] {
        let spread = lines.iter().enumerate();
        kafka().produce(&topic, spread.map(|(n, line)| ((n % PARTITIONS) as i32, None, line)));
        finish(&topic, &out, workers);
    }
    assert_eq!(csv_rows(&out.join("parameter_map.csv")).len(), lines.len());
    verify(&topic, &out);
}

#[test]
fn a_partition_with_nearly_all_of_the_load_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(readings(folder.path(), 30_000)).unwrap();
    let run = |name: &str, partition: &dyn Fn(usize) -> usize| {
        let (topic, out) = (unique_topic(), folder.path().join(name));
        kafka().create_topic(&topic, 4);
        let lines = text.lines().enumerate();
        kafka().produce(&topic, lines.map(|(n, line)| (partition(n) as i32, None, line)));
        finish(&topic, &out, "2");
        verify(&topic, &out);
        out
    };
    let even = run("even", &|n| n % 4);
    let skewed = run("skewed", &|n| if n % 100 == 0 { n / 100 % 3 + 1 } else { 0 });
    assert_same(&even, &skewed);
}
