//! Views of few words and readings of few values, for tests that write their rows out.

use dataflows::batch::{NANO, Record};
use dataflows::expression::Expression;
use dataflows::item::Item;
use dataflows::oracle::value::Datum;
use dataflows::relation::{
    Aggregate, Call, From, Function, Patience, PlannedView, Relation, Source, Window, WindowKind,
};
use dataflows::rows::NULL;
use dataflows::schema::{FieldType, Schema};
use dataflows::views::Mode;

use crate::job::{Job, Output, Row, Written};
use crate::stream::{DAY, MINUTE, batch, epochs, settings};

pub fn schema() -> Schema {
    Schema::trucks()
        .with("oil", FieldType::Number)
        .with("gear", FieldType::Integer)
        .with("ignition", FieldType::Boolean)
        .with("sent", FieldType::Timestamp)
        .with("driver", FieldType::Text)
}

pub fn field(name: &str) -> Expression {
    Expression::field(schema().field(name).unwrap())
}

pub fn column(relation: &Relation, place: usize) -> Expression {
    Expression::of_columns(&relation.columns()).swap_remove(place)
}

pub fn readings() -> Source {
    Source { from: From::Readings, filter: None }
}

pub fn number(units: i128) -> Expression {
    Expression::number(units, 0).unwrap()
}

pub fn call(function: Function, arguments: Vec<Expression>) -> Call {
    Call::new(function, arguments, false, None).unwrap()
}

pub fn count() -> Call {
    call(Function::Count, Vec::new())
}

pub fn grouped(source: Source, keys: Vec<Expression>, calls: Vec<Call>) -> Relation {
    let is_whole = keys.is_empty();
    Relation::Aggregate(Box::new(Aggregate { source, keys, is_whole, window: None, calls, time: None }))
}

/// COUNT(*) and SUM(engine_speed) of the windows of each truck.
pub fn windows(kind: WindowKind, grace: i64) -> Relation {
    let window = Window { time: field("timestamp"), kind, patience: Patience { grace, idle: 5 * MINUTE } };
    Relation::Aggregate(Box::new(Aggregate {
        source: readings(),
        keys: vec![field("truck_id")],
        is_whole: false,
        window: Some(window),
        calls: vec![count(), call(Function::Sum, vec![field("engine_speed")])],
        time: None,
    }))
}

pub const TUMBLE: WindowKind = WindowKind::Hop { slide: 5 * MINUTE, size: 5 * MINUTE };
pub const SESSION: WindowKind = WindowKind::Session { gap: 5 * MINUTE };

pub fn view(relation: Relation) -> PlannedView {
    let names = (0..relation.columns().len()).map(|column| format!("c{column}"));
    PlannedView::new("v", "V", names, relation)
}

pub fn job(view: PlannedView, mode: Mode) -> Job {
    Job { settings: settings(&schema(), mode), views: vec![view], arrived: i64::MAX }
}

/// A reading at so many minutes with an engine speed of 1.
pub fn at(truck: &str, minute: i64) -> Record {
    let units = vec![NULL, NANO, NULL, NULL, NULL, NULL, NULL];
    Record { entity: truck.into(), time: DAY + minute * MINUTE, units, texts: vec![None] }
}

/// Times as minutes of the day.
pub fn shown(row: &Row) -> String {
    let cell = |datum: &Datum| match datum {
        Datum::Null => "NULL".to_owned(),
        Datum::Exact(exact) => exact.to_string(),
        Datum::Text(text) => text.to_string(),
        Datum::Time(time) => ((time - DAY) / MINUTE).to_string(),
        other => format!("{other:?}"),
    };
    row.iter().map(cell).collect::<Vec<_>>().join(" ")
}

/// The lines of a file: the epoch, the sign, the row.
pub fn lines(written: &Written) -> Vec<String> {
    let mut lines: Vec<_> = written
        .lines
        .iter()
        .map(|(epoch, change, _, row)| {
            format!("{epoch} {}{}", if change.sign() > 0 { '+' } else { '-' }, shown(row))
        })
        .collect();
    lines.sort();
    lines
}

pub fn table(written: &Written) -> Vec<String> {
    let mut rows: Vec<_> = written.rows().iter().map(shown).collect();
    rows.sort();
    rows
}

/// Epochs of one batch each.
pub fn appended(all: &[&[Record]]) -> Vec<Vec<Item>> {
    let mut offset = 0;
    let mut epoch = |records: &&[Record]| {
        let messages = records.iter().map(|record| (0, Some(record.clone()))).collect();
        offset += records.len() as i64;
        vec![batch(&schema(), messages, offset - records.len() as i64)]
    };
    all.iter().map(&mut epoch).collect()
}

/// Epochs of one message each.
pub fn upserted(messages: &[(u8, Option<Record>)]) -> Vec<Vec<Item>> {
    epochs(&schema(), messages, &vec![0; messages.len()], true)
}

/// What a view has written on so many workers, restarted after `cut` epochs.
pub fn run(job: &Job, workers: usize, all: &[Vec<Item>], cut: usize) -> Written {
    let mut output = Output::default();
    job.run(workers, &all[..cut], &mut output);
    job.run(4 - workers, &all[cut..], &mut output);
    output.views.remove("v").expect("it has this view")
}

/// Runs on any number of workers, restarted anywhere.
pub fn each(job: &Job, all: &[Vec<Item>], check: impl Fn(&Written)) {
    for workers in [1, 2, 3] {
        for cut in 0..=all.len() {
            check(&run(job, workers, all, cut));
        }
    }
}
