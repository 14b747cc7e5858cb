//! The terminal screen: drawing, keys, and the thread that receives the job's events.

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;
use signal_hook::consts::SIGHUP;
use tokio::sync::watch;
use tokio::time::sleep;

use super::error::TopError;
use super::feed::{Feed, LISTED, block_on};
use super::seen::{Asked, News, Seen};
use super::text::{self, COLUMNS};
use crate::command::error::Error;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// Maximum delay until a key or event is handled.
const POLL: Duration = Duration::from_millis(100);
/// Between two attempts to reconnect.
const PAUSE: Duration = Duration::from_secs(1);
/// Between a key of a search and the request.
const TYPING: Duration = Duration::from_millis(150);
/// Number of partitions shown.
const PARTITIONS: usize = 6;
/// Rows per Page Up and Page Down.
const PAGE: usize = 10;

/// Messages of the feed thread.
enum Update {
    News(Box<News>),
    Lost(String),
}

/// Shows the job until `q`, or until `stop` is requested.
pub fn show(feed: Feed, seen: Seen, stop: &Stop) -> Result<(), Error> {
    let (asks, asked) = watch::channel(seen.asked.clone());
    let (sender, updates) = channel();
    // The thread ends with the process.
    spawn("feed", move || block_on(listen(feed, asked, sender)))?;
    spawn("terminal", end_without_terminal)?;
    let mut screen = Screen { seen, chosen: 0, typing: None, colours: colours() };
    let mut terminal = ratatui::try_init().map_err(TopError::Terminal)?;
    let shown = screen.run(&mut terminal, &asks, &updates, stop);
    let restored = ratatui::try_restore();
    shown.and(restored).map_err(|error| TopError::Terminal(error).into())
}

/// Ends the process when its terminal is closed. SIGHUP does so where it is not ignored and reaches the process;
/// otherwise crossterm would read the end of the terminal again and again, and no key or signal would be handled.
fn end_without_terminal() {
    let mut terminal = [PollFd::from_borrowed_fd(stdout(), PollFlags::empty())];
    while poll(&mut terminal, None) == Err(Errno::INTR) {}
    if terminal[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
        signal_hook::low_level::exit(128 + SIGHUP);
    }
}

/// Whether to use colours; see no-color.org.
fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Receives events until the screen is closed. Reconnects when other trucks are requested or the connection is lost.
async fn listen(feed: Feed, mut asked: watch::Receiver<Asked>, sender: Sender<Update>) {
    loop {
        let now = asked.borrow_and_update().clone();
        let take = |news| match sender.send(Update::News(Box::new(news))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        tokio::select! {
            ended = feed.listen(&now, take) => {
                let why = match ended {
                    Ok(()) => "it has ended".into(),
                    Err(TopError::Gone { reason, .. } | TopError::NoAnswer { reason, .. }) => reason,
                    Err(error) => error.to_string(),
                };
                if sender.send(Update::Lost(why)).is_err() {
                    return;
                }
                sleep(PAUSE).await;
            }
            changed = asked.changed() => {
                if changed.is_err() {
                    return;
                }
                // More typing may change the request.
                sleep(TYPING).await;
            }
        }
    }
}

/// The state of the screen.
struct Screen {
    seen: Seen,
    /// Index of the selected truck.
    chosen: usize,
    /// The text typed after `/`, until Enter.
    typing: Option<String>,
    colours: bool,
}

impl Screen {
    fn run(
        &mut self,
        terminal: &mut ratatui::DefaultTerminal,
        asks: &watch::Sender<Asked>,
        updates: &Receiver<Update>,
        stop: &Stop,
    ) -> io::Result<()> {
        while !stop.requested() {
            for update in updates.try_iter() {
                self.apply(update, SystemTime::now());
            }
            terminal.draw(|frame| self.draw(frame))?;
            if !event::poll(POLL)? {
                continue;
            }
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && self.press(key).is_break()
            {
                return Ok(());
            }
            asks.send_if_modified(|asked| {
                let changes = *asked != self.seen.asked;
                asked.clone_from(&self.seen.asked);
                changes
            });
        }
        Ok(())
    }

    fn apply(&mut self, update: Update, at: SystemTime) {
        match update {
            Update::News(news) => {
                self.seen.take(*news);
                self.chosen = self.chosen.min(self.seen.list.rows.len().saturating_sub(1));
            }
            Update::Lost(why) => self.seen.lose(why, at),
        }
    }

    /// Handles a key; breaks to quit.
    fn press(&mut self, key: KeyEvent) -> ControlFlow<()> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            };
        }
        if let Some(mut typed) = self.typing.take() {
            match key.code {
                KeyCode::Enter => return ControlFlow::Continue(()),
                KeyCode::Esc => typed.clear(),
                KeyCode::Backspace => drop(typed.pop()),
                KeyCode::Char(char) => typed.push(char),
                _ => {}
            }
            self.ask(Asked { search: typed.clone(), offset: 0, ..self.seen.asked.clone() });
            self.typing = (key.code != KeyCode::Esc).then_some(typed);
            return ControlFlow::Continue(());
        }
        match key.code {
            KeyCode::Char('q') => return ControlFlow::Break(()),
            KeyCode::Char('/') => self.typing = Some(self.seen.asked.search.clone()),
            KeyCode::Esc => self.ask(Asked { search: String::new(), offset: 0, ..self.seen.asked.clone() }),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-(PAGE as isize)),
            KeyCode::PageDown => self.go(PAGE as isize),
            KeyCode::Home => self.go(isize::MIN),
            KeyCode::Char(char) => {
                if let Some((_, field, _)) = COLUMNS.iter().find(|column| column.0 == char) {
                    let turned = self.seen.asked.sort == *field;
                    let sort = if turned { format!("-{field}") } else { (*field).to_owned() };
                    self.ask(Asked { sort, offset: 0, ..self.seen.asked.clone() });
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn ask(&mut self, asked: Asked) {
        if self.seen.asked != asked {
            self.seen.asked = asked;
            self.chosen = 0;
        }
    }

    /// Moves the selection, and requests other trucks when it leaves the listed ones.
    fn go(&mut self, by: isize) {
        let last = self.seen.list.matching.saturating_sub(1);
        let at = (self.seen.asked.offset + self.chosen).saturating_add_signed(by).min(last);
        let offset = at / LISTED * LISTED;
        self.chosen = at - offset;
        self.seen.asked.offset = offset;
    }

    fn styled(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn draw(&self, frame: &mut Frame) {
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
        let [head, lags, title, trucks, one, keys] = Layout::vertical([
            Constraint::Length(tall as u16),
            Constraint::Length(lag),
            Constraint::Length(1),
            Constraint::Min(3),
            Constraint::Length(2),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(top, head);
        self.draw_lags(frame, lags, partitions, more, quiet);
        frame
            .render_widget(Line::from(format!("trucks: {}", text::trucks(&self.seen))).style(heading), title);
        self.draw_trucks(frame, trucks, quiet);
        self.draw_one(frame, one);
        let help = match &self.typing {
            Some(typed) => {
                format!("/{}▏ Enter to apply, Esc to clear", crate::text::printable::printable(typed))
            }
            None => {
                let keys = COLUMNS.map(|(key, ..)| key.to_string()).join(" ");
                format!("q quit  / search  ↑↓ select  sort by column: {keys}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use serde_json::json;

    fn news(trucks: &[(&str, Option<f64>)]) -> News {
        let rows: Vec<_> = trucks
            .iter()
            .map(|(name, r)| {
                json!({
                    "name": name, "time": 1_681_088_547_123_456_i64, "distance": 12.5, "speed": 80.25,
                    "fuel": null, "distance_r": r, "speed_r": -0.25, "samples": 1234,
                })
            })
            .collect();
        let event = json!({
            "instance": "1",
            "about": {
                "version": "0.1.0", "job": "fleet", "source": "Truck-Data", "workers": 2, "processes": 1,
            },
            "status": {
                "now": 20_000, "doing": "behind", "text": "The source waits.", "trucks": 2, "letters": 3,
                "messages": 5000, "records": 4997, "rejected": 3, "warning": null, "lag": 70_000, "partition_count": 9, "epochs_in_flight": 1,
                "event_time": 1_681_088_547.0, "epoch": 17, "retries": 0, "committing": null,
                "partitions": [{ "topic": "Truck-Data", "partition": 0, "consumed": 5000, "lag": 70_000 }],
                "dead_letters": { "not_an_object": 3, "late": 0 },
            },
            "commits": [
                { "epoch": 16, "at": 9_000, "seconds": 0.5, "messages": 999 },
                { "epoch": 17, "at": 18_000, "seconds": 0.012, "messages": 5000 },
            ],
            "trucks": { "total": 2, "full": false, "matching": rows.len(), "offset": 0, "rows": rows },
        });
        News::read(event.to_string().as_bytes()).unwrap()
    }

    fn screen(trucks: &[(&str, Option<f64>)]) -> Screen {
        let asked = Asked { sort: "name".into(), ..Asked::default() };
        let mut screen = Screen { seen: Seen::new(asked), chosen: 0, typing: None, colours: false };
        screen.apply(Update::News(Box::new(news(trucks))), SystemTime::UNIX_EPOCH);
        screen
    }

    fn drawn(screen: &Screen) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(120, 30)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn text(buffer: &Buffer) -> String {
        let lines = buffer.content.chunks(buffer.area.width.into());
        lines
            .map(|line| {
                line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n"
            })
            .collect()
    }

    fn press(screen: &mut Screen, keys: &str) {
        for key in keys.chars() {
            let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
            assert!(screen.press(code.into()).is_continue());
        }
    }

    #[test]
    fn a_job_is_drawn_with_its_numbers_and_trucks() {
        let text = text(&drawn(&screen(&[("truck-1", Some(0.999_999_99)), ("", None)])));
        for part in [
            "truckflow 0.1.0 · job fleet · Truck-Data · 2 workers",
            " behind  The source waits.",
            "5,000, 500/s over the last 10 s",
            "70,000, about 2 min left at this rate",
            "3 (not_an_object 3)",
            "17 committed, 1 in flight",
            "last 2.0 s ago, took 12 ms; p50 500 ms, p95 500 ms",
            "2023-04-10 01:02:27 UTC",
            "Truck-Data 0",
            "8 more, none with a larger lag",
            "trucks: 2, sorted by truck",
            "12.50     80.25          –   +0.999999  -0.250000        1,234  2023-04-10 01:02:27",
            "(no name)",
            "r of distance and time +0.999999990000000, of engine speed and time -0.250000000000000, from 1,234 readings",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        let plain = text::plain(&screen(&[("truck-1", None)]).seen);
        assert!(plain.contains("\ntruck-1        12.50  80.25"), "{plain}");
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns() {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| screen(&[("truck-1", Some(0.5))]).draw(frame)).unwrap();
        let text = text(terminal.backend().buffer());
        assert!(text.contains("  +0.500000  -0.250000\n"), "{text}");
        assert!(text.contains("q quit  / search"), "{text}");
    }

    #[test]
    fn names_cannot_control_the_terminal() {
        let screen = screen(&[("\x1b[31mred\r\n\u{202e}", None)]);
        let buffer = drawn(&screen);
        for shown in [text(&buffer).replace('\n', ""), text::plain(&screen.seen).replace('\n', "")] {
            assert!(shown.contains("\\u{1b}[31mred\\r\\n\\u{202e}"), "{shown}");
            assert!(!shown.chars().any(|char| char.is_control() || char == '\u{202e}'), "{shown}");
        }
    }

    #[test]
    fn colours_can_be_disabled() {
        let coloured = |colours| {
            let screen = Screen { colours, ..screen(&[("a", None)]) };
            drawn(&screen).content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
        };
        assert_eq!([true, false].map(coloured), [true, false]);
    }

    #[test]
    fn a_lost_connection_is_shown_and_the_last_data_stay() {
        let mut screen = screen(&[("a", None)]);
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_681_088_547);
        screen.apply(Update::Lost("it closed the connection".into()), since);
        screen.apply(Update::Lost("connection refused".into()), since + Duration::from_secs(60));
        let text_of = |screen: &Screen| text(&drawn(screen));
        let said = text_of(&screen);
        assert!(
            said.contains("no connection to the job since 2023-04-10 01:02:27 UTC: connection refused"),
            "{said}"
        );
        assert!(said.contains("17 committed"), "{said}");
        screen.apply(Update::News(Box::new(news(&[("a", None)]))), since);
        assert!(!text_of(&screen).contains("disconnected"));
    }

    #[test]
    fn keys_sort_search_and_quit() {
        let mut screen = screen(&[("a", None), ("b", None)]);
        press(&mut screen, "s");
        assert_eq!(screen.seen.asked.sort, "speed");
        press(&mut screen, "s");
        assert_eq!(screen.seen.asked.sort, "-speed");
        press(&mut screen, "jj");
        assert_eq!(screen.chosen, 1, "the last");
        press(&mut screen, "/qs");
        assert!(text(&drawn(&screen)).contains("/qs▏"));
        press(&mut screen, "\n");
        assert_eq!((&*screen.seen.asked.search, screen.chosen, screen.typing.is_some()), ("qs", 0, false));
        assert!(screen.press(KeyCode::Esc.into()).is_continue());
        assert_eq!(screen.seen.asked.search, "");
        assert!(screen.press(KeyCode::Char('q').into()).is_break());
        assert!(screen.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)).is_break());
    }

    #[test]
    fn moving_beyond_the_listed_trucks_requests_others() {
        let mut screen = screen(&[("a", None)]);
        screen.seen.list.matching = 450;
        screen.chosen = LISTED - 1;
        press(&mut screen, "j");
        assert_eq!((screen.seen.asked.offset, screen.chosen), (LISTED, 0));
        press(&mut screen, "k");
        assert_eq!((screen.seen.asked.offset, screen.chosen), (0, LISTED - 1));
    }
}
