//! Rows as the server sends them.

use bytes::Bytes;
use mysql_async::{FromValueError, Row as Sent, Value, from_value_opt};

use crate::backend::{Counters, Fault, LeaseRow, Numbers, Payload, Row, StoredRow, names};

/// The columns of a row, from left to right.
pub(super) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub(super) fn of(row: Sent) -> Self {
        Self(row.unwrap().into_iter())
    }

    fn value(&mut self) -> Value {
        self.0.next().unwrap_or(Value::NULL)
    }

    /// A number, `None` for NULL.
    pub(super) fn optional(&mut self) -> Result<Option<i64>, Fault> {
        match self.value() {
            Value::NULL => Ok(None),
            value => from_value_opt(value)
                .map(Some)
                .map_err(|FromValueError(value)| Fault::Damaged(format!("{} is not a number", value.as_sql(true)))),
        }
    }

    /// A number, 0 where kine has left it NULL.
    pub(super) fn number(&mut self) -> Result<i64, Fault> {
        Ok(self.optional()?.unwrap_or(0))
    }

    /// Bytes, `None` for NULL.
    pub(super) fn bytes(&mut self) -> Option<Bytes> {
        match self.value() {
            Value::Bytes(bytes) => Some(bytes.into()),
            _ => None,
        }
    }

    /// A key from the columns `name` and `raw`, `None` for kine's own row.
    fn key(&mut self) -> Option<Vec<u8>> {
        let (name, raw) = (self.bytes()?, self.bytes());
        let name = std::str::from_utf8(&name).ok()?;
        names::decode_text(name, raw.as_deref()).map(<[u8]>::to_vec)
    }

    /// All but the values.
    pub(super) fn row(&mut self) -> Result<Row, Fault> {
        Ok(Row {
            id: self.number()?,
            key: self.key(),
            created: self.number()? != 0,
            deleted: self.number()? != 0,
            create_revision: self.number()?,
            prev_row: self.number()?,
            lease: self.number()?,
            revision: self.optional()?,
            version: self.optional()?,
        })
    }

    /// Everything.
    pub(super) fn stored(&mut self) -> Result<StoredRow, Fault> {
        Ok(StoredRow {
            row: self.row()?,
            sub: self.number()?,
            value: self.bytes(),
            old_value: self.bytes(),
        })
    }

    /// What watchers read, `None` for kine's own row, and the identifier.
    pub(super) fn payload(&mut self) -> Result<(i64, Option<Payload>), Fault> {
        let (id, key) = (self.number()?, self.key());
        let (sub, value, old_value) = (self.number()?, self.bytes(), self.bytes());
        let bytes = |value: Option<Bytes>| value.map(Vec::from).unwrap_or_default();
        let payload = key.map(|key| Payload {
            id,
            key,
            sub,
            value: bytes(value),
            old_value: bytes(old_value),
        });
        Ok((id, payload))
    }

    pub(super) fn lease(&mut self) -> Result<LeaseRow, Fault> {
        Ok(LeaseRow {
            id: self.number()?,
            ttl: self.number()?,
            left: self.optional()?,
        })
    }
}

/// The only number of the only row.
pub(super) fn single(rows: Vec<Sent>) -> Result<Option<i64>, Fault> {
    rows.into_iter()
        .next()
        .map_or(Ok(None), |row| Columns::of(row).optional())
}

/// Pairs of numbers.
pub(super) fn pairs(rows: Vec<Sent>) -> Result<Vec<(i64, i64)>, Fault> {
    rows.into_iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.number()?, columns.number()?))
        })
        .collect()
}

/// The numbers of the store, from table `kine_meta`.
pub(super) fn numbers(rows: Vec<Sent>) -> Result<Numbers, Fault> {
    let mut numbers = Numbers::default();
    let counters: &mut Counters = &mut numbers.counters;
    for row in rows {
        let mut columns = Columns::of(row);
        let (name, value) = (columns.bytes().unwrap_or_default(), columns.number()?);
        match name.as_ref() {
            b"cluster_id" => numbers.cluster_id = value,
            b"member_id" => numbers.member_id = value,
            b"epoch" => counters.epoch = value,
            b"lease_epoch" => counters.lease_epoch = value,
            b"revision" => counters.revision = value,
            b"last_row" => counters.last_row = value,
            b"compact_revision" => counters.compact_revision = Some(value),
            b"compact_row" => counters.compact_row = Some(value),
            b"alarms" => counters.alarms = value,
            _ => {}
        }
    }
    Ok(numbers)
}
