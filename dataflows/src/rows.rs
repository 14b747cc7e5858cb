//! The rows of views, as typed columns.
//!
//! All sinks render the same few column types, so a new view needs no code in any sink.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
pub use crate::null::NULL;
use crate::wide::Wide;

/// The type of a column, from which sinks derive a table's column types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Type {
    /// Microseconds since 1970, UTC.
    Timestamp,
    /// A number with a fixed number of decimal places, in a column of doubles.
    Decimal,
    /// A number with a fixed number of decimal places, in a column that keeps all of them.
    Exact {
        /// Digits of the column, at most 65.
        digits: u8,
        /// Decimal places among them, at most 30.
        scale: u8,
    },
    /// A double.
    Real,
    /// A 64-bit integer.
    Integer,
    /// A short text: names, topics, reasons.
    Text,
    /// Bytes, exactly as received.
    Bytes,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// Microseconds since 1970, UTC. [`NULL`] is NULL.
    Timestamp(Arc<Vec<i64>>),
    /// `value / 10^scale`. [`NULL`] is NULL.
    Decimal {
        /// Decimal places, at most 18.
        scale: u8,
        /// The values times `10^scale`.
        values: Arc<Vec<i64>>,
    },
    /// `value / 10^scale` in 256 bits. `None` is NULL.
    Wide {
        /// Decimal places, at most 38.
        scale: u8,
        /// The values times `10^scale`.
        values: Arc<Vec<Option<Wide>>>,
    },
    /// Doubles. NaN is NULL: no view computes one.
    Real(Arc<Vec<f64>>),
    /// Integers. [`NULL`] is NULL.
    Integer(Arc<Vec<i64>>),
    /// Names from a dictionary. Never NULL.
    Name {
        /// The distinct names.
        names: Arc<Vec<Arc<str>>>,
        /// For each row, its index in `names`.
        index: Arc<Vec<u32>>,
    },
    /// Short texts. `None` is NULL.
    Text(Arc<Vec<Option<Arc<str>>>>),
    /// Bytes, exactly as received.
    Bytes(Arc<Vec<Option<Vec<u8>>>>),
}

impl Column {
    /// The column's type.
    pub fn column_type(&self) -> Type {
        match self {
            Self::Timestamp(_) => Type::Timestamp,
            Self::Decimal { .. } => Type::Decimal,
            Self::Wide { scale, .. } => Type::Exact { digits: 65, scale: *scale },
            Self::Real(_) => Type::Real,
            Self::Integer(_) => Type::Integer,
            Self::Name { .. } | Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Timestamp(values) | Self::Decimal { values, .. } | Self::Integer(values) => values.len(),
            Self::Wide { values, .. } => values.len(),
            Self::Real(values) => values.len(),
            Self::Name { index, .. } => index.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The approximate size of the values in bytes, without the names of a dictionary, which many rows share.
    pub fn weight(&self) -> usize {
        fn texts<T>(texts: &[Option<T>], length: impl Fn(&T) -> usize) -> usize {
            size_of_val(texts) + texts.iter().flatten().map(length).sum::<usize>()
        }
        match self {
            Self::Timestamp(values) | Self::Decimal { values, .. } | Self::Integer(values) => {
                size_of_val(&***values)
            }
            Self::Wide { values, .. } => size_of_val(&***values),
            Self::Real(values) => size_of_val(&***values),
            Self::Name { names, index } => size_of_val(&***names) + size_of_val(&***index),
            Self::Text(values) => texts(values, |text| text.len()),
            Self::Bytes(values) => texts(values, Vec::len),
        }
    }

    /// The values of several columns of one kind, each the next one of its column.
    fn interleaved(columns: &[&Self], turns: Option<&[u8]>) -> Option<Self> {
        macro_rules! of {
            ($pattern:pat $(if $guard:expr)? => $values:expr) => {{
                let all = columns.iter().map(|column| match column {
                    $pattern $(if $guard)? => Some(&$values[..]),
                    _ => None,
                });
                interleaved(all.collect::<Option<Vec<_>>>()?.into_iter(), turns)
            }};
        }
        Some(match columns.first()? {
            Self::Timestamp(_) => Self::Timestamp(of!(Self::Timestamp(values) => values)),
            Self::Decimal { scale, .. } => Self::Decimal {
                scale: *scale,
                values: of!(Self::Decimal { scale: other, values } if other == scale => values),
            },
            Self::Wide { scale, .. } => Self::Wide {
                scale: *scale,
                values: of!(Self::Wide { scale: other, values } if other == scale => values),
            },
            Self::Real(_) => Self::Real(of!(Self::Real(values) => values)),
            Self::Integer(_) => Self::Integer(of!(Self::Integer(values) => values)),
            Self::Text(_) => Self::Text(of!(Self::Text(values) => values)),
            Self::Bytes(_) => Self::Bytes(of!(Self::Bytes(values) => values)),
            Self::Name { names: first, .. } => {
                let is_shared =
                    |column: &&Self| matches!(column, Self::Name { names, .. } if Arc::ptr_eq(names, first));
                if columns.iter().all(is_shared) {
                    return Some(Self::Name {
                        names: first.clone(),
                        index: of!(Self::Name { index, .. } => index),
                    });
                }
                // Each index leads behind the names of the columns before.
                let (mut names, mut indices) = (Vec::new(), Vec::new());
                for column in columns {
                    let Self::Name { names: more, index } = column else { return None };
                    let before = names.len() as u32;
                    indices.push(index.iter().map(|place| place + before).collect::<Vec<u32>>());
                    names.extend(more.iter().cloned());
                }
                let index = interleaved(indices.iter().map(Vec::as_slice), turns);
                Self::Name { names: Arc::new(names), index }
            }
        })
    }

    /// The values at these indices.
    pub fn gather(&self, places: &[u32]) -> Self {
        fn of<T: Clone>(values: &[T], places: &[u32]) -> Arc<Vec<T>> {
            Arc::new(places.iter().map(|&place| values[place as usize].clone()).collect())
        }
        match self {
            Self::Timestamp(values) => Self::Timestamp(of(values, places)),
            Self::Decimal { scale, values } => Self::Decimal { scale: *scale, values: of(values, places) },
            Self::Wide { scale, values } => Self::Wide { scale: *scale, values: of(values, places) },
            Self::Real(values) => Self::Real(of(values, places)),
            Self::Integer(values) => Self::Integer(of(values, places)),
            Self::Name { names, index } => Self::Name { names: names.clone(), index: of(index, places) },
            Self::Text(values) => Self::Text(of(values, places)),
            Self::Bytes(values) => Self::Bytes(of(values, places)),
        }
    }
}

/// The values of several lists, each the next one of its list.
fn interleaved<'a, T: Clone + 'a>(lists: impl Iterator<Item = &'a [T]>, turns: Option<&[u8]>) -> Arc<Vec<T>> {
    let lists: Vec<&[T]> = lists.collect();
    if let (None, [a, b]) = (turns, &lists[..]) {
        // Pairs of known number, so that nothing looks for room each time.
        let pairs: Vec<[T; 2]> = a.iter().zip(*b).map(|(a, b)| [a.clone(), b.clone()]).collect();
        return Arc::new(pairs.into_flattened());
    }
    let mut next: Vec<std::slice::Iter<'a, T>> = lists.iter().map(|list| list.iter()).collect();
    let mut all = Vec::with_capacity(lists.iter().map(|list| list.len()).sum());
    match turns {
        Some(turns) => all.extend(turns.iter().filter_map(|&turn| next[usize::from(turn)].next().cloned())),
        None => {
            for _ in 0..lists.first().map_or(0, |list| list.len()) {
                all.extend(next.iter_mut().filter_map(|list| list.next().cloned()));
            }
        }
    }
    Arc::new(all)
}

/// The effect of a row on the earlier rows of its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Change {
    /// The row is new.
    Insert,
    /// The row with this key gets these values.
    Update,
    /// The row with this key is deleted; these were its values.
    Delete,
    /// The values that an [`Update`](Self::Update) replaces, for sinks that keep every change.
    Before,
}

impl Change {
    /// 1 inserts, -1 retracts.
    ///
    /// ```
    /// use dataflows::rows::Change;
    ///
    /// let replaced = [Change::Before, Change::Update].map(Change::sign);
    /// assert_eq!(replaced, [-1, 1]);
    /// ```
    pub fn sign(self) -> i8 {
        match self {
            Self::Insert | Self::Update => 1,
            Self::Delete | Self::Before => -1,
        }
    }
}

/// The effect of rows on the earlier rows of their view, with one entry per row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The changes.
    pub kinds: Arc<Vec<Change>>,
    /// The key of each row in its view. In one epoch a key appears in only one [`Rows`].
    pub keys: Arc<Vec<Arc<[u8]>>>,
}

impl Changes {
    /// The changes of a view with one row per record: those at the indices `kept`, in their order. `part`
    /// distinguishes several rows of a record. None in an append job.
    #[inline]
    pub(crate) fn of(batch: &Batch, kept: &[u32], part: &[u8]) -> Option<Self> {
        let corrections = batch.corrections.as_ref()?;
        let of = |place: u32| (corrections.signs[place as usize], &corrections.keys[place as usize]);
        let mut changes = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        for (row, &place) in kept.iter().enumerate() {
            let (sign, key) = of(place);
            // A replaced reading directly precedes its replacement; either may not be kept.
            let other = if sign < 0 { kept.get(row + 1) } else { row.checked_sub(1).map(|row| &kept[row]) };
            let replaces = other.is_some_and(|&other| of(other).0 != sign && of(other).1 == key);
            changes.0.push(match (sign < 0, replaces) {
                (false, false) => Change::Insert,
                (false, true) => Change::Update,
                (true, false) => Change::Delete,
                (true, true) => Change::Before,
            });
            changes.1.push(if part.is_empty() { key.clone() } else { [&**key, part].concat().into() });
        }
        Some(Self { kinds: Arc::new(changes.0), keys: Arc::new(changes.1) })
    }
}

/// Identifies a row in the table of a keyed view: a hash of the job and the row's key.
pub type RowKey = [u8; 16];

/// Rows of one view in one epoch, as columns of equal length in the order of the view's
/// [`ColumnSpec`]s.
///
/// ```
/// use dataflows::rows::{Column, NULL, Rows};
/// use std::sync::Arc;
///
/// let rows = Rows::from(vec![
///     Column::Integer(Arc::new(vec![1, NULL, 3])),
///     Column::Real(Arc::new(vec![0.5, f64::NAN, -0.5])), // NaN is NULL, too
/// ]);
/// assert_eq!(rows.len(), 3);
/// assert_eq!(rows.gather(&[2, 0]).columns[0], Column::Integer(Arc::new(vec![3, 1])));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The changes; none if all rows are new and never change.
    pub changes: Option<Changes>,
}

impl From<Vec<Column>> for Rows {
    fn from(columns: Vec<Column>) -> Self {
        Self { columns, changes: None }
    }
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The approximate size in bytes, precise enough to bound memory. It depends only on the rows, so every process
    /// computes the same.
    ///
    /// ```
    /// use dataflows::rows::{Column, Rows};
    /// use std::sync::Arc;
    ///
    /// let payload = Some(vec![0; 1000]);
    /// let rows = Rows::from(vec![Column::Integer(Arc::new(vec![1])), Column::Bytes(Arc::new(vec![payload]))]);
    /// assert!((1008..1100).contains(&rows.weight()));
    /// ```
    pub fn weight(&self) -> usize {
        let changes = self.changes.as_ref().map_or(0, |Changes { kinds, keys }| {
            size_of_val(&***kinds) + size_of_val(&***keys) + keys.iter().map(|key| key.len()).sum::<usize>()
        });
        self.columns.iter().map(Column::weight).sum::<usize>() + changes
    }

    /// The rows at these indices.
    pub fn gather(&self, places: &[u32]) -> Self {
        let changes = self.changes.as_ref().map(|changes| Changes {
            kinds: Arc::new(places.iter().map(|&place| changes.kinds[place as usize]).collect()),
            keys: Arc::new(places.iter().map(|&place| changes.keys[place as usize].clone()).collect()),
        });
        Self { columns: self.columns.iter().map(|column| column.gather(places)).collect(), changes }
    }

    /// The rows of several, each with as many columns, in the order of `turns`: whose next row it is. Without, one of each
    /// in turn. None if columns are of different kinds.
    ///
    /// ```
    /// use dataflows::rows::{Column, Rows};
    /// use std::sync::Arc;
    ///
    /// let rows = |values: &[i64]| Rows::from(vec![Column::Integer(Arc::new(values.to_vec()))]);
    /// let all = Rows::interleaved(&[rows(&[1, 3]), rows(&[2])], Some(&[0, 1, 0])).unwrap();
    /// assert_eq!(all, rows(&[1, 2, 3]));
    /// let all = Rows::interleaved(&[rows(&[1, 3]), rows(&[2, 4])], None).unwrap();
    /// assert_eq!(all, rows(&[1, 2, 3, 4]));
    /// ```
    pub fn interleaved(all: &[Self], turns: Option<&[u8]>) -> Option<Self> {
        let width = all.first()?.columns.len();
        let column = |place: usize| {
            let columns: Vec<&Column> = all.iter().map(|rows| &rows.columns[place]).collect();
            Column::interleaved(&columns, turns)
        };
        let changes: Option<Vec<&Changes>> = all.iter().map(|rows| rows.changes.as_ref()).collect();
        let changes = changes.map(|changes| Changes {
            kinds: interleaved(changes.iter().map(|changes| &changes.kinds[..]), turns),
            keys: interleaved(changes.iter().map(|changes| &changes.keys[..]), turns),
        });
        Some(Self { columns: (0..width).map(column).collect::<Option<_>>()?, changes })
    }

    /// The `index`-th row. Panics if it does not exist.
    pub fn row(&self, index: usize) -> Self {
        self.gather(&[index as u32])
    }
}

/// A column of a view: its name in table and CSV, and its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnSpec {
    /// The name in table and CSV header.
    pub name: Cow<'static, str>,
    /// The type.
    pub column_type: Type,
}

/// Shorthand for a [`ColumnSpec`].
pub const fn column(name: &'static str, column_type: Type) -> ColumnSpec {
    ColumnSpec { name: Cow::Borrowed(name), column_type }
}
