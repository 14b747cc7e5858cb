//! `truckflow top`: a running job on a terminal, for whoever has no browser at hand.
//!
//! ```text
//! the job's /api/events -> feed -> seen -> screen (a terminal)
//!                                     '-> text (a pipe, --once), or the status as it is (--json)
//! ```
//!
//! It reads what the live page reads, takes one of its places, and changes nothing.

pub mod error;
mod feed;
mod screen;
mod seen;
mod text;

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
/// Nobody answers, or who answers is no job, or does not let one look.
pub fn run(args: &TopArgs) -> Result<(), Error> {
    let token = args.token_file.as_deref().map(|path| read_secret("--token-file", path)).transpose()?;
    let feed = Feed::new(args.address.clone(), token);
    let asked = Asked { search: args.search.clone(), sort: args.sort.clone(), offset: 0 };
    if args.json {
        json(&feed, &asked, args.once)?;
    } else if args.once || !print::output_is_terminal() {
        print::out(text::plain(&first(&feed, &asked)?))?;
    } else {
        let stop = Stop::on_signals(Hangup::Kills)?;
        // Whoever mistypes the address sees it at once, and no empty screen.
        let seen = first(&feed, &asked)?;
        screen::show(feed, seen, &stop)?;
    }
    Ok(())
}

/// What the job says first: all that it has.
fn first(feed: &Feed, asked: &Asked) -> Result<Seen, Error> {
    let mut seen = Seen::new(asked.clone());
    block_on(feed.listen(asked, |news| {
        seen.take(news);
        ControlFlow::Break(())
    }))??;
    Ok(seen)
}

/// The statuses as they come. The job's own end is the end; any other is a failure.
fn json(feed: &Feed, asked: &Asked, once: bool) -> Result<(), Error> {
    let (mut ended, mut printed) = (false, Ok(true));
    let heard = block_on(feed.listen(asked, |news: News| {
        ended = news.status.doing == "ended";
        printed = print::stream(format_args!("{}\n", news.status_line()));
        let goes_on = !once && !ended && matches!(printed, Ok(true));
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }))?;
    printed?;
    heard.map_err(Error::from)
}
