//! The paths of a mapping as trees of keys, so that one pass over a message finds all values.

use std::cell::Cell;
use std::ops::Range;

use super::mapping::{EACH, Mapping, Source};
use super::path::Pointer;
use super::tree;

/// Where a pass puts the values that fields need.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// From the whole message: to values, and to the root, or to the text that contains it.
    pub message: Keys,
    /// From the text that a pointer of the root finds to the root, or to the next text.
    pub texts: Vec<Keys>,
    /// From a reading to values.
    pub reading: Keys,
    /// For each field of the mapping, where its value, or the text that contains it, is put.
    pub places: Vec<Slot>,
    /// Whether a field is the key that a `*` in the root met.
    pub takes_key: bool,
}

/// Where a value is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Among the values of the message.
    Message(usize),
    /// Among the values of the reading.
    Reading(usize),
    /// Nowhere: it is not in the message.
    Nowhere,
}

/// A tree of keys. The node 0 is its top.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub nodes: Vec<Node>,
    /// The number of its slots.
    pub slots: usize,
}

/// A place in a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    children: Vec<Child>,
    /// The child that was found last; messages mostly have the same keys in the same order.
    last: Cell<usize>,
    /// What every element leads to.
    pub each: Option<usize>,
    /// The slot of its value.
    pub slot: Option<usize>,
    /// The slots of values within it.
    pub below: Range<usize>,
    /// Whether readings begin here.
    pub is_root: bool,
    /// Whether readings begin here or within it.
    pub leads_to_root: bool,
}

#[derive(Clone, Debug)]
struct Child {
    key: Box<str>,
    /// The index that the key is in an array.
    index: Option<usize>,
    node: usize,
}

impl Node {
    /// The node of a key.
    #[inline]
    pub fn child(&self, key: &str) -> Option<usize> {
        let count = self.children.len();
        let mut at = self.last.get();
        for _ in 0..count {
            at += 1;
            if at >= count {
                at = 0;
            }
            let child = &self.children[at];
            if *child.key == *key {
                self.last.set(at);
                return Some(child.node);
            }
        }
        None
    }

    /// The node of an element of an array.
    pub fn element(&self, index: usize) -> Option<usize> {
        self.children.iter().find(|child| child.index == Some(index)).map(|child| child.node)
    }
}

impl Keys {
    fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: 0 }
    }

    /// The node of a key below another one, which is made if need be.
    fn grow(&mut self, at: usize, key: &str) -> usize {
        if let Some(child) = self.nodes[at].children.iter().find(|child| *child.key == *key) {
            return child.node;
        }
        let node = self.add();
        let children = &mut self.nodes[at].children;
        children.push(Child { key: key.into(), index: tree::index(key), node });
        // The next key is looked for first.
        let last = children.len() - 1;
        self.nodes[at].last.set(last);
        node
    }

    fn add(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// Adds a way to a value.
    fn want(&mut self, pointer: &Pointer) -> usize {
        let node = pointer.0.iter().fold(0, |at, key| self.grow(at, key));
        self.nodes[node].slot = Some(0);
        node
    }

    /// Adds the way to the root, after all others: a key that they go through may also be one of all elements.
    fn lead(&mut self, at: usize, parts: &[Box<str>]) {
        let Some((part, parts)) = parts.split_first() else {
            self.nodes[at].is_root = true;
            return;
        };
        if **part == *EACH {
            let each = self.add();
            self.nodes[at].each = Some(each);
            let children = self.nodes[at].children.iter().map(|child| child.node);
            let all: Vec<usize> = children.chain([each]).collect();
            all.into_iter().for_each(|node| self.lead(node, parts));
        } else {
            let child = self.grow(at, part);
            self.lead(child, parts);
        }
    }

    /// Numbers the slots, so that those below a node follow each other.
    fn number(&mut self, at: usize) {
        if let Some(slot) = &mut self.nodes[at].slot {
            *slot = self.slots;
            self.slots += 1;
        }
        let start = self.slots;
        let mut leads = self.nodes[at].is_root;
        let children: Vec<usize> = self.nodes[at].children.iter().map(|child| child.node).collect();
        for child in children.into_iter().chain(self.nodes[at].each) {
            self.number(child);
            leads |= self.nodes[child].leads_to_root;
        }
        self.nodes[at].below = start..self.slots;
        self.nodes[at].leads_to_root = leads;
    }
}

impl Plan {
    pub fn new(mapping: &Mapping) -> Self {
        let (mut message, mut reading) = (Keys::new(), Keys::new());
        let nodes: Vec<_> = mapping
            .fields
            .iter()
            .map(|field| match &field.source {
                Source::Value { path, of_message: true } => (true, Some(message.want(&path.first))),
                Source::Value { path, of_message: false } => (false, Some(reading.want(&path.first))),
                Source::RootKey | Source::Kafka(_) | Source::Computed(_) => (false, None),
            })
            .collect();
        let mut roots = mapping.root.iter().map(|pointer| &*pointer.0);
        message.lead(0, roots.next().unwrap_or_default());
        message.number(0);
        reading.number(0);
        let text = |root| {
            let mut keys = Keys::new();
            keys.lead(0, root);
            keys.number(0);
            keys
        };
        let texts = roots.map(text).collect();
        let slot = |(of_message, node): (bool, Option<usize>)| {
            let keys = if of_message { &message } else { &reading };
            match node.and_then(|node| keys.nodes[node].slot) {
                Some(slot) if of_message => Slot::Message(slot),
                Some(slot) => Slot::Reading(slot),
                None => Slot::Nowhere,
            }
        };
        let places = nodes.into_iter().map(slot).collect();
        let takes_key = mapping.fields.iter().any(|field| matches!(field.source, Source::RootKey));
        Self { message, texts, reading, places, takes_key }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decode::path::Path;
    use crate::decode::{Decoder, Message};

    #[test]
    fn an_element_that_a_field_of_the_message_names_has_readings_too() {
        let pointer = |text| Pointer::parse(text).unwrap();
        let mut mapping = Mapping::trucks();
        mapping.root = vec![pointer("/trucks/*/readings")];
        let path = Path { first: pointer("/trucks/0/name"), then: Vec::new() };
        mapping.fields[4].source = Source::Value { path, of_message: true };
        let reading = "{'timestamp': '2023-04-10 01:02:27', 'distance_covered': 1, 'engine_speed': 81, 'fuel_consumed': 0}";
        let payload = format!(
            "{{'trucks': [{{'name': 'a', 'readings': [{reading}, {reading}]}}, {{'readings': [{reading}]}}]}}"
        );
        let mut decoder = Decoder::new("topic".into(), Arc::new(mapping));
        decoder.decode(&Message { payload: Some(payload.as_bytes()), ..Message::default() });
        let batch = decoder.take_batch();
        assert_eq!(batch.len(), 3);
        assert_eq!(&*batch.record(0).entity, "a");
    }
}
