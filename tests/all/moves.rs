//! The seed's user moves over: topic, tables and queries as they are.

use std::fs;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::databases;
use crate::support::process::repository;

const TIMEOUT: Duration = Duration::from_secs(120);

fn statements(file: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("fixtures/move").join(file)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("--"));
    lines.map(|line| line.trim_end_matches(';').to_owned()).collect()
}

#[test]
fn the_seeds_topic_tables_and_queries_work_unchanged() {
    let messages = fs::read_to_string(repository().join("fixtures/move/messages.txt")).unwrap();
    let last = messages.lines().last().unwrap();
    let field = |name: &str| {
        let value = last.split_once(&format!("'{name}': np.float64(")).unwrap().1;
        value.split_once(')').unwrap().0.parse::<f64>().unwrap()
    };
    for database in databases() {
        statements("tables.sql").iter().for_each(|statement| drop(database.query(statement)));
        let (topic, out) = (unique_topic(), tempfile::tempdir().unwrap());
        // One partition: the seed's order is that of its topic.
        kafka().create_topic(&topic, 1);
        kafka().produce(&topic, messages.lines().map(|line| (0, None, line)));
        let out = out.path().to_str().unwrap();
        let at =
            ["--brokers", kafka().brokers(), "--topic", &topic, "--database", &database.url, "--out", out];
        let run = ["run", "--until-end", "--listen", "off"].into_iter().chain(at);
        let (status, said) = Job::start(run).wait(TIMEOUT);
        assert!(status.success(), "{said}");

        let answers: Vec<_> = statements("queries.sql").iter().map(|query| database.query(query)).collect();
        for (answer, name) in answers.iter().zip(["distance_covered", "engine_speed", "fuel_consumed"]) {
            let found: f64 = answer[0][0].as_deref().unwrap().parse().unwrap();
            // The seed's columns are FLOATs.
            assert!((found - field(name)).abs() <= field(name).abs() * 1e-5, "{name}: {found}");
        }
        assert_eq!(answers[3].len(), 100, "readings");
        for r in &answers[4..] {
            let r: f64 = r[0][0].as_deref().expect("a correlation").parse().unwrap();
            assert!((-1.0..=1.0).contains(&r), "{r}");
        }
        let old = "SELECT id, timestamp, distance_covered, engine_speed, fuel_consumed, truck_id \
                   FROM TRUCK_PARAMETER_MAP ORDER BY id LIMIT 3";
        let old = database.query(old);
        let ids: Vec<_> = old.iter().map(|row| row[0].as_deref().unwrap()).collect();
        assert_eq!(ids, ["1922346", "1922347", "1922355"]);
        assert!(old.iter().all(|row| row[5].is_none()), "rows of old have no truck: {old:?}");
        let count = database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")[0][0].clone();
        assert_eq!(count, Some((messages.lines().count() + 3).to_string()));

        let mut verify = Job::start(["verify"].into_iter().chain(at));
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }
}
