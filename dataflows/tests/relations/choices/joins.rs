//! Joins, with and without a bound on the difference of times.

use dataflows::expression::{Arithmetic, Expression, Kind};
use dataflows::relation::{Bound, From, Join, Relation, Source};

use super::relations::{Plan, Rows};
use super::{Choices, Column, Said, Scope, Wanted};
use crate::stream::MINUTE;

impl Choices<'_> {
    pub(super) fn join(&mut self, depth: usize) -> Plan {
        let rows = self.pairs(depth);
        let filter = self.filter(&rows.scope, 4);
        let columns = rows.scope.columns.clone();
        self.selected(rows, filter, columns, None)
    }

    /// A side's value for an equality, or a time: a column, or something computed of it.
    fn of_side(&mut self, column: &Said, wanted: Wanted) -> Said {
        let (it, text) = match (wanted, self.below(8)) {
            (Wanted::Number, 6) => (column.it.clone().absolute(), format!("ABS({})", column.text)),
            (Wanted::Number, 7) => {
                let one = Expression::number(15, 1).unwrap();
                let sum = Expression::arithmetic(Arithmetic::Add, column.it.clone(), one);
                (sum, format!("({} + 1.5)", column.text))
            }
            (Wanted::Truth, 7) => (column.it.clone().negation(), format!("(NOT {})", column.text)),
            _ => return column.clone(),
        };
        Said { it: it.expect("it takes this type"), text }
    }

    /// The pairs of two relations that match.
    pub(super) fn pairs(&mut self, depth: usize) -> Rows {
        let left = self.plan(depth - 1, false);
        let right = if self.below(3) == 0 { left.clone() } else { self.plan(depth - 1, false) };
        let (left, right) = (self.rows(left, true), self.rows(right, true));
        let Some(mut key) = self.key(&left.scope, &right.scope) else { return left };
        let (mut keys, mut text) = (Vec::new(), String::new());
        loop {
            let (a, b) = key;
            let (first, second) = if self.once_in(4) { (&b.text, &a.text) } else { (&a.text, &b.text) };
            text += &format!("{first} = {second} AND ");
            keys.push((a.it, b.it));
            let more = keys.len() < 3 && self.once_in(3);
            key = match more.then(|| self.key(&left.scope, &right.scope)).flatten() {
                Some(key) => key,
                None => break,
            };
        }
        let bound = self.bound(&left.scope, &right.scope, &mut text);
        let (Rows { from: From::Relation(one), .. }, Rows { from: From::Relation(other), .. }) =
            (&left, &right)
        else {
            unreachable!("both are relations")
        };
        let join = Join { left: (**one).clone(), right: (**other).clone(), keys, bound, limit: self.limit };
        let relation = Relation::Join(Box::new(join));
        let columns = [left.scope.columns, right.scope.columns].concat();
        let of_both = Expression::of_columns(&relation.columns());
        let columns: Vec<Column> = columns
            .into_iter()
            .zip(of_both)
            .map(|(column, it)| Column { said: Said { it, ..column.said }, ..column })
            .collect();
        let scope = Scope { columns, event_time: None };
        let mut from = From::Relation(Box::new(relation));
        // Any other condition is one on the pairs.
        let residual = self.filter(&scope, 4);
        if let Some(filter) = residual {
            text += &format!("{} AND ", filter.text);
            let source = Source { from, filter: Some(filter.it) };
            from = From::Relation(Box::new(Relation::Select { source, columns: scope.expressions() }));
        }
        let text = format!("{} JOIN {} ON {}", left.text, right.text, text.trim_end_matches(" AND "));
        Rows { from, text, window: None, scope }
    }

    /// Columns of both sides that may be equal.
    fn key(&mut self, left: &Scope, right: &Scope) -> Option<(Said, Said)> {
        let mut pairs: Vec<(Wanted, Said, Said)> = Vec::new();
        for wanted in [Wanted::Text, Wanted::Time, Wanted::Number, Wanted::Truth] {
            for a in left.of(wanted) {
                for b in right.of(wanted) {
                    pairs.push((wanted, a.clone(), b.clone()));
                }
            }
        }
        if pairs.is_empty() {
            return None;
        }
        let (wanted, a, b) = self.one(&pairs);
        let (a, b) = (self.of_side(&a, wanted), self.of_side(&b, wanted));
        // A decimal and a double are compared exactly, so neither is a key.
        if (a.it.kind() == Kind::Real) != (b.it.kind() == Kind::Real) {
            return None;
        }
        let both = Expression::alike(vec![a.it.clone(), b.it.clone()]).ok()?;
        let [x, y] = <[Expression; 2]>::try_from(both).ok()?;
        ((x.kind() == Kind::Real) == (y.kind() == Kind::Real))
            .then_some((Said { it: x, ..a }, Said { it: y, ..b }))
    }

    /// A bound on the difference of times, which the text gets.
    fn bound(&mut self, left: &Scope, right: &Scope, text: &mut String) -> Option<Bound> {
        let times =
            [left, right].map(|side| side.of(Wanted::Time).into_iter().cloned().collect::<Vec<Said>>());
        if times.iter().any(Vec::is_empty) || self.below(2) == 0 {
            return None;
        }
        let (from, to) = self.one(&[
            (-MINUTE, MINUTE),
            (0, 0),
            (0, 5 * MINUTE),
            (-3 * MINUTE, 0),
            (MINUTE, 2 * MINUTE),
            (-9 * MINUTE, -2 * MINUTE),
            (2 * MINUTE, MINUTE),
        ]);
        let (left, right) = (self.one(&times[0]), self.one(&times[1]));
        let (a, b) = (&left.text, &right.text);
        let at = |time: &str, by: i64| match by {
            0 => time.to_owned(),
            1.. => format!("{time} + INTERVAL '{by} microseconds'"),
            _ => format!("{time} - INTERVAL '{} us'", -by),
        };
        *text += &match self.below(4) {
            0 => format!("{b} BETWEEN {} AND {} AND ", at(a, from), at(a, to)),
            1 => format!("{b} >= {} AND {b} <= {} AND ", at(a, from), at(a, to)),
            2 => format!("{b} > {} AND {} > {b} AND ", at(a, from - 1), at(a, to + 1)),
            _ => format!("({a} <= {} AND {} <= {a}) AND ", at(b, -from), at(b, -to)),
        };
        Some(Bound { left: left.it, right: right.it, from, to, patience: self.patience })
    }
}
