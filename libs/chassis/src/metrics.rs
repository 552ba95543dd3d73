//! The process's Prometheus registry, with the usual `process_*` series.

use crate::sync::lock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// The media type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry shared by every part of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process {
            started: SystemTime::now(),
        }));
        Metrics(Arc::new(Mutex::new(registry)))
    }
}

impl Metrics {
    /// Registers metrics: `metrics.register(|registry| registry.register("name", "help", counter.clone()))`. Counters get
    /// the suffix `_total` when they are written out.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut lock(&self.0))
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail, and no metric of ours refuses to be encoded.
        let _ = prometheus_client::encoding::text::encode(&mut text, &lock(&self.0));
        text
    }
}

/// What Prometheus client libraries report about their process, read from /proc at each scrape.
#[derive(Debug)]
struct Process {
    started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge(
            "process_start_time_seconds",
            "Start time of the process since the epoch.",
            started.as_secs_f64(),
        )?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(bytes) = status_bytes(&status, "VmRSS:") {
            gauge("process_resident_memory_bytes", "Resident memory.", bytes)?;
        }
        if let Some(bytes) = status_bytes(&status, "VmSize:") {
            gauge("process_virtual_memory_bytes", "Virtual memory.", bytes)?;
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            gauge("process_open_fds", "Open file descriptors.", entries.count() as f64)?;
        }
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(seconds) = cpu_seconds(&stat) {
            let metric = ConstCounter::new(seconds);
            let help = "User and system CPU time spent.";
            metric.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

/// A `kB` line of /proc/self/status in bytes.
fn status_bytes(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kilobytes * 1024) as f64)
}

/// utime + stime of /proc/self/stat. The kernel reports them in 1/100 s to user space on every Linux architecture (USER_HZ).
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The command name is in parentheses and may hold spaces; the fields after it do not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn own_and_process_metrics_are_written() {
        let metrics = Metrics::default();
        let served: Counter = Counter::default();
        metrics.register(|registry| registry.register("answers_served", "Answers", served.clone()));
        served.inc();
        let text = metrics.encode();
        assert!(text.contains("answers_served_total 1\n"), "{text}");
        for name in [
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_open_fds",
            "process_cpu_seconds_total",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some(), "{name} is missing in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn proc_files_are_read_by_field() {
        assert_eq!(
            status_bytes("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"),
            Some(2_097_152.0)
        );
        assert_eq!(status_bytes("Name:\tx\n", "VmRSS:"), None);
        assert_eq!(cpu_seconds("1 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0"), Some(2.0));
        assert_eq!(cpu_seconds("garbage"), None);
    }
}
