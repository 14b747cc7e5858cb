//! A disk that is full in the middle of the work, and has space again at the next start.

use std::fs::{self, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::job::{Job, readings};
use crate::support::output::assert_same;
use crate::support::sqlite;

const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs a job whose files, or whose database, lie on a disk of `size` that it fills, and again when the disk
/// has space; then verifies it. Gives what it said when the disk was full.
fn fill(size: &str, folder: &Path, out: &Path, database: &Path) -> String {
    let input = readings(folder, 40_000);
    let job = |command: &str| {
        let (out, database) = (out.display(), database.display());
        let truckflow = env!("CARGO_BIN_EXE_truckflow");
        format!("{truckflow} {command} --input {input} --out {out} --database sqlite:{database}")
    };
    // Small epochs, so that some are committed before.
    let run = job("run") + " --until-end --listen off --commit-interval 20ms --set limits.epoch_records=500";
    let (folder, database) = (folder.display(), database.display());
    // A file system of its own, in a namespace of its own, which ends with the script.
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs {folder}/disk && \
         {{ {run} 2>{folder}/full; echo $? >{folder}/status; }} && cp {database} {folder}/before.db && \
         {{ cp {database}-wal {folder}/before.db-wal 2>/dev/null || true; }} && \
         mount -o remount,size=256m {folder}/disk && {run} && {} && cp -r {} {folder}/disturbed",
        job("verify"),
        out.display(),
    );
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output().unwrap();
    let folder = PathBuf::from(folder.to_string());
    let full = read_to_string(folder.join("full")).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{full}\n{said}\n{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(read_to_string(folder.join("status")).unwrap(), "1\n", "{full}");

    let undisturbed = folder.join("undisturbed").display().to_string();
    let args = ["run", "--input", &input, "--until-end", "--listen", "off", "--out", &undisturbed];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert_same(Path::new(&undisturbed), &folder.join("disturbed"));
    let epochs = |database: &str| {
        let rows = sqlite::query(&folder.join(database), "SELECT epoch FROM truckflow_jobs");
        rows[0][0].as_deref().unwrap().parse::<u64>().unwrap()
    };
    assert!(epochs("before.db") > 2, "some of it was committed before: {full}");
    full
}

/// The one sentence that says it.
fn sentence(said: &str) -> &str {
    let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
    let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
    sentence
}

#[test]
fn a_disk_that_is_full_of_files_ends_the_job_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let said = fill("2m", folder.path(), &disk.join("out"), &folder.path().join("job.db"));
    let said = sentence(&said);
    assert!(
        said.contains(".csv: No space left") && said.contains("free some space and start again"),
        "{said}"
    );
}

#[test]
fn a_disk_that_is_full_of_the_database_ends_the_job_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let said = fill("3m", folder.path(), &folder.path().join("out"), &disk.join("job.db"));
    let said = sentence(&said);
    assert!(said.contains("job.db") && said.contains("is full (free space on its disk)"), "{said}");
}
