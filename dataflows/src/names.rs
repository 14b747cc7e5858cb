//! The names of the entities of a batch.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

/// The name of the entity that a record belongs to, such as a truck; empty if nothing names it.
pub type Entity = Arc<str>;

/// Distinct names, one after another in memory: of many trucks almost every reading of a batch has another name, and an
/// allocation or a count of owners for each would take longer than to decode it.
///
/// ```
/// use dataflows::names::Names;
///
/// let names: Names = ["a", "", "bc"].into_iter().collect();
/// assert_eq!((names.get(2), names.len()), ("bc", 3));
/// assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "", "bc"]);
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Names {
    text: String,
    /// Where each name ends in the text.
    ends: Vec<usize>,
    /// The same, each in memory of its own, if somebody asked for that.
    #[serde(skip)]
    shared: OnceLock<Arc<Vec<Entity>>>,
}

impl Names {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The `index`-th name. Panics if it does not exist.
    #[inline]
    pub fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Appends a name; returns its index.
    pub fn push(&mut self, name: &str) -> u32 {
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.shared.take();
        self.ends.len() as u32 - 1
    }

    /// Takes all names, and leaves room for as many.
    pub fn take(&mut self) -> Self {
        let (text, ends) = (String::with_capacity(self.text.len()), Vec::with_capacity(self.ends.len()));
        std::mem::replace(self, Self { text, ends, shared: OnceLock::new() })
    }

    /// Removes all names, and keeps their memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.shared.take();
    }

    /// The names for a column of rows, which outlives the batch. They are allocated when they are asked for first.
    pub fn shared(&self) -> &Arc<Vec<Entity>> {
        self.shared.get_or_init(|| Arc::new(self.iter().map(Entity::from).collect()))
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.ends) == (&other.text, &other.ends)
    }
}

impl Eq for Names {}

impl<'a> FromIterator<&'a str> for Names {
    fn from_iter<I: IntoIterator<Item = &'a str>>(all: I) -> Self {
        let mut names = Self::default();
        all.into_iter().for_each(|name| {
            names.push(name);
        });
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_read_as_they_were_pushed(all in prop::collection::vec(".{0,6}", 0..20), more in ".{0,6}") {
            let mut names: Names = all.iter().map(String::as_str).collect();
            prop_assert_eq!(names.iter().collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(names.shared().iter().map(|name| &**name).collect::<Vec<_>>(), all.clone());
            // What was shared before does not hide a name.
            prop_assert_eq!(names.push(&more) as usize, all.len());
            prop_assert_eq!(names.get(all.len()), &more);
            prop_assert_eq!(&*names.shared()[all.len()], &more);
            prop_assert_eq!(names.take().len(), all.len() + 1);
            prop_assert!(names.is_empty() && names.shared().is_empty());
            names.push(&more);
            names.clear();
            prop_assert!(names.is_empty() && names.shared().is_empty());
            prop_assert_eq!(names, Names::default());
        }
    }
}
