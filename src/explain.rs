//! `truckflow explain`: the job's dataflow, drawn.
//!
//! ```text
//! configuration -> graph::build, as `run` does -> timely's log: operators, channels -> Plan -> Mermaid, DOT, JSON
//! ```
//!
//! Nothing is drawn that was not built: the graph is made on a worker that gets no input and then
//! ends. Only where it begins (topic or file, committed state) and ends (files, tables) is
//! added from the configuration, as those are not the graph's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;

use serde::Serialize;
use timely::logging::{ChannelsEvent, OperatesEvent, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crate::cli::{Drawing, ExplainArgs};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::graph::{self, DELIVER, Outlet, Part};
use crate::print;
use crate::run;
use crate::store::Form;

/// Prints the graph of a job.
pub fn run(args: &ExplainArgs) -> Result<(), Error> {
    let plan = Plan::of(&args.job.load()?)?;
    match (args.json, args.format) {
        (true, _) => {
            let json = serde_json::to_string_pretty(&plan).map_err(|_| Error::Bug("the graph as JSON"))?;
            print::line(json)?;
        }
        (false, Drawing::Mermaid) => print::out(plan.mermaid())?,
        (false, Drawing::Dot) => print::out(plan.dot())?,
    }
    Ok(())
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The operators, in the order in which they were made.
    pub operators: Vec<Operator>,
    /// The channels between them.
    pub channels: Vec<Channel>,
    /// The views, in the job's order.
    pub views: Vec<ViewPlan>,
    /// What the graph is fed from.
    pub sources: Vec<Source>,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// The worker's number for it.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// The path to it from the worker's root, as timely's own logs have it.
    pub address: Vec<usize>,
    /// The view that it belongs to; none for those that the views share.
    pub view: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// The worker's number for it.
    pub id: usize,
    /// The operator that sends.
    pub from: usize,
    /// Its output.
    pub from_port: usize,
    /// The operator that receives.
    pub to: usize,
    /// Its input.
    pub to_port: usize,
    /// What the containers are that go over it.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A view, and where its rows go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewPlan {
    /// The name.
    pub name: String,
    /// The operator that hands its rows over.
    pub deliver: Option<usize>,
    /// The CSV file, if it has one.
    pub file: Option<String>,
    /// The table, if it has one.
    pub table: Option<String>,
    /// The topic, if its rows go to one.
    pub topic: Option<String>,
}

impl ViewPlan {
    fn sinks(&self) -> impl Iterator<Item = String> {
        let named = |kind: &str, name: &Option<String>| name.as_ref().map(|name| format!("{kind} {name}"));
        [named("file", &self.file), named("table", &self.table), named("topic", &self.topic)]
            .into_iter()
            .flatten()
    }
}

/// What an input of the graph is fed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// What it is.
    pub name: String,
    /// The operator.
    pub operator: usize,
}

/// What a worker logged while the graph was built.
struct Built {
    operators: Vec<OperatesEvent>,
    channels: Vec<ChannelsEvent>,
    parts: Vec<(Part, Range<usize>)>,
}

impl Plan {
    /// Builds the graph of a job, and lets go of it.
    pub fn of(config: &Config) -> Result<Self, Error> {
        Self::with(config, None)
    }

    /// Builds the graph that the workers of `config` have, with the same numbers.
    pub fn as_it_runs(config: &Config) -> Result<Self, Error> {
        Self::with(config, (config.processes > 1).then_some(config.workers))
    }

    /// One more than the highest number of an operator or channel.
    pub fn ids(&self) -> usize {
        let operators = self.operators.iter().map(|operator| operator.id);
        operators.chain(self.channels.iter().map(|channel| channel.id)).max().map_or(0, |id| id + 1)
    }

    fn with(config: &Config, gathered: Option<usize>) -> Result<Self, Error> {
        let (views, settings) = (config.active_views()?, config.view_settings()?);
        let routes = run::routes(config, &views);
        let sinks = views.iter().zip(routes.iter()).map(|(view, route)| ViewPlan {
            name: view.name.to_string(),
            deliver: None,
            file: route.csv.then(|| config.out.join(format!("{}.csv", view.name)).display().to_string()),
            table: route.table.is_some().then(|| view.table.to_string()),
            topic: config.dead_letters.topic.clone().filter(|_| route.forwarded),
        });
        let sinks = sinks.collect();
        let (sender, _messages) = channel();
        let clock = Arc::new(Clock::new(config.epoch_limits()?, 0));
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
            None => format!("topic {}", config.kafka.topic),
        };
        Ok(Self::new(built, sinks, &source))
    }

    fn new(built: Built, mut views: Vec<ViewPlan>, source: &str) -> Self {
        let part_of = |id: usize| {
            built.parts.iter().find(|(_, operators)| operators.contains(&id)).map(|(part, _)| *part)
        };
        // The dataflow is an operator of the worker, and is the drawing itself.
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
        // The number 0 is, within a scope, the scope itself.
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
        Self { operators, channels, views, sources }
    }

    /// A flowchart in Mermaid.
    pub fn mermaid(&self) -> String {
        self.draw(&mut Mermaid::default())
    }

    /// A directed graph in DOT.
    pub fn dot(&self) -> String {
        self.draw(&mut Dot::default())
    }

    fn draw(&self, pen: &mut impl Pen) -> String {
        let mut out = String::new();
        self.draw_to(pen, &mut out).expect("a string takes everything");
        out
    }

    fn draw_to(&self, pen: &mut impl Pen, out: &mut String) -> fmt::Result {
        pen.begin(out)?;
        let mut names: Vec<&str> = Vec::new();
        for source in &self.sources {
            if !names.contains(&&*source.name) {
                pen.node(out, &format!("source{}", names.len()), &source.name, Shape::Source)?;
                names.push(&source.name);
            }
        }
        for operator in self.operators.iter().filter(|operator| operator.view.is_none()) {
            pen.node(out, &format!("o{}", operator.id), &operator.name, Shape::Operator)?;
        }
        for (index, view) in self.views.iter().enumerate() {
            pen.open(out, &format!("view{index}"), &view.name)?;
            for operator in
                self.operators.iter().filter(|operator| operator.view.as_ref() == Some(&view.name))
            {
                pen.node(out, &format!("o{}", operator.id), &operator.name, Shape::Operator)?;
            }
            for (number, sink) in view.sinks().enumerate() {
                pen.node(out, &format!("view{index}sink{number}"), &sink, Shape::Sink)?;
            }
            pen.close(out)?;
        }
        for source in &self.sources {
            let number = names.iter().take_while(|name| **name != source.name).count();
            pen.edge(out, &format!("source{number}"), &format!("o{}", source.operator))?;
        }
        for channel in &self.channels {
            pen.edge(out, &format!("o{}", channel.from), &format!("o{}", channel.to))?;
        }
        for (index, view) in self.views.iter().enumerate() {
            for (number, _) in view.sinks().enumerate() {
                if let Some(deliver) = view.deliver {
                    pen.edge(out, &format!("o{deliver}"), &format!("view{index}sink{number}"))?;
                }
            }
        }
        pen.end(out)
    }
}

/// Builds something with timely's log on, and gives what was logged.
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

/// What a node looks like.
#[derive(Clone, Copy)]
enum Shape {
    Source,
    Operator,
    Sink,
}

/// A language of drawings. Identifiers are letters and digits; labels may be anything.
trait Pen {
    fn begin(&mut self, out: &mut String) -> fmt::Result;
    fn node(&mut self, out: &mut String, id: &str, label: &str, shape: Shape) -> fmt::Result;
    fn open(&mut self, out: &mut String, id: &str, label: &str) -> fmt::Result;
    fn close(&mut self, out: &mut String) -> fmt::Result;
    fn edge(&mut self, out: &mut String, from: &str, to: &str) -> fmt::Result;
    fn end(&mut self, out: &mut String) -> fmt::Result;
}

/// Writes an indented line.
fn line(out: &mut String, depth: usize, line: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "{:1$}{line}", "", 4 * (depth + 1))
}

#[derive(Default)]
struct Mermaid {
    depth: usize,
}

impl Pen for Mermaid {
    fn begin(&mut self, out: &mut String) -> fmt::Result {
        writeln!(out, "flowchart TB")
    }

    fn node(&mut self, out: &mut String, id: &str, label: &str, shape: Shape) -> fmt::Result {
        let (open, close) = match shape {
            Shape::Source => ("([", "])"),
            Shape::Operator => ("[", "]"),
            Shape::Sink => ("[(", ")]"),
        };
        line(out, self.depth, format_args!("{id}{open}\"{}\"{close}", mermaid_text(label)))
    }

    fn open(&mut self, out: &mut String, id: &str, label: &str) -> fmt::Result {
        line(out, self.depth, format_args!("subgraph {id}[\"{}\"]", mermaid_text(label)))?;
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, out: &mut String) -> fmt::Result {
        self.depth -= 1;
        line(out, self.depth, format_args!("end"))
    }

    fn edge(&mut self, out: &mut String, from: &str, to: &str) -> fmt::Result {
        line(out, self.depth, format_args!("{from} --> {to}"))
    }

    fn end(&mut self, _: &mut String) -> fmt::Result {
        Ok(())
    }
}

/// A label between quotes, where Mermaid reads HTML, Markdown and its own `#…;`. An underscore within
/// a word is none of these.
fn mermaid_text(label: &str) -> String {
    let mut text = String::new();
    let mut rest = label.chars().peekable();
    let mut in_word = false;
    while let Some(char) = rest.next() {
        let is_plain = match char {
            '_' => in_word && rest.peek().is_some_and(|next| next.is_alphanumeric() || *next == '_'),
            _ => char.is_alphanumeric() || " .,:/()+-=".contains(char),
        };
        match char {
            _ if char.is_control() => text.push(' '),
            _ if is_plain => text.push(char),
            _ => text.extend(["#", &u32::from(char).to_string(), ";"]),
        }
        in_word = char.is_alphanumeric() || (char == '_' && is_plain);
    }
    text
}

#[derive(Default)]
struct Dot {
    depth: usize,
}

impl Pen for Dot {
    fn begin(&mut self, out: &mut String) -> fmt::Result {
        writeln!(out, "digraph truckflow {{")?;
        line(out, self.depth, format_args!("graph [fontname=\"Helvetica\", color=\"gray\"];"))?;
        line(out, self.depth, format_args!("node [fontname=\"Helvetica\", fontsize=11];"))
    }

    fn node(&mut self, out: &mut String, id: &str, label: &str, shape: Shape) -> fmt::Result {
        let shape = match shape {
            Shape::Source => "shape=oval, style=bold",
            Shape::Operator => "shape=box",
            Shape::Sink => "shape=cylinder",
        };
        line(out, self.depth, format_args!("{id} [label=\"{}\", {shape}];", dot_text(label)))
    }

    fn open(&mut self, out: &mut String, id: &str, label: &str) -> fmt::Result {
        // Only a subgraph with such a name is drawn as a box.
        line(out, self.depth, format_args!("subgraph cluster_{id} {{"))?;
        self.depth += 1;
        line(out, self.depth, format_args!("label=\"{}\";", dot_text(label)))
    }

    fn close(&mut self, out: &mut String) -> fmt::Result {
        self.depth -= 1;
        line(out, self.depth, format_args!("}}"))
    }

    fn edge(&mut self, out: &mut String, from: &str, to: &str) -> fmt::Result {
        line(out, self.depth, format_args!("{from} -> {to};"))
    }

    fn end(&mut self, out: &mut String) -> fmt::Result {
        writeln!(out, "}}")
    }
}

/// A label between quotes, where `\` begins an escape. DOT decodes HTML's entities there.
fn dot_text(label: &str) -> String {
    label.chars().fold(String::new(), |mut text, char| {
        match char {
            _ if char.is_control() => text.push(' '),
            '"' | '\\' => text.extend(['\\', char]),
            '&' => text.push_str("&amp;"),
            _ => text.push(char),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use timely::dataflow::operators::vec::Map;
    use timely::dataflow::operators::{Concat, Enter, Leave, ToStream};

    fn view(name: &str) -> ViewPlan {
        ViewPlan {
            name: name.into(),
            deliver: None,
            file: Some(format!("out/{name}.csv")),
            table: None,
            topic: None,
        }
    }

    /// Two operators before a view with an inner scope, and a name that is hard to draw.
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
        Plan::new(built, vec![view("a \"b\" <c>")], "topic T")
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

    /// A view that is delivered.
    fn delivered() -> Plan {
        let operates = |id, node, name: &str| OperatesEvent { id, addr: vec![0, node], name: name.into() };
        let channel = |id, from, to| ChannelsEvent {
            id,
            scope_addr: vec![0],
            source: (from, 0),
            target: (to, 0),
            typ: "Vec<u8>".into(),
        };
        let built = Built {
            operators: vec![
                operates(2, 1, "Input"),
                operates(3, 2, "a \"b\\"),
                operates(5, 3, DELIVER),
                OperatesEvent { id: 0, addr: vec![0], name: "whole".into() },
            ],
            channels: vec![channel(4, 1, 2), channel(6, 2, 3)],
            parts: vec![(Part::Source, 1..3), (Part::View(0), 3..7)],
        };
        Plan::new(built, vec![view("v_1 & <w>")], "topic T")
    }

    #[test]
    fn mermaid() {
        let expected = r##"flowchart TB
    source0(["topic T"])
    o2["Input"]
    subgraph view0["v_1 #38; #60;w#62;"]
        o3["a #34;b#92;"]
        o5["Deliver"]
        view0sink0[("file out/v_1 #38; #60;w#62;.csv")]
    end
    source0 --> o2
    o2 --> o3
    o3 --> o5
    o5 --> view0sink0
"##;
        assert_eq!(delivered().mermaid(), expected);
        assert_eq!(mermaid_text("_a_b_ *c*\n"), "#95;a_b#95; #42;c#42; ");
    }

    #[test]
    fn dot() {
        let expected = r#"digraph truckflow {
    graph [fontname="Helvetica", color="gray"];
    node [fontname="Helvetica", fontsize=11];
    source0 [label="topic T", shape=oval, style=bold];
    o2 [label="Input", shape=box];
    subgraph cluster_view0 {
        label="v_1 &amp; <w>";
        o3 [label="a \"b\\", shape=box];
        o5 [label="Deliver", shape=box];
        view0sink0 [label="file out/v_1 &amp; <w>.csv", shape=cylinder];
    }
    source0 -> o2;
    o2 -> o3;
    o3 -> o5;
    o5 -> view0sink0;
}
"#;
        assert_eq!(delivered().dot(), expected);
    }

    #[test]
    fn json_names_operators_channels_and_views() {
        let json = serde_json::to_value(delivered()).unwrap();
        assert_eq!(json["operators"][1]["view"], "v_1 & <w>");
        assert_eq!(json["channels"][0]["type"], "Vec<u8>");
        assert_eq!(json["views"][0]["deliver"], 5);
    }

    #[test]
    fn the_default_job_is_built_as_it_runs() {
        let config = Config::default();
        let plan = Plan::of(&config).unwrap();
        assert_eq!(plan.views.len(), config.active_views().unwrap().len());
        for view in &plan.views {
            assert!(view.deliver.is_some(), "{view:?}");
        }
        let ids: BTreeSet<usize> = plan.operators.iter().map(|operator| operator.id).collect();
        for channel in &plan.channels {
            assert!(ids.contains(&channel.from) && ids.contains(&channel.to));
        }
        // Nothing hangs in the air.
        for operator in &plan.operators {
            let is_fed = plan.channels.iter().any(|channel| channel.to == operator.id)
                || plan.sources.iter().any(|source| source.operator == operator.id);
            assert!(is_fed, "{operator:?}");
        }
    }
}
