//! Logs on standard error, and OpenTelemetry traces when an endpoint is given.

use crate::error::usage;
use crate::options::{CommonOptions, LogFormat};
use anyhow::{Context, Result};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use std::time::Duration;
use tracing::Level;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

/// The variable every OpenTelemetry SDK reads.
pub(crate) const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Holds the trace exporter, if there is one, until [`Telemetry::flush`].
#[derive(Debug)]
pub(crate) struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Installs the process-wide subscriber. Needs a tokio runtime when traces are on. `environment` is the value of
    /// [`ENDPOINT_VARIABLE`].
    pub(crate) fn install(name: &'static str, options: &CommonOptions, environment: Option<String>) -> Result<Self> {
        let (subscriber, telemetry) = Self::build(name, options, environment)?;
        tracing::subscriber::set_global_default(subscriber).context("cannot install the log")?;
        Ok(telemetry)
    }

    fn build(
        name: &'static str,
        options: &CommonOptions,
        environment: Option<String>,
    ) -> Result<(impl tracing::Subscriber + Send + Sync + use<>, Self)> {
        let filter = filter(&options.log_level)?;
        let endpoint = options
            .otlp_endpoint
            .clone()
            .or(environment)
            .filter(|endpoint| !endpoint.is_empty());
        let provider = endpoint.map(|endpoint| exporter(name, &endpoint)).transpose()?;
        let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let logs = match options.log_format {
            LogFormat::Text => format.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => format.json().flatten_event(true).boxed(),
        };
        // What is logged and what is traced are different questions: requests are spans of level debug.
        let traced = Targets::new()
            .with_default(Level::INFO)
            .with_target(module_path!(), Level::DEBUG);
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(name))
                .with_filter(traced)
        });
        let subscriber = tracing_subscriber::registry()
            .with(logs.with_filter(filter))
            .with(traces);
        Ok((subscriber, Telemetry { provider }))
    }

    /// Sends the spans that are still waiting.
    pub(crate) async fn flush(self) {
        let Some(provider) = self.provider else { return };
        // The exporter's own thread sends over a connection this runtime drives, so the wait must not block it.
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(Duration::from_secs(3))).await;
        if let Ok(Err(error)) = sent {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

fn exporter(name: &'static str, endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| {
            usage(format!(
                "--otlp-endpoint (or {ENDPOINT_VARIABLE}): {endpoint:?}: {error}"
            ))
        })?;
    let resource = Resource::builder()
        .with_service_name(name)
        .with_attribute(opentelemetry::KeyValue::new("service.version", crate::VERSION))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// The span of a request to a server, under the caller's span when it sent a `traceparent` header.
pub(crate) fn request_span(path: &str, headers: &http::HeaderMap) -> tracing::Span {
    let span = tracing::debug_span!("request", otel.name = path, otel.kind = "server");
    if !span.is_disabled() && headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        // Fails when traces are off, and then there is nothing to connect.
        let _ = span.set_parent(parent);
    }
    span
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Reads `--log-level`: a level for everything, levels of single targets, or both, separated by commas. The full language
/// of env-filter, with its spans and fields, would bring a regex engine into every service.
fn filter(text: &str) -> Result<Targets> {
    let mut filter = Targets::new();
    for part in text.split(',').map(str::trim) {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, part),
        };
        let level = Some(level)
            .filter(|level| !level.is_empty())
            .and_then(|level| level.parse::<LevelFilter>().ok());
        let path = |target: &str| {
            target
                .split("::")
                .all(|name| !name.is_empty() && name.chars().all(is_name))
        };
        filter = match (target, level) {
            (None, Some(level)) => filter.with_default(level),
            (Some(target), Some(level)) if path(target) => filter.with_target(target, level),
            _ => {
                return Err(usage(format!(
                    "--log-level: `{part}` is neither a level (error, warn, info, debug, trace, off) nor target=level"
                )));
            }
        };
    }
    Ok(filter)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GrpcServices, Health, Listener, Tasks};
    use std::convert::Infallible;
    use std::sync::mpsc;
    use tokio_util::sync::CancellationToken;
    use tonic::body::Body;

    #[test]
    fn levels_are_for_everything_or_for_targets() {
        for text in [
            "info",
            "off",
            "warn,kine_shim=debug",
            "INFO, kine_shim::store=trace",
            "h2=warn",
        ] {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "inof",
            "info,",
            "=debug",
            "a=",
            "a=loud",
            "a::=debug",
            "[[",
            "a[b]=info",
        ] {
            let error = filter(text).unwrap_err().to_string();
            assert!(error.starts_with("--log-level: `"), "{error}");
        }
        let filter = filter("warn,kine_shim=debug").unwrap();
        assert!(filter.would_enable("kine_shim::store", &Level::DEBUG));
        assert!(!filter.would_enable("h2", &Level::INFO));
    }

    /// Takes every export and passes its body on.
    #[derive(Clone)]
    struct Collector(mpsc::Sender<Vec<u8>>);

    impl tonic::server::NamedService for Collector {
        const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
    }

    impl tonic::codegen::Service<http::Request<Body>> for Collector {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            let sender = self.0.clone();
            Box::pin(async move {
                use http_body_util::BodyExt;
                let body = request.into_body().collect().await.map(|body| body.to_bytes().to_vec());
                sender.send(body.unwrap_or_default()).unwrap();
                // An empty message.
                let answer = Body::new(http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5])));
                let response = http::Response::builder().header("content-type", "application/grpc");
                Ok(response.header("grpc-status", "0").body(answer).unwrap())
            })
        }
    }

    #[tokio::test]
    async fn spans_are_sent_under_the_callers_trace_at_the_latest_at_the_end() {
        let tasks = Tasks::new(Health::default(), CancellationToken::new());
        let listener = Listener::bind(&crate::BindAddress::LOOPBACK).await.unwrap();
        let endpoint = listener.address().endpoint();
        let (sender, exports) = mpsc::channel();
        let mut services = GrpcServices::default();
        services.add(Collector(sender));
        services
            .serve(&tasks, "collector", listener, &Health::default())
            .await
            .unwrap();

        let options = CommonOptions {
            log_level: "error".to_owned(),
            ..CommonOptions::quiet()
        };
        let (subscriber, telemetry) = Telemetry::build("sample", &options, Some(endpoint)).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let mut headers = http::HeaderMap::new();
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            headers.insert("traceparent", parent.parse().unwrap());
            drop(request_span("/pkg.Service/Method", &headers).entered());
        });
        telemetry.flush().await;
        let export = exports.try_recv().unwrap();
        let holds = |part: &[u8]| export.windows(part.len()).any(|window| window == part);
        assert!(
            holds(b"/pkg.Service/Method") && holds(b"sample"),
            "the span and its service"
        );
        assert!(
            holds(&[0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48]),
            "the caller's trace"
        );
        tasks.drain(Duration::from_secs(5)).await.unwrap();
    }

    #[test]
    fn a_wrong_level_names_the_flag() {
        let options = CommonOptions {
            log_level: "a=b=c".to_owned(),
            ..CommonOptions::quiet()
        };
        let error = Telemetry::build("sample", &options, None).err().unwrap().to_string();
        assert!(error.starts_with("--log-level: `a=b=c` is neither a level"), "{error}");
    }
}
