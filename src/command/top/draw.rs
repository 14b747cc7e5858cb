//! Draws the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};

use super::screen::{Screen, Shows};
use super::text::{self, COLUMNS};
use super::views;
use crate::text::printable::printable;

/// Number of partitions shown.
const PARTITIONS: usize = 6;

impl Screen {
    fn styled(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn draw(&self, frame: &mut Frame) {
        let heading = Style::new().add_modifier(Modifier::BOLD);
        let quiet = self.styled(Color::DarkGray);
        let (word, said) = text::doing(&self.seen);
        let colour = match &*word {
            "reading" | "idle" => Color::Green,
            "disconnected" | "ended" => Color::Red,
            _ => Color::Yellow,
        };
        let state = Line::from(vec![
            Span::styled(format!(" {word} "), self.styled(colour).add_modifier(Modifier::REVERSED)),
            Span::raw(" "),
            Span::raw(said),
        ]);
        let mut lines = vec![Line::from(text::title(&self.seen)).style(heading), state];
        lines.extend(text::warning(&self.seen).map(|said| {
            let style = self.styled(Color::Yellow).add_modifier(Modifier::REVERSED);
            Line::from(vec![Span::styled(" warning ", style), Span::raw(" "), Span::raw(said)])
        }));
        if let Some(status) = &self.seen.status {
            lines.extend(text::numbers(&self.seen, status).into_iter().map(|(name, text)| {
                Line::from(vec![Span::styled(format!("{name:<13} "), quiet), Span::raw(text)])
            }));
        }
        // Lines may be wrapped.
        let wide = usize::from(frame.area().width.max(1));
        let tall: usize = lines.iter().map(|line| line.width().div_ceil(wide).max(1)).sum();
        let top = Paragraph::new(lines).wrap(Wrap { trim: false });
        let (partitions, more) = match &self.seen.status {
            Some(status) => text::partitions(status, PARTITIONS),
            None => Default::default(),
        };
        let lag = 1 + partitions.len() as u16 + u16::from(more.is_some());
        let [head, lags, title, list, one, keys] = Layout::vertical([
            Constraint::Length(tall as u16),
            Constraint::Length(lag),
            Constraint::Length(1),
            Constraint::Min(3),
            // Only a truck has them.
            Constraint::Length(if self.shows() == Shows::Trucks { 2 } else { 0 }),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(top, head);
        self.draw_lags(frame, lags, partitions, more, quiet);
        let said = match self.shows() {
            Shows::Trucks => format!("trucks: {}", text::trucks(&self.seen)),
            Shows::Views => format!("views: {}", views::cells(&self.seen).len()),
            Shows::Rows => self
                .seen
                .asked
                .view
                .as_ref()
                .map_or_else(String::new, |view| views::title(&self.seen, &view.name)),
        };
        frame.render_widget(Line::from(said).style(heading), title);
        match self.shows() {
            Shows::Trucks => {
                self.draw_trucks(frame, list, quiet);
                self.draw_one(frame, one);
            }
            Shows::Views => self.draw_views(frame, list, quiet),
            Shows::Rows => self.draw_rows(frame, list, quiet),
        }
        let trucks = if text::shows_trucks(&self.seen) { "  v trucks" } else { "" };
        let help = match (&self.typing, self.shows()) {
            (Some(typed), _) => format!("/{}▏ Enter to apply, Esc to clear", printable(typed)),
            (None, Shows::Trucks) => {
                let keys = COLUMNS.map(|(key, ..)| key.to_string()).join(" ");
                format!("q quit  v views  / search  ↑↓ select  sort by column: {keys}")
            }
            (None, Shows::Views) => format!("q quit  ↑↓ select  Enter show the rows{trucks}"),
            (None, Shows::Rows) => {
                format!(
                    "q quit  Esc back{trucks}  / search  ↑↓ select  1 to 9 sort by column  0 last changed first"
                )
            }
        };
        frame.render_widget(Line::from(help).style(quiet), keys);
    }

    fn draw_lags(
        &self,
        frame: &mut Frame,
        area: Rect,
        partitions: Vec<[String; 3]>,
        more: Option<String>,
        quiet: Style,
    ) {
        let right = |text: String| Cell::from(Line::from(text).right_aligned());
        let more = more.map(|more| Row::new([Cell::from(more).style(quiet)]));
        let rows = partitions
            .into_iter()
            .map(|[name, committed, lag]| Row::new([Cell::from(name), right(committed), right(lag)]));
        let widths = [Constraint::Max(48), Constraint::Length(16), Constraint::Length(16)];
        let header = Row::new([Cell::from("partition"), right("committed".into()), right("lag".into())]);
        frame.render_widget(Table::new(rows.chain(more), widths).header(header.style(quiet)), area);
    }

    fn draw_trucks(&self, frame: &mut Frame, area: Rect, quiet: Style) {
        // A narrow terminal shows fewer columns.
        let columns = match area.width {
            0..92 => 6,
            92..108 => 7,
            _ => COLUMNS.len(),
        };
        let rows = self.seen.list.rows.iter().map(|row| {
            Row::new(text::cells(row).into_iter().take(columns).enumerate().map(|(at, text)| match at {
                0 => Cell::from(text),
                _ => Cell::from(Line::from(text).right_aligned()),
            }))
        });
        let header = COLUMNS.iter().take(columns).enumerate().map(|(at, (_, field, title))| {
            let order = &self.seen.asked.sort;
            let mark = match order.strip_prefix('-') {
                Some(order) if order == *field => "▼",
                None if order == field => "▲",
                _ => "",
            };
            let title = Line::from(format!("{title}{mark}"));
            Cell::from(if at == 0 { title } else { title.right_aligned() })
        });
        let widths = [
            Constraint::Fill(1),
            Constraint::Length(12),
            Constraint::Length(9),
            Constraint::Length(10),
            Constraint::Length(11),
            Constraint::Length(10),
            Constraint::Length(12),
            Constraint::Length(20),
        ];
        let table = Table::new(rows, widths.into_iter().take(columns))
            .header(Row::new(header).style(quiet))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let mut state = TableState::default().with_selected(Some(self.chosen));
        frame.render_stateful_widget(table, area, &mut state);
    }

    /// The selected truck, with all digits of its correlations.
    fn draw_one(&self, frame: &mut Frame, area: Rect) {
        let Some(row) = self.seen.list.rows.get(self.chosen) else { return };
        let lines = vec![
            Line::from(text::name(&row.name)).style(Modifier::BOLD),
            Line::from(format!(
                "r of distance and time {}, of engine speed and time {}, from {} readings",
                text::r(row.distance_r, 15),
                text::r(row.speed_r, 15),
                text::count(row.samples)
            )),
        ];
        frame.render_widget(Paragraph::new(lines), area);
    }
}
