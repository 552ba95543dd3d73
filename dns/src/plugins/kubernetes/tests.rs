//! Known answers of CoreDNS (its `plugin/kubernetes/handler_test.go` and the Kubernetes DNS specification).

use crate::records::Index;
use crate::testing::{Lab, address, corefile_error, external, namespace, port, service};
use proptest::prelude::*;
use proto::vcluster::dns::v1::watch_response::Event;

const COREFILE: &str = ".:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    template IN A outside.example {
        answer \"{{ .Name }} 60 IN A 192.0.2.1\"
    }
}";

const SOA: &str =
    "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1499347823 7200 1800 86400 5";

fn records() -> Vec<Event> {
    vec![
        namespace("testns"),
        namespace("empty"),
        service(
            "testns/svc1",
            &["10.0.0.1"],
            vec![port("http", "TCP", 80)],
            vec![address("172.0.0.1", "ep1a", "")],
        ),
        service(
            "testns/dual",
            &["10.0.0.2", "fd00::2"],
            vec![port("dns", "UDP", 53), port("dns-tcp", "TCP", 53)],
            vec![],
        ),
        service("testns/portless", &["10.0.0.3"], vec![], vec![]),
        service(
            "testns/hdls1",
            &[],
            vec![port("http", "TCP", 80)],
            vec![
                address("172.0.0.2", "", "pod-2"),
                address("172.0.0.3", "dup-name", "pod-3"),
                address("172.0.0.4", "dup-name", "pod-4"),
                address("fd00::4", "", ""),
            ],
        ),
        service("testns/hdls-empty", &[], vec![port("http", "TCP", 80)], vec![]),
        external("testns/external", "ext.interwebs.test"),
        external("testns/external-inside", "svc1.testns.svc.cluster.local"),
        external("testns/external-answered", "a.outside.example."),
        external("testns/external-nowhere", "gone.testns.svc.cluster.local"),
        external("testns/external-self", "external-self.testns.svc.cluster.local"),
        external("testns/external-address", "10.9.9.9"),
    ]
}

fn lab(corefile: &str) -> Lab {
    Lab::new(corefile, records())
}

#[tokio::test]
async fn names_answer_as_coredns_does() {
    let lab = lab(COREFILE);
    let nodata = format!("NOERROR aa; ns: {SOA}");
    let nxdomain = format!("NXDOMAIN aa; ns: {SOA}");
    let headless = "an: hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.2, \
                    hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.3, hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.4";
    for (question, expected) in [
        // Cluster IPs.
        (
            "svc1.testns.svc.cluster.local. A",
            "NOERROR aa; an: svc1.testns.svc.cluster.local. 5 IN A 10.0.0.1",
        ),
        (
            "SVC1.TestNS.svc.Cluster.Local. A",
            "NOERROR aa; an: SVC1.TestNS.svc.Cluster.Local. 5 IN A 10.0.0.1",
        ),
        ("svc1.testns.svc.cluster.local. AAAA", &nodata),
        (
            "dual.testns.svc.cluster.local. AAAA",
            "NOERROR aa; an: dual.testns.svc.cluster.local. 5 IN AAAA fd00::2",
        ),
        (
            "_http._tcp.svc1.testns.svc.cluster.local. A",
            "NOERROR aa; an: _http._tcp.svc1.testns.svc.cluster.local. 5 IN A 10.0.0.1",
        ),
        ("_http._udp.svc1.testns.svc.cluster.local. A", &nxdomain),
        (
            "portless.testns.svc.cluster.local. A",
            "NOERROR aa; an: portless.testns.svc.cluster.local. 5 IN A 10.0.0.3",
        ),
        ("portless.testns.svc.cluster.local. SRV", &nodata),
        // SRV.
        (
            "_http._tcp.svc1.testns.svc.cluster.local. SRV",
            "NOERROR aa; an: _http._tcp.svc1.testns.svc.cluster.local. 5 IN SRV 0 100 80 svc1.testns.svc.cluster.local.; \
             ex: svc1.testns.svc.cluster.local. 5 IN A 10.0.0.1",
        ),
        (
            "svc1.testns.svc.cluster.local. SRV",
            "NOERROR aa; an: svc1.testns.svc.cluster.local. 5 IN SRV 0 100 80 svc1.testns.svc.cluster.local.; \
             ex: svc1.testns.svc.cluster.local. 5 IN A 10.0.0.1",
        ),
        (
            "_http._tcp.hdls1.testns.svc.cluster.local. SRV",
            "NOERROR aa; \
             an: _http._tcp.hdls1.testns.svc.cluster.local. 5 IN SRV 0 25 80 172-0-0-2.hdls1.testns.svc.cluster.local., \
             _http._tcp.hdls1.testns.svc.cluster.local. 5 IN SRV 0 25 80 dup-name.hdls1.testns.svc.cluster.local., \
             _http._tcp.hdls1.testns.svc.cluster.local. 5 IN SRV 0 25 80 fd00--4.hdls1.testns.svc.cluster.local.; \
             ex: 172-0-0-2.hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.2, \
             dup-name.hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.3, \
             dup-name.hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.4, \
             fd00--4.hdls1.testns.svc.cluster.local. 5 IN AAAA fd00::4",
        ),
        ("_nosuch._tcp.svc1.testns.svc.cluster.local. SRV", &nxdomain),
        ("external.testns.svc.cluster.local. SRV", &nodata),
        // Headless services and endpoints.
        ("hdls1.testns.svc.cluster.local. A", &format!("NOERROR aa; {headless}")),
        (
            "hdls1.testns.svc.cluster.local. AAAA",
            "NOERROR aa; an: hdls1.testns.svc.cluster.local. 5 IN AAAA fd00::4",
        ),
        ("hdls-empty.testns.svc.cluster.local. A", &nxdomain),
        (
            "172-0-0-2.hdls1.testns.svc.cluster.local. A",
            "NOERROR aa; an: 172-0-0-2.hdls1.testns.svc.cluster.local. 5 IN A 172.0.0.2",
        ),
        (
            "ep1a.svc1.testns.svc.cluster.local. A",
            "NOERROR aa; an: ep1a.svc1.testns.svc.cluster.local. 5 IN A 172.0.0.1",
        ),
        ("172-0-0-3.hdls1.testns.svc.cluster.local. A", &nxdomain),
        // External names.
        (
            "external.testns.svc.cluster.local. CNAME",
            "NOERROR aa; an: external.testns.svc.cluster.local. 5 IN CNAME ext.interwebs.test.",
        ),
        (
            "external.testns.svc.cluster.local. A",
            "NOERROR aa; an: external.testns.svc.cluster.local. 5 IN CNAME ext.interwebs.test.",
        ),
        (
            "external-inside.testns.svc.cluster.local. A",
            "NOERROR aa; an: external-inside.testns.svc.cluster.local. 5 IN CNAME svc1.testns.svc.cluster.local., \
             svc1.testns.svc.cluster.local. 5 IN A 10.0.0.1",
        ),
        (
            "external-answered.testns.svc.cluster.local. A",
            "NOERROR aa; an: a.outside.example. 60 IN A 192.0.2.1, \
             external-answered.testns.svc.cluster.local. 5 IN CNAME a.outside.example.",
        ),
        ("external-nowhere.testns.svc.cluster.local. A", &nodata),
        ("external-self.testns.svc.cluster.local. A", &nodata),
        ("external-address.testns.svc.cluster.local. A", &nxdomain),
        ("_http._tcp.external.testns.svc.cluster.local. A", &nxdomain),
        // Pods.
        (
            "10-240-0-9.testns.pod.cluster.local. A",
            "NOERROR aa; an: 10-240-0-9.testns.pod.cluster.local. 5 IN A 10.240.0.9",
        ),
        (
            "fd00--9.testns.pod.cluster.local. AAAA",
            "NOERROR aa; an: fd00--9.testns.pod.cluster.local. 5 IN AAAA fd00::9",
        ),
        ("10-240-0-9.testns.pod.cluster.local. AAAA", &nodata),
        ("10-240-0-9.nosuch.pod.cluster.local. A", &nxdomain),
        ("some-name.testns.pod.cluster.local. A", &nxdomain),
        // Names that exist without records, and names that do not.
        ("cluster.local. A", &nodata),
        ("svc.cluster.local. A", &nodata),
        ("pod.cluster.local. A", &nodata),
        ("testns.svc.cluster.local. A", &nodata),
        ("empty.svc.cluster.local. A", &nodata),
        ("testns.pod.cluster.local. A", &nodata),
        ("nosuch.svc.cluster.local. A", &nxdomain),
        ("nosuch.testns.svc.cluster.local. A", &nxdomain),
        ("svc1.nosuch.svc.cluster.local. A", &nxdomain),
        ("a.b.c.svc1.testns.svc.cluster.local. A", &nxdomain),
        ("other.cluster.local. A", &nxdomain),
        ("svc1.testns.svc.cluster.local. MX", &nodata),
        ("nosuch.testns.svc.cluster.local. MX", &nxdomain),
        ("svc1.testns.svc.cluster.local. TXT", &nodata),
        ("nosuch.testns.svc.cluster.local. TXT", &nxdomain),
        // The zone itself.
        (
            "dns-version.cluster.local. TXT",
            "NOERROR aa; an: dns-version.cluster.local. 28800 IN TXT 1.1.0",
        ),
        ("cluster.local. SOA", &format!("NOERROR aa; an: {SOA}")),
        (
            "cluster.local. NS",
            "NOERROR aa; an: cluster.local. 5 IN NS ns.dns.cluster.local.; ex: ns.dns.cluster.local. 5 IN A 10.240.0.1",
        ),
        (
            "ns.dns.cluster.local. A",
            "NOERROR aa; an: ns.dns.cluster.local. 5 IN A 10.240.0.1",
        ),
        ("cluster.local. AXFR", "REFUSED"),
        // Reverse names.
        (
            "1.0.0.10.in-addr.arpa. PTR",
            "NOERROR aa; an: 1.0.0.10.in-addr.arpa. 5 IN PTR svc1.testns.svc.cluster.local.",
        ),
        (
            "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR",
            "NOERROR aa; an: 2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 IN PTR \
             dual.testns.svc.cluster.local.",
        ),
        (
            "3.0.0.172.in-addr.arpa. PTR",
            "NOERROR aa; an: 3.0.0.172.in-addr.arpa. 5 IN PTR dup-name.hdls1.testns.svc.cluster.local.",
        ),
        // Handed on, and nobody is there.
        ("2.0.0.172.in-addr.arpa. PTR", "SERVFAIL"),
        ("example.org. A", "SERVFAIL"),
    ] {
        assert_eq!(lab.ask(question).await, *expected, "{question}");
    }
}

#[tokio::test]
async fn options_change_what_resolves() {
    let with = |options: &str| lab(&format!(".:53 {{\n kubernetes cluster.local {{\n {options}\n }}\n}}"));
    let code = |answer: String| answer.split([' ', ';']).next().unwrap_or_default().to_owned();
    for (options, question, expected) in [
        ("", "10-240-0-9.testns.pod.cluster.local. A", "NXDOMAIN"),
        ("pods disabled", "10-240-0-9.testns.pod.cluster.local. A", "NXDOMAIN"),
        ("pods verified", "10-240-0-9.testns.pod.cluster.local. A", "NXDOMAIN"),
        ("namespaces other", "svc1.testns.svc.cluster.local. A", "NXDOMAIN"),
        ("namespaces other testns", "svc1.testns.svc.cluster.local. A", "NOERROR"),
        ("noendpoints", "hdls1.testns.svc.cluster.local. A", "NXDOMAIN"),
        ("ignore empty_service", "dual.testns.svc.cluster.local. A", "NXDOMAIN"),
        ("ignore empty_service", "svc1.testns.svc.cluster.local. A", "NOERROR"),
        (
            "endpoint_pod_names",
            "pod-2.hdls1.testns.svc.cluster.local. A",
            "NOERROR",
        ),
        (
            "endpoint_pod_names",
            "172-0-0-2.hdls1.testns.svc.cluster.local. A",
            "NXDOMAIN",
        ),
        (
            "endpoint_pod_names",
            "dup-name.hdls1.testns.svc.cluster.local. A",
            "NOERROR",
        ),
    ] {
        assert_eq!(
            code(with(options).ask(question).await),
            expected,
            "{options}: {question}"
        );
    }
    let answer = with("ttl 30").ask("svc1.testns.svc.cluster.local. A").await;
    assert_eq!(
        answer,
        "NOERROR aa; an: svc1.testns.svc.cluster.local. 30 IN A 10.0.0.1"
    );
}

#[tokio::test]
async fn verified_pods_must_exist() {
    let pod = proto::vcluster::dns::v1::Pod {
        namespace: "testns".into(),
        name: "p".into(),
        ips: vec!["10.240.0.9".into()],
    };
    let corefile = ".:53 {\n kubernetes cluster.local {\n pods verified\n }\n}";
    let lab = Lab::new(corefile, vec![namespace("other"), Event::Pod(pod)]);
    assert!(
        lab.ask("10-240-0-9.testns.pod.cluster.local. A")
            .await
            .starts_with("NOERROR aa; an:")
    );
    assert!(
        lab.ask("10-240-0-8.testns.pod.cluster.local. A")
            .await
            .starts_with("NXDOMAIN")
    );
    assert!(
        lab.ask("10-240-0-9.other.pod.cluster.local. A")
            .await
            .starts_with("NXDOMAIN")
    );
}

#[tokio::test]
async fn the_services_in_front_of_the_name_server_are_the_zones_servers() {
    let front = |path: &str, ips: &[&str]| {
        service(
            path,
            ips,
            vec![port("dns", "UDP", 53)],
            vec![address("10.240.0.1", "", "")],
        )
    };
    let records = vec![
        front("kube-system/kube-dns", &["10.0.0.10"]),
        front("kube-system/direct", &[]),
    ];
    let answer = Lab::new(COREFILE, records).ask("cluster.local. NS").await;
    assert_eq!(
        answer,
        "NOERROR aa; an: cluster.local. 5 IN NS 10-240-0-1.direct.kube-system.svc.cluster.local., \
         cluster.local. 5 IN NS kube-dns.kube-system.svc.cluster.local.; \
         ex: 10-240-0-1.direct.kube-system.svc.cluster.local. 5 IN A 10.240.0.1, \
         kube-dns.kube-system.svc.cluster.local. 5 IN A 10.0.0.10"
    );
}

#[tokio::test]
async fn before_all_records_are_known_a_missing_name_is_a_failure() {
    use crate::config::{Listen, configure};
    use crate::corefile::{Disk, parse};
    let shared = crate::testing::shared();
    let blocks = parse("Corefile", COREFILE, &Disk).unwrap();
    let listen = Listen {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: None,
    };
    let configuration = configure(&blocks, listen, &shared, &Disk).unwrap();
    let (_, (routes, _)) = configuration.servers.into_iter().next().unwrap();
    let (name, ready) = configuration.plan.ready[0].clone();
    assert_eq!((name, ready()), ("kubernetes", false));
    let router = std::sync::Arc::new(crate::router::Router::new(routes));
    let lab = Lab {
        router,
        store: shared.records.clone(),
        metrics: shared.metrics,
    };
    assert!(
        lab.ask("svc1.testns.svc.cluster.local. A")
            .await
            .starts_with("SERVFAIL aa; ns: ")
    );
    lab.store.replace(Index::default());
    assert!(ready());
    assert!(
        lab.ask("svc1.testns.svc.cluster.local. A")
            .await
            .starts_with("NXDOMAIN aa; ns: ")
    );
}

#[test]
fn mistakes_name_the_line() {
    for (line, expected) in [
        (
            "pods all",
            "Corefile:3: pods must have the form: pods disabled|insecure|verified",
        ),
        ("ttl 4000", "Corefile:3: the ttl must be between 0 and 3600"),
        ("ttl x", "Corefile:3: \"x\" is not a number of seconds"),
        ("nonsense", "Corefile:3: kubernetes has no property \"nonsense\""),
        ("labels a=b", "Corefile:3: kubernetes does not support labels here"),
        ("fallthrough a..b", "Corefile:3: \"a..b\" is not a zone"),
    ] {
        assert_eq!(
            corefile_error(&format!(".:53 {{\n kubernetes cluster.local {{\n {line}\n }}\n}}")),
            expected
        );
    }
    assert_eq!(
        corefile_error(".:53 {\n kubernetes in-addr.arpa\n}"),
        "Corefile:2: kubernetes needs a zone that is not a reverse zone, such as cluster.local"
    );
}

proptest! {
    #[test]
    fn no_name_makes_the_plugin_panic(name in "[a-z0-9_.-]{0,40}", kind in prop::sample::select(vec!["A", "AAAA", "SRV", "PTR", "TXT", "NS", "SOA", "CNAME"])) {
        let lab = lab(COREFILE);
        for suffix in ["svc.cluster.local.", "pod.cluster.local.", "in-addr.arpa.", "ip6.arpa."] {
            let name = format!("{}.{suffix}", name.trim_matches('.'));
            if hickory_proto::rr::Name::from_ascii(&name).is_ok() {
                let answer = futures::executor::block_on(lab.ask(&format!("{name} {kind}")));
                prop_assert!(!answer.is_empty());
            }
        }
    }
}
