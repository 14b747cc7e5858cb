//! The summary of a run.

use std::time::Duration;

use dataflows::Epoch;
use dataflows::dead_letter::ByReason;

use crate::runtime::counts::Counts;
use crate::runtime::process::peak_memory;
use crate::source::file::Unfinished;

/// The summary of a run. In a cluster, process 0 has the counts of all processes; the others count only the messages
/// that they read.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The counts.
    pub counts: Counts,
    /// Time from the first read to the last commit.
    pub elapsed: Duration,
    /// The last commit.
    pub epoch: Epoch,
    /// Last lines of files that were not read because they have no line feed yet.
    pub unfinished: Vec<Unfinished>,
}

impl Summary {
    /// As one object: readings, rows, dead letters, `epoch`, `seconds`, `peak_memory_bytes` of this process, and
    /// `unfinished_lines` with `input`, `line` and `bytes` of each.
    pub fn to_json(&self) -> serde_json::Value {
        let Counts { intake, duplicates, left_out, letters, .. } = &self.counts;
        let rows = self.counts.all_rows();
        let by_reason = |numbers: &ByReason| {
            let numbers = numbers.iter().map(|(reason, number)| (reason.name().to_owned(), number.into()));
            serde_json::Value::Object(numbers.collect())
        };
        let unfinished = |left: &Unfinished| serde_json::json!({ "input": left.path, "line": left.line, "bytes": left.bytes });
        serde_json::json!({
            "records": intake.accepted,
            "rejected": intake.rejected.total(),
            "rejected_by_reason": by_reason(&intake.rejected),
            "duplicates": duplicates,
            "left_out": left_out.total(),
            "left_out_by_reason": by_reason(left_out),
            "csv_rows": rows.csv,
            "table_rows": rows.table,
            "refused_rows": rows.refused,
            "dead_letters": letters.total(),
            "dead_letters_by_reason": by_reason(letters),
            "epoch": self.epoch,
            "seconds": self.elapsed.as_secs_f64(),
            "peak_memory_bytes": peak_memory(),
            "unfinished_lines": self.unfinished.iter().map(unfinished).collect::<Vec<_>>(),
        })
    }
}
