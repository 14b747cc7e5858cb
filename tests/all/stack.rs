//! `docker-compose.yml` and what it mounts, as far as it can be looked at without Docker.

use std::fs;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::process::repository;

const TIMEOUT: Duration = Duration::from_secs(60);

fn compose() -> String {
    fs::read_to_string(repository().join("docker-compose.yml")).expect("the stack")
}

#[test]
fn the_stacks_jobs_have_only_keys_that_there_are() {
    let (trucks, phone) = ("topic Truck-Data", "topic Mobile-Device-Data");
    for (job, topic, view) in [
        ("job.toml", trucks, "parameter_map"),
        ("job-tls.toml", trucks, "parameter_map"),
        ("phone.toml", phone, "orientation"),
        ("phone-tls.toml", phone, "orientation"),
    ] {
        let path = repository().join("deploy/truckflow").join(job);
        assert!(compose().contains(&format!("./deploy/truckflow/{job}:/etc/truckflow/job.toml:ro")));
        let mut explain = Job::start(["explain", "--config", path.to_str().unwrap()]);
        let (status, said) = explain.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        assert!(explain.stdout().contains(topic) && explain.stdout().contains(view), "{job}");
    }
}

#[test]
fn what_the_stack_mounts_is_there() {
    let compose = compose();
    let mounts = compose.lines().filter_map(|line| line.trim().strip_prefix("- ./"));
    let paths: Vec<&str> = mounts.map(|mount| mount.split(':').next().unwrap_or_default()).collect();
    assert!(paths.len() > 8, "{paths:?}");
    for path in paths {
        assert!(repository().join(path).exists(), "{path} is in the repository");
    }
    // Git keeps nothing of a file's mode but this; MySQL's image sources only what cannot be run.
    let init = fs::metadata(repository().join("deploy/mysql/init/grafana.sh")).expect("it is there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&init.permissions()) & 0o111, 0);
}

#[test]
fn the_stack_listens_where_it_is_told_and_its_versions_are_the_tests() {
    let compose = compose();
    let mut lines = compose.lines().map(str::trim);
    while lines.any(|line| line == "ports:") {
        let published = lines.next().expect("a port");
        assert!(published.starts_with("- ${TRUCKFLOW_BIND:-127.0.0.1}:"), "{published}");
    }
    let pom = fs::read_to_string(repository().join("tools/kafka-pom.xml")).expect("the tests' Kafka");
    let image =
        compose.lines().find_map(|line| line.split_once("apache/kafka:")).expect("the stack's Kafka").1;
    assert!(pom.contains(&format!("<version>{image}</version>")), "the tests' Kafka is {image}");
    assert!(compose.contains(concat!("image: truckflow:", env!("CARGO_PKG_VERSION"), "\n")));
    for image in compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
        assert!(image.contains(':') || image.starts_with('*'), "{image} has a version");
    }
}
