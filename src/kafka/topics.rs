//! Which topics a job reads: names, and patterns that match names.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

/// Names of topics, and regular expressions that begin with `^`. Written as one text, in which commas separate several,
/// or as a list.
///
/// ```
/// use truckflow::kafka::topics::Topics;
///
/// let topics = Topics::parse(["Truck-Data, ^fleet-[a-z]{1,3}$"])?;
/// let selects = |topic| topics.selects(topic, Some("fleet-x"));
/// assert!(selects("Truck-Data") && selects("fleet-ab"));
/// assert!(!selects("Truck-Data-2") && !selects("fleet-abcd") && !selects("fleet-x"));
/// assert_eq!(Topics::parse(["^("]).unwrap_err(), "`^(` is not a regular expression: unclosed group");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Topics(Vec<Choice>);

#[derive(Clone, Debug)]
enum Choice {
    Name(String),
    Pattern(Regex),
}

impl Choice {
    fn text(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

impl Topics {
    /// One topic.
    pub fn named(name: &str) -> Self {
        Self(vec![Choice::Name(name.to_owned())])
    }

    /// These names and patterns, of which each text may have several, separated by commas. Fails with a reason.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut choices: Vec<Choice> = Vec::new();
        for text in texts.into_iter().flat_map(separated) {
            if text.is_empty() {
                return Err("the name of a topic is empty".into());
            }
            if choices.iter().all(|choice| choice.text() != text) {
                choices.push(if text.starts_with('^') { pattern(text)? } else { Choice::Name(text.into()) });
            }
        }
        if choices.is_empty() { Err("no topic is named".into()) } else { Ok(Self(choices)) }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|choice| match choice {
            Choice::Name(name) => Some(name.as_str()),
            Choice::Pattern(_) => None,
        })
    }

    /// The patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &Regex> {
        self.0.iter().filter_map(|choice| match choice {
            Choice::Pattern(pattern) => Some(pattern),
            Choice::Name(_) => None,
        })
    }

    /// The name, if only one topic is named, without a pattern.
    pub fn single(&self) -> Option<&str> {
        match &*self.0 {
            [Choice::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// Whether a topic is named, or matches a pattern. Patterns match neither internal topics of Kafka nor `except`.
    pub fn selects(&self, topic: &str, except: Option<&str>) -> bool {
        let is_matched = || self.patterns().any(|pattern| matches(pattern, topic));
        self.names().any(|name| name == topic) || (except != Some(topic) && is_matched())
    }

    /// A number by which the partitions of topics are distributed to workers differently, so that topics with few
    /// partitions are not all read by the first worker. Each process of a cluster computes the same one, whichever topics
    /// it knows.
    pub fn shift(&self, topic: &str) -> usize {
        self.names().position(|name| name == topic).unwrap_or_else(|| xxh3_64(topic.as_bytes()) as usize >> 1)
    }
}

/// Whether a pattern matches the name of a topic, which is not an internal topic of Kafka.
pub fn matches(pattern: &Regex, topic: &str) -> bool {
    !topic.starts_with("__") && pattern.is_match(topic.as_bytes())
}

/// The parts of a text between its commas, except those in the braces of a pattern. No topic has a comma in its name.
fn separated(text: &str) -> impl Iterator<Item = &str> {
    let mut is_in_braces = false;
    let parts = text.split(move |letter| {
        match letter {
            '{' => is_in_braces = true,
            '}' => is_in_braces = false,
            _ => {}
        }
        letter == ',' && !is_in_braces
    });
    parts.map(str::trim)
}

fn pattern(text: &str) -> Result<Choice, String> {
    // Names of topics are ASCII.
    let pattern = RegexBuilder::new(text).unicode(false).build().map_err(|error| {
        let said = error.to_string();
        let reason = said.lines().last().unwrap_or_default();
        format!("`{text}` is not a regular expression: {}", reason.trim_start_matches("error: "))
    })?;
    Ok(Choice::Pattern(pattern))
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(Choice::text).collect();
        f.write_str(&texts.join(", "))
    }
}

impl PartialEq for Topics {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(Choice::text).eq(other.0.iter().map(Choice::text))
    }
}

impl Serialize for Topics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [choice] = &*self.0 {
            return serializer.serialize_str(choice.text());
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|choice| list.serialize_element(choice.text()))?;
        list.end()
    }
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Topics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic or a list of topics")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Topics, E> {
                Topics::parse([text]).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Topics, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Topics::parse(texts.iter().map(String::as_str)).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Topics, String> {
        Topics::parse(texts.iter().copied())
    }

    #[test]
    fn names_and_patterns_are_separated_by_commas() {
        for texts in [&["a, b,^c{1,2}$"][..], &["a", "b", "^c{1,2}$"], &["a,b", "a", "^c{1,2}$"]] {
            let topics = parse(texts).unwrap();
            assert_eq!(topics.to_string(), "a, b, ^c{1,2}$");
            assert_eq!(topics.names().collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(topics.single(), None);
        }
        assert_eq!(parse(&["a"]).unwrap().single(), Some("a"));
        assert_eq!(parse(&["^a"]).unwrap().single(), None);
        for nothing in [&[][..], &[""], &["a,"], &["a", " "]] {
            assert!(parse(nothing).is_err(), "{nothing:?}");
        }
    }

    #[test]
    fn a_pattern_matches_from_the_start_of_a_name_and_no_internal_topic() {
        let topics = parse(&[r"^fleet-\d+", "^_", "__named"]).unwrap();
        for (topic, selected) in [
            ("fleet-1", true),
            ("fleet-12-x", true),
            ("a-fleet-1", false),
            ("Fleet-1", false),
            ("_own", true),
            ("__consumer_offsets", false),
            ("__named", true),
        ] {
            assert_eq!(topics.selects(topic, None), selected, "{topic}");
        }
        assert!(parse(&["^(?i)FLEET"]).unwrap().selects("fleet-1", None));
        let named = parse(&["^a", "a-letters"]).unwrap();
        assert!(named.selects("a-letters", Some("a-letters")), "it is named");
    }

    #[test]
    fn topics_are_written_as_they_are_read() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Table {
            topic: Topics,
        }
        for text in ["topic = \"a\"\n", "topic = \"^a\"\n", "topic = [\"a\", \"^b\"]\n"] {
            let table: Table = toml::from_str(text).unwrap();
            assert_eq!(toml::to_string(&table).unwrap(), text);
        }
        for (text, reason) in [
            ("topic = 5", "expected a topic or a list of topics"),
            ("topic = []", "no topic is named"),
            ("topic = [\"^a[\"]", "`^a[` is not a regular expression: unclosed character class"),
        ] {
            let error = toml::from_str::<Table>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn topics_with_one_partition_are_distributed() {
        let named = parse(&["a", "b", "c"]).unwrap();
        assert_eq!(["a", "b", "c"].map(|topic| named.shift(topic)), [0, 1, 2]);
        let pattern = parse(&["^t"]).unwrap();
        let mut workers = [0; 4];
        for topic in 0..400 {
            workers[pattern.shift(&format!("t-{topic}")) % 4] += 1;
        }
        assert!(workers.iter().all(|topics| (80..120).contains(topics)), "{workers:?}");
    }
}
