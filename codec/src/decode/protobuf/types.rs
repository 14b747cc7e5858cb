//! The types of messages.

/// All types, which refer to each other by number.
#[derive(Debug)]
pub(super) struct Types {
    pub messages: Vec<MessageType>,
    pub enums: Vec<EnumType>,
}

/// Which type a message has.
#[derive(Debug)]
pub(super) enum Root {
    /// Always the same.
    One(TypeId),
    /// A message begins with the place of its type in the file: among these, then among those nested in it.
    Indexed(Vec<Option<TypeId>>),
}

/// The place of a type in [`Types::messages`].
pub(super) type TypeId = usize;

/// The type of a message.
#[derive(Debug, Default)]
pub(super) struct MessageType {
    /// In the order of their numbers.
    pub fields: Vec<Field>,
    /// The fields of each oneof with more than one.
    pub oneofs: Vec<Vec<usize>>,
    /// The types defined in it, by the index that a message has.
    pub nested: Vec<Option<TypeId>>,
    pub special: Option<Special>,
    /// Whether it or a type inside it is special or has required fields.
    pub is_finished: bool,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    pub name: Box<str>,
    pub kind: Kind,
    pub label: Label,
    /// Its place in `oneofs`.
    pub oneof: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// With a value even if it is absent.
    Implicit,
    Optional,
    Required,
    Repeated,
    /// Its type is that of the entries.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    /// The place in [`Types::enums`].
    Enum(usize),
    Message(TypeId),
    Group(TypeId),
}

#[derive(Debug)]
pub(super) struct EnumType {
    /// By number.
    pub names: Vec<(i32, Box<str>)>,
    /// The name of the value that a field without presence has if it is absent.
    pub first: Option<Box<str>>,
    /// Whether a field with another number counts as absent.
    pub is_closed: bool,
}

impl EnumType {
    pub fn name(&self, number: i32) -> Option<&str> {
        let place = self.names.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.names[place].1)
    }
}

impl MessageType {
    /// The place of a field. `next` is where it is if the fields come in order.
    #[inline]
    pub fn find(&self, number: u32, next: &mut usize) -> Option<usize> {
        let is_here = |place: usize| self.fields.get(place).is_some_and(|field| field.number == number);
        let place = if is_here(*next) {
            *next
        } else if *next > 0 && is_here(*next - 1) {
            *next - 1
        } else {
            self.fields.binary_search_by_key(&number, |field| field.number).ok()?
        };
        *next = place + 1;
        Some(place)
    }
}

/// What a message of a known type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// A time.
    Timestamp,
    /// A number of seconds.
    Duration,
    /// Its only field: a value that may be null.
    Wrapper,
    /// The value of one of its fields: any JSON.
    Value,
}

impl Special {
    /// The meaning of a type with this full name.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("google.protobuf.")? {
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue" | "Struct" | "ListValue" => Self::Wrapper,
            "Value" => Self::Value,
            _ => return None,
        })
    }
}
