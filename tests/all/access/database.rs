//! Database servers with TLS.

use truckflow::store;

use super::{LINE, PASSWORD, Papers, TIMEOUT};
use crate::support::certificates::{Authority, Certificate, Validity};
use crate::support::job::Job;
use crate::support::mariadb::{self, Mariadb, databases, mariadb};
use crate::support::process::new_folder;
use crate::support::wait::eventually;

/// A server over TLS whose certificate can be changed, and an account that has to use it.
struct Database {
    _server: Mariadb,
    folder: std::path::PathBuf,
    papers: Papers,
    database: mariadb::Database,
}

impl Database {
    fn start() -> Self {
        let folder = new_folder("mariadb-papers");
        let papers = Papers::new(&folder);
        let file = |name: &str| folder.join(name).display().to_string();
        let first = papers.own.sign("here", &["127.0.0.1"], Validity::Now);
        std::fs::copy(&first.certificate, file("server.pem")).unwrap();
        std::fs::copy(&first.key, file("server.key")).unwrap();
        let server = Mariadb::start_with(vec![
            format!("--ssl-ca={}", papers.own.file),
            format!("--ssl-cert={}", file("server.pem")),
            format!("--ssl-key={}", file("server.key")),
        ]);
        let database = server.create_database();
        Self { _server: server, folder, papers, database }
    }

    /// From now on it shows this certificate.
    fn show(&self, certificate: &Certificate) {
        std::fs::copy(&certificate.certificate, self.folder.join("server.pem")).unwrap();
        std::fs::copy(&certificate.key, self.folder.join("server.key")).unwrap();
        self.database.query("FLUSH SSL");
    }

    /// The URL of an account that must do what `require` says.
    fn account(&self, require: &str) -> String {
        self.database.account(&require.to_lowercase(), PASSWORD, require)
    }
}

/// What `check` says of a database: its line, and whether it is in order.
fn look(url: &str) -> (bool, String) {
    let mut job = Job::start(["check", "--input", "-", "--database", url]);
    let (_, said) = job.wait(TIMEOUT);
    let stdout = job.stdout();
    assert!(!stdout.contains(PASSWORD) && !said.contains(PASSWORD), "{stdout}{said}");
    let line = stdout.lines().find(|line| line.contains("  database 127."));
    let line = line.unwrap_or_else(|| panic!("no word of the database:\n{stdout}{said}"));
    let is_in = line.starts_with("ok ");
    // `check` uses one client, and a job that starts uses both.
    let claimed = store::open(&url.to_owned().into()).and_then(|mut store| store.claim("look", "none"));
    assert_eq!(claimed.is_ok(), is_in, "{line}: {claimed:?}");
    (is_in, line.to_owned())
}

#[test]
fn a_database_lets_in_who_has_what_it_asks_for_and_shows_what_it_has() {
    let server = Database::start();
    a_client_certificate_lets_a_job_write_over_tls(&server);
    each_ssl_mode_asks_of_a_certificate_what_it_says(&server);
}

fn each_ssl_mode_asks_of_a_certificate_what_it_says(server: &Database) {
    let Papers { own, other, .. } = &server.papers;
    let url = server.account("SSL");
    let (own_file, other_file) = (format!("ssl-ca={}", own.file), format!("ssl-ca={}", other.file));
    let with = |mode: &str, authority: &str| format!("{authority}&ssl-mode={mode}");
    let unverified = ["".to_owned(), "ssl-mode=PREFERRED".into(), "ssl-mode=REQUIRED".into()];
    let chain = [with("VERIFY_CA", &own_file)];
    let identity = [own_file.clone(), with("VERIFY_IDENTITY", &own_file)];
    // A public authority has not signed it, and what another one has signed is not looked for either.
    let others = [
        other_file.clone(),
        with("VERIFY_CA", &other_file),
        with("VERIFY_IDENTITY", &other_file),
        "ssl-mode=VERIFY_IDENTITY".into(),
    ];
    let expect = |what: &str, options: &[String], let_in: bool| {
        for option in options {
            let (is_in, line) = look(&format!("{url}?{option}"));
            assert_eq!(is_in, let_in, "{what}, {option}: {line}");
            assert!(let_in || line.contains("certificate"), "{what}, {option}: {line}");
        }
    };
    expect("its own certificate", &[&unverified[..], &chain, &identity].concat(), true);
    expect("its own certificate", &others, false);
    // No TLS at all: the account may not.
    let (is_in, line) = look(&format!("{url}?ssl-mode=DISABLED"));
    assert!(!is_in && line.contains("cannot use "), "{line}");

    server.show(&own.sign("elsewhere", &["elsewhere.example"], Validity::Now));
    expect("another host's certificate", &[&unverified[..], &chain].concat(), true);
    expect("another host's certificate", &[&identity[..], &others].concat(), false);

    server.show(&own.sign("over", &["127.0.0.1"], Validity::Over));
    expect("an expired certificate", &unverified, true);
    expect("an expired certificate", &[&chain[..], &identity, &others].concat(), false);

    server.show(&other.sign("of-another", &["127.0.0.1"], Validity::Now));
    expect("another authority's certificate", &[&chain[..], &identity].concat(), false);
}

#[test]
fn a_database_without_tls_is_not_used_where_tls_is_asked_for() {
    let database = mariadb().create_database();
    for option in ["", "ssl-mode=DISABLED", "ssl-mode=PREFERRED"] {
        let (is_in, line) = look(&format!("{}?{option}", database.url));
        assert!(is_in, "{option}: {line}");
    }
    let authority = Authority::new(&new_folder("papers"), "own");
    let identity = "ssl-mode=VERIFY_IDENTITY".to_owned();
    for option in ["ssl-mode=REQUIRED".to_owned(), identity, format!("ssl-ca={}", authority.file)] {
        let (is_in, line) = look(&format!("{}?{option}", database.url));
        assert!(!is_in && line.contains("TLS: the server does not support it"), "{option}: {line}");
    }
}

#[test]
fn a_password_is_accepted_without_tls() {
    for database in databases() {
        // MySQL forgets which accounts it saw, and asks for a password that is encrypted with RSA.
        database.query("FLUSH PRIVILEGES");
        let url = format!("{}?ssl-mode=DISABLED", database.url);
        let mut store = store::open(&url.into()).unwrap();
        let findings = store.check(&[]);
        assert!(findings.iter().all(|finding| finding.result.is_ok()), "{findings:?}");
        store.claim("job", "topic t").unwrap();
    }
}

fn a_client_certificate_lets_a_job_write_over_tls(server: &Database) {
    let Papers { own, client, stranger, .. } = &server.papers;
    let url = server.account("X509");
    let (is_in, line) = look(&format!("{url}?ssl-ca={}", own.file));
    assert!(!is_in && line.contains("cannot use "), "{line}");
    let with = |paper: &Certificate| {
        format!("{url}?ssl-ca={}&ssl-cert={}&ssl-key={}", own.file, paper.certificate, paper.key)
    };
    let (is_in, line) = look(&with(stranger));
    assert!(!is_in, "{line}");
    let (is_in, line) = look(&with(client));
    assert!(is_in, "{line}");

    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("readings.jsonl"), folder.path().join("out"));
    std::fs::write(&input, [LINE; 10].join("\n")).unwrap();
    let [input, out] = [&input, &out].map(|path| path.display().to_string());
    let run = ["run", "--input", &input, "--until-end", "--listen", "off", "--out", &out];
    let (status, said) = Job::start(run.into_iter().chain(["--database", &with(client)])).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let rows = server.database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP");
    assert_eq!(rows, [[Some("10".to_owned())]]);
}

#[test]
fn a_database_is_reached_with_what_a_hangup_has_read_again() {
    let server = Database::start();
    let Papers { own, other, .. } = &server.papers;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (authority, password, input, out) = (path("ca.pem"), path("password"), path("in.jsonl"), path("out"));
    std::fs::copy(&own.file, &authority).unwrap();
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::write(&input, format!("{LINE}\n")).unwrap();
    let url = server.account("SSL");
    let (login, place) = url.rsplit_once('@').unwrap();
    let (user, _) = login.rsplit_once(':').unwrap();
    let name = user.rsplit_once('/').unwrap().1;
    let database = format!("{user}@{place}?ssl-ca={authority}");
    let key = format!("database_password_file={password}");
    let run = ["run", "--input", &input, "--out", &out, "--database", &database, "--set", &key];
    let mut job =
        Job::start_under(&[], run.into_iter().chain(["--listen", "off", "--commit-interval", "50ms"]));
    let rows = |count: usize| {
        let table = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'TRUCK_PARAMETER_MAP'";
        server.database.query(table)[0][0].as_deref() == Some("1")
            && server.database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")[0][0]
                == Some(count.to_string())
    };
    // Connects again, with the next row.
    let reconnect = |count: usize| {
        let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{name}'");
        for connection in server.database.query(&sql) {
            server.database.query(&format!("KILL CONNECTION {}", connection[0].as_deref().unwrap()));
        }
        std::fs::write(&input, [LINE].repeat(count).join("\n") + "\n").unwrap();
        eventually(TIMEOUT, "it goes on", || rows(count));
    };
    eventually(TIMEOUT, "the first row is there", || rows(1));

    // Another certificate of the server, of another authority, and another password.
    server.show(&other.sign("of-another", &["127.0.0.1"], Validity::Now));
    server.database.query(&format!("ALTER USER '{name}'@'127.0.0.1' IDENTIFIED BY 's3cret-new' REQUIRE SSL"));
    std::fs::copy(&other.file, &authority).unwrap();
    std::fs::write(&password, "s3cret-new\n").unwrap();
    job.signal("HUP");
    job.wait_for_line("secrets and certificates were re-read", TIMEOUT);
    reconnect(2);

    // What is no certificate is not taken.
    std::fs::write(&authority, "no certificate").unwrap();
    job.signal("HUP");
    let line = job.wait_for_line("cannot read the password and certificates of the database again", TIMEOUT);
    assert!(line.contains("ca.pem") && line.contains("the old value stays in use"), "{line}");
    reconnect(3);
    let status = job.terminated(TIMEOUT);
    assert!(status.success() && !job.stderr().contains("s3cret"), "{}", job.stderr());
}
