//! Expressions of rows.

use dataflows::expression::{Arithmetic, Comparison, Expression, Mismatch, Rounding, Test};

use super::{Choices, Said, Scope, Wanted, is};
use crate::stream::{DAY, MINUTE, TEXTS};

/// Units, decimal places and text of numbers.
const NUMBERS: [(i128, u8, &str); 11] = [
    (1, 0, "1"),
    (0, 0, "0"),
    (2, 0, "2"),
    (5, 1, "0.5"),
    (82, 0, "82"),
    (3, 9, "0.000000003"),
    (1, 12, "1e-12"),
    (25, 2, ".25"),
    (100_000_000_000_000_000_000, 0, "1E20"),
    (1, 30, "0.000000000000000000000000000001"),
    (12_345_678_901_234_567_890_123, 3, "12345678901234567890.123"),
];

const TIMES: [(i64, &str); 4] = [
    (0, "1970-01-01 00:00:00"),
    (-MINUTE, "1969-12-31 23:59:00"),
    (DAY + 5 * MINUTE, "2023-04-10 00:05:00.000000"),
    (DAY, "2023-04-10"),
];

/// The text of a pattern, and its escape character.
const PATTERNS: [(&str, Option<char>, &str); 8] = [
    ("%", Some('\\'), ""),
    ("a%", Some('\\'), ""),
    ("_", Some('\\'), ""),
    ("%b", Some('\\'), ""),
    ("", Some('\\'), ""),
    ("%!%", Some('!'), " ESCAPE '!'"),
    ("%\\%%", Some('\\'), ""),
    ("_\\_%", None, " ESCAPE ''"),
];

/// Spans of time, and their texts.
const SPANS: [(i64, &str); 6] = [
    (MINUTE, "1 minute"),
    (3 * MINUTE, "3 minutes"),
    (1, "1 microsecond"),
    (90_000_000, "1 minute 30 seconds"),
    (0, "0 seconds"),
    (86_400_000_000, "1 day"),
];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn joined(all: &[Said], by: &str) -> String {
    all.iter().map(|one| &*one.text).collect::<Vec<_>>().join(by)
}

fn its(all: Vec<Said>) -> Vec<Expression> {
    all.into_iter().map(|one| one.it).collect()
}

impl Choices<'_> {
    pub(super) fn leaf(&mut self, scope: &Scope, wanted: Wanted) -> Said {
        let columns: Vec<Said> = scope.of(wanted).into_iter().cloned().collect();
        if !columns.is_empty() && !self.once_in(5) {
            return self.one(&columns);
        }
        self.constant(wanted)
    }

    pub(super) fn constant(&mut self, wanted: Wanted) -> Said {
        match wanted {
            Wanted::Number => {
                let (units, scale, text) = self.one(&NUMBERS);
                let it = Expression::number(units, scale).unwrap();
                match self.once_in(4) {
                    true => Said { it: it.negated().unwrap(), text: format!("(-{text})") },
                    false => Said { it, text: text.to_owned() },
                }
            }
            Wanted::Text => {
                let text = self.one(&TEXTS);
                Said { it: Expression::text(text), text: quoted(text) }
            }
            Wanted::Time => {
                let (time, text) = self.one(&TIMES);
                let word = if text.len() == 10 { "DATE" } else { "TIMESTAMP" };
                Said { it: Expression::timestamp(time), text: format!("{word} '{text}'") }
            }
            Wanted::Truth => {
                let holds = self.below(2) == 0;
                Said { it: Expression::truth(holds), text: if holds { "TRUE" } else { "false" }.into() }
            }
        }
    }

    /// An operand: rarely NULL.
    fn operand(&mut self, scope: &Scope, wanted: Wanted) -> Said {
        match self.once_in(24) {
            true => Said { it: Expression::null(), text: "NULL".into() },
            false => self.leaf(scope, wanted),
        }
    }

    /// An operand that is compared with a column of the same type: the text of a time may be a time.
    fn compared(&mut self, scope: &Scope, wanted: Wanted, depth: usize) -> Said {
        if wanted == Wanted::Time && self.once_in(4) {
            let (time, text) = self.one(&TIMES);
            return Said { it: Expression::timestamp(time), text: quoted(text) };
        }
        match self.once_in(3) {
            true => self.operand(scope, wanted),
            false => self.expression(scope, wanted, depth),
        }
    }

    fn several(&mut self, scope: &Scope, wanted: Wanted) -> Vec<Said> {
        (0..1 + self.below(3)).map(|_| self.operand(scope, wanted)).collect()
    }

    /// An expression of at most so many levels.
    pub(super) fn expression(&mut self, scope: &Scope, wanted: Wanted, depth: usize) -> Said {
        if depth == 0 {
            return self.leaf(scope, wanted);
        }
        let depth = depth - 1;
        let (it, text) = match self.below(16) {
            0..6 => return self.leaf(scope, wanted),
            6 => self.case(scope, wanted, depth),
            7 => self.switch(scope, wanted),
            8 => {
                let all = [vec![self.operand(scope, wanted)], self.several(scope, wanted)].concat();
                let name = if all.len() == 2 { "IFNULL" } else { "COALESCE" };
                let text = format!("{name}({})", joined(&all, ", "));
                (Expression::coalesce(its(all)), text)
            }
            9 => {
                let (a, b) = (self.leaf(scope, wanted), self.operand(scope, wanted));
                (a.it.null_if(b.it), format!("NULLIF({}, {})", a.text, b.text))
            }
            10 => {
                let all = self.several(scope, wanted);
                let text = joined(&all, ", ");
                match self.below(2) {
                    0 => (Expression::greatest(its(all)), format!("GREATEST({text})")),
                    _ => (Expression::least(its(all)), format!("Least({text})")),
                }
            }
            _ => self.typed(scope, wanted, depth),
        };
        match it {
            Ok(it) if is(&it, wanted) => Said { it, text },
            _ => self.leaf(scope, wanted),
        }
    }

    fn case(
        &mut self,
        scope: &Scope,
        wanted: Wanted,
        depth: usize,
    ) -> (Result<Expression, Mismatch>, String) {
        let branches: Vec<(Said, Said)> = (0..1 + self.below(2))
            .map(|_| (self.expression(scope, Wanted::Truth, depth), self.operand(scope, wanted)))
            .collect();
        let last = (self.below(2) == 0).then(|| self.operand(scope, wanted));
        let text = match (&branches[..], &last) {
            ([(when, then)], Some(last)) if self.below(2) == 0 => {
                format!("IF({}, {}, {})", when.text, then.text, last.text)
            }
            _ => {
                let branch = |(when, then): &(Said, Said)| format!(" WHEN {} THEN {}", when.text, then.text);
                let last = last.as_ref().map_or_else(String::new, |last| format!(" ELSE {}", last.text));
                format!("CASE{}{last} END", branches.iter().map(branch).collect::<String>())
            }
        };
        let branches = branches.into_iter().map(|(when, then)| (when.it, then.it)).collect();
        (Expression::case(branches, last.map_or_else(Expression::null, |last| last.it)), text)
    }

    fn switch(&mut self, scope: &Scope, wanted: Wanted) -> (Result<Expression, Mismatch>, String) {
        let of_type = self.any();
        let of = self.leaf(scope, of_type);
        let branches: Vec<(Said, Said)> = (0..1 + self.below(2))
            .map(|_| (self.operand(scope, of_type), self.operand(scope, wanted)))
            .collect();
        let last = (self.below(2) == 0).then(|| self.operand(scope, wanted));
        let branch = |(when, then): &(Said, Said)| format!(" WHEN {} THEN {}", when.text, then.text);
        let otherwise = last.as_ref().map_or_else(String::new, |last| format!(" ELSE {}", last.text));
        let text =
            format!("CASE {}{}{otherwise} END", of.text, branches.iter().map(branch).collect::<String>());
        let branches = branches.into_iter().map(|(when, then)| (when.it, then.it)).collect();
        (of.it.switch(branches, last.map_or_else(Expression::null, |last| last.it)), text)
    }

    pub(super) fn typed(
        &mut self,
        scope: &Scope,
        wanted: Wanted,
        depth: usize,
    ) -> (Result<Expression, Mismatch>, String) {
        match wanted {
            Wanted::Number => self.number(scope, depth),
            Wanted::Text => {
                let Said { it, text } = self.leaf(scope, wanted);
                (Ok(it), text)
            }
            Wanted::Time => {
                let of = self.leaf(scope, wanted);
                let (by, text) = self.one(&SPANS);
                match self.below(3) {
                    0 => (of.it.shifted(by), format!("({} + INTERVAL '{text}')", of.text)),
                    1 => (of.it.shifted(-by), format!("({} - INTERVAL '{text}')", of.text)),
                    _ => (of.it.shifted(by), format!("(INTERVAL '{text}' + {})", of.text)),
                }
            }
            Wanted::Truth => self.truth(scope, depth),
        }
    }

    fn number(&mut self, scope: &Scope, depth: usize) -> (Result<Expression, Mismatch>, String) {
        let wanted = Wanted::Number;
        match self.below(11) {
            0 => {
                let of = self.expression(scope, wanted, depth);
                (of.it.negated(), format!("(- {})", of.text))
            }
            1 => {
                let of = self.expression(scope, wanted, depth);
                (of.it.absolute(), format!("ABS({})", of.text))
            }
            2 | 3 => {
                let of = self.expression(scope, wanted, depth);
                (of.it.to_real(), format!("CAST({} AS DOUBLE)", of.text))
            }
            4 => {
                let (rounding, places, name) = self.one(&[
                    (Rounding::Floor, 0, "FLOOR("),
                    (Rounding::Nearest, 2, "ROUND("),
                    (Rounding::Ceiling, 0, "CEIL("),
                    (Rounding::Nearest, 0, "ROUND("),
                    (Rounding::Nearest, 10, "ROUND("),
                ]);
                let of = self.expression(scope, wanted, depth);
                let places_text = if places > 0 { format!(", {places}") } else { String::new() };
                (of.it.round(rounding, places), format!("{name}{}{places_text})", of.text))
            }
            5 => {
                let (a, b) = (self.leaf(scope, Wanted::Time), self.leaf(scope, Wanted::Time));
                (Expression::elapsed(a.it, b.it), format!("({} - {})", a.text, b.text))
            }
            _ => {
                let (op, sign) = self.one(&[
                    (Arithmetic::Add, "+"),
                    (Arithmetic::Subtract, "-"),
                    (Arithmetic::Multiply, "*"),
                    (Arithmetic::Divide, "/"),
                    (Arithmetic::Remainder, "%"),
                    (Arithmetic::Remainder, "MOD"),
                ]);
                let a = self.expression(scope, wanted, depth);
                let b = match self.once_in(16) {
                    true => self.operand(scope, wanted),
                    false => self.expression(scope, wanted, depth),
                };
                let text = match sign {
                    "MOD" => format!("MOD({}, {})", a.text, b.text),
                    _ => format!("({} {sign} {})", a.text, b.text),
                };
                (Expression::arithmetic(op, a.it, b.it), text)
            }
        }
    }

    fn truth(&mut self, scope: &Scope, depth: usize) -> (Result<Expression, Mismatch>, String) {
        let negated = |is_negated: bool, of: Result<Expression, Mismatch>| match is_negated {
            true => of.and_then(Expression::negation),
            false => of,
        };
        match self.below(14) {
            place @ (0 | 1) => {
                let all: Vec<Said> =
                    (0..2 + self.below(2)).map(|_| self.expression(scope, Wanted::Truth, depth)).collect();
                let by = [" AND ", " OR "][place];
                let text = format!("({})", joined(&all, by));
                (if place == 0 { Expression::and(its(all)) } else { Expression::or(its(all)) }, text)
            }
            2 => {
                let of = self.expression(scope, Wanted::Truth, depth);
                (of.it.negation(), format!("(NOT {})", of.text))
            }
            3 => {
                let of_type = self.any();
                let of = self.expression(scope, of_type, depth);
                match self.below(2) {
                    0 => (of.it.is(Test::Null), format!("({} IS NULL)", of.text)),
                    _ => (negated(true, of.it.is(Test::Null)), format!("({} IS NOT NULL)", of.text)),
                }
            }
            4 => {
                let (test, name) = self.one(&[(Test::True, "TRUE"), (Test::False, "FALSE")]);
                let is_negated = self.below(2) == 1;
                let of = self.expression(scope, Wanted::Truth, depth);
                let not = if is_negated { "NOT " } else { "" };
                (negated(is_negated, of.it.is(test)), format!("({} IS {not}{name})", of.text))
            }
            5 => {
                let (of_type, is_negated) = (self.any(), self.once_in(3));
                let of = self.leaf(scope, of_type);
                let (low, high) = (self.compared(scope, of_type, 0), self.compared(scope, of_type, 0));
                let not = if is_negated { "NOT " } else { "" };
                let text = format!("({} {not}BETWEEN {} AND {})", of.text, low.text, high.text);
                (negated(is_negated, of.it.between(low.it, high.it)), text)
            }
            6 => {
                let (of_type, is_negated) = (self.any(), self.once_in(3));
                let of = self.leaf(scope, of_type);
                let list: Vec<Said> =
                    (0..1 + self.below(3)).map(|_| self.compared(scope, of_type, 0)).collect();
                let not = if is_negated { "NOT " } else { "" };
                let text = format!("({} {not}IN ({}))", of.text, joined(&list, ", "));
                (negated(is_negated, of.it.is_in(its(list))), text)
            }
            7 => {
                let (pattern, escape, clause) = self.one(&PATTERNS);
                let is_negated = self.once_in(3);
                let of = self.leaf(scope, Wanted::Text);
                let not = if is_negated { "NOT " } else { "" };
                let text = format!("({} {not}LIKE {}{clause})", of.text, quoted(pattern));
                (negated(is_negated, of.it.like(pattern, escape)), text)
            }
            _ => {
                let of_type = self.any();
                let (op, sign) = self.one(&[
                    (Comparison::Greater, ">"),
                    (Comparison::LessOrEqual, "<="),
                    (Comparison::Equal, "="),
                    (Comparison::NotEqual, "<>"),
                    (Comparison::Less, "<"),
                    (Comparison::GreaterOrEqual, ">="),
                ]);
                // A text literal is a time only next to one.
                let a = self.expression(scope, of_type, depth);
                let b = self.compared(scope, of_type, depth);
                (Expression::compare(op, a.it, b.it), format!("({} {sign} {})", a.text, b.text))
            }
        }
    }

    /// A condition, or none.
    pub(super) fn filter(&mut self, scope: &Scope, chances: usize) -> Option<Said> {
        if !self.once_in(chances) {
            return None;
        }
        let (it, text) = self.truth(scope, 1);
        it.ok().filter(|one| is(one, Wanted::Truth)).map(|it| Said { it, text })
    }
}
