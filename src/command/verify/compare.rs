//! Compares expected and actual rows. Rows are compared by 128-bit fingerprints; only those that differ are read
//! again, to describe the difference.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use sha2::{Digest, Sha256};

use super::cell::{Cell, Form};
use super::trouble::Trouble;
use crate::store::reader::{Line, TableRow};
use dataflows::rows::RowKey;

/// Passes each expected row, with its key in the view. Returns the same rows every time.
pub type Rows<'a> = dyn Fn(&mut dyn FnMut(&[u8], &[Cell])) + 'a;

/// Passes each line with its change (1 inserts, -1 retracts) and its position in the order, if there is one. Returns
/// the same lines every time.
pub type Lines<'a> = dyn FnMut(&mut dyn FnMut(i64, i64, &Line)) -> Result<(), Trouble> + 'a;

/// Passes each row of a table. Returns the same rows every time.
pub type Table<'a> = dyn FnMut(&mut dyn FnMut(TableRow<'_>)) -> Result<(), Trouble> + 'a;

/// Maximum number of rows searched for the nearest one.
const MAX_SEARCHED: usize = 100_000;

type Print = u128;

/// The fingerprint of a line.
fn print(line: &Line) -> Print {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, line).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// The rows of a view that the database refused, as CSV lines, one per refusal.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    lines: Vec<Line>,
}

impl Refused {
    /// Adds a row.
    pub fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A function that returns for each row whether it was refused. Each refusal is used once.
    pub fn matcher(&self) -> impl FnMut(&[Cell]) -> bool + '_ {
        let mut left: Vec<&Line> = self.lines.iter().collect();
        move |cells| {
            let found = (!left.is_empty())
                .then(|| left.iter().position(|line| Form::Csv.agrees(cells, line)))
                .flatten();
            found.map(|at| left.swap_remove(at)).is_some()
        }
    }

    /// Whether a row was ever refused.
    fn has(&self, cells: &[Cell]) -> bool {
        self.lines.iter().any(|line| Form::Csv.agrees(cells, line))
    }
}

/// Which unexpected rows are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// All of them.
    Wrong,
    /// Those after the first expected row, in the order of `id`.
    WrongAfterFirst,
    /// Only duplicates of expected rows, because there is no order.
    WrongIfTwice,
    /// None, because other jobs write to the table as well.
    Others,
}

/// An actual row.
struct Found {
    print: Print,
    /// The change: 1 inserts, -1 retracts.
    change: i64,
    /// The position in the order.
    id: i64,
}

/// Compares rows regardless of their order. Returns the number of expected rows.
pub fn unordered(
    place: &str,
    form: &Form,
    rows: &Rows<'_>,
    refused: &Refused,
    surplus: Surplus,
    each: &mut Lines<'_>,
) -> Result<usize, Trouble> {
    let (mut want, mut line) = (Vec::new(), Line::default());
    let mut is_refused = refused.matcher();
    rows(&mut |_, cells| {
        if !is_refused(cells) {
            form.line(cells, &mut line);
            want.push(print(&line));
        }
    });
    want.sort_unstable();
    let mut have: Vec<Found> = Vec::new();
    each(&mut |change, id, line| have.push(Found { print: print(line), change, id }))?;
    have.sort_unstable_by_key(|found| (found.print, found.id));

    // The number of missing copies of each row, and the surplus rows: the later ones.
    let mut missing: HashMap<Print, i64> = HashMap::new();
    let mut too_many: Vec<(Print, i64, bool)> = Vec::new();
    let mut first_expected = i64::MAX;
    let (mut wanted, mut there) =
        (want.chunk_by(|a, b| a == b).peekable(), have.chunk_by(|a, b| a.print == b.print).peekable());
    loop {
        let (a, b) = (wanted.peek().map(|chunk| chunk[0]), there.peek().map(|chunk| chunk[0].print));
        let Some(next) = [a, b].into_iter().flatten().min() else { break };
        let count = if a == Some(next) { wanted.next().map_or(0, <[_]>::len) } else { 0 } as i64;
        let found = if b == Some(next) { there.next().unwrap_or_default() } else { &[] };
        let sum: i64 = found.iter().map(|found| found.change).sum();
        if count > 0
            && let Some(first) = found.first()
        {
            first_expected = first_expected.min(first.id);
        }
        if sum < count && count > 0 {
            missing.insert(next, count - sum.max(0));
        } else if sum < 0 {
            // Retracted but never inserted.
            too_many.extend(found.first().map(|found| (next, found.id, false)));
        }
        if sum > count {
            let behind = &found[found.len() - (sum - count) as usize..];
            too_many.extend(behind.iter().map(|found| (next, found.id, count > 0)));
        }
    }
    drop(have);
    let all_too_many: HashSet<Print> = too_many.iter().map(|(print, ..)| *print).collect();
    if !missing.is_empty() {
        // Correlations may be close enough.
        let (mut absent, mut others): (Vec<Vec<Cell>>, Vec<Line>) = Default::default();
        let mut is_refused = refused.matcher();
        rows(&mut |_, cells| {
            if absent.len() < MAX_SEARCHED && !is_refused(cells) {
                form.line(cells, &mut line);
                if let Some(count) = missing.get_mut(&print(&line)).filter(|count| **count > 0) {
                    *count -= 1;
                    absent.push(cells.to_vec());
                }
            }
        });
        each(&mut |change, _, line| {
            if change > 0 && others.len() < MAX_SEARCHED && all_too_many.contains(&print(line)) {
                others.push(line.clone());
            }
        })?;
        let mut lacking = None;
        let mut lacks = 0;
        for cells in absent {
            let near = cells.iter().any(|cell| matches!(cell, Cell::Correlation(_)));
            match others.iter().position(|line| near && form.agrees(&cells, line)) {
                Some(at) => {
                    let line = others.swap_remove(at);
                    let print = print(&line);
                    if let Some(at) = too_many.iter().position(|(other, ..)| *other == print) {
                        too_many.swap_remove(at);
                    }
                }
                None => {
                    lacks += 1;
                    lacking.get_or_insert(cells);
                }
            }
        }
        if let Some(cells) = lacking {
            form.line(&cells, &mut line);
            return Err(Trouble::Differs(format!(
                "{place} lacks {}{}",
                line,
                besides(lacks, nearest(&line, &others))
            )));
        }
    }
    too_many.retain(|(_, id, is_copy)| match surplus {
        Surplus::Wrong => true,
        Surplus::WrongAfterFirst => *id > first_expected,
        Surplus::WrongIfTwice => *is_copy,
        Surplus::Others => false,
    });
    if let Some((wrong, id, is_copy)) = too_many.iter().min_by_key(|(_, id, _)| *id).copied() {
        let mut named = None;
        each(&mut |_, place, line| {
            if named.is_none() && print(line) == wrong && (place == id || surplus == Surplus::Wrong) {
                named = Some(line.clone());
            }
        })?;
        let named = named.unwrap_or_default();
        let why = if is_copy { "one copy too many" } else { "which is not a row of the view" };
        return Err(Trouble::Differs(format!("{place} has {named}, {why}{}", besides(too_many.len(), None))));
    }
    Ok(want.len())
}

/// The text after the first difference.
fn besides(count: usize, near: Option<&Line>) -> String {
    let near = near.map(|line| format!("; the nearest row is {line}")).unwrap_or_default();
    let others = if count > 1 { format!(" ({} more differ)", count - 1) } else { String::new() };
    near + &others
}

/// The most similar line.
fn nearest<'a>(line: &Line, others: &'a [Line]) -> Option<&'a Line> {
    others.iter().rev().max_by_key(|other| line.likeness(other)).filter(|other| line.likeness(other) > 0)
}

/// The key of a row in the database: see [`crate::store::ROW_KEY`].
pub fn row_key(job: &str, key: &[u8]) -> RowKey {
    let mut text = job.as_bytes().to_vec();
    text.push(0);
    text.extend_from_slice(key);
    let hash = Sha256::digest(&text);
    std::array::from_fn(|at| hash[at])
}

/// Compares the rows of a keyed table. Returns the number of expected rows.
pub fn keyed(
    place: &str,
    form: &Form,
    job: &str,
    rows: &Rows<'_>,
    refused: &Refused,
    has_others: bool,
    each: &mut Table<'_>,
) -> Result<usize, Trouble> {
    let (mut want, mut line) = (Vec::new(), Line::default());
    rows(&mut |key, cells| {
        form.line(cells, &mut line);
        want.push((row_key(job, key), print(&line)));
    });
    want.sort_unstable();
    let mut have = Vec::new();
    each(&mut |row| have.extend(row.key.map(|key| (key, print(row.values)))))?;
    have.sort_unstable();
    let find = |rows: &[(RowKey, Print)], key: &RowKey| {
        rows.binary_search_by_key(key, |(key, _)| *key).ok().map(|at| rows[at].1)
    };
    let mut odd: HashSet<RowKey> =
        want.iter().filter(|(key, print)| find(&have, key) != Some(*print)).map(|(key, _)| *key).collect();
    if !has_others {
        odd.extend(have.iter().filter(|(key, _)| find(&want, key).is_none()).map(|(key, _)| *key));
    }
    if !odd.is_empty() {
        let mut found: HashMap<RowKey, Line> = HashMap::new();
        each(&mut |row| {
            if let Some(key) = row.key.filter(|key| odd.contains(key)) {
                found.insert(key, row.values.clone());
            }
        })?;
        let mut differs = None;
        let mut count = 0;
        rows(&mut |key, cells| {
            let key = row_key(job, key);
            if !odd.contains(&key) {
                return;
            }
            let there = found.remove(&key);
            if there.as_ref().is_some_and(|line| form.agrees(cells, line))
                || there.is_none() && refused.has(cells)
            {
                return;
            }
            count += 1;
            if differs.is_none() {
                form.line(cells, &mut line);
                differs = Some(match there {
                    Some(there) => format!("has {there}, but expected {line}"),
                    None => format!("lacks {line}"),
                });
            }
        });
        count += found.len();
        // The remaining rows have keys that no expected row has.
        let differs = differs.or_else(|| {
            found.into_values().min().map(|line| format!("has {line}, which is not a row of the view"))
        });
        if let Some(differs) = differs {
            return Err(Trouble::Differs(format!("{place} {differs}{}", besides(count, None))));
        }
    }
    if !has_others {
        no_copies(place, each)?;
    }
    Ok(want.len())
}

/// Refuses rows without a key that equal one with a key and are behind the job's first. Others were there before, or
/// are those of another program.
pub fn no_copies(place: &str, each: &mut Table<'_>) -> Result<(), Trouble> {
    let (mut prints, mut keyless, mut first) = (HashSet::new(), Vec::new(), i64::MAX);
    each(&mut |row| match row.key {
        Some(_) => {
            first = first.min(row.id.unwrap_or(i64::MIN));
            prints.insert(print(row.values));
        }
        None => keyless.push((print(row.values), row.id.unwrap_or(i64::MAX))),
    })?;
    let is_copy = |(print, id): &&(Print, i64)| *id > first && prints.contains(print);
    let Some((copy, _)) = keyless.iter().find(is_copy) else { return Ok(()) };
    let mut named = None;
    each(&mut |row| {
        if row.key.is_none() && print(row.values) == *copy {
            named = Some(row.values.clone());
        }
    })?;
    let named = named.unwrap_or_default();
    Err(Trouble::Differs(format!("{place} has a copy of {named} without its key")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reader::Keeps;

    fn cells(number: i64, text: &str) -> Vec<Cell> {
        vec![Cell::Integer(number), Cell::Text(text.into())]
    }

    fn lines(found: &[(i64, i64, &str)]) -> Vec<(i64, i64, Line)> {
        let line = |number: &i64, text: &&str| [number.to_string(), (*text).to_owned()].into_iter().collect();
        found
            .iter()
            .enumerate()
            .map(|(id, (change, number, text))| (*change, id as i64, line(number, text)))
            .collect()
    }

    #[track_caller]
    fn compare(
        want: &[(i64, &str)],
        found: &[(i64, i64, &str)],
        refused: &[&str],
        surplus: Surplus,
    ) -> String {
        let rows = |each: &mut dyn FnMut(&[u8], &[Cell])| {
            want.iter().for_each(|(number, text)| each(b"", &cells(*number, text)));
        };
        let mut all = Refused::default();
        refused.iter().for_each(|line| all.push(line.split(',').collect()));
        let found = lines(found);
        let mut each = |each: &mut dyn FnMut(i64, i64, &Line)| {
            found.iter().for_each(|(change, id, line)| each(*change, *id, line));
            Ok(())
        };
        match unordered("it", &Form::Csv, &rows, &all, surplus, &mut each) {
            Ok(count) => count.to_string(),
            Err(Trouble::Differs(text)) => text,
            Err(Trouble::Ends(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn rows_without_order() {
        let want = [(1, "a"), (2, "b"), (2, "b")];
        assert_eq!(compare(&want, &[(1, 2, "b"), (1, 1, "a"), (1, 2, "b")], &[], Surplus::Wrong), "3");
        assert_eq!(
            compare(&want, &[(1, 2, "b"), (1, 1, "x"), (1, 2, "b")], &[], Surplus::Others),
            "it lacks 1,a; the nearest row is 1,x"
        );
        assert_eq!(compare(&want, &[(1, 2, "b"), (1, 1, "a")], &[], Surplus::Wrong), "it lacks 2,b");
        assert_eq!(compare(&want, &[(1, 2, "b"), (1, 1, "a")], &["2,b"], Surplus::Wrong), "2");
        assert_eq!(
            compare(&want[..1], &[(1, 1, "a"), (1, 1, "a")], &[], Surplus::Wrong),
            "it has 1,a, one copy too many"
        );
        // Earlier rows are not of this job; later ones are.
        let old = [(1, 9, "old"), (1, 1, "a"), (1, 9, "new")];
        assert_eq!(compare(&want[..1], &old[..2], &[], Surplus::WrongAfterFirst), "1");
        assert_eq!(
            compare(&want[..1], &old, &[], Surplus::WrongAfterFirst),
            "it has 9,new, which is not a row of the view"
        );
        assert_eq!(compare(&want[..1], &old, &[], Surplus::Others), "1");
        assert_eq!(compare(&want[..1], &old, &[], Surplus::WrongIfTwice), "1");
        assert_eq!(
            compare(&want[..1], &[(1, 1, "a"), (1, 1, "a")], &[], Surplus::WrongAfterFirst),
            "it has 1,a, one copy too many"
        );
    }

    #[test]
    fn lines_add_up() {
        let changes = [(1, 1, "a"), (1, 2, "b"), (-1, 1, "a"), (1, 1, "a"), (1, 3, "c"), (-1, 3, "c")];
        assert_eq!(compare(&[(1, "a"), (2, "b")], &changes, &[], Surplus::Wrong), "2");
        assert_eq!(compare(&[(1, "a")], &changes[..3], &[], Surplus::Others), "it lacks 1,a");
        assert!(compare(&[(2, "b")], &changes[..5], &[], Surplus::Wrong).contains("has 1,a"));
    }

    #[track_caller]
    fn compare_keyed(
        want: &[(&str, i64)],
        found: &[(Option<&str>, i64)],
        refused: &[&str],
        others: bool,
    ) -> String {
        let rows = |each: &mut dyn FnMut(&[u8], &[Cell])| {
            want.iter().for_each(|(key, number)| each(key.as_bytes(), &cells(*number, key)));
        };
        let mut all = Refused::default();
        refused.iter().for_each(|line| all.push(line.split(',').collect()));
        let form = Form::Table(vec![Keeps::Integer, Keeps::Text { trimmed: false }]);
        let mut each = |each: &mut dyn FnMut(TableRow<'_>)| {
            for (id, (key, number)) in found.iter().enumerate() {
                let line = [number.to_string(), key.unwrap_or("a").to_owned()].into_iter().collect();
                let key = key.map(|key| row_key("job", key.as_bytes()));
                each(TableRow { id: Some(id as i64), key, values: &line });
            }
            Ok(())
        };
        match keyed("it", &form, "job", &rows, &all, others, &mut each) {
            Ok(count) => count.to_string(),
            Err(Trouble::Differs(text)) => text,
            Err(Trouble::Ends(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn rows_with_keys() {
        let want = [("a", 1), ("b", 2)];
        let right = [(Some("a"), 1), (Some("b"), 2)];
        assert_eq!(compare_keyed(&want, &right, &[], false), "2");
        assert_eq!(
            compare_keyed(&want, &[(Some("b"), 2), (Some("a"), 7)], &[], false),
            "it has 7,a, but expected 1,a"
        );
        assert_eq!(compare_keyed(&want, &right[..1], &[], false), "it lacks 2,b");
        assert_eq!(compare_keyed(&want, &right[..1], &["2,b"], false), "2");
        assert_eq!(compare_keyed(&want[..1], &right, &[], true), "1");
        assert_eq!(
            compare_keyed(&want[..1], &right, &[], false),
            "it has 2,b, which is not a row of the view"
        );
        // A copy without a key, before and after.
        assert_eq!(compare_keyed(&want[..1], &[(None, 1), (Some("a"), 1)], &[], false), "1");
        assert_eq!(
            compare_keyed(&want[..1], &[(Some("a"), 1), (None, 1)], &[], false),
            "it has a copy of 1,a without its key"
        );
    }
}
