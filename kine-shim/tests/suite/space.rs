//! A disk that is full, and one that fails: writes are refused as etcd refuses them, reads and watches go on, and once the
//! disk is well again everything works without a restart.
//!
//! etcd raises its NOSPACE alarm when a quota is reached and keeps it until somebody disarms it, since only then is there
//! room to compact. Here the alarm says that the last write did not fit on the disk. The next one that fits ends it: an API
//! server does not disarm alarms, so its cluster would stay read-only for ever.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType, PutRequest, RangeRequest, WatchCreateRequest};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tonic::{Code, Status};

use crate::{
    crash::findings,
    databases::Database,
    support::{Client, Process, bytes},
};

/// Writes that are there before the disk fails; more than fits into the caches of the service.
const BEFORE: usize = 400;
const VALUE: usize = 2000;

/// Starts the service after `before`, a shell command; the store is in `place`, the socket beside it.
fn spawn(shell: &[&str], before: &str, place: &Path, socket: &Path) -> Process {
    let (program, arguments) = shell.split_first().expect("a shell");
    Process::spawn(
        Command::new(program)
            .args(arguments)
            .arg("-c")
            .arg(format!(
                "{before} && exec {} --endpoint=sqlite://{}/state.db --listen-address=unix://{} --log-level=off",
                env!("CARGO_BIN_EXE_kine-shim"),
                place.display(),
                socket.display(),
            ))
            .stderr(Stdio::inherit()),
    )
}

async fn put(client: &Client, key: &str, size: usize) -> Result<i64, Status> {
    let request = PutRequest {
        key: bytes(key),
        value: vec![b'v'; size].into(),
        ..Default::default()
    };
    Ok(client.put(request).await?.header.expect("header").revision)
}

async fn alarms(client: &Client) -> Vec<AlarmMember> {
    let response = client.maintenance.clone().alarm(AlarmRequest::default()).await;
    response.expect("alarms").into_inner().alarms
}

/// Fills the store, lets `fail` ruin the disk, expects writes to be refused with `refusal`, lets `repair` undo it, and
/// expects everything to work as if nothing had been.
async fn survives(
    client: &Client,
    fail: impl AsyncFnOnce(),
    refusal: (Code, &str),
    alarm: Option<AlarmType>,
    repair: impl FnOnce(),
) {
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("key"),
        range_end: bytes("kez"),
        ..Default::default()
    });
    assert!(stream.next().await.created);
    let mut newest = 1;
    for count in 0..BEFORE {
        newest = put(client, &format!("key/{count}"), VALUE).await.expect("put");
    }
    let mut seen = 1;
    while seen < newest {
        seen += stream.next().await.events.len() as i64;
    }

    fail().await;
    for attempt in 0..3 {
        let refused = put(client, &format!("key/refused/{attempt}"), 100_000)
            .await
            .expect_err("a full disk");
        assert_eq!((refused.code(), refused.message()), refusal);
    }
    let raised = alarms(client).await;
    let status = client
        .maintenance
        .clone()
        .status(proto::etcdserverpb::StatusRequest {})
        .await;
    let status = status.expect("status").into_inner();
    let member_id = status.header.expect("header").member_id;
    let expected: Vec<_> = alarm
        .into_iter()
        .map(|alarm| AlarmMember {
            member_id,
            alarm: alarm.into(),
        })
        .collect();
    assert_eq!(raised, expected);
    assert_eq!(status.errors.len(), expected.len());
    // Nothing has happened, and everything can be read, what is in no cache too.
    let all = RangeRequest {
        key: bytes("key"),
        range_end: bytes("kez"),
        ..Default::default()
    };
    let response = client.range(all.clone()).await.expect("range");
    assert_eq!((response.count, response.kvs.len()), (BEFORE as i64, BEFORE));
    assert!(response.kvs.iter().all(|kv| kv.value.len() == VALUE));
    assert_eq!(client.revision().await, newest);
    let past = RangeRequest {
        revision: newest / 2,
        ..all
    };
    assert_eq!(client.range(past).await.expect("range").count, newest / 2 - 1);
    let mut replay = client.stream().await;
    replay.create(WatchCreateRequest {
        key: bytes("key/7"),
        start_revision: 1,
        ..Default::default()
    });
    assert!(replay.next().await.created);
    assert_eq!(replay.next().await.events.len(), 1);

    repair();
    let after = put(client, "key/after", VALUE).await.expect("there is space again");
    assert_eq!(after, newest + 1, "no revision is lost");
    assert_eq!(alarms(client).await, []);
    let events = stream.next().await.events;
    let kv = events[0].kv.as_ref().expect("kv");
    assert_eq!(
        (events.len(), &kv.key, kv.mod_revision),
        (1, &bytes("key/after"), after)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_and_output_errors_pass() {
    let database = Database::file();
    let directory = database.directory.path();
    let socket = directory.join("kine.sock");
    // The shell makes the process see an error where it would be killed otherwise.
    let process = spawn(&["sh"], "trap '' XFSZ", directory, &socket);
    let client = Client::connect(&format!("unix://{}", socket.display())).await;
    let limit = |bytes: Option<u64>| {
        let pid = Pid::from_raw(process.id() as i32);
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limit).expect("prlimit");
    };
    let refusal = (Code::Unavailable, "etcdserver: unhealthy cluster");
    survives(&client, async || limit(Some(4096)), refusal, None, || limit(None)).await;
    process.kill();
    assert_eq!(findings(&database.endpoint()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_passes() {
    let shells: [&[&str]; 2] = [&["unshare", "-m", "sh"], &["unshare", "-rm", "sh"]];
    let can_mount = |shell: &&&[&str]| {
        let (program, arguments) = shell.split_first().expect("a shell");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["-c", "mount -t tmpfs tmpfs /mnt"])
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let Some(shell) = shells.iter().find(can_mount) else {
        // The store's own tests do the same with a file that may not grow.
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    };
    let database = Database::file();
    let place = database.directory.path().join("small");
    std::fs::create_dir(&place).expect("directory");
    let socket = database.directory.path().join("kine.sock");
    let small = place.display();
    let before = format!("mount -t tmpfs -o size=6m tmpfs {small} && head -c 2097152 /dev/zero > {small}/filler");
    let process = spawn(shell, &before, &place, &socket);
    let client = Client::connect(&format!("unix://{}", socket.display())).await;
    let inside = format!("/proc/{}/root{small}", process.id());
    let filler = format!("{inside}/filler");
    let fill = async || {
        // What is left is taken by somebody else.
        let rest = format!("{inside}/rest");
        let mut file = std::fs::File::create(&rest).expect("create");
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).expect_err("a full disk");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let refusal = (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
    let repair = || std::fs::remove_file(&filler).expect("remove");
    survives(&client, fill, refusal, Some(AlarmType::Nospace), repair).await;
    // The file system goes with the process, which is idle now.
    for name in ["state.db", "state.db-wal"] {
        let copy = database.directory.path().join(name);
        std::fs::copy(format!("{inside}/{name}"), copy).expect("copy");
    }
    process.kill();
    assert_eq!(findings(&database.endpoint()), Vec::<String>::new());
}
