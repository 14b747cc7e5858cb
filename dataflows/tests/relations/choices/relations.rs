//! Filters, aggregates, windows, unions.

use dataflows::expression::Expression;
use dataflows::relation::{Aggregate, From, Relation, Source, Window, WindowKind};

use super::calls::Called;
use super::{Choices, Column, Said, Scope, Wanted, is, joins, wanted_of};
use crate::stream::MINUTE;

/// A relation, its query, and the columns that other relations can use.
#[derive(Clone)]
pub(super) struct Plan {
    pub relation: Relation,
    pub query: String,
    pub scope: Scope,
}

/// Rows that a SELECT can read.
pub(super) struct Rows {
    pub from: From,
    /// What stands behind FROM.
    pub text: String,
    /// What stands in the parentheses of a window; none if it needs a subquery.
    pub window: Option<String>,
    pub scope: Scope,
}

impl Rows {
    /// Whether its rows can be taken back, though readings cannot.
    fn retracts(&self) -> bool {
        match &self.from {
            From::Readings => false,
            From::Relation(of) => of.retracts(false),
        }
    }
}

/// A query with DISTINCT.
fn distinct(query: &str) -> String {
    query.replacen("SELECT ", "SELECT DISTINCT ", 1)
}

fn condition(filter: Option<&Said>, word: &str) -> String {
    filter.map_or_else(String::new, |filter| format!(" {word} {}", filter.text))
}

impl Choices<'_> {
    /// Names for columns.
    fn named(&mut self, width: usize) -> Vec<String> {
        let prefix = self.fresh('c');
        (0..width).map(|place| format!("{prefix}_{place}")).collect()
    }

    /// A plan whose columns have these names.
    fn plan_of(
        &self,
        relation: Relation,
        query: String,
        names: Vec<String>,
        roots: Vec<bool>,
        event_time: Option<usize>,
    ) -> Plan {
        let all = Expression::of_columns(&relation.columns());
        let columns = names.into_iter().zip(all).zip(roots).map(|((name, it), is_root)| {
            let said = Said { it, text: name.clone() };
            Column { name, said, is_root }
        });
        let columns = columns.collect();
        Plan { relation, query, scope: Scope { columns, event_time } }
    }

    /// A plan of at most so many levels more.
    pub(super) fn plan(&mut self, depth: usize, may_join: bool) -> Plan {
        match self.below(10) {
            _ if depth == 0 => self.select(0, may_join),
            0 => self.select(depth, may_join),
            1 => {
                let of = self.plan(depth - 1, may_join);
                let is_plain = matches!(of.relation, Relation::Select { .. } | Relation::Aggregate(_))
                    && !of.query.contains(" UNION ");
                match of.scope.roots().contains(&true) {
                    true => of,
                    false => {
                        let query = match is_plain && !of.query.starts_with("SELECT DISTINCT ") {
                            true => distinct(&of.query),
                            false => format!("SELECT DISTINCT * FROM ({})", of.query),
                        };
                        Plan { relation: Relation::Distinct(Box::new(of.relation)), query, scope: of.scope }
                    }
                }
            }
            2 => self.union(depth, may_join),
            3 if may_join => self.join(depth),
            4 if !self.known.is_empty() => self.known(may_join),
            _ => self.aggregate(depth, may_join),
        }
    }

    /// A view above, or a simple query.
    fn known(&mut self, may_join: bool) -> Plan {
        let known: Vec<Plan> = self.known.iter().map(|(_, plan)| plan.clone()).collect();
        let known = self.one(&known);
        match may_join || !joins(&known.relation) {
            true => known,
            false => self.select(0, may_join),
        }
    }

    /// The rows of a plan, under an alias or not.
    pub(super) fn rows(&mut self, plan: Plan, needs_alias: bool) -> Rows {
        let known = self.known.iter().find(|(_, of)| of.query == plan.query).map(|(name, _)| name.clone());
        let name = match known {
            Some(name) => Some(name),
            None if self.once_in(4) => {
                let name = self.fresh('s');
                self.statements.push(format!("CREATE VIEW {name} AS\n{};", plan.query));
                self.known.push((name.clone(), plan.clone()));
                Some(name)
            }
            None => None,
        };
        let alias = (needs_alias || self.below(2) == 0).then(|| self.fresh('r'));
        let read = match &name {
            Some(name) => self.written(name),
            None => format!("({})", plan.query),
        };
        let columns = plan.scope.columns.into_iter().map(|column| {
            let text = self.qualified(alias.as_deref(), &column.name);
            Column { said: Said { text, ..column.said }, ..column }
        });
        let columns = columns.collect();
        let text = alias.map_or_else(|| read.clone(), |alias| format!("{read} AS {alias}"));
        let scope = Scope { columns, ..plan.scope };
        Rows { from: From::Relation(Box::new(plan.relation)), text, window: Some(read), scope }
    }

    /// Rows to read.
    fn source(&mut self, depth: usize, may_join: bool) -> Rows {
        if depth == 0 || self.below(3) == 0 {
            let alias = (self.below(3) == 2).then(|| self.fresh('r'));
            let scope = self.fields(alias.as_deref());
            let text = alias.map_or_else(|| "readings".to_owned(), |alias| format!("readings {alias}"));
            return Rows { from: From::Readings, text, window: Some("readings".into()), scope };
        }
        if may_join && self.once_in(8) {
            return self.pairs(depth);
        }
        let plan = self.plan(depth - 1, may_join);
        self.rows(plan, false)
    }

    /// `SELECT … FROM … WHERE …` with given columns.
    pub(super) fn selected(
        &mut self,
        rows: Rows,
        filter: Option<Said>,
        columns: Vec<Column>,
        event_time: Option<usize>,
    ) -> Plan {
        let names = self.named(columns.len());
        let mut items = Vec::new();
        let mut all: Vec<String> = Vec::new();
        for (column, name) in columns.iter().zip(names) {
            // A column that keeps its name needs no other.
            let keeps = !column.name.is_empty() && !all.contains(&column.name) && self.once_in(4);
            items.push(if keeps {
                column.said.text.clone()
            } else {
                format!("{} AS {name}", column.said.text)
            });
            all.push(if keeps { column.name.clone() } else { name });
        }
        let query =
            format!("SELECT {} FROM {}{}", items.join(", "), rows.text, condition(filter.as_ref(), "WHERE"));
        let roots = columns.iter().map(|column| column.is_root).collect();
        let columns = columns.into_iter().map(|column| column.said.it).collect();
        let source = Source { from: rows.from, filter: filter.map(|one| one.it) };
        self.plan_of(Relation::Select { source, columns }, query, all, roots, event_time)
    }

    /// All columns of rows.
    fn star(&mut self, rows: Rows, filter: Option<Said>) -> Plan {
        let Rows { from, text, scope, .. } = rows;
        let query = format!("SELECT * FROM {text}{}", condition(filter.as_ref(), "WHERE"));
        let source = Source { from, filter: filter.map(|one| one.it) };
        let (roots, event_time) = (scope.roots(), scope.event_time);
        let names = scope.columns.iter().map(|column| column.name.clone()).collect();
        self.plan_of(
            Relation::Select { source, columns: scope.expressions() },
            query,
            names,
            roots,
            event_time,
        )
    }

    fn select(&mut self, depth: usize, may_join: bool) -> Plan {
        let rows = self.source(depth, may_join);
        let filter = self.filter(&rows.scope, 3);
        if self.once_in(10) && rows.window.is_some() {
            return self.star(rows, filter);
        }
        let scope = rows.scope.clone();
        let (mut columns, mut event_time) = (Vec::new(), None);
        let often: Vec<usize> = [Wanted::Time, Wanted::Text]
            .into_iter()
            .filter_map(|wanted| scope.columns.iter().position(|column| is(&column.said.it, wanted)))
            .collect();
        for place in 0..1 + self.below(4) {
            if self.below(3) > 0 {
                // The time and the truck are the most useful ones.
                let of = match often.get(place) {
                    Some(often) if self.below(2) == 0 => *often,
                    _ => self.below(scope.columns.len()),
                };
                if scope.event_time == Some(of) {
                    event_time = event_time.or(Some(columns.len()));
                }
                columns.push(scope.columns[of].clone());
            } else {
                let wanted = self.any();
                let said = self.expression(&scope, wanted, 2);
                columns.push(Column { name: String::new(), said, is_root: false });
            }
        }
        self.selected(rows, filter, columns, event_time)
    }

    /// All rows of several queries; each row once without ALL.
    fn union(&mut self, depth: usize, may_join: bool) -> Plan {
        let mut members = vec![self.plan(depth - 1, may_join)];
        for _ in 0..1 + self.below(2) {
            members.push(match self.below(2) {
                0 => members[0].clone(),
                _ => self.plan(depth - 1, may_join),
            });
        }
        let wanted: Vec<Option<Wanted>> =
            members[0].scope.columns.iter().map(|column| wanted_of(column.said.it.kind())).collect();
        let mut roots = vec![false; wanted.len()];
        let mut event_time = members[0].scope.event_time;
        let mut parts: Vec<(Rows, Option<Said>, Vec<Column>)> = Vec::new();
        for (number, member) in members.into_iter().enumerate() {
            let member = self.rows(member, false);
            let filter = self.filter(&member.scope, 4);
            let mut columns = Vec::new();
            for (place, wanted) in wanted.iter().enumerate() {
                let same = member.scope.columns.get(place);
                let same = same.filter(|column| wanted_of(column.said.it.kind()) == *wanted).cloned();
                let other = number > 0 && self.below(2) == 1;
                let column = match same.filter(|_| !other) {
                    Some(same) => same,
                    None => {
                        let said = self.leaf(&member.scope, wanted.expect("columns have types"));
                        Column { name: String::new(), said, is_root: false }
                    }
                };
                roots[place] |= column.is_root;
                columns.push(column);
            }
            // Event time has to be at the same place, and at none before it.
            let time = member.scope.event_time.map(|place| &member.scope.columns[place].said.it);
            let place = columns.iter().position(|column| Some(&column.said.it) == time);
            event_time = event_time.filter(|of| place == Some(*of));
            parts.push((member, filter, columns));
        }
        for place in 0..wanted.len() {
            let all = parts.iter().map(|(.., columns)| columns[place].said.it.clone()).collect();
            let alike = Expression::alike(all).expect("columns of one type");
            parts.iter_mut().zip(alike).for_each(|((.., columns), it)| columns[place].said.it = it);
        }
        let plans: Vec<Plan> = parts
            .into_iter()
            .map(|(rows, filter, columns)| self.selected(rows, filter, columns, None))
            .collect();
        // The first query has the names.
        let names = plans[0].scope.columns.iter().map(|column| column.name.clone()).collect();
        let keeps_all = roots.contains(&true) || self.below(3) < 2;
        let by = if keeps_all { " UNION ALL " } else { " UNION " };
        let query = plans.iter().map(|plan| &*plan.query).collect::<Vec<_>>().join(by);
        let relation = Relation::Union(plans.into_iter().map(|plan| plan.relation).collect());
        let relation = if keeps_all { relation } else { Relation::Distinct(Box::new(relation)) };
        self.plan_of(relation, query, names, roots, event_time)
    }

    /// The keys of groups: columns, and expressions.
    fn keys(&mut self, scope: &Scope) -> Vec<Said> {
        let mut keys: Vec<Said> = Vec::new();
        for place in 0..self.below(4) {
            let key = match self.below(4) {
                3 => {
                    let wanted = self.any();
                    self.expression(scope, wanted, 1)
                }
                _ if place == 0 && !scope.of(Wanted::Text).is_empty() => scope.of(Wanted::Text)[0].clone(),
                _ => {
                    let wanted = self.any();
                    self.leaf(scope, wanted)
                }
            };
            // A number alone is refused, and a key counts once.
            let is_number = key.text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            if !is_number && !keys.iter().any(|other| other.it == key.it) {
                keys.push(key);
            }
        }
        keys
    }

    fn aggregate(&mut self, depth: usize, may_join: bool) -> Plan {
        let mut rows = self.source(depth, may_join);
        let mut filter = self.filter(&rows.scope, 3);
        let keys = self.keys(&rows.scope);
        let has_times = !rows.scope.of(Wanted::Time).is_empty();
        let kind = match self.below(6) {
            _ if !has_times => None,
            1 | 2 => {
                let (slide, size) = self.one(&[(5, 5), (1, 1), (1, 3), (2, 5), (3, 2), (10, 10), (7, 2)]);
                Some(WindowKind::Hop { slide: slide * MINUTE, size: size * MINUTE })
            }
            3 if !rows.retracts() && !keys.is_empty() => {
                let gap = self.one(&[2 * MINUTE, MINUTE, 3 * MINUTE + 1, 1]);
                Some(WindowKind::Session { gap })
            }
            _ => None,
        };
        let is_session = matches!(kind, Some(WindowKind::Session { .. }));
        let keys = match (kind, &rows.window) {
            // A window reads a relation; the filter of a session is in there.
            (Some(_), None) => {
                let plan = self.star_of_pairs(rows, filter.take());
                rows = self.rows(plan, false);
                self.again(keys, &rows.scope)
            }
            (Some(_), Some(_)) if is_session && filter.is_some() => {
                let plan = self.star(rows, filter.take());
                rows = self.rows(plan, false);
                self.again(keys, &rows.scope)
            }
            _ => keys,
        };
        let is_session = is_session && !keys.is_empty();
        let kind = kind.filter(|kind| is_session || matches!(kind, WindowKind::Hop { .. }));
        let scope = rows.scope.clone();
        let window = kind.map(|kind| {
            let times: Vec<Said> = scope.of(Wanted::Time).into_iter().cloned().collect();
            let time = self.one(&times);
            let time = match self.once_in(6) {
                true => self.expression(&scope, Wanted::Time, 1),
                false => time,
            };
            let within = rows.window.clone().expect("a relation");
            let spans = match kind {
                WindowKind::Hop { slide, size } if slide == size => format!("INTERVAL '{size} us'"),
                WindowKind::Hop { slide, size } => {
                    format!("INTERVAL '{} minutes', INTERVAL {} MINUTES", slide / MINUTE, size / MINUTE)
                }
                WindowKind::Session { gap } => format!("INTERVAL '{gap} microseconds'"),
            };
            let name = match kind {
                WindowKind::Hop { slide, size } if slide == size => "TUMBLE",
                WindowKind::Hop { .. } => "HOP",
                WindowKind::Session { .. } => "SESSION",
            };
            // Behind the window, its rows have the name that they had before.
            let alias = rows.text.strip_prefix(&*within).unwrap_or_default();
            rows.text = format!("{name}({within}, {}, {spans}){alias}", time.text);
            Window { time: time.it, kind, patience: self.patience }
        });
        self.grouped(rows, filter, keys, window)
    }

    /// Keys of columns that have other names now.
    fn again(&mut self, keys: Vec<Said>, scope: &Scope) -> Vec<Said> {
        match keys.is_empty() {
            true => keys,
            false => self.keys(scope),
        }
    }

    /// All columns of pairs, under new names.
    fn star_of_pairs(&mut self, rows: Rows, filter: Option<Said>) -> Plan {
        let columns =
            rows.scope.columns.iter().cloned().map(|column| Column { name: String::new(), ..column });
        let columns = columns.collect();
        self.selected(rows, filter, columns, None)
    }

    fn grouped(&mut self, rows: Rows, filter: Option<Said>, keys: Vec<Said>, window: Option<Window>) -> Plan {
        let scope = rows.scope;
        let calls: Vec<Called> =
            (0..1 + self.below(4)).map(|_| self.call(&scope, window.is_some())).collect();
        let mut texts: Vec<(String, bool)> = keys.iter().map(|key| (key.text.clone(), false)).collect();
        if window.is_some() {
            texts.extend(["window_start", "WINDOW_END"].map(|name| (name.to_owned(), false)));
        }
        texts.extend(calls.iter().map(|called| (called.text.clone(), called.is_root())));
        let mut by: Vec<String> = keys.iter().map(|key| key.text.clone()).collect();
        match (&window, self.below(3)) {
            (None, _) => {}
            (Some(_), 0) => by.push("window_start".into()),
            (Some(_), 1) => by.push("window_end".into()),
            (Some(_), _) => by.extend(["window_start".into(), "window_end".into()]),
        }
        let needs_time = calls.iter().any(Called::needs_time);
        let time = scope.event_time.filter(|_| needs_time).map(|place| scope.columns[place].said.it.clone());
        let is_whole = keys.is_empty() && window.is_none();
        let source = Source { from: rows.from, filter: filter.as_ref().map(|one| one.it.clone()) };
        let aggregate = Relation::Aggregate(Box::new(Aggregate {
            source,
            keys: keys.into_iter().map(|key| key.it).collect(),
            is_whole,
            window,
            calls: calls.into_iter().map(|called| called.call).collect(),
            time,
        }));
        let all = Expression::of_columns(&aggregate.columns());
        let columns = texts.into_iter().zip(all).map(|((text, is_root), it)| Column {
            name: String::new(),
            said: Said { it, text },
            is_root,
        });
        let groups = Scope { columns: columns.collect(), event_time: None };
        let having = self.filter(&groups, 4);
        let mut columns = groups.columns.clone();
        if self.once_in(4) {
            // What is computed of groups.
            let computed = (0..1 + self.below(3)).map(|_| {
                let wanted = self.any();
                let said = self.expression(&groups, wanted, 2);
                Column { name: String::new(), said, is_root: false }
            });
            let computed: Vec<Column> = computed.collect();
            // Without a key, a condition or a call there are no groups.
            let of_call = |column: &Column| {
                groups.columns.iter().any(|call| column.said.text.contains(&call.said.text))
            };
            if !by.is_empty() || having.is_some() || computed.iter().any(of_call) {
                columns = computed;
            }
        }
        let is_aggregate = columns.len() == groups.columns.len()
            && having.is_none()
            && columns.iter().zip(&groups.columns).all(|(a, b)| a.said.it == b.said.it);
        let names = self.named(columns.len());
        let items =
            columns.iter().zip(&names).map(|(column, name)| format!("{} AS {name}", column.said.text));
        let items = items.collect::<Vec<_>>().join(", ");
        // A name that SELECT gives stands for its expression.
        for key in &mut by {
            if let Some(place) = columns.iter().position(|column| column.said.text == *key)
                && self.once_in(5)
            {
                key.clone_from(&names[place]);
            }
        }
        let groups_text = if by.is_empty() { String::new() } else { format!(" GROUP BY {}", by.join(", ")) };
        let query = format!(
            "SELECT {items} FROM {}{}{groups_text}{}",
            rows.text,
            condition(filter.as_ref(), "WHERE"),
            condition(having.as_ref(), "HAVING"),
        );
        let roots = columns.iter().map(|column| column.is_root).collect();
        let relation = match is_aggregate {
            true => aggregate,
            false => Relation::Select {
                source: Source {
                    from: From::Relation(Box::new(aggregate)),
                    filter: having.map(|one| one.it),
                },
                columns: columns.into_iter().map(|column| column.said.it).collect(),
            },
        };
        self.plan_of(relation, query, names, roots, None)
    }
}
