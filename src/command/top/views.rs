//! The views of any shape: their list, and the rows of one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row, Table, TableState};

use super::screen::Screen;
use super::seen::{Column, OpenView, Seen, ViewNumbers};
use super::text::{NONE, count, seconds, thousands};
use crate::text::printable::printable;

/// The titles of the list.
pub const TITLES: [&str; 4] = ["view", "rows", "changes/s", "last change"];
/// The maximum width of a column of rows.
const WIDE: usize = 28;

/// The cells of the list, a row per view.
pub fn cells(seen: &Seen) -> Vec<[String; 4]> {
    let (Some(about), Some(status)) = (&seen.about, &seen.status) else { return Vec::new() };
    let of_view = |view: &super::seen::ViewAbout| {
        let numbers = status.views.get(&view.name).copied().unwrap_or_default();
        let rate = seen.changes_per_second(&view.name);
        let ago = numbers.changed.map(|at| seconds(status.now.saturating_sub(at) as f64 / 1000.0) + " ago");
        [
            printable(&view.name).into_owned(),
            rows(numbers),
            thousands(rate, usize::from(rate < 10.0 && rate > 0.0)),
            ago.unwrap_or_else(|| NONE.into()),
        ]
    };
    about.views.iter().map(of_view).collect()
}

/// The number of rows of a view; with `+` if it has others from before the job started.
fn rows(numbers: ViewNumbers) -> String {
    format!("{}{}", if numbers.complete { "" } else { "+" }, count(numbers.rows))
}

/// Describes which rows of a view are listed.
pub fn title(seen: &Seen, name: &str) -> String {
    let name = printable(name);
    let Some(asked) = &seen.asked.view else { return name.into_owned() };
    let Some(open) = &seen.view else { return format!("{name}: waiting for its rows") };
    let Some(open) = open else { return format!("{name}: the job has no view with this name") };
    let found = &open.found;
    let range = match found.list.len() {
        0 => "none".into(),
        shown if shown == found.matching => count(found.matching),
        shown => {
            let (first, last) = (found.offset + 1, found.offset + shown);
            format!("{} to {} of {}", count(first), count(last), count(found.matching))
        }
    };
    let searched = match &*asked.search {
        "" => String::new(),
        search => format!(" matching `{}` of {}", printable(search), count(found.kept)),
    };
    let order = match (&asked.sort, asked.descending) {
        (None, _) => "last changed first".into(),
        (Some(sort), false) => format!("sorted by {}", printable(sort)),
        (Some(sort), true) => format!("sorted by {}, descending", printable(sort)),
    };
    let left_out = match open.numbers.complete {
        true if open.numbers.rows > found.kept as u64 => {
            format!("; the {} rows that changed last of {}", count(found.kept), count(open.numbers.rows))
        }
        true => String::new(),
        false => "; others are from before the job started".into(),
    };
    format!("{name}: {range}{searched}, {order}{left_out}")
}

/// A value as it is shown.
fn value(value: Option<&str>, column: &Column) -> String {
    let text = value.map_or_else(|| NONE.into(), printable);
    match text.strip_suffix(".000000").filter(|_| column.column_type == "timestamp") {
        Some(time) => time.to_owned(),
        None => text.into_owned(),
    }
}

fn is_number(column: &Column) -> bool {
    ["integer", "decimal", "double"].contains(&&*column.column_type)
}

impl Screen {
    pub(super) fn draw_views(&self, frame: &mut Frame, area: Rect, quiet: Style) {
        let right = |text: String| Cell::from(Line::from(text).right_aligned());
        let row = |cells: [String; 4]| {
            let [name, rows, rate, last] = cells;
            Row::new([Cell::from(name), right(rows), right(rate), right(last)])
        };
        let widths =
            [Constraint::Max(48), Constraint::Length(16), Constraint::Length(12), Constraint::Length(14)];
        let table = Table::new(cells(&self.seen).into_iter().map(row), widths)
            .header(row(TITLES.map(String::from)).style(quiet))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, area, &mut TableState::default().with_selected(Some(self.view)));
    }

    pub(super) fn draw_rows(&self, frame: &mut Frame, area: Rect, quiet: Style) {
        let Some(Some(OpenView { columns, found, .. })) = &self.seen.view else { return };
        let asked = self.seen.asked.view.clone().unwrap_or_default();
        let title = |(place, column): (usize, &Column)| {
            let mark = match (asked.sort.as_ref() == Some(&column.name), asked.descending) {
                (true, true) => "▼",
                (true, false) => "▲",
                (false, _) => "",
            };
            let key = if place < 9 { format!("{} ", place + 1) } else { String::new() };
            format!("{key}{}{mark}", printable(&column.name))
        };
        let titles: Vec<String> = columns.iter().enumerate().map(title).collect();
        let texts = found.list.iter().map(|row| {
            let cells = columns.iter().enumerate();
            cells
                .map(|(place, column)| value(row.values.get(place).and_then(Option::as_deref), column))
                .collect()
        });
        let texts: Vec<Vec<String>> = texts.collect();
        let width = |place: usize| {
            let all = texts.iter().map(|row| &row[place]).chain([&titles[place]]);
            all.map(|text| Span::raw(text).width()).max().unwrap_or(0).min(WIDE)
        };
        let widths = (0..columns.len()).map(|place| Constraint::Length(width(place) as u16));
        let cell = |place: usize, text: &str| {
            let line = Line::from(text.to_owned());
            Cell::from(if is_number(&columns[place]) { line.right_aligned() } else { line })
        };
        let row =
            |texts: &Vec<String>| Row::new(texts.iter().enumerate().map(|(place, text)| cell(place, text)));
        let table = Table::new(texts.iter().map(row), widths)
            .column_spacing(2)
            .header(row(&titles).style(quiet))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, area, &mut TableState::default().with_selected(Some(self.row)));
    }
}
