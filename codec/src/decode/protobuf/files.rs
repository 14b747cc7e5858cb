//! The files of definitions: parsed from text or bytes, with their imports, and resolved by the crate `prost-reflect`.

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, FileDescriptorProto, FileDescriptorSet, MessageOptions,
};
use prost_reflect::{DescriptorPool, FileDescriptor};

use super::known;
use crate::decode::definition::{Reference, SchemaError};

/// The path of the file that no other imports.
const ROOT: &str = "schema of the registry";
/// How deeply the brackets of a text may be nested: parsers call themselves for each.
const MAX_BRACKETS: usize = 100;

/// The file of a registry's schema.
pub(super) fn of_registry(schema: &str, references: &[Reference]) -> Result<FileDescriptor, SchemaError> {
    let mut files = Vec::with_capacity(references.len() + 1);
    for reference in references {
        let file = read(&reference.name, &reference.schema);
        files.push(file.map_err(|error| SchemaError(format!("reference {}: {error}", reference.name)))?);
    }
    files.push(read(ROOT, schema)?);
    let root = resolve(files)?.get_file_by_name(ROOT);
    root.ok_or_else(|| SchemaError("it has no file".into()))
}

/// The files of a `FileDescriptorSet`.
pub(super) fn of_descriptor_set(set: &[u8]) -> Result<DescriptorPool, SchemaError> {
    let set = FileDescriptorSet::decode(set).map_err(|_| {
        SchemaError(
            "it is not a descriptor set; make it with protoc --include_imports --descriptor_set_out".into(),
        )
    })?;
    resolve(set.file)
}

/// A file from its text, or from its `FileDescriptorProto` in base64.
fn read(path: &str, schema: &str) -> Result<FileDescriptorProto, SchemaError> {
    let serialized = BASE64_STANDARD.decode(schema.trim()).ok();
    let serialized = serialized.and_then(|bytes| FileDescriptorProto::decode(&*bytes).ok());
    let file = match serialized {
        Some(file) => file,
        None => parse(path, schema)?,
    };
    Ok(FileDescriptorProto { name: Some(path.to_owned()), ..file })
}

fn parse(path: &str, text: &str) -> Result<FileDescriptorProto, SchemaError> {
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => open += 1,
            b'}' | b']' | b')' | b'>' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_BRACKETS {
            return Err(SchemaError("it is nested too deeply".into()));
        }
    }
    protox_parse::parse(path, text).map_err(SchemaError::of)
}

fn resolve(mut files: Vec<FileDescriptorProto>) -> Result<DescriptorPool, SchemaError> {
    let mut have: HashSet<String> = files.iter().map(|file| file.name().to_owned()).collect();
    // The crate panics on another one.
    if let Some(other) = files.iter().find(|file| !["", "proto2", "proto3"].contains(&file.syntax())) {
        return Err(SchemaError(format!(
            "{} has the syntax `{}`; expected proto2 or proto3",
            other.name(),
            other.syntax()
        )));
    }
    let mut done = 0;
    while let Some(file) = files.get_mut(done) {
        let missing = reduce(file, &mut have);
        files.extend(missing);
        done += 1;
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files).map_err(SchemaError::of)?;
    Ok(pool)
}

/// Removes what messages are read without: options, which may be of types that nobody has, extensions and services.
/// Imports that are not in `have` are returned if they are of every registry, otherwise removed: if a type is missing
/// then, resolving names it.
fn reduce(file: &mut FileDescriptorProto, have: &mut HashSet<String>) -> Vec<FileDescriptorProto> {
    file.options = None;
    file.service.clear();
    file.extension.clear();
    file.source_code_info = None;
    file.message_type.iter_mut().for_each(reduce_message);
    file.enum_type.iter_mut().for_each(reduce_enum);

    let mut added = Vec::new();
    let (mut kept, mut public) = (Vec::new(), Vec::new());
    for (place, path) in std::mem::take(&mut file.dependency).into_iter().enumerate() {
        if !have.contains(&path) {
            let Some(known) = known::file(&path) else { continue };
            have.insert(path.clone());
            added.push(known);
        }
        if file.public_dependency.iter().any(|public| usize::try_from(*public) == Ok(place)) {
            public.extend(i32::try_from(kept.len()));
        }
        kept.push(path);
    }
    (file.dependency, file.public_dependency) = (kept, public);
    file.weak_dependency.clear();
    added
}

fn reduce_message(message: &mut DescriptorProto) {
    let is_map = message.options.as_ref().and_then(|options| options.map_entry);
    message.options = is_map.map(|is_map| MessageOptions { map_entry: Some(is_map), ..Default::default() });
    message.extension.clear();
    for field in &mut message.field {
        field.options = None;
        field.default_value = None;
    }
    message.oneof_decl.iter_mut().for_each(|oneof| oneof.options = None);
    message.extension_range.iter_mut().for_each(|range| range.options = None);
    message.nested_type.iter_mut().for_each(reduce_message);
    message.enum_type.iter_mut().for_each(reduce_enum);
}

fn reduce_enum(names: &mut EnumDescriptorProto) {
    names.options = Some(EnumOptions { allow_alias: Some(true), ..Default::default() });
    names.value.iter_mut().for_each(|value| value.options = None);
}
