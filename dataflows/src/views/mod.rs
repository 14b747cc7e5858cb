//! The views: one file each, and the list of all views.
//!
//! A view is a function from the [`Inputs`] to a stream of [`Effect`](crate::effect::Effect)s. A new view is a file
//! here and a line in [`NAMES`] and [`all`]; sinks, tables, files and metrics follow from its columns.

mod above_speed;
mod by_key;
mod correlation;
mod dead_letters;
mod derived_metrics;
mod distance_correlation;
mod engine_speed_correlation;
mod filtered_join;
pub(crate) mod inputs;
pub(crate) mod lateness;
mod orientation;
mod parameter_map;
mod recovery;
pub(crate) mod settings;
mod transformed;
pub(crate) mod view;
mod wanted;
pub(crate) mod watermark;
mod window_averages;

use std::borrow::Cow;
use std::sync::Arc;

use crate::{dedupe, readings};

/// The names of the default views, in display order.
pub const NAMES: [&str; 10] = [
    "parameter_map",
    "distance_correlation",
    "engine_speed_correlation",
    "transformed",
    "derived_metrics",
    "above_speed",
    "filtered_join",
    "window_averages",
    ORIENTATION,
    DEAD_LETTERS,
];

/// The views of [`NAMES`] whose fields the record has, configured by `settings`, in that order.
///
/// ```
/// use dataflows::views::{NAMES, Settings, all};
///
/// let views = all(&Settings::default());
/// let without_phone = NAMES.into_iter().filter(|name| *name != "orientation");
/// assert!(views.iter().map(|view| &*view.name).eq(without_phone));
/// let windows = views.iter().find(|view| view.name == "window_averages").unwrap();
/// assert_eq!((&*windows.table, windows.keyed), ("TRUCK_WINDOW_AVERAGES", true));
/// ```
pub fn all(settings: &Settings) -> Vec<View> {
    builtin(settings).into_iter().flatten().collect()
}

/// The views of [`NAMES`] that are not built, because the record lacks fields.
pub fn missing(settings: &Settings) -> Vec<Missing> {
    builtin(settings).into_iter().filter_map(Result::err).collect()
}

fn builtin(settings: &Settings) -> Vec<Result<View, Missing>> {
    let wanted = || Wanted::new(settings);
    vec![
        parameter_map::view(wanted()),
        distance_correlation::view(wanted()),
        engine_speed_correlation::view(wanted()),
        transformed::view(wanted()),
        derived_metrics::view(wanted()),
        above_speed::view(wanted()),
        filtered_join::view(wanted()),
        window_averages::view(wanted()),
        orientation::view(wanted()),
        Ok(dead_letters::view()),
    ]
}

pub use crate::dedupe::{Dedupe, NAME as DEDUPE};
pub use crate::readings::NAME as READINGS;
pub use correlation::{Axis, Correlation, committed_rows};
/// The view of dead letters; sinks also add refused rows to it.
pub use dead_letters::{NAME as DEAD_LETTERS, reasons as dead_letter_reasons, rows as dead_letter_rows};
pub use inputs::Inputs;
/// The view of the phone's readings, which are a record of their own.
pub use orientation::NAME as ORIENTATION;
/// The correction, at a start, of stored times that are too far in the future.
pub use recovery::{Recovery, SetBack};
pub use settings::{CorrelationTables, Mode, Settings};
pub use view::{Build, Keeps, View};
pub use wanted::Missing;
pub use watermark::TopicTimes;

use wanted::Wanted;

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
        drops_readings: false,
        definition: dedupe.definition.clone(),
        index: Vec::new(),
        keeps: Arc::new(dedupe::keeps),
        build: Arc::new(|inputs| inputs.dedupe.clone().expect("only a job with dedupe has this view")),
    }
}
