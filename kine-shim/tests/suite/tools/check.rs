//! What `check` finds.

use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::{findings, sample};

#[tokio::test]
async fn a_healthy_store_has_no_findings() {
    for seed in 0..4 {
        let (_database, path) = sample(seed).await;
        let before = std::fs::read(&path).expect("read");
        assert_eq!(findings(&path), Some(vec![]));
        assert_eq!(std::fs::read(&path).expect("read"), before, "the file was changed");
    }
}

/// Damage, as SQL, with what is to be said about it.
const DAMAGE: &[(&str, &str)] = &[
    (
        "DELETE FROM kine WHERE id = (SELECT max(id) - 3 FROM kine)",
        "one row before it",
    ),
    (
        "DELETE FROM kine WHERE id > (SELECT max(id) - 9 FROM kine) AND id < (SELECT max(id) - 3 FROM kine)",
        "rows before it",
    ),
    (
        "UPDATE kine SET prev_revision = prev_revision + 1 WHERE id = (SELECT max(id) FROM kine WHERE prev_revision > 0)",
        "it replaces row",
    ),
    (
        "UPDATE kine SET prev_revision = id + 1 WHERE id = (SELECT max(id) FROM kine)",
        "not before it",
    ),
    (
        "UPDATE kine SET version = version + 1 WHERE id = (SELECT max(id) FROM kine WHERE version > 1)",
        "version",
    ),
    (
        "UPDATE kine SET create_revision = create_revision - 1 WHERE id = (SELECT max(id) FROM kine WHERE version > 1)",
        "create revision",
    ),
    (
        "UPDATE kine SET created = 1 - created WHERE id = (SELECT max(id) FROM kine WHERE deleted = 0)",
        "row",
    ),
    (
        "UPDATE kine SET deleted = 1 - deleted WHERE id = (SELECT max(id) FROM kine WHERE created = 0)",
        "row",
    ),
    (
        "UPDATE kine SET revision = coalesce(revision, id) + 1 WHERE id = (SELECT max(id) - 2 FROM kine)",
        "revision",
    ),
    (
        "UPDATE kine SET revision = id + 1 WHERE id = (SELECT max(id) - 2 FROM kine)",
        "impossible",
    ),
    (
        "UPDATE kine SET revision = -9223372036854775808 WHERE id = (SELECT max(id) - 2 FROM kine)",
        "impossible",
    ),
    (
        "UPDATE kine SET sub = coalesce(sub, 0) + 1 WHERE id = (SELECT max(id) - 2 FROM kine)",
        "leaves a gap",
    ),
    (
        "UPDATE kine SET lease = 99 WHERE id = (SELECT max(id) FROM kine WHERE deleted = 0)",
        "lease 99 is not in kine_lease",
    ),
    (
        "UPDATE kine SET old_value = x'00' WHERE id = (SELECT max(id) FROM kine WHERE deleted = 1)",
        "old value",
    ),
    (
        "UPDATE kine SET value = NULL WHERE id = (SELECT max(id) FROM kine WHERE deleted = 0)",
        "no value",
    ),
    (
        "UPDATE kine SET name = '/registry/other' WHERE id = (SELECT max(id) FROM kine WHERE prev_revision > 0)",
        "replaces row",
    ),
    (
        "UPDATE kine SET name = NULL WHERE id = (SELECT max(id) FROM kine)",
        "column name holds nothing",
    ),
    (
        "UPDATE kine SET version = 'many' WHERE id = (SELECT max(id) FROM kine)",
        "column version holds text",
    ),
    (
        "INSERT INTO kine SELECT max(id) + 1, name, created, deleted, create_revision, prev_revision, lease,
                NULL, NULL, version, value, old_value FROM kine",
        "the key was last changed in row",
    ),
    (
        "UPDATE kine SET id = id + 5 WHERE id = (SELECT max(id) FROM kine)",
        "rows before it",
    ),
    ("DELETE FROM kine WHERE name = 'compact_rev_key'", "compact_rev_key"),
    (
        "UPDATE kine SET prev_revision = 3 WHERE name = 'compact_rev_key'",
        "but row compact_rev_key says 3",
    ),
    ("DELETE FROM kine_lease WHERE id = 7", "lease 7 is not in kine_lease"),
    (
        "UPDATE kine_lease SET ttl = -1 WHERE id = 8",
        "lease 8 lives -1 seconds",
    ),
    ("DELETE FROM kine_meta WHERE name = 'compact_row'", "only one of"),
    (
        "UPDATE kine_meta SET value = value + 2 WHERE name = 'compact_revision'",
        "revision",
    ),
    (
        "UPDATE kine_meta SET value = 1000000 WHERE name = 'compact_row'",
        "compacted to row 1000000",
    ),
    (
        "DELETE FROM kine_meta WHERE name = 'cluster_id'",
        "cluster_id is missing",
    ),
    (
        "INSERT OR REPLACE INTO kine_meta VALUES ('alarms', 1)",
        "bits that are no alarms",
    ),
];

#[tokio::test]
async fn damage_is_found_and_named() {
    let (_database, path) = sample(1).await;
    let whole = std::fs::read(&path).expect("read");
    for (sql, expected) in DAMAGE {
        std::fs::write(&path, &whole).expect("write");
        let connection = Connection::open(&path).expect("open");
        connection.execute_batch("PRAGMA journal_mode = DELETE").expect("mode");
        assert!(connection.execute(sql, []).expect(sql) > 0, "{sql} changed nothing");
        drop(connection);
        let found = findings(&path).expect("open");
        assert!(found.iter().any(|line| line.contains(expected)), "{sql}: {found:#?}");
    }
}

fn check(argument: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
        .args(["check", argument])
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn exit_codes_tell_ok_from_findings_from_misuse() {
    let (database, path) = sample(2).await;
    let directory = &database.directory;
    let file = path.display().to_string();
    let (code, said, _) = check(&file);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("keys") && said.contains("digest") && said.ends_with(": ok\n"),
        "{said}"
    );
    let (code, of_url, _) = check(&format!("sqlite://{file}"));
    assert_eq!((code, &of_url), (Some(0), &said));

    let whole = std::fs::read(&path).expect("read");
    let torn = directory.path().join("torn.db");
    let mut bytes = whole.clone();
    let half = bytes.len() / 2;
    bytes[half..half + 4096].fill(0x5a);
    std::fs::write(&torn, &bytes).expect("write");
    let (code, said, _) = check(&torn.display().to_string());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("restore a snapshot"), "{said}");

    let mut bolt = vec![0; 8192];
    bolt[16..20].copy_from_slice(&0xed0c_daed_u32.to_le_bytes());
    let other = directory.path().join("other.db");
    Connection::open(&other)
        .and_then(|connection| connection.execute_batch("CREATE TABLE t (x)"))
        .expect("another database");
    for (name, contents, expected) in [
        ("text", b"just some text".to_vec(), "is not an SQLite database"),
        ("empty", vec![], "is not an SQLite database"),
        ("bolt", bolt, "is a snapshot of an etcd"),
        ("other.db", std::fs::read(&other).expect("read"), "has no table `kine`"),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, contents).expect("write");
        let (code, _, said) = check(&file.display().to_string());
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains(expected) && said.contains(name) && said.lines().count() == 1,
            "{said}"
        );
    }
    let (code, _, said) = check(&directory.path().join("none").display().to_string());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("No such file"), "{said}");
    let (code, _, said) = check("mongodb://x");
    assert_eq!(code, Some(2), "{said}");
}
