//! Finds the readings of a message, and their values, in one pass.

use std::borrow::Cow;
use std::ops::Range;

use super::lexer::Lexer;
use super::plan::{Keys, Node, Plan};
use super::tree::{Scalar, Tree};

/// What a pass found. It keeps its memory for the next message.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The values of each object in the message; none of a value that is absent.
    message: Vec<Option<Scalar<'a>>>,
    /// The values of each reading.
    values: Vec<Option<Scalar<'a>>>,
    /// The readings.
    pub readings: Vec<Reading<'a>>,
    /// Whether readings were in an array.
    pub is_array: bool,
    /// Whether the message has several objects.
    pub several: bool,
    /// Whether the root of the current object was met.
    met: bool,
    /// The number of values of an object and of a reading.
    widths: (usize, usize),
    objects: usize,
}

/// A reading of a message, or what is at its place.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// The object of the message that it is in.
    object: usize,
    pub kind: Kind,
    /// What the message has for it.
    pub source: Source,
    /// The key that a `*` in the root met.
    pub key: Option<Cow<'a, str>>,
}

/// What a message has for a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// These bytes of its text.
    Bytes(Range<usize>),
    /// A value that this JSON shows.
    Json(String),
}

/// What is at the place of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object or an array.
    Object,
    /// Null, alone at the root.
    Null,
    /// Something else, or nothing.
    Other,
}

impl<'a> Found<'a> {
    /// Nothing, for messages of another lifetime, in the same memory.
    pub fn emptied<'b>(self) -> Found<'b> {
        fn empty<A, B>(mut values: Vec<A>) -> Vec<B> {
            values.clear();
            // Collecting in place keeps the memory.
            values.into_iter().filter_map(|_| None).collect()
        }
        Found {
            message: empty(self.message),
            values: empty(self.values),
            readings: empty(self.readings),
            is_array: false,
            several: false,
            met: false,
            widths: (0, 0),
            objects: 0,
        }
    }

    /// The value in a slot of the message of a reading.
    pub fn of_message(&self, reading: &Reading<'_>, slot: usize) -> Option<&Scalar<'a>> {
        self.message[reading.object * self.widths.0 + slot].as_ref()
    }

    /// The value in a slot of a reading.
    pub fn of_reading(&self, reading: usize, slot: usize) -> Option<&Scalar<'a>> {
        self.values[reading * self.widths.1 + slot].as_ref()
    }

    /// Sets the value in a slot of the last reading.
    pub fn set(&mut self, slot: usize, value: Scalar<'a>) {
        let start = self.values.len() - self.widths.1;
        self.values[start + slot] = Some(value);
    }

    /// Sets the value in a slot of the last object of the message.
    pub fn set_of_message(&mut self, slot: usize, value: Scalar<'a>) {
        let start = self.message.len() - self.widths.0;
        self.message[start + slot] = Some(value);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.message.clear();
        self.values.clear();
        self.readings.clear();
        (self.is_array, self.several, self.met, self.objects) = (false, false, false, 0);
    }

    /// Begins an object of the message.
    pub fn begin_object(&mut self, plan: &Plan) {
        self.widths = (plan.message.slots, plan.reading.slots);
        self.objects += 1;
        self.message.resize_with(self.objects * self.widths.0, || None);
        self.met = false;
    }

    /// Begins a reading.
    pub fn begin_reading(&mut self, kind: Kind, source: Source, key: Option<Cow<'a, str>>) {
        self.met = true;
        self.readings.push(Reading { object: self.objects - 1, kind, source, key });
        self.values.resize_with(self.readings.len() * self.widths.1, || None);
    }

    /// Takes back the readings from `count` on.
    fn truncate(&mut self, count: usize) {
        self.readings.truncate(count);
        self.values.truncate(count * self.widths.1);
    }

    /// Ends an object: without anything at its root, what is there is no reading.
    fn end_object(&mut self, source: Source) {
        if !self.met {
            self.begin_reading(Kind::Other, source, None);
        }
    }
}

/// A place in a message: in the keys of the message, and in those of the reading that it is in.
#[derive(Clone, Copy)]
struct At {
    message: Option<usize>,
    reading: Option<usize>,
}

impl At {
    fn is_nowhere(self) -> bool {
        self.message.is_none() && self.reading.is_none()
    }
}

/// A pass over one message.
struct Pass<'p, 'f, 'a> {
    plan: &'p Plan,
    found: &'f mut Found<'a>,
}

/// Finds the readings in a text of one or several objects. None if it is not exactly that.
pub(super) fn of_text<'a>(plan: &Plan, text: &'a str, found: &mut Found<'a>) -> Option<()> {
    let mut lexer = Lexer::new(text);
    lexer.blanks();
    loop {
        let start = lexer.at;
        found.begin_object(plan);
        let mut pass = Pass { plan, found };
        pass.value(&mut lexer, 0, At { message: Some(0), reading: None }, None)?;
        found.end_object(Source::Bytes(start..lexer.at));
        lexer.blanks();
        if lexer.is_done() {
            return Some(());
        }
    }
}

/// Finds the readings in a tree. Their places in a text are not known.
pub(super) fn of_tree<'a>(plan: &Plan, tree: &Tree<'a>, found: &mut Found<'a>) {
    found.begin_object(plan);
    let mut pass = Pass { plan, found };
    pass.tree(tree, At { message: Some(0), reading: None }, None);
    found.end_object(Source::Json(tree.to_json()));
}

impl<'p, 'a> Pass<'p, '_, 'a> {
    fn node(&self, at: At) -> (Option<&'p Node>, Option<&'p Node>) {
        fn of(keys: &Keys, at: Option<usize>) -> Option<&Node> {
            at.map(|at| &keys.nodes[at])
        }
        (of(&self.plan.message, at.message), of(&self.plan.reading, at.reading))
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

    /// Whether readings begin at a place.
    fn is_root(&self, at: At) -> bool {
        at.reading.is_none() && at.message.is_some_and(|at| self.plan.message.nodes[at].is_root)
    }

    /// Whether each element of the value at a place may have readings: an empty one has none then.
    fn has_each(&self, at: At) -> bool {
        at.message.is_some_and(|at| self.plan.message.nodes[at].each.is_some())
    }

    /// Puts a value into the slots of a place.
    fn put(&mut self, at: At, value: &Scalar<'a>) {
        let (message, reading) = self.node(at);
        let slots = (message.and_then(|node| node.slot), reading.and_then(|node| node.slot));
        if let Some(slot) = slots.0 {
            let start = self.found.message.len() - self.plan.message.slots;
            self.found.message[start + slot] = Some(value.clone());
        }
        if let Some(slot) = slots.1 {
            self.found.set(slot, value.clone());
        }
    }

    /// Forgets what was found at a place and within it: of equal keys the last one counts.
    fn forget(&mut self, at: At, readings: usize) {
        let (message, reading) = self.node(at);
        if let Some(node) = message {
            let (below, leads) = (node.below.clone(), node.leads_to_root && at.reading.is_none());
            let start = self.found.message.len() - self.plan.message.slots;
            self.found.message[start + below.start..start + below.end].fill_with(|| None);
            if leads {
                self.found.truncate(readings);
            }
        }
        if let Some(node) = reading {
            let below = node.below.clone();
            if !below.is_empty() {
                let start = self.found.values.len() - self.plan.reading.slots;
                self.found.values[start + below.start..start + below.end].fill_with(|| None);
            }
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
            return self.root(lexer, depth, at, key);
        }
        match lexer.peek()? {
            b'{' => self.object(lexer, depth + 1, at, key),
            b'[' => self.sequence(lexer, depth + 1, at, key, b']'),
            b'(' => self.sequence(lexer, depth + 1, at, key, b')'),
            _ => {
                let value = lexer.scalar()?;
                self.put(at, &value);
                Some(())
            }
        }
    }

    fn object(
        &mut self,
        lexer: &mut Lexer<'a>,
        depth: usize,
        at: At,
        met: Option<&Cow<'a, str>>,
    ) -> Option<()> {
        let readings = self.found.readings.len();
        let has_each = self.has_each(at);
        self.found.met |= has_each && at.reading.is_none();
        self.put(at, &Scalar::Nested);
        let mut ends = lexer.enters(depth, b'}')?;
        while !ends {
            let key = lexer.key(depth)?;
            let child = self.child(at, &key);
            if child.is_nowhere() {
                lexer.skip(depth)?;
            } else if has_each {
                self.value(lexer, depth, child, Some(&key))?;
            } else {
                self.forget(child, readings);
                self.value(lexer, depth, child, met)?;
            }
            ends = lexer.ends(b'}')?;
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
        self.found.met |= self.has_each(at) && at.reading.is_none();
        self.put(at, &Scalar::Nested);
        let mut ends = lexer.enters(depth, end)?;
        let mut index = 0;
        while !ends {
            let child = self.element(at, index);
            if child.is_nowhere() {
                lexer.skip(depth)?;
            } else if self.has_each(at) {
                let key = Cow::Owned(index.to_string());
                self.value(lexer, depth, child, Some(&key))?;
            } else {
                self.value(lexer, depth, child, met)?;
            }
            index += 1;
            ends = lexer.ends(end)?;
        }
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
        let at = At { reading: Some(0), ..at };
        let kind = match lexer.peek()? {
            b'{' => self.object(lexer, depth + 1, at, None).map(|()| Kind::Object)?,
            b'[' => self.sequence(lexer, depth + 1, at, None, b']').map(|()| Kind::Object)?,
            b'(' => self.sequence(lexer, depth + 1, at, None, b')').map(|()| Kind::Object)?,
            _ => {
                let value = lexer.scalar()?;
                self.put(at, &value);
                if value == Scalar::Null { null } else { Kind::Other }
            }
        };
        let reading = &mut self.found.readings[number];
        (reading.kind, reading.source) = (kind, Source::Bytes(start..lexer.at));
        Some(())
    }

    /// Like [`value`](Self::value), of a tree.
    fn tree(&mut self, tree: &Tree<'a>, at: At, key: Option<&Cow<'a, str>>) {
        if self.is_root(at) {
            self.found.met = true;
            let Tree::Array(elements) = tree else { return self.reading_of_tree(tree, at, key, Kind::Null) };
            self.found.is_array = true;
            self.put(at, &Scalar::Nested);
            for (index, element) in elements.iter().enumerate() {
                let message = self.element(at, index).message;
                self.reading_of_tree(element, At { message, reading: None }, key, Kind::Other);
            }
            return;
        }
        self.within_tree(tree, at, key);
    }

    fn within_tree(&mut self, tree: &Tree<'a>, at: At, met: Option<&Cow<'a, str>>) {
        let has_each = self.has_each(at);
        match tree {
            Tree::Scalar(value) => self.put(at, value),
            Tree::Object(entries) => {
                let readings = self.found.readings.len();
                self.found.met |= has_each && at.reading.is_none();
                self.put(at, &Scalar::Nested);
                for (key, value) in entries {
                    let child = self.child(at, key);
                    if child.is_nowhere() {
                        continue;
                    }
                    if has_each {
                        self.tree(value, child, Some(key));
                    } else {
                        self.forget(child, readings);
                        self.tree(value, child, met);
                    }
                }
            }
            Tree::Array(elements) => {
                self.found.met |= has_each && at.reading.is_none();
                self.put(at, &Scalar::Nested);
                for (index, value) in elements.iter().enumerate() {
                    let child = self.element(at, index);
                    let key = has_each.then(|| Cow::Owned(index.to_string()));
                    if !child.is_nowhere() {
                        self.tree(value, child, key.as_ref().or(met));
                    }
                }
            }
        }
    }

    fn reading_of_tree(&mut self, tree: &Tree<'a>, at: At, key: Option<&Cow<'a, str>>, null: Kind) {
        let kind = match tree {
            Tree::Object(_) | Tree::Array(_) => Kind::Object,
            Tree::Scalar(Scalar::Null) => null,
            Tree::Scalar(_) => Kind::Other,
        };
        // A reading that is its whole message is shown as the message.
        let is_part = self.found.is_array || self.found.several;
        let source = Source::Json(if is_part { tree.to_json() } else { String::new() });
        self.found.begin_reading(kind, source, key.cloned());
        self.within_tree(tree, At { reading: Some(0), ..at }, None);
    }
}
