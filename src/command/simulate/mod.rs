//! `truckflow simulate`: generates readings of simulated trucks to a topic, a file or standard output.
//!
//! ```text
//! truck (model, one RNG each) --> fleet (merged by event time) --> message (text) --> output
//! ```
//!
//! The output depends only on the arguments: the same seed produces the same bytes on every machine, and adding
//! trucks does not change the readings of the others.

pub mod error;
mod fleet;
mod message;
mod output;
mod truck;

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use self::error::SimulateError;
use self::fleet::Fleet;
use self::message::Message;
use self::output::{Output, Written};
use crate::cli::simulate::{Destination, SimulateArgs};
use crate::command::error::Error;
use crate::config::with_password;
use crate::observe::progress;
use crate::runtime::pace::Pace;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use crate::store;
use crate::store::LastReading;
use crate::text::printable::quantity;

/// Records between two updates of the progress bar.
const RECORDS_PER_TICK: u64 = 8_192;
/// Limits for a row to resume from: year 9999, and the largest measure that truckflow can read back.
const LAST_EVENT_TIME: i64 = 253_402_300_799_999_999;
const LARGEST_MEASURE: f64 = 9.2e9;

/// Whether a drive can continue from a reading.
fn is_usable(last: &LastReading) -> bool {
    let measure = |value: f64| (0.0..LARGEST_MEASURE).contains(&value);
    let time = -LAST_EVENT_TIME..=LAST_EVENT_TIME;
    measure(last.distance) && measure(last.fuel) && time.contains(&last.timestamp_micros)
}

/// The result of a simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Readings written or acknowledged.
    pub records: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// As one object: `readings`, `seconds`.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({ "readings": self.records, "seconds": self.elapsed.as_secs_f64() })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.records as f64 / seconds.max(1e-9);
        write!(f, "{} in {seconds:.1} s ({rate:.0}/s)", quantity(self.records as usize, "reading"))
    }
}

/// Runs a simulation, optionally from the last rows in a database, and prints the summary.
pub fn run_and_print(args: &SimulateArgs) -> Result<(), Error> {
    let resume = match (&args.resume_from, &args.resume_password_file) {
        (Some(url), Some(path)) => {
            store::last_readings(&with_password(url, "--resume-password-file", path)?)?
        }
        (Some(url), None) => store::last_readings(url)?,
        (None, _) => Vec::new(),
    };
    if args.resume_from.is_some() && resume.is_empty() {
        tracing::warn!(
            "TRUCK_PARAMETER_MAP in the database of --resume-from has no readings; the drive starts at zero"
        );
    }
    let simulated = run(args, resume)?;
    match args.json {
        true => print::line(simulated.to_json())?,
        false => print::note(simulated),
    }
    Ok(())
}

/// Generates readings until `--records`, empty tanks, SIGINT, SIGTERM or a closed standard output, then flushes
/// them. Trucks in `resume` continue from their last reading.
pub fn run(args: &SimulateArgs, resume: Vec<LastReading>) -> Result<Summary, SimulateError> {
    run_until(args, &resume, &Stop::on_signals(Hangup::Stops)?)
}

/// Like [`run`], until a stop is requested.
pub(crate) fn run_until(
    args: &SimulateArgs,
    resume: &[LastReading],
    stop: &Stop,
) -> Result<Summary, SimulateError> {
    if args.json && args.to == Destination::Stdout {
        return Err(SimulateError::JsonAmongReadings);
    }
    if let Some(last) = resume.iter().find(|last| !is_usable(last)) {
        let LastReading { truck, distance, fuel, .. } = last.clone();
        return Err(SimulateError::Resume { truck, distance, fuel });
    }
    let names = truck_names(args.trucks, args.truck_prefix.as_deref());
    let mut fleet = Fleet::new(&names, args.seed, args.start, resume);
    let mut message = Message::new(args.format);
    let mut output = Output::open(args)?;
    let bar = progress_bar(args);

    let pace = Pace::start(args.rate);
    let started = Instant::now();
    let mut records = 0;
    while records < args.records && !stop.requested() {
        if let Some(wait) = pace.wait(records) {
            // Readers of the output see each reading when it is due.
            if output.flush(records)? == Written::ReaderGone {
                break;
            }
            bar.set_position(records);
            stop.wait(wait);
            continue;
        }
        let Some(reading) = fleet.next() else { break };
        let name = names[reading.truck].as_str();
        if output.write(message.line(&reading, name), name, records)? == Written::ReaderGone {
            break;
        }
        records += 1;
        if records.is_multiple_of(RECORDS_PER_TICK) {
            bar.set_position(records);
        }
    }
    output.finish(records)?;
    bar.finish_and_clear();
    Ok(Summary { records, elapsed: started.elapsed() })
}

/// The names of the trucks, in order; a single truck without a prefix has an empty name.
fn truck_names(trucks: u32, prefix: Option<&str>) -> Vec<String> {
    match prefix {
        None if trucks == 1 => vec![String::new()],
        prefix => (1..=trucks).map(|n| format!("{}{n}", prefix.unwrap_or("truck-"))).collect(),
    }
}

fn progress_bar(args: &SimulateArgs) -> ProgressBar {
    if args.to == Destination::Stdout {
        return ProgressBar::hidden();
    }
    progress::counted(args.records, "readings")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::kafka::producer::tests::{cluster, read};
    use crate::text::time;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn args(flags: &[&str]) -> SimulateArgs {
        Command::try_parse_from([&["simulate"], flags].concat())
            .unwrap_or_else(|error| panic!("{error}"))
            .args
    }

    fn lines(flags: &[&str], resume: &[LastReading]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let args = args(&[flags, &["--to", path.to_str().unwrap()]].concat());
        let summary = run_until(&args, resume, &Stop::default()).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count() as u64, summary.records);
        text.lines().map(str::to_owned).collect()
    }

    /// Pins the bytes of a seed: a change here changes every fixture made by the simulator.
    #[test]
    fn the_first_lines_of_a_seed_are_these() {
        assert_eq!(lines(&["--records", "4"], &[]), PINNED);
        let python: Vec<_> = PINNED.iter().map(|line| line.replace('"', "'")).collect();
        assert_eq!(lines(&["--records", "4", "--format", "python"], &[]), python);
        assert_eq!(lines(&["--records", "1", "--format", "numpy", "--trucks", "2"], &[]), [PINNED_NUMPY]);
    }

    const PINNED: [&str; 4] = [
        r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 0.0, "engine_speed": 81.38, "fuel_consumed": 0.0}"#,
        r#"{"timestamp": "2023-04-10 01:02:27.267221", "distance_covered": 0.01, "engine_speed": 80.41, "fuel_consumed": 0.0}"#,
        r#"{"timestamp": "2023-04-10 01:02:27.394688", "distance_covered": 0.01, "engine_speed": 78.06, "fuel_consumed": 0.0}"#,
        r#"{"timestamp": "2023-04-10 01:02:27.401937", "distance_covered": 0.01, "engine_speed": 78.94, "fuel_consumed": 0.0}"#,
    ];
    const PINNED_NUMPY: &str = "{'timestamp': '2023-04-10 01:02:27', 'distance_covered': np.float64(0.0), \
        'engine_speed': np.float64(81.38), 'fuel_consumed': np.float64(0.0), 'truck_id': 'truck-1'}";

    #[test]
    fn other_seeds_give_other_readings() {
        assert_ne!(lines(&["--records", "5"], &[]), lines(&["--records", "5", "--seed", "1"], &[]));
    }

    #[test]
    fn adding_trucks_does_not_change_the_others() {
        let of = |line: &&String, truck: &str| line.contains(&format!("\"truck_id\": \"{truck}\""));
        let three = lines(&["--records", "3000", "--trucks", "3"], &[]);
        let two = lines(&["--records", "1500", "--trucks", "2"], &[]);
        for truck in ["truck-1", "truck-2"] {
            let among_three: Vec<_> = three.iter().filter(|line| of(line, truck)).take(600).collect();
            let among_two: Vec<_> = two.iter().filter(|line| of(line, truck)).take(600).collect();
            assert_eq!(among_three.len(), 600);
            assert_eq!(among_three, among_two);
        }
    }

    #[test]
    fn trucks_are_interleaved_by_event_time() {
        let lines = lines(&["--records", "2000", "--trucks", "7", "--truck-prefix", "t"], &[]);
        let time = |line: &String| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            time::parse(value["timestamp"].as_str().unwrap()).unwrap()
        };
        assert!(lines.is_sorted_by_key(time));
        let trucks: BTreeSet<_> = lines.iter().map(|line| line.split("truck_id").nth(1).unwrap()).collect();
        assert_eq!(trucks.len(), 7);
    }

    #[test]
    fn a_resumed_drive_goes_on_from_the_last_reading() {
        let last = LastReading {
            truck: String::new(),
            distance: 19_000.25,
            fuel: 195.5,
            timestamp_micros: time::parse("2024-02-29 23:59:59.999999").unwrap(),
        };
        let lines = lines(&["--records", "1000"], std::slice::from_ref(&last));
        let first: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert!(first["timestamp"].as_str().unwrap() > "2024-03-01 00:00:00");
        assert!((19_000.25..19_000.5).contains(&first["distance_covered"].as_f64().unwrap()));
        assert!((195.5..195.6).contains(&first["fuel_consumed"].as_f64().unwrap()));
        let distances: Vec<_> = lines
            .iter()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["distance_covered"].as_f64())
            .collect();
        assert!(distances.is_sorted());
    }

    #[test]
    fn a_last_reading_out_of_range_is_refused() {
        for (distance, timestamp_micros) in [(f64::NAN, 0), (-1.0, 0), (1e300, 0), (1.0, i64::MAX)] {
            let last = LastReading { truck: "t".to_owned(), distance, fuel: 0.0, timestamp_micros };
            let error = run_until(&args(&[]), &[last], &Stop::default()).unwrap_err();
            assert!(matches!(error, SimulateError::Resume { .. }));
        }
    }

    #[test]
    fn an_empty_tank_ends_the_drive() {
        let last =
            LastReading { truck: String::new(), distance: 1.0, fuel: 599.999, timestamp_micros: 1_000_000 };
        let lines = lines(&["--records", "100000"], &[last]);
        assert!((1..1000).contains(&lines.len()), "{}", lines.len());
    }

    #[test]
    fn a_stop_keeps_the_generated_readings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let stop = Stop::default();
        stop.request();
        let summary = run_until(&args(&["--to", path.to_str().unwrap()]), &[], &stop).unwrap();
        assert_eq!(summary.records, 0);
        assert!(path.exists());
    }

    #[test]
    fn named_trucks_are_keys_and_a_single_truck_has_none() {
        let cluster = cluster("Truck-Data", 4);
        let brokers = cluster.bootstrap_servers();
        let to_topic = ["--to", "topic", "--brokers", &brokers, "--records", "100"];
        run_until(&args(&to_topic), &[], &Stop::default()).unwrap();
        let unnamed = read(&brokers, "Truck-Data", 4, 100);
        assert!(unnamed.iter().all(|(partition, key, _)| key.is_none() && *partition == unnamed[0].0));

        run_until(&args(&[&to_topic[..], &["--trucks", "3"]].concat()), &[], &Stop::default()).unwrap();
        let mut partition_of: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for (partition, key, payload) in read(&brokers, "Truck-Data", 4, 200) {
            let Some(key) = key else { continue };
            let value: serde_json::Value = serde_json::from_slice(&payload.unwrap()).unwrap();
            assert_eq!(value["truck_id"].as_str().unwrap().as_bytes(), key);
            assert_eq!(*partition_of.entry(key).or_insert(partition), partition);
        }
        assert_eq!(partition_of.len(), 3);
    }

    #[test]
    fn names_that_need_escapes_are_refused() {
        for wrong in ["a\"", "a'", "a\\", "a\n"] {
            assert!(Command::try_parse_from(["simulate", "--truck-prefix", wrong]).is_err());
        }
    }
}
