//! The whole engine between two API servers in memory.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::*;
use crate::names::keys;
use crate::object::ObjectKey;
use crate::settings::Settings;
use crate::testing::fake::Fake;
use crate::testing::settings;

mod addresses;
mod bridge;
mod comparer;
mod convergence;
mod endpoints;
mod faults;
mod pods;
mod repairs;
mod skew;
mod standby;

use bridge::{Bridge, clusters};
use faults::{Happening, happen, happening};

/// Longer than any backoff.
const PATIENCE: Duration = Duration::from_secs(120);

fn json_text(object: &Value, field: &str) -> String {
    crate::json::text(object, &["metadata", field]).to_owned()
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "team", "name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "nginx", "envFrom": [{"configMapRef": {"name": "settings"}}]}]},
        "status": {"phase": "Pending"},
    })
}

fn config_map() -> Value {
    json!({"metadata": {"namespace": "team", "name": "settings"}, "data": {"a": "1"}})
}

fn service(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "team", "name": name, "annotations": {"team/owner": "them"}},
        "spec": {
            "type": "ClusterIP", "internalTrafficPolicy": "Local", "selector": {"app": name}, "ports": [{"port": 80}],
        },
    })
}

/// The events that say what is wrong.
fn errors_told(bridge: &Bridge) -> Vec<Value> {
    let mut events = bridge.virtual_.list(Kind::Event);
    events.retain(|event| event["reason"] == "SyncError");
    events
}
