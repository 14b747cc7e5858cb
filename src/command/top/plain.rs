//! A snapshot of the job as plain text.

use ratatui::text::Span;

use super::seen::Seen;
use super::text::{COLUMNS, cells, doing, numbers, partitions, shows_trucks, title, trucks, warning};
use super::views;

/// Number of partitions and trucks.
const PARTITIONS: usize = 10;
const TRUCKS: usize = 50;

/// A snapshot of the job as plain text.
pub fn plain(seen: &Seen) -> String {
    let mut lines = vec![title(seen)];
    let (word, text) = doing(seen);
    lines.push(format!("{word}: {text}"));
    lines.extend(warning(seen).map(|said| format!("warning: {said}")));
    if let Some(status) = &seen.status {
        lines.push(String::new());
        lines.extend(numbers(seen, status).into_iter().map(|(name, text)| format!("{name:<13} {text}")));
        let (rows, more) = partitions(status, PARTITIONS);
        lines.push(String::new());
        lines.extend(aligned(&[["partition", "committed", "lag"].map(String::from)], &rows));
        lines.extend(more);
    }
    let views = views::cells(seen);
    if !views.is_empty() {
        lines.push(String::new());
        lines.extend(aligned(&[views::TITLES.map(String::from)], &views));
    }
    if !shows_trucks(seen) {
        return lines.join("\n") + "\n";
    }
    lines.push(String::new());
    lines.push(format!("trucks: {}", trucks(seen)));
    let rows: Vec<_> = seen.list.rows.iter().take(TRUCKS).map(cells).collect();
    lines.extend(aligned(&[COLUMNS.map(|column| column.2.to_owned())], &rows));
    let more = seen.list.rows.len().saturating_sub(rows.len());
    if more > 0 {
        lines.push(format!("only the first {TRUCKS} are listed; find others with --search TEXT"));
    }
    lines.join("\n") + "\n"
}

/// Aligns the first column to the left and the others to the right.
fn aligned<const N: usize>(title: &[[String; N]], rows: &[[String; N]]) -> Vec<String> {
    let width = |text: &str| Span::raw(text).width();
    let all = || title.iter().chain(rows);
    let widths: [usize; N] =
        std::array::from_fn(|at| all().map(|row| width(&row[at])).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, wide))| {
            let pad = " ".repeat(wide - width(cell));
            if at == 0 { format!("{cell}{pad}") } else { format!("{pad}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}
