//! Sketches from random bytes.

use super::sketch::Sketch;
use super::{TEXTS, field};
use crate::expression::{Arithmetic, Comparison, Rounding, Test};

/// Builds sketches from random bytes, so that failing ones shrink with them.
pub(super) struct Choices<'a>(pub std::slice::Iter<'a, u8>);

const PATTERNS: [&str; 5] = ["%", "a%", "_", "%b_%", "ab"];
pub(super) const OPS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    Number,
    Text,
    Time,
    Truth,
}

impl Choices<'_> {
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }

    pub fn leaf(&mut self, wanted: Wanted) -> Sketch {
        match wanted {
            Wanted::Number => match self.below(10) {
                0 => Sketch::Null,
                1 | 2 => {
                    let units = [0, 1, 5, 82, -25, 1_000_000_007, 1 << 53, i128::MAX, -i128::MAX];
                    let scale = [0, 1, 3, 9, 10, 20, 38][self.below(7)];
                    Sketch::Number(units[self.below(units.len())], scale)
                }
                place => Sketch::Field(field(
                    [
                        "oil",
                        "load",
                        "gear",
                        "distance_covered",
                        "engine_speed",
                        "engine_speed",
                        "fuel_consumed",
                    ][place - 3],
                )),
            },
            Wanted::Text => match self.below(5) {
                0 => Sketch::Null,
                1 => Sketch::Text(TEXTS[self.below(TEXTS.len())]),
                2 => Sketch::Field(field("truck_id")),
                _ => Sketch::Field(field("driver")),
            },
            Wanted::Time => match self.below(5) {
                0 => Sketch::Null,
                1 => Sketch::Time([0, 1, -5, 1_000_000][self.below(4)]),
                2 => Sketch::Field(field("sent")),
                _ => Sketch::Field(field("timestamp")),
            },
            Wanted::Truth => match self.below(4) {
                0 => Sketch::Null,
                3 => Sketch::Field(field("ignition")),
                other => Sketch::Truth(other == 1),
            },
        }
    }

    fn list(&mut self, wanted: Wanted, depth: usize) -> Vec<Sketch> {
        (0..1 + self.below(3)).map(|_| self.sketch(wanted, depth)).collect()
    }

    fn pairs(&mut self, when: Wanted, then: Wanted, depth: usize) -> Vec<(Sketch, Sketch)> {
        (0..1 + self.below(2)).map(|_| (self.sketch(when, depth), self.sketch(then, depth))).collect()
    }

    pub fn any(&mut self) -> Wanted {
        [Wanted::Number, Wanted::Number, Wanted::Text, Wanted::Time, Wanted::Truth][self.below(5)]
    }

    pub fn sketch(&mut self, wanted: Wanted, depth: usize) -> Sketch {
        if depth == 0 || self.0.len() == 0 {
            return self.leaf(wanted);
        }
        let depth = depth - 1;
        // Nodes of every type.
        match self.below(10) {
            0 => return self.leaf(wanted),
            1 => {
                let branches = self.pairs(Wanted::Truth, wanted, depth);
                return Sketch::Case(branches, self.sketch(wanted, depth).into());
            }
            2 => {
                let of = self.any();
                let value = self.sketch(of, depth);
                let branches = self.pairs(of, wanted, depth);
                return Sketch::Switch(value.into(), branches, self.sketch(wanted, depth).into());
            }
            3 => {
                return match self.below(4) {
                    0 => Sketch::Coalesce(self.list(wanted, depth)),
                    1 => Sketch::Greatest(self.list(wanted, depth)),
                    2 => Sketch::Least(self.list(wanted, depth)),
                    _ => {
                        let a = self.sketch(wanted, depth);
                        Sketch::NullIf(a.into(), self.sketch(wanted, depth).into())
                    }
                };
            }
            _ => {}
        }
        match wanted {
            Wanted::Number => match self.below(10) {
                0 => Sketch::Negated(self.sketch(wanted, depth).into()),
                1 => Sketch::Absolute(self.sketch(wanted, depth).into()),
                2 => Sketch::ToReal(self.sketch(wanted, depth).into()),
                3 | 4 => {
                    let (rounding, places) = [
                        (Rounding::Floor, 0),
                        (Rounding::Ceiling, 0),
                        (Rounding::Nearest, 0),
                        (Rounding::Nearest, 2),
                        (Rounding::Nearest, 22),
                    ][self.below(5)];
                    Sketch::Round(rounding, places, self.sketch(wanted, depth).into())
                }
                other => {
                    let op = [
                        Arithmetic::Add,
                        Arithmetic::Subtract,
                        Arithmetic::Multiply,
                        Arithmetic::Divide,
                        Arithmetic::Remainder,
                    ][other - 5];
                    let a = self.sketch(wanted, depth);
                    Sketch::Arithmetic(op, a.into(), self.sketch(wanted, depth).into())
                }
            },
            Wanted::Truth => match self.below(12) {
                0 => Sketch::And(self.list(wanted, depth)),
                1 => Sketch::Or(self.list(wanted, depth)),
                2 => Sketch::Not(self.sketch(wanted, depth).into()),
                3 => {
                    let of = self.any();
                    Sketch::Is(Test::Null, self.sketch(of, depth).into())
                }
                4 => {
                    let test = [Test::True, Test::False][self.below(2)];
                    Sketch::Is(test, self.sketch(wanted, depth).into())
                }
                5 => {
                    let of = self.any();
                    let value = self.sketch(of, depth);
                    let low = self.sketch(of, depth);
                    Sketch::Between(value.into(), low.into(), self.sketch(of, depth).into())
                }
                6 => {
                    let of = self.any();
                    let value = self.sketch(of, depth);
                    Sketch::In(value.into(), self.list(of, depth))
                }
                7 => {
                    let pattern = PATTERNS[self.below(PATTERNS.len())];
                    Sketch::Like(self.sketch(Wanted::Text, depth).into(), pattern)
                }
                _ => {
                    let of = self.any();
                    let op = OPS[self.below(OPS.len())];
                    let a = self.sketch(of, depth);
                    Sketch::Compare(op, a.into(), self.sketch(of, depth).into())
                }
            },
            Wanted::Text | Wanted::Time => self.leaf(wanted),
        }
    }
}
