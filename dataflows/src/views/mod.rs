//! What views have in common, and those that are not written in SQL.
//!
//! A view is a function from the [`Inputs`] to a stream of [`Effect`](crate::effect::Effect)s. Sinks, tables, files and
//! metrics follow from its columns.

mod dead_letters;
pub(crate) mod inputs;
pub(crate) mod lateness;
mod recovery;
pub(crate) mod settings;
pub(crate) mod view;
pub(crate) mod watermark;

use std::borrow::Cow;
use std::sync::Arc;

use crate::{dedupe, readings};

pub use crate::dedupe::{Dedupe, NAME as DEDUPE};
pub use crate::readings::NAME as READINGS;
/// The view of dead letters; sinks also add refused rows to it.
pub use dead_letters::{
    NAME as DEAD_LETTERS, TABLE as DEAD_LETTERS_TABLE, reasons as dead_letter_reasons,
    rows as dead_letter_rows, view as dead_letters_view,
};
pub use inputs::Inputs;
/// The correction, at a start, of stored times that are too far in the future.
pub use recovery::{Recovery, SetBack};
pub use settings::{Mode, Settings};
pub use view::{Build, Keeps, View};
pub use watermark::TopicTimes;

/// The readings of an upsert job as a view with state, but without table and file.
pub fn readings_view(settings: &Settings) -> View {
    let schema = settings.schema.clone();
    View {
        name: readings::NAME.into(),
        table: "".into(),
        columns: Cow::Borrowed(&[]),
        keyed: false,
        of_readings: true,
        has_change: false,
        keeps_times: false,
        slide: 1,
        drops_readings: false,
        definition: String::new(),
        index: Vec::new(),
        keeps: Arc::new(move |_, value| readings::read(value, &schema).is_some()),
        build: Arc::new(|inputs| inputs.readings.clone().expect("only an upsert job has this view")),
    }
}

/// The kept readings of a job that drops repetitions, as a view with state, but without table and file.
pub fn dedupe_view(dedupe: &Dedupe) -> View {
    View {
        name: dedupe::NAME.into(),
        table: "".into(),
        columns: Cow::Borrowed(&[]),
        keyed: false,
        of_readings: false,
        has_change: false,
        keeps_times: false,
        slide: 1,
        drops_readings: false,
        definition: dedupe.definition.clone(),
        index: Vec::new(),
        keeps: Arc::new(dedupe::keeps),
        build: Arc::new(|inputs| inputs.dedupe.clone().expect("only a job with dedupe has this view")),
    }
}
