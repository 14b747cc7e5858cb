//! Random views over random streams, compared with the interpreter, however a job is cut, shared and restarted.

use dataflows::oracle::relation::rows;
use dataflows::relation::{Keep, Patience};
use proptest::prelude::*;

use crate::choices::{Choices, PATIENT};
use crate::compare::{Expected, Run};
use crate::stream::{cases, current, cuts, patience, plans, stream};

/// Compares views with the interpreter.
fn compare(run: &Run<'_>, plans: &[Vec<u8>]) {
    let bytes = plans.concat();
    let mut choices = Choices::new(&bytes, run.schema, PATIENT);
    let (views, script) = (choices.views(plans.len()), choices.script());
    let records = current(run.messages, run.upserts);
    let latest = views.iter().filter(|view| view.keep == Keep::Latest);
    let expected = Expected::Rows(latest.map(|view| rows(&view.relation, &records)).collect());
    run.compare(&views, &script, &expected);
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
        let (views, script) = (choices.views(plans.len()), choices.script());
        let workers = (workers, 4 - workers);
        let run = Run { schema: &schema, messages: &messages, cuts: &cuts, upserts: true, workers, cut };
        run.compare(&views, &script, &Expected::Same);
    }

    #[test]
    fn late_readings(
        (schema, messages) in stream(false), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
        (grace, idle) in patience(),
    ) {
        let bytes = plans.concat();
        let mut choices = Choices::new(&bytes, &schema, Patience { grace, idle });
        let (views, script) = (choices.views(plans.len()), choices.script());
        let workers = (workers, 4 - workers);
        let run = Run { schema: &schema, messages: &messages, cuts: &cuts, upserts: false, workers, cut };
        run.compare(&views, &script, &Expected::SameInEpochs);
    }
}
