//! etcdctl as people have it: the same commands on the shim and on a real etcd, with the same output.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use crate::{
    databases::Database,
    random::rounds,
    support::{Etcd, PATIENCE, Shim, etcdctl},
};

/// Commands in the order they are run, with what is typed into them. `''` is an empty argument.
const SCRIPT: &[(&str, &str)] = &[
    ("put a 1", ""),
    ("put a 2 --prev-kv", ""),
    ("put a/b 3", ""),
    ("put a/c", "from standard input"),
    ("put '' x", ""),
    ("put a --ignore-value", ""),
    ("put nothing --ignore-value", ""),
    ("put a 5 --ignore-lease", ""),
    ("put a 5 --lease=1", ""),
    ("get a", ""),
    ("get a -w json", ""),
    ("get a -w fields", ""),
    ("get nothing -w json", ""),
    ("get a --prefix", ""),
    ("get a --prefix --keys-only", ""),
    ("get a --prefix --count-only -w fields", ""),
    ("get a --prefix --limit=1 -w json", ""),
    ("get a --prefix --order=DESCEND --sort-by=MODIFY", ""),
    ("get a --prefix --order=ASCEND --sort-by=VALUE --print-value-only", ""),
    ("get a --prefix --order=SIDEWAYS", ""),
    ("get a a/c", ""),
    ("get a/b --from-key", ""),
    ("get '' --prefix --keys-only", ""),
    ("get a --rev=2", ""),
    ("get a --consistency=s", ""),
    ("get a --hex", ""),
    ("get a --rev=1000", ""),
    (
        "txn -i",
        "mod(\"a\") > \"0\"\nval(\"a/b\") = \"3\"\n\nput x y\nget x\ndel a/b --prev-kv\n\nput z w\n\n",
    ),
    ("txn -i", "ver(\"a\") = \"0\"\n\nput x 1\n\nput z w\nget z\n\n"),
    ("txn -i", "create(\"x\") < \"2\"\n\nput x 1\n\ndel z\n\n"),
    ("txn -i", "mod(\"x\") > \"0\"\n\nput x 1\nput x 2\n\n\n"),
    ("txn -w json", "val(\"x\") = \"y\"\n\nget x\n\n\n"),
    ("del nothing", ""),
    ("del a --prev-kv", ""),
    ("del a/ --prefix", ""),
    ("put r1 1", ""),
    ("put r2 1", ""),
    ("put r3 1", ""),
    ("del r1 r3", ""),
    ("del r3 --from-key --prev-kv", ""),
    ("put h 1", ""),
    ("endpoint hashkv", ""),
    ("endpoint hashkv --rev=5", ""),
    ("endpoint hashkv --rev=5000", ""),
    ("compaction 4", ""),
    ("compaction 4", ""),
    ("compaction 5000", ""),
    ("compaction 9 --physical", ""),
    ("get a --rev=3", ""),
    ("endpoint health", ""),
    ("endpoint health -w json", ""),
    ("lease revoke 123", ""),
    ("lease timetolive 123", ""),
    ("lease keep-alive --once 123", ""),
    ("lease list", ""),
    ("alarm list", ""),
    ("alarm disarm", ""),
    ("defrag", ""),
    ("member remove 123", ""),
    ("member promote 123", ""),
    ("member update 123 --peer-urls=http://127.0.0.1:1", ""),
    ("member add x --peer-urls=nonsense", ""),
    ("move-leader 1", ""),
    ("user list", ""),
    ("user get x", ""),
    ("user delete x", ""),
    ("user grant-role x y", ""),
    ("user revoke-role x y", ""),
    ("role list", ""),
    ("role get x", ""),
    ("role delete x", ""),
    ("role grant-permission x read k", ""),
    ("role revoke-permission x k", ""),
    ("auth enable", ""),
    ("auth disable", ""),
    ("lock l echo held", ""),
    ("get l --prefix", ""),
    ("check datascale --load=nonsense", ""),
];

/// etcdctl for one server.
struct Shell {
    program: &'static str,
    endpoint: String,
}

impl Shell {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(self.program);
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoint]);
        command.args(line.split_whitespace().map(|word| if word == "''" { "" } else { word }));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What a command prints, and how it ends.
    fn run(&self, line: &str, typed: &str) -> String {
        let mut child = self.command(line).spawn().expect("etcdctl");
        let mut input = child.stdin.take().expect("input");
        // It may have ended without reading.
        let _ = input.write_all(typed.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("etcdctl");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Lines of JSON on standard error are etcdctl's own log.
        let errors: String = text(&output.stderr)
            .lines()
            .filter(|line| !line.starts_with('{'))
            .map(|line| format!("! {line}\n"))
            .collect();
        let code = output.status.code().unwrap_or(-1);
        self.comparable(&format!("{}{errors}exit {code}\n", text(&output.stdout)))
    }

    /// Takes out what differs from one server to the next: addresses, identifiers and times.
    fn comparable(&self, text: &str) -> String {
        let text = text.replace(&self.endpoint, "ENDPOINT");
        let mut shown = String::new();
        for line in text.lines() {
            let line = line.split("took").next().unwrap_or(line);
            let mut word = String::new();
            let end = |word: &mut String, shown: &mut String| {
                let is_id = word.len() >= 11 && word.chars().all(|c| c.is_ascii_hexdigit());
                shown.push_str(if is_id { "ID" } else { word });
                word.clear();
            };
            for c in line.chars() {
                if c.is_ascii_alphanumeric() {
                    word.push(c);
                } else {
                    end(&mut word, &mut shown);
                    shown.push(c);
                }
            }
            end(&mut word, &mut shown);
            shown.push('\n');
        }
        shown
    }

    /// Starts a command that goes on, and hands out its lines.
    fn start(&self, line: &str) -> Running {
        let mut child = self.command(line).spawn().expect("etcdctl");
        let output = BufReader::new(child.stdout.take().expect("output"));
        let (lines, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines: receiver }
    }
}

/// A command under way, ended with the test.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn type_in(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("input");
        input.write_all(text.as_bytes()).expect("write");
    }

    fn lines(&self, count: usize) -> Vec<String> {
        let next = |_| self.lines.recv_timeout(PATIENCE).expect("a line in time");
        (0..count).map(next).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `test`, which blocks, with an etcdctl for the shim, while the shim goes on.
async fn with_shell<T: Send + 'static>(shim: &Shim, test: impl FnOnce(Shell) -> T + Send + 'static) -> Option<T> {
    let shell = Shell {
        program: etcdctl()?,
        endpoint: shim.tcp().to_string(),
    };
    Some(tokio::task::spawn_blocking(move || test(shell)).await.expect("test"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prints_what_it_prints_of_etcd() {
    let Some(program) = etcdctl() else { return };
    let Some(etcd) = Etcd::start().await else { return };
    let database = Database::file();
    let shim = Shim::start(&database).await;
    let shells = [etcd.address.clone(), shim.tcp().to_string()].map(|endpoint| Shell { program, endpoint });
    let compare = move || {
        for (line, typed) in SCRIPT {
            let [expected, found] = std::thread::scope(|scope| {
                let runs = shells.each_ref().map(|shell| scope.spawn(|| shell.run(line, typed)));
                runs.map(|run| run.join().expect("run"))
            });
            assert_eq!(found, expected, "etcdctl {line}");
        }
    };
    tokio::task::spawn_blocking(compare).await.expect("comparison");
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches() {
    let database = Database::file();
    let shim = Shim::start(&database).await;
    with_shell(&shim, |shell| {
        shell.run("put w/a 1", "");
        shell.run("put w/b 2", "");
        shell.run("put w/a 3", "");
        let mut past = shell.start("watch w/ --prefix --rev=2 --prev-kv");
        assert_eq!(
            past.lines(10),
            ["PUT", "w/a", "1", "PUT", "w/b", "2", "PUT", "w/a", "1", "w/a"],
            "the past with the values before"
        );
        assert_eq!(past.lines(1), ["3"]);
        shell.run("del w/a", "");
        assert_eq!(past.lines(5), ["DELETE", "w/a", "3", "w/a", ""]);
        let mut several = shell.start("watch -i");
        several.type_in("watch w/a w/c --rev=3\nprogress\n");
        assert_eq!(
            several.lines(10),
            [
                "PUT",
                "w/b",
                "2",
                "PUT",
                "w/a",
                "3",
                "DELETE",
                "w/a",
                "",
                "progress notify: 5"
            ]
        );
        past.child.kill().expect("kill");
        shell.run("compaction 5", "");
        let compacted = shell.run("watch w/ --prefix --rev=2", "");
        assert!(
            compacted.contains("required revision has been compacted"),
            "{compacted}"
        );
    })
    .await;
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_locks_and_elections() {
    let database = Database::file();
    let shim = Shim::start(&database).await;
    with_shell(&shim, |shell| {
        let granted = {
            let mut command = shell.command("lease grant 100");
            String::from_utf8(command.output().expect("etcdctl").stdout).expect("text")
        };
        let id = granted.split_whitespace().nth(1).expect("identifier").to_owned();
        assert!(granted.ends_with("granted with TTL(100s)\n"), "{granted}");
        assert_eq!(shell.run(&format!("put leased 1 --lease={id}"), ""), "OK\nexit 0\n");
        let left = shell.run(&format!("lease timetolive {id} --keys"), "");
        assert!(
            left.contains("granted with TTL(100s)") && left.contains("attached keys([leased])"),
            "{left}"
        );
        assert!(shell.run("lease list", "").starts_with("found 1 leases\nID\n"));
        let alive = shell.run(&format!("lease keep-alive --once {id}"), "");
        assert_eq!(alive, "lease ID keepalived with TTL(100)\nexit 0\n");
        assert_eq!(
            shell.run(&format!("lease revoke {id}"), ""),
            "lease ID revoked\nexit 0\n"
        );
        assert_eq!(shell.run("get leased", ""), "exit 0\n");

        let holder = shell.start("lock mutex");
        let key = holder.lines(1).remove(0);
        assert!(key.starts_with("mutex/"), "{key}");
        let waiting = shell.start("lock mutex");
        assert!(
            waiting
                .lines
                .recv_timeout(std::time::Duration::from_millis(300))
                .is_err()
        );
        // The lease of the holder goes with its lock, so the next one gets it.
        shell.run(&format!("del {key}"), "");
        assert!(waiting.lines(1)[0].starts_with("mutex/"));

        let first = shell.start("elect office ada");
        assert_eq!(first.lines(2)[1], "ada");
        let observer = shell.start("elect --listen office");
        assert_eq!(observer.lines(2)[1], "ada");
    })
    .await;
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_performance_check() {
    // It takes a minute, whatever it is run on.
    if rounds(0, 1) == 0 {
        return eprintln!("skipped: etcdctl check perf is part of `make soak`");
    }
    let database = Database::file();
    let shim = Shim::start(&database).await;
    with_shell(&shim, |shell| {
        let checked = shell.run("check perf --load=s", "");
        assert!(
            checked.contains("PASS: Throughput is") && !checked.contains("FAIL"),
            "{checked}"
        );
    })
    .await;
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_a_snapshot_and_tells_the_status() {
    use sha2::{Digest, Sha256};

    let database = Database::file();
    let shim = Shim::start(&database).await;
    let saved = database.directory.path().join("saved.db");
    let file = saved.clone();
    let status = with_shell(&shim, move |shell| {
        shell.run("put a 1", "");
        let output = shell.run(&format!("snapshot save {}", file.display()), "");
        assert!(output.starts_with("Snapshot saved at"), "{output}");
        let members = shell.run("member list", "");
        assert!(
            members.contains("started, default, ") && members.contains("http://ENDPOINT,unix://"),
            "{members}"
        );
        shell.run("endpoint status", "")
    })
    .await;
    if let Some(status) = status {
        let fields: Vec<_> = status.lines().next().unwrap_or_default().split(", ").collect();
        assert_eq!(
            (fields[0], fields[1], fields[2], fields[4]),
            ("ENDPOINT", "ID", "3.6.11", "true"),
            "{status}"
        );
        // The database file, and after it the sum that etcd puts there.
        let bytes = std::fs::read(&saved).expect("read");
        let (data, sum) = bytes.split_at(bytes.len() - 32);
        assert_eq!(Sha256::digest(data)[..], *sum);
        std::fs::write(&saved, data).expect("write");
        let connection = rusqlite::Connection::open(&saved).expect("open");
        let rows: i64 = connection
            .query_row("SELECT count(*) FROM kine WHERE name = 'a'", [], |row| row.get(0))
            .expect("query");
        assert_eq!(rows, 1);
    }
    shim.stop().await;
}
