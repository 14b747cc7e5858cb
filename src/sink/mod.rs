//! Where rows go. Tables are the store's ([`crate::store`]), as they commit with everything else.

pub mod csv;
pub mod topic;
