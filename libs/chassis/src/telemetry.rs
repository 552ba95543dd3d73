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
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};

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
        let filter = EnvFilter::try_new(&options.log_level).map_err(|error| {
            usage(format!(
                "--log-level: {:?} is not a level or a list of target=level: {error}",
                options.log_level
            ))
        })?;
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
        let traces = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(name)));
        let subscriber = tracing_subscriber::registry().with(filter).with(logs).with(traces);
        tracing::subscriber::set_global_default(subscriber).context("cannot install the log")?;
        Ok(Telemetry { provider })
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
    if headers.contains_key("traceparent") {
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
