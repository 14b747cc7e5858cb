//! The summary at the end of a run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use dataflows::dead_letter::ByReason;

use crate::config::Job;
use crate::job::summary::Summary;
use crate::render::CHANGE;
use crate::runtime::counts::{Counts, nothing_accepted};
use crate::sink::csv::{files_of, numbered};
use crate::text::printable::printable;

/// The number of trucks shown; the rest is in the files.
const TRUCKS_SHOWN: usize = 20;

/// The summary as text: counts, the latest correlations of each truck, files and metrics.
pub fn describe(config: &Job, summary: &Summary) -> String {
    let mut text = counted(summary);
    for line in &summary.unfinished {
        let _ = writeln!(text, "{}", printable(&line.to_string()));
    }
    let distance = latest(config, "distance_correlation");
    let speed = latest(config, "engine_speed_correlation");
    if !distance.is_empty() || !speed.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<20} {:>10}  {:>22}  {:>22}",
            "truck", "samples", "r(distance, time)", "r(engine speed, time)"
        );
        let mut trucks: Vec<_> = distance.keys().chain(speed.keys()).collect();
        trucks.sort();
        trucks.dedup();
        let none = Latest::default();
        for truck in trucks.iter().take(TRUCKS_SHOWN) {
            let (d, s) = (distance.get(*truck).unwrap_or(&none), speed.get(*truck).unwrap_or(&none));
            let samples = if d.samples.is_empty() { &s.samples } else { &d.samples };
            let truck = printable(truck);
            let _ = writeln!(text, "{truck:<20} {samples:>10}  {:>22}  {:>22}", d.correlation, s.correlation);
        }
        if trucks.len() > TRUCKS_SHOWN {
            let _ = writeln!(text, "… and {} more trucks", trucks.len() - TRUCKS_SHOWN);
        }
    }
    let _ = writeln!(text, "\nfiles in {}:", config.out.display());
    for (name, bytes) in files(config) {
        let _ = writeln!(text, "  {name:<32} {bytes:>14} bytes");
    }
    if config.listen != "off" {
        let _ = writeln!(text, "metrics, while the job runs: http://{}/metrics", config.listen);
    }
    if let Some(said) = nothing_accepted(&summary.counts.intake, &config.mapping) {
        let _ = writeln!(text, "\n{said}");
    }
    text
}

/// Counts of readings, rows and dead letters, by reason.
fn counted(summary: &Summary) -> String {
    let Counts { intake, duplicates, left_out, letters, .. } = &summary.counts;
    let rows = summary.counts.all_rows();
    let seconds = summary.elapsed.as_secs_f64();
    let rate = intake.accepted as f64 / seconds.max(1e-9);
    let by_reason = |numbers: &ByReason| match numbers.total() {
        0 => "0".to_owned(),
        all => format!("{all} ({numbers})"),
    };
    let lines = [
        Some(("accepted readings", intake.accepted.to_string())),
        (*duplicates > 0).then(|| ("of them dropped as repetitions", duplicates.to_string())),
        Some(("rejected messages", by_reason(&intake.rejected))),
        Some(("readings left out by a view", by_reason(left_out))),
        Some(("rows written to tables, files", format!("{}, {}", rows.table, rows.csv))),
        Some(("rows refused by the database", rows.refused.to_string())),
        Some(("dead letters", by_reason(letters))),
    ];
    let mut text = format!("committed epoch {} after {seconds:.2} s ({rate:.0} readings/s)\n", summary.epoch);
    for (what, number) in lines.into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {what:<32} {number}");
    }
    text
}

#[derive(Default)]
struct Latest {
    samples: String,
    correlation: String,
}

/// The last row of each truck in a correlation's CSV files; empty if there are none.
fn latest(config: &Job, view: &str) -> BTreeMap<String, Latest> {
    let mut latest = BTreeMap::new();
    for path in files_of(&config.out, view, config.csv.max_records.is_some()).unwrap_or_default() {
        take_latest(&path, &mut latest);
    }
    latest
}

/// Reads the rows in file order: a retraction comes before the row that replaces it.
fn take_latest(path: &Path, latest: &mut BTreeMap<String, Latest>) {
    let Ok(mut reader) = csv::Reader::from_path(path) else { return };
    let Ok(header) = reader.headers().cloned() else { return };
    let column = |name: &str| header.iter().position(|column| column == name);
    let (Some(truck), Some(samples), Some(r)) =
        (column("truck_id"), column("samples"), column("correlation"))
    else {
        return;
    };
    let change = column(&CHANGE.name);
    for row in reader.records().flatten() {
        let field = |at: usize| row.get(at).unwrap_or_default().to_owned();
        let name = if field(truck).is_empty() { "(no name)".to_owned() } else { field(truck) };
        let is_retracted = change.is_some_and(|change| field(change) == "-1");
        // A truck's history ends with a row of zero samples.
        if is_retracted || field(samples) == "0" {
            latest.remove(&name);
        } else {
            latest.insert(name, Latest { samples: field(samples), correlation: field(r) });
        }
    }
}

/// The files that the job writes, and each folder of numbered files as one entry.
fn files(config: &Job) -> Vec<(String, u64)> {
    let mut files: Vec<_> = std::fs::read_dir(&config.out)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().ok()?.is_dir() {
                let inside = numbered(&entry.path()).ok().filter(|inside| !inside.is_empty())?;
                let bytes = inside.iter().filter_map(|(_, path)| Some(path.metadata().ok()?.len())).sum();
                let files = if inside.len() == 1 { "file" } else { "files" };
                return Some((format!("{name}/ ({} {files})", inside.len()), bytes));
            }
            let shown = name.ends_with(".csv") || name.ends_with(".db");
            shown.then(|| entry.metadata().ok().map(|metadata| (name, metadata.len()))).flatten()
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest_of(lines: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("distance_correlation.csv");
        std::fs::write(&path, lines).unwrap();
        let mut latest = BTreeMap::new();
        take_latest(&path, &mut latest);
        latest
            .iter()
            .map(|(truck, Latest { samples, correlation })| format!("{truck} {samples} {correlation}"))
            .collect()
    }

    #[test]
    fn a_retracted_row_is_not_shown_as_the_latest() {
        let lines = "correlation,truck_id,samples,change\n\
                     0.5,corrected,2,1\n\
                     0.5,gone,3,1\n\
                     0.5,corrected,2,-1\n\
                     -0.25,corrected,3,1\n\
                     0.5,gone,3,-1\n";
        assert_eq!(latest_of(lines), ["corrected 3 -0.25"]);
    }

    #[test]
    fn a_truck_whose_history_has_ended_is_not_shown() {
        let lines = "correlation,truck_id,samples,change\n0.5,stays,2,1\n0.5,gone,2,1\n,gone,0,1\n";
        assert_eq!(latest_of(lines), ["stays 2 0.5"]);
    }

    #[test]
    fn without_changes_the_last_row_of_a_truck_is_its_latest() {
        assert_eq!(latest_of("correlation,truck_id,samples\n0.5,,2\n0.75,,3\n"), ["(no name) 3 0.75"]);
    }
}
