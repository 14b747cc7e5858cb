//! Aggregate functions.

use dataflows::relation::{Call, Fraction, Function};

use super::{Choices, Said, Scope, Wanted};

/// Fractions, and their texts.
const FRACTIONS: [(i64, u8, &str); 6] =
    [(5, 1, "0.5"), (0, 0, "0"), (1, 0, "1"), (25, 2, "0.25"), (9, 1, ".9"), (333, 3, "0.333")];

/// A call, and its text.
pub(super) struct Called {
    pub call: Call,
    pub text: String,
}

impl Called {
    /// Whether the value may be 2 ulp off.
    pub fn is_root(&self) -> bool {
        matches!(self.call.function, Function::Stddev(_) | Function::Corr)
    }

    /// Whether it goes by event time.
    pub fn needs_time(&self) -> bool {
        matches!(self.call.function, Function::First | Function::Last)
    }
}

impl Choices<'_> {
    pub(super) fn call(&mut self, scope: &Scope, has_window: bool) -> Called {
        let function = self.one(&Function::ALL);
        let filter = self.filter(scope, 4);
        let clause = filter.as_ref().map_or_else(String::new, |one| format!(" FILTER (WHERE {})", one.text));
        let filter = filter.map(|one| one.it);
        let called = match function {
            Function::Count if self.below(2) == 0 => None,
            Function::First | Function::Last if scope.event_time.is_none() => None,
            Function::Median | Function::PercentileCont(_) | Function::PercentileDisc(_) if !has_window => {
                None
            }
            function => self.called(scope, function, &filter, &clause),
        };
        called.unwrap_or_else(|| Called {
            call: Call::new(Function::Count, Vec::new(), false, filter).unwrap(),
            text: format!("COUNT(*){clause}"),
        })
    }

    fn called(
        &mut self,
        scope: &Scope,
        function: Function,
        filter: &Option<dataflows::expression::Expression>,
        clause: &str,
    ) -> Option<Called> {
        let measure = |choices: &mut Self| {
            let wanted = if choices.once_in(5) { Wanted::Time } else { Wanted::Number };
            choices.expression(scope, wanted, 1)
        };
        let any = |choices: &mut Self| {
            let wanted = choices.any();
            choices.expression(scope, wanted, 1)
        };
        let (arguments, distinct): (Vec<Said>, bool) = match function {
            Function::First | Function::Last | Function::PercentileDisc(_) => (vec![any(self)], false),
            Function::Count | Function::Min | Function::Max => (vec![any(self)], self.below(2) == 1),
            Function::Sum | Function::Avg | Function::Var(_) | Function::Stddev(_) => {
                (vec![measure(self)], self.once_in(3))
            }
            Function::Median | Function::PercentileCont(_) => (vec![measure(self)], false),
            Function::Covar(_) | Function::Corr | Function::Regr(_) => {
                (vec![measure(self), measure(self)], false)
            }
        };
        let texts: Vec<&str> = arguments.iter().map(|one| &*one.text).collect();
        let texts = texts.join(", ");
        let (function, text) = match function {
            Function::PercentileCont(_) | Function::PercentileDisc(_) => {
                let (units, scale, part) = self.one(&FRACTIONS);
                let fraction = Fraction { units, scale };
                let text = format!("{function}({part}) WITHIN GROUP (ORDER BY {texts})");
                match function {
                    Function::PercentileCont(_) => (Function::PercentileCont(fraction), text),
                    _ => (Function::PercentileDisc(fraction), text),
                }
            }
            _ if distinct => (function, format!("{function}(DISTINCT {texts})")),
            _ => (function, format!("{function}({texts})")),
        };
        let arguments = arguments.into_iter().map(|one| one.it).collect();
        let call = Call::new(function, arguments, distinct, filter.clone()).ok()?;
        Some(Called { call, text: format!("{text}{clause}") })
    }
}
