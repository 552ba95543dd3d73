//! Flags and the vcluster.yaml, from their texts to the settings.

use anyhow::Result;
use clap::Parser;
use serde_json::json;

use super::Options;
use crate::kinds::Kind;
use crate::resources::Direction;
use crate::settings::Settings;

fn parse(more: &[&str]) -> Result<Settings> {
    let required = [
        "syncer",
        "--kubeconfig=k",
        "--name=vc",
        "--target-namespace=host",
        "--etcd-servers=unix:///s",
    ];
    let options = Options::try_parse_from(required.iter().chain(more))?;
    options.settings(&options.read_config()?)
}

#[test]
fn defaults_follow_the_name() {
    let settings = parse(&[]).expect("valid");
    assert_eq!(settings.service_name, "vc");
    assert_eq!(settings.workload_service_account, "vc-workload-vc");
    assert_eq!(settings.nodes.kubelet_address, "127.0.0.1");
    let settings = parse(&[
        "--kubelet-address=10.0.0.5",
        "--service-name=",
        "--workload-service-account=",
    ]);
    let settings = settings.expect("valid");
    assert_eq!(settings.nodes.kubelet_address, "10.0.0.5");
    assert!(settings.service_name.is_empty() && settings.workload_service_account.is_empty());
}

#[test]
fn the_file_is_read_and_flags_go_before_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("vcluster.yaml");
    let flag = format!("--config={}", file.display());
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write(
        "sync:\n  toHost:\n    secrets: {all: true}\n    pods:\n      enforceTolerations: ['*']\n  fromHost:\n    \
         events: {enabled: false}\nnetworking:\n  advanced: {clusterDomain: a.internal}\n",
    );
    let settings = parse(&[&flag]).expect("valid");
    assert!(settings.all_secrets && !settings.all_config_maps && settings.from_host.is_empty());
    assert_eq!(settings.cluster_domain, "a.internal");
    assert_eq!(settings.pods.tolerations, [serde_json::json!({"operator": "Exists"})]);
    let hosts = settings.pods.rewrite_hosts.expect("on by default");
    assert_eq!(hosts.image, "mirror.gcr.io/library/alpine:3.20");
    let settings = parse(&[&flag, "--cluster-domain=b.internal", "--rewrite-hosts-image="]).expect("valid");
    assert_eq!(settings.cluster_domain, "b.internal");
    assert!(settings.pods.rewrite_hosts.is_none());
    write("sync:\n  toHost:\n    pods:\n      rewriteHosts: {enabled: false}\n");
    assert!(parse(&[&flag]).expect("valid").pods.rewrite_hosts.is_none());
    write(
        "sync:\n  toHost:\n    ingresses: {enabled: true}\n    secrets: {enabled: false}\n  fromHost:\n    storageClasses:\n      enabled: true\n      \
           selector: {matchLabels: {tier: gold}}\n",
    );
    let settings = parse(&[&flag]).expect("valid");
    let defaults = parse(&[]).expect("valid").to_host;
    let expected = defaults.iter().copied().filter(|kind| *kind != Kind::Secret);
    assert_eq!(settings.to_host, expected.chain([Kind::Ingress]).collect());
    assert_eq!(defaults.len(), 7);
    assert!(settings.from_host[&Kind::StorageClass].matches_labels(Some(&serde_json::json!({"tier": "gold"}))));
    assert!(!settings.from_host[&Kind::StorageClass].matches_labels(None));
    write("exportKubeConfig: {additionalSecrets: [{namespace: tools}]}\n");
    let error = parse(&[&flag]).expect_err("nothing to publish").to_string();
    assert!(error.contains("exportKubeConfig needs --export-kubeconfig"), "{error}");
    let settings = parse(&[&flag, "--export-kubeconfig=k"]).expect("valid");
    let names: Vec<String> = settings
        .exports
        .iter()
        .map(|secret| format!("{}/{}", secret.namespace, secret.name))
        .collect();
    assert_eq!(names, ["host/vc-vc", "tools/vc-vc"]);
    write("exportKubeConfig: {secret: {name: vc-vc}}\n");
    let error = parse(&[&flag, "--export-kubeconfig=k"]).expect_err("twice").to_string();
    assert!(error.contains("the Secret host/vc-vc twice"), "{error}");
    write("experimental: {syncSettings: {hostMetricsBindAddress: ':9', virtualMetricsBindAddress: '0'}}\n");
    assert_eq!(parse(&[&flag]).expect("valid").metrics_addresses, [":9"]);
    write(
        "experimental:\n  proxy:\n    customResources:\n      \
           a.other.io/v1: {enabled: true, targetVirtualCluster: {name: other}}\n      \
           b.other.io/v1: {enabled: true, targetVirtualCluster: {name: other}}\n      \
           '*.third.io/v1': {enabled: true, accessResources: all, targetVirtualCluster: {name: third, project: p}}\n      \
           '*.own.io/v1': {enabled: true, targetVirtualCluster: {name: vc, project: host}}\n      \
           '*.off.io/v1': {targetVirtualCluster: {name: off}}\n",
    );
    let proxied = parse(&[&flag]).expect("valid").proxied;
    let targets: Vec<(String, usize, bool)> = proxied
        .iter()
        .map(|version| (version.target.to_string(), version.resources.len(), version.owned_only))
        .collect();
    let expected = [("vcluster-other/other", 2, true), ("p/third", 0, false)];
    let expected = expected.map(|(target, resources, owned)| (target.to_owned(), resources, owned));
    for expected in &expected {
        assert!(targets.contains(expected), "{targets:?}");
    }
    assert_eq!(
        targets.len(),
        expected.len(),
        "what this one answers for itself is left out"
    );
    write("deploy:\n  metallb: {enabled: true}\n");
    let error = parse(&[&flag]).expect_err("not supported").to_string();
    assert!(
        error.ends_with("vcluster.yaml:2: deploy.metallb.enabled is not supported yet: remove it or set it to false"),
        "{error}"
    );
}

#[test]
fn the_gateway_api_is_switched_on_by_kinds_or_as_a_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("vcluster.yaml");
    let flag = format!("--config={}", file.display());
    let parsed = |text: &str| {
        std::fs::write(&file, text).expect("written");
        parse(&[&flag])
    };
    let kinds = |settings: &Settings| -> Vec<Kind> {
        let synced = settings.to_host.iter().chain(settings.from_host.keys());
        let mut kinds: Vec<Kind> = synced.copied().collect();
        kinds.retain(|kind| kind.group() == crate::kinds::GATEWAY_API);
        kinds.sort();
        kinds
    };
    let settings = parsed("sync: {toHost: {gatewayApi: {enabled: true}}}\n").expect("valid");
    assert_eq!(kinds(&settings), [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute]);
    let settings = parsed(
        "sync: {toHost: {gatewayApi: {referenceGrants: {enabled: true}, backendTLSPolicies: {enabled: true}, tlsRoutes: \
         {enabled: true, patches: [{path: spec, expression: value}]}}}}\n",
    )
    .expect("valid");
    assert_eq!(
        kinds(&settings),
        [Kind::TlsRoute, Kind::BackendTlsPolicy, Kind::ReferenceGrant]
    );
    assert!(settings.patches.concern(Direction::ToHost, Kind::TlsRoute));

    let import = |target: &str| {
        parsed(&format!(
            "sync: {{fromHost: {{gateways: {{enabled: true, mappings: {{byName: {{infra/edge: {target}/edge}}}}, allowedRoutes: \
             {{defaultVirtualNamespacePolicy: {{from: All}}, overrides: [{{hostNamespace: infra, name: edge, \
             virtualNamespacePolicy: {{from: Selector, selector: {{matchLabels: {{a: b}}}}}}}}]}}}}}}}}\n"
        ))
    };
    let settings = import("team").expect("valid");
    assert_eq!(kinds(&settings), [Kind::GatewayClass]);
    assert_eq!(settings.imports[&Kind::Gateway].len(), 1);
    let gateways = &settings.gateways;
    assert!(gateways.hide_certificates && gateways.hide_infrastructure && !gateways.expose_addresses);
    assert_eq!(gateways.allowed_routes, Some(json!({"namespaces": {"from": "All"}})));
    let single = &gateways.overrides[&crate::object::ObjectKey::new("infra", "edge")];
    assert_eq!(
        single.allowed_routes,
        Some(json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}))
    );
    let error = import("host").expect_err("reserved").to_string();
    assert!(
        error.ends_with("mappings.byName target namespace \"host\" is reserved"),
        "{error}"
    );
}

#[test]
fn nodes_are_selected_and_tolerations_enforced_by_flags() {
    let settings = parse(&["--node-selector=team=a,zone=", "--tolerations=team=a:NoSchedule,*"]).expect("valid");
    let nodes = &settings.nodes;
    assert_eq!(nodes.required_labels["team"], "a");
    let selector = nodes.selector.as_ref().expect("a selector");
    assert!(selector.matches_labels(Some(&json!({"team": "a", "zone": ""}))));
    assert!(!selector.matches_labels(Some(&json!({"team": "b", "zone": ""}))));
    assert_eq!(settings.pods.tolerations.len(), 2);
    assert!(nodes.by_ip && nodes.by_hostname && !nodes.from_host && !settings.metrics.is_on());
    assert!(parse(&[]).expect("valid").nodes.selector.is_none());
}

#[test]
fn kubelets_are_measured_where_there_is_a_right_to_it() {
    let shown = "sync: {fromHost: {nodes: {enabled: true}}}\n";
    let unproxied = "networking: {advanced: {proxyKubelets: {byHostname: false, byIP: false}}}\n";
    let right = "[{apiGroups: [''], resources: [nodes/proxy], verbs: [get]}]";
    let other = "[{apiGroups: [''], resources: [nodes], verbs: [get]}]";
    let role = |key: &str, rules: &str| format!("rbac: {{clusterRole: {{{key}: {rules}}}}}\n");
    for (yaml, measured) in [
        (String::new(), false),
        (shown.to_owned(), true),
        (format!("{shown}{unproxied}"), false),
        (role("extraRules", right), true),
        (role("extraRules", other), false),
        (format!("{shown}{}", role("extraRules", other)), true),
        (format!("{shown}{}", role("overwriteRules", other)), false),
        (format!("{shown}{}", role("overwriteRules", right)), true),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &yaml).expect("written");
        let (settings, _) = Options::for_rights("vc", "host", Some(file.path())).expect("valid");
        assert_eq!(settings.nodes.measured, measured, "{yaml}");
    }
}

#[test]
fn errors_name_the_flag() {
    let table: [(&[&str], &str); 6] = [
        (&["--node-selector=team"], "--node-selector"),
        (&["--tolerations=a:Never"], "--tolerations"),
        (&["--cluster-dns=example"], "--cluster-dns"),
        (&["--tls-cert-file=c"], "--tls-private-key-file"),
        (&["--kubelet-port=70000"], "--kubelet-port"),
        (&["--leader-elect=perhaps"], "--leader-elect"),
    ];
    for (flags, named) in table {
        let error = parse(flags).expect_err("invalid").to_string();
        assert!(error.contains(named), "{error}");
    }
    let bad = Options::try_parse_from([
        "syncer",
        "--kubeconfig=k",
        "--name=Vc",
        "--target-namespace=h",
        "--etcd-servers=u",
    ]);
    let config = config::Config::parse("", "").expect("defaults");
    let error = bad
        .expect("parses")
        .settings(&config)
        .expect_err("no DNS label")
        .to_string();
    assert!(error.starts_with("--name: \"Vc\""), "{error}");
}

#[test]
fn credentials_come_from_the_file_where_no_flag_names_them() {
    let options = |flags: &[&str]| {
        let required = [
            "syncer",
            "--name=vc",
            "--target-namespace=host",
            "--etcd-servers=unix:///s",
        ];
        Options::try_parse_from(required.iter().chain(flags)).expect("valid")
    };
    let none = config::Config::parse("f", "").expect("valid");
    let error = options(&[]).complete(&none).expect_err("no kubeconfig").to_string();
    assert!(
        error.contains("experimental.virtualClusterKubeConfig.kubeConfig"),
        "{error}"
    );
    let files = "experimental: {virtualClusterKubeConfig: {kubeConfig: k, serverCACert: c, serverCAKey: d, clientCACert: e, \
                 requestHeaderCACert: f}}";
    let files = config::Config::parse("f", files).expect("valid");
    let filled = options(&[]).complete(&files).expect("valid");
    let shown = |options: &Options| {
        [
            &options.kubeconfig,
            &options.tls_signing_cert_file,
            &options.tls_signing_key_file,
            &options.client_ca_file,
            &options.requestheader_client_ca_file,
        ]
        .map(|file| file.as_ref().map_or(String::new(), |file| file.display().to_string()))
    };
    assert_eq!(shown(&filled), ["k", "c", "d", "e", "f"]);
    let flags = [
        "--kubeconfig=1",
        "--tls-cert-file=2",
        "--tls-private-key-file=3",
        "--client-ca-file=4",
        "--requestheader-client-ca-file=5",
    ];
    let kept = options(&flags).complete(&files).expect("valid");
    assert_eq!(shown(&kept), ["1", "", "", "4", "5"]);
}

#[test]
fn kinds_that_name_others_go_together_with_namespaces_of_the_host() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("vcluster.yaml");
    let flag = format!("--config={}", file.display());
    let parsed = |more: &str| {
        let namespaces = "namespaces: {enabled: true, mappings: {byName: {a: b}}}";
        let text = format!("sync: {{toHost: {{{namespaces}, {more}}}}}\n");
        std::fs::write(&file, text).expect("written");
        parse(&[&flag])
    };
    let more = "resourceClaims: {enabled: true}, volumeSnapshots: {enabled: true}, gatewayApi: {enabled: true}";
    let settings = parsed(more).expect("valid");
    let grants = |settings: &Settings| settings.to_host.contains(&Kind::ReferenceGrant);
    assert!(settings.to_host.contains(&Kind::ResourceClaim) && grants(&settings));
    let refused = "gatewayApi: {enabled: true, referenceGrants: {enabled: false}}";
    assert!(!grants(&parsed(refused).expect("valid")));
    let gateways = "gatewayApi: {gateways: {enabled: true}}";
    assert!(
        grants(&parsed(gateways).expect("valid")),
        "certificates may lie elsewhere"
    );
}

#[test]
fn namespaces_of_their_own_bring_along_what_they_need() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let flag = format!("--config={}", file.path().display());
    let read = |text: &str| {
        std::fs::write(file.path(), text).expect("written");
        parse(&[&flag])
    };
    let on =
        |pair: &str| format!("sync: {{toHost: {{namespaces: {{enabled: true, mappings: {{byName: {{{pair}}}}}}}}}}}");
    let settings = read(&on("a: '${name}-a'")).expect("valid");
    assert!(settings.all_secrets && settings.all_config_maps && settings.to_host.contains(&Kind::Namespace));
    assert_eq!(settings.names().target("a"), "vc-a");
    assert_eq!(settings.names().single_namespace(), None);
    for (pair, expected) in [
        ("", "config.sync.toHost.namespaces.mappings.byName are empty"),
        (
            "a: host",
            "host namespace mapping 'host' conflicts with control plane namespace 'host'",
        ),
    ] {
        let error = read(&on(pair)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
