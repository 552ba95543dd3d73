//! A database that is no more than what the store asks of one: tables in memory, which stay for the next store.

use std::{
    collections::BTreeMap,
    fs::File,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use kine_shim::backend::{
    Backend, Fault, Item, LeaseRow, NewRow, Numbers, Payload, Row, Size, StoredRow,
    driver::{Begun, Changes, LeaseWrite, Purpose, Readers, Wish, Writer},
    sqlite,
};

#[derive(Debug)]
struct Tables {
    rows: BTreeMap<i64, StoredRow>,
    leases: BTreeMap<i64, i64>,
    numbers: Numbers,
}

/// The database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Mutex<Tables>>);

impl Memory {
    pub(crate) fn new() -> Self {
        let own = Row {
            id: 1,
            key: None,
            created: true,
            deleted: false,
            create_revision: 0,
            prev_row: 0,
            lease: 0,
            revision: None,
            version: None,
        };
        let own = StoredRow {
            row: own,
            sub: 0,
            value: None,
            old_value: None,
        };
        let numbers = Numbers {
            cluster_id: 0x6b69_6e65,
            member_id: 0x7368_696d,
            ..Numbers::default()
        };
        Self(Arc::new(Mutex::new(Tables {
            rows: BTreeMap::from([(1, own)]),
            leases: BTreeMap::new(),
            numbers,
        })))
    }

    pub(crate) fn open(&self) -> Backend {
        Backend {
            writer: Box::new(self.clone()),
            readers: Box::new(self.clone()),
            peers: None,
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().expect("nobody failed")
    }
}

fn stored(row: &NewRow<'_>) -> StoredRow {
    StoredRow {
        row: Row {
            id: row.id,
            key: Some(row.key.to_vec()),
            created: row.created,
            deleted: row.deleted,
            create_revision: row.create_revision,
            prev_row: row.prev_row,
            lease: row.lease,
            revision: Some(row.revision),
            version: Some(row.version),
        },
        sub: row.sub,
        value: row.value.map(Bytes::copy_from_slice),
        old_value: row.old_value.map(Bytes::copy_from_slice),
    }
}

fn lease((id, ttl): (&i64, &i64)) -> LeaseRow {
    LeaseRow {
        id: *id,
        ttl: *ttl,
        left: None,
    }
}

impl Writer for Memory {
    fn load(&mut self, each: &mut dyn FnMut(Item<Row>)) -> Result<(), Fault> {
        let tables = self.tables();
        each(Item::Numbers(tables.numbers));
        tables
            .rows
            .values()
            .for_each(|stored| each(Item::Row(stored.row.clone())));
        tables.leases.iter().for_each(|found| each(Item::Lease(lease(found))));
        Ok(())
    }

    fn begin(&mut self, _: Purpose, _: &Wish) -> Result<Option<Begun>, Fault> {
        Ok(None)
    }

    fn news(&mut self, _: i64, _: &mut dyn FnMut(StoredRow)) -> Result<(), Fault> {
        Ok(())
    }

    fn leases(&mut self) -> Result<Vec<LeaseRow>, Fault> {
        Ok(self.tables().leases.iter().map(lease).collect())
    }

    fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        let tables = self.tables();
        Ok(tables
            .rows
            .get(&id)
            .map(|stored| stored.value.clone().unwrap_or_default()))
    }

    fn commit(&mut self, changes: &Changes<'_>) -> Result<(), Fault> {
        let mut tables = self.tables();
        for row in &changes.rows {
            let other = tables.rows.insert(row.id, stored(row));
            assert!(other.is_none(), "row {} is written twice", row.id);
        }
        for change in &changes.leases {
            match change {
                LeaseWrite::Grant { id, ttl } => drop(tables.leases.insert(*id, *ttl)),
                LeaseWrite::Renew { .. } => {}
                LeaseWrite::Revoke { id } => drop(tables.leases.remove(id)),
            }
        }
        for id in changes.removed {
            tables.rows.remove(id);
        }
        if let Some((revision, row)) = changes.compacted {
            let numbers = &mut tables.numbers;
            numbers.kine_compact_row = row;
            (numbers.counters.compact_revision, numbers.counters.compact_row) = (Some(revision), Some(row));
        }
        if let Some(alarms) = changes.alarms {
            tables.numbers.counters.alarms = alarms;
        }
        Ok(())
    }

    fn rollback(&mut self) {}

    fn defragment(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Readers for Memory {
    fn values(&self, ids: &[i64], each: &mut dyn FnMut(usize, Bytes)) -> Result<bool, Fault> {
        let tables = self.tables();
        let mut complete = true;
        for (at, id) in ids.iter().enumerate() {
            match tables.rows.get(id) {
                Some(stored) => each(at, stored.value.clone().unwrap_or_default()),
                None => complete = false,
            }
        }
        Ok(complete)
    }

    fn payloads(&self, from: i64, to: i64, each: &mut dyn FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault> {
        let payloads: Vec<_> = {
            let tables = self.tables();
            let payload = |(id, stored): (&i64, &StoredRow)| {
                let before = tables
                    .rows
                    .get(&stored.row.prev_row)
                    .and_then(|before| before.value.clone());
                let bytes = |value: &Option<Bytes>| value.as_deref().unwrap_or_default().to_vec();
                Some(Payload {
                    id: *id,
                    key: stored.row.key.clone()?,
                    sub: stored.sub,
                    value: bytes(&stored.value),
                    old_value: bytes(&stored.old_value.clone().or(before)),
                })
            };
            tables.rows.range(from..to).filter_map(payload).collect()
        };
        // Nothing more is asked for once it breaks off.
        let _ = payloads.into_iter().try_for_each(each);
        Ok(())
    }

    fn dump(&self, each: &mut dyn FnMut(Item<StoredRow>) -> Result<(), Fault>) -> Result<(), Fault> {
        let tables = self.tables();
        each(Item::Numbers(tables.numbers))?;
        for stored in tables.rows.values() {
            each(Item::Row(stored.clone()))?;
        }
        tables
            .leases
            .iter()
            .try_for_each(|found| each(Item::Lease(lease(found))))
    }

    fn size(&self) -> Result<Size, Fault> {
        let tables = self.tables();
        let bytes = |stored: &StoredRow| size_of::<StoredRow>() + stored.value.as_ref().map_or(0, Bytes::len);
        let used = tables.rows.values().map(bytes).sum::<usize>() as i64;
        Ok(Size { total: used, used })
    }

    fn copy(&self) -> Result<File, Fault> {
        sqlite::export(self)
    }
}
