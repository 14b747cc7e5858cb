//! Describes the graph of a job, by building it.
//!
//! ```text
//! configuration -> graph::build, as `run` does -> timely's log: operators, channels -> Plan
//! ```
//!
//! The graph is built on a worker that gets no input, so the plan has exactly the operators that a job has. Only
//! sources (topic or file, committed state) and sinks (files, tables) are added from the configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use timely::logging::{ChannelsEvent, OperatesEvent, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crossbeam_channel::unbounded;
use dataflows::views::View;

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::graph::{self, DELIVER, Outlet, Part};
use crate::job::routes::{routes, topics_name};
use crate::observe::board::plan::{Channel, Operator, Plan, Source, ViewPlan};
use crate::runtime::clock::Clock;
use crate::store::Form;

/// The log of a worker while it built the graph.
struct Built {
    operators: Vec<OperatesEvent>,
    channels: Vec<ChannelsEvent>,
    parts: Vec<(Part, Range<usize>)>,
}

/// The graph of a job.
pub fn of(config: &Job) -> Result<Plan, JobError> {
    with(config, None)
}

/// The graph as the workers of `config` run it, with the same operator ids.
pub fn as_it_runs(config: &Job) -> Result<Plan, JobError> {
    with(config, (config.processes > 1).then_some(config.workers))
}

fn with(config: &Job, gathered: Option<usize>) -> Result<Plan, JobError> {
    let (views, settings) = (config.active_views.clone(), config.view_settings.clone());
    let routes = routes(config);
    let lines = |view: &View| {
        let planned = config.planned.iter().find(|planned| planned.name == view.name);
        planned.map_or_else(Vec::new, |planned| planned.relation.lines(&settings.schema))
    };
    let sinks = views.iter().zip(routes.iter()).map(|(view, route)| ViewPlan {
        name: view.name.to_string(),
        plan: lines(view),
        deliver: None,
        file: route.csv.then(|| config.out.join(format!("{}.csv", view.name)).display().to_string()),
        table: route.table.is_some().then(|| view.table.to_string()),
        topic: config.dead_letters.topic.clone().filter(|_| route.forwarded),
    });
    let sinks: Vec<ViewPlan> = sinks.collect();
    let (sender, _messages) = unbounded();
    let clock = Arc::new(Clock::new(config.epoch_limits, 0));
    let form = Form { job: config.job.as_str().into(), text: None, lines: [].into() };
    let outlet = Outlet { sender, clock, routes, form };
    let shape = graph::Shape { views, settings, start: 0, filled: None, gathered };
    let built = timely::execute_directly(move |worker| {
        logged(worker, |worker| graph::build(worker, &shape, &outlet).parts)
    });
    let source = match &config.input {
        Some(path) if path == "-" => "standard input".into(),
        Some(path) if config.embedded => format!("file {path}, through the embedded broker"),
        Some(path) => format!("file {path}"),
        None => topics_name(config),
    };
    Ok(plan(built, sinks, &source))
}

fn plan(built: Built, mut views: Vec<ViewPlan>, source: &str) -> Plan {
    let part_of =
        |id: usize| built.parts.iter().find(|(_, operators)| operators.contains(&id)).map(|(part, _)| *part);
    // The dataflow itself is an operator of the worker, and is not drawn.
    let mut events: Vec<_> = built.operators.into_iter().filter(|event| event.addr.len() > 1).collect();
    events.sort_by_key(|event| event.id);
    let mut sources = Vec::new();
    for event in &events {
        match part_of(event.id) {
            Some(Part::Source) => sources.push(Source { name: source.into(), operator: event.id }),
            Some(Part::Restored) => {
                sources.push(Source { name: "committed state".into(), operator: event.id });
            }
            Some(Part::View(view)) if event.name == DELIVER => views[view].deliver = Some(event.id),
            _ => {}
        }
    }
    let by_address: BTreeMap<Vec<usize>, usize> =
        events.iter().map(|event| (event.addr.clone(), event.id)).collect();
    // Within a scope, 0 is the scope itself.
    let operator = |scope: &[usize], node: usize| {
        let within = if node == 0 { scope.to_vec() } else { [scope, &[node]].concat() };
        by_address.get(&within).copied()
    };
    let channels = built.channels.iter().filter_map(|event| {
        Some(Channel {
            id: event.id,
            from: operator(&event.scope_addr, event.source.0)?,
            from_port: event.source.1,
            to: operator(&event.scope_addr, event.target.0)?,
            to_port: event.target.1,
            type_name: event.typ.clone(),
        })
    });
    let channels = channels.collect();
    let operators = events
        .into_iter()
        .map(|event| Operator {
            view: match part_of(event.id) {
                Some(Part::View(view)) => Some(views[view].name.clone()),
                _ => None,
            },
            id: event.id,
            name: event.name,
            address: event.addr,
        })
        .collect();
    Plan { operators, channels, views, sources }
}

/// Builds a graph with timely's log enabled, and returns the log.
fn logged(worker: &mut Worker, build: impl FnOnce(&mut Worker) -> Vec<(Part, Range<usize>)>) -> Built {
    let events = Rc::new(RefCell::new((Vec::new(), Vec::new())));
    let seen = events.clone();
    if let Some(mut logs) = worker.log_register() {
        logs.insert::<TimelyEventBuilder, _>("timely", move |_, batch| {
            let (operators, channels) = &mut *seen.borrow_mut();
            for (_, event) in batch.iter_mut().flat_map(|batch| batch.drain(..)) {
                match event {
                    TimelyEvent::Operates(event) => operators.push(event),
                    TimelyEvent::Channels(event) => channels.push(event),
                    _ => {}
                }
            }
        });
    }
    let parts = build(worker);
    if let Some(mut logs) = worker.log_register() {
        logs.flush();
        logs.remove("timely");
    }
    let (operators, channels) = events.take();
    Built { operators, channels, parts }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use timely::dataflow::operators::vec::Map;
    use timely::dataflow::operators::{Concat, Enter, Leave, ToStream};

    use super::*;

    fn view(name: &str) -> ViewPlan {
        ViewPlan {
            name: name.into(),
            plan: Vec::new(),
            deliver: None,
            file: Some(format!("out/{name}.csv")),
            table: None,
            topic: None,
        }
    }

    /// An operator before a view with an inner scope, and a name that needs escapes.
    fn small() -> Plan {
        let built = timely::execute_directly(|worker| {
            logged(worker, |worker| {
                let begun = worker.peek_identifier() + 1;
                let mut parts = Vec::new();
                worker.dataflow_named::<u64, _, _>("whole", |scope| {
                    let one = (0..0_u64).to_stream(scope).container::<Vec<_>>();
                    let next = scope.worker().peek_identifier();
                    parts.push((Part::Source, begun..next));
                    let inner =
                        scope.region_named("Inner", |inner| one.clone().enter(inner).map(|n| n).leave(scope));
                    inner.concat(one);
                    parts.push((Part::View(0), next..scope.worker().peek_identifier()));
                });
                parts
            })
        });
        plan(built, vec![view("a \"b\" <c>")], "topic T")
    }

    #[test]
    fn every_operator_and_channel_is_there_once() {
        let plan = small();
        let names: BTreeSet<&str> = plan.operators.iter().map(|operator| &*operator.name).collect();
        assert_eq!(names, BTreeSet::from(["Concatenate", "FlatMap", "Inner", "ToStreamBuilder"]));
        let id = |name: &str| plan.operators.iter().find(|operator| operator.name == name).unwrap().id;
        let mut pairs: Vec<_> = plan.channels.iter().map(|channel| (channel.from, channel.to)).collect();
        let (source, inner, map, concat) =
            (id("ToStreamBuilder"), id("Inner"), id("FlatMap"), id("Concatenate"));
        let mut expected =
            vec![(source, inner), (inner, map), (map, inner), (inner, concat), (source, concat)];
        pairs.sort();
        expected.sort();
        assert_eq!(pairs, expected);
        assert_eq!(plan.sources, [Source { name: "topic T".into(), operator: source }]);
        let shared: Vec<_> = plan.operators.iter().filter(|operator| operator.view.is_none()).collect();
        assert_eq!(shared.len(), 1);
    }

    #[test]
    fn the_default_job_is_built_as_it_runs() {
        let config = Job::try_from(crate::config::Config::default()).unwrap();
        let plan = of(&config).unwrap();
        assert_eq!(plan.views.len(), config.active_views.len());
        for view in &plan.views {
            assert!(view.deliver.is_some(), "{view:?}");
        }
        let ids: BTreeSet<usize> = plan.operators.iter().map(|operator| operator.id).collect();
        for channel in &plan.channels {
            assert!(ids.contains(&channel.from) && ids.contains(&channel.to));
        }
        // Every operator has an input.
        for operator in &plan.operators {
            let is_fed = plan.channels.iter().any(|channel| channel.to == operator.id)
                || plan.sources.iter().any(|source| source.operator == operator.id);
            assert!(is_fed, "{operator:?}");
        }
    }
}
