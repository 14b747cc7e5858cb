//! Messages that mean a value: times, durations, wrappers, JSON. They are replaced when all is read, because parts of a
//! message may come more than once.

use std::borrow::Cow;

use super::types::{Kind, Label, Special, TypeId, Types};
use crate::decode::decimal;
use crate::decode::tree::{Scalar, Tree};
use crate::decode::undecodable::Undecodable;
use crate::text::time::Unit;

/// The fields of a message, at the places of its type's.
pub(super) type Entries<'a> = Vec<(Cow<'a, str>, Tree<'a>)>;

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

impl Special {
    /// The value of a message with these fields. None if the type is not what its name says.
    fn value<'a>(self, entries: &mut Entries<'a>) -> Option<Tree<'a>> {
        let integer = |name: &str| match field(entries, name)? {
            Tree::Scalar(Scalar::Integer(value)) => Some(*value),
            _ => None,
        };
        let nanos = || Some(integer("seconds")? * SECOND + integer("nanos")?);
        Some(match self {
            Self::Timestamp => {
                Tree::Scalar(Scalar::Time { nanos: nanos()?, unit: Unit::Nanos, local: false })
            }
            Self::Duration => {
                let seconds = decimal::scaled(nanos()?.to_string(), 9);
                let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
                Tree::Scalar(Scalar::Number(Cow::Owned(seconds.to_owned())))
            }
            Self::Wrapper => match &mut entries[..] {
                [(_, value)] => std::mem::replace(value, Tree::Scalar(Scalar::Null)),
                _ => return None,
            },
            Self::Value => {
                let is_set = |(name, value): &&mut (Cow<'a, str>, Tree<'a>)| {
                    name != "null_value" && *value != Tree::Scalar(Scalar::Null)
                };
                let value = entries.iter_mut().find(is_set).map(|(_, value)| value);
                let null = Tree::Scalar(Scalar::Null);
                value.map_or(null.clone(), |value| std::mem::replace(value, null))
            }
        })
    }
}

fn field<'t, 'a>(entries: &'t Entries<'a>, name: &str) -> Option<&'t Tree<'a>> {
    entries.iter().find(|(of, _)| of == name).map(|(_, value)| value)
}

impl Types {
    /// Checks that a message and all inside it have their required fields, and replaces those that mean a value.
    pub(super) fn finish(&self, id: TypeId, tree: &mut Tree<'_>) -> Result<(), Undecodable> {
        let of = &self.messages[id];
        let (true, Tree::Object(entries)) = (of.is_finished, &mut *tree) else { return Ok(()) };
        for (field, (_, value)) in of.fields.iter().zip(entries.iter_mut()) {
            if field.label == Label::Required && *value == Tree::Scalar(Scalar::Null) {
                return Err(Undecodable::Malformed);
            }
            let (Kind::Message(inner) | Kind::Group(inner)) = field.kind else { continue };
            match (field.label, value) {
                (Label::Map, Tree::Object(entries)) => {
                    if let [_, of_value] = &self.messages[inner].fields[..]
                        && let Kind::Message(inner) = of_value.kind
                    {
                        entries.iter_mut().try_for_each(|(_, value)| self.finish(inner, value))?;
                    }
                }
                (_, Tree::Array(elements)) => {
                    elements.iter_mut().try_for_each(|value| self.finish(inner, value))?;
                }
                (_, value) => self.finish(inner, value)?,
            }
        }
        if let Some(value) = of.special.and_then(|special| special.value(entries)) {
            *tree = value;
        }
        Ok(())
    }
}
