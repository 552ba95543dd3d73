//! Looks at one measurement of an autoscaler and says how many replicas it asks for (`computeStatusFor…Metric`).

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, CrossVersionObjectReference, ExternalMetricStatus, MetricIdentifier, MetricSpec,
    MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricStatus, PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::quantity::{Format, Quantity};
use machinery::selector::label::Selector;

use super::calculator::{Pods, Tolerances, for_total_per_replica};
use super::sources::Sources;
use super::target::Targets;

/// What there is of what is scaled.
pub(super) struct Scaled<'a> {
    pub(super) namespace: &'a str,
    /// The labels of its pods.
    pub(super) selector: &'a str,
    /// How many there are meant to be, and are.
    pub(super) wanted: i32,
    pub(super) running: i32,
    pub(super) tolerances: Tolerances,
    pub(super) pods: Pods<'a>,
}

/// What a measurement asks for.
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// What was measured, for events.
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

/// Why it asks for nothing.
pub(super) struct Failure {
    /// For the condition and the event.
    pub(super) reason: &'static str,
    pub(super) why: String,
    /// The whole sentence.
    pub(super) error: String,
}

/// Where measurements come from.
pub(super) struct Measuring<'a> {
    pub(super) sources: &'a Sources,
    pub(super) targets: &'a Targets,
}

impl Measuring<'_> {
    /// Looks at one measurement.
    pub(super) async fn propose(&self, spec: &MetricSpec, scaled: &Scaled<'_>) -> Result<Proposal, Failure> {
        let status = MetricStatus {
            type_: spec.type_.clone(),
            ..MetricStatus::default()
        };
        let failure = |reason: &'static str, what: String| {
            move |why: String| Failure {
                reason,
                error: format!("{what}: {why}"),
                why,
            }
        };
        match spec.type_.as_str() {
            "Resource" => {
                let source = spec.resource.clone().unwrap_or_default();
                let what = format!("failed to get {} resource metric value", source.name);
                let found = self.resource(&source.target, (&source.name, ""), scaled).await;
                let (replicas, current, name) = found.map_err(failure("FailedGetResourceMetric", what))?;
                let resource = Some(ResourceMetricStatus {
                    name: source.name,
                    current,
                });
                Ok(Proposal {
                    replicas,
                    name,
                    status: MetricStatus { resource, ..status },
                })
            }
            "ContainerResource" => {
                let source = spec.container_resource.clone().unwrap_or_default();
                let what = format!("failed to get {} container metric value", source.container);
                let found = self
                    .resource(&source.target, (&source.name, &source.container), scaled)
                    .await;
                let (replicas, current, name) = found.map_err(failure("FailedGetContainerResourceMetric", what))?;
                let container_resource = Some(ContainerResourceMetricStatus {
                    name: source.name,
                    container: source.container,
                    current,
                });
                Ok(Proposal {
                    replicas,
                    name,
                    status: MetricStatus {
                        container_resource,
                        ..status
                    },
                })
            }
            "Pods" => {
                let source = spec.pods.clone().unwrap_or_default();
                let what = "failed to get pods metric value".to_owned();
                let found = self.pods(&source.metric, &source.target, scaled).await;
                let (replicas, average) = found.map_err(failure("FailedGetPodsMetric", what))?;
                let name = format!("pods metric {}", source.metric.name);
                let pods = Some(PodsMetricStatus {
                    metric: source.metric,
                    current: average_value(average),
                });
                Ok(Proposal {
                    replicas,
                    name,
                    status: MetricStatus { pods, ..status },
                })
            }
            "Object" => {
                let source = spec.object.clone().unwrap_or_default();
                let what = "failed to get object metric value".to_owned();
                let object = &source.described_object;
                let found = self.object(&source.metric, &source.target, object, scaled).await;
                let (replicas, current, name) = found.map_err(failure("FailedGetObjectMetric", what))?;
                let object = Some(ObjectMetricStatus {
                    metric: source.metric,
                    described_object: source.described_object,
                    current,
                });
                Ok(Proposal {
                    replicas,
                    name,
                    status: MetricStatus { object, ..status },
                })
            }
            "External" => {
                let source = spec.external.clone().unwrap_or_default();
                let what = format!("failed to get {} external metric value", source.metric.name);
                let found = self.external(&source.metric, &source.target, scaled).await;
                let (replicas, current) = found.map_err(failure("FailedGetExternalMetric", what))?;
                let name = format!("external metric {}", with_selector(&source.metric));
                let external = Some(ExternalMetricStatus {
                    metric: source.metric,
                    current,
                });
                Ok(Proposal {
                    replicas,
                    name,
                    status: MetricStatus { external, ..status },
                })
            }
            other => {
                let why = format!("unknown metric source type {other:?}");
                Err(Failure {
                    reason: "InvalidMetricSourceType",
                    error: why.clone(),
                    why,
                })
            }
        }
    }

    async fn resource(
        &self,
        target: &MetricTarget,
        (name, container): (&str, &str),
        scaled: &Scaled<'_>,
    ) -> Result<(i32, MetricValueStatus, String), String> {
        let (what, utilization) = match (target.average_value.as_ref(), target.average_utilization) {
            (Some(_), _) => ("usage", 0),
            (None, Some(utilization)) => ("utilization", utilization),
            (None, None) => {
                return Err(
                    "invalid resource metric source: neither an average utilization target nor an average value \
                            (usage) target was set"
                        .to_owned(),
                );
            }
        };
        let failed = |why: String| format!("failed to get {name} {what}: {why}");
        let fetched = self
            .sources
            .resource((name, container), scaled.namespace, scaled.selector)
            .await;
        let metrics = fetched.map_err(|why| failed(format!("unable to get metrics for resource {name}: {why}")))?;
        let format = if name == "memory" {
            Format::BinarySi
        } else {
            Format::DecimalSi
        };
        let amount = |millis| Some(Text(Quantity::from_millis(millis, format).to_string()));
        if let Some(target) = &target.average_value {
            let found = scaled
                .pods
                .for_average(scaled.wanted, millis(target), name, scaled.tolerances, metrics);
            let (replicas, average) = found.map_err(failed)?;
            let current = MetricValueStatus {
                average_value: amount(average),
                ..MetricValueStatus::default()
            };
            return Ok((replicas, current, format!("{name} resource")));
        }
        let of = (name, container);
        let found = scaled
            .pods
            .for_utilization(scaled.wanted, utilization, of, scaled.tolerances, metrics);
        let (replicas, percent, average) = found.map_err(failed)?;
        let current = MetricValueStatus {
            average_utilization: Some(percent),
            average_value: amount(average),
            ..MetricValueStatus::default()
        };
        let of = if container.is_empty() {
            "resource"
        } else {
            "container resource"
        };
        Ok((
            replicas,
            current,
            format!("{name} {of} utilization (percentage of request)"),
        ))
    }

    async fn pods(
        &self,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        scaled: &Scaled<'_>,
    ) -> Result<(i32, i64), String> {
        let labels = text_of(metric.selector.as_ref());
        let fetched = self
            .sources
            .pods((&metric.name, &labels), scaled.namespace, scaled.selector)
            .await;
        let metrics = fetched.map_err(|why| format!("unable to get metric {}: {why}", metric.name))?;
        let target = target.average_value.as_ref().map(millis).unwrap_or_default();
        scaled
            .pods
            .for_average(scaled.wanted, target, "", scaled.tolerances, metrics)
    }

    async fn object(
        &self,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        object: &CrossVersionObjectReference,
        scaled: &Scaled<'_>,
    ) -> Result<(i32, MetricValueStatus, String), String> {
        let labels = text_of(metric.selector.as_ref());
        let measured = async {
            let group = object
                .api_version
                .as_deref()
                .and_then(|version| version.split_once('/'));
            let group = group.map(|(group, _)| group).unwrap_or_default();
            let of = (metric.name.as_str(), labels.as_str());
            let found = if group.is_empty() && object.kind == "Namespace" {
                // An autoscaler sees its own namespace only.
                self.sources.object(of, scaled.namespace, None).await
            } else {
                let resource = self.targets.resource(group, &object.kind).await?;
                self.sources
                    .object(of, scaled.namespace, Some((&resource, &object.name)))
                    .await
            };
            found.map_err(|why| {
                let (name, kind) = (&metric.name, &object.kind);
                format!(
                    "unable to get metric {name}: {why} on {kind} {}/{}",
                    scaled.namespace, object.name
                )
            })
        };
        match (
            target.type_.as_str(),
            target.value.as_ref(),
            target.average_value.as_ref(),
        ) {
            ("Value", Some(target), _) => {
                let used = measured.await?;
                let ratio = used as f64 / millis(target) as f64;
                let replicas = scaled.pods.for_ratio(scaled.wanted, ratio, scaled.tolerances)?;
                Ok((replicas, value(used), format!("{} metric {}", object.kind, metric.name)))
            }
            ("AverageValue", _, Some(target)) => {
                let used = measured
                    .await
                    .map_err(|why| format!("failed to get {} object metric: {why}", metric.name))?;
                let (replicas, average) =
                    for_total_per_replica(scaled.running, used, millis(target), scaled.tolerances);
                Ok((
                    replicas,
                    average_value(average),
                    format!("external metric {}", with_selector(metric)),
                ))
            }
            _ => Err(
                "invalid object metric source: neither a value target nor an average value target was set".to_owned(),
            ),
        }
    }

    async fn external(
        &self,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        scaled: &Scaled<'_>,
    ) -> Result<(i32, MetricValueStatus), String> {
        let name = &metric.name;
        let labels = text_of(metric.selector.as_ref());
        let measured = async {
            let found = self.sources.external(name, &labels, scaled.namespace).await;
            let values = found.map_err(|why| {
                let selector = go_text(metric.selector.as_ref());
                format!(
                    "unable to get external metric {}/{name}/{selector}: {why}",
                    scaled.namespace
                )
            })?;
            Ok(values.into_iter().fold(0_i64, i64::saturating_add))
        };
        if let Some(target) = &target.average_value {
            let used: Result<i64, String> = measured.await;
            let used = used.map_err(|why| format!("failed to get {name} external metric: {why}"))?;
            let (replicas, average) = for_total_per_replica(scaled.running, used, millis(target), scaled.tolerances);
            return Ok((replicas, average_value(average)));
        }
        if let Some(target) = &target.value {
            let failed = |why: String| format!("failed to get external metric {name}: {why}");
            let used = measured.await.map_err(failed)?;
            let ratio = used as f64 / millis(target) as f64;
            let replicas = scaled
                .pods
                .for_ratio(scaled.wanted, ratio, scaled.tolerances)
                .map_err(failed)?;
            return Ok((replicas, value(used)));
        }
        Err("invalid external metric source: neither a value target nor an average value target was set".to_owned())
    }
}

fn millis(text: &Text) -> i64 {
    Quantity::parse(&text.0)
        .map(|quantity| quantity.millis())
        .unwrap_or_default()
}

fn decimal(millis: i64) -> Option<Text> {
    Some(Text(Quantity::from_millis(millis, Format::DecimalSi).to_string()))
}

fn average_value(millis: i64) -> MetricValueStatus {
    MetricValueStatus {
        average_value: decimal(millis),
        ..MetricValueStatus::default()
    }
}

fn value(millis: i64) -> MetricValueStatus {
    MetricValueStatus {
        value: decimal(millis),
        ..MetricValueStatus::default()
    }
}

/// A selector as a parameter of a request.
fn text_of(selector: Option<&LabelSelector>) -> String {
    let selector = selector.and_then(|selector| serde_json::to_value(selector).ok());
    selector
        .map(|selector| Selector::of(Some(&selector)).to_string())
        .unwrap_or_default()
}

fn with_selector(metric: &MetricIdentifier) -> String {
    format!("{}({})", metric.name, go_text(metric.selector.as_ref()))
}

/// A selector as Go prints it.
fn go_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else {
        return "nil".to_owned();
    };
    let labels = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {value},"));
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        format!(
            "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
            one.key, one.operator
        )
    });
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        labels.collect::<String>(),
        expressions.collect::<String>()
    )
}
