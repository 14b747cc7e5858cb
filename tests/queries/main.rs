//! Random views as SQL over random streams: the text is compiled and run, and has the rows of the plan that was meant.
//!
//! The views, the streams and how they are run are those of `dataflows/tests/relations/`, where the plans are run that
//! are meant. Here the front end and the planner are between.

#[path = "../../dataflows/tests/relations/choices/mod.rs"]
mod choices;
#[path = "../../dataflows/tests/relations/compare.rs"]
mod compare;
#[path = "../../dataflows/tests/relations/job.rs"]
mod job;
#[path = "../../dataflows/tests/relations/stream.rs"]
mod stream;
#[path = "../../dataflows/tests/support/mod.rs"]
mod support;

use std::cell::Cell as Counter;

use dataflows::oracle::relation::{Cell, agree, rows};
use dataflows::relation::{Keep, Patience, PlannedView};
use dataflows::rows::Type;
use dataflows::schema::Schema;
use dataflows::views::{Mode, Settings};
use proptest::prelude::*;
use truckflow::config::sql::builtin::{self, Builtin};
use truckflow::config::sql::script::Script;
use truckflow::config::sql::{compile, parameters};

use choices::{Choices, PATIENT};
use compare::{Expected, Run};
use stream::{cases, current, cuts, patience, plans, settings, stream};

/// The views of a text.
fn compiled(text: &str, settings: &Settings) -> Result<Vec<PlannedView>, String> {
    let shown = |error: truckflow::config::ConfigError| error.to_string();
    let built_in = builtin::script(&parameters::defaults()).map_err(shown)?;
    let mut built_in = Builtin::compile(&built_in, settings).map_err(shown)?;
    built_in.retain(|_| false);
    let script = Script::parse("views.sql", text, &parameters::Parameters::new()).map_err(shown)?;
    compile(&script, &built_in).map(|own| own.views).map_err(shown)
}

thread_local! {
    /// Texts that were compiled, and those that were left out.
    static TEXTS: Counter<(u32, u32)> = const { Counter::new((0, 0)) };
}

/// Leaves out a text, of which there may be few.
fn left_out(why: &str) {
    let (compiled_texts, left_out) = TEXTS.get();
    TEXTS.set((compiled_texts, left_out + 1));
    assert!(left_out < 50 || left_out < compiled_texts / 10, "{why}");
}

/// The compiled views of a text, which has those that are meant; none if it is left out: it is too long, or a column is a
/// decimal instead of a double, because the compiler knows that it is constant.
fn views(schema: &Schema, meant: &[PlannedView], script: &str) -> Option<Vec<PlannedView>> {
    let found = match compiled(script, &settings(schema, Mode::Append)) {
        Ok(found) => found,
        Err(error) if error.contains("are too many; give at most") => {
            left_out(&error);
            return None;
        }
        Err(error) => panic!("{error}\n{script}"),
    };
    assert_eq!(found.len(), meant.len(), "{script}");
    for (found, meant) in found.iter().zip(meant) {
        let types = |view: &PlannedView| {
            let types: Vec<_> = view.relation.columns().into_iter().map(|(_, of)| of).collect();
            let names: Vec<_> = view.columns().into_iter().map(|column| column.name).collect();
            ((view.name.clone(), view.table.clone(), names), types)
        };
        let ((of_found, types_found), (of_meant, types_meant)) = (types(found), types(meant));
        assert_eq!(of_found, of_meant, "{script}");
        let is_exacter =
            |(found, meant): (&Type, &Type)| matches!((found, meant), (Type::Exact { .. }, Type::Real));
        if types_found.iter().zip(&types_meant).any(is_exacter) {
            left_out(script);
            return None;
        }
        assert_eq!((types_found, found.columns()), (types_meant, meant.columns()), "{script}");
        assert_eq!(
            (found.keep, found.emit, found.doubles),
            (meant.keep, meant.emit, meant.doubles),
            "{script}"
        );
    }
    let (compiled_texts, left_out) = TEXTS.get();
    TEXTS.set((compiled_texts + found.len() as u32, left_out));
    Some(found)
}

/// Compares the compiled views with the rows of those that are meant.
fn compare(run: &Run<'_>, plans: &[Vec<u8>]) {
    let bytes = plans.concat();
    let mut choices = Choices::new(&bytes, run.schema, PATIENT);
    let (meant, script) = (choices.views(plans.len()), choices.script());
    let Some(views) = views(run.schema, &meant, &script) else { return };
    let records = current(run.messages, run.upserts);
    let of = |view: &PlannedView| rows(&view.relation, &records);
    let latest: Vec<_> = meant.iter().zip(&views).filter(|(view, _)| view.keep == Keep::Latest).collect();
    let mut expected = Vec::new();
    for (meant, view) in latest {
        let (should, planned) = (of(meant), of(view));
        let planned: Vec<Vec<_>> = planned.iter().map(|row| row.iter().map(Cell::datum).collect()).collect();
        let relations = (&meant.relation, &view.relation);
        assert!(
            agree(&should, &planned),
            "the plan of {} in\n{script}\n{relations:#?}\n{records:#?}\nexpected {should:#?}\nfound {planned:#?}",
            view.name
        );
        expected.push(should);
    }
    run.compare(&views, &script, &Expected::Rows(expected));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn appended_readings(
        (schema, messages) in stream(false), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
    ) {
        let workers = (workers, 4 - workers);
        compare(&Run { schema: &schema, messages: &messages, cuts: &cuts, upserts: false, workers, cut }, &plans);
    }

    #[test]
    fn corrected_readings(
        (schema, messages) in stream(true), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
    ) {
        let workers = (workers, 4 - workers);
        compare(&Run { schema: &schema, messages: &messages, cuts: &cuts, upserts: true, workers, cut }, &plans);
    }

    #[test]
    fn corrected_readings_in_limited_joins(
        (schema, messages) in stream(true), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
        most in 1u64..4,
    ) {
        let bytes = plans.concat();
        let mut choices = Choices::new(&bytes, &schema, PATIENT).limited_to(most);
        let (meant, script) = (choices.views(plans.len()), choices.script());
        if let Some(views) = views(&schema, &meant, &script) {
            let workers = (workers, 4 - workers);
            let run = Run { schema: &schema, messages: &messages, cuts: &cuts, upserts: true, workers, cut };
            run.compare(&views, &script, &Expected::Same);
        }
    }

    #[test]
    fn late_readings(
        (schema, messages) in stream(false), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
        (grace, idle) in patience(),
    ) {
        let bytes = plans.concat();
        let mut choices = Choices::new(&bytes, &schema, Patience { grace, idle });
        let (meant, script) = (choices.views(plans.len()), choices.script());
        if let Some(views) = views(&schema, &meant, &script) {
            let workers = (workers, 4 - workers);
            let run = Run { schema: &schema, messages: &messages, cuts: &cuts, upserts: false, workers, cut };
            run.compare(&views, &script, &Expected::SameInEpochs);
        }
    }
}
