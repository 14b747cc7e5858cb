//! Kills at every named moment of a start and a commit, and at any other, while readings stream in: tables
//! and files hold what an undisturbed run gives.
//!
//! `make test` has the short form, which comes to each moment once; `make torture` kills as often as
//! `TRUCKFLOW_TORTURE` says. Both start from `TRUCKFLOW_TORTURE_SEED`, and say which seed they took.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use truckflow::runtime::fault::Moment;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, databases, mariadb};
use crate::support::output::{assert_same, csv_of, csv_rows};
use crate::support::process::free_port;

/// For what a moment takes to come, or a job to end.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Readings a second that stream in meanwhile.
const RATE: u32 = 2000;
/// A job that is killed at no named moment is at most so old.
const OLDEST: Duration = Duration::from_millis(1500);
/// Epochs that end sooner than one is committed, so that their rows are in transactions at the same time.
const OVERLAPPING: [&str; 2] = ["--commit-interval", "5ms"];
/// How often it is killed so in the short form.
const RANDOM: usize = 3;

/// Views of one's own beside the built-in ones: every operator of plans, and views of them.
const SQL: &str = "
CREATE VIEW fast AS SELECT timestamp, truck_id, engine_speed, distance_covered FROM readings WHERE engine_speed > 80;

CREATE MATERIALIZED VIEW own_filter AS SELECT timestamp, truck_id, engine_speed * 2 AS twice FROM fast;

CREATE MATERIALIZED VIEW own_groups AS
SELECT truck_id, COUNT(*) AS samples, SUM(distance_covered) AS distance, AVG(engine_speed) AS speed, MIN(engine_speed) AS least,
       MAX(engine_speed) AS most, CORR(engine_speed, timestamp) AS trend, LAST_VALUE(fuel_consumed) AS fuel
FROM readings GROUP BY truck_id;

CREATE MATERIALIZED VIEW own_history WITH (keep = 'history') AS
SELECT truck_id, COUNT(*) AS samples, STDDEV_SAMP(engine_speed) AS spread FROM fast GROUP BY truck_id HAVING COUNT(*) > 3;

CREATE MATERIALIZED VIEW own_windows AS
SELECT truck_id, window_start, window_end, COUNT(*) AS samples, MEDIAN(engine_speed) AS middle,
       COUNT(DISTINCT FLOOR(engine_speed)) AS speeds
FROM TUMBLE(readings, timestamp, INTERVAL '10 seconds') GROUP BY truck_id, window_start, window_end;

CREATE MATERIALIZED VIEW own_hops WITH (emit = 'changes') AS
SELECT window_start, COUNT(*) AS samples, COUNT(DISTINCT truck_id) AS trucks
FROM HOP(fast, timestamp, INTERVAL '10 seconds', INTERVAL '30 seconds') GROUP BY window_start, window_end;

CREATE MATERIALIZED VIEW own_sessions AS
SELECT truck_id, window_start, window_end, COUNT(*) AS samples, MAX(engine_speed) AS most
FROM SESSION(fast, timestamp, INTERVAL '2 seconds') GROUP BY truck_id, window_start, window_end;

CREATE MATERIALIZED VIEW own_join AS
SELECT f.truck_id, f.timestamp, r.timestamp AS next, r.engine_speed - f.engine_speed AS more
FROM fast f JOIN readings r
  ON r.truck_id = f.truck_id AND r.timestamp > f.timestamp AND r.timestamp <= f.timestamp + INTERVAL '500 milliseconds';

CREATE MATERIALIZED VIEW own_totals AS
SELECT FLOOR(most) AS band, COUNT(*) AS trucks, SUM(samples) AS samples FROM own_groups GROUP BY FLOOR(most);

CREATE MATERIALIZED VIEW own_distinct AS SELECT DISTINCT truck_id, FLOOR(engine_speed) AS speed FROM readings;

CREATE MATERIALIZED VIEW own_union AS
SELECT truck_id, samples FROM own_groups UNION ALL SELECT truck_id, samples FROM own_sessions WHERE samples > 2;
";

/// How a job dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// When it comes to the moment for the nth time.
    At(Moment, u32),
    /// The same, but counted only while rows of two epochs are in transactions.
    Overlapping(Moment, u32),
    /// At this age.
    Aged(Duration),
}

struct Torture<'a> {
    topic: String,
    /// The file of the views of one's own.
    views: String,
    out: &'a Path,
    database: Option<&'a Database>,
    /// Of a cluster of two processes: where they listen.
    hosts: Option<String>,
}

impl Torture<'_> {
    fn args(&self, command: &str, out: &Path, database: Option<&Database>) -> Vec<String> {
        let out = out.display().to_string();
        let args = [command, "--brokers", kafka().brokers(), "--topic", &self.topic, "--out", &out];
        let mut args: Vec<String> = args.map(String::from).into();
        args.extend(["--sql", &self.views, "--set", "builtin_views=true"].map(String::from));
        if let Some(database) = database {
            args.extend(["--database".into(), database.url.clone()]);
        }
        args
    }

    fn start(&self, out: &Path, database: Option<&Database>, workers: usize, more: &[&str]) -> Job {
        let mut args = self.args("run", out, database);
        let workers = workers.to_string();
        // Small epochs, so that there are many, and small files.
        let interval =
            if more.contains(&OVERLAPPING[0]) { [].as_slice() } else { &["--commit-interval", "50ms"] };
        let small = [interval, &["--set", "limits.epoch_records=1000"]].concat();
        args.extend(
            ["--listen", "off", "--workers", &workers].iter().chain(&small).map(|arg| arg.to_string()),
        );
        args.extend(more.iter().map(|arg| arg.to_string()));
        Job::start(args)
    }

    /// The job that is killed; of several processes the first is told `more`, and has the files.
    fn disturbed(&self, workers: usize, more: &[&str]) -> Vec<Job> {
        let rotated = ["--set", "csv.max_records=700"];
        let Some(hosts) = &self.hosts else {
            return vec![self.start(self.out, self.database, workers, &[&rotated, more].concat())];
        };
        let (first, processes) = (more, ["--processes", "2", "--hosts", hosts]);
        let until_end: &[&str] = if more.contains(&"--until-end") { &["--until-end"] } else { &[] };
        let interval: &[&str] = if more.contains(&OVERLAPPING[0]) { &OVERLAPPING } else { &[] };
        let place = self.out.with_extension("of the second process");
        vec![
            self.start(self.out, self.database, workers, &[&rotated, &processes[..], first].concat()),
            self.start(
                &place,
                None,
                workers,
                &[&rotated, &processes[..], &["--process", "1"], until_end, interval].concat(),
            ),
        ]
    }

    fn die(&self, workers: usize, death: Death) {
        let others = match death {
            Death::At(moment, count) | Death::Overlapping(moment, count) => {
                let (overlapping, more) = match death {
                    Death::Overlapping(..) => ("+", &OVERLAPPING[..]),
                    _ => ("", &[][..]),
                };
                let passage = format!("{}{overlapping}#{count}", moment.name());
                let mut jobs = self.disturbed(workers, &[&["--die-at", &passage], more].concat());
                let (status, said) = jobs[0].wait(TIMEOUT);
                assert_eq!(status.signal(), Some(9), "{death:?} did not kill it ({status}): {said}");
                jobs.remove(0);
                jobs
            }
            Death::Aged(age) => {
                let mut jobs = self.disturbed(workers, &[]);
                std::thread::sleep(age);
                let mut killed = jobs.remove(age.subsec_micros() as usize % jobs.len());
                let status = killed.kill9();
                assert_eq!(status.signal(), Some(9), "it ended by itself: {}", killed.stderr());
                jobs
            }
        };
        for mut other in others {
            // One that has not met the dead one yet waits for it a minute.
            if other.stderr().contains("reading") {
                let (status, said) = other.wait(TIMEOUT);
                assert_eq!(status.code(), Some(1), "{said}");
            }
        }
    }
}

/// How often, in all.
fn kills() -> Option<usize> {
    let kills = std::env::var("TRUCKFLOW_TORTURE").ok()?;
    Some(kills.parse().expect("TRUCKFLOW_TORTURE is a number of kills"))
}

/// Every moment that a store comes to, and ages, in random order.
fn deaths(random: &mut StdRng, is_server: bool) -> Vec<Death> {
    let moments = Moment::value_variants().iter().copied();
    let moments = moments.filter(|moment| is_server || *moment != Moment::CommitSent);
    let moments: Vec<_> = moments.filter(|moment| !moment.is_of_replacement()).collect();
    let (once, aged) = match kills() {
        None => (moments.len(), RANDOM),
        Some(kills) => (kills / 2, kills - kills / 2),
    };
    let mut deaths: Vec<Death> = (0..once)
        .map(|number| {
            let moment = moments[number % moments.len()];
            // Folds are rare, and of a start there is one.
            let rare = moment.is_of_start() || matches!(moment, Moment::Fold | Moment::Folded);
            let count = if rare { 1 } else { random.random_range(1..12) };
            // Half of the deaths on servers, and in the short form each moment of a commit once more, as below.
            match is_server && !moment.is_of_start() && kills().is_some() && number % 2 == 1 {
                true => Death::Overlapping(moment, count),
                false => Death::At(moment, count),
            }
        })
        .collect();
    if is_server && kills().is_none() {
        let of_commit = moments.iter().filter(|moment| !moment.is_of_start());
        deaths.extend(of_commit.map(|moment| Death::Overlapping(*moment, 1)));
    }
    deaths.extend((0..aged).map(|_| Death::Aged(random.random_range(Duration::ZERO..OLDEST))));
    for last in (1..deaths.len()).rev() {
        deaths.swap(last, random.random_range(0..=last));
    }
    deaths
}

fn torture(database: Option<&Database>, processes: usize) {
    let seed = std::env::var("TRUCKFLOW_TORTURE_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |seed| seed.parse().expect("TRUCKFLOW_TORTURE_SEED is a number"),
    );
    println!("TRUCKFLOW_TORTURE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (disturbed, undisturbed) = (folder.path().join("disturbed"), folder.path().join("undisturbed"));
    let hosts = (processes > 1).then(|| {
        let path = folder.path().join("hosts");
        std::fs::write(&path, format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port())).unwrap();
        path.display().to_string()
    });
    let views = folder.path().join("views.sql");
    std::fs::write(&views, SQL).unwrap();
    let views = views.display().to_string();
    let torture = Torture { topic: unique_topic(), views, out: &disturbed, database, hosts };
    kafka().create_topic(&torture.topic, 4);
    let broken = |count: i32| {
        let letters = (0..count).map(|n| (n % 4, None, format!("{{\"timestamp\", \"{n}\"\n")));
        kafka().produce(&torture.topic, letters);
    };
    let simulate = format!(
        "simulate --to topic --trucks 20 --records 1000000000 --rate {RATE} --format python --seed {seed} --topic {} --brokers {}",
        torture.topic,
        kafka().brokers()
    );
    let mut trucks = Job::start(simulate.split(' '));
    let deaths = deaths(&mut random, database.is_some());
    for (number, death) in deaths.iter().enumerate() {
        broken(10);
        if kills().is_some() {
            println!("{} of {}: {death:?}", number + 1, deaths.len());
        }
        torture.die(1 + number % 2, *death);
    }
    assert!(trucks.terminated(TIMEOUT).success(), "{}", trucks.stderr());
    broken(10);

    torture.disturbed(2, &["--until-end"]).into_iter().for_each(finish);
    finish(torture.start(&undisturbed, None, 2, &["--until-end"]));
    let read = csv_rows(&undisturbed.join("parameter_map.csv")).len();
    println!("{} kills, {read} readings", deaths.len());
    assert!(read > RATE as usize, "readings streamed in");
    assert_same(&undisturbed, &disturbed);
    for view in ["own_filter", "own_join"] {
        let same = csv_rows(&csv_of(&undisturbed, view)) == csv_rows(&csv_of(&disturbed, view));
        assert!(same, "{view} differs");
    }
    let mut args = torture.args("verify", &disturbed, database);
    args.extend(["--set".into(), "csv.max_records=700".into()]);
    let mut verify = Job::start(args);
    let (status, said) = verify.wait(TIMEOUT * 5);
    assert!(status.success(), "{said}{}", verify.stdout());
}

fn finish(mut job: Job) {
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

#[test]
fn a_death_at_any_moment_leaves_no_trace_in_servers() {
    for database in databases() {
        println!("{}", database.url);
        torture(Some(&database), 1);
    }
}

#[test]
fn a_death_at_any_moment_of_a_cluster_leaves_no_trace() {
    torture(Some(&mariadb().create_database()), 2);
}

#[test]
fn a_death_at_any_moment_leaves_no_trace_in_sqlite() {
    torture(None, 1);
}
