//! What requests have besides bodies.

use apiserver::authentication::jwt;
use apiserver::endpoints::handlers::websocket;
use apiserver::endpoints::negotiation::{Allows, MEDIA_TYPES, Negotiated, check_accept, negotiate};
use apiserver::endpoints::options::{ReadOptions, SentDeleteOptions, WriteKind, WriteOptions, get_revision};
use apiserver::endpoints::query::Query;
use apiserver::filters::deadline;
use apiserver::filters::request_info::RequestInfo;
use apiserver::proxy::html;
use apiserver::storage::continue_token;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use machinery::gvk::GroupVersionKind;
use std::time::{Duration, Instant};

use crate::objects::resource_of;
use crate::{Target, halves, texts};

/// Method, path and query.
pub(crate) const PATH: Target = Target {
    name: "path",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let (method, target) = text.split_once(' ').unwrap_or(("GET", &text));
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        if let Ok(info) = RequestInfo::parse(&method, path, query) {
            let _ = (info.is_long_running(), info.is_read_only());
            let _ = deadline::of(&info, query, Duration::from_secs(60), Instant::now());
        }
    },
    seeds: || {
        texts(&[
            "GET /api/v1/namespaces/default/pods/web/log?container=a&follow=true&timeout=5s",
            "POST /apis/apps/v1/namespaces/%64efault/deployments?dryRun=All",
            "GET /apis/example.com/v1/watch/namespaces/a/things/b?fieldSelector=metadata.name%3Db",
            "PATCH /api/v1/nodes/a/proxy/x//y/..?q=%zz&q=+",
            "GET /openapi/v3/apis/apps/v1?hash=A",
        ])
    },
};

/// The options of every verb.
pub(crate) const OPTIONS: Target = Target {
    name: "options",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let query = Query::parse(Some(&text));
        for kind in [WriteKind::Create, WriteKind::Update, WriteKind::Patch, WriteKind::Apply] {
            let _ = WriteOptions::read(&query, kind);
        }
        let _ = SentDeleteOptions::from_query(&query).and_then(SentDeleteOptions::validate);
        let _ = get_revision(&query);
        let Some(pods) = resource_of(&GroupVersionKind::new("", "v1", "Pod")) else {
            return;
        };
        for forced in [false, true] {
            if let Ok(options) = ReadOptions::read(&query, pods, "", forced) {
                let _ = options.list("default");
                let _ = options.watch("default", tokio::time::Instant::now());
            }
        }
    },
    seeds: || {
        texts(&[
            "limit=500&continue=&resourceVersion=0&resourceVersionMatch=NotOlderThan&labelSelector=a%3Db&fieldSelector=spec.nodeName%3Da",
            "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=9",
            "dryRun=All&fieldManager=me&fieldValidation=Strict&force=true&pretty=1",
            "gracePeriodSeconds=-1&propagationPolicy=Foreground&orphanDependents=false&dryRun=All",
        ])
    },
};

/// Headers that choose the form of answers.
pub(crate) const HEADERS: Target = Target {
    name: "headers",
    run: |input| {
        let (accept, other) = halves(input);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", accept),
            ("user-agent", other),
            ("content-type", other),
            ("upgrade", other),
        ] {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let query = Query::parse(std::str::from_utf8(other).ok());
        let _ = check_accept(&headers, &MEDIA_TYPES);
        let _ = Negotiated::default_for(&headers, &query);
        for allows in [Allows::Plain, Allows::Transforms, Allows::Discovery] {
            let _ = negotiate(&headers, &query, allows);
        }
    },
    seeds: || {
        texts(&[
            "application/json;as=Table;g=meta.k8s.io;v=v1, application/json;q=0.5, */*\0curl/8",
            "application/vnd.kubernetes.protobuf;stream=watch;as=PartialObjectMetadata;v=v1;g=meta.k8s.io\0pretty=true",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\0websocket",
            "text/*;q=\"0.3\";x=\\\"y, ;;,=/\0application/apply-patch+yaml; charset=utf-8",
        ])
    },
};

/// Continue tokens.
pub(crate) const CONTINUE_TOKEN: Target = Target {
    name: "continue_token",
    run: |input| {
        const PREFIX: &str = "/registry/pods/";
        let text = String::from_utf8_lossy(input);
        if let Ok(found) = continue_token::decode(&text, PREFIX) {
            assert!(
                found.from_key.starts_with(PREFIX) && !found.from_key.contains("/../"),
                "{found:?}"
            );
            let again =
                continue_token::decode(&continue_token::encode(&found.from_key, PREFIX, found.revision), PREFIX);
            assert!(again.is_ok_and(|again| again == found), "{found:?}");
        }
        // The same text within the encoding.
        let _ = continue_token::decode(&continue_token::encode(&text, "", Some(7)), PREFIX);
    },
    seeds: || {
        let token = |key: &str, revision| continue_token::encode(key, "/registry/pods/", revision).into_bytes();
        vec![
            token("/registry/pods/default/web\0", Some(7)),
            token("/registry/pods/a", None),
            b"../x".to_vec(),
        ]
    },
};

/// Tokens of service accounts, of which nothing is known yet.
pub(crate) const BEARER_TOKEN: Target = Target {
    name: "bearer_token",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let _ = jwt::unverified_claims(&text);
        let _ = jwt::verify(&text, &[]);
        let _ = jwt::VerifyingKey::from_pem(input);
        let _ = jwt::SigningKey::from_pem(input);
    },
    seeds: || {
        texts(&[
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJhIiwiZXhwIjoxLCJhdWQiOlsiYiJdLCJzdWIiOiJjIn0.c2ln",
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n",
        ])
    },
};

/// What a client sends over a WebSocket.
pub(crate) const WEBSOCKET: Target = Target {
    name: "websocket",
    run: |input| {
        let (pings, mut pinged) = tokio::sync::mpsc::channel(1);
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
            return;
        };
        runtime.block_on(async {
            tokio::join!(async { drop(websocket::receive(input, pings).await) }, async {
                while pinged.recv().await.is_some() {}
            },)
        });
    },
    seeds: || {
        vec![
            b"\x89\x83mask\0\x01\x02\x88\x00".to_vec(),
            b"\x82\x7e\x00\x05hello\x81\xff\x00\x00\x00\x00\x00\x00\x00\x01abcdx".to_vec(),
            b"\x88\x82abcd\x03\xe8".to_vec(),
        ]
    },
};

/// Pages behind a proxy.
pub(crate) const PROXIED_PAGE: Target = Target {
    name: "proxied_page",
    run: |input| {
        let page = String::from_utf8_lossy(input);
        assert_eq!(html::with_links(&page, str::to_owned).is_empty(), page.is_empty());
    },
    seeds: || {
        texts(&[
            r#"<!doctype html><a href="/x?a=1&amp;b" class=y>z</a><script>if (a < b) "<a href='/no'>"</script><img src=/i usemap='#m'>"#,
            "<textarea><a href=/></textarea><!-- <a href=/> --><A HREF = '/up'/><a/href=\"/s\"><form action>",
        ])
    },
};
