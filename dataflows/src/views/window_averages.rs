//! Averages and correlations in tumbling windows of event time, per truck.
//!
//! ```text
//! records -> sums per truck and window of a batch --(truck)--> windows -> live rows for the table
//! latest event times, restored windows ----------------^          |----> rows of closed windows for the file
//!                                                                 `----> state; late parts (see `lateness`)
//! ```
//!
//! A window is open until the truck's time, or for an idle truck the topic's, has passed its end. It accepts readings
//! until the horizon has passed it; then its state is discarded, and its row stays.

mod rows;
mod stored;
mod sums;
mod windows;

use std::sync::Arc;

use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::inputs::Inputs;
use super::lateness::{by_truck, write_dead_letters};
use super::settings::Settings;
use super::view::View;
use super::wanted::{Measures, Missing, Wanted};
use super::watermark::TopicTimes;
use crate::Epoch;
use crate::batch::Batch;
use crate::effect::Effect;
use rows::COLUMNS;
use stored::read;
use sums::{Window, parts, start_of};
use windows::{Output, Windows};

const NAME: &str = "window_averages";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    let (measures, settings) = (wanted.measures(), wanted.settings.clone());
    let view = View {
        name: NAME.into(),
        table: "TRUCK_WINDOW_AVERAGES".into(),
        columns: COLUMNS.into(),
        keyed: true,
        of_readings: true,
        has_change: settings.upserts(),
        keeps_times: true,
        drops_readings: !settings.upserts(),
        definition: format!("windows of {} us", settings.window),
        index: Vec::new(),
        keeps: Arc::new(|key, value| {
            TopicTimes::of_entry(key, value).is_some() || read(key, value).is_some()
        }),
        build: Arc::new(move |inputs| build(inputs, measures, &settings)),
    };
    wanted.found(NAME, view)
}

fn build<'scope>(
    inputs: &Inputs<'scope>,
    measures: Measures,
    settings: &Settings,
) -> StreamVec<'scope, Epoch, Effect> {
    let length = settings.window;
    let mut windows = Windows::new(settings, inputs.start, inputs.records.scope().index() == 0);
    let (batches, output) = by_truck(
        inputs,
        NAME,
        move |batch| parts(batch, measures, length).collect(),
        read,
        move |epoch, inputs| windows.pass(epoch, inputs),
    );
    let effects = output.clone().flat_map(|output| match output {
        Output::Effect(effect) => Some(effect),
        Output::Dropped(_) => None,
    });
    if settings.upserts() {
        return effects;
    }
    let late = output.flat_map(|output| match output {
        Output::Dropped(window) => Some(window),
        Output::Effect(_) => None,
    });
    let places = move |batch: &Batch, (truck, start): &Window| {
        let is_in = |&place: &u32| {
            let place = place as usize;
            batch.entities[batch.entity[place] as usize] == *truck
                && start_of(batch.time[place], length) == *start
        };
        (0..batch.len() as u32).filter(is_in).collect()
    };
    effects.concat(write_dead_letters(batches, late, NAME, places))
}
