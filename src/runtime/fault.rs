//! Named moments at which a test can kill the process, as with `kill -9`.
//!
//! A kill from outside rarely hits the gap between two adjacent steps. `truckflow run --die-at MOMENT#N` dies when
//! it reaches that moment for the Nth time, and with `MOMENT+#N` when it does so while rows of a later epoch are in a
//! transaction of their own. Without the flag a moment costs one load of a variable per commit or statement.

use std::pin::pin;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::task::Poll;

use clap::ValueEnum;
use rustix::process::{Signal, getpid, kill_process};

/// A moment of a job, in the order of a start and a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Moment {
    /// The output folder is locked, and nothing else is done.
    FolderLocked,
    /// The store has incremented the generation.
    JobClaimed,
    /// The tables exist and match.
    TablesMade,
    /// The files are cut back to the last commit.
    FilesCut,
    /// The state is read.
    StateRead,
    /// Lines are about to be written to a file.
    CsvWrite,
    /// The lines are written, but not synced.
    CsvWritten,
    /// A file is full, and synced.
    Rotation,
    /// The next file has its header.
    Rotated,
    /// Rows are about to go to the store.
    Statement,
    /// The rows are in the open transaction.
    StatementDone,
    /// The files are about to be synced.
    CsvSync,
    /// The files are durable, but not committed.
    CsvSynced,
    /// State is about to be folded.
    Fold,
    /// State is folded, but not committed.
    Folded,
    /// State, offsets and epoch are about to go to the store, followed by COMMIT.
    Commit,
    /// COMMIT is sent, but not answered; on servers only.
    CommitSent,
    /// COMMIT is answered, but no other part of the job knows yet.
    CommitAnswered,
    /// The parts that wait for the commit are notified.
    CommitTold,
    /// A view is replaced, but its table and files do not have their names yet.
    Replaced,
    /// The table of a replaced view has its name, but its files do not.
    TableRenamed,
}

impl Moment {
    /// Whether it is reached once per start, and by no commit.
    pub fn is_of_start(self) -> bool {
        use Moment::{FilesCut, FolderLocked, JobClaimed, StateRead, TablesMade};
        matches!(self, FolderLocked | JobClaimed | TablesMade | FilesCut | StateRead)
    }

    /// Whether it is reached only when a view is replaced.
    pub fn is_of_replacement(self) -> bool {
        matches!(self, Self::Replaced | Self::TableRenamed)
    }

    /// Its name, as given to `--die-at`.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A moment, and the number of the occurrence at which the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    moment: Moment,
    /// Whether only those count at which the transactions of two epochs are open.
    overlapping: bool,
    count: u32,
}

impl FromStr for Passage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, count) = text.split_once('#').unwrap_or((text, "1"));
        let count = count.parse().map_err(|_| format!("`{count}` is not a count"))?;
        let (name, overlapping) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
        Ok(Self { moment: Moment::from_str(name, false)?, overlapping, count })
    }
}

static ARMED: OnceLock<(Passage, AtomicU32)> = OnceLock::new();
/// Whether rows of a later epoch than the open one are in a transaction of their own.
static OVERLAPPING: AtomicBool = AtomicBool::new(false);

/// Makes the process die at a passage. Only the first call has an effect.
pub fn arm(passage: Passage) {
    ARMED.get_or_init(|| (passage, AtomicU32::new(passage.count)));
}

/// Sets whether rows of a later epoch than the open one are in a transaction of their own.
pub fn set_overlapping(overlapping: bool) {
    OVERLAPPING.store(overlapping, SeqCst);
}

/// Marks that the process has reached `moment`.
pub fn at(moment: Moment) {
    if let Some((armed, left)) = ARMED.get()
        && armed.moment == moment
        && (!armed.overlapping || OVERLAPPING.load(SeqCst))
        && left.fetch_sub(1, SeqCst) == 1
    {
        loop {
            // Nothing else may run: no destructor, no flush, no other thread.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// Sends a request, and marks `moment` after the request was sent and before its response is awaited.
pub async fn asked<T>(moment: Moment, question: impl Future<Output = T>) -> T {
    let mut question = pin!(question);
    let begun = std::future::poll_fn(|context| Poll::Ready(question.as_mut().poll(context))).await;
    at(moment);
    match begun {
        Poll::Ready(answer) => answer,
        Poll::Pending => question.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_a_moment_and_a_count() {
        let passage = |moment, count| Ok(Passage { moment, overlapping: false, count });
        assert_eq!("csv-synced".parse(), passage(Moment::CsvSynced, 1));
        assert_eq!("commit-sent#12".parse(), passage(Moment::CommitSent, 12));
        let overlapping = Passage { moment: Moment::CommitSent, overlapping: true, count: 3 };
        assert_eq!("commit-sent+#3".parse(), Ok(overlapping));
        assert!("commit-sent#x".parse::<Passage>().is_err());
        assert!("lunch".parse::<Passage>().is_err());
        for moment in Moment::value_variants() {
            assert_eq!(moment.name().parse(), passage(*moment, 1));
        }
    }

    #[test]
    fn nothing_happens_at_a_moment_that_is_not_armed() {
        Moment::value_variants().iter().for_each(|moment| at(*moment));
    }
}
