//! The terminal screen: its state, keys, and the thread that receives the job's events.

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;
use signal_hook::consts::SIGHUP;
use tokio::sync::watch;
use tokio::time::sleep;

use super::error::TopError;
use super::feed::{Feed, LISTED, block_on};
use super::seen::{Asked, News, Seen, ViewAsked};
use super::text::{COLUMNS, shows_trucks};
use crate::command::error::Error;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// Maximum delay until a key or event is handled.
const POLL: Duration = Duration::from_millis(100);
/// Between two attempts to reconnect.
const PAUSE: Duration = Duration::from_secs(1);
/// Between a key of a search and the request.
const TYPING: Duration = Duration::from_millis(150);

/// Rows per Page Up and Page Down.
const PAGE: usize = 10;

/// Messages of the feed thread.
pub(super) enum Update {
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
    let mut screen = Screen::new(seen, colours());
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

/// What the lower part of the screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Trucks,
    Views,
    /// Those of the requested view.
    Rows,
}

/// The state of the screen.
pub(super) struct Screen {
    pub seen: Seen,
    /// Index of the selected truck.
    pub chosen: usize,
    /// Index of the selected view.
    pub view: usize,
    /// Index of the selected row of the requested view.
    pub row: usize,
    /// Whether views are listed instead of trucks.
    pub lists_views: bool,
    /// The text typed after `/`, until Enter.
    pub typing: Option<String>,
    pub colours: bool,
}

impl Screen {
    pub(super) fn new(seen: Seen, colours: bool) -> Self {
        Self { seen, chosen: 0, view: 0, row: 0, lists_views: false, typing: None, colours }
    }

    /// What the lower part shows. A job without trucks has only views.
    pub(super) fn shows(&self) -> Shows {
        match &self.seen.asked.view {
            Some(_) => Shows::Rows,
            None if self.lists_views || !shows_trucks(&self.seen) => Shows::Views,
            None => Shows::Trucks,
        }
    }

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

    pub(super) fn apply(&mut self, update: Update, at: SystemTime) {
        match update {
            Update::News(news) => {
                self.seen.take(*news);
                self.chosen = self.chosen.min(self.seen.list.rows.len().saturating_sub(1));
                let rows = self.seen.view.as_ref().and_then(|view| view.as_ref());
                self.row = self.row.min(rows.map_or(0, |view| view.found.list.len().saturating_sub(1)));
            }
            Update::Lost(why) => self.seen.lose(why, at),
        }
    }

    /// Handles a key; breaks to quit.
    pub(super) fn press(&mut self, key: KeyEvent) -> ControlFlow<()> {
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
            self.search(typed.clone());
            self.typing = (key.code != KeyCode::Esc).then_some(typed);
            return ControlFlow::Continue(());
        }
        match key.code {
            KeyCode::Char('q') => return ControlFlow::Break(()),
            KeyCode::Char('/') if self.shows() != Shows::Views => {
                self.typing = Some(self.searched().to_owned())
            }
            KeyCode::Esc if self.searched().is_empty() && self.shows() == Shows::Rows => self.open(None),
            KeyCode::Esc => self.search(String::new()),
            KeyCode::Char('v') => {
                self.lists_views = self.shows() == Shows::Trucks;
                self.open(None);
            }
            KeyCode::Enter if self.shows() == Shows::Views => {
                let views = self.seen.about.as_ref().map_or(&[][..], |about| &about.views);
                let name = views.get(self.view).map(|view| view.name.clone());
                self.open(name.map(|name| ViewAsked { name, ..ViewAsked::default() }));
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-(PAGE as isize)),
            KeyCode::PageDown => self.go(PAGE as isize),
            KeyCode::Home => self.go(isize::MIN),
            KeyCode::Char(char @ '0'..='9') if self.shows() == Shows::Rows => {
                self.sort(char as usize - '0' as usize)
            }
            KeyCode::Char(char) if self.shows() == Shows::Trucks => {
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

    /// Opens a view, or closes the open one.
    fn open(&mut self, view: Option<ViewAsked>) {
        self.seen.view = None;
        self.row = 0;
        self.seen.asked.view = view;
    }

    /// The search in what is shown.
    fn searched(&self) -> &str {
        self.seen.asked.view.as_ref().map_or(&self.seen.asked.search, |view| &view.search)
    }

    /// Searches in what is shown.
    fn search(&mut self, search: String) {
        match &mut self.seen.asked.view {
            Some(view) => {
                (view.search, view.offset) = (search, 0);
                self.row = 0;
            }
            None => self.ask(Asked { search, offset: 0, ..self.seen.asked.clone() }),
        }
    }

    /// Sorts the rows by the column with this number, again in the other order; 0: those that changed last are first.
    fn sort(&mut self, number: usize) {
        let Some(Some(open)) = &self.seen.view else { return };
        let column =
            number.checked_sub(1).map(|place| open.columns.get(place).map(|column| column.name.clone()));
        let sort = match column {
            None => None,
            Some(None) => return,
            Some(column) => column,
        };
        if let Some(view) = &mut self.seen.asked.view {
            view.descending = view.sort == sort && !view.descending;
            (view.sort, view.offset) = (sort, 0);
            self.row = 0;
        }
    }

    /// Moves the selection, and requests other trucks or rows when it leaves the listed ones.
    fn go(&mut self, by: isize) {
        let moved = |offset: usize, chosen: usize, matching: usize| {
            let at = (offset + chosen).saturating_add_signed(by).min(matching.saturating_sub(1));
            let offset = at / LISTED * LISTED;
            (offset, at - offset)
        };
        match self.shows() {
            Shows::Trucks => {
                let matching = self.seen.list.matching;
                (self.seen.asked.offset, self.chosen) = moved(self.seen.asked.offset, self.chosen, matching);
            }
            Shows::Views => {
                let views = self.seen.about.as_ref().map_or(0, |about| about.views.len());
                self.view = self.view.saturating_add_signed(by).min(views.saturating_sub(1));
            }
            Shows::Rows => {
                let (Some(asked), Some(Some(open))) = (&mut self.seen.asked.view, &self.seen.view) else {
                    return;
                };
                (asked.offset, self.row) = moved(asked.offset, self.row, open.found.matching);
            }
        }
    }
}
