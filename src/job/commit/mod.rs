//! The only place that commits: a thread that writes rows as they arrive and, when the frontier has passed an epoch,
//! makes its effects durable atomically.
//!
//! ```text
//! rows of the open epoch -> CSV files (not yet durable) and the open SQL transaction
//! frontier passes        -> sync the CSV files -> state, offsets, CSV lengths, generation, epoch
//!                           into the same transaction -> COMMIT: the only commit point
//! ```
//!
//! If the database fails, the transaction is retried with the rows, which are kept until the commit.
//!
//! Each commit, including the first one of a start, has a higher epoch than all before it. The epoch in the database
//! therefore decides whether a commit whose answer was lost has succeeded.
//!
//! | module | contains |
//! |---|---|
//! | `committer` | the thread; [`Committer::run`] is its loop, and `retry` retries a failed commit |
//! | `publish` | publishes a commit to metrics, the clock, the live page and all that follow it |
//! | `pending` | the effects of the next commit |
//! | `refused` | turns rows that the database refuses into dead letters |
//! | `fold` | when the state changes of a view are folded into one snapshot |

mod committer;
mod fold;
mod parts;
mod pending;
mod publish;
mod refused;

pub use committer::{Committer, Setup};
pub use fold::StateWeight;
pub use parts::Parts;
