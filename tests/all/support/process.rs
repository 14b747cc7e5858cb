//! A started program: its folder, its log, its ports, and its end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};

use dataflows::views::View;
use truckflow::config::{Config, Job};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new folder `.test/run/<pid>/<name>-<n>`.
pub fn new_folder(name: &str) -> PathBuf {
    static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
        let runs = repository().join(".test/run");
        remove_runs_of_the_dead(&runs);
        runs.join(std::process::id().to_string())
    });
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = RUN.join(format!("{name}-{}", COUNT.fetch_add(1, Relaxed)));
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}

/// The shared servers are never dropped, and a killed test process drops nothing.
fn remove_runs_of_the_dead(runs: &Path) {
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(run.file_name()).exists() {
            // Another test process may be removing it, too.
            let _ = fs::remove_dir_all(run.path());
        }
    }
}

/// A free port of 127.0.0.1, from below those that the kernel gives to outgoing connections: a client
/// that keeps trying to reach a killed server there would else sometimes connect to itself, and
/// occupy the port.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Test processes beside each other begin in different places.
        AtomicU16::new((std::process::id().wrapping_mul(101) % u32::from(COUNT)) as u16)
    });
    (0..COUNT)
        .map(|_| FIRST + NEXT.fetch_add(1, Relaxed) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no port of 127.0.0.1 is free")
}

/// Whether a process runs that the tests have not started themselves.
pub fn runs(id: u32) -> bool {
    // One that has ended, and that nobody has waited for yet, has no program any more.
    Path::new("/proc").join(id.to_string()).join("exe").exists()
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a command that the kernel kills when this process ends. That is bound to the thread that
/// started it, and a test's thread ends with its test: so one thread starts them all.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, answered) = channel();
    SPAWNER.lock().unwrap().send((command, answer)).expect("the spawner lives as long as the process");
    answered.recv().expect("the spawner answers")
}

/// A command to be given to [`Process::start`].
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    // Debian keeps servers in sbin, which is not on everybody's PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// A started program, killed when dropped.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts it, with its output appended to `<name>.stdout` and `<name>.stderr` in `folder`.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Result<Self, String> {
        let program = command.get_args().nth(3).unwrap_or_default().to_owned();
        let (stdout, stderr) = (folder.join(format!("{name}.stdout")), folder.join(format!("{name}.stderr")));
        let open = |path| File::options().create(true).append(true).open(path);
        let start = || {
            command.stdout(open(&stdout)?).stderr(open(&stderr)?);
            spawn(command)
        };
        match start() {
            Ok(child) => Ok(Self { child, stdout, stderr }),
            Err(error) => Err(format!("cannot start {}: {error}", program.display())),
        }
    }

    /// What it wrote to standard output until now.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to standard error until now.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The last lines of what it wrote.
    pub fn log_end(&self) -> String {
        let log = self.stdout() + &self.stderr();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Its arguments, as the list of processes has them, each with a zero behind it.
    pub fn command_line(&self) -> String {
        read(&PathBuf::from(format!("/proc/{}/cmdline", self.child.id())))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its status")
    }

    /// Kills it with SIGKILL, if it still runs.
    pub fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("a killed child can be waited for")
    }

    /// Sends it a signal, `TERM` or another, if it still runs.
    pub fn signal(&mut self, signal: &str) {
        // Asked first: the number of a child that was waited for may be another's.
        if self.ended().is_none() {
            let kill = format!("kill -{signal} {}", self.child.id());
            let status = Command::new("sh").args(["-c", &kill]).status();
            assert!(status.is_ok_and(|status| status.success()), "{kill} failed");
        }
    }

    /// Writes to its standard input, which has to be a pipe.
    pub fn tell(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("it reads");
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The views of a job that says nothing of them.
pub fn built_in() -> Vec<View> {
    Job::try_from(Config::default()).expect("the defaults are valid").active_views
}
