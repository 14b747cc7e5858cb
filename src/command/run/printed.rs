//! Views as tables of text.

use std::sync::Arc;

use unicode_width::UnicodeWidthStr;

use crate::cli::RunArgs;
use crate::command::error::Error;
use crate::command::trial::{self, Shown};
use crate::config;
use crate::runtime::print;
use crate::runtime::stop::Stop;
use crate::text::printable::{printable, quantity};

/// Runs the job once, with its tables in memory, and prints those of some views.
pub fn run(args: &RunArgs, stop: &Arc<Stop>) -> Result<(), Error> {
    let mut keys = trial::keys();
    keys.extend(args.job.keys());
    let (summary, shown) =
        trial::run(args.job.config.as_deref(), config::variables()?.into_iter(), keys, stop)?;
    for name in &args.print {
        let Some(found) = shown.iter().find(|shown| shown.view.eq_ignore_ascii_case(name)) else {
            let names: Vec<&str> = shown.iter().map(|shown| &*shown.view).collect();
            return Err(Error::NoSuchView { view: name.clone(), known: names.join(", ") });
        };
        print::out(table(found))?;
    }
    let letters = summary.counts.letters.total();
    if letters > 0 {
        print::note(format_args!(
            "{} of the input became dead letters; --print dead_letters shows them",
            quantity(letters as usize, "reading")
        ));
    }
    Ok(())
}

/// Most rows that are printed.
const MOST: usize = 1_000;
/// Most characters of a value.
const WIDEST: usize = 60;

/// A table with a line for each row.
fn table(shown: &Shown) -> String {
    let cut = |text: &str| -> String {
        let text = printable(text);
        match text.chars().count() > WIDEST {
            true => text.chars().take(WIDEST - 1).chain(['…']).collect(),
            false => text.into_owned(),
        }
    };
    let rows: Vec<Vec<String>> =
        shown.rows.iter().take(MOST).map(|row| row.iter().map(cut).collect()).collect();
    let width = |column: usize| {
        let values = rows.iter().filter_map(|row| row.get(column)).map(|value| value.width());
        values.chain([shown.columns[column].width()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..shown.columns.len()).map(width).collect();
    // Numbers are aligned at their right ends.
    let is_number = |column: usize| {
        let mut values =
            rows.iter().filter_map(|row| row.get(column)).filter(|value| !value.is_empty()).peekable();
        values.peek().is_some() && values.all(|value| value.parse::<f64>().is_ok())
    };
    let right: Vec<bool> = (0..shown.columns.len()).map(is_number).collect();
    let line = |values: &[String]| {
        let padded = values.iter().enumerate().map(|(column, value)| {
            let blanks = " ".repeat(widths[column].saturating_sub(value.width()));
            if right[column] { format!("{blanks}{value}") } else { format!("{value}{blanks}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(&shown.columns) + &line(&rules);
    rows.iter().for_each(|row| text.push_str(&line(row)));
    let all = quantity(shown.rows.len(), "row");
    match shown.rows.len() > MOST {
        true => text + &format!("({all}, the first {MOST} of them above)\n"),
        false => text + &format!("({all})\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use csv::StringRecord;

    #[test]
    fn numbers_are_aligned_and_long_texts_cut() {
        let long = "x".repeat(100);
        let rows = [["a", "10.5"], ["b\n", ""], [&long, "-2"]];
        let shown = Shown {
            view: "v".into(),
            table: "V".into(),
            columns: ["truck".to_owned(), "n".to_owned()].to_vec(),
            rows: rows.map(|row| StringRecord::from(row.to_vec())).to_vec(),
        };
        let text = table(&shown);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("truck{}n", " ".repeat(60)));
        assert_eq!(lines[2], format!("a{}  10.5", " ".repeat(59)));
        assert!(lines[4].starts_with(&"x".repeat(59)) && lines[4].ends_with("…    -2"), "{text}");
        assert_eq!(lines[5], "(3 rows)");
    }
}
