//! From resolved definitions to types that refer to each other by number.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind as Described, MessageDescriptor,
    Syntax,
};

use super::types::{EnumType, Field, Kind, Label, MessageType, Root, Special, TypeId, Types};

/// The schema of messages of one type.
pub(super) fn one(root: &MessageDescriptor) -> (Types, Root) {
    let mut compiler = Compiler::default();
    let root = compiler.id(root);
    compiler.finish(Root::One(root))
}

/// The schema of messages that begin with the place of their type in a file.
pub(super) fn indexed(file: &FileDescriptor) -> (Types, Root) {
    let mut compiler = Compiler { has_nested: true, ..Compiler::default() };
    let top = file.messages().map(|message| Some(compiler.id(&message))).collect();
    compiler.finish(Root::Indexed(top))
}

#[derive(Default)]
struct Compiler {
    /// Those of `messages`, as far as they are compiled.
    types: Vec<MessageType>,
    messages: Vec<MessageDescriptor>,
    places: HashMap<String, TypeId>,
    enums: Vec<EnumType>,
    enum_places: HashMap<String, usize>,
    /// Whether types are compiled that no field has.
    has_nested: bool,
}

impl Compiler {
    fn finish(mut self, root: Root) -> (Types, Root) {
        // In a loop: types refer to each other in circles.
        while let Some(message) = self.messages.get(self.types.len()).cloned() {
            let compiled = self.message(&message);
            self.types.push(compiled);
        }
        self.mark_finished();
        (Types { messages: self.types, enums: self.enums }, root)
    }

    fn id(&mut self, message: &MessageDescriptor) -> TypeId {
        *self.places.entry(message.full_name().to_owned()).or_insert_with(|| {
            self.messages.push(message.clone());
            self.messages.len() - 1
        })
    }

    fn message(&mut self, message: &MessageDescriptor) -> MessageType {
        let described: Vec<_> = message.fields().collect();
        let mut oneofs: Vec<Vec<usize>> = Vec::new();
        let mut places = HashMap::new();
        let mut fields = Vec::with_capacity(described.len());
        for (place, field) in described.iter().enumerate() {
            let oneof = field.containing_oneof().filter(|oneof| oneof.fields().len() > 1);
            let oneof = oneof.map(|oneof| {
                *places.entry(oneof.full_name().to_owned()).or_insert_with(|| {
                    oneofs.push(Vec::new());
                    oneofs.len() - 1
                })
            });
            if let Some(oneof) = oneof {
                oneofs[oneof].push(place);
            }
            fields.push(Field {
                number: field.number(),
                name: field.name().into(),
                kind: self.kind(field),
                label: label(field),
                oneof,
            });
        }
        let nested = if self.has_nested { self.nested(message) } else { Vec::new() };
        let special = Special::of(message.full_name());
        MessageType { fields, oneofs, nested, special, is_finished: false }
    }

    /// The types in a message by their index. Clients in Java do not count the types of maps' entries, other clients do;
    /// where both indexes are of a type, Java's counts.
    fn nested(&mut self, message: &MessageDescriptor) -> Vec<Option<TypeId>> {
        let all: Vec<_> = message.child_messages().collect();
        let named: Vec<_> = all.iter().filter(|nested| !nested.is_map_entry()).collect();
        let at = |place| named.get(place).copied().or(all.get(place));
        let is_named = |nested: &&MessageDescriptor| !nested.is_map_entry();
        (0..all.len()).map(|place| at(place).filter(is_named).map(|nested| self.id(nested))).collect()
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Kind {
        match field.kind() {
            Described::Double => Kind::Double,
            Described::Float => Kind::Float,
            Described::Int32 => Kind::Int32,
            Described::Int64 => Kind::Int64,
            Described::Uint32 => Kind::Uint32,
            Described::Uint64 => Kind::Uint64,
            Described::Sint32 => Kind::Sint32,
            Described::Sint64 => Kind::Sint64,
            Described::Fixed32 => Kind::Fixed32,
            Described::Fixed64 => Kind::Fixed64,
            Described::Sfixed32 => Kind::Sfixed32,
            Described::Sfixed64 => Kind::Sfixed64,
            Described::Bool => Kind::Bool,
            Described::String => Kind::Text,
            Described::Bytes => Kind::Bytes,
            Described::Message(message) if field.is_group() => Kind::Group(self.id(&message)),
            Described::Message(message) => Kind::Message(self.id(&message)),
            Described::Enum(names) => Kind::Enum(self.names(&names)),
        }
    }

    fn names(&mut self, of: &EnumDescriptor) -> usize {
        *self.enum_places.entry(of.full_name().to_owned()).or_insert_with(|| {
            // Of names with the same number the first counts. `values` has them by number.
            let proto = of.enum_descriptor_proto();
            let mut names: Vec<(i32, Box<str>)> =
                proto.value.iter().map(|value| (value.number(), value.name().into())).collect();
            let first = names.first().map(|(_, name)| name.clone());
            names.sort_by_key(|(number, _)| *number);
            names.dedup_by_key(|(number, _)| *number);
            let is_closed = of.parent_file().syntax() == Syntax::Proto2;
            self.enums.push(EnumType { names, first, is_closed });
            self.enums.len() - 1
        })
    }

    /// Marks the types that need a second pass: special ones, those with required fields, and those with such a type in a
    /// field.
    fn mark_finished(&mut self) {
        for of in &mut self.types {
            let is_required = |field: &Field| field.label == Label::Required;
            of.is_finished = of.special.is_some() || of.fields.iter().any(is_required);
        }
        loop {
            let types = &self.types;
            let has_finished = |of: &MessageType| {
                of.fields.iter().any(|field| match field.kind {
                    Kind::Message(id) | Kind::Group(id) => types[id].is_finished,
                    _ => false,
                })
            };
            let new: Vec<TypeId> =
                (0..types.len()).filter(|id| !types[*id].is_finished && has_finished(&types[*id])).collect();
            if new.is_empty() {
                return;
            }
            new.into_iter().for_each(|id| self.types[id].is_finished = true);
        }
    }
}

fn label(field: &FieldDescriptor) -> Label {
    match field.cardinality() {
        _ if field.is_map() => Label::Map,
        Cardinality::Repeated => Label::Repeated,
        Cardinality::Required => Label::Required,
        Cardinality::Optional if field.supports_presence() => Label::Optional,
        Cardinality::Optional => Label::Implicit,
    }
}
