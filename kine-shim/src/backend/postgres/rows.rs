//! How what PostgreSQL answers is read.

use bytes::Bytes;
use futures::TryStreamExt;
use tokio_postgres::{
    Client, Error, Row as Found, Statement,
    types::{BorrowToSql, FromSql},
};

use super::errors::fault;
use crate::backend::{Counters, Fault, LeaseRow, Numbers, Row, StoredRow, names};

/// A column, which must have the type it was given.
pub(super) fn column<'a, T: FromSql<'a>>(found: &'a Found, at: usize) -> Result<T, Fault> {
    found.try_get(at).map_err(|error| fault(&error))
}

/// A number that kine may have left NULL.
fn number(found: &Found, at: usize) -> Result<i64, Fault> {
    Ok(column::<Option<i64>>(found, at)?.unwrap_or(0))
}

fn flag(found: &Found, at: usize) -> Result<bool, Fault> {
    Ok(column::<Option<i32>>(found, at)?.unwrap_or(0) != 0)
}

/// A value.
pub(super) fn bytes(found: &Found, at: usize) -> Result<Option<Bytes>, Fault> {
    Ok(column::<Option<&[u8]>>(found, at)?.map(Bytes::copy_from_slice))
}

/// The key in the columns `name` and `raw_name`, which follow each other; `None` for kine's own row.
pub(super) fn key(found: &Found, at: usize) -> Result<Option<Vec<u8>>, Fault> {
    let Some(name) = column::<Option<&str>>(found, at)? else {
        return Ok(None);
    };
    let raw: Option<&[u8]> = column(found, at + 1)?;
    Ok(names::decode_text(name, raw).map(<[u8]>::to_vec))
}

/// Reads the columns that every statement about rows begins with.
pub(super) fn row(found: &Found) -> Result<Row, Fault> {
    Ok(Row {
        id: column(found, 0)?,
        key: key(found, 1)?,
        created: flag(found, 3)?,
        deleted: flag(found, 4)?,
        create_revision: number(found, 5)?,
        prev_row: number(found, 6)?,
        lease: number(found, 7)?,
        revision: column(found, 8)?,
        version: column(found, 9)?,
    })
}

/// A row with its values.
pub(super) fn stored_row(found: &Found) -> Result<StoredRow, Fault> {
    Ok(StoredRow {
        row: row(found)?,
        sub: number(found, 10)?,
        value: bytes(found, 11)?,
        old_value: bytes(found, 12)?,
    })
}

/// The numbers, but for the row up to which kine has compacted.
pub(super) fn numbers(found: &[Found]) -> Result<Numbers, Fault> {
    let missing = || Fault::Damaged("table kine_counters has no row".into());
    let found = found.first().ok_or_else(missing)?;
    Ok(Numbers {
        cluster_id: column(found, 7)?,
        member_id: column(found, 8)?,
        kine_compact_row: 0,
        counters: Counters {
            epoch: column(found, 0)?,
            lease_epoch: column(found, 1)?,
            revision: column(found, 2)?,
            last_row: column(found, 3)?,
            compact_revision: column(found, 4)?,
            compact_row: column(found, 5)?,
            alarms: column(found, 6)?,
        },
    })
}

/// A lease.
pub(super) fn lease(found: &Found) -> Result<LeaseRow, Fault> {
    Ok(LeaseRow {
        id: column(found, 0)?,
        ttl: column(found, 1)?,
        left: column(found, 2)?,
    })
}

/// Two numbers.
pub(super) fn pair(found: &Found) -> Result<(i64, i64), Fault> {
    Ok((column(found, 0)?, column(found, 1)?))
}

/// Calls `each` with every row a statement finds, as they arrive, until it fails.
pub(super) async fn each<P, I>(
    client: &Client,
    statement: &Statement,
    params: I,
    mut each: impl FnMut(&Found) -> Result<(), Fault>,
) -> Result<(), Fault>
where
    P: BorrowToSql,
    I: IntoIterator<Item = P>,
    I::IntoIter: ExactSizeIterator,
{
    let translate = |error: Error| fault(&error);
    let found = client.query_raw(statement, params).await.map_err(translate)?;
    let mut found = std::pin::pin!(found);
    while let Some(row) = found.try_next().await.map_err(translate)? {
        each(&row)?;
    }
    Ok(())
}

/// No parameters, for [`each`].
pub(super) const NONE: [i64; 0] = [];
