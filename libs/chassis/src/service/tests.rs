//! A whole service on free ports: health, metrics, gRPC health and reflection, drain.

use crate::{BindAddress, BindFlag, Chassis, CommonOptions};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

async fn get(chassis: &Chassis, path: &str) -> (u16, String) {
    let address = chassis.addresses().tcp("admin").unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn serving(channel: &Channel) -> i32 {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel.clone())
        .check(request)
        .await
        .unwrap()
        .into_inner()
        .status
}

#[tokio::test]
async fn probes_and_metrics_follow_the_gates() {
    let mut chassis = Chassis::start(&CommonOptions::ephemeral()).await.unwrap();
    let storage = chassis.health().gate("storage");
    assert_eq!(get(&chassis, "/livez").await, (200, "ok".to_owned()));
    assert_eq!(get(&chassis, "/readyz").await.0, 503);
    chassis.serve().await.unwrap();
    let (status, body) = get(&chassis, "/readyz?verbose").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "[+]startup ok\n[-]storage failed: starting\nreadyz check failed\n")
    );

    let channel = crate::grpc::channel("--test", &chassis.addresses().get("grpc").unwrap().endpoint()).unwrap();
    assert_eq!(serving(&channel).await, 2, "NOT_SERVING");
    storage.ready();
    chassis.health().wait_ready().await;
    assert_eq!(get(&chassis, "/readyz").await, (200, "ok".to_owned()));
    while serving(&channel).await != 1 {
        tokio::task::yield_now().await;
    }
    assert!(
        get(&chassis, "/metrics")
            .await
            .1
            .contains("process_resident_memory_bytes")
    );
    drop(channel);
    chassis.drain().await.unwrap();
}

#[tokio::test]
async fn both_reflections_list_what_is_served_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("grpc.sock");
    let options = CommonOptions {
        grpc_bind_address: BindFlag(Some(BindAddress::Unix(path.clone()))),
        ..CommonOptions::quiet()
    };
    let mut chassis = Chassis::start(&options).await.unwrap();
    chassis.serve().await.unwrap();
    let channel = crate::grpc::channel("--test", &format!("unix://{}", path.display())).unwrap();

    let request = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..Default::default()
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("not a list: {answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);

    let request = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "grpc.health.v1.Health".to_owned(),
            ),
        ),
        ..Default::default()
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(
        matches!(
            answer,
            v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
        ),
        "{answer:?}"
    );
    // The two streams are still open: shutdown must not wait for clients to go away.
    chassis.drain().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn an_occupied_port_is_named_with_its_flag() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let options = CommonOptions {
        admin_bind_address: address.parse().unwrap(),
        ..CommonOptions::quiet()
    };
    let error = format!("{:#}", Chassis::start(&options).await.unwrap_err());
    assert!(
        error.starts_with(&format!("--admin-bind-address: cannot listen on {address}: ")),
        "{error}"
    );
}
