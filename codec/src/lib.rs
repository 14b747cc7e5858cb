//! From bytes to batches of records, and from columns of rows to lines of text: what truckflow does for each record
//! outside the graph, without any I/O. It is a crate of its own because it alone, with `dataflows`, is optimized fully.
//!
//! | module | contains |
//! |---|---|
//! | [`decode`] | bytes to batches of records, or dead letters |
//! | [`render`] | columns to CSV lines, SQL values, lines that MySQL loads |
//! | [`text`] | numbers, times, CSV and printable text |
//!
//! A module imports from those below it, and from the crate `dataflows`.

#![warn(missing_docs)]
// Module docs describe private modules, too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod decode;
pub mod render;
pub mod text;
