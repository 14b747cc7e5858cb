//! The command `truckflow`, run as its users run it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::process::{Process, command, new_folder};
use super::wait::comes_true;

/// Where it is.
pub const TRUCKFLOW: &str = env!("CARGO_BIN_EXE_truckflow");

/// A started `truckflow`, killed when dropped.
pub struct Job {
    process: Process,
    folder: PathBuf,
}

impl Job {
    /// Starts it with these arguments, in an empty folder of its own, without the TRUCKFLOW_…
    /// variables of whoever runs the tests.
    pub fn start(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::start_with(args, &[])
    }

    /// The same with variables of its own.
    pub fn start_with(args: impl IntoIterator<Item = impl AsRef<OsStr>>, variables: &[(&str, &str)]) -> Self {
        let mut truckflow = command(TRUCKFLOW);
        truckflow.args(args).envs(variables.iter().copied());
        Self::launch(truckflow)
    }

    /// The same without a terminal, and under these commands.
    pub fn start_under(commands: &[&str], args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut truckflow = command("setsid");
        truckflow.args(commands).arg(TRUCKFLOW).args(args);
        Self::launch(truckflow)
    }

    /// The same with a pipe as standard input, to which nobody writes.
    pub fn start_on_pipe(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut truckflow = command(TRUCKFLOW);
        truckflow.args(args).stdin(Stdio::piped());
        Self::launch(truckflow)
    }

    fn launch(mut truckflow: Command) -> Self {
        let folder = new_folder("job");
        truckflow.current_dir(&folder);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TRUCKFLOW_") {
                // But what was set for it.
                if truckflow.get_envs().all(|(set, _)| set != name) {
                    truckflow.env_remove(name);
                }
            }
        }
        let process = Process::start(truckflow, &folder, "job").unwrap_or_else(|error| panic!("{error}"));
        Self { process, folder }
    }

    /// What it wrote to standard output until now.
    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// What it wrote to standard error until now.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Waits for a line, of either output, that contains `pattern`, and gives it.
    #[track_caller]
    pub fn wait_for_line(&mut self, pattern: &str, timeout: Duration) -> String {
        let mut found = None;
        let ended = !comes_true(timeout, || {
            // Asked first: what it wrote before it ended is still looked at.
            let ended = self.process.ended().is_some();
            let output = self.stderr() + &self.stdout();
            // A line without its end may be half of one.
            let mut lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            found = lines.find(|line| line.contains(pattern)).map(|line| line.trim_end().to_owned());
            found.is_some() || ended
        });
        let how = if ended { "truckflow did not say" } else { "truckflow ended without saying" };
        found.unwrap_or_else(|| panic!("{how} `{pattern}`; it said:\n{}", self.process.log_end()))
    }

    /// What every user of the machine sees of it in the list of processes.
    pub fn command_line(&self) -> String {
        self.process.command_line()
    }

    /// Kills it with SIGKILL.
    pub fn kill9(&mut self) -> ExitStatus {
        self.process.kill()
    }

    /// Sends SIGTERM.
    pub fn terminate(&mut self) {
        self.signal("TERM");
    }

    /// Sends it a signal, `STOP` or another.
    pub fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGTERM, and waits until it ends.
    #[track_caller]
    pub fn terminated(&mut self, timeout: Duration) -> ExitStatus {
        self.terminate();
        self.wait(timeout).0
    }

    /// Stops it where it is, as if its machine had hung, or lets it go on.
    pub fn freeze(&mut self, frozen: bool) {
        self.process.signal(if frozen { "STOP" } else { "CONT" });
    }

    /// Its memory in MiB, as the system counts what is resident.
    pub fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") / 1024
    }

    /// Waits until it ends; gives its status, and what it wrote to standard error.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> (ExitStatus, String) {
        let mut status = None;
        comes_true(timeout, || {
            status = self.process.ended();
            status.is_some()
        });
        let log = || self.process.log_end();
        let status =
            status.unwrap_or_else(|| panic!("truckflow does not end within {timeout:?}:\n{}", log()));
        (status, self.stderr())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.process.kill();
        // What stays is removed by the next test process.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A file of simulated readings of five trucks.
pub fn readings(folder: &Path, records: usize) -> String {
    let path = folder.join("readings.jsonl").to_str().unwrap().to_owned();
    let records = records.to_string();
    let args = [
        "simulate",
        "--trucks",
        "5",
        "--records",
        &records,
        "--seed",
        "3",
        "--format",
        "numpy",
        "--to",
        &path,
    ];
    let (status, said) = Job::start(args).wait(Duration::from_secs(120));
    assert!(status.success(), "{said}");
    path
}
