//! Files that people write.

use config::Config;

use crate::{Target, texts};

/// vcluster.yaml.
pub(crate) const VCLUSTER_YAML: Target = Target {
    name: "vcluster_yaml",
    run: |input| {
        let _ = Config::parse("vcluster.yaml", &String::from_utf8_lossy(input));
    },
    seeds: || {
        texts(&[
            "sync:\n  toHost:\n    ingresses:\n      enabled: true\n  fromHost:\n    nodes:\n      enabled: true\n",
            "controlPlane:\n  backingStore:\n    database:\n      embedded:\n        enabled: true\n  coredns: {enabled: false}\n",
            "networking:\n  replicateServices:\n    toHost:\n    - from: a/b\n      to: c\n",
        ])
    },
};

/// Corefiles.
pub(crate) const COREFILE: Target = Target {
    name: "corefile",
    run: |input| dns::decoders::corefile(&String::from_utf8_lossy(input)),
    seeds: || {
        texts(&[
            ".:1053 {\n    errors\n    health\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n        pods insecure\n        ttl 30\n    }\n    forward . 8.8.8.8 [::1]:53 {\n        max_fails 2\n    }\n    cache 30\n}\n",
            "(snip) {\n    log \"a b\" # comment\n}\nexample.org a.b:53 {\n    import snip\n    rewrite name regex (.*)\\.x {1}.y\n    template IN A {\n        match .*\n        answer \"{{ .Name }} 60 IN A 1.2.3.4\"\n    }\n    hosts {\n        10.0.0.1 a b\n        fallthrough\n    }\n}\n",
        ])
    },
};
