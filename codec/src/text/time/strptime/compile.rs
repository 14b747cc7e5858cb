//! Compiles a format into steps.

use super::date::Date;
use super::fault::FormatFault;
use super::format::Format;
use super::part::Part;
use super::step::{Number, Step};

/// The directives, in the order in which an error lists them.
const KNOWN: &str = "YymdjBbAaHIpMSfzZGVUWuwDFRTrcxXheklnt%";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const HALVES: [&str; 2] = ["AM", "PM"];

impl Format {
    /// Compiles a format.
    pub(in crate::text::time) fn new(format: &str) -> Result<Self, FormatFault> {
        let mut compiler = Compiler::default();
        compiler.compile(format)?;
        compiler.finish()
    }
}

#[derive(Default)]
struct Compiler {
    steps: Vec<Step>,
    parts: Vec<Part>,
}

impl Compiler {
    fn compile(&mut self, text: &str) -> Result<(), FormatFault> {
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '%' => self.directive(chars.next().ok_or(FormatFault::End)?)?,
                blank if blank.is_whitespace() => self.blanks(),
                char => self.literal(char)?,
            }
        }
        Ok(())
    }

    fn directive(&mut self, directive: char) -> Result<(), FormatFault> {
        let step = match directive {
            'Y' => number(Part::Year, (4, 4), (0, 9999)),
            'y' => number(Part::ShortYear, (2, 2), (0, 99)),
            'm' => number(Part::Month, (1, 2), (1, 12)),
            'd' | 'e' => padded(Part::Day, (1, 31)),
            'j' => number(Part::DayOfYear, (1, 3), (1, 366)),
            'B' => name(Part::Month, &MONTHS, 1),
            'b' | 'h' => short_name(Part::Month, &MONTHS, 1),
            'A' => name(Part::DayOfWeek, &DAYS, 0),
            'a' => short_name(Part::DayOfWeek, &DAYS, 0),
            'u' => number(Part::DayOfWeek, (1, 1), (1, 7)),
            'w' => number(Part::DayOfWeek, (1, 1), (0, 6)),
            'G' => number(Part::IsoYear, (4, 4), (0, 9999)),
            'V' => number(Part::IsoWeek, (1, 2), (1, 53)),
            'U' => number(Part::SundayWeek, (1, 2), (0, 53)),
            'W' => number(Part::MondayWeek, (1, 2), (0, 53)),
            'H' => number(Part::Hour, (1, 2), (0, 23)),
            'k' => padded(Part::Hour, (0, 23)),
            'I' => number(Part::HalfDayHour, (1, 2), (1, 12)),
            'l' => padded(Part::HalfDayHour, (1, 12)),
            'p' => name(Part::HalfDay, &HALVES, 0),
            'M' => number(Part::Minute, (1, 2), (0, 59)),
            // A 60th second matches, so that its digits are not taken apart, but it is no time.
            'S' => number(Part::Second, (1, 2), (0, 61)),
            'f' => (Part::Fraction, Step::Fraction),
            'z' => (Part::Offset, Step::Offset),
            'Z' => (Part::ZoneName, Step::ZoneName { has_offset: false }),
            'D' | 'x' => return self.compile("%m/%d/%y"),
            'F' => return self.compile("%Y-%m-%d"),
            'R' => return self.compile("%H:%M"),
            'T' | 'X' => return self.compile("%H:%M:%S"),
            'r' => return self.compile("%I:%M:%S %p"),
            'c' => return self.compile("%a %b %d %H:%M:%S %Y"),
            'n' | 't' => {
                self.blanks();
                return Ok(());
            }
            '%' => return self.literal('%'),
            's' => return Err(FormatFault::Epoch),
            flag @ ('-' | '_' | '0' | '^' | '#') => return Err(FormatFault::Flag(flag)),
            directive => return Err(FormatFault::Unknown { directive, known: known() }),
        };
        let (part, step) = step;
        if self.parts.iter().any(|other| other.name() == part.name()) {
            return Err(FormatFault::Twice { directive, part: part.name() });
        }
        if matches!(step, Step::Number(_)) {
            self.begin_digits()?;
        }
        self.parts.push(part);
        self.steps.push(step);
        Ok(())
    }

    fn blanks(&mut self) {
        if !matches!(self.steps.last(), Some(Step::Blanks)) {
            self.steps.push(Step::Blanks);
        }
    }

    fn literal(&mut self, char: char) -> Result<(), FormatFault> {
        if char.is_ascii_digit() {
            self.begin_digits()?;
        }
        match self.steps.last_mut() {
            Some(Step::Literal(text)) => text.push(char),
            _ => self.steps.push(Step::Literal(char.into())),
        }
        Ok(())
    }

    fn begin_digits(&self) -> Result<(), FormatFault> {
        match self.steps.last() {
            Some(Step::Fraction) => Err(FormatFault::AfterFraction),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Format, FormatFault> {
        let has = |part: Part| self.parts.contains(&part);
        if has(Part::HalfDayHour) && !has(Part::HalfDay) {
            return Err(FormatFault::NoHalfDay);
        }
        let has_year = has(Part::Year) || has(Part::ShortYear);
        let date = if has_year && has(Part::Month) && has(Part::Day) {
            Date::Month
        } else if has_year && has(Part::DayOfYear) {
            Date::DayOfYear
        } else if has_year && has(Part::SundayWeek) && has(Part::DayOfWeek) {
            Date::Week(Part::SundayWeek, 0)
        } else if has_year && has(Part::MondayWeek) && has(Part::DayOfWeek) {
            Date::Week(Part::MondayWeek, 1)
        } else if has(Part::IsoYear) && has(Part::IsoWeek) && has(Part::DayOfWeek) {
            Date::IsoWeek
        } else {
            return Err(FormatFault::NoDate);
        };
        let with_offset = has(Part::Offset);
        let mut next_takes_digits = false;
        for step in self.steps.iter_mut().rev() {
            match step {
                Step::Number(number) => number.gives_back = next_takes_digits,
                Step::ZoneName { has_offset } => *has_offset = with_offset,
                _ => {}
            }
            next_takes_digits = step.takes_digits();
        }
        Ok(Format { steps: self.steps, date })
    }
}

fn number(part: Part, digits: (usize, usize), range: (i64, i64)) -> (Part, Step) {
    (part, Step::Number(Number { part, digits, range, is_padded: false, gives_back: false }))
}

fn padded(part: Part, range: (i64, i64)) -> (Part, Step) {
    (part, Step::Number(Number { part, digits: (1, 2), range, is_padded: true, gives_back: false }))
}

fn name(part: Part, names: &'static [&'static str], first: i64) -> (Part, Step) {
    (part, Step::Name { part, names, first, is_short: false })
}

fn short_name(part: Part, names: &'static [&'static str], first: i64) -> (Part, Step) {
    (part, Step::Name { part, names, first, is_short: true })
}

fn known() -> String {
    KNOWN.chars().map(|directive| format!("%{directive}")).collect::<Vec<_>>().join(" ")
}
