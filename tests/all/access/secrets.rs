//! Secrets in files, and output that must not contain them.

use super::page::get;
use super::{LINE, PASSWORD, TIMEOUT, kafka, topic};
use crate::support::job::Job;
use crate::support::mariadb::mariadb;
use crate::support::output::csv_rows;
use crate::support::process::free_port;
use crate::support::wait::eventually;

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
