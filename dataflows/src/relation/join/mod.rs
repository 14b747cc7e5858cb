//! Joins of two relations: the pairs that an epoch adds and takes back.
//!
//! | file | contents |
//! |---|---|
//! | `operator` | the operator, and what becomes of what it gives |
//! | `side` | the sides of a join: keys and times of their rows, and the columns of pairs that somebody reads |
//! | `part` | what goes to the workers of keys, and what is dropped there |
//! | `block` | rows of a key, as columns in the order of time |
//! | `deal` | deals the rows of an epoch to the workers of their keys |
//! | `blocks` | joins of rows that stay, which are kept in blocks and discarded when nothing can match them |
//! | `arrived` | the rows that an epoch adds to a side: late ones, and those beyond the limit |
//! | `pairs` | pairs of rows, as columns |
//! | `bags` | joins with rows that can be taken back |

mod arrived;
mod bags;
mod block;
mod blocks;
mod deal;
mod operator;
mod pairs;
mod part;
mod side;

pub(super) use self::operator::{Joining, is_valid};
