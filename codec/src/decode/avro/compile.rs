//! From the JSON of a schema to types that refer to each other by number.
//!
//! The crate `apache-avro` checks the schema and resolves namespaces.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, Name, UuidSchema};
use serde_json::{Value, json};

use super::types::{Type, TypeId, Types};
use crate::decode::definition::{Reference, SchemaError};
use crate::text::time::Unit;

/// The field of [`wrapped`] that has the schema itself.
const ROOT: &str = "root";

pub(super) fn compile(text: &str, references: &[Reference]) -> Result<Types, SchemaError> {
    let schema = Schema::parse(&wrapped(text, references)?).map_err(SchemaError::of)?;
    let mut compiler = Compiler::default();
    let wrapper = compiler.compile(&schema)?;
    let root = match &compiler.types[wrapper] {
        Type::Record(fields) => fields.iter().find(|(name, _)| **name == *ROOT).map(|(_, root)| *root),
        _ => None,
    };
    let root = root.ok_or_else(|| SchemaError("it has no type".into()))?;
    Ok(Types { all: compiler.types, root })
}

/// One schema of all: a record whose fields have the references, and the schema itself behind them. So a name is
/// defined before it is used, as within a schema.
fn wrapped(text: &str, references: &[Reference]) -> Result<Value, SchemaError> {
    let mut fields = Vec::with_capacity(references.len() + 1);
    for (place, reference) in references.iter().enumerate() {
        let schema = read(&reference.schema)
            .map_err(|error| SchemaError(format!("reference {}: {error}", reference.name)))?;
        fields.push(json!({ "name": format!("reference{place}"), "type": schema }));
    }
    fields.push(json!({ "name": ROOT, "type": read(text)? }));
    Ok(json!({ "type": "record", "name": "_", "fields": fields }))
}

fn read(text: &str) -> Result<Value, SchemaError> {
    let mut schema = serde_json::from_str(text).map_err(SchemaError::of)?;
    reduce(&mut schema);
    Ok(schema)
}

/// Removes what the data of a writer do not need: a wrong default value, which registries accept, is no reason not to
/// read them.
fn reduce(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            for key in ["default", "aliases", "doc"] {
                entries.remove(key);
            }
            entries.values_mut().for_each(reduce);
        }
        Value::Array(elements) => elements.iter_mut().for_each(reduce),
        _ => {}
    }
}

#[derive(Default)]
struct Compiler {
    types: Vec<Type>,
    /// The types that have names.
    named: HashMap<Name, TypeId>,
}

impl Compiler {
    fn compile(&mut self, schema: &Schema) -> Result<TypeId, SchemaError> {
        let timestamp = |unit, local| Type::Timestamp { unit, local };
        let compiled = match schema {
            Schema::Null => Type::Null,
            Schema::Boolean => Type::Boolean,
            Schema::Int | Schema::TimeMillis => Type::Int,
            Schema::Long | Schema::TimeMicros => Type::Long,
            Schema::Float => Type::Float,
            Schema::Double => Type::Double,
            Schema::Bytes => Type::Bytes,
            Schema::String => Type::Text,
            Schema::BigDecimal => Type::BigDecimal,
            Schema::Date => Type::Date,
            Schema::TimestampMillis => timestamp(Unit::Millis, false),
            Schema::TimestampMicros => timestamp(Unit::Micros, false),
            Schema::TimestampNanos => timestamp(Unit::Nanos, false),
            Schema::LocalTimestampMillis => timestamp(Unit::Millis, true),
            Schema::LocalTimestampMicros => timestamp(Unit::Micros, true),
            Schema::LocalTimestampNanos => timestamp(Unit::Nanos, true),
            Schema::Uuid(UuidSchema::String) => Type::Text,
            Schema::Uuid(UuidSchema::Bytes) => Type::Uuid(None),
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                return Ok(self.name(&fixed.name, Type::Uuid(Some(fixed.size))));
            }
            Schema::Decimal(decimal) => return self.decimal(decimal),
            Schema::Fixed(fixed) | Schema::Duration(fixed) => {
                return Ok(self.name(&fixed.name, Type::Fixed(fixed.size)));
            }
            Schema::Enum(symbols) => {
                let names = symbols.symbols.iter().map(|symbol| symbol.as_str().into()).collect();
                return Ok(self.name(&symbols.name, Type::Enum(names)));
            }
            Schema::Array(array) => Type::Array(self.compile(&array.items)?),
            Schema::Map(map) => Type::Map(self.compile(&map.types)?),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.compile(branch));
                Type::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                // Its fields may use its name.
                let place = self.name(&record.name, Type::Record(Vec::new()));
                let fields = record.fields.iter();
                let fields =
                    fields.map(|field| Ok((field.name.as_str().into(), self.compile(&field.schema)?)));
                self.types[place] = Type::Record(fields.collect::<Result<_, SchemaError>>()?);
                return Ok(place);
            }
            Schema::Ref { name } => {
                let named = self.named.get(name).copied();
                return named.ok_or_else(|| SchemaError(format!("the type {name} is not defined")));
            }
        };
        Ok(self.add(compiled))
    }

    fn decimal(&mut self, decimal: &DecimalSchema) -> Result<TypeId, SchemaError> {
        let scale = i64::try_from(decimal.scale).map_err(SchemaError::of)?;
        Ok(match &decimal.inner {
            InnerDecimalSchema::Bytes => self.add(Type::Decimal(None, scale)),
            InnerDecimalSchema::Fixed(fixed) => {
                self.name(&fixed.name, Type::Decimal(Some(fixed.size), scale))
            }
        })
    }

    fn add(&mut self, compiled: Type) -> TypeId {
        self.types.push(compiled);
        self.types.len() - 1
    }

    /// Adds a type that has a name, with its logical type: where the name is used again, it has that as well.
    fn name(&mut self, name: &Name, compiled: Type) -> TypeId {
        let place = self.add(compiled);
        self.named.insert(name.clone(), place);
        place
    }
}
