//! The paths of a mapping as trees of keys, so that one pass over a message finds all values.

use std::cell::Cell;
use std::ops::Range;

use super::mapping::{EACH, Mapping, Source};
use super::path::Pointer;
use super::tree;

/// Where a pass puts the values that fields need.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// From the whole message: to values, and to the root.
    pub message: Keys,
    /// From a reading to values.
    pub reading: Keys,
    /// For each field of the mapping, where its value, or the text that contains it, is put.
    pub places: Vec<Slot>,
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

    /// The node that a pointer leads to, which is made if need be.
    fn grow<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>, each: bool) -> usize {
        let mut at = 0;
        for key in keys {
            let known = match each && key == EACH {
                true => self.nodes[at].each,
                false => {
                    self.nodes[at].children.iter().find(|child| *child.key == *key).map(|child| child.node)
                }
            };
            at = known.unwrap_or_else(|| {
                let node = self.nodes.len();
                self.nodes.push(Node::default());
                if each && key == EACH {
                    self.nodes[at].each = Some(node);
                } else {
                    let index = tree::index(key);
                    self.nodes[at].children.push(Child { key: key.into(), index, node });
                    // The next key is looked for first.
                    self.nodes[at].last.set(self.nodes[at].children.len() - 1);
                }
                node
            });
        }
        at
    }

    fn want(&mut self, pointer: &Pointer) -> usize {
        let node = self.grow(pointer.0.iter().map(|key| &**key), false);
        self.nodes[node].slot = Some(0);
        node
    }

    /// Lets keys that fields name lead to the root, too, where a `*` goes through all keys.
    fn share(&mut self, at: usize) {
        let children: Vec<usize> = self.nodes[at].children.iter().map(|child| child.node).collect();
        if let Some(each) = self.nodes[at].each {
            children.iter().for_each(|child| self.lead(each, *child));
            self.share(each);
        }
        children.into_iter().for_each(|child| self.share(child));
    }

    /// Adds the way from one node to the root to another node.
    fn lead(&mut self, from: usize, to: usize) {
        self.nodes[to].is_root |= self.nodes[from].is_root;
        for child in self.nodes[from].children.clone() {
            let known = self.nodes[to].children.iter().find(|own| own.key == child.key).map(|own| own.node);
            let node = known.unwrap_or_else(|| {
                let node = self.nodes.len();
                self.nodes.push(Node::default());
                self.nodes[to].children.push(Child { node, ..child.clone() });
                node
            });
            self.lead(child.node, node);
        }
        if let Some(each) = self.nodes[from].each {
            let node = self.nodes[to].each.unwrap_or_else(|| {
                self.nodes.push(Node::default());
                self.nodes.len() - 1
            });
            self.nodes[to].each = Some(node);
            self.lead(each, node);
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
        let root = message.grow(mapping.root.iter().flat_map(|pointer| &pointer.0).map(|key| &**key), true);
        message.nodes[root].is_root = true;
        let nodes: Vec<_> = mapping
            .fields
            .iter()
            .map(|field| match &field.source {
                Source::Value { path, of_message: true } => (true, Some(message.want(&path.first))),
                Source::Value { path, of_message: false } => (false, Some(reading.want(&path.first))),
                Source::RootKey | Source::Kafka(_) | Source::Computed(_) => (false, None),
            })
            .collect();
        message.share(0);
        message.number(0);
        reading.number(0);
        let slot = |(of_message, node): (bool, Option<usize>)| {
            let keys = if of_message { &message } else { &reading };
            match node.and_then(|node| keys.nodes[node].slot) {
                Some(slot) if of_message => Slot::Message(slot),
                Some(slot) => Slot::Reading(slot),
                None => Slot::Nowhere,
            }
        };
        let places = nodes.into_iter().map(slot).collect();
        Self { message, reading, places }
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
