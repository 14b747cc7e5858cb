//! What `check` and `verify` found, as lines and as JSON.

use std::fmt::Display;

use serde::Serialize;

use crate::command::error::Error;
use crate::runtime::failure::Bug;
use crate::runtime::print::{self, PrintError};

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    checks: Vec<Look>,
    failed: usize,
    /// Whether each line is printed at once.
    #[serde(skip)]
    told: bool,
    /// What became of printing them.
    #[serde(skip)]
    printed: Option<PrintError>,
}

#[derive(Debug, Serialize)]
struct Look {
    what: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What is no obstacle, and most likely not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Report {
    /// An empty one; with `told`, each line is printed at once.
    pub(crate) fn new(told: bool) -> Self {
        Self { told, ..Self::default() }
    }

    /// How many are not in order.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Prints it as JSON, unless its lines were printed.
    pub(crate) fn print(&mut self) -> Result<(), Error> {
        if self.told {
            return self.printed.take().map_or(Ok(()), |error| Err(error.into()));
        }
        let json = serde_json::to_string_pretty(self).map_err(|_| Bug("the report as JSON"))?;
        Ok(print::line(json)?)
    }

    pub(crate) fn ok(&mut self, what: &str, detail: impl Display) {
        self.add(what, Ok::<_, &str>(detail));
    }

    pub(crate) fn add(&mut self, what: &str, result: Result<impl Display, impl Display>) {
        let (detail, problem) = match result {
            Ok(detail) => (Some(detail.to_string()), None),
            Err(problem) => (None, Some(problem.to_string())),
        };
        self.failed += usize::from(problem.is_some());
        match (&detail, &problem) {
            (Some(detail), _) => self.tell(format_args!("ok      {what}: {detail}")),
            (None, problem) => {
                self.tell(format_args!("FAILED  {what}: {}", problem.as_deref().unwrap_or_default()));
            }
        }
        self.checks.push(Look { what: what.into(), ok: problem.is_none(), detail, warning: None, problem });
    }

    /// Prints a line, if lines are printed at once.
    fn tell(&mut self, line: impl Display) {
        if self.told {
            let printed = print::line(line);
            self.printed = self.printed.take().or(printed.err());
        }
    }

    /// Adds what does not keep a job from running, and should be looked at all the same.
    pub(crate) fn warn(&mut self, what: &str, warning: String) {
        self.tell(format_args!("WARNING {what}: {warning}"));
        let (detail, problem) = (None, None);
        self.checks.push(Look { what: what.into(), ok: true, detail, warning: Some(warning), problem });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_as_json() {
        let mut report = Report::default();
        report.ok("one", "there");
        report.add("two", Err::<&str, _>("not there; make it"));
        report.warn("three", "look at it".into());
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"checks":[{"what":"one","ok":true,"detail":"there"},{"what":"two","ok":false,"problem":"not there; make it"},{"what":"three","ok":true,"warning":"look at it"}],"failed":1}"#
        );
    }
}
