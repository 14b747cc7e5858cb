//! The job, its views and their committed rows, for the live page.

use std::time::Duration;

use dataflows::effect::Restored;
use dataflows::relation::{Keep, PlannedView};
use dataflows::rows::Rows;
use dataflows::views::{Mode, View};

use crate::config::Job;
use crate::job::routes::{routes, source_name};
use crate::observe::board::Feed;
use crate::observe::board::limits::ROWS;
use crate::observe::board::recent::Recent;
use crate::observe::board::shown::Part;
use crate::observe::board::views::{Shape, ViewChanges, ViewInfo};
use crate::observe::web::live::About;

/// The constant properties of a job.
pub(super) fn job(config: &Job) -> About {
    let mut parts = config.active_views.iter().filter_map(|view| Part::of(&view.name));
    About {
        shows_trucks: parts.any(|part| part != Part::DeadLetters),
        version: env!("CARGO_PKG_VERSION"),
        job: config.job.clone(),
        source: source_name(config),
        workers: config.workers,
        processes: config.processes,
        upsert: config.mode == Mode::Upsert,
        commit_interval: config.commit_interval.clone(),
        window: window(config),
    }
}

/// The length of the windows of trucks, as text.
fn window(config: &Job) -> String {
    let shown = |view: &&PlannedView| Part::of(&view.name) == Some(Part::Windows);
    let slide = config.planned.iter().find(shown).and_then(|view| view.relation.slide());
    let length = Duration::from_micros(slide.and_then(|slide| u64::try_from(slide).ok()).unwrap_or_default());
    humantime::format_duration(length).to_string()
}

/// The views, in the job's order.
pub(super) fn views(config: &Job) -> Vec<ViewInfo> {
    let info = |(view, route): (&View, &super::graph::Route)| {
        let planned = planned(config, &view.name);
        let mut info = ViewInfo::new(&view.name, planned.map_or(Shape::Rows, shape), &view.columns);
        if let Some(planned) = planned.filter(|planned| planned.aggregate().is_some()) {
            info.key = planned.group_columns();
        }
        info.table = route.table.is_some().then(|| view.table.to_string());
        info.file = route.csv.then(|| format!("{}.csv", view.name));
        info
    };
    config.active_views.iter().zip(routes(config).iter()).map(info).collect()
}

fn planned<'a>(config: &'a Job, view: &str) -> Option<&'a PlannedView> {
    config.planned.iter().find(|planned| planned.name == view)
}

fn shape(planned: &PlannedView) -> Shape {
    match planned.aggregate() {
        None => Shape::Rows,
        Some(_) if planned.keep == Keep::History => Shape::History,
        Some(aggregate) if aggregate.window.is_some() => Shape::Windows,
        Some(_) => Shape::Groups,
    }
}

/// Shows the rows that the committed state has: those of groups without windows. `is_resumed` is whether there may be
/// others.
pub(super) fn restored(config: &Job, page: &Feed, restored: &[Restored], is_resumed: bool) {
    let mut changes = ViewChanges::default();
    let mut trucks: Vec<(&str, Rows)> = Vec::new();
    let views = config.active_views.len();
    for (place, view) in config.active_views.iter().enumerate() {
        let Some(planned) = planned(config, &view.name) else {
            if is_resumed {
                changes.is_incomplete(place);
            }
            continue;
        };
        let shows_trucks = Part::of(&view.name).is_some();
        let mut left = if shows_trucks { usize::MAX } else { ROWS };
        let mut is_complete = config.mode == Mode::Append
            && planned.keep == Keep::Latest
            && planned.aggregate().is_some_and(|aggregate| aggregate.window.is_none());
        for part in restored.iter().filter(|part| *part.view == *view.name) {
            let rows = planned.committed_rows(part, &config.view_settings, left);
            let Some(rows) = rows.filter(|_| left > 0) else {
                is_complete = false;
                break;
            };
            left -= rows.len();
            changes.add(place, Recent::restored(&rows), None, views);
            if shows_trucks {
                trucks.push((&*view.name, rows));
            }
        }
        if is_resumed && !is_complete {
            changes.is_incomplete(place);
        }
    }
    page.restored(trucks.into_iter(), changes);
}
