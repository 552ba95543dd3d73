//! Damage nobody thought of: `check` and `restore` never panic, never call ok what breaks the rules, and never put in place
//! anything but the store a snapshot was made of.

use std::path::Path;

use kine_shim::{
    backend::endpoint::{DatastoreOptions, Endpoint},
    tools::{restore, snapshot},
};
use rusqlite::Connection;

use super::{digest, findings, sample, url};
use crate::random::{Random, rounds};

/// Changes bytes, cuts the file, or swaps pages.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const PAGE: usize = 4096;
    match random.below(4) {
        0 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        1 => {
            let length = random.below(bytes.len());
            bytes.truncate(length);
        }
        2 => {
            let pages = bytes.len() / PAGE;
            let (from, to) = (random.below(pages) * PAGE, random.below(pages) * PAGE);
            for at in 0..PAGE {
                bytes.swap(from + at, to + at);
            }
        }
        _ => {
            let at = random.below(bytes.len());
            let end = (at + 1 + random.below(600)).min(bytes.len());
            for byte in &mut bytes[at..end] {
                *byte = random.next() as u8;
            }
        }
    }
}

#[tokio::test]
async fn damaged_files_are_refused_or_whole() {
    let (database, path) = sample(11).await;
    let directory = &database.directory;
    let taken = directory.path().join("snapshot.db");
    snapshot::run(&Endpoint::Sqlite(path), &DatastoreOptions::default(), &taken).expect("snapshot");
    let (whole, its) = (std::fs::read(&taken).expect("read"), digest(&url(&taken)));
    let mut random = Random::new("damaged_files_are_refused_or_whole");
    let (broken, place) = (directory.path().join("broken"), directory.path().join("place.db"));
    let mut refused = 0;
    for _ in 0..rounds(150, 20_000) {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut random);
        std::fs::write(&broken, &bytes).expect("write");
        let found = findings(&broken);
        match restore::run(
            &broken,
            &Endpoint::Sqlite(place.clone()),
            &DatastoreOptions::default(),
            false,
        ) {
            Ok(said) => {
                assert_eq!(digest(&url(&place)), its, "{said}");
                std::fs::remove_file(&place).expect("remove");
            }
            Err(error) => {
                refused += 1;
                assert_ne!(found, Some(vec![]), "{error:#}");
                assert!(!place.exists(), "{error:#}");
            }
        }
    }
    assert!(refused > 0, "no damage was ever noticed");
}

/// Breaks the table in one of the ways that no healthy store can be in; returns the statement.
fn break_table(path: &Path, random: &mut Random) -> String {
    let connection = Connection::open(path).expect("open");
    connection.execute_batch("PRAGMA journal_mode = DELETE").expect("mode");
    let ids = |condition: &str| -> Vec<i64> {
        // The last row and what has been compacted may be missing.
        let sql = format!(
            "SELECT id FROM kine WHERE id > (SELECT value FROM kine_meta WHERE name = 'compact_row')
             AND id < (SELECT max(id) FROM kine) AND {condition}"
        );
        let mut statement = connection.prepare(&sql).expect("prepare");
        let rows = statement.query_map([], |row| row.get(0)).expect("query");
        rows.collect::<Result<_, _>>().expect("rows")
    };
    let replaced = "id IN (SELECT prev_revision FROM kine)";
    let all = ids("true");
    let sql = match random.below(10) {
        0 => format!("DELETE FROM kine WHERE id = {}", random.pick(&all)),
        1 => {
            let from = *random.pick(&all);
            format!("DELETE FROM kine WHERE id BETWEEN {from} AND {} AND id < (SELECT max(id) FROM kine)", from + random.below(9) as i64)
        }
        2 => format!(
            "INSERT INTO kine SELECT (SELECT max(id) + 1 FROM kine), name, created, deleted, create_revision, prev_revision,
             lease, NULL, NULL, version, value, old_value FROM kine WHERE id = {}",
            random.pick(&all)
        ),
        3 => {
            let column = random.pick(&["prev_revision", "version", "sub", "revision"]);
            let offset = 1 + random.below(40) as i64;
            // A key made anew may replace a deletion that has been compacted, so only what can be looked up is wrong.
            let rows = ids("deleted = 0 AND name != 'compact_rev_key' AND prev_revision IN (SELECT id FROM kine)");
            format!(
                "UPDATE kine SET {column} = coalesce({column}, CASE '{column}' WHEN 'revision' THEN id ELSE 0 END) + {offset} WHERE id = {}",
                random.pick(&rows)
            )
        }
        4 => format!("UPDATE kine SET name = name || 'x' WHERE id = {}", random.pick(&ids(replaced))),
        5 => format!("UPDATE kine SET deleted = 1 - deleted WHERE id = {}", random.pick(&all)),
        6 => format!("UPDATE kine SET created = 1 - created WHERE id = {}", random.pick(&ids("deleted = 0"))),
        7 => format!(
            "UPDATE kine SET value = x'01' WHERE id = {}",
            random.pick(&ids("id IN (SELECT prev_revision FROM kine WHERE deleted = 1)"))
        ),
        8 => {
            let column = random.pick(&["name", "created", "prev_revision", "value", "version", "lease"]);
            format!("UPDATE kine SET {column} = 0.5 WHERE id = {}", random.pick(&all))
        }
        _ => format!("UPDATE kine SET id = (SELECT max(id) + {} FROM kine) WHERE id = {}", 2 + random.below(9), random.pick(&all)),
    };
    let changed = connection
        .execute(&sql, [])
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(changed > 0, "{sql} changed nothing");
    sql
}

#[tokio::test]
async fn broken_tables_are_never_ok() {
    let (database, path) = sample(12).await;
    let directory = &database.directory;
    let whole = std::fs::read(&path).expect("read");
    let mut random = Random::new("broken_tables_are_never_ok");
    let place = directory.path().join("place.db");
    for _ in 0..rounds(150, 20_000) {
        std::fs::write(&path, &whole).expect("write");
        let sql = break_table(&path, &mut random);
        assert_ne!(findings(&path).expect("open"), Vec::<String>::new(), "{sql}");
        restore::run(
            &path,
            &Endpoint::Sqlite(place.clone()),
            &DatastoreOptions::default(),
            false,
        )
        .expect_err(&sql);
        assert!(!place.exists(), "{sql}");
    }
}
