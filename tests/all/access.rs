//! Who is let in and who is not, on real servers: TLS with an authority of one's own, certificates that are
//! wrong in each way, logins; and that no secret is told to anybody.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use truckflow::store;

use crate::support::certificates::{Authority, Certificate, Validity};
use crate::support::job::Job;
use crate::support::kafka::{Kafka, Listener, PLAIN, unique_topic};
use crate::support::mariadb::{Mariadb, mariadb};
use crate::support::output::{csv_rows, lines};
use crate::support::process::{free_port, new_folder};
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);
const LINE: &str =
    r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
/// With all that would have to be escaped somewhere.
const PASSWORD: &str = "s3cret-%41/?#@:'&x";

/// Who signs what, and the files of it.
struct Papers {
    own: Authority,
    other: Authority,
    client: Certificate,
    /// Of the other authority.
    stranger: Certificate,
}

impl Papers {
    fn new(folder: &Path) -> Self {
        let (own, other) = (Authority::new(folder, "own"), Authority::new(folder, "other"));
        let client = own.sign("truckflow", &[], Validity::Now);
        let stranger = other.sign("stranger", &[], Validity::Now);
        Self { own, other, client, stranger }
    }
}

/// A broker with a listener for each way in, each on 127.0.0.1.
fn kafka() -> &'static (Kafka, Papers) {
    static KAFKA: OnceLock<(Kafka, Papers)> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let folder = new_folder("kafka-papers");
        let papers = Papers::new(&folder);
        let own = &papers.own;
        let here = own.sign("here", &["127.0.0.1", "localhost"], Validity::Now);
        let elsewhere = own.sign("elsewhere", &["elsewhere.example"], Validity::Now);
        let over = own.sign("over", &["127.0.0.1"], Validity::Over);
        let tls = |certificate: &Certificate| {
            vec!["ssl.keystore.type=PEM".into(), format!("ssl.keystore.location={}", certificate.both)]
        };
        let with = |settings: Vec<String>, more: &[String]| [settings, more.to_vec()].concat();
        let mutual = [
            "ssl.client.auth=required".into(),
            "ssl.truststore.type=PEM".into(),
            format!("ssl.truststore.location={}", own.file),
        ];
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let users = [
            "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN".into(),
            format!("scram-sha-256.sasl.jaas.config={scram}"),
            format!("scram-sha-512.sasl.jaas.config={scram}"),
            format!("plain.sasl.jaas.config={PLAIN} user_truck=\"{PASSWORD}\" user_rotated=\"s3cret-2\";"),
        ];
        let listener = |name, protocol, settings| Listener { name, protocol, settings };
        let listeners = [
            listener("tls", "SSL", tls(&here)),
            listener("elsewhere", "SSL", tls(&elsewhere)),
            listener("over", "SSL", tls(&over)),
            listener("mutual", "SSL", with(tls(&here), &mutual)),
            listener("users", "SASL_SSL", with(tls(&here), &users)),
        ];
        let user = |mechanism: &str| format!("{mechanism}=[name=truck,password={PASSWORD}]");
        let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(user);
        (Kafka::start_with(&listeners, &[], &scram.each_ref().map(String::as_str)), papers)
    })
}

/// A job that reads a topic to its end through a listener, with these properties.
struct Reading {
    job: Job,
    folder: tempfile::TempDir,
}

impl Reading {
    fn start(topic: &str, listener: &str, properties: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("[kafka.properties]\n");
        for (name, value) in properties {
            text += &format!("{name} = {value:?}\n");
        }
        let (config, out) = (folder.path().join("job.toml"), folder.path().join("out"));
        std::fs::write(&config, text).unwrap();
        let [config, out] = [&config, &out].map(|path| path.display().to_string());
        let brokers = kafka().0.at(listener);
        let run = ["run", "--config", &config, "--brokers", brokers, "--topic", topic, "--until-end"];
        let job = Job::start(run.into_iter().chain(["--wait", "--listen", "off", "--out", &out]));
        Self { job, folder }
    }

    #[track_caller]
    fn end_let_in(mut self) {
        let (status, said) = self.job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        assert_eq!(csv_rows(&self.folder.path().join("out/parameter_map.csv")).len(), 10);
    }

    /// Says in one sentence, which has `words`, why it does not read.
    #[track_caller]
    fn end_refused(mut self, words: &str) {
        // A machine that is busy may be slow to refuse it, too.
        let line = self.job.wait_for_line("correct the security settings", TIMEOUT);
        assert!(line.contains("the Kafka broker at 127.0.0.1:") && line.contains(words), "{line}");
        self.job.terminate();
        let (status, said) = self.job.wait(TIMEOUT);
        // One that is told in the middle of reading ends by itself.
        assert!(status.success() || said.contains("truckflow: "), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains("panicked"), "{said}");
        // A job that is told in the middle has made its files.
        let written = self.folder.path().join("out/parameter_map.csv");
        assert!(!written.exists() || csv_rows(&written).is_empty(), "nothing is read");
    }
}

/// A topic of ten readings.
fn topic() -> String {
    let topic = unique_topic();
    kafka().0.create_topic(&topic, 1);
    kafka().0.produce(&topic, (0..10).map(|_| (0, None, LINE)));
    topic
}

fn login<'a>(mechanism: &'a str, password: &'a str, authority: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", authority),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "truck"),
        ("sasl.password", password),
    ]
}

#[test]
fn kafka_lets_in_who_has_what_it_asks_for() {
    let (topic, papers) = (topic(), &kafka().1);
    let own = ("ssl.ca.location", &*papers.own.file);
    let tls = ("security.protocol", "ssl");
    let read = |listener, properties: &[_]| Reading::start(&topic, listener, properties);
    let certificate = ("ssl.certificate.location", &*papers.client.certificate);
    let key = ("ssl.key.location", &*papers.client.key);
    let any_host = ("ssl.endpoint.identification.algorithm", "none");
    let mut readings = vec![
        read("tls", &[tls, own]),
        read("mutual", &[tls, own, certificate, key]),
        read("elsewhere", &[tls, own, any_host]),
    ];
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
        readings.push(read("users", &login(mechanism, PASSWORD, own.1)));
    }
    readings.into_iter().for_each(Reading::end_let_in);
}

#[test]
fn kafka_is_refused_and_refuses() {
    let (topic, papers) = (topic(), &kafka().1);
    let (own, other) = (("ssl.ca.location", &*papers.own.file), ("ssl.ca.location", &*papers.other.file));
    let tls = ("security.protocol", "ssl");
    let read = |listener, properties: &[_]| Reading::start(&topic, listener, properties);
    let certificate = ("ssl.certificate.location", &*papers.stranger.certificate);
    let key = ("ssl.key.location", &*papers.stranger.key);
    let readings = [
        // The broker is not who it says.
        (read("tls", &[tls, other]), "certificate"),
        (read("tls", &[tls]), "certificate"),
        (read("elsewhere", &[tls, own]), "certificate"),
        (read("over", &[tls, own]), "certificate"),
        (read("users", &login("PLAIN", PASSWORD, other.1)), "certificate"),
        // The job is not who it says.
        (read("mutual", &[tls, own]), "certificate"),
        (read("mutual", &[tls, own, certificate, key]), "certificate"),
        (read("users", &login("SCRAM-SHA-256", "wr0ng", own.1)), "uthentication failed"),
        (read("users", &login("SCRAM-SHA-512", "wr0ng", own.1)), "uthentication failed"),
        (read("users", &login("PLAIN", "wr0ng", own.1)), "uthentication failed"),
    ];
    for (reading, words) in readings {
        reading.end_refused(words);
    }
}

/// A server over TLS whose certificate can be changed, and an account that has to use it.
struct Database {
    _server: Mariadb,
    folder: std::path::PathBuf,
    papers: Papers,
    database: crate::support::mariadb::Database,
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

#[test]
fn kafka_is_read_with_what_a_hangup_has_read_again_and_no_reading_is_lost_or_doubled() {
    let (topic, folder) = (topic(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (user, password, config, out) = (path("user"), path("password"), path("job.toml"), path("out"));
    let log_in = |name: &str, secret: &str| {
        std::fs::write(&user, name).unwrap();
        std::fs::write(&password, secret).unwrap();
    };
    log_in("truck", PASSWORD);
    let text = format!(
        "[kafka]\nbrokers = {:?}\ntopic = {topic:?}\n[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\n\
         ssl.ca.location = {:?}\nsasl.mechanism = \"PLAIN\"\n\
         [kafka.property_files]\nsasl.username = {user:?}\nsasl.password = {password:?}\n",
        kafka().0.at("users"),
        kafka().1.own.file,
    );
    std::fs::write(&config, text).unwrap();
    let run = ["run", "--wait", "--config", &config, "--out", &out, "--listen", "off"];
    // One view, as commits are not what is looked at.
    let fast = ["--commit-interval", "50ms", "--workers", "2", "--views", "parameter_map"];
    let mut job = Job::start_under(&[], run.into_iter().chain(fast));
    let written = folder.path().join("out/parameter_map.csv");
    let is_read = |readings: usize| move |written: &Path| lines(written) == readings + 1;
    eventually(TIMEOUT, "all is read", || is_read(10)(&written));
    let mut readings = 10;
    for (round, (name, secret)) in [("rotated", "s3cret-2"), ("truck", PASSWORD)].into_iter().enumerate() {
        log_in(name, secret);
        // While it is busy.
        kafka().0.produce(&topic, (0..500).map(|_| (0, None, LINE)));
        job.signal("HUP");
        kafka().0.produce(&topic, (0..500).map(|_| (0, None, LINE)));
        readings += 1000;
        eventually(TIMEOUT, "all is read", || is_read(readings)(&written));
        eventually(TIMEOUT, "each worker has another client", || {
            job.stderr().matches("reading continues with a new client").count() == 2 * (round + 1)
        });
    }
    // What cannot be read is not taken.
    std::fs::remove_file(&password).unwrap();
    job.signal("HUP");
    job.wait_for_line("cannot read the kafka.property_files again", TIMEOUT);
    kafka().0.produce(&topic, (0..10).map(|_| (0, None, LINE)));
    readings += 10;
    eventually(TIMEOUT, "all is read", || is_read(readings)(&written));
    assert_eq!(csv_rows(&written).len(), readings);
    // The brokers are shown what is in the files, be it wrong.
    log_in("truck", "s3cret-wrong");
    job.signal("HUP");
    job.wait_for_line("uthentication failed", TIMEOUT);
    assert!(!job.stderr().contains("s3cret"), "{}", job.stderr());
}

/// What an HTTP server answers to these bytes until it hangs up.
fn ask(port: u16, request: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    // One that is refused before it has sent all still gets its answer.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(port: u16, path: &str, header: &str) -> String {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"))
}

#[test]
fn the_page_takes_no_more_than_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("readings.jsonl"), folder.path().join("out"));
    std::fs::write(&input, format!("{LINE}\n")).unwrap();
    let port = free_port();
    let (listen, rows) = (format!("127.0.0.1:{port}"), out.join("parameter_map.csv"));
    let [input_name, out] = [&input, &out].map(|path| path.display().to_string());
    let run =
        ["run", "--input", &input_name, "--out", &out, "--listen", &listen, "--commit-interval", "50ms"];
    let mut job = Job::start(run);
    eventually(TIMEOUT, "it is ready", || get(port, "/readyz", "").starts_with("HTTP/1.1 200"));

    assert!(ask(port, "HEAD /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"] {
        let answer = ask(port, &format!("{method} /metrics HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    }
    for body in ["Content-Length: 1000000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let answer = get(port, "/metrics", body);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    let large = get(port, "/metrics", &format!("Large: {}\r\n", "a".repeat(100_000)));
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");
    let many: String = (0..1000).map(|n| format!("H{n}: 1\r\n")).collect();
    assert!(get(port, "/metrics", &many).starts_with("HTTP/1.1 431"));
    assert!(get(port, &format!("/{}", "a".repeat(100_000)), "").starts_with("HTTP/1.1 4"));
    assert!(get(port, "/../../etc/passwd", "").starts_with("HTTP/1.1 404"));
    for noise in ["\u{16}\u{3}\u{1}\u{2}\0", "\r\n\r\n\r\n", "GET\r\n\r\n"] {
        assert!(!ask(port, noise).starts_with("HTTP/1.1 2"));
    }

    // Those who are silent, and those who never come to an end, give way to who asks.
    let mut slow = VecDeque::new();
    for n in 0..1000 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        if n % 2 == 0 {
            // It may have given way already.
            let _ = stream.write_all(b"GET /metrics HT");
        }
        slow.push_back(stream);
        // A process of tests has not that many files.
        if slow.len() > 100 {
            slow.pop_front();
        }
    }
    eventually(TIMEOUT, "it answers", || get(port, "/healthz", "").starts_with("HTTP/1.1 200"));
    // The last of them is cut off without having been crowded out.
    let last = slow.back_mut().unwrap();
    last.set_read_timeout(Some(TIMEOUT)).unwrap();
    let ended = last.read(&mut [0]);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));

    std::fs::write(&input, [LINE; 5].join("\n") + "\n").unwrap();
    eventually(TIMEOUT, "the job goes on", || lines(&rows) == 6);
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success() && !said.contains("panicked"), "{said}");
}

#[test]
fn the_page_is_shown_to_who_knows_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-token\n").unwrap();
    let port = free_port();
    let (listen, token) = (format!("127.0.0.1:{port}"), format!("listen_token_file={}", token.display()));
    let out = folder.path().join("out").display().to_string();
    // A file is followed, so the job stays; a device would end it.
    let input = folder.path().join("none.jsonl");
    std::fs::write(&input, "").unwrap();
    let input = input.display().to_string();
    let run = ["run", "--input", &input, "--out", &out, "--listen", &listen, "--set", &token];
    let mut job = Job::start(run);
    let with = |header: &str| get(port, "/metrics", header);
    eventually(TIMEOUT, "it answers", || {
        with("Authorization: Bearer s3cret-token\r\n").starts_with("HTTP/1.1 200")
    });
    assert!(with("authorization: bearer  s3cret-token\r\n").contains("truckflow_epochs_in_flight"));
    for header in [
        "",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer s3cret-toke\r\n",
        "Authorization: Bearer s3cret-token1\r\n",
        "Authorization: Basic s3cret-token\r\n",
        "Authorization: s3cret-token\r\n",
        "Authorization: \r\nAuthorization: Bearer s3cret-token\r\n",
    ] {
        let answer = with(header);
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"),
            "{answer}"
        );
        assert!(!answer.contains("truckflow_"), "{answer}");
    }
    for path in ["/metrics", "/api/status", "/api/events", "/api/trucks"] {
        assert!(get(port, path, "").starts_with("HTTP/1.1 401"), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        eventually(TIMEOUT, path, || get(port, path, "").starts_with("HTTP/1.1 200"));
    }
    // The page's own files hold nothing of the job, and ask for the token.
    let page = get(port, "/", "");
    assert!(page.starts_with("HTTP/1.1 200") && !page.contains("truckflow_"), "{page}");
    assert!(!get(port, "/none", "").starts_with("HTTP/1.1 200"));
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success() && !said.contains("s3cret"), "{said}");
}

#[test]
fn probes_need_no_token_and_are_told_no_reason_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-token\n").unwrap();
    let (port, dead) = (free_port(), free_port());
    let (listen, token) = (format!("127.0.0.1:{port}"), format!("listen_token_file={}", token.display()));
    let database = format!("mysql://nobody@127.0.0.1:{dead}/none");
    let out = folder.path().join("out").display().to_string();
    let run = ["run", "--wait", "--input", "-", "--out", &out, "--database", &database, "--listen", &listen];
    let mut job = Job::start(run.into_iter().chain(["--set", &token]));
    eventually(TIMEOUT, "it lives", || get(port, "/healthz", "").starts_with("HTTP/1.1 200"));
    let unready = get(port, "/readyz", "");
    assert!(unready.starts_with("HTTP/1.1 503") && !unready.contains("is not reading"), "{unready}");
    let unready = get(port, "/readyz", "Authorization: Bearer s3cret-token\r\n");
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("is not reading"), "{unready}");
    assert!(ask(port, "POST /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
}

#[test]
fn a_token_that_was_changed_counts_after_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let (token, input) = (folder.path().join("token"), folder.path().join("none.jsonl"));
    std::fs::write(&token, "s3cret-one").unwrap();
    std::fs::write(&input, "").unwrap();
    let port = free_port();
    let (listen, key) = (format!("127.0.0.1:{port}"), format!("listen_token_file={}", token.display()));
    let [input, out] = [&input, &folder.path().join("out")].map(|path| path.display().to_string());
    let run = ["run", "--input", &input, "--out", &out, "--listen", &listen, "--set", &key];
    let mut job = Job::start_under(&[], run);
    let is_let_in = |token: &str| {
        get(port, "/metrics", &format!("Authorization: Bearer {token}\r\n")).starts_with("HTTP/1.1 200")
    };
    eventually(TIMEOUT, "it answers", || is_let_in("s3cret-one"));
    std::fs::write(&token, "s3cret-two").unwrap();
    assert!(is_let_in("s3cret-one"), "nobody said that it is to be read again");
    job.signal("HUP");
    eventually(TIMEOUT, "the new one counts", || is_let_in("s3cret-two"));
    assert!(!is_let_in("s3cret-one"));
    std::fs::remove_file(&token).unwrap();
    job.signal("HUP");
    let line = job.wait_for_line("cannot read the listen_token_file again", TIMEOUT);
    assert!(line.contains("the old value stays in use"), "{line}");
    assert!(is_let_in("s3cret-two"));
    let status = job.terminated(TIMEOUT);
    assert!(status.success() && !job.stderr().contains("s3cret"), "{}", job.stderr());
}

#[test]
fn no_secret_is_told_to_anybody() {
    let (topic, folder) = (topic(), tempfile::tempdir().unwrap());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, text).unwrap();
        path
    };
    let password = file("password", &format!("{PASSWORD}\n"));
    let token = file("token", "s3cret-token");
    let port = free_port();
    let database = mariadb().create_database();
    let url = database.account("own", PASSWORD, "NONE");
    // All that there is of logs, from every part.
    let kafka_part = format!(
        "[kafka]\nbrokers = {:?}\ntopic = {topic:?}\n[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\n\
         ssl.ca.location = {:?}\nsasl.mechanism = \"PLAIN\"\nsasl.username = \"truck\"\ndebug = \"all\"\n\
         [kafka.property_files]\nsasl.password = {password:?}\n",
        kafka().0.at("users"),
        kafka().1.own.file,
    );
    let (login, place) = url.split_once('@').unwrap();
    let user = login.rsplit_once(':').unwrap().0;
    let config = file(
        "job.toml",
        &format!(
            "database = \"{user}@{place}\"\ndatabase_password_file = {password:?}\n\
             listen = \"127.0.0.1:{port}\"\nlisten_token_file = {token:?}\n{kafka_part}"
        ),
    );
    let out = folder.path().join("out");
    let out_name = out.display().to_string();
    let all = [("TRUCKFLOW_LOG", "trace")];
    let tell = |what: &str, told: &str| {
        for secret in [PASSWORD, "s3cret", "czNjcmV0"] {
            let line = told.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{what} tells `{secret}`: {line:?}");
        }
    };

    let mut job = Job::start_with(["run", "--wait", "--config", &config, "--out", &out_name], &all);
    let metrics = || get(port, "/metrics", "Authorization: Bearer s3cret-token\r\n");
    let lag = format!("truckflow_consumer_lag{{partition=\"0\",topic=\"{topic}\"}} 0");
    eventually(TIMEOUT, "all is committed", || metrics().contains(&lag));
    tell("/metrics", &metrics());
    tell("the list of processes", &job.command_line());
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert!(said.contains("librdkafka") && said.contains("sasl.password"), "it says all it can:\n{said}");
    tell("run", &(said + &job.stdout()));
    assert_eq!(csv_rows(&out.join("parameter_map.csv")).len(), 10);

    for command in [
        &["check", "--json"][..],
        &["explain", "--json"],
        &["verify", "--json"],
        &["config", "show", "--json"],
    ] {
        let args = [command, &["--config", &config, "--out", &out_name]].concat();
        let mut job = Job::start_with(args, &all);
        let (_, said) = job.wait(TIMEOUT);
        assert!(job.stdout().starts_with(['{', '[']), "{said}");
        tell(command[0], &(said + &job.stdout()));
    }
    // Elsewhere the password is a variable or, as it should not be, an argument.
    let kafka_part = kafka_part.replace("debug = \"all\"\n", "");
    let kafka_part = kafka_part.split("[kafka.property_files]").next().unwrap();
    let config = file("bench.toml", kafka_part);
    let property = format!("kafka.properties.sasl.password={PASSWORD}");
    let bench = ["bench", "--json", "--seconds", "0", "--runs", "1", "--config", &config, "--out", &out_name];
    // A broker that is slow to answer ends it.
    let measured = (0..5).any(|_| {
        let mut job = Job::start(bench.into_iter().chain(["--set", &property]));
        let (status, said) = job.wait(3 * TIMEOUT);
        tell("bench", &(said + &job.stdout()));
        status.success() && job.stdout().contains("sasl.password=…")
    });
    assert!(measured, "the command is in the report, without the password");
    let variable = ("TRUCKFLOW_KAFKA__PROPERTIES__SASL__PASSWORD", PASSWORD);
    // The files in the other folder are of the job in MariaDB.
    let elsewhere = folder.path().join("elsewhere").display().to_string();
    let check = ["check", "--config", &config, "--out", &elsewhere];
    let mut job = Job::start_with(check, &[variable]);
    eventually(TIMEOUT, "the password is known", || {
        job = Job::start_with(check, &[variable]);
        job.wait(TIMEOUT).0.success()
    });
    let said = job.stderr();
    tell("check", &(said + &job.stdout() + &job.command_line()));
    for json in [&[][..], &["--json"]] {
        let show = [&["config", "show", "--config", &config, "--database", &url], json].concat();
        let mut job = Job::start_with(show, &[variable, all[0]]);
        assert!(job.wait(TIMEOUT).0.success() && job.stdout().contains("***"), "{}", job.stdout());
        tell("config show", &(job.stderr() + &job.stdout()));
    }

    // What is refused is named without its value.
    for property in ["ssl.key.pem", "ssl.ca.pem", "sasl.oauthbearer.config"] {
        let property = format!("kafka.properties.{property}=s3cret");
        let run = ["run", "--config", &config, "--until-end", "--listen", "off", "--set", &property];
        let mut job = Job::start_with(run.into_iter().chain(["--out", &out_name]), &[variable]);
        let (_, said) = job.wait(TIMEOUT);
        tell(&property[..30], &(said + &job.stdout()));
    }
}

#[test]
fn readings_are_sent_with_passwords_from_files() {
    let (topic, folder) = (topic(), tempfile::tempdir().unwrap());
    let (password, input) = (folder.path().join("password"), folder.path().join("lines"));
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::write(&input, LINE).unwrap();
    let [password_file, input] = [&password, &input].map(|path| path.display().to_string());
    let from_file = format!("sasl.password={password_file}");
    let authority = format!("ssl.ca.location={}", kafka().1.own.file);
    let brokers = kafka().0.at("users");
    let mut kafka_args = vec!["--topic", &topic, "--brokers", brokers, "--property-file", &from_file];
    for property in
        ["security.protocol=sasl_ssl", "sasl.mechanism=SCRAM-SHA-512", "sasl.username=truck", &authority]
    {
        kafka_args.extend(["--property", property]);
    }
    // The simulated truck goes on from the table.
    let database = mariadb().create_database();
    let url = database.account("own", PASSWORD, "NONE");
    let out = folder.path().join("out").display().to_string();
    let run = ["run", "--input", &input, "--until-end", "--listen", "off", "--out", &out, "--database", &url];
    let (status, said) = Job::start(run).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let (login, place) = url.split_once('@').unwrap();
    let resume = format!("{}@{place}", login.rsplit_once(':').unwrap().0);
    let simulate = ["simulate", "--to", "topic", "--records", "5", "--resume-from", &resume];
    let simulate = [&simulate[..], &["--resume-password-file", &password_file], &kafka_args].concat();
    for args in [[&["replay", &input], &kafka_args[..]].concat(), simulate.clone()] {
        let (status, said) = Job::start(&args).wait(TIMEOUT);
        assert!(status.success() && !said.contains("s3cret"), "{said}");
    }
    assert_eq!(kafka().0.ends(&topic), [16]);
    std::fs::write(&password, "s3cret-wr0ng").unwrap();
    for (args, status) in [([&["replay", &input], &kafka_args[..]].concat(), 1), (simulate, 1)] {
        let (ended, said) = Job::start(&args).wait(TIMEOUT);
        assert_eq!(ended.code(), Some(status), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
