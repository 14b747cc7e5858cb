//! The bookkeeping tables, `truckflow_*`: generation, epoch, offsets, state and views of each job. They are described
//! once, for all databases.
//!
//! | module | contents |
//! |---|---|
//! | `tables` | the tables and their columns |
//! | `statement` | statements with their values, and the rows of an answer |
//! | `sql` | the statements that create and fill the tables |
//! | `session` | what a database has to provide, and the SQL that it writes differently |
//! | `migrate` | the version of the schema, and the steps to it |
//! | `read`, `write` | reading and writing the data of a job |

pub(super) mod migrate;
pub(super) mod read;
pub(super) mod session;
pub(super) mod sql;
pub(super) mod statement;
pub(super) mod tables;
#[cfg(test)]
mod tests;
pub(super) mod write;
