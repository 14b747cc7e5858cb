//! How many instructions each stage takes for a record, counted by valgrind's callgrind, which no other
//! load on the machine changes. `instructions.txt` has what each took, and more than a tenth above that fails.
//!
//! The test runs its own binary under valgrind, with [`work_through`] as the one test. Callgrind writes a
//! part of its profile whenever [`counting_begins`] and [`counting_ends`] are called: what lies between is the stage.
//!
//! Counts depend on the processor's instructions, so these are of x86-64 alone.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
// What tests print is read by who runs them.
#![allow(clippy::print_stdout)]

#[path = "../../benches/work/mod.rs"]
mod work;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Batches a run: 8,192 records, which span about as much event time as the join keeps.
const BATCHES: usize = 2;
/// Runs before the one that is counted: buffers have grown then, and the join forgets as much as it takes.
const RUNS_BEFORE: usize = 2;

/// A stage of fewer elements is not counted: what the allocator once does would outweigh them.
const FEWEST: u64 = 1000;

/// A stage fails that takes more than this part of what it took.
const MARGIN: f64 = 1.1;

/// Says what to do with the counts: `write` makes them the new budgets.
const VARIABLE: &str = "TRUCKFLOW_BUDGETS";
const COMMAND: &str = "TRUCKFLOW_BUDGETS=write cargo test --locked --release --test instructions";

fn table() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/budgets/instructions.txt")
}

#[test]
fn a_record_takes_no_more_instructions_than_its_budget() {
    let counts = count();
    if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
        std::fs::write(table(), written(&counts)).expect("the table is written");
        return;
    }
    let budgets = budgets(&std::fs::read_to_string(table()).expect("the table is there"));
    let mut faults = Vec::new();
    for (stage, count) in &counts {
        match budgets.get(stage) {
            None => faults.push(format!("{stage} has no budget")),
            Some(took) if *count > took * MARGIN => faults.push(format!(
                "{stage} takes {count:.1} instructions a record, above its budget of {:.1}",
                took * MARGIN
            )),
            Some(_) => {}
        }
    }
    let known = |stage: &&String| counts.iter().any(|(known, _)| known == *stage);
    faults.extend(budgets.keys().filter(|stage| !known(stage)).map(|stage| format!("{stage} is no stage")));
    assert!(
        faults.is_empty(),
        "{}: make it cheaper or, if it is worth that, move the budgets with `{COMMAND}` and commit the table",
        faults.join("; ")
    );
}

/// The stages, each with its instructions a record.
fn count() -> Vec<(String, f64)> {
    let folder = tempfile::tempdir().expect("a folder for the profile");
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(folder.path().join("part"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*counting_begins*", "--dump-before=*counting_ends*"])
        .arg(out)
        .arg(std::env::current_exe().expect("the test's own binary"))
        .args(["--ignored", "--exact", "work_through", "--nocapture"])
        .output()
        .expect("valgrind starts: `tools/install-test-servers` installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let counted: Vec<f64> = (1..)
        .map(|part| std::fs::read_to_string(folder.path().join(format!("part.{part}"))))
        .map_while(Result::ok)
        .filter(|part| part.lines().any(|line| line.contains("Trigger") && line.contains("counting_ends")))
        .map(|part| total(&part))
        .collect();
    let stages: Vec<(String, f64)> = said.lines().filter_map(stage).collect();
    assert_eq!(stages.len(), counted.len(), "a part of the profile for each stage");
    stages.into_iter().zip(counted).map(|((stage, elements), count)| (stage, count / elements)).collect()
}

/// The instructions of a part of the profile.
fn total(part: &str) -> f64 {
    let line = part.lines().find_map(|line| line.strip_prefix("totals: "));
    line.and_then(|total| total.trim().parse().ok()).expect("a profile has its total")
}

/// What [`work_through`] says of a stage: its name and its elements.
const SAID: &str = "stage ";

fn stage(line: &str) -> Option<(String, f64)> {
    let (name, elements) = line.strip_prefix(SAID)?.split_once(' ')?;
    Some((name.to_owned(), elements.parse().ok()?))
}

#[test]
#[ignore = "what the other test runs under valgrind"]
fn work_through() {
    for stage in work::stages() {
        let mut work = stage.set_up(BATCHES);
        if work.elements() < FEWEST {
            continue;
        }
        for _ in 0..RUNS_BEFORE {
            work.prepare();
            work.run();
        }
        work.prepare();
        let before = counting_begins();
        work.run();
        assert_ne!(before, counting_ends());
        println!("\n{SAID}{} {}", stage.name, work.elements());
    }
}

/// Callgrind knows it by its name. The two give different values, so that they stay two functions.
#[inline(never)]
fn counting_begins() -> bool {
    std::hint::black_box(false)
}

/// See [`counting_begins`].
#[inline(never)]
fn counting_ends() -> bool {
    std::hint::black_box(true)
}

fn budgets(table: &str) -> BTreeMap<String, f64> {
    let entries = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (stage, count) = line.split_once(' ')?;
        Some((stage.to_owned(), count.trim().parse().ok()?))
    });
    entries.collect()
}

fn written(counts: &[(String, f64)]) -> String {
    let first_line = |program: &str| {
        let output = Command::new(program).arg("--version").output().expect("it says its version");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let date = Command::new("date").args(["-u", "+%F"]).output().expect("the day");
    let mut table = format!(
        "# Instructions a record (csv, sql, render: a row; accumulate: a pair or a sum) of each stage in\n\
         # benches/work/, measured on {}, {}, {}.\n\
         # More than a tenth above fails `make test`. Measured anew and written here by\n\
         # {COMMAND}\n",
        String::from_utf8_lossy(&date.stdout).trim(),
        first_line("rustc"),
        first_line("valgrind"),
    );
    for (stage, count) in counts {
        writeln!(table, "{stage:<32}{count:>10.1}").expect("a text takes it");
    }
    table
}
