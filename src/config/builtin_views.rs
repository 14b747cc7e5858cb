//! Which built-in views a job has.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Which built-in views a job maintains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BuiltinViews {
    /// All or none.
    All(bool),
    /// Those with these names.
    Names(Vec<String>),
}

// By hand, so that the error names what is expected; a text is a list with commas, as variables have it.
impl<'de> Deserialize<'de> for BuiltinViews {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Views;
        impl<'de> Visitor<'de> for Views {
            type Value = BuiltinViews;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a list of names of built-in views")
            }

            fn visit_bool<E: Error>(self, all: bool) -> Result<BuiltinViews, E> {
                Ok(BuiltinViews::All(all))
            }

            fn visit_str<E: Error>(self, list: &str) -> Result<BuiltinViews, E> {
                let names = list.split(',').map(|name| name.trim().to_owned());
                Ok(BuiltinViews::Names(names.filter(|name| !name.is_empty()).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BuiltinViews, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(BuiltinViews::Names(names))
            }
        }
        deserializer.deserialize_any(Views)
    }
}
