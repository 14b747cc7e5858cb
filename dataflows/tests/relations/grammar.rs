//! What random views contain: every kind of relation, aggregate and expression, in every combination that matters.

use std::collections::BTreeMap;

use dataflows::relation::{Call, Emit, From, Function, Keep, Relation, WindowKind};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::choices::{Choices, PATIENT};
use crate::stream::{plans, schema};

/// How often each part occurs.
#[derive(Default)]
struct Parts(BTreeMap<String, usize>);

impl Parts {
    fn add(&mut self, part: impl Into<String>) {
        *self.0.entry(part.into()).or_default() += 1;
    }

    fn relation(&mut self, relation: &Relation) {
        match relation {
            Relation::Select { source, .. } => match &source.from {
                From::Readings => self.add("SELECT FROM readings"),
                From::Relation(of) => {
                    self.add("SELECT FROM relation");
                    if let (Relation::Aggregate(_), Some(_)) = (&**of, &source.filter) {
                        self.add("HAVING");
                    }
                }
            },
            Relation::Aggregate(aggregate) => {
                let of = match aggregate.window.as_ref().map(|window| window.kind) {
                    None if aggregate.is_whole => "everything",
                    None => "groups",
                    Some(WindowKind::Hop { slide, size }) if slide == size => "TUMBLE",
                    Some(WindowKind::Hop { slide, size }) if slide < size => "HOP",
                    Some(WindowKind::Hop { .. }) => "HOP with gaps",
                    Some(WindowKind::Session { .. }) => "SESSION",
                };
                let read = match &aggregate.source.from {
                    From::Readings => "readings",
                    From::Relation(relation) => match &**relation {
                        Relation::Select { .. } => "SELECT",
                        Relation::Aggregate(_) => "AGGREGATE",
                        Relation::Distinct(_) => "DISTINCT",
                        Relation::Union(_) => "UNION",
                        Relation::Join(_) => "JOIN",
                    },
                };
                self.add(format!("{of} of {read}"));
                aggregate.calls.iter().for_each(|call| self.call(call));
            }
            Relation::Distinct(of) => match &**of {
                Relation::Union(_) => self.add("UNION"),
                _ => self.add("DISTINCT"),
            },
            Relation::Union(_) => self.add("UNION ALL"),
            Relation::Join(join) => self.add(match &join.bound {
                Some(bound) if bound.from > bound.to => "JOIN within nothing",
                Some(_) => "JOIN with a bound",
                None => "JOIN",
            }),
        }
        relation.inputs().into_iter().for_each(|input| self.relation(input));
    }

    fn call(&mut self, call: &Call) {
        let name = call.function;
        let types: Vec<_> = call.arguments.iter().map(|one| format!("{:?}", one.column_type())).collect();
        let types: Vec<_> = types.iter().map(|of| of.split([' ', '{']).next().unwrap_or_default()).collect();
        self.add(format!("{name}({})", types.join(", ")));
        if call.distinct {
            self.add(format!("{name}(DISTINCT)"));
        }
        if call.filter.is_some() {
            self.add(format!("{name} FILTER"));
        }
    }
}

/// Nodes of expressions, as they are shown for debugging.
const NODES: [&str; 26] = [
    "Field", "Column", "Constant", "Scaled", "Rounded", "Negated", "Absolute", "Exact", "Real", "Elapsed",
    "Shifted", "Compare", "And", "Or", "Not", "Is", "Between", "In", "Like", "Case", "Switch", "Coalesce",
    "NullIf", "Extreme", "Round", "Mixed",
];

/// Words of the language.
const WORDS: [&str; 40] = [
    "SELECT *",
    "DISTINCT",
    " AS ",
    " WHERE ",
    "GROUP BY",
    "HAVING",
    "UNION ALL",
    " UNION SELECT",
    " JOIN ",
    " ON ",
    "TUMBLE(",
    "HOP(",
    "SESSION(",
    "TUMBLE((",
    "window_start",
    "CREATE VIEW",
    "keep = 'history'",
    "emit = 'changes'",
    "numbers = 'double'",
    "BETWEEN",
    "NOT BETWEEN",
    " IN (",
    "NOT IN",
    " LIKE ",
    "ESCAPE",
    "CASE",
    "IF(",
    "IFNULL(",
    "COALESCE(",
    "NULLIF(",
    "GREATEST(",
    "Least(",
    "ROUND(",
    "FLOOR(",
    "CEIL(",
    "MOD(",
    "ABS(",
    "WITHIN GROUP",
    "IS NOT NULL",
    "FILTER (WHERE",
];

#[test]
fn random_views_contain_all_of_the_language() {
    let mut runner = TestRunner::deterministic();
    let (mut parts, mut text) = (Parts::default(), String::new());
    let case = (schema(), plans());
    for _ in 0..5_000 {
        let (schema, plans) = case.new_tree(&mut runner).unwrap().current();
        let bytes = plans.concat();
        let mut choices = Choices::new(&bytes, &schema, PATIENT);
        for view in choices.views(plans.len()) {
            if view.keep == Keep::History {
                parts.add("history");
                continue;
            }
            parts.relation(&view.relation);
            let shown = format!("{:?}", view.relation);
            NODES.iter().filter(|node| shown.contains(&format!("{node}("))).for_each(|node| parts.add(*node));
            for (name, is_so) in [
                ("doubles", view.doubles),
                ("emit close", view.emit == Some(Emit::Close)),
                ("emit changes", view.emit == Some(Emit::Changes)),
            ] {
                if is_so {
                    parts.add(name);
                }
            }
        }
        text += &choices.script();
    }
    let mut expected: Vec<String> = NODES.map(str::to_owned).into();
    for of in ["everything", "groups", "TUMBLE", "HOP", "HOP with gaps", "SESSION"] {
        for read in ["readings", "SELECT", "AGGREGATE", "DISTINCT", "UNION", "JOIN"] {
            let is_window = !matches!(of, "everything" | "groups");
            // The rows of an aggregate can be taken back, and are in no sessions. A window reads pairs through a query.
            if (of, read) != ("SESSION", "AGGREGATE") && !(is_window && read == "JOIN") {
                expected.push(format!("{of} of {read}"));
            }
        }
    }
    let values = ["Exact", "Integer", "Real", "Text", "Timestamp"];
    let measures = ["Exact", "Integer", "Real", "Timestamp"];
    for function in Function::ALL {
        expected.push(format!("{function} FILTER"));
        let of_one: &[&str] = match function {
            Function::Count
            | Function::Min
            | Function::Max
            | Function::First
            | Function::Last
            | Function::PercentileDisc(_) => &values,
            _ => &measures,
        };
        match function {
            Function::Covar(_) | Function::Corr | Function::Regr(_) => {
                expected.extend(measures.map(|of| format!("{function}(Exact, {of})")));
                expected.extend(measures.map(|of| format!("{function}({of}, Exact)")));
            }
            _ => expected.extend(of_one.iter().map(|of| format!("{function}({of})"))),
        }
        match function {
            Function::Count | Function::Sum | Function::Avg | Function::Var(_) | Function::Stddev(_) => {
                expected.push(format!("{function}(DISTINCT)"));
            }
            _ => {}
        }
    }
    let others = [
        "COUNT()",
        "SELECT FROM readings",
        "SELECT FROM relation",
        "HAVING",
        "DISTINCT",
        "UNION",
        "UNION ALL",
        "JOIN",
        "JOIN with a bound",
        "JOIN within nothing",
        "doubles",
        "emit close",
        "emit changes",
        "history",
    ];
    expected.extend(others.map(str::to_owned));
    let rare: Vec<_> =
        expected.iter().filter(|part| parts.0.get(*part).is_none_or(|number| *number < 3)).collect();
    let missing: Vec<_> = WORDS.iter().filter(|word| text.matches(**word).count() < 20).collect();
    assert!(
        rare.is_empty() && missing.is_empty(),
        "rare: {rare:?}\nmissing: {missing:?}\nfound: {:#?}",
        parts.0
    );
}
