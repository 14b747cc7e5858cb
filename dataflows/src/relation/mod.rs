//! Relations: the plan of a view, and the operators that maintain it.
//!
//! | file | contents |
//! |---|---|
//! | `plan` | the plan of a view: filters, aggregates, windows, joins, unions |
//! | `call` | aggregate functions and their types |
//! | `value` | values of rows, and their bytes |
//! | `view` | a view with a plan |
//! | `build` | the operators of a plan, and the streams between them |
//! | `column` | the values of a column of rows |
//! | `keyed` | what keyed operators receive, and what becomes of what they give |
//! | `delta` | changes of a relation, which operators pass on |
//! | `gather` | adds up the rows of an epoch per group, before they go to the groups' workers |
//! | `part` | what an epoch adds to a group |
//! | `columns` | adds a batch's columns to groups |
//! | `kept` | what is kept of groups: sums and extremes in words, and what does not fit |
//! | `words`, `total` | integers of several words, and sums of any size |
//! | `tally` | which sums, extremes and multisets the calls of an aggregate need |
//! | `places` | where they are in a tally, and how they are added, written and read |
//! | `result` | the values of calls, computed of a tally |
//! | `grouped`, `windowed` | groups, and their windows of time |
//! | `slots` | the windows of a group, and how rows are added to them |
//! | `content` | rows that are known by their content: DISTINCT |
//! | `join` | joins |
//! | `late` | dead letters of dropped readings |
//! | `entry` | the entries of operators in the view's state |
//! | `shown` | plans as text |
//! | `sink` | rows for tables and files |

mod build;
pub mod call;
pub(crate) mod column;
mod columns;
mod content;
mod delta;
pub(crate) mod entry;
mod gather;
mod grouped;
mod groups;
mod index;
mod join;
mod kept;
mod keyed;
mod late;
mod packed;
mod part;
mod places;
pub mod plan;
mod result;
mod shown;
mod sink;
mod slots;
mod tally;
mod total;
pub mod value;
mod view;
mod windowed;
mod words;

pub use self::call::{Call, ColumnKind, Fraction, Function, Population, Regression};
pub use self::plan::{Aggregate, Bound, From, Join, Patience, Relation, Source, Window, WindowKind};
pub use self::sink::{Emit, Keep};
pub use self::view::PlannedView;
