//! Values as SQLite keeps them: milliseconds, signed integers, words, JSON.

use std::collections::BTreeMap;
use std::error::Error;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

/// A failed job: SQLite's error, which the worker gives its path and purpose, or one that says it all.
pub enum JobError {
    /// Of SQLite.
    Sqlite(rusqlite::Error),
    /// Of the store.
    Store(crate::StoreError),
}

impl From<rusqlite::Error> for JobError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<crate::StoreError> for JobError {
    fn from(error: crate::StoreError) -> Self {
        Self::Store(error)
    }
}

/// Marks a broken rule of uniqueness on `column` (`table.column`) as a taken name.
pub fn name_taken(error: rusqlite::Error, column: &str, name: &str) -> JobError {
    if let rusqlite::Error::SqliteFailure(failure, Some(message)) = &error
        && failure.code == rusqlite::ErrorCode::ConstraintViolation
        && message.strip_prefix("UNIQUE constraint failed: ") == Some(column)
    {
        return crate::StoreError::NameTaken {
            name: name.to_owned(),
        }
        .into();
    }
    error.into()
}

/// A word of a fixed list, as a column keeps it.
pub trait Word: Sized + Copy {
    /// The word.
    fn word(self) -> &'static str;

    /// The value of a word.
    fn from_word(word: &str) -> Option<Self>;
}

/// An unsigned number as SQLite keeps it.
pub fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A time as SQLite keeps it.
pub fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// Environment variables as SQLite keeps them.
pub fn json_of(map: &BTreeMap<String, String>) -> String {
    serde_json::to_string(map).expect("a map of strings is always JSON")
}

/// A list as SQLite keeps it.
pub fn json_list_of<T: serde::Serialize>(list: &[T]) -> rusqlite::Result<String> {
    serde_json::to_string(list).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// An unsigned column.
pub fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| bad(Type::Integer, error))
}

/// A column with a time.
pub fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(column)?).map_err(|error| bad(Type::Integer, error))
}

/// A column with a time or nothing.
pub fn optional_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis
        .map(Timestamp::from_millisecond)
        .transpose()
        .map_err(|error| bad(Type::Integer, error))
}

/// A column with a word of a list.
pub fn word<W: Word>(row: &Row<'_>, column: &str) -> rusqlite::Result<W> {
    let word: String = row.get(column)?;
    W::from_word(&word).ok_or_else(|| bad(Type::Text, format!("unknown word `{word}` in {column}")))
}

/// A column with a word of a list, or nothing.
pub fn optional_word<W: Word>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<W>> {
    match row.get::<_, Option<String>>(column)? {
        Some(_) => word(row, column).map(Some),
        None => Ok(None),
    }
}

/// A column with a JSON map of strings.
pub fn json_map(row: &Row<'_>, column: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| bad(Type::Text, error))
}

/// A column with a JSON list.
pub fn json_list<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<T>> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| bad(Type::Text, error))
}

fn bad(kind: Type, error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, error.into())
}

macro_rules! words_of_model {
    ($($type:ty),+) => {$(
        impl Word for $type {
            fn word(self) -> &'static str {
                self.word()
            }

            fn from_word(word: &str) -> Option<Self> {
                <$type>::from_word(word)
            }
        }
    )+};
}
words_of_model!(
    model::VmState,
    model::NetworkMode,
    model::BootWay,
    model::ImageKind,
    model::OperationState
);
