//! The views: one file each, and the one list of them.
//!
//! A view is a function from the [`Inputs`] to a stream of [`Effect`]s. A new view is a file here
//! and a line in [`NAMES`] and [`all`]; sinks, tables, files and metrics follow from its columns.

mod above_speed;
mod by_key;
mod correlation;
mod dead_letters;
mod derived_metrics;
mod distance_correlation;
mod engine_speed_correlation;
mod filtered_join;
mod lateness;
mod orientation;
mod own;
mod parameter_map;
mod recovery;
mod transformed;
mod watermark;
mod window_averages;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use crate::Epoch;
use crate::batch::{Batch, FieldSpec, NANO};
use crate::dead_letter::DeadLetter;
use crate::item::Item;
use crate::orientation::Orientation;
use crate::readings;
use crate::real::Factor;
use crate::rows::{Change, Changes, ColumnSpec, Rows};

/// Builds a view's part of the graph.
pub type Build = Arc<dyn for<'scope> Fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect> + Send + Sync>;

/// A result that the graph maintains. [The crate's example](crate) builds one.
#[derive(Clone)]
pub struct View {
    /// The name in configuration, metrics and of the CSV file.
    pub name: Cow<'static, str>,
    /// The table.
    pub table: Cow<'static, str>,
    /// The columns of table and CSV, without `id`.
    pub columns: Cow<'static, [ColumnSpec]>,
    /// Whether its rows may change and end, and so carry [`Changes`].
    pub keyed: bool,
    /// Whether it is made of readings: in an upsert job its files then say what each line does.
    pub of_readings: bool,
    /// Whether its state has times of trucks and of the topic: see [`Recovery`].
    pub keeps_times: bool,
    /// Whether it may give records up, so that batches need their [`Origin`](crate::origin::Origin).
    pub gives_up: bool,
    /// What its state depends on beside its name: another text is another view.
    pub definition: String,
    /// Whether an entry of state, a key and its value, is one that it keeps.
    pub keeps: Keeps,
    /// Builds its part of the graph.
    pub build: Build,
}

/// Whether an entry of state, a key and its value, is one that a view keeps.
pub type Keeps = Arc<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

/// Of a view without state.
fn keeps_nothing() -> Keeps {
    Arc::new(|_, _| false)
}

/// The names of the views that every job has unless it chooses, in the order in which they are shown.
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

/// The views of [`NAMES`], as `settings` have them, in that order.
///
/// ```
/// use dataflows::views::{NAMES, Settings, all};
///
/// let views = all(&Settings::default());
/// assert!(views.iter().map(|view| &*view.name).eq(NAMES));
/// let windows = views.iter().find(|view| view.name == "window_averages").unwrap();
/// assert_eq!((&*windows.table, windows.keyed), ("TRUCK_WINDOW_AVERAGES", true));
/// ```
pub fn all(settings: &Settings) -> Vec<View> {
    vec![
        parameter_map::view(settings),
        distance_correlation::view(settings),
        engine_speed_correlation::view(settings),
        transformed::view(settings),
        derived_metrics::view(settings),
        above_speed::view(settings),
        filtered_join::view(settings),
        window_averages::view(settings),
        orientation::view(),
        dead_letters::view(),
    ]
}

pub use correlation::{Axis, Correlation, committed_rows};
/// The view of dead letters, which sinks add to when a row is refused.
pub use dead_letters::{NAME as DEAD_LETTERS, reasons as dead_letter_reasons, rows as dead_letter_rows};
/// The one view that is not made of trucks' readings.
pub use orientation::NAME as ORIENTATION;
pub use own::Own;
/// What is done at a start about stored times that are too far ahead.
pub use recovery::{Recovery, SetBack};
pub use watermark::TopicTimes;

/// What a message does to the readings before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every message is a reading of its own.
    #[default]
    Append,
    /// The message's key names the reading that it replaces or, without a value, takes back.
    Upsert,
}

/// What a correlation's table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CorrelationTables {
    /// A row for each truck and epoch that changed it.
    #[default]
    History,
    /// One row a truck, replaced in place.
    Latest,
}

/// The readings of an upsert job: they have state, and neither table nor file.
pub fn readings_view(settings: &Settings) -> View {
    let fields = settings.fields.clone();
    View {
        name: readings::NAME.into(),
        table: "".into(),
        columns: Cow::Borrowed(&[]),
        keyed: false,
        of_readings: true,
        keeps_times: false,
        gives_up: false,
        definition: String::new(),
        keeps: Arc::new(move |_, value| readings::read(value, &fields).is_some()),
        build: Arc::new(|inputs| inputs.readings.clone().expect("only an upsert job has this view")),
    }
}

/// What is configurable about the views. Spans of event time are in microseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a message does to the readings before it.
    pub mode: Mode,
    /// Whether partitions follow each other, as the parts of a file do, and are not read side by side.
    pub one_after_another: bool,
    /// The fields that readings have beyond the seed's.
    pub fields: Arc<[FieldSpec]>,
    /// `above_speed` keeps engine speeds strictly above this, in nano-units.
    pub above_speed: i64,
    /// `transformed` multiplies the engine's speed by this.
    pub speed_factor: Factor,
    /// What the correlations' tables hold.
    pub correlation_tables: CorrelationTables,
    /// How long a window is.
    pub window: i64,
    /// How far a truck may be behind the topic before it counts as idle.
    pub window_idle: i64,
    /// How far behind a truck's latest event `window_averages` still takes readings.
    pub window_retention: i64,
    /// How far behind a truck's latest event `filtered_join` still takes readings.
    pub join_retention: i64,
    /// How many readings of a truck may share a timestamp in `filtered_join`.
    pub join_limit: usize,
}

const MINUTE: i64 = 60_000_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Append,
            one_after_another: false,
            fields: Arc::new([]),
            above_speed: 80 * NANO,
            speed_factor: Factor::new(12, 1).unwrap_or_default(),
            correlation_tables: CorrelationTables::History,
            window: 5 * MINUTE,
            window_idle: 5 * MINUTE,
            window_retention: 24 * 60 * MINUTE,
            join_retention: 10 * MINUTE,
            join_limit: 10_000,
        }
    }
}

impl Settings {
    /// Whether rows of readings may change and end.
    pub fn upserts(&self) -> bool {
        self.mode == Mode::Upsert
    }
}

/// State of one view as it was committed, fed to the graph at the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restored {
    /// The view's name.
    pub view: Arc<str>,
    /// A state change: see [`crate::state`].
    pub bytes: Vec<u8>,
}

/// The streams that a view is built from.
#[derive(Clone)]
pub struct Inputs<'scope> {
    /// The decoded readings.
    pub records: StreamVec<'scope, Epoch, Batch>,
    /// Input that could not be used.
    pub dead_letters: StreamVec<'scope, Epoch, Vec<DeadLetter>>,
    /// What the views held at the last commit, at epoch `start`.
    pub restored: StreamVec<'scope, Epoch, Restored>,
    /// How far the workers' partitions are behind: see [`Item::Behind`].
    pub behind: StreamVec<'scope, Epoch, i64>,
    /// When the latest messages arrived: see [`Item::Arrived`].
    pub arrived: StreamVec<'scope, Epoch, i64>,
    /// In an upsert job, the changes of state that keep the readings.
    pub readings: Option<StreamVec<'scope, Epoch, Effect>>,
    /// The last committed epoch. Effects are due after it only.
    pub start: Epoch,
    items: StreamVec<'scope, Epoch, Item>,
}

impl<'scope> Inputs<'scope> {
    /// Splits what sources feed into the streams that views are built from.
    pub fn new(
        items: StreamVec<'scope, Epoch, Item>,
        restored: StreamVec<'scope, Epoch, Restored>,
        start: Epoch,
        settings: &Settings,
    ) -> Self {
        let (records, readings) = if settings.upserts() {
            let upserts = pick(&items, "Upserts", |item| match item {
                Item::Upserts(upserts) => Some(upserts),
                _ => None,
            });
            let upserts = upserts.flat_map(|upserts| upserts);
            let fields = settings.fields.clone();
            let (records, readings) =
                readings::build(upserts, restored.clone(), start, fields, settings.one_after_another);
            (records, Some(readings))
        } else {
            let records = pick(&items, "Records", |item| match item {
                Item::Records(batch) => Some(batch),
                _ => None,
            });
            (records, None)
        };
        let behind = pick(&items, "Behind", |item| match item {
            Item::Behind(time) => Some(time),
            _ => None,
        });
        let arrived = pick(&items, "Arrived", |item| match item {
            Item::Arrived(time) => Some(time),
            _ => None,
        });
        let dead_letters = pick(&items, "DeadLetters", |item| match item {
            Item::DeadLetters(letters) => Some(letters),
            _ => None,
        });
        Self { records, dead_letters, restored, behind, arrived, readings, start, items }
    }

    /// The same, for a view whose effects are due after another epoch.
    pub fn beginning_after(&self, start: Epoch) -> Self {
        Self { start, ..self.clone() }
    }

    /// The decoded orientation readings, picked out for whoever asks: a job without their view has no
    /// operator for them.
    pub fn orientation(&self) -> StreamVec<'scope, Epoch, Orientation> {
        pick(&self.items, "Orientation", |item| match item {
            Item::Orientation(readings) => Some(readings),
            _ => None,
        })
    }
}

/// The items of one kind.
fn pick<'scope, D: Clone + 'static>(
    items: &StreamVec<'scope, Epoch, Item>,
    name: &str,
    kind: impl Fn(Item) -> Option<D> + 'static,
) -> StreamVec<'scope, Epoch, D> {
    items.clone().unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, items| {
                let found = items.flat_map(|items| items.drain(..)).filter_map(&kind);
                output.session(&cap).give_iterator(found);
            });
        }
    })
}

/// What a view does in an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Rows for the table and the file.
    Rows(Rows),
    /// Rows for the table only.
    TableRows(Rows),
    /// Rows for the file only.
    FileRows(Rows),
    /// Records that the view cannot use any more.
    DeadLetters(Vec<DeadLetter>),
    /// A key of an upsert job whose messages come from two partitions, so that nobody knows their order.
    KeyMoved {
        /// The key.
        key: Arc<[u8]>,
        /// The partition that it came from first, and the other.
        partitions: (i32, i32),
    },
    /// A change of the view's state.
    State {
        /// The changed entries: see [`crate::state`].
        bytes: Vec<u8>,
        /// How many of them are of keys that had no entry before, less those that ended.
        added: i64,
    },
}

/// A view of readings, whose rows change and end in an upsert job, and which needs no state.
fn of_readings(
    settings: &Settings,
    name: &'static str,
    table: &'static str,
    columns: &'static [ColumnSpec],
    build: impl for<'scope> Fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect> + Send + Sync + 'static,
) -> View {
    View {
        name: name.into(),
        table: table.into(),
        columns: columns.into(),
        keyed: settings.upserts(),
        of_readings: true,
        keeps_times: false,
        gives_up: false,
        definition: String::new(),
        keeps: keeps_nothing(),
        build: Arc::new(build),
    }
}

/// Builds a view that needs no state: each batch gives its rows by itself.
fn render_stateless<'scope>(
    inputs: &Inputs<'scope>,
    name: &str,
    rows: impl FnMut(Batch) -> Rows + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    render_each(inputs.records.clone(), inputs.start, name, rows)
}

/// Gives the rows of each piece of data in an epoch after `start`.
fn render_each<'scope, D: Clone + 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    start: Epoch,
    name: &str,
    mut rows: impl FnMut(D) -> Rows + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    stream.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let due = cap.least().is_some_and(|epoch| *epoch > start);
                let mut session = output.session(&cap);
                for data in containers.flat_map(|container| container.drain(..)).filter(|_| due) {
                    let rows = rows(data);
                    if !rows.is_empty() {
                        session.give(Effect::Rows(rows));
                    }
                }
            });
        }
    })
}

/// What the rows of a view do, of which each is made of one record: that at `kept`, in their order.
/// `part` names a row among those of its record. None in an append job.
pub(crate) fn changes(batch: &Batch, kept: &[u32], part: &[u8]) -> Option<Changes> {
    let corrections = batch.corrections.as_ref()?;
    let of = |place: u32| (corrections.signs[place as usize], &corrections.keys[place as usize]);
    let mut changes = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
    for (row, &place) in kept.iter().enumerate() {
        let (sign, key) = of(place);
        // A reading that is replaced stands right before the one that replaces it; either may not be kept.
        let other = if sign < 0 { kept.get(row + 1) } else { row.checked_sub(1).map(|row| &kept[row]) };
        let replaces = other.is_some_and(|&other| of(other).0 != sign && of(other).1 == key);
        changes.0.push(match (sign < 0, replaces) {
            (false, false) => Change::Insert,
            (false, true) => Change::Update,
            (true, false) => Change::Delete,
            (true, true) => Change::Before,
        });
        changes.1.push(if part.is_empty() { key.clone() } else { [&**key, part].concat().into() });
    }
    Some(Changes { kinds: Arc::new(changes.0), keys: Arc::new(changes.1) })
}

/// The places of all records of a batch.
fn places(batch: &Batch) -> Vec<u32> {
    (0..batch.len() as u32).collect()
}
