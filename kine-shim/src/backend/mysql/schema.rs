//! Brings the tables up to date.

use super::{
    link::Link,
    rows::{Columns, single},
    sql,
};
use crate::backend::{Fault, names, random_id};

/// Creates what is missing and turns kine's table into the store's. What it does is done once, whoever comes second.
pub(super) fn prepare(link: &mut Link) -> Result<(), Fault> {
    link.ask(sql::LOCK)?;
    let done = create(link).and_then(|()| fill(link));
    if done.is_err() {
        link.rollback();
    }
    // The lock ends with the connection if not now.
    let _ = link.tell(sql::UNLOCK);
    done?;
    warn(link)
}

fn create(link: &mut Link) -> Result<(), Fault> {
    for statement in sql::SCHEMA {
        link.tell(statement)?;
    }
    let engine = link.tell(sql::ENGINE)?.into_iter().flatten().next();
    let engine = engine.and_then(|row| Columns::of(row).bytes()).unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"InnoDB") {
        let engine = String::from_utf8_lossy(&engine);
        return Err(Fault::Other(format!(
            "table kine is stored by {engine}, which has no transactions; convert it: ALTER TABLE kine ENGINE = InnoDB"
        )));
    }
    if link.tell(sql::OWN_COLUMNS)?.into_iter().flatten().next().is_none() {
        tracing::info!("table kine was made by kine: adding columns, which takes a moment if it is large");
        link.stream(sql::ADOPT, &mut |_| Ok(()))?;
    }
    Ok(())
}

fn fill(link: &mut Link) -> Result<(), Fault> {
    link.tell(sql::BEGIN)?;
    let packed: Vec<_> = link.tell(sql::PACKED)?.into_iter().flatten().collect();
    for row in packed {
        let mut columns = Columns::of(row);
        let (id, value, old_value) = (columns.number()?, columns.bytes(), columns.bytes());
        let value = value.unwrap_or_default();
        let old_value = old_value.filter(|value| !value.is_empty());
        let (version, value) = names::unpack(&value);
        let old_value = old_value.as_deref().map(|value| names::unpack(value).1);
        link.tell(&sql::unpack(id, &value, old_value.as_deref(), version))?;
    }
    let last = single(link.tell(sql::LAST_ID)?.into_iter().flatten().collect())?;
    if last.unwrap_or(0) == 0 {
        // kine's own row takes row 1, and revision 1 is where an empty etcd starts.
        link.tell(sql::COMPACT_ROW)?;
    }
    let numbers = [
        ("cluster_id", random_id()),
        ("member_id", random_id()),
        ("epoch", 0),
        ("lease_epoch", 0),
        ("revision", 0),
        ("last_row", 0),
        ("alarms", 0),
    ];
    link.tell(&sql::add_meta(&numbers))?;
    link.tell(sql::COMMIT)?;
    Ok(())
}

/// Names settings of the server that lose commits when it loses power.
fn warn(link: &mut Link) -> Result<(), Fault> {
    let row = link.tell(sql::DURABILITY)?.into_iter().flatten().next();
    let Some(row) = row else { return Ok(()) };
    let mut columns = Columns::of(row);
    let (flush, log, sync) = (columns.number()?, columns.number()?, columns.number()?);
    if flush != 1 {
        tracing::warn!(
            "the server has innodb_flush_log_at_trx_commit = {flush}: writes may be lost when it loses power; set it to 1"
        );
    }
    if log == 1 && sync != 1 {
        tracing::warn!(
            "the server has a binary log and sync_binlog = {sync}: its replicas may lose writes when it loses power; set it to 1"
        );
    }
    Ok(())
}
