//! The results of `check` and `verify`, as lines or as JSON.

use std::fmt::Display;

use serde::Serialize;

use crate::command::error::Error;
use crate::runtime::failure::Bug;
use crate::runtime::print::{self, PrintError};

/// The results of all checks.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    checks: Vec<Check>,
    failed: usize,
    /// Whether each result is printed immediately, as a line.
    #[serde(skip)]
    as_lines: bool,
    /// The first error of printing a line.
    #[serde(skip)]
    print_error: Option<PrintError>,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Not an obstacle, but probably a mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Report {
    /// An empty report. With `as_lines`, each result is printed immediately.
    pub(crate) fn new(as_lines: bool) -> Self {
        Self { as_lines, ..Self::default() }
    }

    /// The number of failed checks.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Prints the report as JSON, unless its lines were printed already.
    pub(crate) fn print(&mut self) -> Result<(), Error> {
        if self.as_lines {
            return self.print_error.take().map_or(Ok(()), |error| Err(error.into()));
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
            (Some(detail), _) => self.line(format_args!("ok      {what}: {detail}")),
            (None, problem) => {
                self.line(format_args!("FAILED  {what}: {}", problem.as_deref().unwrap_or_default()));
            }
        }
        self.checks.push(Check { what: what.into(), ok: problem.is_none(), detail, warning: None, problem });
    }

    /// Prints a line, if the report is printed as lines.
    fn line(&mut self, line: impl Display) {
        if self.as_lines {
            let printed = print::line(line);
            self.print_error = self.print_error.take().or(printed.err());
        }
    }

    /// Adds a problem that does not keep the job from running.
    pub(crate) fn warn(&mut self, what: &str, warning: String) {
        self.line(format_args!("WARNING {what}: {warning}"));
        let (detail, problem) = (None, None);
        self.checks.push(Check { what: what.into(), ok: true, detail, warning: Some(warning), problem });
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
