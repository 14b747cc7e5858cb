//! `truckflow top`: monitors a running job in the terminal.
//!
//! ```text
//! the job's /api/v1/events -> feed -> seen -> screen, draw (a terminal)
//!                                        '-> plain (a pipe, --once), or the raw status (--json)
//! ```
//!
//! It reads the same events as the live page, counts as one of its viewers, and is read-only.

mod draw;
pub mod error;
mod feed;
mod plain;
mod screen;
mod seen;
#[cfg(test)]
mod tests;
mod text;
mod views;

use std::ops::ControlFlow;

use crate::cli::top::TopArgs;
use crate::command::error::Error;
use crate::config::read_secret;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use feed::{Feed, block_on};
use seen::{Asked, News, Seen};

/// Shows a job.
///
/// # Errors
/// No job answers at the address, or it refuses the connection.
pub fn run(args: &TopArgs) -> Result<(), Error> {
    let token = args.token_file.as_deref().map(|path| read_secret("--token-file", path)).transpose()?;
    let feed = Feed::new(args.address.clone(), token);
    let asked = Asked { search: args.search.clone(), sort: args.sort.clone(), offset: 0, view: None };
    if args.json {
        json(&feed, &asked, args.once)?;
    } else if args.once || !print::output_is_terminal() {
        print::out(plain::plain(&first(&feed, &asked)?))?;
    } else {
        let stop = Stop::on_signals(Hangup::Kills)?;
        // A wrong address is reported before the screen is opened.
        let seen = first(&feed, &asked)?;
        screen::show(feed, seen, &stop)?;
    }
    Ok(())
}

/// Reads the first event, which has the complete status.
fn first(feed: &Feed, asked: &Asked) -> Result<Seen, Error> {
    let mut seen = Seen::new(asked.clone());
    block_on(feed.listen(asked, |news| {
        seen.take(news);
        ControlFlow::Break(())
    }))??;
    Ok(seen)
}

/// Prints each status. Succeeds if the job ends; fails if the connection is lost.
fn json(feed: &Feed, asked: &Asked, once: bool) -> Result<(), Error> {
    let (mut ended, mut printed) = (false, Ok(true));
    let result = block_on(feed.listen(asked, |news: News| {
        ended = news.status.doing == "ended";
        printed = print::stream(format_args!("{}\n", news.status_line()));
        let goes_on = !once && !ended && matches!(printed, Ok(true));
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }))?;
    printed?;
    result.map_err(Error::from)
}
