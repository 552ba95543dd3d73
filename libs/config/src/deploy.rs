//! What is deployed with the virtual cluster: manifests, templates of manifests, and charts.

use serde_json::{Value, json};

use crate::charts::ChartRelease;
use crate::keys::{self, Content, Key, Kind};
use crate::model::Config;
use serde::Deserialize;

/// What is deployed with the virtual cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deploy {
    /// Into the host.
    pub host: HostManifests,
    /// Into the virtual cluster.
    pub vcluster: VirtualDeploy,
}

/// What is deployed into the host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostManifests {
    /// YAML with one or more documents.
    pub manifests: String,
    manifests_template: String,
}

/// What is deployed into the virtual cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualDeploy {
    manifests: String,
    manifests_template: String,
    /// Charts, in the order in which they are installed.
    pub helm: Vec<ChartRelease>,
}

impl Config {
    /// The manifests for a virtual cluster of this name, whose host namespace this is; those of the template come last
    /// (`ProcessInitManifests` of vCluster's pkg/controllers/deploy/deploy.go).
    ///
    /// # Errors
    /// The template is wrong; the sentence names the key, and the line of the template.
    pub fn virtual_manifests(&self, name: &str, namespace: &str) -> Result<String, String> {
        let deploy = &self.experimental.deploy.vcluster;
        if deploy.manifests_template.is_empty() {
            return Ok(deploy.manifests.clone());
        }
        let values = said(keys::root(), &self.document).unwrap_or_else(|| json!({}));
        let rendered = rendered(&deploy.manifests_template, values, name, namespace)
            .map_err(|why| format!("experimental.deploy.vcluster.manifestsTemplate: {why}"))?;
        Ok(format!("{}\n---\n{rendered}", deploy.manifests))
    }

    /// The template for the host, without the functions that only Helm has.
    ///
    /// # Errors
    /// The template is wrong, or made for Helm; the sentence names the key, and the line of the template.
    pub fn host_template(&self, name: &str, namespace: &str) -> Result<String, String> {
        let template = &self.experimental.deploy.host.manifests_template;
        // Where Helm finds nothing it prints nothing.
        rendered(template, self.document.clone(), name, namespace)
            .map(|text| text.replace("<no value>", ""))
            .map_err(|why| {
                format!(
                    "experimental.deploy.host.manifestsTemplate: {why} (this is a plain Go template: the functions of Helm \
                     are there when the chart is installed with Helm)"
                )
            })
    }
}

fn rendered(template: &str, values: Value, name: &str, namespace: &str) -> Result<String, gotemplate::Error> {
    let data = json!({"Values": values, "Release": {"Name": name, "Namespace": namespace}});
    gotemplate::render(template, &data)
}

/// The values without those that are empty: a template for the virtual cluster gets the configuration as vCluster writes it,
/// which leaves them out (`ExecTemplate` of pkg/k8s/k8s.go).
fn said(key: &Key, value: &Value) -> Option<Value> {
    match (&key.content, value) {
        (Content::Section(keys), Value::Object(fields)) => {
            let said = keys
                .iter()
                .filter_map(|key| Some((key.name.clone(), said(key, fields.get(&key.name)?)?)));
            Some(Value::Object(said.collect()))
        }
        (Content::Leaf { kind: Kind::Auto, .. }, value) => Some(value.clone()),
        (_, value) => {
            let is_empty = match value {
                Value::Null => true,
                Value::Bool(value) => !value,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
            };
            (!is_empty).then(|| value.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("f", text).unwrap()
    }

    #[test]
    fn templates_know_the_values_and_the_release() {
        let deploy = |manifests: &str, template: &str| {
            let section = json!({"manifests": manifests, "manifestsTemplate": template});
            let document = json!({"experimental": {"deploy": {"vcluster": section, "host": section}}});
            config(&document.to_string())
        };
        let all = |manifests: &str, template: &str| deploy(manifests, template).virtual_manifests("vc", "team");
        assert_eq!(all("a: b", ""), Ok("a: b".to_owned()));
        assert_eq!(all("a: b", "{{.Release.Name}}"), Ok("a: b\n---\nvc".to_owned()));
        for (template, expected) in [
            ("{{.Release.Namespace}}", "team"),
            ("{{.Values.networking.advanced.clusterDomain}}", "cluster.local"),
            ("{{.Values.controlPlane.statefulSet.highAvailability.replicas}}", "1"),
            // What is empty is not there.
            ("{{.Values.exportKubeConfig.context}}", "<no value>"),
            ("{{.Values.sync.toHost.ingresses.enabled}}", "<no value>"),
            ("{{.Values.rbac.clusterRole.enabled}}", "auto"),
            ("{{if .Values.sync.toHost.pods.enabled}}yes{{end}}", "yes"),
        ] {
            assert_eq!(all("", template), Ok(format!("\n---\n{expected}")), "{template}");
        }
        assert_eq!(
            all("", "a\n{{quote 1}}"),
            Err("experimental.deploy.vcluster.manifestsTemplate: line 2: function \"quote\" not defined".to_owned())
        );
        let host = |template: &str| deploy("", template).host_template("vc", "team");
        assert_eq!(
            host("{{.Release.Name}}{{.Values.sync.toHost.ingresses.enabled}}{{.Chart.Name}}"),
            Ok("vcfalse".to_owned())
        );
        let problem = host("{{ .Values | toYaml }}").unwrap_err();
        assert!(problem.contains("the functions of Helm"), "{problem}");
    }
}
