//! What goes on without being asked, and what the service tells about itself.

use std::time::{Duration, Instant};

use chassis::tls::{Authority, Profile};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    databases::Database,
    support::{PATIENCE, Shim, bytes},
};

#[tokio::test]
async fn history_is_compacted_but_for_the_newest_revisions() {
    let database = Database::file();
    let flags = [
        "--compact-interval=100ms",
        "--compact-min-retain=10",
        "--compact-interval-jitter=10",
    ];
    let shim = Shim::start_with(&database, &flags).await;
    let mut last = 0;
    for number in 0..50 {
        last = shim.client.set("compacted/a", &number.to_string()).await;
    }
    let deadline = Instant::now() + PATIENCE;
    while shim.app.store.compacted() < last - 10 {
        assert!(Instant::now() < deadline, "compacted to {}", shim.app.store.compacted());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Nothing is written any more, so nothing more goes.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(shim.app.store.compacted(), last - 10);
    let request = proto::etcdserverpb::RangeRequest {
        key: bytes("compacted/a"),
        revision: last - 10,
        ..Default::default()
    };
    assert_eq!(shim.client.range(request).await.expect("range").kvs[0].value, "39");
    shim.stop().await;
}

/// The body of an HTTP answer.
async fn get(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> String {
    let mut stream = stream;
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("write");
    let mut answer = String::new();
    // A server that ends a TLS session without saying so is not of interest here.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_know() {
    let database = Database::file();
    let shim = Shim::start_with(&database, &["--metrics-bind-address=127.0.0.1:0"]).await;
    let revision = shim.client.set("metrics/a", "1").await;
    shim.client.compact(revision, true).await.expect("compact");
    let mut stream = shim.client.stream().await;
    stream.create(super::contract::watch::watch("metrics/", 0));
    assert!(stream.next().await.created);
    let address = shim.chassis.addresses().tcp("admin").expect("admin");
    let metrics = get(TcpStream::connect(address).await.expect("connection")).await;
    for line in [
        &format!("kine_shim_revision {revision}"),
        &format!("kine_shim_compact_revision {revision}"),
        "kine_shim_watchers 1",
        "kine_shim_slow_watchers 0",
        "kine_shim_watch_lag_revisions{quantile=\"1\"} 0",
        "kine_shim_commit_requests_count",
        "kine_shim_commit_seconds_bucket",
        "kine_shim_compaction_running 0",
        "kine_shim_compaction_seconds_count",
        "kine_shim_written_rows_total",
        "kine_shim_db_log_bytes",
        "kine_sql_total{name=\"commit\",error_code=\"\"}",
        "kine_sql_time_seconds_bucket{le=\"0.001\",name=\"commit\",error_code=\"\"}",
        "kine_compact_total{result=\"success\"}",
        "kine_insert_errors_total{retriable=\"false\"} 0",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_has_leader 1",
        "etcd_disk_backend_commit_duration_seconds_bucket",
        "grpc_server_started_total{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"} 1",
        "grpc_server_handled_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\",grpc_code=\"OK\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    shim.stop().await;
}

#[tokio::test]
async fn metrics_share_the_certificate_of_the_listeners() {
    chassis::tls::install_provider();
    let database = Database::file();
    let authority = Authority::generate("ca").expect("authority");
    let issued = authority
        .issue(&Profile::server("etcd", ["localhost"]))
        .expect("certificate");
    let file = |name: &str, text: &str| {
        let path = database.directory.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    };
    let ca = file("ca.crt", authority.certificate());
    let flags = [
        format!("--server-cert-file={}", file("tls.crt", &issued.certificate).display()),
        format!("--server-key-file={}", file("tls.key", issued.key.as_str()).display()),
        format!("--trusted-ca-file={}", ca.display()),
        "--metrics-bind-address=127.0.0.1:0".to_owned(),
    ];
    let shim = Shim::start_with(&database, &flags.each_ref().map(String::as_str)).await;
    let address = shim.chassis.addresses().tcp("admin").expect("admin");
    let authorities = chassis::tls::load_authorities("--ca", &ca).expect("authorities");
    // As for kine, whoever scrapes needs no certificate.
    let mut client = chassis::tls::client_config(authorities, None).expect("client");
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
    let stream = TcpStream::connect(address).await.expect("connection");
    let name = "localhost".try_into().expect("name");
    let metrics = get(connector.connect(name, stream).await.expect("handshake")).await;
    assert!(metrics.contains("kine_shim_revision 1"), "{metrics}");
    shim.stop().await;
}
