//! Envelopes of well-known producers, by their keys.

use super::shape::Step;
use super::value::Value;

/// An envelope around readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// Debezium: a changed row, before and after.
    Debezium,
    /// Kafka Connect's JsonConverter: a schema and what it describes.
    Connect,
    /// CloudEvents in structured mode.
    CloudEvents,
    /// Canal's flat messages: the changed rows of a table.
    Canal,
    /// Maxwell: a changed row.
    Maxwell,
}

impl Envelope {
    /// The envelope that most of the objects are.
    pub(super) fn of(values: &[&Value]) -> Option<Self> {
        let all = [Self::Debezium, Self::Connect, Self::CloudEvents, Self::Canal, Self::Maxwell];
        let is_most = |envelope: &Self| {
            let count = values.iter().filter(|value| envelope.is(value)).count();
            count > 0 && count * 10 >= values.len() * 8
        };
        all.into_iter().find(is_most)
    }

    fn is(self, value: &Value) -> bool {
        let Value::Object(entries) = value else { return false };
        let has = |key: &str| entries.iter().any(|(name, _)| **name == *key);
        let holds = |key: &str| {
            matches!(value.child(key), Some(Value::Object(_) | Value::List(_) | Value::Inside(_)))
        };
        let is_change = has("database") && has("table") && has("type") && holds("data");
        match self {
            Self::Debezium => has("op") && has("after") && (has("before") || has("source")),
            Self::Connect => entries.len() == 2 && has("schema") && has("payload"),
            Self::CloudEvents => has("specversion") && (holds("data") || holds("data_base64")),
            Self::Canal => is_change && matches!(value.child("data"), Some(Value::List(_))),
            Self::Maxwell => {
                is_change
                    && (has("xid") || has("ts"))
                    && matches!(value.child("data"), Some(Value::Object(_)))
            }
        }
    }

    /// The steps to what it is around.
    pub(super) fn steps(self, values: &[&Value]) -> Vec<Step> {
        let key = match self {
            Self::Debezium => "after",
            Self::Connect => "payload",
            Self::CloudEvents if values.iter().all(|value| value.child("data").is_none()) => "data_base64",
            Self::CloudEvents | Self::Canal | Self::Maxwell => "data",
        };
        let is_inside = |value: &&Value| matches!(value.child(key), Some(Value::Inside(_)));
        let mut steps = vec![Step::Key(key.into())];
        if values.iter().filter(|value| is_inside(value)).count() * 2 > values.len() {
            steps.push(Step::Inside);
        }
        steps
    }

    /// Keys next to the readings that say nothing about them.
    pub(super) fn ignored(self) -> &'static [&'static str] {
        match self {
            Self::Debezium => &[
                "before",
                "change_lsn",
                "commit_lsn",
                "commit_scn",
                "connector",
                "event_serial_no",
                "file",
                "gtid",
                "lsn",
                "pos",
                "query",
                "row",
                "schema",
                "scn",
                "sequence",
                "server_id",
                "snapshot",
                "thread",
                "transaction",
                "ts_ns",
                "ts_us",
                "txId",
                "version",
                "xmin",
            ],
            Self::Connect => &["schema"],
            Self::CloudEvents => &["specversion", "datacontenttype", "dataschema"],
            Self::Canal => &["old", "mysqlType", "sqlType", "pkNames", "sql", "isDdl"],
            Self::Maxwell => &["old", "xid", "commit", "xoffset", "position", "server_id", "thread_id"],
        }
    }

    /// Whether the times next to the readings are those of the transport.
    pub(super) fn is_transport(self) -> bool {
        self != Self::CloudEvents
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Debezium => "Debezium change events",
            Self::Connect => "JsonConverter of Kafka Connect",
            Self::CloudEvents => "CloudEvents",
            Self::Canal => "Canal's flat messages",
            Self::Maxwell => "Maxwell's changes",
        }
    }
}
