//! What one pass over a text finds is what a pass over its tree finds, and what a naive walk finds that follows each
//! path on its own.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflows::schema::{FieldType, Schema};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::decode::extract;
use crate::decode::found::{Found, Kind, Reading, Source as Bytes};
use crate::decode::layout::{Fill, Layouts};
use crate::decode::mapping::{FieldMapping, Mapping, Source};
use crate::decode::path::{Path, Pointer, embedded};
use crate::decode::plan::{Plan, Slot};
use crate::decode::tree::{Scalar, Tree};

/// A value of a message, before it is written.
#[derive(Clone, Debug)]
enum Doc {
    /// The source text of a value without parts.
    Word(&'static str),
    Text(String),
    Object(Vec<(Key, Doc)>),
    List(Vec<Doc>),
    Tuple(Vec<Doc>),
}

#[derive(Clone, Debug)]
enum Key {
    Text(&'static str),
    /// The source text of a key that is no text.
    Word(&'static str),
}

/// Few keys, so that paths meet them and objects have some twice.
const KEYS: [&str; 10] = ["a", "b", "c", "0", "1", "01", "*", "", "x/y", "~é\"'\\"];

/// Writes documents, each part in one of its forms.
struct Writer {
    seed: u64,
    text: String,
}

impl Writer {
    /// A number below `count`.
    fn pick(&mut self, count: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % count
    }

    fn blanks(&mut self) {
        for _ in 0..self.pick(3) {
            let at = self.pick(4) as usize;
            self.text.push([' ', '\n', '\t', ' '][at]);
        }
    }

    fn quoted(&mut self, text: &str) {
        let quote = if self.pick(2) == 0 { '"' } else { '\'' };
        self.text.push(quote);
        for character in text.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                _ if character == quote || character < ' ' || self.pick(9) == 0 => {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        write!(self.text, "\\u{unit:04x}").unwrap();
                    }
                }
                _ => self.text.push(character),
            }
        }
        self.text.push(quote);
    }

    fn list(&mut self, open: char, values: &[Doc], end: char) {
        self.text.push(open);
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            self.blanks();
            self.doc(value);
            self.blanks();
        }
        if end == ')' && (values.len() == 1 || !values.is_empty() && self.pick(2) == 0) {
            self.text.push(',');
        }
        self.text.push(end);
    }

    fn doc(&mut self, doc: &Doc) {
        match doc {
            Doc::Word(word) => self.text.push_str(word),
            Doc::Text(text) => self.quoted(text),
            Doc::List(values) => self.list('[', values, ']'),
            Doc::Tuple(values) => self.list('(', values, ')'),
            Doc::Object(entries) => {
                self.text.push('{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        self.text.push(',');
                    }
                    self.blanks();
                    match key {
                        Key::Text(key) => self.quoted(key),
                        Key::Word(key) => self.text.push_str(key),
                    }
                    self.blanks();
                    self.text.push(':');
                    self.blanks();
                    self.doc(value);
                    self.blanks();
                }
                self.text.push('}');
            }
        }
    }
}

fn written(docs: &[Doc], seed: u64) -> String {
    let mut writer = Writer { seed, text: String::new() };
    for doc in docs {
        writer.blanks();
        writer.doc(doc);
        writer.text.push('\n');
    }
    writer.text
}

fn doc() -> impl Strategy<Value = Doc> {
    const WORDS: &[&str] = &[
        "null",
        "None",
        "true",
        "False",
        "0",
        "-1.5e3",
        "12345678901234567890",
        "nan",
        "-Infinity",
        "np.float64(2.5)",
        "np.int64( 7 )",
        "numpy.True_",
    ];
    const TEXTS: &[&str] = &["", "x", "a", "7", "{", "[1]", "näher \u{1f69a}\n", "'\"\\"];
    let leaf = prop_oneof![
        2 => select(WORDS).prop_map(Doc::Word),
        1 => select(TEXTS).prop_map(|text| Doc::Text(text.to_owned())),
    ];
    let key = prop_oneof![
        9 => select(&KEYS[..]).prop_map(Key::Text),
        1 => select(&["0", "1", "None", "(1, 2)", "nan", "('a', {0: []})"][..]).prop_map(Key::Word),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let object = prop::collection::vec((key.clone(), inner.clone()), 0..5);
        let text = (inner, any::<u64>(), any::<bool>()).prop_map(|(doc, seed, is_base64)| {
            let text = written(&[doc], seed);
            Doc::Text(if is_base64 { STANDARD.encode(text) } else { text })
        });
        prop_oneof![
            6 => object.prop_map(Doc::Object),
            2 => list.clone().prop_map(Doc::List),
            1 => list.prop_map(Doc::Tuple),
            1 => text,
        ]
    })
}

/// Texts by key, most of which contain documents, and a way into them.
fn embedding() -> impl Strategy<Value = (String, Paths)> {
    let text = (doc(), any::<u64>(), any::<bool>()).prop_map(|(doc, seed, is_base64)| {
        let text = written(&[doc], seed);
        Doc::Text(if is_base64 { STANDARD.encode(text) } else { text })
    });
    let value = prop_oneof![4 => text, 1 => doc()];
    let key = select(&["a", "b"][..]).prop_map(Key::Text);
    let docs = prop::collection::vec((key, value), 1..4).prop_map(Doc::Object);
    let first = select(&["a", "*"][..]).prop_map(|key| Pointer(vec![key.into()]));
    (docs, any::<u64>(), first, paths()).prop_map(|(doc, seed, first, (mut root, fields))| {
        root.insert(0, first);
        if root.len() == 1 {
            root.push(Pointer::default());
        }
        (written(&[doc], seed), (root, fields))
    })
}

/// Mostly one object, as messages are.
fn message() -> impl Strategy<Value = (String, u64)> {
    let docs = prop_oneof![6 => prop::collection::vec(doc(), 1), 1 => prop::collection::vec(doc(), 2..4)];
    (docs, any::<u64>()).prop_map(|(docs, seed)| (written(&docs, seed), seed))
}

fn pointer(longest: usize, keys: &'static [&'static str]) -> impl Strategy<Value = Pointer> {
    let keys = prop::collection::vec(select(keys).prop_map(Box::from), 0..=longest);
    keys.prop_map(Pointer)
}

/// Where the readings are, and for each field a path, and whether it begins at the whole message.
type Paths = (Vec<Pointer>, Vec<(Pointer, bool)>);

fn paths() -> impl Strategy<Value = Paths> {
    const STEPS: &[&str] = &["*", "*", "*", "a", "a", "b", "0", ""];
    let root = prop_oneof![
        2 => Just(Vec::new()),
        4 => prop::collection::vec(pointer(3, STEPS), 1),
        1 => prop::collection::vec(pointer(2, STEPS), 2..4),
    ];
    (root, prop::collection::vec((pointer(3, &KEYS), any::<bool>()), 1..6))
}

fn mapping((root, fields): &Paths) -> Mapping {
    let mut schema = Schema::new("timestamp");
    for at in 0..fields.len() {
        schema = schema.with(&format!("f{at}"), FieldType::Text);
    }
    let mut mapping = Mapping::preset(schema, &[]);
    mapping.root = root.clone();
    for (field, (pointer, of_message)) in mapping.fields.iter_mut().skip(1).zip(fields) {
        let path = Path { first: pointer.clone(), then: Vec::new() };
        field.source = Source::Value { path, of_message: *of_message };
    }
    let place = mapping.fields[0].place;
    let key = FieldMapping { source: Source::RootKey, ..FieldMapping::named("key", FieldType::Text, place) };
    mapping.fields.push(key);
    mapping
}

/// A reading, or what is at its place. Of what is no object only that counts.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    kind: Kind,
    key: Option<String>,
    values: Vec<Option<Scalar<'static>>>,
}

impl Seen {
    fn other(kind: Kind) -> Self {
        Self { kind, key: None, values: Vec::new() }
    }
}

/// What a pass found.
fn seen(mapping: &Mapping, plan: &Plan, found: &Found<'_>) -> Vec<Seen> {
    let reading = |(number, reading): (usize, &Reading<'_>)| {
        if reading.kind != Kind::Object {
            return Seen::other(reading.kind);
        }
        let value = |slot: &Slot| match *slot {
            Slot::Message(slot) => found.of_message(reading, slot),
            Slot::Reading(slot) => found.of_reading(number, slot),
            Slot::Nowhere => None,
        };
        let value = |slot: &Slot| value(slot).map(|value| value.clone().owned());
        let fields = mapping.fields.len() - 1;
        let values = plan.places[1..fields].iter().map(value).collect();
        Seen { kind: Kind::Object, key: reading.key.as_ref().map(|key| key.to_string()), values }
    };
    found.readings.iter().enumerate().map(reading).collect()
}

/// The naive walk: what it found, and the trees of readings.
struct Walk<'p> {
    paths: &'p Paths,
    seen: Vec<(Seen, Option<Tree<'static>>)>,
}

fn last<'t>(tree: &'t Tree<'static>, key: &str) -> Option<&'t Tree<'static>> {
    match tree {
        Tree::Object(entries) => entries.iter().rfind(|(name, _)| name == key).map(|(_, value)| value),
        Tree::Array(values) => {
            values.iter().enumerate().find(|(at, _)| at.to_string() == key).map(|(_, value)| value)
        }
        Tree::Scalar(_) => None,
    }
}

fn value_of(tree: &Tree<'static>, pointer: &Pointer) -> Option<Scalar<'static>> {
    let mut at = tree;
    for key in &pointer.0 {
        at = last(at, key)?;
    }
    Some(match at {
        Tree::Scalar(scalar) => scalar.clone(),
        Tree::Object(_) | Tree::Array(_) => Scalar::Nested,
    })
}

impl Walk<'_> {
    fn nothing(&mut self) {
        self.seen.push((Seen::other(Kind::Other), None));
    }

    fn at(
        &mut self,
        message: &Tree<'static>,
        tree: &Tree<'static>,
        parts: &[Box<str>],
        then: &[Pointer],
        key: Option<&str>,
    ) {
        let Some((part, parts)) = parts.split_first() else {
            return self.end(message, tree, then, key);
        };
        match (tree, &**part) {
            (Tree::Object(entries), "*") => {
                for (place, (name, value)) in entries.iter().enumerate() {
                    if entries[place + 1..].iter().all(|(other, _)| other != name) {
                        self.at(message, value, parts, then, Some(name));
                    }
                }
            }
            (Tree::Array(values), "*") => {
                for (place, value) in values.iter().enumerate() {
                    self.at(message, value, parts, then, Some(&place.to_string()));
                }
            }
            (Tree::Scalar(_), "*") => self.nothing(),
            (tree, part) => match last(tree, part) {
                Some(value) => self.at(message, value, parts, then, key),
                None => self.nothing(),
            },
        }
    }

    fn end(&mut self, message: &Tree<'static>, tree: &Tree<'static>, then: &[Pointer], key: Option<&str>) {
        if let Some((pointer, then)) = then.split_first() {
            let Tree::Scalar(Scalar::Text(text)) = tree else { return self.nothing() };
            let text = embedded(text);
            match Tree::parse(&text).as_deref() {
                Some([value]) => self.at(message, &value.clone().owned(), &pointer.0, then, key),
                _ => self.nothing(),
            }
            return;
        }
        match tree {
            Tree::Array(values) => {
                values.iter().for_each(|value| self.reading(message, value, key, Kind::Other));
            }
            one => self.reading(message, one, key, Kind::Null),
        }
    }

    fn reading(&mut self, message: &Tree<'static>, tree: &Tree<'static>, key: Option<&str>, null: Kind) {
        let seen = match tree {
            Tree::Scalar(Scalar::Null) => Seen::other(null),
            Tree::Scalar(_) => Seen::other(Kind::Other),
            Tree::Object(_) | Tree::Array(_) => {
                let value = |(pointer, of_message): &(Pointer, bool)| {
                    value_of(if *of_message { message } else { tree }, pointer)
                };
                let values = self.paths.1.iter().map(value).collect();
                Seen { kind: Kind::Object, key: key.map(str::to_owned), values }
            }
        };
        self.seen.push((seen, Some(tree.clone())));
    }
}

/// The tree that is read from the JSON of a tree.
fn as_json(tree: &Tree<'_>) -> Tree<'static> {
    match Tree::parse(&tree.to_json()).as_deref() {
        Some([tree]) => tree.clone().owned(),
        other => panic!("{other:?}"),
    }
}

/// What a layout finds for each field.
#[derive(Default)]
struct Filled(HashMap<usize, Option<Scalar<'static>>>);

impl<'a> Fill<'a> for Filled {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn field(&mut self, index: usize, value: Option<&Scalar<'a>>) {
        self.0.insert(index, value.map(|value| value.clone().owned()));
    }
}

/// Compares the passes over a message; false if it is no sequence of values. The layout is learned from `like`.
fn compare(text: &str, like: &str, paths: &Paths) -> Result<bool, TestCaseError> {
    let mapping = Arc::new(mapping(paths));
    let plan = Plan::new(&mapping);
    let mut of_text = Found::default();
    let is_read = extract::of_text(&plan, text, &mut of_text);
    let trees = Tree::parse(text);
    prop_assert_eq!(is_read.is_some(), trees.is_some());
    let Some(trees) = trees else {
        let mut layouts = Layouts::default();
        layouts.learn(&plan, like);
        prop_assert!(!layouts.read(text, &mut Filled::default()), "read by the layout of {:?}", like);
        return Ok(false);
    };
    let trees: Vec<_> = trees.into_iter().map(Tree::owned).collect();

    let mut walk = Walk { paths, seen: Vec::new() };
    let (first, then) =
        paths.0.split_first().map_or((&[][..], &[][..]), |(first, then)| (&first.0[..], then));
    for tree in &trees {
        walk.at(tree, tree, first, then, None);
    }
    let expected: Vec<Seen> = walk.seen.iter().map(|(seen, _)| seen.clone()).collect();
    prop_assert_eq!(&seen(&mapping, &plan, &of_text), &expected, "a pass over the text");
    if expected.len() > 1 {
        for (reading, (_, tree)) in of_text.readings.iter().zip(&walk.seen) {
            let source = match &reading.source {
                Bytes::Bytes(range) => &text[range.clone()],
                Bytes::Json(json) => json,
            };
            let values = Tree::parse(source).unwrap_or_default();
            prop_assert_eq!(values.len(), 1, "{:?} is not a value", source);
            if let Some(tree) = tree {
                prop_assert_eq!(as_json(&values[0]), as_json(tree));
            }
        }
    }
    let (mut layouts, mut of_layout) = (Layouts::default(), Filled::default());
    if Tree::parse(like).is_some() {
        layouts.learn(&plan, like);
    }
    if layouts.read(text, &mut of_layout) {
        let values = (1..=paths.1.len()).map(|field| of_layout.0[&field].clone()).collect();
        let of_layout = Seen { kind: Kind::Object, key: None, values };
        prop_assert_eq!(&[of_layout][..], &expected, "by the layout of {:?}", like);
    }
    let mut of_trees = Vec::new();
    for tree in &trees {
        let mut found = Found::default();
        extract::of_tree(&plan, tree, &mut found);
        of_trees.extend(seen(&mapping, &plan, &found));
    }
    prop_assert_eq!(&of_trees, &expected, "a pass over the tree");
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn all_passes_find_the_same((text, _) in message(), paths in paths()) {
        prop_assert!(compare(&text, &text, &paths)?, "{text}");
    }

    #[test]
    fn all_passes_find_the_same_within_texts((text, paths) in embedding()) {
        prop_assert!(compare(&text, &text, &paths)?, "{text}");
    }

    #[test]
    fn a_text_is_read_exactly_if_it_has_a_tree(
        (text, _) in message(),
        paths in paths(),
        changes in prop::collection::vec((any::<Index>(), 0..3u8, select(&br#"0a '"\{}()[]:,.-*"#[..])), 1..3),
    ) {
        let mut bytes = text.clone().into_bytes();
        for (place, kind, byte) in changes {
            let place = place.index(bytes.len().max(1));
            match kind {
                0 if place < bytes.len() => bytes[place] = byte,
                1 if place < bytes.len() => _ = bytes.remove(place),
                _ => bytes.insert(place, byte),
            }
        }
        if let Ok(changed) = std::str::from_utf8(&bytes) {
            compare(changed, &text, &paths)?;
        }
    }
}
