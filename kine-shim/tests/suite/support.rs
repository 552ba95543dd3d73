//! Servers to run tests against, and a client that speaks to any of them.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use chassis::{Chassis, Options as _};
use clap::Parser;
use kine_shim::{
    app::App,
    backend::{
        self, Backend, OpenError,
        endpoint::{DatastoreOptions, Endpoint},
    },
    options::Options,
};
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    StatusRequest, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse, auth_client::AuthClient,
    cluster_client::ClusterClient, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient, watch_client::WatchClient, watch_request::RequestUnion,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::databases::Database;

/// How long a test waits for something that must happen; far more than it takes on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The service in this process.
pub(crate) struct Shim {
    pub(crate) app: App,
    pub(crate) chassis: Chassis,
    pub(crate) client: Client,
    pub(crate) socket: String,
}

impl Shim {
    pub(crate) async fn start(database: &Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// Starts with further flags.
    pub(crate) async fn start_with(database: &Database, flags: &[&str]) -> Self {
        Self::try_start(database, flags).await.expect("start")
    }

    /// Starts with further flags, or says why not.
    pub(crate) async fn try_start(database: &Database, flags: &[&str]) -> anyhow::Result<Self> {
        let memory = database.memory.clone();
        let open = move |endpoint: &_, options: &_| match memory {
            Some(memory) => Ok(memory.open()),
            None => backend::open(endpoint, options),
        };
        Self::try_open(&database.endpoint(), database.directory.path(), flags, open).await
    }

    /// Starts on an endpoint, with the socket in a directory that other shims may share.
    pub(crate) async fn try_start_at(endpoint: &str, directory: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        Self::try_open(endpoint, directory, flags, backend::open).await
    }

    async fn try_open(
        endpoint: &str,
        directory: &Path,
        flags: &[&str],
        open: impl FnOnce(&Endpoint, &DatastoreOptions) -> Result<Backend, OpenError> + Send + 'static,
    ) -> anyhow::Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let socket = directory.join(format!("kine-{}.sock", STARTED.fetch_add(1, Ordering::Relaxed)));
        let usual = [
            "kine-shim".to_owned(),
            format!("--endpoint={endpoint}"),
            format!("--listen-address=127.0.0.1:0,unix://{}", socket.display()),
            "--watch-progress-notify-interval=200ms".to_owned(),
            "--compact-interval=0".to_owned(),
        ];
        let further = flags.iter().map(|flag| (*flag).to_owned());
        let options = Options::try_parse_from(usual.into_iter().chain(further))?;
        let mut chassis = Chassis::start_secured(&options.common, options.admin_tls()).await?;
        let app = kine_shim::app::build_on(options, &mut chassis, open).await?;
        chassis.serve().await?;
        let url = |name: &str| chassis.addresses().get(name).expect(name).endpoint();
        // Over TCP, unless that takes a certificate.
        let plain = flags.iter().all(|flag| !flag.starts_with("--server-cert-file"));
        let client = Client::connect(&url(if plain { "etcd-tcp" } else { "etcd-unix" })).await;
        Ok(Self {
            app,
            socket: url("etcd-unix"),
            chassis,
            client,
        })
    }

    /// Where it listens on TCP.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.chassis.addresses().tcp("etcd-tcp").expect("etcd-tcp")
    }

    pub(crate) async fn stop(self) {
        drop(self.client);
        self.chassis.drain().await.expect("drain");
    }
}

/// The service in a process of its own, for tests that look at what it takes and how it ends.
pub(crate) struct Server {
    process: Process,
    log: PathBuf,
    pub(crate) address: String,
    pub(crate) client: Client,
}

impl Server {
    pub(crate) async fn start(database: &Database, flags: &[&str]) -> Self {
        let log = database.directory.path().join("log");
        let address = format!("127.0.0.1:{}", free_port());
        let process = Process::spawn(
            Command::new(env!("CARGO_BIN_EXE_kine-shim"))
                .arg(format!("--endpoint={}", database.endpoint()))
                .arg(format!("--listen-address={address}"))
                .args(flags)
                .stderr(std::fs::File::create(&log).expect("log")),
        );
        let client = Client::connect(&format!("http://{address}")).await;
        Self {
            process,
            log,
            address,
            client,
        }
    }

    pub(crate) async fn member_id(&self) -> u64 {
        let status = self.client.maintenance.clone().status(StatusRequest {}).await;
        status.expect("status").into_inner().leader
    }

    /// Memory it holds, in KiB.
    pub(crate) fn resident_kib(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).expect("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim().trim_end_matches("kB").trim().parse().expect("number")
    }

    /// What its log has of panics and errors.
    pub(crate) fn complaints(&self) -> String {
        let log = std::fs::read_to_string(&self.log).expect("log");
        let bad = |line: &&str| line.contains("panicked") || line.contains(" ERROR ");
        log.lines().filter(bad).collect()
    }
}

/// A process that ends with the test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("spawn"))
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.0.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills the process as a power failure would, as far as the process is concerned.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("wait");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real etcd, the reference.
pub(crate) struct Etcd {
    _process: Process,
    _directory: tempfile::TempDir,
    pub(crate) client: Client,
    /// Host and port.
    pub(crate) address: String,
}

impl Etcd {
    /// Starts etcd, or says that there is none, which is a failure where everything must be there.
    pub(crate) async fn start() -> Option<Self> {
        let program = ["/usr/bin/etcd", "/usr/local/bin/etcd"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(program) = program else {
            assert!(std::env::var_os("CI").is_none(), "etcd is not installed");
            eprintln!("skipped: etcd not installed (Debian: etcd-server)");
            return None;
        };
        let directory = tempfile::tempdir().expect("directory");
        let (client_port, peer_port) = (free_port(), free_port());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let process = Process::spawn(
            Command::new(program)
                .arg("--data-dir")
                .arg(directory.path())
                .args([
                    "--listen-client-urls",
                    &url(client_port),
                    "--advertise-client-urls",
                    &url(client_port),
                ])
                .args([
                    "--listen-peer-urls",
                    &url(peer_port),
                    "--initial-advertise-peer-urls",
                    &url(peer_port),
                ])
                .args([
                    "--initial-cluster",
                    &format!("default={}", url(peer_port)),
                    "--log-level",
                    "error",
                ])
                .stderr(Stdio::null())
                .stdout(Stdio::null()),
        );
        let client = Client::connect(&url(client_port)).await;
        Some(Self {
            _process: process,
            _directory: directory,
            client,
            address: format!("127.0.0.1:{client_port}"),
        })
    }
}

/// etcdctl, or `None` where it is not installed, which is a failure where everything must be there.
pub(crate) fn etcdctl() -> Option<&'static str> {
    let program = ["/usr/bin/etcdctl", "/usr/local/bin/etcdctl"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    if program.is_none() {
        assert!(std::env::var_os("CI").is_none(), "etcdctl is not installed");
        eprintln!("skipped: etcdctl not installed (Debian: etcd-client)");
    }
    program
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .expect("bind")
        .local_addr()
        .expect("address")
        .port()
}

/// A client of an etcd v3 API.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) kv: KvClient<Channel>,
    pub(crate) lease: LeaseClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    pub(crate) maintenance: MaintenanceClient<Channel>,
    pub(crate) cluster: ClusterClient<Channel>,
    pub(crate) auth: AuthClient<Channel>,
    pub(crate) channel: Channel,
}

impl Client {
    /// Connects and waits until the server answers.
    pub(crate) async fn connect(url: &str) -> Self {
        let channel = chassis::grpc::channel("test", url).expect("channel");
        let limit = 64 << 20;
        let client = Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(limit),
            lease: LeaseClient::new(channel.clone()),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(limit),
            maintenance: MaintenanceClient::new(channel.clone()).max_decoding_message_size(limit),
            cluster: ClusterClient::new(channel.clone()),
            auth: AuthClient::new(channel.clone()),
            channel,
        };
        let up = async {
            while client.maintenance.clone().status(StatusRequest {}).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up).await.expect("the server answers");
        client
    }

    pub(crate) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        Ok(self.kv.clone().range(request).await?.into_inner())
    }

    pub(crate) async fn put(&self, request: PutRequest) -> Result<PutResponse, Status> {
        Ok(self.kv.clone().put(request).await?.into_inner())
    }

    pub(crate) async fn delete(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
        Ok(self.kv.clone().delete_range(request).await?.into_inner())
    }

    pub(crate) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        Ok(self.kv.clone().txn(request).await?.into_inner())
    }

    pub(crate) async fn compact(&self, revision: i64, physical: bool) -> Result<i64, Status> {
        let request = CompactionRequest { revision, physical };
        Ok(self
            .kv
            .clone()
            .compact(request)
            .await?
            .into_inner()
            .header
            .expect("header")
            .revision)
    }

    /// Writes a key and returns the revision.
    pub(crate) async fn set(&self, key: &str, value: &str) -> i64 {
        let request = PutRequest {
            key: bytes(key),
            value: bytes(value),
            ..Default::default()
        };
        self.put(request).await.expect("put").header.expect("header").revision
    }

    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let request = RangeRequest {
            key: bytes(key),
            ..Default::default()
        };
        let response = self.range(request).await.expect("range");
        response
            .kvs
            .first()
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    }

    pub(crate) async fn revision(&self) -> i64 {
        let request = RangeRequest {
            key: bytes("\0"),
            count_only: true,
            ..Default::default()
        };
        self.range(request)
            .await
            .expect("range")
            .header
            .expect("header")
            .revision
    }

    pub(crate) async fn stream(&self) -> Watching {
        let (requests, stream) = mpsc::unbounded_channel();
        // etcd sends the headers of a watch stream with its first answer, so the stream is opened in the background.
        let mut client = self.watch.clone();
        let answers = tokio::spawn(async move { client.watch(UnboundedReceiverStream::new(stream)).await });
        Watching {
            requests,
            opening: Some(answers),
            answers: None,
        }
    }
}

type Opening = tokio::task::JoinHandle<Result<tonic::Response<Streaming<WatchResponse>>, Status>>;

/// A watch stream.
pub(crate) struct Watching {
    requests: mpsc::UnboundedSender<WatchRequest>,
    opening: Option<Opening>,
    answers: Option<Streaming<WatchResponse>>,
}

impl Watching {
    pub(crate) fn send(&self, request: RequestUnion) {
        self.requests
            .send(WatchRequest {
                request_union: Some(request),
            })
            .expect("stream");
    }

    pub(crate) fn create(&self, request: WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request));
    }

    /// The next answer.
    pub(crate) async fn next(&mut self) -> WatchResponse {
        self.try_next().await.expect("an answer")
    }

    pub(crate) async fn try_next(&mut self) -> Result<WatchResponse, Status> {
        let next = async {
            if let Some(opening) = self.opening.take() {
                self.answers = Some(opening.await.expect("task")?.into_inner());
            }
            let answers = self.answers.as_mut().expect("open");
            answers
                .message()
                .await?
                .ok_or_else(|| Status::cancelled("the stream ended"))
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an answer in time")
    }

    /// The next answer if one comes soon.
    pub(crate) async fn soon(&mut self, wait: Duration) -> Option<WatchResponse> {
        tokio::time::timeout(wait, self.try_next())
            .await
            .ok()
            .and_then(Result::ok)
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The end of the range of all keys with a prefix.
pub(crate) fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}
