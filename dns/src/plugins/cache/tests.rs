//! What is kept, for how long, and what it looks like when it is given again.

use crate::metrics::CacheLabels;
use crate::testing::{Lab, corefile_error, namespace, port, service, shown};
use hickory_proto::op::Edns;

const COREFILE: &str = ".:53 {
    cache 30 {
        disable success uncached.example
    }
    template IN A kept.example uncached.example {
        match ^long[.]
        answer \"{{ .Name }} 600 IN A 192.0.2.1\"
        fallthrough
    }
    template IN A kept.example {
        match ^short[.]
        answer \"{{ .Name }} 1 IN A 192.0.2.2\"
        fallthrough
    }
    template IN A uncached.example {
        answer \"{{ .Name }} 60 IN A 192.0.2.3\"
    }
    kubernetes cluster.local
}";

fn lab() -> Lab {
    Lab::new(
        COREFILE,
        vec![
            namespace("a"),
            service("a/s", &["10.0.0.1"], vec![port("", "TCP", 80)], vec![]),
        ],
    )
}

fn hits(lab: &Lab, kind: &'static str) -> u64 {
    let labels = CacheLabels {
        server: "dns://:53".into(),
        r#type: kind,
        zones: ".".into(),
        view: "",
    };
    lab.metrics.cache_hits.get_or_create(&labels).get()
}

#[tokio::test]
async fn ttls_are_limited_and_answers_are_given_again() {
    let lab = lab();
    for (question, expected) in [
        (
            "long.kept.example. A",
            "NOERROR aa; an: long.kept.example. 30 IN A 192.0.2.1",
        ),
        (
            "short.kept.example. A",
            "NOERROR aa; an: short.kept.example. 5 IN A 192.0.2.2",
        ),
    ] {
        assert_eq!(lab.ask(question).await, expected);
        assert_eq!(lab.ask(question).await, expected, "from the cache");
    }
    assert_eq!(hits(&lab, "success"), 2);
}

#[tokio::test]
async fn kept_answers_take_the_form_of_the_question() {
    let lab = lab();
    lab.ask("s.a.svc.cluster.local. A").await;
    let message = lab.message("S.A.svc.cluster.local. A", None).await;
    assert_eq!(hits(&lab, "success"), 1, "case does not matter");
    assert_eq!(message.queries[0].name.to_ascii(), "S.A.svc.cluster.local.");
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    lab.message("s.a.svc.cluster.local. A", Some(edns)).await;
    assert_eq!(hits(&lab, "success"), 1, "DNSSEC answers are others");
}

#[tokio::test]
async fn denials_are_kept_with_their_soa() {
    let lab = lab();
    let first = lab.message("none.a.svc.cluster.local. A", None).await;
    let second = lab.message("none.a.svc.cluster.local. A", None).await;
    assert_eq!(shown(&first), shown(&second));
    assert!(shown(&second).starts_with("NXDOMAIN aa; ns: cluster.local. 5 IN SOA "));
    assert_eq!(hits(&lab, "denial"), 1);
}

#[tokio::test]
async fn disabled_zones_are_not_kept() {
    let lab = lab();
    for _ in 0..2 {
        assert_eq!(
            lab.ask("x.uncached.example. A").await,
            "NOERROR aa; an: x.uncached.example. 60 IN A 192.0.2.3"
        );
    }
    assert_eq!(hits(&lab, "success"), 0);
}

#[test]
fn mistakes_name_the_line() {
    for (text, expected) in [
        ("cache 0", "Corefile:2: the ttl of the cache must not be 0"),
        (
            "cache 30 {\n success\n }",
            "Corefile:3: success must have the form: success CAPACITY [TTL] [MINTTL]",
        ),
        (
            "cache {\n servfail 10m\n }",
            "Corefile:3: server failures may be kept for 5m at most",
        ),
        (
            "cache {\n prefetch 10\n }",
            "Corefile:3: cache does not support prefetch",
        ),
        (
            "cache {\n disable all\n }",
            "Corefile:3: disable must have the form: disable success|denial [ZONES...]",
        ),
        (
            "cache 30\n cache 30",
            "Corefile:3: cache may stand only once in a server block",
        ),
    ] {
        assert_eq!(corefile_error(&format!(".:53 {{\n {text}\n}}")), expected, "{text}");
    }
}

mod time {
    use super::super::handler::{Cache, Limits, Settings};
    use crate::plugins::{Block, Plan};
    use crate::request::{Answer, Request, Transport, record};
    use crate::router::Router;
    use hickory_proto::op::{Message, Query, ResponseCode};
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData, RecordType};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn cache(capacity: usize) -> Cache {
        let limits = Limits {
            capacity,
            longest: 30,
            shortest: 5,
        };
        let settings = Settings {
            zones: vec![Name::root()],
            success: limits,
            denial: limits,
            servfail: Duration::from_secs(5),
            keep_ttl: false,
            no_success: Vec::new(),
            no_denial: Vec::new(),
        };
        let (shared, mut plan) = (crate::testing::shared(), Plan::default());
        let sources = &crate::corefile::Disk;
        let block = Block {
            zones: &[],
            server: "dns://:53",
            shared: &shared,
            sources,
            plan: &mut plan,
            binds: Vec::new(),
        };
        Cache::new(settings, &block)
    }

    fn request(name: &str) -> Request {
        let question = Query::query(Name::from_ascii(name).unwrap(), RecordType::A);
        let mut message = Message::query();
        message.queries = vec![question.clone()];
        let (peer, router) = ("10.0.0.9:53".parse().unwrap(), Arc::new(Router::new(Vec::new())));
        Request {
            message,
            question,
            peer,
            transport: Transport::Udp,
            size: 0,
            zone: Name::root(),
            router,
            depth: 0,
        }
    }

    fn answer(request: &Request, ttl: u32) -> Answer {
        let mut message = request.reply(ResponseCode::NoError);
        message.answers = vec![record(request.name().clone(), ttl, RData::A(A::new(10, 0, 0, 1)))];
        Answer {
            message,
            plugin: "test",
        }
    }

    #[test]
    fn ttls_count_down_and_answers_expire() {
        let (cache, request, start) = (cache(10), request("a."), Instant::now());
        cache.put(&request, &mut answer(&request, 20), start);
        let ttl = |seconds| {
            cache
                .get(&request, start + Duration::from_secs(seconds))
                .map(|kept| kept.message.answers[0].ttl)
        };
        assert_eq!(
            [ttl(0), ttl(7), ttl(19), ttl(20), ttl(1000)],
            [Some(20), Some(13), Some(1), None, None]
        );
    }

    #[test]
    fn the_cache_does_not_outgrow_its_capacity() {
        let (cache, start) = (cache(4), Instant::now());
        let requests: Vec<Request> = (0..50).map(|n| request(&format!("n{n}."))).collect();
        for request in &requests {
            cache.put(request, &mut answer(request, 20), start);
        }
        assert_eq!(
            requests
                .iter()
                .filter(|request| cache.get(request, start).is_some())
                .count(),
            4
        );
    }

    #[test]
    fn failures_replace_nothing_for_long_and_truncated_answers_are_not_kept() {
        let (cache, request, start) = (cache(10), request("a."), Instant::now());
        let mut cut = answer(&request, 20);
        cut.message.metadata.truncation = true;
        cache.put(&request, &mut cut, start);
        assert!(cache.get(&request, start).is_none());
        let mut failed = Answer {
            message: request.reply(ResponseCode::ServFail),
            plugin: "test",
        };
        cache.put(&request, &mut failed, start);
        assert!(cache.get(&request, start + Duration::from_secs(4)).is_some());
        assert!(cache.get(&request, start + Duration::from_secs(5)).is_none());
    }
}
