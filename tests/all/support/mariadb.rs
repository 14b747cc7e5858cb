//! A real MariaDB server on the loopback interface, with the user `root` and no password; and beside
//! it the MySQL server that `TRUCKFLOW_TEST_MYSQL` names, as `mysql://root@127.0.0.1:3306/`,
//! which runs with `--local-infile=1`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::TryStreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Either, Row};
use tokio::runtime::{Builder, Runtime};

use super::process::{Process, command, free_port, new_folder};
use super::wait::comes_true;

const TIMEOUT: Duration = Duration::from_secs(180);

/// The server that tests share which leave it running.
pub fn mariadb() -> &'static Mariadb {
    static MARIADB: OnceLock<Result<Mariadb, String>> = OnceLock::new();
    MARIADB
        .get_or_init(|| Mariadb::try_start(Vec::new(), None))
        .as_ref()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// An empty database on each server that there is: the shared one, and MySQL if one is named.
pub fn databases() -> Vec<Database> {
    [mariadb().create_database()].into_iter().chain(mysql()).collect()
}

/// An empty database on the MySQL server, if one is named.
fn mysql() -> Option<Database> {
    let server = std::env::var("TRUCKFLOW_TEST_MYSQL").ok()?;
    // That server stays, and with it what another test process left.
    let name = format!("test_{}_{}", std::process::id(), next());
    create(&server, &name);
    let url = format!("{server}{name}");
    Some(Database::new(url, name.clone(), Some(Until { server, name })))
}

fn next() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Relaxed)
}

fn create(server: &str, name: &str) {
    query(server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))
        .unwrap_or_else(|error| panic!("cannot create database {name} on {server}: {error}"));
}

/// A row as text; a value that is no UTF-8 in hexadecimal digits.
pub type TextRow = Vec<Option<String>>;

/// A server of one's own.
pub struct Mariadb {
    port: u16,
    folder: PathBuf,
    /// What it is started with beside what all are.
    more: Vec<String>,
    /// The size of its second disk, if it has one.
    disk: Option<&'static str>,
    process: Process,
}

impl Mariadb {
    /// Starts a server on an empty folder, and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// The same with more arguments.
    pub fn start_with(more: Vec<String>) -> Self {
        Self::try_start(more, None).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a server that has a second disk of this size, which no other process sees.
    pub fn start_with_disk(size: &'static str) -> Self {
        Self::try_start(Vec::new(), Some(size)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where the server finds its second disk.
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Where others find what is on its second disk.
    pub fn disk_from_outside(&self) -> PathBuf {
        // A link on the way would lead out of the server's view.
        let disk = self.disk().canonicalize().expect("the folder is there");
        let below_root = disk.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.process.id().to_string()).join("root").join(below_root)
    }

    fn try_start(more: Vec<String>, disk: Option<&'static str>) -> Result<Self, String> {
        let folder = new_folder("mariadb");
        let port = free_port();
        let mut install = command("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg("--skip-name-resolve").args(user());
        install.arg(format!("--datadir={}", folder.join("data").display()));
        // As for the server below: what it puts there is removed by others that start meanwhile.
        install.env("TMPDIR", &folder);
        let mut install = Process::start(install, &folder, "install").map_err(not_installed)?;
        let done = comes_true(TIMEOUT, || install.ended().is_some());
        if !done || !install.kill().success() {
            return Err(not_installed(format!("MariaDB cannot fill its folder:\n{}", install.log_end())));
        }
        let process = run(&folder, port, &more, disk)?;
        let mut mariadb = Self { port, folder, more, disk, process };
        mariadb.wait_until_it_answers()?;
        Ok(mariadb)
    }

    /// Kills it with SIGKILL; its data stay.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.process.signal("TERM");
        assert!(comes_true(TIMEOUT, || self.process.ended().is_some()), "the server ends");
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, after [`Mariadb::kill`], with its port and its data.
    pub fn restart(&mut self) {
        let started = run(&self.folder, self.port, &self.more, self.disk).and_then(|process| {
            self.process = process;
            self.wait_until_it_answers()
        });
        started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Creates an empty database that no other test has.
    pub fn create_database(&self) -> Database {
        let name = format!("test_{}", next());
        create(&self.url(""), &name);
        Database::new(self.url(&name), name, None)
    }

    fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let url = self.url("");
        let mut answered = false;
        comes_true(TIMEOUT, || {
            answered = query(&url, "SELECT 1").is_ok();
            answered || self.process.ended().is_some()
        });
        if answered {
            return Ok(());
        }
        let log = self.process.log_end();
        Err(not_installed(format!("MariaDB does not answer on port {}; its log ends:\n{log}", self.port)))
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.process.kill();
        // What stays is removed by the next test process.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a job has to be granted, as the README says.
const GRANTS: &str = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER";

/// A database of a test.
pub struct Database {
    /// Its name.
    pub name: String,
    /// What `--database` takes: of an account with just the grants that the README names.
    pub url: String,
    /// The same as root, who may do everything.
    pub root: String,
    /// What ends it on a server that stays.
    _until: Option<Until>,
}

struct Until {
    server: String,
    name: String,
}

impl Drop for Until {
    fn drop(&mut self) {
        // A failed test is told of its own failure.
        let _ = query(&self.server, &format!("DROP DATABASE {}", self.name));
        let _ = query(&self.server, &format!("DROP USER 'job_{}'@'127.0.0.1'", self.name));
    }
}

impl Database {
    fn new(root: String, name: String, until: Option<Until>) -> Self {
        let mut database = Self { name, url: String::new(), root, _until: until };
        database.url = database.account("job", "pw", "NONE");
        database
    }

    /// The URL of a new account of this database, with the grants of a job, that has to log in as `require`
    /// says: with `SSL`, `X509`, or in any way.
    pub fn account(&self, name: &str, password: &str, require: &str) -> String {
        let user = format!("{name}_{}", self.name);
        let quoted = password.replace('\\', "\\\\").replace('\'', "''");
        self.query(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{quoted}' REQUIRE {require}"));
        self.query(&format!("{GRANTS} ON {}.* TO '{user}'@'127.0.0.1'", self.name));
        self.url_of(&user, password)
    }

    /// Grants the job's account what it also needs to replace views, on MySQL with TRIGGER.
    pub fn allow_replacing(&self) {
        self.query(&format!("GRANT DROP, TRIGGER ON {0}.* TO 'job_{0}'@'127.0.0.1'", self.name));
    }

    /// The URL for another account.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
        self.root.replace("root@", &format!("{user}:{password}@"))
    }

    /// A connection that lasts.
    pub fn session(&self) -> Session {
        Session::new(&self.url).unwrap_or_else(|error| panic!("database {}: {error}", self.name))
    }

    /// Runs statements, on a connection of their own, and gives the rows.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<TextRow> {
        query(&self.root, sql).unwrap_or_else(|error| panic!("database {}: {error}: {sql}", self.name))
    }
}

/// A connection that lasts, and with it its transaction.
pub struct Session {
    runtime: Runtime,
    connection: MySqlConnection,
}

impl Session {
    fn new(url: &str) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let options: MySqlConnectOptions = url.parse().map_err(|error: sqlx::Error| error.to_string())?;
        // As a client that asks for nothing: with the modes and the time zone of the server.
        let options = options.pipes_as_concat(false).no_engine_substitution(false).timezone(None);
        let options = options.disable_statement_logging();
        let connection = answered(&runtime, options.connect())?;
        Ok(Self { runtime, connection })
    }

    /// Runs statements, and gives the rows.
    #[track_caller]
    pub fn query(&mut self, sql: &str) -> Vec<TextRow> {
        self.try_query(sql).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// The same, where the server may refuse one.
    pub fn try_query(&mut self, sql: &str) -> Result<Vec<TextRow>, String> {
        let connection = &mut self.connection;
        answered(&self.runtime, async {
            // Not prepared: only then does the server send every value as text.
            let mut answer = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_many(connection);
            let mut rows = Vec::new();
            while let Some(part) = answer.try_next().await? {
                if let Either::Right(row) = part {
                    rows.push(text_row(&row)?);
                }
            }
            Ok(rows)
        })
    }
}

fn answered<T>(runtime: &Runtime, asking: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, String> {
    runtime.block_on(async {
        match tokio::time::timeout(TIMEOUT, asking).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    })
}

fn query(url: &str, sql: &str) -> Result<Vec<TextRow>, String> {
    let mut session = Session::new(url)?;
    let rows = session.try_query(sql)?;
    answered(&session.runtime, session.connection.close())?;
    Ok(rows)
}

fn text_row(row: &MySqlRow) -> Result<TextRow, sqlx::Error> {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    (0..row.len()).map(|at| Ok(row.try_get_unchecked::<Option<&[u8]>, _>(at)?.map(text))).collect()
}

fn run(folder: &Path, port: u16, more: &[String], disk: Option<&str>) -> Result<Process, String> {
    let mut server = match disk {
        None => command("mariadbd"),
        Some(size) => {
            let disk = folder.join("disk");
            fs::create_dir_all(&disk).map_err(|error| error.to_string())?;
            // A file system of its own, in a namespace of its own, which ends with the server.
            let script = format!(
                "mount -t tmpfs -o size={size} tmpfs '{}' && exec setpriv --pdeathsig KILL -- mariadbd \"$@\"",
                disk.display()
            );
            let mut server = command("unshare");
            server.args(["-rm", "sh", "-c", &script, "sh"]);
            server
        }
    };
    server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]).args(user());
    server.args([format!("--port={port}"), format!("--datadir={}", folder.join("data").display())]);
    // Relative to the data: the path of a socket has at most about 100 characters.
    server.args(["--socket=server.sock", "--pid-file=server.pid"]);
    // A starting server removes every `#sql…` file of its folder for temporary ones, also those of
    // another server that shares it.
    server.arg(format!("--tmpdir={}", folder.join("data").display()));
    server.args(["--skip-log-bin", "--innodb-flush-log-at-trx-commit=1", "--max-allowed-packet=16M"]);
    server.args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=48M"]);
    server.args(more);
    Process::start(server, folder, "server").map_err(not_installed)
}

/// MariaDB runs as root only when told to, and takes a user from nobody but root.
fn user() -> Option<&'static str> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    is_root.then_some("--user=root")
}

fn not_installed(reason: String) -> String {
    format!("{reason}\nIf MariaDB is not installed: `make test` installs it, and then tests.")
}
