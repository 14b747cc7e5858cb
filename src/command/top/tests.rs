//! The screen, drawn in memory, and its keys.

use std::time::{Duration, SystemTime};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use serde_json::{Value, json};

use super::feed::LISTED;
use super::plain::plain;
use super::screen::{Screen, Shows, Update};
use super::seen::{Asked, News, Seen};

fn event(trucks: &[(&str, Option<f64>)]) -> Value {
    let rows: Vec<_> = trucks
        .iter()
        .map(|(name, r)| {
            json!({
                "name": name, "time": 1_681_088_547_123_456_i64, "distance": 12.5, "speed": 80.25,
                "fuel": null, "distance_r": r, "speed_r": -0.25, "samples": 1234,
            })
        })
        .collect();
    json!({
        "instance": "1",
        "about": {
            "version": "0.1.0", "job": "fleet", "source": "Truck-Data", "workers": 2, "processes": 1, "shows_trucks": true,
            "views": [{ "name": "per_truck" }, { "name": "\x1b[2Jx" }],
        },
        "status": {
            "now": 20_000, "doing": "behind", "text": "The source waits.", "trucks": 2, "letters": 3,
            "views": { "per_truck": { "rows": 1234, "complete": true, "changes": 5000, "changed": 18_000 } },
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
    })
}

fn read(event: &Value) -> Update {
    Update::News(Box::new(News::read(event.to_string().as_bytes()).unwrap()))
}

fn news(trucks: &[(&str, Option<f64>)]) -> Update {
    read(&event(trucks))
}

fn screen(trucks: &[(&str, Option<f64>)]) -> Screen {
    let asked = Asked { sort: "name".into(), ..Asked::default() };
    let mut screen = Screen::new(Seen::new(asked), false);
    screen.apply(news(trucks), SystemTime::UNIX_EPOCH);
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
        .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n")
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
    let printed = plain(&screen(&[("truck-1", None)]).seen);
    assert!(printed.contains("\ntruck-1        12.50  80.25"), "{printed}");
}

#[test]
fn a_narrow_terminal_has_fewer_columns() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| screen(&[("truck-1", Some(0.5))]).draw(frame)).unwrap();
    let text = text(terminal.backend().buffer());
    assert!(text.contains("  +0.500000  -0.250000\n"), "{text}");
    assert!(text.contains("q quit  v views  / search"), "{text}");
}

#[test]
fn names_cannot_control_the_terminal() {
    let screen = screen(&[("\x1b[31mred\r\n\u{202e}", None)]);
    let buffer = drawn(&screen);
    for shown in [text(&buffer).replace('\n', ""), plain(&screen.seen).replace('\n', "")] {
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
    screen.apply(news(&[("a", None)]), since);
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

/// An event with rows of `per_truck`.
fn with_rows(rows: &[[Option<&str>; 3]]) -> Value {
    let mut event = event(&[]);
    let list: Vec<_> = rows.iter().map(|values| json!({ "id": "[]", "values": values })).collect();
    event["view"] = json!({
        "name": "per_truck", "rows": 1234, "complete": true, "changes": 5000, "changed": 18_000,
        "columns": [
            { "name": "truck_id", "type": "text" }, { "name": "at", "type": "timestamp" },
            { "name": "speed", "type": "decimal" },
        ],
        "found": { "kept": 450, "matching": 450, "offset": 0, "list": list },
    });
    event
}

#[test]
fn views_of_any_shape_are_listed_and_opened() {
    let mut screen = screen(&[("truck-1", None)]);
    press(&mut screen, "v");
    assert_eq!(screen.shows(), Shows::Views);
    let mut later = event(&[]);
    later["status"]["now"] = 22_000.into();
    later["status"]["views"]["per_truck"]["changes"] = 5100.into();
    screen.apply(read(&later), SystemTime::UNIX_EPOCH);
    let said = text(&drawn(&screen));
    for part in [
        "views: 2\n",
        "per_truck",
        "1,234",
        "           50",
        "4.0 s ago",
        "\\u{1b}[2Jx",
        "Enter show the rows  v trucks",
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    let printed = plain(&screen.seen);
    assert!(printed.contains("\nper_truck   1,234         50    4.0 s ago\n"), "{printed}");

    press(&mut screen, "\n");
    assert_eq!(screen.seen.asked.view.as_ref().unwrap().name, "per_truck");
    assert!(text(&drawn(&screen)).contains("per_truck: waiting for its rows"));
    let rows = [
        [Some("a\x1b"), Some("2023-04-10 01:02:27.000000"), Some("0.123456789")],
        [None, Some("2023-04-10 01:02:27.500000"), None],
    ];
    screen.apply(read(&with_rows(&rows)), SystemTime::UNIX_EPOCH);
    let said = text(&drawn(&screen));
    for part in [
        "per_truck: 1 to 2 of 450, last changed first; the 450 rows that changed last of 1,234",
        "1 truck_id  2 at                            3 speed\n",
        "a\\u{1b}     2023-04-10 01:02:27         0.123456789\n",
        "–           2023-04-10 01:02:27.500000            –\n",
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

#[test]
fn rows_are_sorted_searched_and_left() {
    let mut screen = screen(&[]);
    press(&mut screen, "v\n");
    screen.apply(read(&with_rows(&[[Some("a"), None, Some("1")]])), SystemTime::UNIX_EPOCH);
    let asked = |screen: &Screen| screen.seen.asked.view.clone().unwrap();
    press(&mut screen, "3");
    assert_eq!((asked(&screen).sort.as_deref(), asked(&screen).descending), (Some("speed"), false));
    press(&mut screen, "39");
    assert_eq!((asked(&screen).sort.as_deref(), asked(&screen).descending), (Some("speed"), true));
    press(&mut screen, "0");
    assert_eq!((asked(&screen).sort, asked(&screen).descending), (None, false));
    screen.row = LISTED - 1;
    press(&mut screen, "j");
    assert_eq!((asked(&screen).offset, screen.row), (LISTED, 0));
    press(&mut screen, "/av\n");
    assert_eq!((&*asked(&screen).search, asked(&screen).offset), ("av", 0));
    assert_eq!(screen.seen.asked.search, "", "that of trucks");
    for shows in [Shows::Rows, Shows::Views] {
        assert!(screen.press(KeyCode::Esc.into()).is_continue());
        assert_eq!(screen.shows(), shows);
    }
    press(&mut screen, "v");
    assert_eq!(screen.shows(), Shows::Trucks);

    let mut gone = event(&[]);
    gone["view"] = Value::Null;
    press(&mut screen, "v\n");
    screen.apply(read(&gone), SystemTime::UNIX_EPOCH);
    assert!(text(&drawn(&screen)).contains("per_truck: the job has no view with this name"));
}

#[test]
fn views_are_the_first_screen_of_a_job_without_trucks() {
    let mut event = event(&[]);
    event["about"]["shows_trucks"] = false.into();
    let mut screen = Screen::new(Seen::new(Asked::default()), false);
    screen.apply(read(&event), SystemTime::UNIX_EPOCH);
    let said = text(&drawn(&screen));
    assert!(said.contains("views: 2\n") && !said.contains("trucks"), "{said}");
}
