//! The one place that commits: a thread that writes rows as they come and, when the frontier has
//! passed an epoch, makes its effects durable all at once.
//!
//! ```text
//! rows of the open epoch -> CSV files (not yet durable) and the open SQL transaction
//! frontier passes        -> sync the CSV files -> state, offsets, CSV lengths, generation, epoch
//!                           into the same transaction -> COMMIT: the only commit point
//! ```
//!
//! When the database fails, the transaction is tried again from the rows kept until the commit.
//!
//! Each commit has an epoch of its own, higher than any before, also the one with which a start begins: so the
//! epoch that the database holds says whether a commit whose answer was lost took place.
//!
//! | module | is |
//! |---|---|
//! | `committer` | the thread; [`Committer::run`] is its loop, and a commit is tried again in its `retry` |
//! | `pending` | what commits next |
//! | `refused` | rows that the database refuses become dead letters |
//! | `fold` | when the state changes of a view are folded into one snapshot |

mod committer;
mod fold;
mod parts;
mod pending;
mod refused;

pub use committer::{Committer, Setup};
pub use fold::StateWeight;
pub use parts::Parts;
