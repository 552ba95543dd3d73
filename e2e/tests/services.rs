//! What every service of a running playground offers to its operator: gRPC health and reflection, readiness, metrics.

use std::collections::BTreeSet;
use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use e2e::playground::Layout;
use e2e::process::{Ports, Report};
use e2e::suite::{Case, World, main as run};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const CASES: &[Case] = &[
    ("every_service_is_healthy", |world| each(world, healthy)),
    ("every_service_describes_its_contracts", |world| each(world, described)),
    ("every_service_says_what_it_is_ready_for", |world| each(world, ready)),
    ("every_service_shows_metrics", |world| each(world, metrics)),
];

/// A contract that a service has besides the ones that all of them have.
const CONTRACTS: &[(&str, &str)] = &[
    ("kine-shim", "etcdserverpb.KV"),
    ("apiserver", "vcluster.apiserver.v1.State"),
    ("syncer", "vcluster.dns.v1.Records"),
    ("syncer", "vcluster.syncer.v1.Syncer"),
];

fn main() -> ExitCode {
    run("services", 1, CASES)
}

/// A service and where its gRPC contract is.
struct Service {
    report: Report,
    grpc: String,
}

impl Service {
    /// The name without the cluster.
    fn kind(&self) -> &str {
        self.report.name.rsplit('/').next().unwrap_or_default()
    }

    async fn channel(&self) -> Result<Channel> {
        let endpoint = Channel::from_shared(self.grpc.clone()).context("not an address")?;
        endpoint.connect().await.context("gRPC does not answer")
    }

    /// Status and body of a request to the admin address.
    async fn get(&self, path: &str) -> Result<(u16, String)> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
        let url = format!("http://{}{path}", self.report.admin).parse()?;
        let answer = client
            .get(url)
            .await
            .with_context(|| format!("{path} does not answer"))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Checks one property of all services.
fn each<F: Future<Output = Result<()>>>(world: &World, check: fn(Service) -> F) -> Result<()> {
    let layout = Layout::find(world.dir()).context("the playground is gone")?;
    let mut ports = Ports::open(&layout.ports())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reports = world.state()?.processes;
    ensure!(reports.len() == 9, "{} processes run", reports.len());
    for report in reports {
        let name = report.name.clone();
        let grpc = format!("http://127.0.0.1:{}", ports.get(&format!("{name}/grpc"))?);
        runtime.block_on(check(Service { report, grpc })).context(name)?;
    }
    Ok(())
}

async fn healthy(service: Service) -> Result<()> {
    let mut client = HealthClient::new(service.channel().await?);
    let request = HealthCheckRequest { service: String::new() };
    let answer = client.check(request).await.context("health is not told")?;
    let status = answer.into_inner().status();
    ensure!(status == ServingStatus::Serving, "{status:?}");
    Ok(())
}

async fn described(service: Service) -> Result<()> {
    let channel = service.channel().await?;
    let MessageResponse::ListServicesResponse(list) =
        reflect(channel.clone(), MessageRequest::ListServices(String::new())).await?
    else {
        bail!("no list of contracts");
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    let own = CONTRACTS.iter().filter(|(kind, _)| *kind == service.kind());
    for expected in own.map(|(_, contract)| *contract).chain(["grpc.health.v1.Health"]) {
        ensure!(names.contains(expected), "{expected} is not among {names:?}");
    }
    for name in names {
        let answer = reflect(channel.clone(), MessageRequest::FileContainingSymbol(name.clone())).await?;
        ensure!(
            matches!(answer, MessageResponse::FileDescriptorResponse(_)),
            "{name} has no description: {answer:?}"
        );
    }
    Ok(())
}

async fn reflect(channel: Channel, question: MessageRequest) -> Result<MessageResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(channel);
    let requests = futures::stream::once(std::future::ready(request));
    let mut answers = client.server_reflection_info(requests).await?.into_inner();
    let answer = answers.message().await?.context("reflection does not answer")?;
    answer.message_response.context("reflection answers nothing")
}

async fn ready(service: Service) -> Result<()> {
    for path in ["/healthz", "/livez", "/readyz"] {
        let (status, body) = service.get(path).await?;
        ensure!(status == 200, "{path}: {status} {body}");
    }
    let (_, body) = service.get("/readyz?verbose").await?;
    ensure!(body.contains("[+]") && body.contains("readyz check passed"), "{body}");
    Ok(())
}

async fn metrics(service: Service) -> Result<()> {
    let (status, body) = service.get("/metrics").await?;
    ensure!(status == 200, "{status} {body}");
    let values: Vec<&str> = body.lines().filter(|line| !line.starts_with('#')).collect();
    for line in &values {
        let value = line.rsplit(' ').next().unwrap_or_default();
        ensure!(value.parse::<f64>().is_ok(), "{line:?} has no value");
    }
    let memory = values
        .iter()
        .any(|line| line.starts_with("process_resident_memory_bytes "));
    ensure!(memory, "memory is not shown:\n{body}");
    let described: BTreeSet<&str> = body.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    ensure!(described.len() > 5, "too little is measured: {described:?}");
    Ok(())
}
