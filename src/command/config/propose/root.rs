//! Where the readings of a message are: the message itself, the list of them in it, or what an envelope is around.
//!
//! Fields outside of the root can be looked up in the whole message, but not below a list. So a list is taken only if its
//! elements look like readings: they have times and numbers that the message around them lacks.

use super::envelope::Envelope;
use super::kind::{self, Kind};
use super::shape::{self, Column, Path, Place, Step};
use super::value::Value;
use super::words::{names_label, words};

/// Values that are looked at.
const LOOKED_AT: usize = 400;
/// How many places of lists are compared.
const MAX_PLACES: usize = 20;
/// How deep lists of readings may be.
const MAX_DEPTH: usize = 6;
/// Keys under which producers send lists of readings.
const LISTS: [&str; 40] = [
    "batch",
    "data",
    "datapoints",
    "detections",
    "entity",
    "entities",
    "entries",
    "entry",
    "events",
    "features",
    "fixes",
    "history",
    "items",
    "list",
    "locations",
    "measurements",
    "messages",
    "metrics",
    "observations",
    "packets",
    "payload",
    "points",
    "positions",
    "readings",
    "records",
    "results",
    "rows",
    "samples",
    "sensors",
    "series",
    "signals",
    "states",
    "stats",
    "telemetry",
    "track",
    "trackpoints",
    "updates",
    "values",
    "vehicles",
    "waypoints",
];

/// Where readings are.
#[derive(Clone, Debug, Default)]
pub(super) struct Root {
    /// The steps from the message.
    pub(super) path: Path,
    /// The envelopes on the way.
    pub(super) envelopes: Vec<Envelope>,
}

impl Root {
    /// The values at the root of a message, of a list there its elements; none if there is nothing.
    pub(super) fn find<'v>(&self, value: &'v Value) -> Option<Vec<&'v Value>> {
        let mut found = vec![value];
        for step in &self.path {
            found = found.into_iter().flat_map(|value| follow(value, step)).collect();
        }
        (!found.is_empty()).then(|| found.into_iter().flat_map(elements).collect())
    }

    /// Whether the path goes through the values of an object, whose keys are data.
    pub(super) fn key_of_map(&self, messages: &[&Value]) -> Option<String> {
        let at = self.path.iter().rposition(|step| *step == Step::Every)?;
        let before = &self.path[..at];
        let is_map = messages.iter().any(|value| matches!(at_place(value, before), Some(Value::Object(_))));
        let name = before.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.to_string()),
            Step::Every | Step::Inside => None,
        });
        is_map.then(|| name.unwrap_or_default())
    }
}

fn follow<'v>(value: &'v Value, step: &Step) -> Vec<&'v Value> {
    match (step, value) {
        (Step::Key(key), _) => value.child(key).into_iter().collect(),
        (Step::Every, Value::List(elements)) => elements.iter().collect(),
        (Step::Every, Value::Object(entries)) => entries.iter().map(|(_, value)| value).collect(),
        (Step::Inside, Value::Inside(inside)) => vec![inside],
        _ => Vec::new(),
    }
}

/// The first value at a place.
fn at_place<'v>(value: &'v Value, place: &[Step]) -> Option<&'v Value> {
    place.iter().try_fold(value, |value, step| follow(value, step).first().copied())
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::List(elements) => elements.iter().collect(),
        value => vec![value],
    }
}

/// The root of messages.
pub(super) fn choose(messages: &[&Value]) -> Root {
    let mut root = Root::default();
    let step = messages.len().div_ceil(LOOKED_AT).max(1);
    let mut values: Vec<&Value> = messages.iter().step_by(step).copied().collect();
    let is_most = |values: &[&Value], of: fn(&Value) -> bool| {
        values.iter().filter(|value| of(value)).count() * 10 >= values.len() * 8 && !values.is_empty()
    };
    let is_list = |value: &Value| matches!(value, Value::List(_));
    let is_text = |value: &Value| matches!(value, Value::Inside(_));
    let enter = |root: &mut Root, values: &mut Vec<&Value>, steps: Vec<Step>| {
        for step in steps {
            *values = values.iter().flat_map(|value| follow(value, &step)).collect();
            root.path.push(step);
        }
        // An envelope may be empty.
        values.retain(|value| !value.is_null());
    };
    if is_most(&values, is_text) {
        enter(&mut root, &mut values, vec![Step::Inside]);
    }
    while root.path.len() < MAX_DEPTH
        && let Some(envelope) = Envelope::of(&values)
    {
        let steps = envelope.steps(&values);
        root.envelopes.push(envelope);
        enter(&mut root, &mut values, steps);
    }
    let lists = values.iter().filter(|value| is_list(value)).count();
    let flat: Vec<&Value> = values.iter().flat_map(|value| elements(value)).take(LOOKED_AT).collect();
    // Of objects and lists in one topic, a pointer can only enter one.
    let is_mixed = lists > 0 && lists < values.len();
    let steps = if is_mixed { Path::new() } else { best(&flat, MAX_DEPTH).steps };
    if !steps.is_empty() {
        root.path.extend((lists > 0).then_some(Step::Every));
        root.path.extend(steps);
    } else if lists == 0 {
        root.path.extend(wrapper(&flat).unwrap_or_default());
    }
    root
}

/// What values consist of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Content {
    /// Whether half of them have a time.
    has_time: bool,
    /// Numbers that are measured.
    measures: usize,
    /// All values.
    leaves: usize,
}

impl Content {
    fn of<'c, 'v: 'c>(columns: impl Iterator<Item = &'c Column<'v>>, values: usize) -> Self {
        let (mut content, mut times) = (Self::default(), 0);
        for column in columns {
            let Some(typed) = kind::of(column) else { continue };
            content.leaves += 1;
            let last = column.place.keys().last().map(|key| words(key)).unwrap_or_default();
            match typed.kind {
                Kind::Time(_) => times += column.values.len(),
                Kind::Number if !names_label(&last) => content.measures += 1,
                _ => {}
            }
        }
        content.has_time = times > 0 && times * 2 >= values;
        content
    }
}

/// The best root below some values.
struct Best {
    steps: Path,
    content: Content,
}

/// Looks for the list of readings below values.
fn best<'v>(values: &[&'v Value], depth: usize) -> Best {
    let shape = shape::of_readings(values.iter().copied());
    let stay = Best { steps: Path::new(), content: Content::of(shape.columns.iter(), values.len()) };
    let objects: Vec<&Value> =
        values.iter().filter(|value| matches!(value, Value::Object(_))).copied().collect();
    if depth == 0 || objects.is_empty() {
        return stay;
    }
    let mut found: Option<Best> = None;
    for place in parts(&objects) {
        let there = |value: &&'v Value| at_place(value, &place);
        let (with, without): (Vec<&Value>, Vec<&Value>) = objects
            .iter()
            .partition(|value| there(value).is_some_and(|value| !elements_of(value, &place).is_empty()));
        let inner: Vec<&Value> = with
            .iter()
            .filter_map(there)
            .flat_map(|value| elements_of(value, &place))
            .take(LOOKED_AT)
            .collect();
        let is_readings = |value: &&&Value| matches!(value, Value::Object(_) | Value::List(_));
        if inner.iter().filter(is_readings).count() * 10 < inner.len() * 8 {
            continue;
        }
        let others = shape::of_readings(without.iter().copied());
        let others = Content::of(others.columns.iter(), without.len());
        let present = with.len() * 10 >= objects.len() * 8;
        if !present && (with.len() * 10 < objects.len() * 3 || others.measures > 0) {
            continue;
        }
        let below = |path: &[Step]| path.starts_with(list_of(&place));
        let rest =
            Content::of(shape.columns.iter().filter(|column| !below(column.place.path())), values.len());
        let within = best(&inner, depth - 1);
        let is_map = place.last() == Some(&Step::Every);
        let is_row = inner.iter().any(|value| matches!(value, Value::List(_)));
        let elements = Elements { content: within.content, always: without.is_empty(), is_map, is_row };
        if !is_taken(&place, rest, elements) {
            continue;
        }
        let is_better = found.as_ref().is_none_or(|found| within.content > found.content);
        if is_better {
            let mut steps = place.clone();
            if !within.steps.is_empty() && !is_map {
                steps.push(Step::Every);
            }
            steps.extend(within.steps);
            found = Some(Best { steps, content: within.content });
        }
    }
    found.unwrap_or(stay)
}

/// The path to the list or map itself.
fn list_of(place: &[Step]) -> &[Step] {
    place.strip_suffix(&[Step::Every]).unwrap_or(place)
}

/// The elements at a place: of a map it already leads to the first of them.
fn elements_of<'v>(value: &'v Value, place: &[Step]) -> Vec<&'v Value> {
    match value {
        _ if place.last() == Some(&Step::Every) => vec![value],
        Value::List(elements) => elements.iter().collect(),
        _ => Vec::new(),
    }
}

/// The elements of a list or map.
struct Elements {
    content: Content,
    /// Whether all messages have some.
    always: bool,
    /// Whether they are the values of an object.
    is_map: bool,
    /// Whether they are lists.
    is_row: bool,
}

/// Whether the elements at a place are readings, and what is around them is not.
fn is_taken(place: &[Step], rest: Content, elements: Elements) -> bool {
    let last = place.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(words(key).concat()),
        Step::Every | Step::Inside => None,
    });
    let is_listed = last.is_some_and(|last| LISTS.contains(&&*last));
    let Elements { content: within, always, is_map, is_row } = elements;
    if is_map {
        return within.has_time && within.measures >= 2 && rest.measures == 0;
    }
    if within.has_time && !rest.has_time {
        // A list of the times of something else, next to what is measured, is no list of readings.
        return within.measures > 0 || rest.measures == 0;
    }
    if within.has_time {
        return is_listed && within.measures >= rest.measures
            || rest.measures == 0 && within.measures > 0 && within.leaves > rest.leaves;
    }
    // Pairs of coordinates are no readings.
    let is_known = is_listed || !is_row;
    let has_time_around = rest.has_time && rest.measures == 0 && within.leaves >= 2;
    always && is_known && (has_time_around || rest.leaves == 0 && within.leaves > 0)
}

/// The places of lists with objects or lists in them, and of objects whose keys are data.
fn parts(objects: &[&Value]) -> Vec<Path> {
    let mut places = Vec::new();
    let mut maps: Vec<(Path, usize, usize)> = Vec::new();
    for object in objects {
        find_parts(object, &mut Path::new(), &mut places, &mut maps);
    }
    let is_map = |(_, keys, with_digit): &&(Path, usize, usize)| *keys >= 3 && with_digit * 10 >= keys * 6;
    places.extend(maps.iter().filter(is_map).map(|(path, ..)| {
        let mut path = path.clone();
        path.push(Step::Every);
        path
    }));
    places
}

fn find_parts(value: &Value, path: &mut Path, places: &mut Vec<Path>, maps: &mut Vec<(Path, usize, usize)>) {
    match value {
        Value::List(elements) => {
            let nested = elements.iter().any(|element| matches!(element, Value::Object(_) | Value::List(_)));
            if nested && places.len() < MAX_PLACES && !places.contains(path) {
                places.push(path.clone());
            }
        }
        Value::Object(entries) if path.len() < 4 => {
            if entries.iter().all(|(_, value)| matches!(value, Value::Object(_) | Value::List(_))) {
                let with_digit =
                    entries.iter().filter(|(key, _)| key.bytes().any(|byte| byte.is_ascii_digit())).count();
                match maps.iter_mut().find(|(known, ..)| known == path) {
                    Some((_, keys, digits)) => {
                        *keys += entries.len();
                        *digits += with_digit;
                    }
                    None => maps.push((path.clone(), entries.len(), with_digit)),
                }
            }
            for (key, value) in entries {
                // `*` has another meaning in a root.
                if **key != *"*" {
                    path.push(Step::Key(key.clone()));
                    find_parts(value, path, places, maps);
                    path.pop();
                }
            }
        }
        Value::Inside(inside) => {
            path.push(Step::Inside);
            find_parts(inside, path, places, maps);
            path.pop();
        }
        Value::Object(_) | Value::Leaf(_) => {}
    }
}

/// The steps to an object that is in all values and has nearly all of what they have.
fn wrapper(values: &[&Value]) -> Option<Path> {
    let mut steps = Path::new();
    let mut values = values.to_vec();
    for _ in 0..3 {
        let shape = shape::of_readings(values.iter().copied());
        let Value::Object(entries) = values.first()? else { break };
        let found = entries.iter().find_map(|(key, _)| {
            let mut path = vec![Step::Key(key.clone())];
            let is_text = |value: &&&Value| matches!(value.child(key), Some(Value::Inside(_)));
            path.extend((values.iter().filter(is_text).count() == values.len()).then_some(Step::Inside));
            let inner: Vec<&Value> = values.iter().filter_map(|value| at_place(value, &path)).collect();
            if inner.len() < values.len() || !inner.iter().all(|value| matches!(value, Value::Object(_))) {
                return None;
            }
            let columns = || shape.columns.iter();
            let below =
                |column: &&Column<'_>| matches!(&column.place, Place::Reading(at) if at.starts_with(&path));
            let within = Content::of(columns().filter(below), values.len());
            let rest = Content::of(columns().filter(|column| !below(column)), values.len());
            let is_whole = within.has_time
                && within.measures >= 3
                && within.measures > 3 * rest.measures
                && within.leaves > rest.leaves;
            let is_text = path.len() > 1 && within.measures > rest.measures;
            (is_whole || is_text).then_some((path, inner))
        });
        let Some((path, inner)) = found else { break };
        steps.extend(path);
        values = inner;
    }
    (!steps.is_empty()).then_some(steps)
}

/// JSON Pointers of a path; each next one begins inside the text that the one before found.
pub(super) fn pointers(path: &[Step]) -> Vec<String> {
    let mut pointers = vec![String::new()];
    for step in path {
        let last = pointers.last_mut();
        match (step, last) {
            (Step::Inside, _) => pointers.push(String::new()),
            (Step::Key(key), Some(last)) => {
                last.push('/');
                last.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            (Step::Every, Some(last)) => last.push_str("/*"),
            (_, None) => {}
        }
    }
    pointers
}
