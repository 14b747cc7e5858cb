//! Finds the readings of a message, and their values, in one pass.
//!
//! Of equal keys the last one counts at every level, so a pass forgets what it found within the ones before.

use std::borrow::Cow;

use super::found::{Found, Kind, Source};
use super::lexer::Lexer;
use super::path;
use super::plan::{Keys, Node, Plan};
use super::tree::{Scalar, Tree};

/// A place in a message: in the keys of the message, and in those of the reading that it is in.
#[derive(Clone, Copy)]
struct At {
    message: Option<usize>,
    reading: Option<usize>,
}

impl At {
    const TOP: Self = Self { message: Some(0), reading: None };

    fn is_nowhere(self) -> bool {
        self.message.is_none() && self.reading.is_none()
    }
}

/// A pass over one message.
struct Pass<'p, 'f, 'a> {
    plan: &'p Plan,
    found: &'f mut Found<'a>,
    /// The keys of the message, or of a text in it that a pointer of the root has found.
    keys: &'p Keys,
    /// The number of pointers of the root behind the current one.
    texts_left: usize,
    /// Whether a reading is a part of the message, so that its own bytes are needed.
    is_part: bool,
}

/// Finds the readings in a text of one or several objects. None if it is not exactly that.
pub(super) fn of_text<'a>(plan: &Plan, text: &'a str, found: &mut Found<'a>) -> Option<()> {
    let mut lexer = Lexer::new(text);
    lexer.blanks();
    loop {
        let start = lexer.at;
        found.begin_object(plan);
        Pass::new(plan, found).value(&mut lexer, 0, At::TOP, None)?;
        if !found.met {
            found.begin_reading(Kind::Other, Source::Bytes(start..lexer.at), None);
        }
        lexer.blanks();
        if lexer.is_done() {
            return Some(());
        }
    }
}

/// Finds the readings in a tree, which is a whole message.
pub(super) fn of_tree<'a>(plan: &Plan, tree: &Tree<'a>, found: &mut Found<'a>) {
    found.begin_object(plan);
    Pass::new(plan, found).tree(tree, At::TOP, None);
    if !found.met {
        found.begin_reading(Kind::Other, Source::Json(String::new()), None);
    }
}

impl<'p, 'f, 'a> Pass<'p, 'f, 'a> {
    fn new(plan: &'p Plan, found: &'f mut Found<'a>) -> Self {
        Self { plan, found, keys: &plan.message, texts_left: plan.texts.len(), is_part: false }
    }

    fn node(&self, at: At) -> (Option<&'p Node>, Option<&'p Node>) {
        fn of(keys: &Keys, at: Option<usize>) -> Option<&Node> {
            at.map(|at| &keys.nodes[at])
        }
        (of(self.keys, at.message), of(&self.plan.reading, at.reading))
    }

    fn child(&self, at: At, key: &str) -> At {
        let (message, reading) = self.node(at);
        At {
            message: message.and_then(|node| node.child(key).or(node.each)),
            reading: reading.and_then(|node| node.child(key)),
        }
    }

    fn element(&self, at: At, index: usize) -> At {
        let (message, reading) = self.node(at);
        At {
            message: message.and_then(|node| node.element(index).or(node.each)),
            reading: reading.and_then(|node| node.element(index)),
        }
    }

    /// Whether readings, or the text that contains them, begin at a place.
    fn is_root(&self, at: At) -> bool {
        at.reading.is_none() && at.message.is_some_and(|at| self.keys.nodes[at].is_root)
    }

    /// Whether the root goes through all elements of the value at a place: an empty one has no reading.
    fn has_each(&self, at: At) -> bool {
        at.message.is_some_and(|at| self.keys.nodes[at].each.is_some())
    }

    /// Puts a value into the slots of a place.
    fn put(&mut self, at: At, value: &Scalar<'a>) {
        let (message, reading) = self.node(at);
        if let Some(slot) = message.and_then(|node| node.slot) {
            self.found.set_of_message(slot, value.clone());
        }
        if let Some(slot) = reading.and_then(|node| node.slot) {
            self.found.set(slot, value.clone());
        }
    }

    /// Forgets the values that were found within a place.
    fn forget_values(&mut self, at: At) {
        let (message, reading) = self.node(at);
        if let Some(node) = message {
            self.found.forget_of_message(&node.below);
        }
        if let Some(node) = reading {
            self.found.forget(&node.below);
        }
    }

    /// Forgets what was found within a place, of which `readings` is the first reading.
    fn forget(&mut self, at: At, readings: usize) {
        self.forget_values(at);
        if at.reading.is_none() && self.node(at).0.is_some_and(|node| node.leads_to_root) {
            self.found.remove(readings..self.found.readings.len());
            (self.found.met, self.found.is_array) = (false, false);
        }
    }

    /// Forgets the readings of all but the last element of each key. `elements` are all keys, each with its first
    /// reading.
    fn forget_repeated(&mut self, elements: &[(Cow<'a, str>, usize)]) {
        let mut order: Vec<usize> = (0..elements.len()).collect();
        order.sort_unstable_by_key(|&at| (&elements[at].0, at));
        let is_repeated = |pair: &[usize]| elements[pair[0]].0 == elements[pair[1]].0;
        let mut repeated: Vec<usize> =
            order.windows(2).filter(|pair| is_repeated(pair)).map(|pair| pair[0]).collect();
        // From the last on, so that the places of those before stay.
        repeated.sort_unstable();
        for at in repeated.into_iter().rev() {
            self.found.remove(elements[at].1..elements[at + 1].1);
        }
    }

    /// Reads a value at a place. `key` is the one that a `*` met.
    fn value(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        key: Option<&Cow<'a, str>>,
    ) -> Option<()> {
        if self.is_root(at) {
            return match self.texts_left {
                0 => self.root(lexer, depth, at, key),
                _ => self.text_at_root(lexer, depth, at, key),
            };
        }
        self.within(lexer, depth, at, key).map(drop)
    }

    /// Reads a value at a place that is not the root. Returns it if it has no parts.
    #[inline]
    fn within(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        key: Option<&Cow<'a, str>>,
    ) -> Option<Option<Scalar<'a>>> {
        match lexer.peek()? {
            b'{' => self.object(lexer, depth + 1, at, key)?,
            b'[' => self.sequence(lexer, depth + 1, at, key, b']')?,
            b'(' => self.sequence(lexer, depth + 1, at, key, b')')?,
            _ => {
                let value = lexer.scalar()?;
                self.put(at, &value);
                return Some(Some(value));
            }
        }
        Some(None)
    }

    fn object(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        met: Option<&Cow<'a, str>>,
    ) -> Option<()> {
        if at.reading.is_none() && self.has_each(at) {
            return self.each_entry(lexer, depth, at);
        }
        let readings = self.found.readings.len();
        self.put(at, &Scalar::Nested);
        let mut ends = lexer.enters(depth, b'}')?;
        while !ends {
            let key = lexer.key(depth)?;
            let child = self.child(at, &key);
            if child.is_nowhere() {
                lexer.skip(depth)?;
            } else {
                self.forget(child, readings);
                self.value(lexer, depth, child, met)?;
            }
            ends = lexer.ends(b'}')?;
        }
        Some(())
    }

    fn each_entry(&mut self, lexer: &mut Lexer<'a>, depth: usize, at: At) -> Option<()> {
        self.put(at, &Scalar::Nested);
        let mut entries = Vec::new();
        let mut ends = lexer.enters(depth, b'}')?;
        while !ends {
            let key = lexer.key(depth)?;
            let child = self.child(at, &key);
            self.forget_values(child);
            let first = self.found.readings.len();
            self.one_of_each(lexer, depth, child, Some(&key))?;
            entries.push((key, first));
            ends = lexer.ends(b'}')?;
        }
        self.found.met = true;
        self.forget_repeated(&entries);
        Some(())
    }

    /// Reads an element of which the root goes through all.
    fn one_of_each(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        key: Option<&Cow<'a, str>>,
    ) -> Option<()> {
        let start = lexer.at;
        self.found.met = false;
        self.value(lexer, depth, at, key)?;
        if !self.found.met {
            self.found.begin_reading(Kind::Other, Source::Bytes(start..lexer.at), None);
        }
        Some(())
    }

    fn sequence(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        met: Option<&Cow<'a, str>>,
        end: u8,
    ) -> Option<()> {
        let has_each = at.reading.is_none() && self.has_each(at);
        self.put(at, &Scalar::Nested);
        let mut ends = lexer.enters(depth, end)?;
        let mut index = 0;
        while !ends {
            let child = self.element(at, index);
            if child.is_nowhere() {
                lexer.skip(depth)?;
            } else if has_each {
                let key = self.plan.takes_key.then(|| Cow::Owned(index.to_string()));
                self.one_of_each(lexer, depth, child, key.as_ref())?;
            } else {
                self.value(lexer, depth, child, met)?;
            }
            index += 1;
            ends = lexer.ends(end)?;
        }
        self.found.met |= has_each;
        Some(())
    }

    /// Reads what is at the root: a reading, or an array of them.
    fn root(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        key: Option<&Cow<'a, str>>,
    ) -> Option<()> {
        self.found.met = true;
        let end = match lexer.peek()? {
            b'[' => b']',
            b'(' => b')',
            _ => return self.reading(lexer, depth, at, key, Kind::Null),
        };
        self.found.is_array = true;
        self.put(at, &Scalar::Nested);
        let mut ends = lexer.enters(depth + 1, end)?;
        let mut index = 0;
        while !ends {
            let message = self.element(at, index).message;
            self.reading(lexer, depth + 1, At { message, reading: None }, key, Kind::Other)?;
            index += 1;
            ends = lexer.ends(end)?;
        }
        Some(())
    }

    /// Reads a reading; if it is null, it counts as `null`.
    fn reading(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        key: Option<&Cow<'a, str>>,
        null: Kind,
    ) -> Option<()> {
        let start = lexer.at;
        self.found.begin_reading(Kind::Object, Source::Bytes(start..start), key.cloned());
        let number = self.found.readings.len() - 1;
        let kind = match self.within(lexer, depth, At { reading: Some(0), ..at }, None)? {
            None => Kind::Object,
            Some(Scalar::Null) => null,
            Some(_) => Kind::Other,
        };
        let reading = &mut self.found.readings[number];
        (reading.kind, reading.source) = (kind, Source::Bytes(start..lexer.at));
        Some(())
    }

    /// Reads a text that contains the next root. Anything else has no reading.
    fn text_at_root(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        key: Option<&Cow<'a, str>>,
    ) -> Option<()> {
        if let Some(Scalar::Text(text)) = self.within(lexer, depth, at, None)? {
            self.embedded(&text, key);
        }
        Some(())
    }

    /// Reads the value that a text contains, for the next pointer of the root.
    fn embedded(&mut self, text: &str, key: Option<&Cow<'a, str>>) {
        let text = path::embedded(text);
        let values = Tree::parse(&text).unwrap_or_default();
        let Ok([value]) = <[Tree<'_>; 1]>::try_from(values) else { return };
        let next = &self.plan.texts[self.plan.texts.len() - self.texts_left];
        let mut pass = Pass {
            plan: self.plan,
            found: &mut *self.found,
            keys: next,
            texts_left: self.texts_left - 1,
            is_part: true,
        };
        pass.tree(&value.owned(), At::TOP, key);
    }

    /// Like [`value`](Self::value), of a tree.
    fn tree(&mut self, tree: &Tree<'a>, at: At, key: Option<&Cow<'a, str>>) {
        if !self.is_root(at) {
            return self.within_tree(tree, at, key);
        }
        if self.texts_left > 0 {
            self.within_tree(tree, at, None);
            if let Tree::Scalar(Scalar::Text(text)) = tree {
                self.embedded(text, key);
            }
            return;
        }
        self.found.met = true;
        let Tree::Array(elements) = tree else { return self.reading_of_tree(tree, at, key, Kind::Null) };
        self.found.is_array = true;
        self.put(at, &Scalar::Nested);
        let was_part = std::mem::replace(&mut self.is_part, true);
        for (index, element) in elements.iter().enumerate() {
            let message = self.element(at, index).message;
            self.reading_of_tree(element, At { message, reading: None }, key, Kind::Other);
        }
        self.is_part = was_part;
    }

    fn within_tree(&mut self, tree: &Tree<'a>, at: At, met: Option<&Cow<'a, str>>) {
        let has_each = at.reading.is_none() && self.has_each(at);
        match tree {
            Tree::Scalar(value) => self.put(at, value),
            Tree::Object(entries) if has_each => {
                self.put(at, &Scalar::Nested);
                let mut elements = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let child = self.child(at, key);
                    self.forget_values(child);
                    elements.push((key.clone(), self.found.readings.len()));
                    self.one_of_each_tree(value, child, Some(key));
                }
                self.found.met = true;
                self.forget_repeated(&elements);
            }
            Tree::Object(entries) => {
                let readings = self.found.readings.len();
                self.put(at, &Scalar::Nested);
                for (key, value) in entries {
                    let child = self.child(at, key);
                    if !child.is_nowhere() {
                        self.forget(child, readings);
                        self.tree(value, child, met);
                    }
                }
            }
            Tree::Array(elements) => {
                self.put(at, &Scalar::Nested);
                for (index, value) in elements.iter().enumerate() {
                    let child = self.element(at, index);
                    if has_each {
                        let key = self.plan.takes_key.then(|| Cow::Owned(index.to_string()));
                        self.one_of_each_tree(value, child, key.as_ref());
                    } else if !child.is_nowhere() {
                        self.tree(value, child, met);
                    }
                }
                self.found.met |= has_each;
            }
        }
    }

    fn one_of_each_tree(&mut self, tree: &Tree<'a>, at: At, key: Option<&Cow<'a, str>>) {
        self.found.met = false;
        let was_part = std::mem::replace(&mut self.is_part, true);
        self.tree(tree, at, key);
        self.is_part = was_part;
        if !self.found.met {
            self.found.begin_reading(Kind::Other, Source::Json(tree.to_json()), None);
        }
    }

    fn reading_of_tree(&mut self, tree: &Tree<'a>, at: At, key: Option<&Cow<'a, str>>, null: Kind) {
        let kind = match tree {
            Tree::Object(_) | Tree::Array(_) => Kind::Object,
            Tree::Scalar(Scalar::Null) => null,
            Tree::Scalar(_) => Kind::Other,
        };
        let source = Source::Json(if self.is_part { tree.to_json() } else { String::new() });
        self.found.begin_reading(kind, source, key.cloned());
        self.within_tree(tree, At { reading: Some(0), ..at }, None);
    }
}
