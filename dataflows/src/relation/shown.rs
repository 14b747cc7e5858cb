//! Plans as text, for people: a line for each relation, those that it reads below it.

use std::cell::RefCell;

use super::call::{Call, Function};
use super::plan::{Aggregate, Bound, From, Join, Patience, Relation, Source, Window, WindowKind};
use crate::expression::{Expression, Names};
use crate::schema::{Place, Schema};

/// The longest text by which a column is named where it is read; others have their number.
const LONGEST_NAME: usize = 60;

/// The fields of readings, and which relations that keep rows have been told.
struct Telling<'a> {
    schema: &'a Schema,
    told: RefCell<Vec<&'a Relation>>,
}

/// The names of what expressions of a relation can read.
struct Read<'a> {
    schema: &'a Schema,
    columns: Vec<String>,
}

impl Names for Read<'_> {
    fn field(&self, place: Place) -> String {
        let field = self.schema.fields().iter().find(|field| field.place == place);
        field.map_or_else(String::new, |field| field.name.to_string())
    }

    fn column(&self, place: usize) -> String {
        let name = self.columns.get(place).filter(|name| name.len() <= LONGEST_NAME);
        name.cloned().unwrap_or_else(|| format!("#{}", place + 1))
    }
}

impl Relation {
    /// Its lines, each indented by two blanks for each relation that reads it.
    pub fn lines(&self, schema: &Schema) -> Vec<String> {
        self.described(&Telling { schema, told: RefCell::default() }).0
    }

    /// Its lines, and what its columns are.
    fn described<'a>(&'a self, telling: &Telling<'a>) -> (Vec<String>, Vec<String>) {
        if self.keeps_rows() && telling.told.borrow().contains(&self) {
            let (lines, columns) = self.told(telling);
            let first = lines.first().map(|line| format!("{line} (the one above)"));
            return (first.into_iter().collect(), columns);
        }
        if self.keeps_rows() {
            telling.told.borrow_mut().push(self);
        }
        self.told(telling)
    }

    fn told<'a>(&'a self, telling: &Telling<'a>) -> (Vec<String>, Vec<String>) {
        match self {
            Self::Select { source, columns } => {
                let (below, read) = source.described(telling);
                let columns = all(columns, &read);
                let line = format!("SELECT {}{}", columns.join(", "), source.condition(&read));
                (above(line, [below]), columns)
            }
            Self::Aggregate(aggregate) => aggregate.described(telling),
            Self::Distinct(of) => {
                let (below, columns) = of.described(telling);
                (above("DISTINCT".into(), [below]), columns)
            }
            Self::Union(of) => {
                let mut of: Vec<_> = of.iter().map(|one| one.described(telling)).collect();
                let columns = of.first_mut().map(|(_, columns)| std::mem::take(columns)).unwrap_or_default();
                (above("UNION ALL".into(), of.into_iter().map(|(lines, _)| lines)), columns)
            }
            Self::Join(join) => join.described(telling),
        }
    }
}

impl Source {
    fn described<'a>(&'a self, telling: &Telling<'a>) -> (Vec<String>, Read<'a>) {
        let (lines, columns) = match &self.from {
            From::Readings => (vec!["readings".to_owned()], Vec::new()),
            From::Relation(of) => of.described(telling),
        };
        (lines, Read { schema: telling.schema, columns })
    }

    fn condition(&self, read: &Read<'_>) -> String {
        self.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {}", filter.shown(read)))
    }
}

impl Aggregate {
    fn described<'a>(&'a self, telling: &Telling<'a>) -> (Vec<String>, Vec<String>) {
        let (below, read) = self.source.described(telling);
        let keys = all(&self.keys, &read);
        let calls: Vec<String> = self.calls.iter().map(|call| call.shown(&read)).collect();
        let mut line = format!("AGGREGATE {}{}", calls.join(", "), self.source.condition(&read));
        if !keys.is_empty() {
            line += &format!(" GROUP BY {}", keys.join(", "));
        }
        let bounds = self.window.iter().flat_map(|_| ["window_start", "window_end"].map(str::to_owned));
        if let Some(window) = &self.window {
            line += &format!(" IN {}", window.shown(&read));
        }
        let columns = keys.into_iter().chain(bounds).chain(calls).collect();
        (above(line, [below]), columns)
    }
}

impl Call {
    fn shown(&self, read: &Read<'_>) -> String {
        let arguments = match (&self.arguments[..], self.function) {
            ([], _) => "*".to_owned(),
            (arguments, _) => all(arguments, read).join(", "),
        };
        let filter = self.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", filter.shown(read)));
        let filter = filter.unwrap_or_default();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        match self.function {
            Function::PercentileCont(fraction) | Function::PercentileDisc(fraction) => {
                let (power, places) = (10i64.pow(fraction.scale.into()), usize::from(fraction.scale));
                let part = format!("{}.{:0places$}", fraction.units / power, fraction.units % power);
                format!("{}({part}) WITHIN GROUP (ORDER BY {arguments}){filter}", self.function)
            }
            function => format!("{function}({distinct}{arguments}){filter}"),
        }
    }
}

impl Window {
    fn shown(&self, read: &Read<'_>) -> String {
        let time = self.time.shown(read);
        let kind = match self.kind {
            WindowKind::Hop { slide, size } if slide == size => {
                format!("windows of {} by {time}", span(size))
            }
            WindowKind::Hop { slide, size } => {
                format!("windows of {} by {time}, one each {}", span(size), span(slide))
            }
            WindowKind::Session { gap } => format!("sessions by {time}, with gaps of {}", span(gap)),
        };
        format!("{kind} ({})", self.patience.shown())
    }
}

impl Patience {
    fn shown(&self) -> String {
        format!("grace {}, idle {}", span(self.grace), span(self.idle))
    }
}

impl Join {
    fn described<'a>(&'a self, telling: &Telling<'a>) -> (Vec<String>, Vec<String>) {
        let (left_lines, left) = self.left.described(telling);
        let (right_lines, right) = self.right.described(telling);
        let [left, right] = [left, right].map(|columns| Read { schema: telling.schema, columns });
        let keys = self.keys.iter().map(|(a, b)| format!("{} = {}", a.shown(&left), b.shown(&right)));
        let mut line = format!("JOIN ON {}", keys.collect::<Vec<_>>().join(" AND "));
        if let Some(Bound { left: a, right: b, from, to, patience }) = &self.bound {
            let difference = format!("{} - {}", b.shown(&right), a.shown(&left));
            line +=
                &format!(" AND {difference} FROM {} TO {} ({})", span(*from), span(*to), patience.shown());
        }
        if let Some(limit) = self.limit {
            line += &format!(", at most {limit} rows of a key");
        }
        (above(line, [left_lines, right_lines]), [left.columns, right.columns].concat())
    }
}

fn all(expressions: &[Expression], read: &Read<'_>) -> Vec<String> {
    expressions.iter().map(|expression| expression.shown(read)).collect()
}

/// A line above others.
fn above(line: String, below: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let below = below.into_iter().flatten().map(|line| format!("  {line}"));
    std::iter::once(line).chain(below).collect()
}

/// A span of microseconds in its largest unit that divides it.
fn span(micros: i64) -> String {
    const UNITS: [(i64, &str); 5] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    let unit = UNITS.into_iter().find(|(unit, _)| micros != 0 && micros % unit == 0);
    unit.map_or_else(|| format!("{micros}us"), |(unit, name)| format!("{}{name}", micros / unit))
}
