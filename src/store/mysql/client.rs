//! The two clients: mysql_async for the connection that commits, and sqlx for everything else, such as reading the
//! catalog and creating tables.
//!
//! The connection that commits stays with mysql_async as long as sqlx has no `LOAD DATA LOCAL` (sqlx issue 1766, pull
//! request 4265).

use std::fmt::Write as _;

use futures_util::TryStreamExt;
use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, DriverError, Params, QueryResult};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Either, Row as _};

use super::address::Address;
use super::errors::Fault;
use super::sql::literal;
use crate::render::sql_bytes;
use crate::store::bookkeeping::statement::{Row, Statement, Value};

/// A connection of a client.
pub(super) trait Client: Sized {
    /// Connects; the session is not set up yet.
    async fn connect(address: &Address) -> Result<Self, Fault>;

    /// Executes a statement; returns the number of rows that it matched or changed.
    async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Fault>;

    /// Passes the rows of a query to `take`. They come as text, which only statements that are not prepared give.
    async fn each(&mut self, query: &Statement<'_>, take: &mut dyn FnMut(Row)) -> Result<(), Fault>;

    /// Closes the connection properly, so that the server releases its locks at once.
    async fn close(self) -> Result<(), Fault>;
}

/// The SQL of a statement with its values in it.
pub(super) fn rendered(statement: &Statement<'_>) -> String {
    if statement.values.is_empty() {
        return statement.sql.to_string();
    }
    let mut sql = String::with_capacity(statement.bytes() + 16 * statement.values.len());
    let mut values = statement.values.iter();
    for (place, part) in statement.sql.split('?').enumerate() {
        if place > 0 {
            match values.next().unwrap_or(&Value::Null) {
                Value::Null => sql.push_str("NULL"),
                Value::Integer(number) => write!(sql, "{number}").expect("a String takes it"),
                Value::Text(text) => sql.push_str(&literal(text)),
                Value::Bytes(bytes) => {
                    let mut literal = Vec::new();
                    sql_bytes(bytes, &mut literal);
                    sql.push_str(&String::from_utf8_lossy(&literal));
                }
            }
        }
        sql.push_str(part);
    }
    sql
}

/// The number of rows that a statement matched, whether or not it changed them.
pub(super) async fn matched<P: Protocol>(done: QueryResult<'_, 'static, P>) -> Result<u64, Fault> {
    let rows = done.affected_rows();
    Ok(done.drop_result().await.map(|()| rows)?)
}

impl Client for Conn {
    async fn connect(address: &Address) -> Result<Self, Fault> {
        let Some(secured) = address.secured.clone() else {
            return Ok(Self::new(address.plain.clone()).await?);
        };
        match Self::new(secured).await {
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if address.may_be_plain =>
            {
                Ok(Self::new(address.plain.clone()).await?)
            }
            connected => Ok(connected?),
        }
    }

    async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Fault> {
        if statement.values.iter().any(|value| matches!(value, Value::Bytes(_))) {
            // Bound, because as text bytes would be twice as large.
            let bound = |value: &Value<'_>| match value {
                Value::Null => mysql_async::Value::NULL,
                Value::Integer(number) => (*number).into(),
                Value::Text(text) => (&**text).into(),
                Value::Bytes(bytes) => (*bytes).into(),
            };
            let values = Params::Positional(statement.values.iter().map(bound).collect());
            return matched(self.exec_iter(&*statement.sql, values).await?).await;
        }
        matched(self.query_iter(rendered(statement)).await?).await
    }

    async fn each(&mut self, query: &Statement<'_>, take: &mut dyn FnMut(Row)) -> Result<(), Fault> {
        let text = |value| match value {
            Some(mysql_async::Value::Bytes(bytes)) => Some(bytes),
            _ => None, // in the text protocol only NULL is not bytes
        };
        let rows = self.query_iter(rendered(query)).await?;
        let row = |row: mysql_async::Row| take(Row(row.unwrap_raw().into_iter().map(text).collect()));
        Ok(rows.for_each_and_drop(row).await?)
    }

    async fn close(self) -> Result<(), Fault> {
        Ok(self.disconnect().await?)
    }
}

/// A connection for everything except commits.
pub(super) enum CatalogClient {
    Sqlx(Box<MySqlConnection>),
    /// Where sqlx cannot be used: with `ssl-ca` ([`Address`]), or with a password that needs RSA.
    MysqlAsync(Conn),
}

impl Client for CatalogClient {
    async fn connect(address: &Address) -> Result<Self, Fault> {
        if let Some(options) = &address.to_read {
            match options.connect().await {
                // Without TLS a server asks for passwords encrypted by RSA, unless it saw the account lately. sqlx uses
                // the crate `rsa` for it, of which an attack on timing is known (RUSTSEC-2023-0071).
                Err(sqlx::Error::Configuration(reason)) if reason.to_string().contains("RSA") => {}
                connected => return Ok(Self::Sqlx(Box::new(connected?))),
            }
        }
        Ok(Self::MysqlAsync(Conn::connect(address).await?))
    }

    async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Fault> {
        match self {
            Self::MysqlAsync(connection) => connection.execute(statement).await,
            Self::Sqlx(connection) => {
                let sql = sqlx::raw_sql(AssertSqlSafe(rendered(statement)));
                Ok(sql.execute(connection.as_mut()).await?.rows_affected())
            }
        }
    }

    async fn each(&mut self, query: &Statement<'_>, take: &mut dyn FnMut(Row)) -> Result<(), Fault> {
        match self {
            Self::MysqlAsync(connection) => connection.each(query, take).await,
            Self::Sqlx(connection) => {
                let mut answer =
                    sqlx::raw_sql(AssertSqlSafe(rendered(query))).fetch_many(connection.as_mut());
                while let Some(part) = answer.try_next().await? {
                    if let Either::Right(row) = part {
                        take(text_row(&row)?);
                    }
                }
                Ok(())
            }
        }
    }

    async fn close(self) -> Result<(), Fault> {
        match self {
            Self::MysqlAsync(connection) => connection.close().await,
            Self::Sqlx(connection) => Ok(Connection::close(*connection).await?),
        }
    }
}

/// A row as text. Nothing is decoded, so the declared types of the columns do not matter.
fn text_row(row: &MySqlRow) -> Result<Row, sqlx::Error> {
    let field = |index| {
        let field: Option<&[u8]> = row.try_get_unchecked(index)?;
        Ok(field.map(<[u8]>::to_vec))
    };
    Ok(Row((0..row.len()).map(field).collect::<Result<_, sqlx::Error>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_into_a_statement() {
        let values = [Value::Null, 7.into(), r"it's \ ?".into(), (&b"\x00\xfe"[..]).into()];
        assert_eq!(
            rendered(&Statement::new("INSERT INTO t VALUES (?,?,?,?)", values)),
            r"INSERT INTO t VALUES (NULL,7,'it''s \\ ?',X'00FE')"
        );
        let quoted = "ALTER TABLE `really?` ADD c INT";
        assert_eq!(rendered(&Statement::new(quoted, [])), quoted);
    }
}
