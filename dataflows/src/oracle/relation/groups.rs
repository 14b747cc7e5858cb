//! Groups of rows, in windows of time if there are any.

use std::collections::BTreeMap;

use super::calls::value;
use super::cell::{Cell, Ordered};
use super::input::Input;
use crate::oracle::value::Datum;
use crate::relation::plan::{Aggregate, Window, WindowKind};

/// One row per group and window: the keys, the window's start and end, and the calls.
pub(super) fn rows(aggregate: &Aggregate, inputs: &[Input<'_>]) -> Vec<Vec<Cell>> {
    let mut groups: BTreeMap<Vec<Ordered>, Vec<&Input<'_>>> = BTreeMap::new();
    for row in inputs {
        let key = aggregate.keys.iter().map(|key| Ordered(row.value(key))).collect();
        groups.entry(key).or_default().push(row);
    }
    if aggregate.is_whole {
        groups.entry(Vec::new()).or_default();
    }
    let mut rows = Vec::new();
    for members in groups.values() {
        // The keys of a group are equal: those of its first row are as good as any.
        let keys = aggregate.keys.iter().map(|key| members[0].cell(key)).collect::<Vec<_>>();
        let calls = |members: &[&Input<'_>]| -> Vec<Cell> {
            let time = aggregate.time.as_ref();
            aggregate.calls.iter().map(|call| value(call, time, members)).collect()
        };
        match &aggregate.window {
            None => rows.push([keys, calls(members)].concat()),
            Some(window) => {
                rows.extend(windows(window, members).into_iter().map(|((start, end), members)| {
                    [keys.clone(), vec![bound(start), bound(end)], calls(&members)].concat()
                }))
            }
        }
    }
    rows
}

/// The start or end of a window; NULL if no timestamp has it.
fn bound(time: i128) -> Cell {
    Cell::Datum(time.try_into().map_or(Datum::Null, Datum::Time))
}

type Windows<'r, 'a> = Vec<((i128, i128), Vec<&'r Input<'a>>)>;

/// The windows of a group with their bounds and rows.
fn windows<'r, 'a>(window: &Window, members: &[&'r Input<'a>]) -> Windows<'r, 'a> {
    let timed = members.iter().filter_map(|row| Some((i128::from(row.time(&window.time)?), *row)));
    let mut timed: Vec<(i128, &Input<'_>)> = timed.collect();
    match window.kind {
        WindowKind::Hop { slide, size } => {
            let (slide, size) = (i128::from(slide), i128::from(size));
            let mut windows = BTreeMap::<_, Vec<_>>::new();
            for (time, row) in timed {
                let mut start = time - time.rem_euclid(slide);
                while time < start + size {
                    if row.is_in(start + size) {
                        windows.entry((start, start + size)).or_default().push(row);
                    }
                    start -= slide;
                }
            }
            windows.into_iter().collect()
        }
        WindowKind::Session { gap } => {
            let gap = i128::from(gap);
            timed.sort_by_key(|(time, _)| *time);
            let sessions = timed.chunk_by(|(time, _), (next, _)| next - time < gap);
            let session = |rows: &[(i128, &'r Input<'a>)]| {
                let end = rows[rows.len() - 1].0 + gap;
                ((rows[0].0, end), rows.iter().map(|(_, row)| *row).collect())
            };
            sessions.map(session).collect()
        }
    }
}
