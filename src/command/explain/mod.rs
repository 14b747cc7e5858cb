//! `truckflow explain`: draws the job's dataflow graph as it is built.
//!
//! Each output language is a [`Pen`]; [`drawing`] draws the graph with it.

mod dot;
mod mermaid;
mod pen;

use std::fmt::{self};

use crate::cli::{Drawing, ExplainArgs};
use crate::command::error::Error;
use crate::job::plan;
use crate::observe::board::plan::{Plan, ViewPlan};
use crate::runtime::failure::Bug;
use crate::runtime::print;
use crate::text::printable::printable;
use dot::Dot;
use mermaid::Mermaid;
use pen::{Pen, Shape};

/// Prints the graph of a job.
pub fn run(args: &ExplainArgs) -> Result<(), Error> {
    let plan = plan::of(&args.job.load()?)?;
    match (args.json, args.format) {
        (true, _) => {
            let json = serde_json::to_string_pretty(&plan).map_err(|_| Bug("the graph as JSON"))?;
            print::line(json)?;
        }
        (false, Drawing::Mermaid) => print::out(drawing(&plan, &mut Mermaid::default()))?,
        (false, Drawing::Dot) => print::out(drawing(&plan, &mut Dot::default()))?,
        (false, Drawing::Plan) => print::out(logical(&plan))?,
    }
    Ok(())
}

/// The logical plans of the views, each line of them indented below its name.
fn logical(plan: &Plan) -> String {
    let mut out = String::new();
    for view in &plan.views {
        let sinks: Vec<String> = sinks(view).collect();
        if sinks.is_empty() {
            continue;
        }
        let head = [format!("{}: {}", view.name, sinks.join(", "))];
        let lines = if view.plan.is_empty() { &[NOT_SQL.to_owned()][..] } else { &view.plan };
        for (line, indent) in head.iter().map(|line| (line, "")).chain(lines.iter().map(|line| (line, "  ")))
        {
            out += &format!("{indent}{}\n", printable(line));
        }
    }
    out
}

/// What is said of a view that is not SQL.
const NOT_SQL: &str = "not SQL";

/// Describes the sinks of a view.
fn sinks(view: &ViewPlan) -> impl Iterator<Item = String> {
    let named = |kind: &str, name: &Option<String>| name.as_ref().map(|name| format!("{kind} {name}"));
    [named("file", &view.file), named("table", &view.table), named("topic", &view.topic)]
        .into_iter()
        .flatten()
}

fn drawing(plan: &Plan, pen: &mut impl Pen) -> String {
    let mut out = String::new();
    draw(plan, pen, &mut out).expect("writing to a string cannot fail");
    out
}

fn draw(plan: &Plan, pen: &mut impl Pen, out: &mut String) -> fmt::Result {
    pen.begin(out)?;
    let mut names: Vec<&str> = Vec::new();
    for source in &plan.sources {
        if !names.contains(&&*source.name) {
            pen.node(out, &format!("source{}", names.len()), &source.name, Shape::Source)?;
            names.push(&source.name);
        }
    }
    for operator in plan.operators.iter().filter(|operator| operator.view.is_none()) {
        pen.node(out, &format!("o{}", operator.id), &operator.name, Shape::Operator)?;
    }
    for (index, view) in plan.views.iter().enumerate() {
        pen.open(out, &format!("view{index}"), &view.name)?;
        for operator in plan.operators.iter().filter(|operator| operator.view.as_ref() == Some(&view.name)) {
            pen.node(out, &format!("o{}", operator.id), &operator.name, Shape::Operator)?;
        }
        for (number, sink) in sinks(view).enumerate() {
            pen.node(out, &format!("view{index}sink{number}"), &sink, Shape::Sink)?;
        }
        pen.close(out)?;
    }
    for source in &plan.sources {
        let number = names.iter().take_while(|name| **name != source.name).count();
        pen.edge(out, &format!("source{number}"), &format!("o{}", source.operator))?;
    }
    for channel in &plan.channels {
        pen.edge(out, &format!("o{}", channel.from), &format!("o{}", channel.to))?;
    }
    for (index, view) in plan.views.iter().enumerate() {
        for (number, _) in sinks(view).enumerate() {
            if let Some(deliver) = view.deliver {
                pen.edge(out, &format!("o{deliver}"), &format!("view{index}sink{number}"))?;
            }
        }
    }
    pen.end(out)
}

#[cfg(test)]
mod tests {
    use crate::observe::board::plan::{Channel, Operator, Plan, Source, ViewPlan};

    /// A plan with a delivered view, and names that need escapes.
    pub(super) fn delivered() -> Plan {
        let view = "v_1 & <w>";
        let operator = |id, name: &str, view: Option<&str>| Operator {
            id,
            name: name.into(),
            address: vec![0, id],
            view: view.map(str::to_owned),
        };
        let channel =
            |id, from, to| Channel { id, from, from_port: 0, to, to_port: 0, type_name: "Vec<u8>".into() };
        Plan {
            operators: vec![
                operator(2, "Input", None),
                operator(3, "a \"b\\", Some(view)),
                operator(5, "Deliver", Some(view)),
            ],
            channels: vec![channel(4, 2, 3), channel(6, 3, 5)],
            views: vec![ViewPlan {
                name: view.into(),
                plan: Vec::new(),
                deliver: Some(5),
                file: Some(format!("out/{view}.csv")),
                table: None,
                topic: None,
            }],
            sources: vec![Source { name: "topic T".into(), operator: 2 }],
        }
    }

    #[test]
    fn json_names_operators_channels_and_views() {
        let json = serde_json::to_value(delivered()).unwrap();
        assert_eq!(json["operators"][1]["view"], "v_1 & <w>");
        assert_eq!(json["channels"][0]["type"], "Vec<u8>");
        assert_eq!(json["views"][0]["deliver"], 5);
    }
}
