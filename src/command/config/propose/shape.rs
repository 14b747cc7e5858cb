//! Where readings have values: a column for each path, with what was found there.
//!
//! Lists inside a reading have a column for each of their first elements, if they are short.

use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Leaf, Value};

/// The longest list of scalars that has columns, and of objects or lists.
const MAX_ELEMENTS: [usize; 2] = [4, 2];
/// The longest list that is a reading itself.
const MAX_ROW: usize = 64;
/// What is this many times less common than other values under a key has no columns.
const RARE: u32 = 4;
/// Columns beyond these are left out.
const MAX_COLUMNS: usize = 1000;

/// A step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// To the value of a key, or to the element with this index.
    Key(Rc<str>),
    /// To each element of an object or list.
    Every,
    /// Into the JSON that a text contains.
    Inside,
}

/// The steps from a reading, or a message, to a value.
pub(super) type Path = Vec<Step>;

/// Where a column's values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the reading.
    Reading(Path),
    /// In the message around the reading.
    Message(Path),
    /// In the key of the message.
    Key(Path),
    /// In this header of the message.
    Header(Rc<str>),
}

impl Place {
    /// The steps inside of reading, message or key.
    pub(super) fn path(&self) -> &[Step] {
        match self {
            Self::Reading(path) | Self::Message(path) | Self::Key(path) => path,
            Self::Header(_) => &[],
        }
    }

    /// The keys on the way, the last one last.
    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Self::Header(name) => vec![&**name],
            _ => self
                .path()
                .iter()
                .filter_map(|step| match step {
                    Step::Key(key) => Some(&**key),
                    Step::Every | Step::Inside => None,
                })
                .collect(),
        }
    }
}

/// The values at one place.
#[derive(Clone, Debug)]
pub(super) struct Column<'v> {
    /// The place.
    pub(super) place: Place,
    /// The values that are not null, by the number of their reading.
    pub(super) values: Vec<(u32, &'v Leaf)>,
    /// How many readings have null there.
    pub(super) nulls: u32,
    /// How many readings have an object or a list there.
    pub(super) containers: u32,
}

/// A list that has no columns, because it is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LongList {
    /// Where it is.
    pub(super) path: Path,
    /// The most elements.
    pub(super) length: usize,
}

/// What readings consist of.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape<'v> {
    /// In the order in which they were met.
    pub(super) columns: Vec<Column<'v>>,
    /// Lists that have no columns.
    pub(super) long: Vec<LongList>,
    /// How many columns were left out.
    pub(super) omitted: usize,
}

/// A node of the tree of all paths.
struct Node<'v> {
    parent: usize,
    step: Step,
    keys: HashMap<Rc<str>, usize>,
    inside: Option<usize>,
    values: Vec<(u32, &'v Leaf)>,
    nulls: u32,
    containers: u32,
    /// How many of them are lists.
    lists: u32,
    /// The length of the longest list here, and whether one has objects or lists in it.
    list: Option<(usize, bool)>,
    /// Whether it is an element of a list.
    is_element: bool,
}

/// Collects columns.
pub(super) struct Collector<'v> {
    nodes: Vec<Node<'v>>,
    /// Whether it is for what is around readings.
    is_around: bool,
    omitted: usize,
}

impl<'v> Collector<'v> {
    /// A collector for readings.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new(0, Step::Every)], is_around: false, omitted: 0 }
    }

    /// A collector for what is around readings, where a list with several elements is none of its business: which of
    /// them a reading belongs to is unknown.
    pub(super) fn around() -> Self {
        Self { is_around: true, ..Self::new() }
    }

    /// Adds the values of a reading, except what is at the path `without`.
    pub(super) fn add(&mut self, reading: u32, value: &'v Value, without: Option<&[Step]>) {
        self.walk(0, reading, value, without);
    }

    fn walk(&mut self, node: usize, reading: u32, value: &'v Value, without: Option<&[Step]>) {
        if without.is_some_and(<[Step]>::is_empty) {
            return;
        }
        let below = |step: &Step| {
            let (first, rest) = without?.split_first()?;
            (*first == *step || *first == Step::Every).then_some(rest)
        };
        match value {
            Value::Leaf(Leaf::Null) => self.nodes[node].nulls += 1,
            Value::Leaf(leaf) => self.nodes[node].values.push((reading, leaf)),
            Value::Inside(inside) => {
                if let Some(child) = self.child(node, &Step::Inside) {
                    self.walk(child, reading, inside, below(&Step::Inside));
                }
            }
            Value::Object(entries) => {
                self.nodes[node].containers += 1;
                for (key, value) in entries {
                    let step = Step::Key(key.clone());
                    if let Some(child) = self.child(node, &step) {
                        self.walk(child, reading, value, below(&step));
                    }
                }
            }
            Value::List(elements) => {
                self.nodes[node].containers += 1;
                let nested = elements.iter().any(|element| !matches!(element, Value::Leaf(_)));
                let (length, any) = self.nodes[node].list.unwrap_or_default();
                self.nodes[node].list = Some((length.max(elements.len()), any || nested));
                self.nodes[node].lists += 1;
                for (index, value) in elements.iter().take(self.longest(node, false)).enumerate() {
                    let step = Step::Key(index.to_string().into());
                    if let Some(child) = self.child(node, &step) {
                        self.nodes[child].is_element = true;
                        self.walk(child, reading, value, below(&step));
                    }
                }
            }
        }
    }

    fn child(&mut self, node: usize, step: &Step) -> Option<usize> {
        let known = match step {
            Step::Key(key) => self.nodes[node].keys.get(key).copied(),
            Step::Inside | Step::Every => self.nodes[node].inside,
        };
        if known.is_some() {
            return known;
        }
        let child = self.nodes.len();
        if child > 4 * MAX_COLUMNS {
            self.omitted += 1;
            return None;
        }
        self.nodes.push(Node::new(node, step.clone()));
        match step {
            Step::Key(key) => _ = self.nodes[node].keys.insert(key.clone(), child),
            Step::Inside | Step::Every => self.nodes[node].inside = Some(child),
        }
        Some(child)
    }

    /// The columns of what was added.
    pub(super) fn finish(self, place: impl Fn(Path) -> Place) -> Shape<'v> {
        let mut shape = Shape { omitted: self.omitted, ..Shape::default() };
        let paths: Vec<Path> = (0..self.nodes.len()).map(|node| self.path(node)).collect();
        let dropped: Vec<bool> = (0..self.nodes.len()).map(|node| self.is_dropped(node)).collect();
        let long: Vec<bool> = (0..self.nodes.len()).map(|node| self.is_long(node)).collect();
        for (at, node) in self.nodes.into_iter().enumerate() {
            let path = &paths[at];
            if dropped[at] {
                continue;
            }
            if let Some((length, _)) = node.list
                && long[at]
            {
                shape.long.push(LongList { path: path.clone(), length });
            }
            let Node { values, nulls, containers, .. } = node;
            if values.is_empty() && (nulls == 0 || containers > 0) {
                continue;
            }
            if shape.columns.len() == MAX_COLUMNS {
                shape.omitted += 1;
                continue;
            }
            shape.columns.push(Column { place: place(path.clone()), values, nulls, containers });
        }
        shape
    }

    fn path(&self, mut node: usize) -> Path {
        let mut path = Path::new();
        while node > 0 {
            path.push(self.nodes[node].step.clone());
            node = self.nodes[node].parent;
        }
        path.reverse();
        path
    }

    /// How many elements a list may have whose elements have columns.
    fn longest(&self, node: usize, nested: bool) -> usize {
        match node {
            _ if self.is_around => 1,
            0 if !nested => MAX_ROW,
            _ => MAX_ELEMENTS[usize::from(nested)],
        }
    }

    /// Whether it has a list that is too long.
    fn is_long(&self, node: usize) -> bool {
        self.nodes[node].list.is_some_and(|(length, nested)| length > self.longest(node, nested))
    }

    /// Whether it is in a list that is too long, or below a key that nearly always has another value.
    fn is_dropped(&self, mut node: usize) -> bool {
        while node > 0 {
            let is_element = self.nodes[node].is_element;
            node = self.nodes[node].parent;
            let Node { values, containers, lists, .. } = &self.nodes[node];
            let scalars = values.len() as u32;
            let is_rare =
                containers * RARE < scalars || is_element && lists * RARE < scalars + containers - lists;
            if is_rare || self.is_long(node) {
                return true;
            }
        }
        false
    }
}

impl Node<'_> {
    fn new(parent: usize, step: Step) -> Self {
        Self {
            parent,
            step,
            keys: HashMap::new(),
            inside: None,
            values: Vec::new(),
            nulls: 0,
            containers: 0,
            lists: 0,
            list: None,
            is_element: false,
        }
    }
}

/// The columns of values that are readings by themselves.
pub(super) fn of_readings<'v>(values: impl IntoIterator<Item = &'v Value>) -> Shape<'v> {
    let mut collector = Collector::new();
    for (reading, value) in values.into_iter().enumerate() {
        collector.add(reading as u32, value, None);
    }
    collector.finish(Place::Reading)
}
