//! The job's data as text, for the terminal screen and for plain text output.

use std::time::SystemTime;

use super::seen::{Seen, Status};
use crate::observe::board::truck::Row;
pub use crate::text::printable::count;
use crate::text::printable::printable;
use crate::text::time::TimeWriter;

/// Shown for unknown or undefined values.
pub const NONE: &str = "–";

/// The columns of the truck table: sort key, field, title.
pub const COLUMNS: [(char, &str, &str); 8] = [
    ('n', "name", "truck"),
    ('d', "distance", "distance km"),
    ('s', "speed", "speed"),
    ('f', "fuel", "fuel l"),
    ('c', "distance_r", "r distance"),
    ('e', "speed_r", "r engine"),
    ('r', "samples", "readings"),
    ('t', "time", "latest, UTC"),
];

fn measure(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.into(), |value| format!("{value:.2}"))
}

/// A correlation with its sign. A value just below 1 is not rounded up to 1.
pub fn r(value: Option<f64>, digits: usize) -> String {
    let Some(value) = value else { return NONE.into() };
    let most = if value.abs() < 1.0 { 1.0 - 0.1_f64.powi(digits as i32) } else { 1.0 };
    format!("{:+.digits$}", value.clamp(-most, most))
}

/// A duration, rounded for display.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1000.0),
        ..10.0 => format!("{seconds:.1} s"),
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

/// Microseconds since 1970 as a time of UTC, to the second.
pub fn time(micros: Option<i64>) -> String {
    let Some(micros) = micros else { return NONE.into() };
    String::from_utf8_lossy(&TimeWriter::default().text(micros)[..19]).into_owned()
}

/// A time of the machine, in UTC.
pub fn wall(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    time(i64::try_from(since.as_micros()).ok()) + " UTC"
}

/// A truck's name with control characters escaped; `(no name)` if it is empty.
pub fn name(name: &str) -> String {
    if name.is_empty() { "(no name)".into() } else { printable(name).into_owned() }
}

/// The cells of a row of the truck table.
pub fn cells(row: &Row) -> [String; 8] {
    [
        name(&row.name),
        measure(row.distance),
        measure(row.speed),
        measure(row.fuel),
        r(row.distance_r, 6),
        r(row.speed_r, 6),
        count(row.samples),
        time(row.time),
    ]
}

/// The title line.
pub fn title(seen: &Seen) -> String {
    let Some(about) = &seen.about else { return "truckflow".into() };
    let workers = |count: usize| if count == 1 { "1 worker".into() } else { format!("{count} workers") };
    let where_ = match about.processes {
        1 => workers(about.workers),
        processes => format!("{processes} processes of {}", workers(about.workers)),
    };
    let (job, source) = (printable(&about.job), printable(&about.source));
    format!("truckflow {} · job {job} · {source} · {where_}", printable(&about.version))
}

/// The job's state, as a word and as a sentence.
pub fn doing(seen: &Seen) -> (String, String) {
    let status = seen.status.as_ref();
    match (&seen.gone, status) {
        (Some(gone), _) => {
            let text = format!(
                "no connection to the job since {}: {}; the data below are from before",
                wall(gone.since),
                gone.why
            );
            ("disconnected".into(), printable(&text).into_owned())
        }
        (None, Some(status)) => (printable(&status.doing).into_owned(), printable(&status.text).into_owned()),
        (None, None) => ("connecting".into(), String::new()),
    }
}

/// The warning about the job's input, if any; none while disconnected.
pub fn warning(seen: &Seen) -> Option<String> {
    let said = seen.status.as_ref().filter(|_| seen.gone.is_none())?.warning.as_deref()?;
    Some(printable(said).into_owned())
}

/// The numbers, each with its name.
pub fn numbers(seen: &Seen, status: &Status) -> Vec<(&'static str, String)> {
    let rate = seen.rate();
    let digits = usize::from(rate < 10.0 && rate > 0.0);
    let to_the_end = status.lag.filter(|lag| *lag > 0 && rate > 0.0).map(|lag| lag as f64 / rate);
    let lag = status.lag.map_or_else(|| "not measured for this source".into(), count);
    let lag = match to_the_end.filter(|left| *left > 5.0) {
        Some(left) => format!("{lag}, about {} left at this rate", seconds(left)),
        None => lag,
    };
    let letters = {
        let reasons = status.dead_letters.iter().filter(|(_, count)| **count > 0);
        let reasons: Vec<_> =
            reasons.map(|(reason, number)| format!("{} {}", printable(reason), count(number))).collect();
        match reasons.is_empty() {
            true => count(status.letters),
            false => format!("{} ({})", count(status.letters), reasons.join(", ")),
        }
    };
    let event_time = status.event_time.map(|seconds| (seconds * 1e6) as i64);
    vec![
        ("messages", format!("{}, {}/s over the last 10 s", count(status.messages), thousands(rate, digits))),
        ("readings", format!("{} accepted, {} rejected", count(status.records), count(status.rejected))),
        ("lag", lag),
        ("dead letters", letters),
        (
            "epochs",
            format!("{} committed, {} in flight", count(status.epoch), count(status.epochs_in_flight)),
        ),
        ("commits", commits(seen, status)),
        (
            "event time",
            event_time.map_or_else(|| NONE.into(), |micros| format!("{} UTC", time(Some(micros)))),
        ),
    ]
}

/// A number with this many decimals, or with separators if none.
pub fn thousands(number: f64, digits: usize) -> String {
    if digits > 0 { format!("{number:.digits$}") } else { count(number.round() as u64) }
}

fn commits(seen: &Seen, status: &Status) -> String {
    let mut said = match (seen.commits.back(), seen.commit_times()) {
        (Some(last), Some((half, most))) => format!(
            "last {} ago, took {}; p50 {}, p95 {}",
            seconds(status.now.saturating_sub(last.at) as f64 / 1000.0),
            seconds(last.seconds),
            seconds(half),
            seconds(most)
        ),
        _ => "none since the job started".into(),
    };
    if let Some(since) = status.committing {
        said +=
            &format!("; one in progress for {}", seconds(status.now.saturating_sub(since) as f64 / 1000.0));
    }
    if status.retries > 0 {
        said += &format!("; {} retries", count(status.retries));
    }
    said
}

/// The partitions with the largest lag, at most `most`, and a note on the others.
pub fn partitions(status: &Status, most: usize) -> (Vec<[String; 3]>, Option<String>) {
    let rows = status.partitions.iter().take(most).map(|partition| {
        [
            format!("{} {}", printable(&partition.topic), partition.partition),
            count(partition.consumed),
            partition.lag.map_or_else(|| NONE.into(), count),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let more = status.partition_count.saturating_sub(rows.len());
    (rows, (more > 0).then(|| format!("{} more, none with a larger lag", count(more))))
}

/// Whether the job has views that show trucks, as far as is known.
pub fn shows_trucks(seen: &Seen) -> bool {
    seen.about.as_ref().is_none_or(|about| about.shows_trucks)
}

/// Describes which trucks are listed.
pub fn trucks(seen: &Seen) -> String {
    let list = &seen.list;
    let (first, last) = (list.offset + 1, list.offset + list.rows.len());
    let range = match (list.rows.len(), list.matching) {
        (0, _) => "none".into(),
        (shown, matching) if shown == matching => count(matching),
        (_, matching) => format!("{} to {} of {}", count(first), count(last), count(matching)),
    };
    let searched = match &*seen.asked.search {
        "" => String::new(),
        search => format!(" matching `{}` of {}", printable(search), count(list.total)),
    };
    let (field, order) = match seen.asked.sort.strip_prefix('-') {
        Some(field) => (field, ", descending"),
        None => (&*seen.asked.sort, ""),
    };
    let title = COLUMNS.iter().find(|column| column.1 == field).map_or(field, |column| column.2);
    format!("{range}{searched}, sorted by {title}{order}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_people() {
        assert_eq!(
            ["0", "999", "1,000", "-12,345,678"],
            [0, 999, 1000, -12_345_678].map(count).each_ref().map(|text| &**text)
        );
        for (value, text) in
            [(0.5, "+0.500000"), (0.999_999_9, "+0.999999"), (1.0, "+1.000000"), (-0.999_999_99, "-0.999999")]
        {
            assert_eq!(r(Some(value), 6), text);
        }
        assert_eq!(r(None, 6), "–");
        assert_eq!(
            [0.012, 3.25, 61.0, 600.0, 7200.0].map(seconds),
            ["12 ms", "3.2 s", "61 s", "10 min", "2 h"].map(String::from)
        );
        assert_eq!(time(Some(1_681_088_547_123_456)), "2023-04-10 01:02:27");
        assert_eq!(name("\x1b[2Ja\n"), "\\u{1b}[2Ja\\n");
        assert_eq!(name(""), "(no name)");
    }
}
