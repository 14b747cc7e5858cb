//! Columns of intermediate values: one value per row, or one for all rows.

use std::borrow::Cow;
use std::sync::Arc;

use crate::rows::NULL;

/// Truth values of SQL, in an order in which AND is the minimum, OR the maximum and NOT `2 - x`.
pub(super) const FALSE: u8 = 0;
pub(super) const UNKNOWN: u8 = 1;
pub(super) const TRUE: u8 = 2;

/// The truth value of a boolean.
#[inline]
pub(super) fn truth(holds: bool) -> u8 {
    2 * u8::from(holds)
}

/// A value for each row.
#[derive(Clone, Debug)]
pub(super) enum Vector<'a, T> {
    Borrowed(&'a [T]),
    Owned(Vec<T>),
    Constant(T),
}

impl<T: Copy> Vector<'_, T> {
    #[inline]
    pub(super) fn get(&self, row: usize) -> T {
        match self {
            Self::Borrowed(values) => values[row],
            Self::Owned(values) => values[row],
            Self::Constant(value) => *value,
        }
    }

    /// The values, if there is one for each row.
    fn slice(&self) -> Result<&[T], T> {
        match self {
            Self::Borrowed(values) => Ok(values),
            Self::Owned(values) => Ok(values),
            Self::Constant(value) => Err(*value),
        }
    }

    pub(super) fn map<R>(&self, f: impl Fn(T) -> R) -> Vector<'static, R> {
        match self.slice() {
            Ok(values) => Vector::Owned(values.iter().map(|&value| f(value)).collect()),
            Err(value) => Vector::Constant(f(value)),
        }
    }

    pub(super) fn into_vec(self, rows: usize) -> Vec<T> {
        match self {
            Self::Borrowed(values) => values.to_vec(),
            Self::Owned(values) => values,
            Self::Constant(value) => vec![value; rows],
        }
    }
}

/// Combines the values of two columns row by row.
pub(super) fn zip<A: Copy, B: Copy, R>(
    a: &Vector<'_, A>,
    b: &Vector<'_, B>,
    f: impl Fn(A, B) -> R,
) -> Vector<'static, R> {
    match (a.slice(), b.slice()) {
        (Ok(a), Ok(b)) => Vector::Owned(a.iter().zip(b).map(|(&x, &y)| f(x, y)).collect()),
        (Ok(a), Err(y)) => Vector::Owned(a.iter().map(|&x| f(x, y)).collect()),
        (Err(x), Ok(b)) => Vector::Owned(b.iter().map(|&y| f(x, y)).collect()),
        (Err(x), Err(y)) => Vector::Constant(f(x, y)),
    }
}

/// The units of a decimal: 64 bits if its bound allows, otherwise 128. The least value is NULL.
pub(super) trait Unit: Copy {
    fn wide(self) -> Option<i128>;
    fn of(wide: Option<i128>) -> Self;
}

impl Unit for i64 {
    #[inline]
    fn wide(self) -> Option<i128> {
        (self != NULL).then_some(self.into())
    }

    #[inline]
    fn of(wide: Option<i128>) -> Self {
        wide.map_or(NULL, |value| value as i64) // fits: the bound of its decimal was checked
    }
}

impl Unit for i128 {
    #[inline]
    fn wide(self) -> Option<i128> {
        (self != i128::MIN).then_some(self)
    }

    #[inline]
    fn of(wide: Option<i128>) -> Self {
        wide.unwrap_or(i128::MIN)
    }
}

/// Texts; `None` is NULL.
#[derive(Clone, Debug)]
pub(super) enum Texts<'a> {
    /// From a dictionary.
    Names(&'a [Arc<str>], Cow<'a, [u32]>),
    Values(Cow<'a, [Option<Arc<str>>]>),
    Constant(Option<Arc<str>>),
}

impl Texts<'_> {
    pub(super) fn get(&self, row: usize) -> Option<&Arc<str>> {
        match self {
            Self::Names(names, index) => Some(&names[index[row] as usize]),
            Self::Values(values) => values[row].as_ref(),
            Self::Constant(value) => value.as_ref(),
        }
    }

    /// Tests each text; each name of a dictionary is tested only once.
    pub(super) fn test(&self, holds: impl Fn(&str) -> bool) -> Vector<'static, u8> {
        let of = |text: Option<&Arc<str>>| text.map_or(UNKNOWN, |text| truth(holds(text)));
        match self {
            Self::Names(names, index) => {
                let of_names: Vec<u8> = names.iter().map(|name| of(Some(name))).collect();
                Vector::Owned(index.iter().map(|&place| of_names[place as usize]).collect())
            }
            Self::Values(values) => Vector::Owned(values.iter().map(|text| of(text.as_ref())).collect()),
            Self::Constant(text) => Vector::Constant(of(text.as_ref())),
        }
    }
}

/// The values of an expression.
#[derive(Clone, Debug)]
pub(super) enum Values<'a> {
    /// Decimals in 64 bits, and times.
    Units(Vector<'a, i64>),
    /// Decimals in 128 bits.
    Wide(Vector<'a, i128>),
    /// Doubles. NaN is NULL.
    Real(Vector<'a, f64>),
    /// Texts.
    Text(Texts<'a>),
    /// [`FALSE`], [`UNKNOWN`] or [`TRUE`].
    Truth(Vector<'a, u8>),
}

/// The panic message for values whose type does not match their expression, which is a bug.
const UNTYPED: &str = "expressions are typed";

impl<'a> Values<'a> {
    pub(super) fn units(&self) -> &Vector<'a, i64> {
        match self {
            Self::Units(values) => values,
            _ => unreachable!("{UNTYPED}"),
        }
    }

    pub(super) fn wides(&self) -> &Vector<'a, i128> {
        match self {
            Self::Wide(values) => values,
            _ => unreachable!("{UNTYPED}"),
        }
    }

    pub(super) fn reals(&self) -> &Vector<'a, f64> {
        match self {
            Self::Real(values) => values,
            _ => unreachable!("{UNTYPED}"),
        }
    }

    pub(super) fn texts(&self) -> &Texts<'a> {
        match self {
            Self::Text(texts) => texts,
            _ => unreachable!("{UNTYPED}"),
        }
    }

    pub(super) fn truths(&self) -> &Vector<'a, u8> {
        match self {
            Self::Truth(values) => values,
            _ => unreachable!("{UNTYPED}"),
        }
    }

    /// The decimal of a row.
    pub(super) fn wide_at(&self, row: usize) -> Option<i128> {
        match self {
            Self::Units(values) => values.get(row).wide(),
            _ => self.wides().get(row).wide(),
        }
    }

    /// Maps each decimal; NULL is none.
    pub(super) fn map_units<R>(&self, f: impl Fn(Option<i128>) -> R) -> Vector<'static, R> {
        match self {
            Self::Units(values) => values.map(|value| f(value.wide())),
            Self::Wide(values) => values.map(|value| f(value.wide())),
            _ => unreachable!("{UNTYPED}"),
        }
    }

    /// Maps each pair of decimals; NULL is none.
    pub(super) fn zip_units<R>(
        &self,
        other: &Self,
        f: impl Fn(Option<i128>, Option<i128>) -> R,
    ) -> Vector<'static, R> {
        match (self, other) {
            (Self::Units(a), Self::Units(b)) => zip(a, b, |x, y| f(x.wide(), y.wide())),
            (Self::Units(a), Self::Wide(b)) => zip(a, b, |x, y| f(x.wide(), y.wide())),
            (Self::Wide(a), Self::Units(b)) => zip(a, b, |x, y| f(x.wide(), y.wide())),
            (Self::Wide(a), Self::Wide(b)) => zip(a, b, |x, y| f(x.wide(), y.wide())),
            _ => unreachable!("{UNTYPED}"),
        }
    }

    /// Whether each row is NULL.
    pub(super) fn nulls(&self, rows: usize) -> Vector<'static, u8> {
        match self {
            Self::Units(values) => values.map(|value| truth(value == NULL)),
            Self::Wide(values) => values.map(|value| truth(value == i128::MIN)),
            Self::Real(values) => values.map(|value| truth(value.is_nan())),
            Self::Text(texts) => {
                Vector::Owned((0..rows).map(|row| truth(texts.get(row).is_none())).collect())
            }
            Self::Truth(values) => values.map(|value| truth(value == UNKNOWN)),
        }
    }
}
