//! Commands on a job that another definition or command has left, and on files that no command wrote.

use crate::session::{READING, Session};

#[test]
fn another_definition_of_a_job() {
    let mut job = Session::new();
    job.file("r.jsonl", READING).file("other.jsonl", READING.replace("79.2", "80"));
    let run = "run --until-end --listen off --builtin-views transformed --input";
    for line in [
        "verify --input r.jsonl",
        "state export job.state --input r.jsonl",
        "state reset --input r.jsonl",
        &format!("{run} r.jsonl"),
        &format!("{run} other.jsonl"),
        &format!("{run} r.jsonl --job other"),
        "run --until-end --listen off --input r.jsonl --set mode=upsert",
        "verify --input r.jsonl",
        "state export job.state --input r.jsonl",
        "state import job.state --input r.jsonl",
        "state import missing.state --input r.jsonl",
        "state import r.jsonl --input r.jsonl",
        "state import job.state --input r.jsonl --job other --database sqlite:other.db",
        "state reset --input r.jsonl",
        "state reset --input r.jsonl --yes",
        "state reset --input r.jsonl --yes",
    ] {
        // Its log has durations.
        job.run_with(&[("TRUCKFLOW_LOG", "warn")], line);
    }
    job.is_page("jobs");
}

#[test]
fn replay_of_files_that_cannot_be_sent() {
    let mut wrong = Session::new();
    wrong.file("r.jsonl", READING);
    wrong.file(
        "dead_letters.csv",
        "topic,partition,offset,kafka_timestamp,key,reason,field,payload\nt,x,0,,,late,,\n",
    );
    wrong.file("folder/readme", "");
    for line in [
        "replay missing.jsonl --topic t",
        "replay r.jsonl",
        "replay - --topic t --loop",
        "replay r.jsonl --topic t --key a --key-separator ,",
        "replay r.jsonl --topic t --key-separator ''",
        "replay dead_letters.csv --key a",
        "replay folder",
        "replay folder --topic t",
    ] {
        wrong.run(&format!("{line} --brokers 127.0.0.1:1"));
    }
    wrong.is_page("replay");
}

#[test]
fn files_that_cannot_be_written() {
    let mut wrong = Session::new();
    wrong.file("job.toml", "").file("r.jsonl", READING);
    for line in [
        "config init job.toml",
        "config init missing/job.toml",
        "man --to job.toml",
        "simulate --records 1 --to missing/r.jsonl",
        "simulate --records 1 --json",
        "bench --input -",
        "verify --input -",
        "bench --input missing.jsonl --seconds 0",
    ] {
        wrong.run(line);
    }
    wrong.is_page("files");
}
