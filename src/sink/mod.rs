//! Sinks besides tables. [`crate::store`] writes tables, as their rows commit together with everything else.

pub mod csv;
pub mod topic;
